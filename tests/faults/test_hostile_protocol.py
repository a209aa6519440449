"""Every variant of the protocols ends as it has to, in a sentence, and the same processes answer after it."""

from collections import Counter

from deploy.benchmark.load import Samples
from deploy.gateway.operation.service import GatewayServer
from tests.helpers.bystanders import unharmed
from tests.hostile.health import family
from tests.hostile.protocol.variants import target_of, variants


def test_a_variant_of_the_protocol_ends_typed_and_harms_nobody(
    gateway: GatewayServer, samples: Samples
) -> None:
    before = family(gateway.supervisor_pid)
    names: Counter[str] = Counter()
    wrong = {}
    with (
        unharmed(gateway, samples, pause=0.3),
        target_of(gateway.grpc_address, gateway.rest_address, samples) as target,
    ):
        for variant in variants():
            names[variant.name] += 1
            if flaw := variant.flaw(variant.end(target)):
                wrong[variant.name] = flaw
    assert not wrong
    assert before.items() <= family(gateway.supervisor_pid).items()
    assert len(names) >= 600
    assert set(names.values()) == {1}, "each has a name of its own"

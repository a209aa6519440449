"""Every variant of the protocols ends as it has to, in a sentence, and the same processes answer after it."""

import itertools
from collections import Counter

import pytest

from deploy.benchmark.load import Samples
from deploy.gateway.operation.service import GatewayServer
from tests.helpers.bystanders import unharmed
from tests.hostile.health import family
from tests.hostile.protocol.variants import target_of, variants


@pytest.mark.parametrize("every", [pytest.param(1, marks=pytest.mark.heavy), 11])
def test_a_variant_of_the_protocol_ends_typed_and_harms_nobody(
    gateway: GatewayServer, samples: Samples, every: int
) -> None:
    before = family(gateway.supervisor_pid)
    names: Counter[str] = Counter()
    wrong = {}
    with (
        unharmed(gateway, samples, pause=0.3),
        target_of(gateway.grpc_address, gateway.rest_address, samples) as target,
    ):
        for variant in itertools.islice(variants(), 0, None, every):
            names[variant.name] += 1
            if flaw := variant.flaw(variant.end(target)):
                wrong[variant.name] = flaw
    assert not wrong
    assert before.items() <= family(gateway.supervisor_pid).items()
    assert len(names) * every >= 600
    assert set(names.values()) == {1}, "each has a name of its own"

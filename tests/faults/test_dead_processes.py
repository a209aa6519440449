"""Processes of a gateway die or freeze under eight clients: nobody loses an answer, and all gets whole."""

import contextlib
import signal
import time
from pathlib import Path

import pytest

from deploy.benchmark.faults.whole import is_whole, seconds_until
from deploy.benchmark.load import End, Load, Samples, raw_sender
from deploy.gateway.operation.service import GatewayServer
from deploy.measuring.processes import model_processes, send, tritons
from tests.helpers import tiny_repository
from tests.helpers.bystanders import DEADLINE, eventually, senders, unhappy

REPAIR_SECONDS = 240.0  # on a machine that is four times slower


@pytest.fixture(scope="module")
def gateway(small_gateway: GatewayServer) -> GatewayServer:
    """One with few models, as each is killed."""
    return small_gateway


@pytest.fixture(scope="module")
def samples(gateway: GatewayServer) -> Samples:
    return Samples(gateway.grpc_address, gateway.models)


def python_models(samples: Samples) -> list[str]:
    return [name for name, config in samples.configs.items() if config.backend == "python"]


def under_load(gateway: GatewayServer, samples: Samples, fault: str, pid: int) -> Load:
    """The load, after a fault was done to a process under it and everything is whole again."""
    supervisor, triton, main = gateway.supervisor_pid, gateway.triton_pid, gateway.pid
    with Load(senders(gateway.grpc_address, samples), deadline=DEADLINE, pause=0.25) as load:
        load.wait_for(16, timeout=REPAIR_SECONDS)
        for number in FAULTS[fault]:
            if number is signal.SIGCONT:
                time.sleep(0.5)
            # It may have been found and killed before it could go on.
            with contextlib.suppress(PermissionError, ProcessLookupError):
                send(pid, number, below=supervisor)
        seconds = seconds_until(
            lambda: is_whole(gateway, python_models(samples), without=[pid, triton]), timeout=REPAIR_SECONDS
        )
        load.wait_for(16, timeout=REPAIR_SECONDS)
    print(f"{fault}: whole after {seconds:.1f} s; {load.summary}")
    assert pid == main or gateway.pid == main
    return load


FAULTS = {
    "killed": (signal.SIGKILL,),
    "frozen": (signal.SIGSTOP,),
    "frozen and thawed": (signal.SIGSTOP, signal.SIGCONT),
}


# The engine, a model before it that all crops need, one that asks other models: all are watched alike.
VICTIMS = [
    ("face_engine", "killed"),
    pytest.param("face_preprocess", "killed", marks=pytest.mark.heavy),
    pytest.param("photo_analysis", "killed", marks=pytest.mark.heavy),
    pytest.param("face_engine", "frozen", marks=pytest.mark.heavy),
]


def test_the_models_have_processes(gateway: GatewayServer, samples: Samples) -> None:
    assert set(model_processes(gateway.triton_pid)) == set(python_models(samples))


@pytest.mark.parametrize(("model", "fault"), VICTIMS)
def test_a_model_process_that_dies_or_freezes_costs_nobody_an_answer(
    gateway: GatewayServer, samples: Samples, model: str, fault: str
) -> None:
    """Every request is answered, as it is sent again to another Triton. `make faults` does each model."""
    load = under_load(gateway, samples, fault, model_processes(gateway.triton_pid)[model][0])
    assert not unhappy(load), load.summary


@pytest.mark.heavy
def test_a_model_process_that_freezes_for_a_moment_costs_nobody_an_answer(
    gateway: GatewayServer, samples: Samples
) -> None:
    """Triton 2.51 ends by an exception when a model of its goes on."""
    model = python_models(samples)[0]
    load = under_load(gateway, samples, "frozen and thawed", model_processes(gateway.triton_pid)[model][0])
    assert not unhappy(load), load.summary


@pytest.mark.parametrize("fault", [pytest.param("killed", marks=pytest.mark.heavy), "frozen"])
def test_a_triton_that_dies_or_freezes_costs_nobody_an_answer(
    gateway: GatewayServer, samples: Samples, fault: str
) -> None:
    load = under_load(gateway, samples, fault, gateway.triton_pid)
    assert not unhappy(load), load.summary


def test_a_gateway_that_is_killed_is_back_and_every_request_has_a_typed_end(
    gateway: GatewayServer, samples: Samples
) -> None:
    """Its Triton goes with it. A client that tries again, as ours does, gets its answer from the next one."""
    before = gateway.pid
    load = under_load(gateway, samples, "killed", before)
    assert gateway.pid != before
    assert not unhappy(load), load.summary
    refused = {outcome.code for outcome in load.outcomes if outcome.end is End.REFUSED}
    assert refused <= {"UNAVAILABLE", "RESOURCE_EXHAUSTED"}
    assert not [
        outcome for outcome in load.outcomes if outcome.model == "FaceClient" and outcome.end is End.REFUSED
    ]


@pytest.mark.heavy
def test_a_standby_takes_over_from_a_triton_that_dies(tmp_path: Path) -> None:
    repository = tiny_repository.write(tmp_path / "repository", echo=tiny_repository.ECHO)
    with GatewayServer(repository, arguments=["--standby", "always"]) as gateway:
        samples = Samples(gateway.grpc_address, gateway.models, size=16)
        assert eventually(lambda: gateway.status()["standby_ready"])
        killed, main = gateway.triton_pid, gateway.pid
        (standby,) = set(tritons(gateway.supervisor_pid)) - {killed}
        loading = [raw_sender(gateway.grpc_address, samples, "echo", first=number) for number in range(8)]
        with Load(loading, deadline=DEADLINE, pause=0.01) as load:
            load.wait_for(16)
            send(killed, signal.SIGKILL, below=gateway.supervisor_pid)
            load.wait_for(100, timeout=REPAIR_SECONDS)
        assert gateway.triton_pid == standby
        assert gateway.pid == main
        assert not unhappy(load), load.summary
        assert eventually(lambda: gateway.status()["standby_ready"]), "there is no next one"
    print(load.summary)

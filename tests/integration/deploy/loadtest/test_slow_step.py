"""A step that got 50 ms slower: the split names it, and a comparison finds it."""

import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.embedded import EmbeddedServer
from deploy.loadtest.comparison import Comparison, compare
from deploy.loadtest.generator import GeneratorPool
from deploy.loadtest.loads import ClosedLoop
from deploy.loadtest.planted import main, plant
from deploy.loadtest.protocols.base import Target
from deploy.loadtest.results import Run
from deploy.loadtest.server import server_side
from deploy.loadtest.stage import Settings, measure_stage
from deploy.measuring.server_processes import ServerProcesses
from tests.helpers import three_steps
from tests.helpers.embedded_servers import HURRIED

PLANTED_MS = 50
SETTINGS = Settings(seconds=2, window=0.2, warm_up=0.6)


@pytest.fixture(autouse=True, scope="module")
def no_idle_load() -> Iterator[None]:
    """What the processes take while nobody calls takes a second to look at."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ServerProcesses, "idle_load", lambda self, seconds: {})
        yield


def measured(repository: Path, kept: Path) -> Run:
    """A small load test of a Triton over the repository, written and read again."""
    questions = [three_steps.question()]
    with EmbeddedServer(repository, grace=HURRIED) as server:
        target = Target(protocol="grpc", address=server.grpc_address)
        with (
            server_side(target, questions) as side,
            GeneratorPool(target, questions, processes=1, deadline=20) as pool,
        ):
            stage = measure_stage(
                pool, ClosedLoop(clients=2), section="sweep", settings=SETTINGS, server_side=side
            )
    Run(about={}, stages=[stage]).write(kept)
    return Run.read(kept)


@pytest.fixture(scope="module")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """One, and its copy in which `post` sleeps before each execution."""
    folder = tmp_path_factory.mktemp("slow-step")
    before = three_steps.write(folder / "before")
    plant(before, folder / "after", step="post", seconds=PLANTED_MS / 1e3)
    return before, folder / "after"


@pytest.fixture(scope="module")
def runs(repositories: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    """A load test of each."""
    folder = tmp_path_factory.mktemp("runs")
    first, second = (measured(each, folder / f"{each.name}.json") for each in repositories)
    return first, second


@pytest.fixture(scope="module")
def compared(runs: tuple[Run, Run]) -> Comparison:
    return compare(*runs)


@pytest.mark.heavy
def test_the_split_of_each_run_adds_up_and_names_the_step(runs: tuple[Run, Run]) -> None:
    kind = three_steps.question().kind
    for run, slowest in zip(runs, ("engine", "post"), strict=True):
        (stage,) = run.stages
        parts = stage.server.parts[kind]
        assert sum(parts.values()) == pytest.approx(1e3 * stage.latency.mean, rel=1e-3)
        assert max(three_steps.STEPS, key=lambda step: parts[step]) == slowest
    assert (
        parts["post"] > 0.8 * PLANTED_MS
    )  # it sleeps for no less, but requests at the ends are not the same


@pytest.mark.heavy
def test_a_comparison_finds_the_slow_step(compared: Comparison) -> None:
    (stage,) = compared.stages
    assert "rate" in stage.worse
    assert stage.parts["post"].beyond_noise
    assert stage.parts["post"].after - stage.parts["post"].before > 0.8 * PLANTED_MS
    assert compared.cause().startswith("post took ")
    assert "more a request" in compared.cause()


@pytest.mark.heavy
def test_the_two_runs_differ_the_other_way_round(runs: tuple[Run, Run]) -> None:
    back = compare(*reversed(runs))
    assert not back.worse
    assert back.cause().startswith("post took ")
    assert "less a request" in back.cause()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--step", "nobody"], "has no Python model 'nobody': choose from engine, post, pre"),
        (["--step", three_steps.NAME], f"has no Python model '{three_steps.NAME}'"),  # an ensemble
        (["--step", "post", "--milliseconds", "0"], "a step is made slower by more than 0 ms"),
        (["--step", "post", "--milliseconds", str(math.nan)], "a step is made slower by more than 0 ms"),
    ],
)
def test_what_can_not_be_planted_is_refused(
    repositories: tuple[Path, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    sentence: str,
) -> None:
    output = tmp_path / "copy"
    assert main(["--repository", str(repositories[0]), "--output", str(output), *words]) == 2
    assert sentence in capsys.readouterr().err
    assert not output.exists()


def test_a_folder_that_is_there_is_not_written_into(
    repositories: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--repository", str(repositories[0]), "--output", str(tmp_path), "--step", "post"]
    assert main(words) == 2
    assert f"{tmp_path} is there already" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_what_is_no_repository_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--repository", str(tmp_path), "--output", str(tmp_path / "copy"), "--step", "post"]
    assert main(words) == 2
    assert "assemble a repository" in capsys.readouterr().err

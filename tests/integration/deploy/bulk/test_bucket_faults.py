"""A bucket that denies, disappears, or changes while it is read."""

from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.bulk.photo import Status
from deploy.bulk.statuses import REFUSED, SOME_FAILED, STOPPED
from tests.helpers.bulk_runs import Run, finished, run
from tests.helpers.s3_server import DENIED, GONE, OVERLOADED, Fault, S3Request, S3Server, closed, cut

SOURCE = "s3://photos"
MIDDLE = 12  # of the reads of objects


def of_objects(fault: Callable[[S3Request], Fault | None]) -> Callable[[S3Request], Fault | None]:
    """A rule for reads of objects alone."""
    return lambda request: fault(request) if request.reads_object else None


@pytest.fixture(scope="module")
def undisturbed(_s3: S3Server, words: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run over the bucket that nothing disturbed."""
    output = tmp_path_factory.mktemp("bucket") / "run"
    finished(SOURCE, "--output", output, *words, environment=_s3.environment)
    return Run(output)


def test_a_bucket_has_the_answers_of_the_folder(undisturbed: Run, whole: Run, folder: Path) -> None:
    def answers(found: Run, root: str) -> dict[str, object]:
        return {row["file"].removeprefix(f"{root}/"): row["status"] for row in found.photos}

    assert answers(undisturbed, SOURCE) == answers(whole, str(folder))
    assert len(undisturbed.faces) == len(whole.faces)


def test_each_object_that_is_denied_gone_or_changed_fails_with_its_cause(
    s3: S3Server, words: tuple[str, ...], undisturbed: Run, tmp_path: Path
) -> None:
    """One that is cut short, and one that S3 asks to come back for, are read all the same."""
    files = [row["file"] for row in undisturbed.photos if row["status"] == Status.DONE]
    denied, gone, changed, cut_once, busy_once = files[5:10]
    before, tries = {name: name.removeprefix(f"{SOURCE}/") for name in files}, dict[str, int]()

    def rule(request: S3Request) -> Fault | None:
        file = f"{SOURCE}/{request.key}"
        tries[file] = tries.get(file, 0) + 1
        faults = {denied: DENIED, gone: GONE}
        if tries[file] == 1:
            faults |= {cut_once: cut, busy_once: OVERLOADED}
            if file == changed:
                data = s3.get("photos", before[changed])
                s3.fill("photos", {before[changed]: data[::-1]})
                restore.append(data)
        return faults.get(file)

    restore: list[bytes] = []
    s3.rule = of_objects(rule)
    output = tmp_path / "run"
    ended = run(SOURCE, "--output", output, *words, environment=s3.environment)
    s3.fill("photos", {before[changed]: restore[0]})
    assert ended.status == SOME_FAILED, ended
    rows = {row["file"]: row for row in Run(output).photos}
    assert [rows[file]["cause"] for file in (denied, gone, changed)] == ["denied", "gone", "changed"]
    assert [rows[file]["status"] for file in (cut_once, busy_once)] == ["done", "done"]
    assert all(tries[file] > 1 for file in (cut_once, busy_once))
    others = rows.keys() - {denied, gone, changed}
    assert {rows[file]["cause"] for file in others} <= {None, "unusable"}


@pytest.mark.heavy
def test_a_bucket_that_fails_in_the_middle_stops_the_run_which_goes_on(
    s3: S3Server, words: tuple[str, ...], undisturbed: Run, tmp_path: Path
) -> None:
    """First all is denied from some moment on, then the server closes every connection."""
    output = tmp_path / "run"
    for fault in (DENIED, closed):
        s3.reset()
        s3.rule = FromThen(MIDDLE, fault)
        ended = run(SOURCE, "--output", output, *words, "--patience", "0.5", environment=s3.environment)
        assert ended.status == STOPPED, ended
        assert "the same command goes on" in ended.sentence
        assert SOURCE in ended.sentence
        assert Run(output).files.items() <= undisturbed.files.items()
    s3.reset()
    finished(SOURCE, "--output", output, *words, environment=s3.environment)
    assert Run(output).files == undisturbed.files


class FromThen:
    """Spoils every request from the read of this number on."""

    def __init__(self, first: int, fault: Fault) -> None:
        self._first = first
        self._fault = fault
        self._begun = False

    def __call__(self, request: S3Request) -> Fault | None:
        self._begun |= request.reads_object and request.number >= self._first
        return self._fault if self._begun else None


@pytest.mark.parametrize("source", ["s3://photos", "s3://another-bucket"])
def test_a_bucket_that_can_not_be_listed_is_refused(
    s3: S3Server, words: tuple[str, ...], tmp_path: Path, source: str
) -> None:
    s3.rule = lambda request: DENIED if source == SOURCE else None
    ended = run(source, "--output", tmp_path / "run", *words, environment=s3.environment)
    assert ended.status == REFUSED, ended
    assert source.removeprefix("s3://") in ended.sentence
    assert not list(tmp_path.rglob("part-*"))

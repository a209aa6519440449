"""What an answer costs is shared out among processes, set beside the bare engine's, and compared."""

from pathlib import Path

import pytest

from deploy.benchmark.answer_cost import rows
from deploy.benchmark.answer_cost.client_process import read_answers
from deploy.benchmark.answer_cost.compare import compare, warnings
from deploy.benchmark.answer_cost.compare import table as comparison_table
from deploy.benchmark.answer_cost.figures import figures
from deploy.benchmark.answer_cost.results import BARE, SERVED, Row, Run, row_of
from deploy.benchmark.answer_cost.rows import ServedRow, bare_settings, chosen
from deploy.benchmark.answer_cost.table import table
from qface_client import Face
from qface_client.measuring.sample import Sample

ABOUT = {"machine": {"cores": 2}, "served": {"engine": {"precision": "fp32"}, "contract": "c"}}


def bare(name: str, *rounds: float, rate: float = 10.0) -> Row:
    return Row(name=name, group=BARE, faces=1, parts={"engine": tuple(rounds)}, rate=(rate,) * len(rounds))


def served(name: str, *rounds: float, faces: int = 1, rate: float = 5.0) -> Row:
    return Row(
        name=name,
        group=SERVED,
        faces=faces,
        parts={"client": tuple(0.25 * value for value in rounds), "engine": tuple(0.75 * v for v in rounds)},
        rate=(rate,) * len(rounds),
        p50_ms=(1.0,) * len(rounds),
        p99_ms=(2.0,) * len(rounds),
    )


def run_of(*rows: Row) -> Run:
    return Run(rows=rows, about=ABOUT)


def test_a_row_has_core_ms_an_answer_by_process() -> None:
    samples = [
        Sample(answers=10, seconds=2.0, core_seconds={"client": 0.1, "engine": 0.3}, latencies=[0.1] * 10),
        Sample(answers=5, seconds=1.0, core_seconds={"client": 0.1}, latencies=[0.2] * 5),
    ]
    row = row_of("face", group=SERVED, faces=2, samples=samples)
    assert row.parts == {"client": (10.0, 20.0), "engine": (30.0, 0.0)}
    assert row.core_ms == (40.0, 20.0)
    assert row.face_core_ms == (20.0, 10.0)
    assert row.rate == (5.0, 5.0)
    assert row.p99_ms == (100.0, 200.0)


def test_a_round_without_an_answer_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing was answered: measure longer"):
        row_of("face", group=SERVED, faces=1, samples=[Sample(answers=0, seconds=1.0, core_seconds={})])


def test_the_denominator_is_the_cheapest_bare_setting() -> None:
    run = run_of(bare("two threads", 30, 20, 30), bare("one thread", 10, 20, 12), served("face", 30, 40, 24))
    assert run.denominator().name == "one thread"
    # Round by round: what slowed both in the second cancels.
    assert run.multiples(run.rows[2]) == (3.0, 2.0, 2.0)


def test_a_multiple_is_of_one_face() -> None:
    run = run_of(bare("bare", 10, 10), served("photo of 30", 450, 600, faces=30))
    assert run.multiples(run.rows[1]) == (1.5, 2.0)


def test_rates_stand_beside_the_fastest_bare_setting() -> None:
    run = run_of(
        bare("cheap", 10, rate=50.0), bare("fast", 12, rate=100.0), served("photo of 8", 90, faces=8, rate=5)
    )
    assert run.rate_shares(run.rows[2]) == (0.4,)


def test_a_kept_run_is_read_again(tmp_path: Path) -> None:
    run = run_of(bare("bare", 10.0, 11.0), served("face", 20.0, 22.0))
    file = tmp_path / "run.json"
    run.write(file)
    assert Run.read(file) == run
    assert '"rate": [5.0, 5.0]' in file.read_text()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 1}', '{"format": 1, "rows": [{}]}'])
def test_another_file_is_no_run(tmp_path: Path, content: str) -> None:
    file = tmp_path / "run.json"
    file.write_text(content)
    with pytest.raises(ValueError, match=r"run\.json is not a run"):
        Run.read(file)


def test_a_slower_machine_changes_core_ms_but_no_multiple() -> None:
    quiet = run_of(bare("bare", 10, 10.1, 10.2), served("face", 20, 20.1, 20.2))
    busy = run_of(bare("bare", 15, 15.1, 15.2), served("face", 30, 30.1, 30.2), served("new", 1, 1, 1))
    compared = compare(quiet, busy)
    assert [each.name for each in compared] == ["bare", "face"]
    assert compared[1].core_ms.beyond_noise
    assert not compared[1].multiple.beyond_noise
    last = comparison_table(compared).splitlines()[-1]
    assert last.startswith(
        "| face | **20.1 → 30.1 (+50%)** | 1.99 → 1.99 (+0%) | engine **15.1 → 22.6 (+50%)** |"
    )


def test_the_reader_is_warned_of_what_can_not_be_compared() -> None:
    run = run_of(bare("bare", 10, 10, 10, 10))
    other = Run(rows=run.rows, about={**ABOUT, "machine": {"cores": 8}})
    assert warnings(run, run) == []
    assert "machines differ" in warnings(run, other)[0]
    lower = Run(rows=run.rows, about={**ABOUT, "served": {"engine": {"precision": "bf16"}, "contract": "c"}})
    assert "precisions differ" in warnings(run, lower)[0]
    assert "2 rounds only" in warnings(run, run_of(bare("bare", 10, 10)))[0]
    with pytest.raises(ValueError, match="no row in common"):
        compare(run, run_of(bare("another", 1.0)))


def test_the_table_has_a_column_for_each_process_that_takes_time() -> None:
    row = served("photo of 8 faces", 80.0, faces=8)
    row.parts.update({"model": (4.0,), "asleep": (0.1,)})  # type: ignore[attr-defined]
    lines = table(run_of(bare("bare", 10.0), row)).splitlines()
    assert (
        "| core-ms an answer | all | a face, of the bare engine's | client | engine | model | others |"
        in lines
    )
    assert "| photo of 8 faces (8 found) | 84.1 | 1.05 | 20.0 | 60.0 | 4.0 | 0.1 |" in lines
    assert "| photo of 8 faces | 5.0 | 4.00 | 1 | 2 |" in lines


def test_rows_are_set_beside_each_other_round_by_round() -> None:
    run = run_of(
        bare("bare", 10.0, 10.0),
        served(ServedRow(request=rows.FACE, clients=16).name, 30.0, 33.0),
        served(ServedRow(request=rows.FACE, clients=16, way=rows.DIRECT).name, 28.0, 32.0),
        served(ServedRow(request=rows.ONE_TASK, clients=16).name, 20.0, 30.0),
        served(ServedRow(request=rows.FACE, clients=1).name, 1.0, 1.0),
        served(ServedRow(request=rows.FACE, clients=16, load=rows.LOAD).name, 1.0, 1.0),
    )
    run.rows[1].parts.update({"face_engine": (12.0, 14.0)})  # type: ignore[attr-defined]
    found = {figure.name.rpartition(": ")[2]: figure.values for figure in figures(run)}
    assert found == {
        "the gateway adds, core-ms": (14.0, 15.0),
        "p99 at 80% of capacity over p50 unloaded": (2.0, 2.0),
        "the served engine's core-ms a face over the bare one's": (1.2, 1.4),
        "all tasks of a face over one task, core-ms": (2.1, 47 / 30),
    }
    assert "| all tasks of a face over one task, core-ms | 1.83 | 1.57 to 2.10 |" in table(run)


def test_rows_are_chosen_by_their_names() -> None:
    names = [
        ServedRow(request="face", clients=16).name,
        ServedRow(request="face", clients=1, way="direct").name,
        ServedRow(request="face", clients=16, load=0.8).name,
    ]
    assert names == ["face, 16 clients, gateway", "face, one client, direct", "face, at 80% of capacity"]
    assert chosen(names, []) == names
    assert chosen(names, ["direct", "80%"]) == names[1:]
    with pytest.raises(ValueError, match="--only 'crop' is in no row's name"):
        chosen(names, ["crop"])


def test_the_bare_engine_runs_with_one_thread_and_with_all() -> None:
    assert [(each.threads, each.streams) for each in bare_settings(4)] == [(1, 1), (4, 1), (4, 4)]
    assert len(bare_settings(1)) == 1


def test_all_that_an_answer_holds_is_read() -> None:
    class Lazy(dict[str, float]):
        read = 0

        @property
        def active(self) -> list[str]:
            Lazy.read += 1
            return []

    face = Face(box=(0, 0, 1, 1), score=1.0, landmarks5=None, answers={"task": Lazy()}, contract=None)  # type: ignore[dict-item]
    assert read_answers([face, face]) == 2
    assert Lazy.read == 2

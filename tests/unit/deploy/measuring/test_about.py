"""What a run keeps of how it was measured names nothing of the machine's folders."""

from deploy.measuring.about import command, run_header


def test_a_kept_command_names_no_folder_of_its_machine() -> None:
    kept = command(
        "deploy.benchmark.answer_cost",
        ["--peers", "/home/somebody/face.task", "--json", "benchmarks/run.json"],
    )
    assert kept.endswith("answer_cost --peers face.task --json benchmarks/run.json")


def test_a_run_has_its_date_commit_command_and_machine() -> None:
    header = run_header(module="deploy.loadtest", arguments=["--seconds", "2"])
    assert header["command"] == "python -m deploy.loadtest --seconds 2"
    assert header["date"].endswith("+00:00")
    assert header["machine"]["cores"] >= 1
    assert header["machine"]["memory_gib"] > 0

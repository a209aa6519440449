"""A run's report: JSON for programs, Markdown for documents, one HTML page with plots for people."""

from pathlib import Path

from deploy.loadtest.report import markdown, page
from deploy.loadtest.report.sections import report_sections
from deploy.loadtest.report.summary import headline, warnings
from deploy.loadtest.report.tables import requirements_table
from deploy.loadtest.results import Run

JSON, MARKDOWN, PAGE = "report.json", "report.md", "report.html"


def write_report(run: Run, folder: Path) -> None:
    """report.json, report.md and report.html in a folder, which is made.

    ValueError for a run with a number that JSON does not have.

    The JSON is written first: what was measured is kept even if a plot should fail.
    """
    folder.mkdir(parents=True, exist_ok=True)
    run.write(folder / JSON)
    write_renderings(run, folder)


def write_renderings(run: Run, folder: Path) -> None:
    """report.md and report.html of a run that is kept there."""
    title = f"Load test of {run.about.get('target', {}).get('address', 'a server')}"
    sections = report_sections(run)
    first, sentence, doubts = requirements_table(run), headline(run), warnings(run)
    (folder / MARKDOWN).write_text(markdown.render(title, sentence, doubts, first, sections))
    (folder / PAGE).write_text(page.render(title, sentence, _facts(run), doubts, first, sections))


def _facts(run: Run) -> list[str]:
    """When and where, in a line."""
    machine, target = run.about.get("machine", {}), run.about.get("target", {})
    found = [
        run.about.get("date", ""),
        target.get("protocol", ""),
        f"{machine['cores']} cores" if "cores" in machine else "",
        machine.get("processor", ""),
        *machine.get("gpus", ()),
    ]
    return [str(each) for each in found if each]

"""axe-core over a page: what keeps people out who see, hear or point otherwise."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

_AXE = Axe()


def axe_findings(page: Page) -> list[str]:
    """One line an element that breaks a rule of axe's, its best practices included; empty where none does."""
    violations = _AXE.run(page).response["violations"]
    return [
        f"{rule['id']} ({rule['impact']}): {node['html'][:200]}: {node['failureSummary']}"
        for rule in violations
        for node in rule["nodes"]
    ]

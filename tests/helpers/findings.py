"""What a heavy check looked at, and whether it held."""

import dataclasses
import datetime
import time


@dataclasses.dataclass(kw_only=True)
class Findings:
    """The lines of a report, printed as they come."""

    rows: list[tuple[str, bool, str]] = dataclasses.field(default_factory=list)
    began: float = dataclasses.field(default_factory=time.monotonic)

    def add(self, what: str, held: bool, detail: str) -> None:
        """One thing that was looked at."""
        self.rows.append((what, held, detail))
        word = "held" if held else "FAILED"
        print(f"{time.monotonic() - self.began:5.0f} s  {word}  {what}: {detail}", flush=True)

    @property
    def all_held(self) -> bool:
        """Whether something was looked at and all of it held."""
        return bool(self.rows) and all(held for _, held, _ in self.rows)

    def page(self, title: str, about: str) -> str:
        """The report, for docs/reports."""
        today = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
        lines = [
            f"| {what} | {'held' if held else '**failed**'} | {detail} |" for what, held, detail in self.rows
        ]
        return "\n".join(
            (f"# {title}, {today}", "", about, "| what | | found |", "|---|---|---|", *lines, "")
        )

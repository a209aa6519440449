"""locust over REST: users that post photos, each after the answer to the one before."""

import dataclasses
import json
import os
import shlex
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deploy.embedded.environment import PROJECT
from deploy.loadtest.loads import ClosedLoop
from deploy.loadtest.peers.tool import (
    LATENCIES,
    Form,
    Measured,
    Plan,
    ToolError,
    absolute,
    clients_of,
    installed,
    last_lines,
    run_program,
    write_private,
)
from deploy.loadtest.protocols import doors
from deploy.loadtest.protocols.base import Target
from qface_client.measuring.percentiles import percentile_name

USERS = (4, 16)
SHARES = (0.5, 0.9, 0.95, 0.99)
PACKAGE = "locust"
FILE = Path(__file__).with_name("locust_user.py")
OPTIONS = "QFACE_LOCUST_OPTIONS"
FIGURES = "figures.json"
AT_ONCE = 100  # users that begin a second; locust warns above
RAMP = 1.0  # seconds until all users have begun, which are not counted
MIXED = 0.01  # share of failed requests from which on its percentiles are not compared
BUSY = 0.7  # of a core: locust is one process
ROUNDED = 0.1  # seconds; longer times are kept with two digits


@dataclasses.dataclass(frozen=True, kw_only=True)
class Locust:
    """python: of an environment that has locust."""

    python: str = sys.executable

    def version(self) -> str:
        return f"locust {installed(PACKAGE)}"

    def forms(self, plan: Plan) -> Sequence[Form]:
        kind = next((kind for kind, asked in plan.questions.items() if asked[0].photo is not None), None)
        if kind is None:
            raise ToolError("locust posts photos to REST, and the work has none: give photos")
        return tuple(
            Form(
                scenario="closed loop over REST",
                load=ClosedLoop(clients=users),
                questions=tuple(
                    dataclasses.replace(question, kind=f"{kind}, REST") for question in plan.questions[kind]
                ),
                protocol="rest",
            )
            for users in USERS
        )

    def measure(self, form: Form, target: Target, plan: Plan) -> Measured:
        users = clients_of(form.load)
        with tempfile.TemporaryDirectory(prefix="locust-") as place:
            folder = Path(place)
            options = _written_options(form, target, folder, deadline=plan.deadline)
            words = (
                *("--headless", "--users", str(users), "--spawn-rate", str(min(users, AT_ONCE))),
                *("--run-time", f"{plan.seconds + RAMP:.0f}s", "--stop-timeout", f"{plan.deadline:.0f}"),
                *("--reset-stats", "--only-summary", "--exit-code-on-error", "0"),
            )
            done = run_program(
                (self.python, "-m", PACKAGE, "-f", FILE, *words),
                name=PACKAGE,
                seconds=plan.seconds + plan.deadline,
                folder=folder,
                environment={**os.environ, OPTIONS: str(options), "PYTHONPATH": str(PROJECT)},
            )
            figures = folder / FIGURES
            return measured(
                figures.read_text() if figures.exists() else "",
                printed=done.printed + done.errors,
                command=shlex.join((PACKAGE, "-f", f"deploy/loadtest/peers/{FILE.name}", *words)),
            )

    def reasons(self, form: Form, plan: Plan) -> Mapping[str, str]:
        gevent = "locust is one gevent process, whose own time for users that wait is in its latency"
        return {
            "rate": "what was sent and not answered at its end is in no count of locust's",
            **dict.fromkeys(
                LATENCIES,
                f"{gevent}; it keeps times of {ROUNDED * 1e3:g} ms and longer with two digits",
            ),
        }


def measured(figures: str, *, printed: str, command: str) -> Measured:
    """What locust_user kept of locust's totals; ToolError where there is nothing, or nothing was answered."""
    try:
        kept = json.loads(figures)
        sent, failed = int(kept["requests"]), int(kept["failures"])
        rate = float(kept["requests_per_second"]) - float(kept["failures_per_second"])
        percentiles = {
            percentile_name(share): 1e-3 * float(kept["percentiles_ms"][str(share)] or 0) for share in SHARES
        }
        core_seconds = float(kept["core_seconds"])
    except (KeyError, ValueError, TypeError):
        raise ToolError(f"locust kept no figures: {last_lines(printed)}") from None
    if not failed < sent or rate <= 0:
        raise ToolError(f"none of locust's {sent} requests was answered: {last_lines(printed)}")
    share = core_seconds * float(kept["requests_per_second"]) / sent
    return Measured(
        rate=rate,
        percentiles=percentiles if failed <= MIXED * sent else {},
        command=command,
        core_ms=1e3 * core_seconds / sent,
        notes=(
            *(
                (f"{failed} of its {sent} requests failed, whose times are among those of its percentiles",)
                if failed
                else ()
            ),
            f"its process took {share:.2f} of a core"
            + (": it may have been the limit" if share > BUSY else ", and was not the limit"),
        ),
    )


def _written_options(form: Form, target: Target, folder: Path, *, deadline: float) -> Path:
    """What locust_user reads."""
    photos = []
    for number, question in enumerate(form.questions):
        if question.photo is None:
            raise ToolError(f"{question.kind} is no photo, and locust posts photos alone")
        file = folder / f"{number}.photo"
        file.write_bytes(question.photo)
        photos.append(str(file))
    options: Mapping[str, Any] = {
        "host": f"{'https' if target.secure else 'http'}://{target.address}",
        "path": doors["rest"].message(form.questions[0]).path,
        "headers": dict(target.metadata),
        "authorities": absolute(target.authorities),
        "certificate": absolute(target.certificate),
        "private_key": absolute(target.private_key),
        "photos": photos,
        "deadline": deadline,
        "shares": SHARES,
        "figures": str(folder / FIGURES),
    }
    return write_private(options, folder / "options.json")

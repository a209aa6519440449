"""A measurement as lines of text, and as plain data."""

import os
import platform
from collections.abc import Sequence
from typing import Any

from ..._version import __version__
from ...measuring.percentiles import percentile_name
from .rounds import MEDIAN, SHARES, TOTAL, Figure, Measurement, Photo, Round, figures

_WIDTH = 9
OVERHEAD = "overhead"
_EXPLANATION = "  (call minus server, of each call: the network, gRPC on both sides, reading the answer)"


def as_text(
    measurement: Measurement, *, url: str, server: str, photos: Sequence[Photo], ends: str = ""
) -> str:
    """For people; `ends`: why the measurement ended early."""
    parts = (url, server, f"qface-client {__version__}", f"{os.cpu_count()} cores here")
    lines = ["  ".join(part for part in parts if part)]
    lines += _about_photos(measurement, photos)
    if measurement.first_ms is not None:
        lines.append(f"first call {measurement.first_ms:.1f} ms: it connects and reads the contract")
    if measurement.rounds:
        lines += ["", *_sequential(measurement)]
    further = [each for each in measurement.rounds if each.clients > 1]
    if further:
        lines += ["", *_at_once(measurement.rounds)]
    if any(not figure.firm for each in measurement.rounds for figure in figures(each.waits).values()):
        lines += ["", "(in brackets: of too few calls for this percentile; --seconds measures longer)"]
    if ends:
        lines += ["", f"ended early: {ends}"]
    return "\n".join(lines)


def as_data(
    measurement: Measurement, *, url: str, server: str, photos: Sequence[Photo], ends: str = ""
) -> dict[str, Any]:
    """For programs; milliseconds."""
    return {
        "client": __version__,
        "machine": {
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.machine()}",
            "cores": os.cpu_count(),
        },
        "url": url,
        "server": server,
        "contract": measurement.analyses[0].provenance.contract if measurement.analyses else None,
        "photos": [
            {
                "file": photo.file,
                "bytes": len(photo.data),
                "width": analysis.width,
                "height": analysis.height,
                "faces": len(analysis),
            }
            for photo, analysis in zip(photos, measurement.analyses, strict=False)
        ],
        "first_ms": _rounded(measurement.first_ms),
        "empty_ms": _plain(figures(measurement.empty_ms)) if measurement.empty_ms else None,
        "reading_ms": _plain(figures(measurement.reading_ms)) if measurement.reading_ms else None,
        "server_mean_ms": _rounded(measurement.statistics_ms),
        "rounds": [_round_data(each) for each in measurement.rounds],
        "ended_early": ends or None,
    }


def _about_photos(measurement: Measurement, photos: Sequence[Photo]) -> list[str]:
    lines = [
        f"{photo.file}  {analysis.width}x{analysis.height}  {len(photo.data) / 1e3:.0f} kB  "
        f"{len(analysis)} face{'' if len(analysis) == 1 else 's'}"
        for photo, analysis in zip(photos, measurement.analyses, strict=False)
    ]
    if measurement.analyses and not any(len(analysis) for analysis in measurement.analyses):
        lines.append("no face in any of them: what is measured is the search for faces alone")
    return lines


def _sequential(measurement: Measurement) -> list[str]:
    one = measurement.rounds[0]
    lines = [f"one call after the other: {len(one.calls)} in {one.seconds:.1f} s"]
    head = "".join(f"{percentile_name(share):>{_WIDTH}}" for share in SHARES)
    lines.append(f"  {'ms':<12}{head}")
    rows = {"call": one.waits}
    for name, spent in one.timings.items():
        rows["server" if name == TOTAL else f"  {name}"] = spent
    if one.overheads:
        rows[OVERHEAD] = one.overheads
    lines += [f"  {name:<12}{_cells(figures(values))}" for name, values in rows.items()]
    if one.overheads:
        median = figures(one.overheads)[MEDIAN].ms
        lines += [f"client overhead {median:.2f} ms, the median", _EXPLANATION]
        if measurement.empty_ms:
            empty = figures(measurement.empty_ms)[MEDIAN].ms
            lines.append(f"  a call with nothing in it takes {empty:.2f} ms")
    elif measurement.statistics_ms is not None:
        left = sum(one.waits) / len(one.waits) - measurement.statistics_ms
        lines.append(
            f"the server does not state the time of each request; the mean that its model counted is "
            f"{measurement.statistics_ms:.1f} ms, of all its callers, which leaves {left:.1f} ms"
        )
    else:
        lines.append("the server does not state its own time, so the client's share of it is unknown")
    lines.append(f"processor time of this process: {one.core_ms:.2f} core-ms a call")
    reading = figures(measurement.reading_ms)[MEDIAN].ms
    lines.append(f"all answers of a photo as plain data: {reading:.2f} ms more, where they are read")
    return lines


def _at_once(rounds: Sequence[Round]) -> list[str]:
    heads = ("callers", "calls/s", *(percentile_name(share) for share in SHARES), "server", "core-ms")
    lines = ["callers at once, each with the next call once it is answered; ms, server: its median"]
    lines.append("".join(f"{head:>{_WIDTH}}" for head in heads))
    for each in rounds:
        total = each.timings.get(TOTAL)
        server = f"{figures(total)[MEDIAN].ms:.1f}" if total else "-"
        lines.append(
            f"{each.clients:>{_WIDTH}}{each.rate:>{_WIDTH}.1f}{_cells(figures(each.waits))}"
            f"{server:>{_WIDTH}}{each.core_ms:>{_WIDTH}.2f}" + ("" if each.ended else "  (ended early)")
        )
    return lines


def _cells(of: dict[float, Figure]) -> str:
    return "".join(
        f"{f'{figure.ms:.1f}' if figure.firm else f'({figure.ms:.1f})':>{_WIDTH}}" for figure in of.values()
    )


def _round_data(each: Round) -> dict[str, Any]:
    return {
        "clients": each.clients,
        "seconds": _rounded(each.seconds),
        "calls": len(each.calls),
        "calls_per_second": _rounded(each.rate),
        "core_ms": _rounded(each.core_ms),
        "call_ms": _plain(figures(each.waits)),
        "server_ms": {name: _plain(figures(spent)) for name, spent in each.timings.items()},
        "overhead_ms": _plain(figures(each.overheads)) if each.overheads else None,
        "ended": each.ended,
    }


def _plain(of: dict[float, Figure]) -> dict[str, float | None]:
    return {percentile_name(share): _rounded(figure.ms) for share, figure in of.items()}


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 4)

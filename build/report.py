"""What was built, as one table for people."""

from collections.abc import Mapping, Sequence
from typing import Any

from runtime.contract import Contract
from runtime.heads import heads_of


def row_of(name: str, manifest: Mapping[str, Any], *, contract: Contract) -> list[str]:
    """A built engine's row: network, target, precision, size, parity by task, speed against torch."""
    return [
        name,
        manifest["target"],
        manifest["precision"],
        f"{manifest['bytes'] / 1e6:.1f} MB",
        _parity(manifest, contract),
        _speed(manifest),
    ]


def refused_row(name: str, target: str, precision: str, reason: str) -> list[str]:
    """The row of an engine that was not built."""
    return [name, target, precision, "-", f"refused: {reason.partition(' is refused: ')[2] or reason}", "-"]


def to_text(rows: Sequence[Sequence[str]]) -> str:
    """The table in Markdown, which reads well in a terminal too."""
    header = [
        "network",
        "target",
        "precision",
        "size",
        "largest difference from torch on real faces",
        "faces/s against torch eager fp32",
    ]
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _parity(manifest: Mapping[str, Any], contract: Contract) -> str:
    by_batch = manifest["parity"]["by_batch"]
    parts = []
    for name, head in heads_of(contract).items():
        worst = max(by_output[name] for by_output in by_batch.values())
        # In fp32 an output is compared in its own numbers (build.acceptance.parity_check).
        unit = head.kind.unit_text(head.entry, in_units=manifest["precision"] != "fp32")
        parts.append(f"{name} {worst:.0e}{unit}")
    notes = []
    if not manifest["trained"]:
        notes.append("structural parity only: untrained weights")
    if manifest["needs"]:
        notes.append("the network's that it was built from; the engine's own needs a GPU")
    return ", ".join(parts) + (f" ({'; '.join(notes)})" if notes else "")


def _speed(manifest: Mapping[str, Any]) -> str:
    if manifest["needs"]:
        return f"needs {manifest['needs']}"
    if "speed" not in manifest:
        return "not measured"
    return ", ".join(
        f"batch {batch}: {rates['engine']:.0f} ({rates['ratio']:.1f}x)"
        for batch, rates in manifest["speed"].items()
    )

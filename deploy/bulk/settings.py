"""What a run was asked for: `run.json` in its folder."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from deploy.bulk.errors import Refused
from qface_client.contract import Contract
from qface_client.errors import QFaceError

VERSION = 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Search:
    """How faces are looked for; None: as the network or the server does by itself."""

    min_score: float | None = None
    max_faces: int | None = None
    min_face: float | None = None
    min_quality: float | None = None

    def given(self) -> dict[str, Any]:
        """The arguments of `FaceClient.analyze`."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value is not None}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Description:
    """What answers, as it describes itself. Rows of two descriptions of one identity are of one table."""

    contract: Mapping[str, Any]  # whole, as `Contract.to_dict` has it
    network: str  # its file or repository, or which of the servers' networks answers
    precision: str
    versions: Mapping[str, str]  # of the libraries that read pictures and compute
    digest: str = ""  # of the files that compute; "": servers compute

    @property
    def contract_hash(self) -> str:
        return str(self.contract["contract"])


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunSettings:
    """All that decides what a run's results are."""

    sources: tuple[str, ...]  # as they were named: folders, files, patterns, addresses
    files_from: str | None  # a file with an address a line
    tasks: tuple[str, ...]  # in the contract's order
    masks: bool  # whether masks are kept as pictures
    search: Search
    answered_by: Description
    chunk_size: int  # photos
    inputs: int  # photos of the listing
    version: int = VERSION

    @property
    def chunks(self) -> int:
        return -(-self.inputs // self.chunk_size)

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def read(cls, path: Path) -> Self:
        """Refused for a file that is none, or of a newer version."""
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            if data["version"] != VERSION:
                raise Refused(
                    f"{path} is of version {data['version']!r}, and this program reads {VERSION}: go on with "
                    "the release of Q-Face that began the run, or name another --output"
                )
            read = cls(
                **data
                | {
                    "sources": tuple(data["sources"]),
                    "tasks": tuple(data["tasks"]),
                    "search": Search(**data["search"]),
                    "answered_by": Description(**data["answered_by"]),
                }
            )
            read._check()
            return read
        except OSError as error:
            raise Refused(f"{path} can't be read ({error.strerror or error})") from error
        except (ValueError, TypeError, LookupError, AttributeError, QFaceError) as error:
            raise Refused(f"{path} describes no run ({error}): name another --output") from error

    def _check(self) -> None:
        """Raise what there is against it, where somebody edited or cut the file."""
        for name in ("chunk_size", "inputs"):
            if not (isinstance(value := getattr(self, name), int) and value > 0):
                raise ValueError(f"{name} is {value!r}")
        if not all(isinstance(source, str) for source in self.sources):
            raise ValueError(f"sources are {self.sources!r}")
        Contract.from_dict(self.answered_by.contract).select(self.tasks)


def chunk_size_for(inputs: int) -> int:
    """Photos of a chunk where none is named: about 64 chunks, none too small to be worth a file, none so
    large that a killed worker loses minutes."""
    return min(500, max(25, -(-inputs // 64)))


def differences(kept: RunSettings, asked: RunSettings) -> Iterator[str]:
    """What of `asked` would give other results than those of the run in the folder, in words each."""
    for name, title in (
        ("sources", "SOURCE"),
        ("files_from", "--files-from"),
        ("tasks", "--tasks"),
        ("masks", "--masks"),
        ("search", "the search for faces"),
        ("chunk_size", "--chunk"),
    ):
        before, now = getattr(kept, name), getattr(asked, name)
        if before != now:
            yield f"{title} was {_plain(before)}, and is {_plain(now)}"
    before, now = kept.answered_by, asked.answered_by
    if before.contract_hash != now.contract_hash:
        yield f"the contract was {before.contract_hash}, and is {now.contract_hash}"
    elif before.digest != now.digest:
        yield f"the network was {_named(before)}, and is {_named(now)}"
    elif before.precision != now.precision:
        yield f"the precision was {before.precision}, and is {now.precision}"


def _named(by: Description) -> str:
    return f"{by.network} ({by.digest[:12]})" if by.digest else "of servers"


def _plain(value: Any) -> str:
    if isinstance(value, Search):
        return json.dumps(value.given())
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    return "none" if value is None else str(value)

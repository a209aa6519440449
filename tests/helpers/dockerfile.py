"""A Dockerfile as stages and instructions: as much of the language as ours uses; the rest is refused."""

import dataclasses
import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path

KNOWN = frozenset(
    {"ARG", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "RUN", "STOPSIGNAL"}
    | {"USER", "VOLUME", "WORKDIR"}
)
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?::([-+])((?:[^${}]|\$\w+|\$\{\w+\})*))?\})")
_FLAG = re.compile(r"--([a-z-]+)=(\S+)\s+")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Instruction:
    """One instruction, its lines joined."""

    keyword: str
    flags: dict[str, str]  # --from=code
    text: str
    line: int

    def words(self, variables: Mapping[str, str] | None = None) -> list[str]:
        """The arguments: those of the JSON form, or split as a shell would, with variables replaced."""
        if self.text.startswith("["):
            return [str(word) for word in json.loads(self.text)]
        return shlex.split(substituted(self.text, variables or {}))

    def pairs(self, variables: Mapping[str, str] | None = None) -> dict[str, str]:
        """The NAME=VALUE of ENV and LABEL; an ARG without a value has an empty one."""
        return {name: value for name, _, value in (word.partition("=") for word in self.words(variables))}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage:
    """FROM ... AS name, and what follows."""

    name: str
    base: str  # another stage, `scratch` or an image
    instructions: tuple[Instruction, ...]

    def all(self, keyword: str) -> list[Instruction]:
        """The instructions of one kind."""
        return [instruction for instruction in self.instructions if instruction.keyword == keyword]

    def last(self, keyword: str) -> Instruction | None:
        """The instruction of a kind that counts; None where there is none."""
        return (self.all(keyword) or [None])[-1]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dockerfile:
    """The stages by their names, in the file's order."""

    arguments: dict[str, str]  # before the first FROM
    stages: dict[str, Stage]

    def chain(self, name: str) -> list[Stage]:
        """A stage and those that it stands on, the lowest first."""
        stage = self.stages[name]
        return [*(self.chain(stage.base) if stage.base in self.stages else []), stage]

    def image(self, name: str) -> str:
        """The image that a stage stands on in the end."""
        return self.chain(name)[0].base


def substituted(text: str, variables: Mapping[str, str]) -> str:
    """`text` with $NAME, ${NAME}, ${NAME:-else} and ${NAME:+then} replaced."""

    def value(match: re.Match[str]) -> str:
        found = variables.get(match[1] or match[2], "")
        if match[3] == "-":
            return found or substituted(match[4], variables)
        if match[3] == "+":
            return substituted(match[4], variables) if found else ""
        return found

    return _VARIABLE.sub(value, text)


def read_dockerfile(path: Path) -> Dockerfile:
    """The file's stages; ValueError for what this reader does not know, so that nothing is passed over."""
    arguments: dict[str, str] = {}
    stages: dict[str, Stage] = {}
    current: tuple[str, str, list[Instruction]] | None = None
    for instruction in _instructions(path):
        if instruction.keyword not in KNOWN:
            raise ValueError(f"{path}:{instruction.line}: {instruction.keyword} is not known here")
        if instruction.keyword == "FROM":
            words = substituted(instruction.text, arguments).split()
            if len(words) != 3 or words[1].upper() != "AS":
                raise ValueError(f"{path}:{instruction.line}: a stage without a name")
            current = (words[2], words[0], [])
            stages[words[2]] = Stage(name=words[2], base=words[0], instructions=())
        elif current is None:
            arguments |= instruction.pairs()
        else:
            current[2].append(instruction)
            name, base, instructions = current
            stages[name] = Stage(name=name, base=base, instructions=tuple(instructions))
    return Dockerfile(arguments=arguments, stages=stages)


def _instructions(path: Path) -> list[Instruction]:
    found: list[Instruction] = []
    parts: list[str] = []
    first = 0
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        first = first if parts else number
        parts.append(line.rstrip().removesuffix("\\").strip())
        if line.rstrip().endswith("\\"):
            continue
        keyword, _, text = " ".join(parts).partition(" ")
        parts, flags, text = [], {}, text.strip()
        while match := _FLAG.match(text):
            flags[match[1]], text = match[2], text[match.end() :]
        found.append(Instruction(keyword=keyword, flags=flags, text=text, line=first))
    return found

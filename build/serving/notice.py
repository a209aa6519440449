"""The notice: what people are to be informed of, in plain text beside the contract of models that answer.

It travels with the models, so that who writes a program on top of a server has it at hand. It is no part of
the contract, and changes nothing of what answers mean.
"""

from pathlib import Path

from build.errors import BuildError

PARAMETER = "notice"
LONGEST = 4000  # characters: it stands in the configuration of every model that answers

DEFAULT = (
    "Answers about faces are computed automatically, by a neural network, from pictures of people. They are "
    "estimates and may be wrong. This server identifies nobody and keeps no picture. Where the law requires "
    "it, inform the people in the pictures, before they are analysed, that this is done and what for. Some "
    "uses are forbidden: deploy/SECURITY.md of Q-Face says which rules are known, and what the server does "
    "for them."
)


def read_notice(path: Path) -> str:
    """The text of a file, without blank space around it; BuildError where it can't be a notice."""
    try:
        with path.open("rb") as file:
            data = file.read(4 * LONGEST + 1024)  # no more than can be one
        text = data.decode("utf-8-sig").strip().replace("\r\n", "\n")
    except OSError as error:
        raise BuildError(
            f"the notice {path} can't be read ({error.strerror}): name a text file with --notice"
        ) from None
    except UnicodeDecodeError:
        raise BuildError(f"the notice {path} is not UTF-8, or far too long: save it as plain text") from None
    check_notice(text, where=str(path))
    return text


def check_notice(text: str, *, where: str) -> None:
    """BuildError for an empty text, one that is too long, and one with characters that steer a terminal."""
    if not text:
        raise BuildError(f"the notice {where} is empty: write what people are to be informed of")
    if len(text) > LONGEST:
        raise BuildError(
            f"the notice {where} has {len(text)} characters, and may have {LONGEST}: shorten it, or let it "
            "name a page that has the rest"
        )
    unprintable = sorted(
        {character for character in text if not (character.isprintable() or character in "\n\t")}
    )
    if unprintable:
        raise BuildError(
            f"the notice {where} has characters that can't be printed ({unprintable[0]!a}): save it as plain "
            "text"
        )

"""The package's logger, which is silent until the program that uses it configures logging."""

import logging

LOG = logging.getLogger("qface_client")
LOG.addHandler(logging.NullHandler())

_MOST = 500  # characters of a sentence that has a server's words in it


def one_line(text: str) -> str:
    """What a server sends, or a file is called, as it may stand in a line of a log."""
    return "".join(each if each.isprintable() else "?" for each in " ".join(text.split())[:_MOST])


def described(error: Exception) -> str:
    """An error's class and sentence."""
    return f"{type(error).__name__}: {one_line(str(error))}"

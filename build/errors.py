"""The error that stops a build."""


class BuildError(Exception):
    """A build that can't go on. The message says what is wrong, with what, and what to do."""

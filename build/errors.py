"""What stops a build, told to the user in one sentence."""


class BuildError(Exception):
    """A build that can't go on. The message says what is wrong, with what, and what to do."""

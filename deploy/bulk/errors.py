"""What ends a run, each in one sentence for people."""


class BulkError(Exception):
    """Root of what ends a run."""


class Refused(BulkError):
    """The command, a source or the folder of the run can't be used: nothing was computed."""


class Stopped(BulkError):
    """The run can't go on now. What is finished is kept; the same command goes on."""

"""What an error of Triton's shows: it has died, it may be dying, or the request is to blame."""

import re

import grpc

# Codes that come with the end of a process; all others are about the request.
SUSPICIOUS = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.ABORTED,
    }
)
_PROCESS_DEATH = r"stub process .{0,200} is not healthy"
_DEATH = re.compile(
    _PROCESS_DEATH + r"|socket closed|connection (?:reset|refused|aborted)|broken pipe|failed to connect"
    r"|recvmsg|goaway|connection attempt timed out|no such file or directory|unavailable: connection"
    r"|server is stopping|server (?:is )?exiting|stopped accepting new inference requests",
    re.IGNORECASE,
)
# INTERNAL is what a model's own exception comes as, which may be about any file or connection.
_DEATH_OF_A_PROCESS = re.compile(_PROCESS_DEATH, re.IGNORECASE)
# INVALID_ARGUMENT of an ensemble's step, whose inputs are other steps' outputs: a process that was frozen and
# goes on leaves some of its own out. What a client sends has been validated.
_STEP_WITHOUT_INPUTS = re.compile(
    r"in ensemble '.{0,200}expected \d+ inputs but got \d+ inputs for model", re.DOTALL
)
# The Python backend's. What else it writes there names a region, which is nobody else's business.
_NO_SHARED_MEMORY = re.compile(
    r"Failed to increase the shared memory pool size|Failed to create new mapped region"
    r"|Unable to initialize shared memory key"
)
_ID = re.compile(r"\[request id: .*\] ", re.DOTALL)  # in Triton's errors; a client chooses it
_MODEL_S_OWN_LOOKS = (0.0, 0.05)  # seconds before each look at the processes
_LOOKS = (0.0, 0.05, 0.1, 0.15)


def names_a_death(code: grpc.StatusCode, details: str) -> bool:
    """Whether this error comes of a Triton, or of a model's process, that has ended or is ending."""
    death = _DEATH_OF_A_PROCESS if code is grpc.StatusCode.INTERNAL else _DEATH
    return code in SUSPICIOUS and death.search(_ID.sub("", details)) is not None


def takes_a_process_for_dead(details: str) -> bool:
    """Whether Triton has given up a model's process.

    Where that lives, it goes on writing into memory that other requests have been given.
    """
    return _DEATH_OF_A_PROCESS.search(_ID.sub("", details)) is not None


def is_suspicious(code: grpc.StatusCode, details: str) -> bool:
    """Whether this error may come of a process that has ended or is ending, and is not about the request."""
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        return _STEP_WITHOUT_INPUTS.search(details) is not None
    return code in SUSPICIOUS


def lacks_shared_memory(details: str) -> bool:
    """Whether this error comes of shared memory that is full, while every process is well."""
    return _NO_SHARED_MEMORY.search(_ID.sub("", details)) is not None


def waits_for(code: grpc.StatusCode, details: str) -> tuple[float, ...]:
    """When to look at the processes: at once, and again where the error may come before the end is seen."""
    if not is_suspicious(code, details):
        return ()
    if names_a_death(code, details):
        return (0.0,)
    return _MODEL_S_OWN_LOOKS if code is grpc.StatusCode.INTERNAL else _LOOKS

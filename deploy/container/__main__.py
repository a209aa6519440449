"""What a container runs that is started alone: prepare what is to be served, then serve it.

    python -m deploy.container [options of the gateway]

compose.yaml and the chart do the two in containers of their own. The options that every container shares come
first, so that one given here wins. The environment says which image it is:

    QFACE_TARGET    what the engine is built for, set by the image
    QFACE_TRITON    the folder of an installed Triton; the wheel's where it is not set
    QFACE_PREPARE   further options of deploy.prepare, as a shell would split them

Exit status: the first step's where it fails, 2 with a sentence where the environment is wrong, else the
gateway's.
"""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence

STATE = "/var/lib/q-face"
RUN = "/run/q-face"


def prepare_command(environment: Mapping[str, str]) -> list[str]:
    """The command of the first step; ValueError with one sentence where the environment is wrong."""
    given = environment.get("QFACE_PREPARE", "")
    try:
        further = shlex.split(given)
    except ValueError as error:
        raise ValueError(
            f"QFACE_PREPARE can't be split into options ({error}): close each quotation mark of {given}"
        ) from None
    target = environment.get("QFACE_TARGET")
    if not target:
        raise ValueError(
            "QFACE_TARGET is not set, as the image sets it: tensorrt for GPUs, openvino for the CPU"
        )
    # A finished engine has its own target.
    finished = any(word.partition("=")[0] == "--engine" for word in further)
    return [
        *(sys.executable, "-m", "deploy.prepare", "--state", STATE),
        *(() if finished else ("--target", target)),
        *further,
    ]


def gateway_command(arguments: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """The command of the second step, which stays."""
    triton = environment.get("QFACE_TRITON")
    return [
        *(sys.executable, "-m", "deploy.gateway", "serve"),
        *("--repository", f"{STATE}/repository", "--cache", f"{STATE}/cache"),
        *("--control", f"{RUN}/control", "--ready-file", f"{RUN}/ready"),
        *("--host", "0.0.0.0"),  # refused without keys, mutual TLS or --insecure
        *(("--triton", triton) if triton else ()),
        *arguments,
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """The first step's status where it failed or was stopped; else the gateway takes this process's place."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        first = prepare_command(os.environ)
    except ValueError as error:
        print(f"deploy.container: {error}", file=sys.stderr)
        return 2
    stopped: list[int] = []
    running: list[subprocess.Popen[bytes]] = []

    def stop(number: int, _frame: object) -> None:
        stopped.append(number)
        for process in running:
            process.send_signal(number)

    # A container's first process gets no signal that it has no handler for.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    with subprocess.Popen(first) as prepare:
        running.append(prepare)
        if stopped:  # before it could be passed on
            prepare.send_signal(stopped[0])
        status = prepare.wait()
    if stopped:
        return 128 + stopped[0]
    if status == 0:
        command = gateway_command(given, os.environ)
        os.execv(command[0], command)
    return status if status > 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())

"""The server's parent: sees to it that nothing of the server outlives the launcher.

A script of its own (standard library only), run as a session leader. Its standard input is a pipe
that the launcher holds open: when the launcher ends, even by `kill -9`, the pipe closes and the
server is stopped, at once where only the launcher could reach it. The guard adopts orphans of the
server (the Python backend's stubs), and removes the shared memory that a killed server leaves in
/dev/shm, overwritten, for pictures are in it. Files of the server and of its stubs are this user's
alone, and none of them is ever a core dump.

    process_guard.py GRACE_SECONDS NICENESS SHM_PREFIX SOCKETS COMMAND...

NICENESS is added to the server's; SOCKETS is a folder of sockets to remove at the end, or "".

It prints `pid N` when the server runs. The exit status is the server's (128 + number
for a signal).
"""

import contextlib
import ctypes
import functools
import os
import resource
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
SHARED_MEMORY = Path("/dev/shm")
_ZEROS = bytes(1 << 20)
_SIGNAL_SECONDS = 0.02


def remove_shared_memory(prefix: str) -> None:
    """Overwrite and remove the regions whose names begin with `prefix`, which no other server uses."""
    for path in SHARED_MEMORY.glob(f"{prefix}*"):
        with contextlib.suppress(OSError):
            _overwrite(path)
        path.unlink(missing_ok=True)


def restrict_shared_memory(prefix: str) -> None:
    """Make the regions this user's alone: the Python backend creates them 0644, whatever the umask is."""
    for path in SHARED_MEMORY.glob(f"{prefix}*"):
        with contextlib.suppress(OSError):
            if not path.is_symlink():
                path.chmod(0o600)


def _overwrite(path: Path) -> None:
    """Whoever still has the region open shall find zeros in it; pages that nobody used stay unused."""
    descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    try:
        size = os.fstat(descriptor).st_size
        position = 0
        while position < size:
            try:
                start = os.lseek(descriptor, position, os.SEEK_DATA)
            except OSError:  # only holes are left
                return
            position = os.lseek(descriptor, start, os.SEEK_HOLE)
            for at in range(start, position, len(_ZEROS)):
                os.pwrite(descriptor, _ZEROS[: position - at], at)
    finally:
        os.close(descriptor)


def remove_sockets(folder: str) -> None:
    """Remove a folder of sockets, where one is named."""
    if not folder:
        return
    with contextlib.suppress(OSError):
        for path in Path(folder).iterdir():
            path.unlink()
        Path(folder).rmdir()


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _protect() -> None:
    """What the server and its stubs inherit: pictures in files and in dumps are nobody else's."""
    os.umask(0o077)
    # 1 and not 0: of 1 byte no dump is written either, and no program of the kernel's is handed one.
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (1, 1))


def _in_child(niceness: int) -> None:
    os.setpgid(0, 0)  # a group of the server and its stubs, without this guard
    if niceness:
        os.nice(niceness)
        # Where the scheduler shares between sessions first, niceness counts within a session only.
        with contextlib.suppress(OSError):
            Path("/proc/self/autogroup").write_text(str(niceness))
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # should the guard itself be killed


def _children() -> list[int]:
    path = Path(f"/proc/self/task/{os.getpid()}/children")
    return [int(pid) for pid in path.read_text().split()] if path.exists() else []


def _sweep(group: int) -> None:
    """Kill and reap what is left of the server: its group, and adopted orphans outside of it."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)
        for pid in _children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.02)


def _watch(server: "subprocess.Popen[bytes]", *, wake: int) -> bool:
    """Return when the server has ended, or is to end: whether that is because its launcher is gone."""
    stop = gone = False

    def ask_to_stop(_number: int, _frame: object) -> None:
        nonlocal stop
        stop = True

    signal.signal(signal.SIGTERM, ask_to_stop)
    while server.poll() is None and not (stop or gone):
        readable, _, _ = select.select([sys.stdin.fileno(), wake], [], [])
        if wake in readable:
            os.read(wake, 4096)
        if sys.stdin.fileno() in readable and not os.read(sys.stdin.fileno(), 4096):
            gone = True
    if gone:
        time.sleep(_SIGNAL_SECONDS)  # a launcher that ends things in order sends a signal first
    return gone and not stop


def main(arguments: list[str]) -> int:
    """Run the command until it ends or is to end, and leave nothing of it. 2 where it can't be run."""
    grace, niceness, prefix, sockets = float(arguments[0]), int(arguments[1]), arguments[2], arguments[3]
    command = arguments[4:]
    _protect()
    # Handlers and not SIG_IGN, which the server would inherit. The wake-up pipe makes select() return.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, lambda _number, _frame: None)
    wake, alarm = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(alarm, False)
    signal.set_wakeup_fd(alarm, warn_on_full_buffer=False)
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    try:
        server = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr.fileno(),
            preexec_fn=functools.partial(_in_child, niceness),
        )
    except OSError as error:
        print(f"{command[0]} can't be run here ({error.strerror})", file=sys.stderr)
        return 2
    try:
        with contextlib.suppress(BrokenPipeError):
            print(f"pid {server.pid}", flush=True)
        abandoned = _watch(server, wake=wake)
        # Nobody but the launcher can reach sockets: with it gone, no answer arrives anywhere.
        if server.poll() is None and not (abandoned and sockets):
            server.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(timeout=grace)
        if server.poll() is None:
            server.kill()
        status = server.wait()
    finally:
        _sweep(server.pid)
        remove_shared_memory(prefix)
        remove_sockets(sockets)
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

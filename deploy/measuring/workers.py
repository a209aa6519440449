"""Processes that are measured apart from this one: a line of JSON in, a line of JSON out.

This module needs no package, so that a worker may run in an environment that has nothing of ours.
"""

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_STOP_SECONDS = 10.0


class WorkerError(Exception):
    """A worker failed, or ended; the sentence is its own."""


class Worker:
    """A child process that answers requests one after the other: `python -m MODULE ARGUMENT...`."""

    def __init__(self, python: str, module: str, *arguments: str, folder: Path) -> None:
        self._module = module
        self._process = subprocess.Popen(
            [python, "-m", module, *arguments],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def send(self, **request: Any) -> None:
        """Begins a request; `receive` returns its answer."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # `receive` says that it ended
            print(json.dumps(request), file=self._process.stdin, flush=True)

    def receive(self) -> dict[str, Any]:
        """The answer to the request that was sent last; WorkerError where it failed."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise WorkerError(f"{self._module} ended with status {self._process.wait()}: see above")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer

    def call(self, **request: Any) -> dict[str, Any]:
        self.send(**request)
        return self.receive()

    def close(self) -> None:
        """Ends the process; it stops by itself at the end of its input."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


def call_together(requests: Sequence[tuple[Worker, Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Several workers' answers to requests that begin at once; WorkerError once all have answered."""
    for worker, request in requests:
        worker.send(**request)
    answers, failed = [], list[WorkerError]()
    for worker, _ in requests:
        try:
            answers.append(worker.receive())
        except WorkerError as error:
            failed.append(error)
    if failed:
        raise failed[0]
    return answers


def answer_requests(methods: Mapping[str, Callable[..., Mapping[str, Any]]]) -> None:
    """The worker's side: answers each request {"do": NAME, ...} by its method until the input ends."""
    # A library that prints must not come between the answers.
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = methods[request.pop("do")](**request)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)

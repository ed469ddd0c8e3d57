"""``--exec CMD``: ask another implementation, one JSON object a line in and one out.

A request has ``id``, ``op`` and the ``params`` of its group, and by operation::

    {"op": "decode", "wire": hex}            -> {"value": ...}
    {"op": "encode", "value": ...}           -> {"wire": hex}
    {"op": "call", "args": {...}}            -> {"value": ...}
    {"op": "trace", "steps": [{"at": us, "do": {verb: args}, "observe": [name]}]} -> {"value": [{name: ...}, ...]}

or, to any of them, ``{"rejected": "why"}`` (with ``"value"``, where something counts in spite of it) or
``{"unsupported": true}``, which skips the case. The process serves requests until its standard input ends.
"""

import json
import os
import selectors
import shlex
import subprocess
import tempfile
import time
from types import TracebackType
from typing import Any

from interop.conformance._files import ConformanceError

DEFAULT_TIMEOUT = 10.0
"""Seconds an answer may take: a long trace fits, and a child that hangs does not stop the run for long."""

MAX_LINE = 1 << 24
"""Octets of an answer: our largest values are some kilobytes, and a child that runs wild must not fill memory."""

MAX_FAILURES = 10
"""Requests in a row that may stay without an answer: then the child is not started again for the other cases."""

_STDERR_TAIL = 4096


class Child:
    """A process that answers requests. It is started when first needed, and again after it crashed or hung.

    Use it as a context manager, or call `close()`.
    """

    def __init__(self, command: str, *, timeout: float = DEFAULT_TIMEOUT) -> None:
        """Start the command, split as a shell would.

        Raises:
            ConformanceError: the command is empty or does not start.
        """
        try:
            self._arguments = shlex.split(command)
        except ValueError as exc:
            raise ConformanceError(f"--exec {command!r}: {exc}") from exc
        if not self._arguments:
            raise ConformanceError("--exec: the command is empty")
        self._timeout = timeout
        self._failures = 0
        self._buffer = bytearray()
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._start()
        except ConformanceError:
            self._stderr.close()
            raise

    def __call__(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to a request.

        Raises:
            ChildError: the child crashed, hung, or answered with something that is no JSON object.
        """
        if self._failures >= MAX_FAILURES:
            raise ChildError(f"not started again after {MAX_FAILURES} requests in a row without an answer")
        try:
            answer = self._exchange(self._process or self._start(), json.dumps(request).encode() + b"\n")
        except ChildError:
            self._failures += 1
            self._stop(patience=0.0)
            raise
        self._failures = 0
        return answer

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End the process: close its input, and kill it when that does not help."""
        self._stop(patience=1.0)
        self._stderr.close()

    def _start(self) -> subprocess.Popen[bytes]:
        self._buffer.clear()
        self._stderr.seek(0)
        self._stderr.truncate()
        try:
            self._process = subprocess.Popen(
                self._arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stderr, bufsize=0
            )
        except OSError as exc:
            raise ConformanceError(f"--exec: {self._arguments[0]} does not start: {exc.strerror}") from exc
        return self._process

    def _stop(self, *, patience: float) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _exchange(self, process: subprocess.Popen[bytes], line: bytes) -> dict[str, Any]:
        deadline = time.monotonic() + self._timeout
        assert process.stdin is not None
        assert process.stdout is not None
        os.set_blocking(process.stdin.fileno(), False)
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdin, selectors.EVENT_WRITE)
            selector.register(process.stdout, selectors.EVENT_READ)
            view = memoryview(line)
            while b"\n" not in self._buffer:
                for key, _ in selector.select(max(0.0, deadline - time.monotonic())):
                    if key.fileobj is process.stdout:
                        self._read(process)
                        continue
                    try:
                        view = view[os.write(key.fd, view) :]
                    except BrokenPipeError as exc:
                        raise self._crashed(process) from exc
                    if not view:
                        selector.unregister(process.stdin)
                if time.monotonic() > deadline and b"\n" not in self._buffer:
                    raise ChildError(f"no answer within {self._timeout:g} s")
        return self._take_answer()

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        data = os.read(process.stdout.fileno(), 1 << 16)
        if not data:
            raise self._crashed(process)
        self._buffer += data
        if len(self._buffer) > MAX_LINE:
            raise ChildError(f"an answer of more than {MAX_LINE} octets")

    def _take_answer(self) -> dict[str, Any]:
        line, _, rest = bytes(self._buffer).partition(b"\n")
        self._buffer.clear()
        if rest:
            raise ChildError(f"more than a line in answer to one: {rest[:200]!r}")
        try:
            answer = json.loads(line)
        except ValueError as exc:
            raise ChildError(f"not JSON: {line[:200]!r}") from exc
        if not isinstance(answer, dict):
            raise ChildError(f"not a JSON object: {line[:200]!r}")
        return answer

    def _crashed(self, process: subprocess.Popen[bytes]) -> "ChildError":
        try:
            status = process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            return ChildError("it closed its output")
        self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, self._stderr.tell() - _STDERR_TAIL))
        lines = self._stderr.read().decode(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "nothing on stderr")
        return ChildError(f"it ended with status {status}: {last}")


class ChildError(Exception):
    """The child gave no answer; the text says why."""

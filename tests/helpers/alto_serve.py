"""`ietf-p2p alto serve` as a process of its own."""

import contextlib
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Served:
    """A server that runs; `url` ends with a slash."""

    def __init__(self, *words: str | Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "interop", "alto", "serve", "--listen", "127.0.0.1:0", *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        self.lines = [self.process.stdout.readline().rstrip("\n")]
        found = re.search(r"https?://[^\s\"]+", self.lines[0])
        assert found is not None, self.process.communicate()[1]
        self.url = found[0]
        self._told: queue.Queue[str] = queue.Queue()
        self._threads = [
            threading.Thread(target=self._read, args=(stream,), daemon=True)
            for stream in (self.process.stdout, self.process.stderr)
        ]
        for thread in self._threads:
            thread.start()

    def said(self, beginning: str) -> str:
        """The next line that begins like this, of what it says while it runs."""
        while True:
            line = self._told.get(timeout=60)
            if line.startswith(beginning):
                return line

    def send(self, number: int = signal.SIGHUP) -> None:
        self.process.send_signal(number)

    def stop(self, number: int = signal.SIGINT) -> int:
        """End it; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(timeout=60)
        for thread in self._threads:
            thread.join()
        self.process.stdout.close()
        self.process.stderr.close()
        return status

    def _read(self, stream: Any) -> None:
        for line in stream:
            self._told.put(line.rstrip("\n"))


@contextlib.contextmanager
def serving(*words: str | Path) -> Iterator[Served]:
    served = Served(*words)
    try:
        yield served
    finally:
        served.stop()


def events(lines: Iterator[str]) -> Iterator[tuple[str, Any]]:
    """The events of an update stream, from its lines: the type, and the JSON value."""
    kind, data = "", ""
    for line in lines:
        if line.startswith("event:"):
            kind = line[6:].strip()
        elif line.startswith("data:"):
            data += line[5:]
        elif not line and data:
            yield kind, json.loads(data)
            kind, data = "", ""

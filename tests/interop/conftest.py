"""Real processes of the command line, which do not outlive the test."""

import inspect
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

# The 5 seconds that httpx waits by default are few for a machine that does much else. All its clients share this.
_patience = inspect.signature(httpx.Client).parameters["timeout"].default
_patience.connect = _patience.read = _patience.write = _patience.pool = 60.0

LOCAL = "127.0.0.1:0"


class CommandLine:
    """Starts `ietf-p2p` processes in one folder; `end` kills those that are left."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._processes: list[subprocess.Popen[str]] = []

    def start(self, *words: str | Path, setup: Callable[[], None] | None = None) -> subprocess.Popen[str]:
        """A process under way; its stderr goes to a file that `stderr_of` reads."""
        with open(self.folder / f"stderr-{len(self._processes)}", "w") as stderr:
            process = subprocess.Popen(
                [sys.executable, "-m", "interop", *map(str, words)],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                preexec_fn=setup,
            )
        self._processes.append(process)
        return process

    def stderr_of(self, process: subprocess.Popen[str]) -> str:
        return (self.folder / f"stderr-{self._processes.index(process)}").read_text()

    def run(self, *words: str | Path, setup: Callable[[], None] | None = None) -> tuple[int, str, str]:
        """Exit status, stdout and stderr of a process that ends by itself."""
        return self.finish(self.start(*words, setup=setup))

    def finish(self, process: subprocess.Popen[str]) -> tuple[int, str, str]:
        out, _ = process.communicate(timeout=60)
        return process.returncode, out, self.stderr_of(process)

    def tracker(self) -> tuple[subprocess.Popen[str], str]:
        """A running tracker and its URL."""
        process = self.start("tracker", "--listen", LOCAL, "--json")
        return process, json.loads(self.line(process))["url"]

    def seed(self, file: Path, *words: str | Path) -> tuple[subprocess.Popen[str], dict[str, Any]]:
        """A running source, and what it says of its swarm: `uri` and `listen`."""
        process = self.start("seed", file, "--listen", LOCAL, "--json", *words)
        while "uri" not in (event := json.loads(self.line(process))):
            pass
        return process, event

    def fetch(self, uri: str, name: str, *words: str | Path) -> subprocess.Popen[str]:
        """A fetch under way, with --json."""
        return self.start("fetch", uri, "-o", name, "--listen", LOCAL, "--json", *words)

    def line(self, process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, f"the process ended: {self.stderr_of(process)}"
        return line

    def completed(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        """The report of a fetch, which may go on serving."""
        while (event := json.loads(self.line(process)))["event"] != "complete":
            pass
        return event

    def until(self, process: subprocess.Popen[str], octets: int) -> None:
        """Read the progress of a fetch until it has so many octets."""
        while json.loads(self.line(process)).get("octets", 0) < octets:
            pass

    def stop(self, process: subprocess.Popen[str], number: int) -> int:
        process.send_signal(number)
        return process.wait(60)

    def end(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[CommandLine]:
    command_line = CommandLine(tmp_path)
    try:
        yield command_line
    finally:
        command_line.end()


@pytest.fixture(scope="session")
def redis_process() -> Iterator[Any]:
    """A Redis whose answers are durable; each test has keys of its own."""
    from decade_scale import RedisProcess

    process = RedisProcess()
    yield process
    process.close()


@pytest.fixture(scope="session")
def valkey_process() -> Iterator[Any]:
    """As `redis_process`, of Valkey."""
    from decade_scale import RedisProcess, valkey_server

    process = RedisProcess(valkey_server())
    yield process
    process.close()


@pytest.fixture(scope="session")
def s3_process() -> Iterator[Any]:
    """An S3 server."""
    from decade_scale import S3Process

    process = S3Process()
    yield process
    process.close()


@pytest.fixture
def site(redis_process: Any, s3_process: Any) -> Any:
    """A Redis and a bucket that have nothing yet."""
    from decade_scale import Site

    return Site.new(redis_process, s3_process)

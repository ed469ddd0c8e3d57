"""Starting the servers, loading them with wrk, and reading what it cost them."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_SCRIPT = """
local requests, at = {}, 0
function init(args)
  if args[1] == nil then return end
  for line in io.lines(args[1]) do requests[#requests + 1] = wrk.format("POST", nil, wrk.headers, line) end
  request = function() at = at % #requests + 1; return requests[at] end
end
function done(summary, latency, _)
  local e = summary.errors
  io.write(string.format('\\nJSON {"requests":%d,"micros":%d,"p50":%f,"p99":%f,"worst":%f,"errors":%d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), latency.max,
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""


@dataclass(frozen=True)
class Figures:
    """What one measurement has found; times in microseconds but `p50`, `p99` and `worst`, which are milliseconds."""

    rate: float
    cpu: float
    """Processor time of the server for a request."""
    p50: float
    p99: float
    worst: float


def need_wrk() -> str:
    """Where wrk is; ends the program with a sentence where it is not."""
    found = shutil.which("wrk")
    if found is None:
        sys.exit("this benchmark makes its load with wrk, which is not here: apt-get install wrk")
    return found


def need_django() -> None:
    try:
        import django  # noqa: F401
    except ModuleNotFoundError:
        sys.exit("this benchmark compares with Django, which is not here: pip install -e '.[bench]'")


def processor_seconds(pid: int) -> float:
    """What a process has used so far, in all its threads that run. The ticks of `stat` are 10 ms: too few to divide."""
    spent = 0
    for file in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            spent += int(file.read_text().split()[0])
    return spent / 1e9


def resident_megabytes(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def machine() -> str:
    """One line about where and when this was measured."""
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    model = names[0].partition(":")[2].strip() if names else platform.processor()
    return (
        f"{time.strftime('%Y-%m-%d')}, {model}, {os.cpu_count()} cores shared with others, Linux {platform.release()}, "
        f"Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}"
    )


@contextmanager
def child(arguments: Sequence[str | Path]) -> Iterator[tuple[int, dict[str, str]]]:
    """A Python process that says in one line of JSON that it is ready, and what it is to be known of it."""
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            sys.exit(f"{arguments[0]} {arguments[1]} did not start")
        yield process.pid, json.loads(line)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Load:
    """wrk with one thread."""

    def __init__(self, folder: Path, *, connections: int, seconds: float) -> None:
        self._wrk = need_wrk()
        self._script = folder / "load.lua"
        self._script.write_text(_SCRIPT)
        self._connections = connections
        self._seconds = seconds

    def run(self, url: str, headers: Sequence[str], bodies: Path | None = None) -> dict[str, float]:
        """Ask a server as fast as it answers: what wrk says. `bodies` has what is posted, one a line."""
        fields = [part for header in headers for part in ("-H", header)]
        seconds = f"{max(1, round(self._seconds))}s"
        command = [self._wrk, "-t1", f"-c{self._connections}", f"-d{seconds}", "-s", self._script, *fields, url]
        if bodies is not None:
            command += ["--", bodies]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
        found: dict[str, float] = json.loads(done.stdout.rpartition("JSON ")[2])
        if found["errors"] or not found["requests"]:
            sys.exit(f"{url}: {found['errors']} errors, {found['requests']} answers\n{done.stdout}")
        return found

    def measure(self, pid: int, url: str, headers: Sequence[str], bodies: Path | None) -> Figures:
        """As `run`, and what it costs a process."""
        before = processor_seconds(pid)
        found = self.run(url, headers, bodies)
        spent = processor_seconds(pid) - before
        return Figures(
            found["requests"] / found["micros"] * 1e6,
            spent / found["requests"] * 1e6,
            found["p50"] / 1e3,
            found["p99"] / 1e3,
            found["worst"] / 1e3,
        )


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="alto-bench-") as name:
        yield Path(name)

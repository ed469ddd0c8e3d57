"""libutp as a foreign peer: the npm package utp-native, which carries it compiled, in a process of Node's."""

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]
_SOURCE = ROOT / "tests" / "interop" / "utp_native"
_BLOCK = 65536


def installed() -> Path:
    """The folder of the installed packages, as the lock file pins them; installs them when they are not there."""
    lock = (_SOURCE / "package-lock.json").read_bytes()
    folder = ROOT / ".cache" / f"utp-native-{hashlib.sha256(lock).hexdigest()[:12]}"
    modules = folder / "node_modules"
    if not (folder / "complete").exists():
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(_SOURCE / name, folder)
        # Its prebuilt library needs no install script.
        command = ["npm", "ci", "--prefix", str(folder), "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100)
        if done.returncode:
            raise RuntimeError(f"npm ci: {done.stderr.strip()}")
        (folder / "complete").touch()
    return modules


def content(size: int, seed: int = 0) -> Iterator[bytes]:
    """What the peer sends: the same block again and again, its number over its first four octets."""
    base = b"".join(hashlib.sha256(f"{seed}:{n}".encode()).digest() for n in range(_BLOCK // 32))
    for number, at in enumerate(range(0, size, _BLOCK)):
        piece = bytearray(base[: min(_BLOCK, size - at)])
        if len(piece) >= 4:
            piece[:4] = number.to_bytes(4, "big")
        yield bytes(piece)


def digest(size: int, seed: int = 0) -> str:
    """The SHA-256 of that content."""
    sha256 = hashlib.sha256()
    for piece in content(size, seed):
        sha256.update(piece)
    return sha256.hexdigest()


class NativePeer:
    """One process; `async with NativePeer.listen()` or `.connect(address)`. Options are those of peer.js."""

    def __init__(self, role: str, host: str, port: int, **options: Any) -> None:
        self._words = ["node", str(_SOURCE / "peer.js"), role, host, str(port), json.dumps(options)]

    @classmethod
    def listen(cls, **options: Any) -> "NativePeer":
        return cls("listen", "127.0.0.1", 0, **options)

    @classmethod
    def connect(cls, address: Any, **options: Any) -> "NativePeer":
        return cls("connect", address[0], address[1], **options)

    async def __aenter__(self) -> Self:
        modules = await asyncio.to_thread(installed)
        self._process = await asyncio.create_subprocess_exec(
            *self._words, stdout=asyncio.subprocess.PIPE, env={**os.environ, "NODE_PATH": str(modules)}
        )
        self.address = ("127.0.0.1", (await self.next("listening"))["port"])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    async def next(self, event: str) -> dict[str, Any]:
        """The next event, which must be this one."""
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        assert line, f"the peer ended with status {await self._process.wait()} instead of telling {event!r}"
        told: dict[str, Any] = json.loads(line)
        assert told["event"] == event, told
        return told

    async def exit_status(self) -> int:
        """How the process ended, which it does when its connections are closed."""
        return await self._process.wait()

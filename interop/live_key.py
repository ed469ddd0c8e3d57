"""The key file of a live source: its private key, and the chunk numbers that were used with it.

A munro that was signed can never be taken back, so a source that starts anew with its key must count from above every
number that it has used, even when it was killed. Beside the key `FILE` there is `FILE.next`: a number that no chunk has
reached yet, written ahead of use.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from interop._whole_files import replace, write_private
from ppsp.constants import LiveSignatureAlgorithm
from ppsp.errors import MetadataError
from ppsp.livekeys import LiveSigner

__all__ = ["LiveKeyError", "LiveKeyFile"]

_MAX_KEY = 65_536
# Chunks reserved at a time. After a kill so many numbers may be skipped, of more than four thousand million.
_RESERVE = 65_536


class LiveKeyError(Exception):
    """The key file cannot be used; the text says why, in one line."""


class LiveKeyFile:
    """A private key in PEM, readable for its owner only, made when it is missing. One process has it at a time.

    `signer` is the key, `first_chunk` where to count from. Raises LiveKeyError; close it, or use it in a `with`.
    """

    def __init__(self, path: Path, algorithm: LiveSignatureAlgorithm | None, chunks_per_signature: int) -> None:
        """`algorithm` None: that of the key that is there, and ECDSAP256SHA256 for a new one."""
        self._path = path
        self._next = path.with_name(path.name + ".next")
        try:
            self._fd = _open(path, algorithm)
        except OSError as exc:
            raise LiveKeyError(f"{path}: {exc.strerror or exc}") from exc
        try:
            self.signer = self._read(algorithm)
            reserved = self._read_next()
        except BaseException:
            os.close(self._fd)
            raise
        self.first_chunk = -(-reserved // chunks_per_signature) * chunks_per_signature
        self._reserved = reserved

    def _read(self, algorithm: LiveSignatureAlgorithm | None) -> LiveSigner:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(self._fd).st_mode & 0o077:
                raise LiveKeyError(f"{self._path}: others may read this private key (chmod 600 it)")
            return LiveSigner.from_pem(os.pread(self._fd, _MAX_KEY, 0), algorithm)
        except BlockingIOError as exc:
            raise LiveKeyError(f"{self._path}: another source is using this key") from exc
        except OSError as exc:
            raise LiveKeyError(f"{self._path}: {exc.strerror or exc}") from exc
        except MetadataError as exc:
            raise LiveKeyError(f"{self._path}: {exc}") from exc

    def _read_next(self) -> int:
        try:
            text = self._next.read_text("ascii").strip()
        except FileNotFoundError:
            return 0
        except (OSError, ValueError) as exc:
            raise LiveKeyError(f"{self._next}: cannot be read: {exc}") from exc
        if not (text.isdigit() and len(text) < 20):
            raise LiveKeyError(f"{self._next}: holds no chunk number; without it, a new key is due")
        return int(text)

    def used_up_to(self, chunk: int) -> None:
        """Chunks below `chunk` are about to be signed. Raises LiveKeyError when that cannot be written down."""
        if chunk > self._reserved:
            self._write(chunk + _RESERVE)

    def _write(self, number: int) -> None:
        try:
            replace(self._next, f"{number}\n".encode())
        except OSError as exc:
            raise LiveKeyError(f"{self._next}: {exc.strerror or exc}") from exc
        self._reserved = number

    def finish(self, chunk: int) -> None:
        """The source has stopped below `chunk`: nothing need be skipped next time."""
        if chunk < self._reserved:
            with contextlib.suppress(LiveKeyError):
                self._write(chunk)

    def close(self) -> None:
        """Let others have the key."""
        os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _open(path: Path, algorithm: LiveSignatureAlgorithm | None) -> int:
    """The key file, open; a new one appears complete or not at all."""
    with contextlib.suppress(FileNotFoundError):
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    pem = LiveSigner.generate(algorithm or LiveSignatureAlgorithm.ECDSAP256SHA256).pem
    with contextlib.suppress(FileExistsError):
        write_private(path, pem)
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)

"""A disk in memory that loses, in a power cut, any of what was not made durable."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import attrs

from interop.decade_store.settling import FOLDERS


@attrs.frozen
class Write:
    inode: int
    octets: bytes


@attrs.frozen
class Sync:
    inode: int


@attrs.frozen
class Enter:
    """A name gets a file, in place of any that it had."""

    folder: str
    name: str
    inode: int


@attrs.frozen
class Leave:
    folder: str
    name: str


@attrs.frozen
class SyncFolder:
    folder: str


@attrs.frozen
class Promise:
    """From here on an account is sure to have an object (True), not to have it (False), or neither (None)."""

    account: str
    name: str
    holds: bool | None


@attrs.frozen
class Step:
    """An operation, and what the index had durably before and after it."""

    done: Any
    before: Any
    after: Any


class RecordingDisk:
    """A `Disk` that keeps every operation, with `rows()` around it."""

    def __init__(self, rows: Callable[[], Any], *, syncs_files: bool = True, syncs_folders: bool = True) -> None:
        self.trace: list[Step] = []
        self._rows = rows
        self._syncs_files = syncs_files
        self._syncs_folders = syncs_folders
        self._files: dict[int, bytearray] = {}
        self._folders: dict[str, dict[str, int]] = {}
        self._numbers = itertools.count(1000)

    def record(self, done: Any) -> None:
        state = self._rows()
        self.trace.append(Step(done, state, state))

    def create(self, folder: str) -> int:
        inode = next(self._numbers)
        self._files[inode] = bytearray()
        return inode

    def write(self, fd: int, octets: memoryview) -> int:
        part = bytes(octets[: max(1, len(octets) // 2)])  # writes are short
        self.record(Write(fd, part))
        self._files[fd] += part
        return len(part)

    def sync(self, fd: int) -> None:
        if self._syncs_files:
            self.record(Sync(fd))

    def link(self, fd: int, folder: str, name: str) -> None:
        if name in self._folders.setdefault(folder, {}):
            raise FileExistsError
        self.record(Enter(folder, name, fd))
        self._folders[folder][name] = fd

    def rename(self, folder: str, name: str, to_folder: str, to_name: str) -> None:
        inode = self._folders[folder].pop(name)
        self.record(Enter(to_folder, to_name, inode))
        self.record(Leave(folder, name))
        self._folders.setdefault(to_folder, {})[to_name] = inode

    def remove(self, folder: str, name: str) -> None:
        if name not in self._folders.get(folder, {}):
            raise FileNotFoundError
        self.record(Leave(folder, name))
        del self._folders[folder][name]

    def sync_folder(self, folder: str) -> None:
        if self._syncs_folders:
            self.record(SyncFolder(folder))

    def names(self, folder: str) -> list[str]:
        return list(self._folders.get(folder, {}))

    def open(self, folder: str, name: str) -> int:
        try:
            return self._folders[folder][name]
        except KeyError:
            raise FileNotFoundError from None

    def read(self, fd: int, offset: int, length: int) -> bytes:
        return bytes(self._files[fd][offset : offset + length])

    def close(self, fd: int) -> None:
        pass


def cuts(trace: list[Step], most: int) -> Iterator[tuple[list[Any], Any]]:
    """The operations that a power cut may leave, and the index with each: behind every step, and for every subset of
    what was not made durable by then, or of its `most` newest operations.
    """
    for length in range(len(trace) + 1):
        done = [step.done for step in trace[:length]]
        at_risk = _at_risk(done)[-most:]
        indexes = [trace[length - 1].after] if length else []
        if length < len(trace):
            indexes.append(trace[length].before)
        for kept in itertools.product((True, False), repeat=len(at_risk)):
            lost = {at for at, keep in zip(at_risk, kept, strict=True) if not keep}
            left = [operation if at not in lost else _hole(operation) for at, operation in enumerate(done)]
            for index in indexes:
                yield [operation for operation in left if operation is not None], index


def _hole(operation: Any) -> Any:
    """What is left of a lost operation: of a write, that something may be written behind it."""
    return Write(operation.inode, bytes(len(operation.octets))) if isinstance(operation, Write) else None


def _at_risk(done: list[Any]) -> list[int]:
    at_risk: list[int] = []
    for at, operation in enumerate(done):
        match operation:
            case Write() | Enter() | Leave():
                at_risk.append(at)
            case Sync(inode):
                at_risk = [i for i in at_risk if not (isinstance(done[i], Write) and done[i].inode == inode)]
            case SyncFolder(folder):
                at_risk = [i for i in at_risk if not (isinstance(done[i], Enter | Leave) and done[i].folder == folder)]
    return at_risk


def files_after(done: list[Any]) -> dict[str, bytes]:
    """The files of objects that operations make, by name."""
    contents: dict[int, bytearray] = {}
    names: dict[tuple[str, str], int] = {}
    for operation in done:
        match operation:
            case Write(inode, octets):
                contents.setdefault(inode, bytearray()).extend(octets)
            case Enter(folder, name, inode):
                names[folder, name] = inode
            case Leave(folder, name):
                names.pop((folder, name), None)
    return {
        name: bytes(contents.get(inode, b""))
        for (folder, name), inode in names.items()
        if folder in FOLDERS and not name.startswith(".")
    }


def promises_after(done: list[Any]) -> dict[tuple[str, str], bool]:
    """What accounts may count on."""
    found: dict[tuple[str, str], bool | None] = {}
    for operation in done:
        if isinstance(operation, Promise):
            found[operation.account, operation.name] = operation.holds
    return {key: holds for key, holds in found.items() if holds is not None}


def is_named_so(name: str, octets: bytes) -> bool:
    return hashlib.sha256(octets).hexdigest() == name

"""Small files that appear complete or not at all, whatever happens meanwhile."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

__all__ = ["replace", "write_private"]


def write_private(path: Path, octets: bytes) -> None:
    """Make a file that its owner alone may read. Raises OSError: FileExistsError where there is one."""
    with _draft(path, octets) as draft:
        os.link(draft, path)


def replace(path: Path, octets: bytes) -> None:
    """Make a file that everybody may read, in place of one that may be there. Raises OSError."""
    with _draft(path, octets) as draft:
        os.chmod(draft, 0o644)
        os.replace(draft, path)


@contextlib.contextmanager
def _draft(path: Path, octets: bytes) -> Iterator[str]:
    """A file beside it, of mode 0600 and on the disk; it is gone in the end, or has another name."""
    fd, draft = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".new", dir=path.parent)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(octets)
            file.flush()
            os.fsync(file.fileno())
        yield draft
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft)

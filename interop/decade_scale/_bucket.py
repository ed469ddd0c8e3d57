"""The octets of objects in a bucket of an S3-compatible store.

Every upload has a key of its own, which is never used again, and Redis says which copy of an object is in use: whoever
removes a copy removes nothing that another server has just stored, and no key is ever written twice.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import IO, TYPE_CHECKING
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import ObjectStore, S3Store

from decade.errors import StoreError
from decade.names import SHA_256, Name

if TYPE_CHECKING:
    from obstore.store import S3Config

PART = 8 << 20
"""Octets of a part of a long upload, which S3 asks to be 5 MiB at least."""
PARTS_AT_ONCE = 2
"""Parts of one upload that are in memory: 16 MiB."""
CHUNK = 1 << 20
"""Octets of a download that are handed on at a time."""
FOLDER, QUARANTINE, MARK = "objects/", "quarantine/", "decade-store"
_KEY = re.compile(FOLDER + "[0-9a-f]{2}/([0-9a-f]{64})-([0-9a-f]{24})")


def open_bucket(url: str, *, endpoint: str | None = None, region: str | None = None) -> ObjectStore:
    """The store at s3://bucket/prefix. Credentials are those of the environment, or of the machine's role.

    `endpoint`: of a store that is not Amazon's; plain HTTP if it says so. Raises ValueError.
    """
    parts = urlsplit(url)
    if parts.scheme != "s3" or not parts.netloc or parts.query or parts.fragment:
        raise ValueError(f"{url}: a bucket is s3://bucket or s3://bucket/prefix")
    config: S3Config = {}
    if endpoint is not None:
        config["endpoint"] = endpoint
    if region is not None:
        config["region"] = region
    is_plain = endpoint is not None and endpoint.startswith("http://")
    try:
        return S3Store(
            parts.netloc,
            prefix=parts.path.strip("/") or None,
            config=config,
            client_options={
                "connect_timeout": "3s",
                "read_timeout": "10s",
                "timeout": "120s",
                "allow_http": is_plain,
            },
            retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=10)},
        )
    except BaseError as exc:
        raise ValueError(f"{url}: {exc}") from exc


def new_copy() -> str:
    """What distinguishes an upload from all others."""
    return secrets.token_hex(12)


def key_of(name: Name, copy: str) -> str:
    """Where a copy of an object is."""
    digits = name.value.hex()
    return f"{FOLDER}{digits[:2]}/{digits}-{copy}"


def read_key(key: str) -> tuple[Name, str] | None:
    """The object and the copy at a key, None for a key of something else."""
    found = _KEY.fullmatch(key)
    return None if found is None else (Name(SHA_256, bytes.fromhex(found[1])), found[2])


class Bucket:
    """What is done in a bucket. Every method raises StoreError, and may be called from any thread."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def put(self, key: str, octets: bytes | IO[bytes]) -> None:
        """Store octets durably; a long file in parts, of which few are in memory."""
        with _store_errors():
            obstore.put(self._store, key, octets, chunk_size=PART, max_concurrency=PARTS_AT_ONCE)

    def get(self, key: str) -> Iterator[bytes] | None:
        """The octets, in parts; None if there are none."""
        with _store_errors():
            try:
                return _parts(obstore.get(self._store, key))
            except FileNotFoundError:
                return None

    def remove(self, keys: list[str]) -> None:
        """Remove what is there of them."""
        if keys:
            with _store_errors():
                obstore.delete(self._store, keys)

    def quarantine(self, key: str) -> None:
        """Put octets aside that are not what their key says."""
        with _store_errors():
            obstore.rename(self._store, key, QUARANTINE + key.rpartition("/")[2])

    def copies(self, first: int) -> Iterator[tuple[Name, str, float]]:
        """Objects whose names begin with an octet: each copy, and the Unix time when it was stored."""
        with _store_errors():
            for page in obstore.list(self._store, f"{FOLDER}{first:02x}"):
                for meta in page:
                    found = read_key(meta["path"])
                    if found is not None:
                        yield (*found, meta["last_modified"].timestamp())

    def has_objects(self) -> bool:
        """Whether there are any objects."""
        with _store_errors():
            return any(obstore.list(self._store, FOLDER.rstrip("/"), chunk_size=1))

    def mark(self) -> str | None:
        """What `set_mark` has written, None if it has not."""
        octets = self.get(MARK)
        return None if octets is None else b"".join(octets).decode("ascii", "replace")

    def set_mark(self, mark: str) -> str:
        """Write who uses this bucket, unless it is written: what is written then."""
        with _store_errors():
            try:
                obstore.put(self._store, MARK, mark.encode(), mode="create")
            except AlreadyExistsError:
                return self.mark() or ""
        return mark


def _parts(found: obstore.GetResult) -> Iterator[bytes]:
    with _store_errors():
        for part in found.stream(min_chunk_size=CHUNK):
            yield bytes(part)


@contextmanager
def _store_errors() -> Iterator[None]:
    try:
        yield
    except (BaseError, OSError) as exc:
        # The text has several lines, of which the first says it.
        raise StoreError(f"the bucket: {str(exc).partition(chr(10))[0]}") from exc

"""What servers that have died have left in a bucket, and what is missing there."""

from __future__ import annotations

import attrs

from decade.names import SHA_256, Name
from interop.decade_scale._bucket import key_of
from interop.decade_scale.objects import BucketStore

DAY = 86400.0
"""Seconds: whatever is on its way into the bucket is there, and has its row, long before."""
PARTS = 256
"""The parts of a store: by the first octet of the names, each a listing and a question to Redis."""
_BATCH = 1000


@attrs.frozen
class Scrubbed:
    """What was found: `removed` copies that nobody used, and the objects whose octets are `missing`."""

    removed: int
    missing: tuple[Name, ...]


def scrub(store: BucketStore, part: int, *, wall: float, older_than: float = DAY) -> Scrubbed:
    """Of one of PARTS, remove copies that nobody uses and that were stored so many seconds ago, and find what is
    missing: rows stay, as a bucket may come back.

    `wall`: Unix time, as the bucket has it. Raises StoreError.
    """
    # Redis first: a copy in use that is not in the list behind it was missing, or was replaced meanwhile.
    in_use = store.copies_in_use(part)
    strays = []
    for name, copy, stored in store.bucket.copies(part):
        if in_use.get(name.value) == copy:
            del in_use[name.value]
        elif stored <= wall - older_than and store.copy_in_use(name) != copy:
            strays.append(key_of(name, copy))
    for at in range(0, len(strays), _BATCH):
        store.bucket.remove(strays[at : at + _BATCH])
    names = [(Name(SHA_256, value), copy) for value, copy in in_use.items()]
    return Scrubbed(len(strays), tuple(name for name, copy in names if store.copy_in_use(name) == copy))

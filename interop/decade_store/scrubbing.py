"""Looking for objects that have rotted, before somebody asks for them."""

from __future__ import annotations

import asyncio
import secrets

from interop.decade_store.store import FileStore

PAGE = 256
"""Names that are asked of the index at a time."""


async def scrub(store: FileStore, *, pause: float) -> None:
    """Check one object after another, in a thread, with `pause` seconds between them, until cancelled.

    It begins anywhere among the names: a server that starts anew every day would never come to the last ones. What has
    rotted goes to quarantine, and its rows to the `lost` of the store. Raises StoreError.
    """
    after = secrets.token_bytes(32)
    while True:
        names = await asyncio.to_thread(store.index.names_after, after, PAGE)
        for name in names:
            await asyncio.to_thread(store.check, name)
            await asyncio.sleep(pause)
        after = names[-1].value if names else b""
        if not names:
            await asyncio.sleep(max(pause, 1.0))  # an empty store is looked at again in a while

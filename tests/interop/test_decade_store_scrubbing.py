"""The scrubber finds what has rotted though nobody reads it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from decade.names import name_of
from decade.ports import Row
from interop.decade_store import FileStore, scrub


def test_what_has_rotted_is_found_and_what_has_not_stays(tmp_path: Path) -> None:
    async def main() -> None:
        found = asyncio.Event()
        loop = asyncio.get_running_loop()
        lost: list[Row] = []

        def told(rows: object) -> None:
            lost.extend(rows)  # type: ignore[call-overload]
            loop.call_soon_threadsafe(found.set)

        store = FileStore(tmp_path, lost=told)
        rows = []
        for number in range(5):
            octets = bytes([number]) * 1000
            row = Row(account="a", name=name_of(octets), size=1000, payer=("a",), created=1, expires=None)
            sink = store.create(row.name, 1000)
            sink.write(octets)
            store.commit(sink, row)
            rows.append(row)
        rotten = rows[2].name.value.hex()
        (tmp_path / rotten[:2] / rotten).write_bytes(b"rotten")
        task = asyncio.create_task(scrub(store, pause=0))
        await asyncio.wait_for(found.wait(), 60)
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert lost == [rows[2]]
        left = sorted(rows[:2] + rows[3:], key=lambda row: row.name.value)
        assert await asyncio.to_thread(store.page, "a", b"", 9) == left
        store.close()

    asyncio.run(main())

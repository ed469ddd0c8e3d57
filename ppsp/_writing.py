"""Chunks on their way into the store: those that stand side by side are written by one call."""

from ppsp.ports import ChunkStore

# Octets that may wait, all of one aligned part of the content: a block of chunks of a KiB, which come in any order.
_WINDOW = 65_536
# Larger chunks are written at once: to copy them costs more than the call.
_SMALL = 4_096


class Writing:
    """Writes to a store, put together until `flush`: a system call for each KiB would be dear.

    Both methods raise OSError when the store does; what was waiting then is gone. No octet waits twice.
    """

    __slots__ = ("_base", "_places", "_store", "_view")

    def __init__(self, store: ChunkStore) -> None:
        self._store = store
        self._view = memoryview(b"")
        # The octets of the content that `_view` is for, and where in it something waits.
        self._base = 0
        self._places: list[tuple[int, int]] = []

    def write(self, offset: int, data: bytes | memoryview) -> None:
        """Write `data` at `offset`, now or with what stands beside it; it is copied before this returns."""
        size = len(data)
        if size > _SMALL:
            self._store.write(offset, data)
            return
        start = offset - self._base
        stop = start + size
        if start < 0 or stop > len(self._view):
            self.flush()
            # Room for what crosses the end of the part, since parts need not end where a chunk does.
            if not self._view:
                self._view = memoryview(bytearray(_WINDOW + _SMALL))
            start = offset % _WINDOW
            stop = start + size
            self._base = offset - start
        self._view[start:stop] = data
        self._places.append((start, stop))

    def flush(self) -> None:
        """Write what waits."""
        places, self._places = self._places, []
        places.sort()
        at = 0
        while at < len(places):
            start, stop = places[at]
            at += 1
            while at < len(places) and places[at][0] == stop:
                stop = places[at][1]
                at += 1
            self._store.write(self._base + start, self._view[start:stop])

"""Stores of chunks in memory."""

import errno

MAX_STORE_SIZE = 2**30
"""Octets that a `MemoryStore` takes unless told otherwise: what a peer can make it hold should fit into memory."""


class MemoryStore:
    """Content in memory: the `ChunkStore` port for tests, small swarms and live windows.

    What was not written before reads as zeros, up to the last octet that was.
    """

    __slots__ = ("_content", "_max_size")

    def __init__(self, content: bytes | bytearray | memoryview = b"", *, max_size: int = MAX_STORE_SIZE) -> None:
        self._content = bytearray(content)
        self._max_size = max_size

    def read(self, offset: int, length: int) -> bytes:
        """The `length` octets at `offset`; OSError where the content ends before."""
        if offset < 0 or length < 0 or offset + length > len(self._content):
            raise OSError(errno.EINVAL, f"there are no {length} octets at {offset} of {len(self._content)}")
        with memoryview(self._content) as view:
            return bytes(view[offset : offset + length])

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Keep a copy of `data` at `offset`; OSError, and nothing changed, where it would go beyond `max_size`."""
        if offset < 0 or offset + len(data) > self._max_size:
            raise OSError(errno.ENOSPC, f"{len(data)} octets at {offset} go beyond {self._max_size}")
        content = self._content
        if offset > len(content):
            content += bytes(offset - len(content))
        content[offset : offset + len(data)] = data

    @property
    def content(self) -> bytes:
        """A copy of all of it."""
        return bytes(self._content)


class MemoryChunks:
    """Chunks of variable size in memory: the `VariableStore` port."""

    __slots__ = ("_chunks", "_max_size", "_octets")

    def __init__(self, *, max_size: int = MAX_STORE_SIZE) -> None:
        self._chunks: dict[int, bytes] = {}
        self._octets = 0
        self._max_size = max_size

    def read(self, chunk: int) -> bytes:
        """The octets of a chunk; OSError where it was not written before."""
        try:
            return self._chunks[chunk]
        except KeyError:
            raise OSError(errno.EINVAL, f"there is no chunk {chunk}") from None

    def size(self, chunk: int) -> int:
        """How many octets a chunk has; OSError where it was not written before."""
        return len(self.read(chunk))

    def write(self, chunk: int, data: bytes | bytearray | memoryview) -> None:
        """Keep a copy of `data`; OSError, and nothing changed, where all together would go beyond `max_size`."""
        octets = self._octets + len(data) - len(self._chunks.get(chunk, b""))
        if octets > self._max_size:
            raise OSError(errno.ENOSPC, f"{len(data)} octets more go beyond {self._max_size}")
        self._chunks[chunk] = bytes(data)
        self._octets = octets

    @property
    def content(self) -> bytes:
        """The chunks one behind the other."""
        return b"".join([self._chunks[chunk] for chunk in sorted(self._chunks)])

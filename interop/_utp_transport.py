"""One uTP connection as an asyncio transport, so that protocols and streams run over it as over TCP."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol, cast

from interop.udp import Address
from ledbat.errors import StateError
from ledbat.utp import ConnectionStats, Reason, UtpEndpoint

HIGH_WATER = 64 * 1024
"""Octets that `write` keeps beyond the send buffer of the connection before it asks the writer to wait: as asyncio."""
READ_SIZE = 256 * 1024
"""Octets given to the protocol in one call: so much more than asked for may arrive when it pauses."""


class Owner(Protocol):
    """The socket that the connection runs over."""

    @property
    def endpoint(self) -> UtpEndpoint: ...
    @property
    def local_address(self) -> Address: ...
    def now(self) -> float: ...
    def wake(self) -> None: ...
    def released(self, number: int) -> None: ...


class UtpTransport(asyncio.Transport):
    """The transport of one connection.

    `connection_lost` is called when the peer has acknowledged everything (after `close`), when both directions are
    finished, or with an exception: ConnectionResetError, or TimeoutError when the peer does not answer any more.

    `get_extra_info` knows `peername`, `sockname`, and `stats`: the `ledbat.utp.ConnectionStats` of this moment.
    """

    def __init__(self, owner: Owner, number: int, address: Address, protocol: asyncio.BaseProtocol) -> None:
        super().__init__()
        self._owner = owner
        self._endpoint = owner.endpoint
        self._number = number
        self._address = address
        self._protocol = cast(asyncio.Protocol, protocol)
        self._loop = asyncio.get_running_loop()
        self._unsent: deque[memoryview] = deque()
        self._unsent_size = 0
        self._high, self._low = HIGH_WATER, HIGH_WATER // 4
        self._writer_waits = False
        self._reading_paused = False
        self._readable = False
        self._eof_received = False
        self._eof_written = False
        self._closing = False
        self._finished = False
        self._released = False
        self._end: tuple[Exception | None] | None = None
        self._stats: ConnectionStats | None = None

    def begin(self) -> None:
        """Tell the protocol that the connection is made."""
        self._call(self._protocol.connection_made, self)

    # What asyncio and protocols call

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """See the class."""
        match name:
            case "peername":
                return self._address
            case "sockname":
                return self._owner.local_address
            case "stats":
                return self._look() or default
        return default

    def _look(self) -> ConnectionStats | None:
        if not self._released:
            # When it has ended, the last figures stand.
            with contextlib.suppress(StateError):
                self._stats = self._endpoint.stats(self._number)
        return self._stats

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Give everything from now on to `protocol`."""
        self._protocol = cast(asyncio.Protocol, protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The protocol that is given everything."""
        return self._protocol

    def is_closing(self) -> bool:
        """Whether the transport is closed or about to be."""
        return self._closing

    def is_reading(self) -> bool:
        """Whether the protocol is given what arrives."""
        return not self._reading_paused and not self._closing

    def pause_reading(self) -> None:
        """Give the protocol nothing; the peer may send until our receive buffer is full."""
        self._reading_paused = True

    def resume_reading(self) -> None:
        """Go on after `pause_reading`."""
        if self._reading_paused:
            self._reading_paused = False
            self._loop.call_soon(self._deliver)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """See asyncio.WriteTransport; the send buffer of the connection comes before this one."""
        if high is None:
            high = HIGH_WATER if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
        self._high, self._low = high, low
        self._balance()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Low and high."""
        return self._low, self._high

    def get_write_buffer_size(self) -> int:
        """Octets that found no room in the send buffer of the connection."""
        return self._unsent_size

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Send octets; never blocks."""
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"data: expected a bytes-like object, got {type(data).__name__}")
        if self._eof_written:
            raise RuntimeError("Cannot call write() after write_eof()")
        if self._closing or not len(data):
            return
        octets = data if isinstance(data, bytes) else bytes(data)
        taken = 0 if self._unsent else self._send(octets)
        if taken < len(octets):
            self._unsent.append(memoryview(octets)[taken:])
            self._unsent_size += len(octets) - taken
            self._balance()

    def can_write_eof(self) -> bool:
        """uTP has half-closed connections."""
        return True

    def write_eof(self) -> None:
        """Finish the sending direction after what was written."""
        if not self._eof_written and not self._closing:
            self._eof_written = True
            self._flush()

    def close(self) -> None:
        """Send what was written, finish both directions, and let the protocol know once the peer has everything."""
        if not self._closing:
            self._closing = True
            self._flush()

    def abort(self) -> None:
        """Give the connection up at once: the peer is told with a RESET."""
        if self._end is None:
            self._verb(lambda: self._endpoint.reset(self._number, self._owner.now()))
            self._lose(None)

    # What the socket tells

    def on_readable(self) -> None:
        """There is something to receive."""
        self._readable = True
        self._deliver()

    def on_eof(self) -> None:
        """Nothing follows what is to be received now."""
        self._eof_received = True
        self._deliver()

    def on_writable(self) -> None:
        """There is room in the send buffer again."""
        self._flush()

    def on_finished(self) -> None:
        """The peer has everything, our FIN included."""
        self._finished = True
        if self._closing:
            self._lose(None)

    def on_closed(self, reason: Reason) -> None:
        """The connection is over."""
        if reason is Reason.FINISHED:
            if self._end is None:
                self._end = (None,)
                self._deliver()
            return
        self._readable = False
        self._drop_received()
        self._lose(exception_of(reason))

    def on_failure(self, failure: BaseException | None) -> None:
        """The socket is gone."""
        error = ConnectionAbortedError(errno.ECONNABORTED, os.strerror(errno.ECONNABORTED))
        error.__cause__ = failure
        self._lose(None if self._closing and not self._unsent else error)

    # The work

    def _verb(self, verb: Callable[[], int | None]) -> int:
        """Call a verb of the endpoint and have its packets sent; the end of the connection comes as an event."""
        try:
            result = verb()
        except StateError:
            return 0
        self._owner.wake()
        return result or 0

    def _send(self, octets: bytes | memoryview) -> int:
        return self._verb(lambda: self._endpoint.send(self._number, octets))

    def _flush(self) -> None:
        """Hand over what waits, then finish what is to be finished."""
        unsent = self._unsent
        while unsent:
            chunk = unsent[0]
            taken = self._send(chunk)
            self._unsent_size -= taken
            if taken < len(chunk):
                unsent[0] = chunk[taken:]
                break
            unsent.popleft()
        self._balance()
        if unsent or self._end is not None:
            return
        if self._closing:
            self._look()
            self._verb(lambda: self._endpoint.close(self._number, self._owner.now()))
            if self._finished:
                self._lose(None)
        elif self._eof_written:
            self._verb(lambda: self._endpoint.shutdown(self._number))

    def _balance(self) -> None:
        """Have the writer wait, or go on."""
        if not self._writer_waits and self._unsent_size > self._high:
            self._writer_waits = True
            self._call(self._protocol.pause_writing)
        elif self._writer_waits and self._unsent_size <= self._low:
            self._writer_waits = False
            self._call(self._protocol.resume_writing)

    def _deliver(self) -> None:
        """Give the protocol what is there, in the order octets, end of stream, end of connection."""
        while self._readable and not self._reading_paused and not self._closing:
            octets = self._receive()
            if len(octets) < READ_SIZE:
                self._readable = False
            if octets:
                self._call(self._protocol.data_received, octets)
        if self._reading_paused and not self._closing and (self._readable or self._eof_received):
            return
        if self._eof_received:
            self._eof_received = False
            if not self._closing and not self._call(self._protocol.eof_received):
                self.close()
        if self._end is not None:
            self._lose(*self._end)

    def _receive(self) -> bytes:
        try:
            octets = self._endpoint.receive(self._number, READ_SIZE)
        except StateError:
            return b""
        self._owner.wake()
        return octets

    def _drop_received(self) -> None:
        """The endpoint keeps a closed connection for as long as there is something to receive from it."""
        with contextlib.suppress(StateError):
            self._endpoint.receive_chunks(self._number)

    def _call(self, method: Callable[..., Any], *arguments: Any) -> Any:
        """Call the protocol. What it raises ends this connection, and not all those that share the socket."""
        try:
            return method(*arguments)
        except Exception as failure:  # noqa: BLE001 - reported
            self._loop.call_exception_handler(
                {
                    "message": f"uTP connection to {self._address}: the protocol raised",
                    "exception": failure,
                    "transport": self,
                    "protocol": self._protocol,
                }
            )
            self._loop.call_soon(self.abort)
            return None

    def _lose(self, error: Exception | None) -> None:
        if self._released:
            return
        self._look()
        self._released = True
        self._closing = True
        self._end = (error,)
        self._unsent.clear()
        self._unsent_size = 0
        self._owner.released(self._number)
        self._loop.call_soon(self._call, self._protocol.connection_lost, error)


def exception_of(reason: Reason) -> OSError | None:
    """What a connection that ended for this reason raises."""
    number = {
        Reason.RESET: errno.ECONNRESET,
        Reason.REFUSED: errno.ECONNREFUSED,
        Reason.TIMEOUT: errno.ETIMEDOUT,
    }.get(reason)
    if number is None:
        return None
    # OSError picks the subclass: ConnectionResetError, ConnectionRefusedError, TimeoutError.
    return OSError(number, os.strerror(number))

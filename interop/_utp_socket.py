"""A UDP socket with any number of uTP connections, as asyncio transports and streams."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self, TypeAlias

import attrs

from interop._icmp import forbid_fragments, largest_datagram, read_errors, watch_errors
from interop._utp_transport import UtpTransport, exception_of
from interop.udp import Address, UdpDriver, UdpStats
from ledbat.errors import StateError
from ledbat.utp import (
    Closed,
    Connected,
    ControllerFactory,
    EofReceived,
    Finished,
    Incoming,
    Readable,
    ReceiveWindowFactory,
    UtpEndpoint,
    Writable,
    default_controller,
)
from ledbat.utp.limits import MAX_CONNECTIONS

LIMIT = 64 * 1024
"""Octets that a reader holds, doubled, before it lets the receive window fill: asyncio's figure."""

ClientConnected: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None] | None]
ProtocolFactory: TypeAlias = Callable[[], asyncio.BaseProtocol]


@attrs.frozen(kw_only=True)
class UtpOptions:
    """How connections behave; see `ledbat.utp.UtpEndpoint` for all but `offload`."""

    controller: ControllerFactory = default_controller
    receive_window: ReceiveWindowFactory | None = None
    receive_buffer: int = 3 * 1024 * 1024
    """A larger window than 3.5 MiB hides our packets from tshark as it comes."""
    send_buffer: int = 4 * 1024 * 1024
    nodelay: bool = False
    max_connections: int = MAX_CONNECTIONS
    accept_early: bool = False
    """Tell of a connection at its SYN, for servers that speak first to clients on libutp, which stay silent until they
    have something to send."""
    offload: bool = True
    """Whether runs of datagrams may share a system call (UDP_SEGMENT, UDP_GRO)."""


DEFAULT = UtpOptions()


class UtpSocket:
    """A UDP socket with any number of uTP connections. Make one with `open`; leaving `async with` closes it.

    All calls belong to the loop's thread.
    """

    def __init__(self, sock: socket.socket, options: UtpOptions = DEFAULT) -> None:
        """Use `sock`, which is bound and from now on belongs to this object. Needs a running loop."""
        self.endpoint = UtpEndpoint(
            controller=options.controller,
            receive_window=options.receive_window,
            accept=False,
            accept_early=options.accept_early,
            nodelay=options.nodelay,
            receive_buffer=options.receive_buffer,
            send_buffer=options.send_buffer,
            max_connections=options.max_connections,
        )
        self._sock = sock
        self._accepting: ProtocolFactory | None = None
        self._transports: dict[int, UtpTransport] = {}
        self._dialing: dict[int, tuple[Address, asyncio.Future[None]]] = {}
        self._closing = False
        forbid_fragments(sock)
        self._driver = UdpDriver(self.endpoint, sock, on_events=self._take_events, offload=options.offload)
        self._keeper = asyncio.get_running_loop().create_task(self._keep())

    @classmethod
    async def open(cls, host: str = "0.0.0.0", port: int = 0, *, options: UtpOptions = DEFAULT) -> Self:
        """Bind a socket; port 0 takes any. The host `::` serves IPv4 as well. Raises OSError."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        sock = socket.socket(family, kind, protocol)
        try:
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if address[0] == "::" else 1)
            sock.bind(address)
            return cls(sock, options)
        except BaseException:
            sock.close()
            raise

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.abort()
        self.close()
        await self.wait_closed()

    @property
    def local_address(self) -> Address:
        """What the socket is bound to."""
        return self._driver.local_address

    @property
    def connections(self) -> int:
        """Connections that are in use."""
        return len(self._transports)

    @property
    def stats(self) -> UdpStats:
        """What went through the socket."""
        return self._driver.stats

    def now(self) -> float:
        """The endpoint's time."""
        return time.monotonic()

    def wake(self) -> None:
        """Have sent what a verb of the endpoint made."""
        self._driver.wake()

    # Connections

    async def connect(
        self, protocol_factory: ProtocolFactory, address: Address, *, connect_timeout: float | None = None
    ) -> tuple[UtpTransport, asyncio.BaseProtocol]:
        """Open a connection with a protocol of your own, as `loop.create_connection` does; `address` is a socket's.

        Raises ConnectionRefusedError, and TimeoutError after `connect_timeout` seconds (None: 30).
        """
        if self._closing or self._driver.closed:
            raise OSError(errno.EBADF, "the socket is closed")
        number = self.endpoint.connect(address, self.now())
        self._limit_datagrams(address)
        connected: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not self._dialing:
            watch_errors(self._sock, True)
        self._dialing[number] = address, connected
        self.wake()
        try:
            async with asyncio.timeout(connect_timeout):
                await connected
            transport = UtpTransport(self, number, address, protocol_factory())
        except BaseException as exc:
            self._give_up(number)
            if isinstance(exc, TimeoutError) and exc.errno is None:
                raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)) from exc
            raise
        finally:
            del self._dialing[number]
            if not self._dialing and not self._driver.closed:
                watch_errors(self._sock, False)
        self._begin(number, transport)
        return transport, transport.get_protocol()

    def _give_up(self, number: int) -> None:
        with contextlib.suppress(StateError):
            self.endpoint.reset(number, self.now())
        self.wake()

    async def open_connection(
        self, host: str, port: int, *, limit: int = LIMIT, connect_timeout: float | None = None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect from this socket; see the function `open_connection`."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, family=self._family(), type=socket.SOCK_DGRAM)
        return await streams(self, found[0][4], limit, connect_timeout)

    def _family(self) -> socket.AddressFamily:
        dual = self._sock.family == socket.AF_INET6 and self.local_address[0] == "::"
        return socket.AF_UNSPEC if dual else socket.AddressFamily(self._sock.family)

    def listen(self, protocol_factory: ProtocolFactory) -> None:
        """Accept connections, each with a protocol of its own."""
        self._accepting = protocol_factory
        self.endpoint.accept = True

    def stop_listening(self) -> None:
        """Refuse connections from now on; those that are there go on."""
        self._accepting = None
        self.endpoint.accept = False

    def start_server(self, client_connected_cb: ClientConnected, *, limit: int = LIMIT) -> UtpServer:
        """Accept connections on this socket; see the function `start_server`."""
        loop = asyncio.get_running_loop()

        def factory() -> asyncio.StreamReaderProtocol:
            return asyncio.StreamReaderProtocol(asyncio.StreamReader(limit, loop), client_connected_cb, loop)

        self.listen(factory)
        return UtpServer(self, owner=False)

    def _begin(self, number: int, transport: UtpTransport) -> None:
        self._transports[number] = transport
        transport.begin()
        # What came between the connection's first event and now.
        transport.on_readable()

    def _limit_datagrams(self, address: Address) -> None:
        largest = largest_datagram(address)
        if largest is not None:
            self.endpoint.path_mtu(address, largest, self.now())

    # The end

    def close(self) -> None:
        """Refuse new connections and close those that are there, each after what was written to it."""
        for transport in list(self._transports.values()):
            transport.close()
        self.close_when_unused()

    def close_when_unused(self) -> None:
        """Refuse new connections, and close the socket when the last one has ended."""
        self._closing = True
        self.stop_listening()
        self._drained()

    def abort(self) -> None:
        """Reset every connection, and close the socket at once."""
        self._closing = True
        for transport in list(self._transports.values()):
            transport.abort()
        self._driver.close()

    async def wait_closed(self) -> None:
        """Wait until every connection has ended, and the socket is closed."""
        await asyncio.shield(self._keeper)

    def released(self, number: int) -> None:
        """A transport has told its protocol that the connection is lost."""
        self._transports.pop(number, None)
        self._drained()

    def _drained(self) -> None:
        if self._closing and not (self._transports or self._dialing or self.endpoint.connections):
            self._driver.close()

    async def _keep(self) -> None:
        """As long as the socket is open. asyncio cancels this when the loop ends: nothing stays open then."""
        failure: BaseException | None = None
        try:
            await self._driver.wait_closed()
        except Exception as exc:  # noqa: BLE001 - told to every connection; the driver has reported it
            failure = exc
        finally:
            self._closing = True
            self._driver.close()
            for transport in list(self._transports.values()):
                transport.on_failure(failure)
            for _, connected in self._dialing.values():
                if not connected.done():
                    connected.set_exception(ConnectionAbortedError(errno.ECONNABORTED, "the socket is closed"))

    # Events

    def _take_events(self) -> None:
        if self._dialing:
            self._take_errors()
        transports = self._transports
        while (event := self.endpoint.next_event()) is not None:
            match event:
                case Readable(connection=number) if number in transports:
                    transports[number].on_readable()
                case Writable(connection=number) if number in transports:
                    transports[number].on_writable()
                case EofReceived(connection=number) if number in transports:
                    transports[number].on_eof()
                case Finished(connection=number) if number in transports:
                    transports[number].on_finished()
                case Incoming(connection=number, address=address):
                    self._accept(number, address)
                case Connected(connection=number) if number in self._dialing:
                    self._dialed(number, None)
                case Closed(connection=number, reason=reason):
                    if number in transports:
                        transports[number].on_closed(reason)
                    elif number in self._dialing:
                        self._dialed(number, exception_of(reason))
        self._drained()

    def _accept(self, number: int, address: Address) -> None:
        if self._accepting is None:
            self._give_up(number)
            return
        self._limit_datagrams(address)
        self._begin(number, UtpTransport(self, number, address, self._accepting()))

    def _dialed(self, number: int, error: OSError | None) -> None:
        _, connected = self._dialing[number]
        if connected.done():
            return
        if error is None:
            connected.set_result(None)
        else:
            connected.set_exception(error)

    def _take_errors(self) -> None:
        """ICMP ends an attempt to connect, as for TCP; connections that are made do not hear of it."""
        for error in read_errors(self._sock):
            for number, (address, _) in self._dialing.items():
                if address[:2] == error.address[:2]:
                    self._dialed(number, OSError(error.number, os.strerror(error.number)))


class UtpServer:
    """Accepts connections, as asyncio.Server does. Leaving `async with` closes it and waits for its connections; when
    an exception leaves with it (a cancellation), they are reset."""

    def __init__(self, sock: UtpSocket, *, owner: bool) -> None:
        """Serve on `sock`, which closes with the server when it is the owner."""
        self._socket = sock
        self._owner = owner
        self._forever: asyncio.Future[None] | None = None

    @property
    def local_address(self) -> Address:
        """What the socket is bound to."""
        return self._socket.local_address

    @property
    def socket(self) -> UtpSocket:
        """The socket, which can open connections as well."""
        return self._socket

    def is_serving(self) -> bool:
        """Whether connections are accepted."""
        return self._socket._accepting is not None

    async def serve_forever(self) -> None:
        """Wait until cancelled, or until the server is closed (CancelledError, as from asyncio.Server)."""
        if self._forever is not None:
            raise RuntimeError(f"server {self!r} is already being awaited on serve_forever()")
        self._forever = asyncio.get_running_loop().create_future()
        try:
            await self._forever
        finally:
            self._forever = None
            self._socket.stop_listening()

    def close(self) -> None:
        """Accept no more; connections go on until they are closed, and the server's own socket with the last."""
        self._socket.stop_listening()
        if self._owner:
            self._socket.close_when_unused()
        if self._forever is not None:
            self._forever.cancel()

    def abort(self) -> None:
        """Reset every connection, and close the server's own socket at once."""
        self.close()
        if self._owner:
            self._socket.abort()

    async def wait_closed(self) -> None:
        """Wait until every connection is closed, and the server's own socket."""
        if self._owner:
            await self._socket.wait_closed()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.abort()
        self.close()
        await self.wait_closed()


async def streams(
    sock: UtpSocket, address: Address, limit: int, connect_timeout: float | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect from `sock` with asyncio's reader and writer."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit, loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    transport, _ = await sock.connect(lambda: protocol, address, connect_timeout=connect_timeout)
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)

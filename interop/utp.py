"""asyncio streams over uTP (BEP 29): reliable, ordered, and yielding to other traffic.

    reader, writer = await open_connection("192.0.2.1", 7000)
    writer.write(b"hello\\n")
    await writer.drain()
    print(await reader.readline())
    writer.close()
    await writer.wait_closed()           # the peer has everything

    async def serve(reader, writer): ...

    async with await start_server(serve, "0.0.0.0", 7000) as server:
        await server.serve_forever()

Readers and writers are asyncio's own, flow control included: what nobody reads fills the receive window, and `drain`
waits for the network. `UtpSocket` is for peers: any number of connections in both directions over one UDP socket.
"""

from __future__ import annotations

import asyncio
import socket

from interop._utp_socket import DEFAULT, LIMIT, ClientConnected, UtpOptions, UtpServer, UtpSocket, streams
from interop._utp_transport import UtpTransport

__all__ = ["ClientConnected", "UtpOptions", "UtpServer", "UtpSocket", "UtpTransport", "open_connection", "start_server"]


async def open_connection(
    host: str,
    port: int,
    *,
    limit: int = LIMIT,
    local_addr: tuple[str, int] | None = None,
    connect_timeout: float | None = None,
    options: UtpOptions = DEFAULT,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to a uTP server, from a socket of its own.

    `limit` is the reader's, as for asyncio.open_connection; `connect_timeout` is seconds for each address of the host.

    Raises ConnectionRefusedError, TimeoutError, and OSError for an address that cannot be resolved, reached or bound.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    if local_addr is not None:
        family = socket.AF_INET6 if ":" in local_addr[0] else socket.AF_INET
        found = [info for info in found if info[0] == family] or found
    error: OSError | None = None
    for family, _, _, _, address in found:
        any_host = "::" if family == socket.AF_INET6 else "0.0.0.0"
        try:
            sock = await UtpSocket.open(*(local_addr or (any_host, 0)), options=options)
        except OSError as exc:
            error = exc
            continue
        try:
            return await streams(sock, address, limit, connect_timeout)
        except OSError as exc:
            error = exc
        finally:
            sock.close_when_unused()
    assert error is not None  # getaddrinfo raises when it finds nothing
    raise error


async def start_server(
    client_connected_cb: ClientConnected,
    host: str,
    port: int,
    *,
    limit: int = LIMIT,
    options: UtpOptions = DEFAULT,
) -> UtpServer:
    """Accept uTP connections on a socket of its own: `client_connected_cb(reader, writer)` for each, as a task when it
    is a coroutine function. The host `::` serves IPv4 as well; port 0 takes any. Raises OSError.
    """
    sock = await UtpSocket.open(host, port, options=options)
    sock.start_server(client_connected_cb, limit=limit)
    return UtpServer(sock, owner=True)

"""The public address of this host, as a STUN server sees it (RFC 7285 section 13.3, RFC 5389).

address = await public_address(("stun.example.net", 3478))
"""

import asyncio
import socket
import struct

from aioice import stun

from alto.address import client_endpoint
from alto.client.errors import UnreachableError
from alto.errors import DecodeError

PATIENCE = 5.0
"""Seconds for a name's address and for four requests, the waits between which are 0.5, 1 and 2 s."""

_FAMILIES = {None: socket.AF_UNSPEC, 4: socket.AF_INET, 6: socket.AF_INET6}


async def public_address(server: tuple[str, int], *, family: int | None = None, patience: float = PATIENCE) -> str:
    """The typed address, such as `ipv4:192.0.2.1`, that a STUN server at a host and port has seen a request come from.

    `family` 4 or 6 asks it over that one, for `patience` seconds at most. Raises UnreachableError where nobody answers,
    and DecodeError for an answer that refuses or has no XOR-MAPPED-ADDRESS, which alone counts (section 13.3).
    """
    try:
        async with asyncio.timeout(patience):
            response = await _ask(server, family)
    except TimeoutError as error:
        raise UnreachableError(f"the STUN server {_text(server)} does not answer") from error
    except (OSError, UnicodeError) as error:
        raise UnreachableError(f"the STUN server {_text(server)} cannot be reached: {error}") from error
    except stun.TransactionFailed as error:
        raise DecodeError(f"the STUN server {_text(server)} refuses: {error!s:.200}") from error
    mapped = response.attributes.get("XOR-MAPPED-ADDRESS")
    endpoint = client_endpoint(mapped[0]) if mapped is not None else None
    if endpoint is None:
        raise DecodeError(f"the STUN server {_text(server)} sent no XOR-MAPPED-ADDRESS (RFC 7285 section 13.3)")
    return endpoint


async def _ask(server: tuple[str, int], family: int | None) -> stun.Message:
    loop = asyncio.get_running_loop()
    # The socket is connected: what others send does not reach it.
    transport, protocol = await loop.create_datagram_endpoint(_Protocol, remote_addr=server, family=_FAMILIES[family])
    try:
        return await protocol.ask(transport)
    finally:
        transport.close()


class _Protocol(asyncio.DatagramProtocol):
    """One Binding request, sent again until it is answered."""

    def __init__(self) -> None:
        self._request = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
        self._transaction = stun.Transaction(self._request, ("", 0), self)
        self._refusal: Exception | None = None

    async def ask(self, transport: asyncio.DatagramTransport) -> stun.Message:
        self._transport = transport
        self._answer = asyncio.ensure_future(self._transaction.run())
        try:
            return (await self._answer)[0]
        except asyncio.CancelledError:
            if self._refusal is None:
                raise
            raise self._refusal from None
        finally:
            self._answer.cancel()

    def send_stun(self, message: stun.Message, addr: tuple[str, int]) -> None:
        """Called by the transaction whenever the request is due."""
        self._transport.sendto(bytes(message))

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        try:
            message = stun.parse_message(data)
        except (ValueError, struct.error):
            return
        # 96 random bits: who cannot see the request cannot answer it.
        is_answer = message.message_class in (stun.Class.RESPONSE, stun.Class.ERROR)
        if is_answer and message.transaction_id == self._request.transaction_id:
            self._transaction.response_received(message, addr)

    def error_received(self, exc: Exception) -> None:
        """Nothing listens there, says the network."""
        self._refusal = exc
        self._answer.cancel()


def _text(server: tuple[str, int]) -> str:
    return f"[{server[0]}]:{server[1]}" if ":" in server[0] else f"{server[0]}:{server[1]}"

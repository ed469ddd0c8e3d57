"""The source: it stores, has servers deliver, and gives out names, servers and tokens. Clients get none of its octets.

Everything is minted by the key of its application; only what concerns the application itself by that of the account.
"""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Sequence
from pathlib import Path

import attrs

from decade.client_exchange import Credential
from decade.data_index import DataIndex, Entry, Piece, encode_index
from decade.issuer import Issuer
from decade.messages import (
    Direction,
    Remote,
    ResourcePolicy,
    Revocation,
    TransferRequest,
    TransferState,
    TransferStatus,
)
from decade.names import WELL_KNOWN, Name
from decade.scope import Object, Operation, TokenPolicy
from interop._decade_files import FileSource
from interop.decade_client import DecadeClient
from interop.decade_figure7 import expect
from interop.decade_figure7._servers import APP, Keys

PIECES = 48
"""Objects that a film is cut into; the names of all of them are in one token, which has room for so many."""
RANGES = 3
"""Times the size of an object that a token in a URL may move: programs that fetch by several ranges ask for more than
they read.
"""
_LOOK = 0.02


@attrs.frozen
class Order:
    """A transfer: the server that does it, and its identifier there."""

    server: str
    id: bytes


class Source:
    """Of one film. `sa`, `sb`: the identifiers of the servers."""

    def __init__(self, decade: DecadeClient, keys: Keys, film: Path, sa: str, sb: str) -> None:
        self.film = film
        self.size = film.stat().st_size
        self.sa, self.sb = sa, sb
        self._decade = decade
        self._keys = keys
        self._entry = Entry(label=film.name, pieces=())
        self.whole: Name

    @property
    def names(self) -> tuple[Name, ...]:
        """Of the objects that the film is cut into."""
        return tuple(dict.fromkeys(piece.name for piece in self._entry.pieces))

    async def store(self) -> None:
        """Put the film to Sa: as one object, and as many."""
        put = [self._manage(self.sa, Operation.PUT)]
        self.whole = await self._decade.put(self.film, self.sa, put)
        pieces = []
        step = -(-self.size // PIECES)
        for offset in range(0, self.size, step):
            part = FileSource(self.film, min(step, self.size - offset), offset)
            pieces.append(Piece(name=await self._decade.put(part, self.sa, put), length=part.size))
        self._entry = Entry(label=self.film.name, pieces=tuple(pieces))

    async def pull(self, names: Sequence[Name]) -> Order:
        """Have Sb fetch objects from Sa, with a token that reads them there."""
        token = self._issuer(self.sa).read(names, wall=time.time(), size=self.size)
        return await self._order(Direction.PULL, self.sb, self.sa, names, token)

    async def push(self, names: Sequence[Name]) -> Order:
        """Have Sa send objects to Sb, with a token that stores them there."""
        policy = TokenPolicy(amount=2 * self.size, storage=self.size)
        scope = tuple((Object(name), Operation.PUT | Operation.GET) for name in names)
        token = self._issuer(self.sb).grant(scope, policy, wall=time.time())
        return await self._order(Direction.PUSH, self.sa, self.sb, names, token)

    async def limit(self, rate: int | None) -> None:
        """Let Sa send no faster for the application, in bit/s; None: as fast as it can."""
        credential = Issuer(self._keys.account, (self.sa,)).manage(Operation.POLICY, wall=time.time())
        control = await self._decade.control(self.sa, [credential])
        await self._decade.run(control.put_policy(ResourcePolicy(weight=1, ceiling_download=rate), APP))

    def answer(self) -> bytes:
        """What a client needs that asks for the film: where which octets are, and a token that reads them at Sb."""
        index = encode_index(DataIndex(entries=(self._entry,), servers=(self.sb,)))
        token = self.read(self.names)
        return json.dumps({"index": base64.urlsafe_b64encode(index).decode(), "token": token.text}).encode()

    def url(self) -> str:
        """The film as one object at Sb, for a program that knows URLs."""
        token = self._issuer(self.sb).read([self.whole], wall=time.time(), amount=RANGES * self.size)
        return f"{self.sb}{self.whole.path}?dt={token.text}"

    def read(self, names: Sequence[Name], uses: int | None = None) -> Credential:
        """A token that reads objects at Sb."""
        return self._issuer(self.sb).read(names, wall=time.time(), size=self.size, uses=uses)

    def withdrawable(self, names: Sequence[Name], cti: bytes) -> Credential:
        """A token that reads objects at Sb, and is known by this identifier."""
        issuer = Issuer(self._keys.app, (self.sb,), random_bytes=lambda size: cti[:size])
        return issuer.read(names, wall=time.time(), size=self.size)

    async def revoke(self, cti: bytes) -> None:
        """Make a token of Sb worthless."""
        control = await self._decade.control(self.sb, [self._manage(self.sb, Operation.REVOKE)])
        await self._decade.run(control.revoke(Revocation(cti=(cti,))))

    async def progress(self, order: Order) -> TransferStatus:
        """How far a transfer is."""
        operations = Operation.PULL | Operation.PUSH
        control = await self._decade.control(order.server, [self._manage(order.server, operations)])
        return await self._decade.run(control.transfer(order.id))

    async def under_way(self, order: Order, octets: int = 1) -> TransferStatus:
        """Wait until a transfer has moved so many octets; it must still be running then."""
        while (status := await self.progress(order)).done < octets and status.state <= TransferState.RUNNING:  # noqa: ASYNC110 - it has to be asked
            await asyncio.sleep(_LOOK)
        expect(status.state is TransferState.RUNNING, f"the transfer is {status.state.name.lower()} too early")
        return status

    async def done(self, order: Order) -> TransferStatus:
        """Wait for the end of a transfer, which must be a good one."""
        while (status := await self.progress(order)).state <= TransferState.RUNNING:  # noqa: ASYNC110 - it has to be asked
            await asyncio.sleep(_LOOK)
        expect(status.state is TransferState.DONE, f"the transfer is {status.state.name.lower()}")
        return status

    async def sent(self, server: str) -> int:
        """Octets that a server has sent for the application, to whomever."""
        control = await self._decade.control(server, [self._manage(server, Operation.STATUS)])
        return (await self._decade.run(control.status())).usage.sent

    async def reads(self, server: str, name: Name) -> int:
        """How often a server has sent an object."""
        operations = Operation.ATTR_GET | Operation.ACCESS_LOG
        control = await self._decade.control(server, [self._manage(server, operations)])
        access = (await self._decade.run(control.object_info(name))).access
        return 0 if access is None else access.reads

    def _issuer(self, server: str) -> Issuer:
        return Issuer(self._keys.app, (server,))

    def _manage(self, server: str, operations: Operation) -> Credential:
        return self._issuer(server).manage(operations, wall=time.time())

    async def _order(
        self, direction: Direction, at: str, remote: str, names: Sequence[Name], token: Credential
    ) -> Order:
        request = TransferRequest(
            direction=direction,
            objects=tuple(names),
            remote=Remote(object_template=f"{remote}{WELL_KNOWN}{{alg}}/{{val}}", server=remote),
            token=token.token,
        )
        control = await self._decade.control(at, [self._manage(at, Operation.PULL | Operation.PUSH)])
        return Order(at, (await self._decade.run(control.start_transfer(request))).id)

"""A client of DECADE over HTTP: `httpx` carries the plans of `decade.client` and `decade.client_control`.

async with DecadeClient() as decade:
    name = await decade.put(b"Hello World!", "https://sa.example", [Credential.of(token)])
    octets = await decade.fetch(NiUri(name), ["https://sa.example", "https://sb.example"], [Credential.of(token)])
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import secrets
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from http.cookiejar import CookieJar, DefaultCookiePolicy
from itertools import accumulate
from pathlib import Path
from types import TracebackType
from typing import TypeAlias, TypeVar
from urllib.parse import urlsplit

import attrs
import httpx

from decade.client import MAX_OBJECT, Buffer, Fetched, Part, delete, fetch, fetch_part, put
from decade.client_control import Control, server_info
from decade.client_exchange import (
    Credential,
    Exchange,
    FailedError,
    Failure,
    Plan,
    RandomBytes,
    Receiver,
    Sink,
    Source,
    UnreachableError,
    Wait,
)
from decade.client_named import delete_named, fetch_named, put_named
from decade.data_index import Entry, Piece
from decade.errors import DecodeError, ErrorCode
from decade.http import Headers, Response
from decade.messages import Claim, ObjectInfo, ServerInfo, StoredAttrs, TransferState, TransferStatus
from decade.named import PublisherKey, bind
from decade.names import Name, NiUri
from decade.values import ABSENT, SignedName
from interop._decade_files import FileSource, PartialFile, source_of
from interop._decade_upload import upload

_T = TypeVar("_T")
Progress: TypeAlias = Callable[[int, int | None], None]
"""Is told the octets that are done, and those in all if they are known. A failure begins again at 0."""

TIMEOUT = 10.0
"""Seconds to connect, and without a single octet while an answer is awaited or read."""
LEAST_RATE = 1024
"""Octets a second, on average, below which an answer counts as none: else it could come drop by drop for ever."""
GRACE = 30.0
"""Seconds that the average is not looked at."""
CHALLENGE = "challenge"
"""The feature of a server that takes claims."""
PARALLEL = 4
"""Pieces of an index that are fetched at a time."""
POLL, POLL_MOST = 0.2, 2.0
"""Seconds between two questions how far a transfer is: at first, and when it takes long."""
_LARGE = 65536
"""Octets from which on a part is hashed and written in a thread, so that the event loop goes on."""
_ENDS = frozenset({TransferState.DONE, TransferState.FAILED, TransferState.CANCELLED})


class DecadeClient:
    """`async with DecadeClient() as decade`, or `await decade.aclose()` at the end.

    `verify`: what servers are verified with; TLS is 1.3 or later. `cost`: of an origin, lower is asked earlier. Servers
    that have sent something else than they were asked for are in `blamed`, and asked last from then on. Cookies are
    dropped and proxies are not used. The methods raise what the plans raise, FailedError above all.
    """

    def __init__(
        self,
        *,
        verify: ssl.SSLContext | None = None,
        timeout: float = TIMEOUT,
        cost: Callable[[str], float] | None = None,
        random_bytes: RandomBytes = secrets.token_bytes,
    ) -> None:
        if verify is None:
            verify = ssl.create_default_context()
            verify.minimum_version = ssl.TLSVersion.TLSv1_3
        self._context = verify
        self._timeout = timeout
        self._cost = cost
        self._random_bytes = random_bytes
        self._infos: dict[str, ServerInfo] = {}
        self.blamed: Counter[str] = Counter()
        self._http = httpx.AsyncClient(
            verify=verify,
            timeout=timeout,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            headers={"User-Agent": "ietf-p2p"},
            trust_env=False,
        )

    async def __aenter__(self) -> DecadeClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def run(self, plan: Plan[_T], on_progress: Progress | None = None) -> _T:
        """Carry a plan to its end."""
        reply: Response | None = None
        error: UnreachableError | None = None
        try:
            while True:
                step = plan.send(reply) if error is None else plan.throw(error)
                reply, error = None, None
                if isinstance(step, Wait):
                    await asyncio.sleep(step.seconds)
                    continue
                try:
                    reply = await self._exchange(step, on_progress)
                except UnreachableError as unreachable:
                    error = unreachable
        except StopIteration as stop:
            result: _T = stop.value
            return result
        finally:
            plan.close()

    async def fetch(
        self,
        uri: NiUri,
        servers: Sequence[str],
        credentials: Sequence[Credential] = (),
        *,
        max_size: int = MAX_OBJECT,
        on_progress: Progress | None = None,
    ) -> bytes:
        """An object, verified, in memory: no more than `max_size` octets of it."""
        sink = Buffer()
        await self._fetch(uri, servers, credentials, sink, max_size, on_progress)
        return sink.octets

    async def fetch_to(
        self,
        path: Path,
        uri: NiUri,
        servers: Sequence[str],
        credentials: Sequence[Credential] = (),
        *,
        max_size: int = MAX_OBJECT,
        on_progress: Progress | None = None,
    ) -> Fetched:
        """An object into a file, which gets its name when it is verified and on the disk. Raises OSError, too."""
        with PartialFile(path) as file:
            fetched = await self._fetch(uri, servers, credentials, file.sink(), max_size, on_progress)
            await asyncio.to_thread(file.finish, fetched.size)
        return fetched

    async def fetch_part(
        self, uri: NiUri, servers: Sequence[str], offset: int, length: int, credentials: Sequence[Credential] = ()
    ) -> Part:
        """Some octets of an object, which are not verified."""
        ordered = sorted(servers, key=self._order)
        plan = fetch_part(uri, ordered, offset, length, credentials, random_bytes=self._random_bytes)
        with self._blaming():
            part = await self.run(plan)
        self._blame(part.failures)
        return part

    async def fetch_entry(
        self,
        path: Path,
        entry: Entry,
        servers: Sequence[str],
        credentials: Sequence[Credential] = (),
        *,
        max_size: int = MAX_OBJECT,
        on_progress: Progress | None = None,
    ) -> None:
        """A file of a data index, some of its objects at a time, each with up to `max_size` octets, as `fetch_to`.

        Raises DecodeError for an object that ends before its piece, or would have to be larger than that.
        """
        if any(piece.offset + piece.length > max_size for piece in entry.pieces):
            raise DecodeError(f"index: a piece of an object of more than the {max_size} octets that are accepted")
        starts = accumulate((piece.length for piece in entry.pieces), initial=0)
        places = zip(starts, entry.pieces, strict=False)
        size, total = entry.size, 0

        async def piece_of(base: int, piece: Piece) -> None:
            done = 0

            def progress(octets: int, _: int | None) -> None:
                nonlocal done, total
                before, done = done, min(max(octets - piece.offset, 0), piece.length)
                total += done - before
                if on_progress is not None:
                    on_progress(total, size)

            sink = file.sink(base, offset=piece.offset, length=piece.length)
            fetched = await self._fetch(NiUri(piece.name), servers, credentials, sink, max_size, progress)
            if fetched.size < piece.offset + piece.length:
                raise DecodeError(f"index: an object of {fetched.size} octets, too few for its piece")

        async def some() -> None:
            for base, piece in places:
                await piece_of(base, piece)

        with PartialFile(path) as file:
            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(PARALLEL):
                        group.create_task(some())
            except BaseExceptionGroup as several:
                raise several.exceptions[0] from several
            await asyncio.to_thread(file.finish, size)

    async def put(
        self,
        content: bytes | Path | FileSource,
        server: str,
        credentials: Sequence[Credential],
        *,
        expires: int | None = None,
        media_type: str | None = None,
        collections: tuple[bytes, ...] = (),
        on_progress: Progress | None = None,
    ) -> Name:
        """Store octets, or a file, and return their name. `expires`: seconds since 1970. `collections`: that it is to
        be in. Raises OSError, too.
        """
        name, source = await asyncio.to_thread(source_of, content)
        plan = put(
            name,
            source,
            server,
            credentials,
            expires=expires,
            media_type=media_type,
            collections=collections,
            random_bytes=self._random_bytes,
        )
        await self.run(plan, on_progress)
        return name

    async def put_named(
        self,
        content: bytes | Path | FileSource,
        label: bytes,
        key: PublisherKey,
        server: str,
        credentials: Sequence[Credential],
        *,
        expires: int | None = None,
        media_type: str | None = None,
        collections: tuple[bytes, ...] = (),
        on_progress: Progress | None = None,
    ) -> SignedName:
        """Store octets, or a file, under a label of the publisher whose key it is. As `put`, and raises DecodeError for
        a label of no octets, or over 64.
        """
        name, source = await asyncio.to_thread(source_of, content)
        binding = bind(key, label, name)
        plan = put_named(
            binding,
            source,
            server,
            credentials,
            expires=expires,
            media_type=media_type,
            collections=collections,
            random_bytes=self._random_bytes,
        )
        await self.run(plan, on_progress)
        return binding.signed

    async def fetch_named(
        self,
        signed: SignedName,
        servers: Sequence[str],
        credentials: Sequence[Credential] = (),
        *,
        max_size: int = MAX_OBJECT,
        on_progress: Progress | None = None,
    ) -> bytes:
        """What a publisher has given a label, verified, in memory: no more than `max_size` octets of it."""
        sink = Buffer()
        plan = fetch_named(
            signed,
            servers,
            sink,
            credentials,
            cost=self._order,
            max_size=max_size,
            random_bytes=self._random_bytes,
        )
        with self._blaming():
            fetched, _ = await self.run(plan, on_progress)
        self._blame(fetched.failures)
        return sink.octets

    async def delete_named(self, signed: SignedName, server: str, credentials: Sequence[Credential]) -> None:
        """Take a signed name away; the object stays, by its hash."""
        await self.run(delete_named(signed, server, credentials, random_bytes=self._random_bytes))

    async def claim(
        self,
        file: FileSource,
        server: str,
        credentials: Sequence[Credential],
        *,
        expires: int | None = None,
        media_type: str | None = None,
        collections: tuple[bytes, ...] = (),
    ) -> Name | None:
        """Store a file without sending it, if the server has it, and return its name. Raises OSError, too.

        The server learns that it is here, and this client that some account has it there (RFC 7069 appendix A.1.3).
        """
        if CHALLENGE not in (await self.info(server)).features:
            return None
        control = await self.control(server, credentials)
        name = await asyncio.to_thread(file.name)
        seed = (await self.run(control.challenge(name))).seed
        proof = (await asyncio.to_thread(file.name, seed)).value
        asked = StoredAttrs(
            expires=ABSENT if expires is None else expires, media_type=media_type, collections=collections or None
        )
        try:
            await self.run(control.claim(Claim(name=name, seed=seed, proof=proof, attrs=asked)))
        except FailedError as error:
            if error.failures[-1].code == ErrorCode.NOT_FOUND:
                return None
            raise
        return name

    async def delete(self, name: Name, server: str, credentials: Sequence[Credential]) -> None:
        """Delete an object of the account."""
        await self.run(delete(name, server, credentials, random_bytes=self._random_bytes))

    async def info(self, server: str) -> ServerInfo:
        """What a server is and has; it is asked once."""
        if server not in self._infos:
            self._infos[server] = await self.run(server_info(server, random_bytes=self._random_bytes))
        return self._infos[server]

    async def control(self, server: str, credentials: Sequence[Credential]) -> Control:
        """The plans of the resource protocol there: `await decade.run((await decade.control(...)).status())`."""
        return Control((await self.info(server)).drp_base, credentials, self._random_bytes)

    async def objects(self, server: str, credentials: Sequence[Credential]) -> AsyncIterator[ObjectInfo]:
        """All objects of the account, page by page."""
        control = await self.control(server, credentials)
        cursor: bytes | None = None
        while True:
            page = await self.run(control.objects(cursor))
            for info in page.objects:
                yield info
            # A server that gives an empty page, or the same cursor again, would be asked for ever.
            if page.cursor is None or page.cursor == cursor or not page.objects:
                return
            cursor = page.cursor

    async def follow(
        self, server: str, credentials: Sequence[Credential], transfer_id: bytes
    ) -> AsyncIterator[TransferStatus]:
        """How far a transfer is, now and then, up to its end."""
        control, pause = await self.control(server, credentials), POLL
        while True:
            status = await self.run(control.transfer(transfer_id))
            yield status
            if status.state in _ENDS:
                return
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, POLL_MOST)

    async def _fetch(
        self,
        uri: NiUri,
        servers: Sequence[str],
        credentials: Sequence[Credential],
        sink: Sink,
        max_size: int,
        on_progress: Progress | None,
    ) -> Fetched:
        plan = fetch(
            uri,
            servers,
            sink,
            credentials,
            cost=self._order,
            max_size=max_size,
            random_bytes=self._random_bytes,
        )
        with self._blaming():
            fetched = await self.run(plan, on_progress)
        self._blame(fetched.failures)
        return fetched

    def _order(self, server: str) -> float:
        if self.blamed[server]:
            return math.inf
        return 0.0 if self._cost is None else self._cost(server)

    @contextlib.contextmanager
    def _blaming(self) -> Iterator[None]:
        try:
            yield
        except FailedError as error:
            self._blame(error.failures)
            raise

    def _blame(self, failures: Sequence[Failure]) -> None:
        self.blamed.update(failure.server for failure in failures if failure.is_blamed)

    async def _exchange(self, step: Exchange, on_progress: Progress | None) -> Response:
        """The head of the answer; its body goes to the receiver. Raises UnreachableError."""
        _check_port(step.request.target)
        parts = None if step.source is None else _paced(step.source, on_progress)
        step = attrs.evolve(step, request=step.signed(wall=time.time(), random_bytes=self._random_bytes))
        if parts is not None and step.request.header("Expect") is not None:
            return await upload(step, parts, self._context, self._timeout)
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in step.request.headers]
        content = parts if parts is not None else step.request.body or None
        try:
            async with contextlib.AsyncExitStack() as stack:
                # A head that comes drop by drop ends, too.
                async with asyncio.timeout(max(GRACE, self._timeout)):
                    answer = self._http.stream(
                        step.request.method, step.request.target, headers=headers, content=content
                    )
                    stream = await stack.enter_async_context(answer)
                head = Response(stream.status_code, _fields(stream))
                if step.receiver.start(head):
                    await _receive(stream, step.receiver, None if parts is not None else on_progress)
                return head
        except TimeoutError as error:
            raise UnreachableError("no answer in time") from error
        # UnicodeError: a host that begins like an international name and is none, such as `xn--a`.
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, UnicodeError) as error:
            is_lost = isinstance(error, httpx.RemoteProtocolError | httpx.ReadError | httpx.WriteError)
            raise UnreachableError(f"{str(error) or type(error).__name__:.200}", is_lost=is_lost) from error


def _check_port(target: str) -> None:
    """Raises UnreachableError for a port that there is not, which httpx passes on."""
    try:
        urlsplit(target).port  # noqa: B018 - it raises
    except ValueError as error:
        raise UnreachableError(str(error)) from error


async def _paced(source: Source, on_progress: Progress | None) -> AsyncIterator[bytes]:
    """The parts of a source, read in a thread."""
    parts, done = source.parts(), 0
    while octets := await asyncio.to_thread(next, parts, b""):
        yield octets
        done += len(octets)
        if on_progress is not None:
            on_progress(done, source.size)


async def _receive(stream: httpx.Response, receiver: Receiver, on_progress: Progress | None) -> None:
    """Raises UnreachableError for what comes too slowly, and httpx's errors for what is cut short."""
    started = time.monotonic()
    # As it was sent: what is compressed has another hash, and could be much larger than it looks.
    # And in parts as they come: what is gathered first comes too late to say that it comes too slowly.
    async for octets in stream.aiter_raw():
        is_large = len(octets) >= _LARGE
        is_wanted = await asyncio.to_thread(receiver.feed, octets) if is_large else receiver.feed(octets)
        if not is_wanted:
            return
        if on_progress is not None and stream.status_code == 200:
            on_progress(receiver.size, receiver.total)
        seconds = time.monotonic() - started
        if seconds > GRACE and receiver.size < seconds * LEAST_RATE:
            raise UnreachableError("it sends too slowly")


def _fields(stream: httpx.Response) -> Headers:
    return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in stream.headers.raw)

"""What a client does with objects, as plans (`client_exchange` says how one is run; RFC 7069 section 6.3).

Objects are verified by their names whatever a server says (section 8.3), so it does not matter who has them: the
candidates are asked in order, the one that costs least first, and each failure leads to the next.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator, Sequence

import attrs

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
    Wait,
    ask,
    first_of,
    unexpected,
)
from decade.errors import DecodeError, ErrorCode
from decade.http import Request, Response, write_attrs
from decade.names import Name, NiUri

__all__ = [
    "Buffer",
    "Credential",
    "Exchange",
    "FailedError",
    "Failure",
    "Fetched",
    "Octets",
    "Part",
    "Wait",
    "delete",
    "fetch",
    "fetch_part",
    "put",
]

MAX_OBJECT = 64 * 2**20
"""Octets of an object that are accepted where a caller says nothing: what servers accept where theirs says nothing."""
EXPECT_FROM = 65536
"""Octets from which on a body waits for the server to want it: below it the wait costs more than the octets."""
_PLACE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(?:\d{1,19}|\*)", re.ASCII)


class Buffer:
    """A sink in memory."""

    def __init__(self) -> None:
        self._octets = bytearray()

    @property
    def octets(self) -> bytes:
        """What was written."""
        return bytes(self._octets)

    def restart(self) -> None:
        """Forget it."""
        self._octets.clear()

    def write(self, octets: bytes) -> None:
        """The next octets."""
        self._octets += octets


@attrs.frozen
class Octets:
    """A source in memory."""

    octets: bytes = attrs.field(repr=False)

    @property
    def size(self) -> int:
        """Octets in all."""
        return len(self.octets)

    def parts(self) -> Iterator[bytes]:
        """All of them."""
        yield self.octets


@attrs.frozen
class Fetched:
    """An object that is verified: which server had it, its octets and its type, and what others did wrong before."""

    server: str
    size: int
    media_type: str | None
    failures: tuple[Failure, ...] = ()


@attrs.frozen
class Part:
    """A part of an object. Nobody can verify a part by the hash of the whole: `is_verified` if all of it came."""

    octets: bytes = attrs.field(repr=False)
    is_verified: bool
    server: str
    failures: tuple[Failure, ...] = ()


def fetch(
    uri: NiUri,
    servers: Sequence[str],
    sink: Sink,
    credentials: Sequence[Credential] = (),
    *,
    cost: Callable[[str], float] | None = None,
    max_size: int = MAX_OBJECT,
    random_bytes: RandomBytes = secrets.token_bytes,
) -> Plan[Fetched]:
    """Get an object from the first of these origins that has it into the sink, whose octets are good at the end only.

    `cost`: of an origin, lower is asked earlier, as ALTO or round-trip times have it; without it their order counts.
    A media type other than the `ct` of the name, if it has one, counts as a failure (RFC 6920 section 3.1).
    Raises FailedError; DecodeError for a name that is cut short: it binds no object.
    """
    _check_whole(uri.name)

    def attempt(server: str) -> Plan[Fetched | Failure]:
        receiver = Receiver(sink, max_size)
        request = Request("GET", server + uri.name.path, (("Accept-Encoding", "identity"),))
        response = yield from ask(Exchange(request, receiver), credentials)
        if isinstance(response, Failure):
            return response
        return _verified(server, response, receiver, uri, max_size)

    ordered = sorted(servers, key=cost) if cost is not None else servers
    fetched, failures = yield from first_of(ordered, attempt, random_bytes)
    return attrs.evolve(fetched, failures=failures)


def fetch_part(
    uri: NiUri,
    servers: Sequence[str],
    offset: int,
    length: int,
    credentials: Sequence[Credential] = (),
    *,
    max_size: int = MAX_OBJECT,
    random_bytes: RandomBytes = secrets.token_bytes,
) -> Plan[Part]:
    """Get some octets of an object, which are not verified: for who looks into a large one, or checks it otherwise.

    A server may send all of it: then it is verified, if it has no more than `max_size` octets.
    Raises FailedError, DecodeError as `fetch`, ValueError for a part of no octets.
    """
    _check_whole(uri.name)
    if offset < 0 or length < 1:
        raise ValueError("a part has an octet at least")

    def attempt(server: str) -> Plan[Part | Failure]:
        sink = Buffer()
        receiver = Receiver(sink, max_size)
        fields = (("Range", f"bytes={offset}-{offset + length - 1}"), ("Accept-Encoding", "identity"))
        response = yield from ask(Exchange(Request("GET", server + uri.name.path, fields), receiver), credentials)
        if isinstance(response, Failure):
            return response
        if response.status != 206:
            fetched = _verified(server, response, receiver, uri, max_size)
            part = sink.octets[offset : offset + length]
            return fetched if isinstance(fetched, Failure) else Part(part, True, server)
        place = _PLACE.fullmatch(response.header("Content-Range") or "")
        first, last = (int(place[1]), int(place[2])) if place is not None else (-1, -1)
        if first != offset or not 1 <= last - first + 1 == receiver.size <= length:
            return unexpected(server, response, "another part than was asked for")
        return Part(sink.octets, False, server)

    part, failures = yield from first_of(servers, attempt, random_bytes)
    return attrs.evolve(part, failures=failures)


def _verified(server: str, response: Response, receiver: Receiver, uri: NiUri, max_size: int) -> Fetched | Failure:
    if receiver.is_over:
        reason = f"over the {max_size} octets that are accepted"
        return Failure(server, response.status, ErrorCode.TOO_LARGE, reason)
    if response.status != 200 or not receiver.digest.matches(uri.name):
        return unexpected(server, response, "these octets do not have this name")
    field = response.header("Content-Type")
    if uri.content_type is not None and _essence(field or "") != _essence(uri.content_type):
        return unexpected(server, response, f"{_essence(field or ''):.80} is not the type in the name")
    return Fetched(server, receiver.size, field)


def _essence(media_type: str) -> str:
    return media_type.partition(";")[0].strip().lower()


def _check_whole(name: Name) -> None:
    if not name.is_whole:
        raise DecodeError(f"{name.algorithm} binds no object", ErrorCode.DIGEST_UNSUPPORTED)


def put(
    name: Name,
    source: Source,
    server: str,
    credentials: Sequence[Credential],
    *,
    expires: int | None = None,
    media_type: str | None = None,
    collections: tuple[bytes, ...] = (),
    random_bytes: RandomBytes = secrets.token_bytes,
) -> Plan[bool]:
    """Store an object: whether the account has not had it before. `expires`: seconds since 1970. `collections`: that it
    is to be in, at servers that have the extension. Raises FailedError.
    """
    kind = () if media_type is None else (("Content-Type", media_type),)
    wait = (("Expect", "100-continue"),) if source.size >= EXPECT_FROM else ()
    headers = (("Content-Length", str(source.size)), *kind, *wait, *write_attrs(expires, collections))

    def attempt(one: str) -> Plan[Response | Failure]:
        exchange = Exchange(Request("PUT", one + name.path, headers), Receiver(), source, name.value)
        return (yield from ask(exchange, credentials))

    response, _ = yield from first_of([server], attempt, random_bytes)
    return response.status == 201


def delete(
    name: Name, server: str, credentials: Sequence[Credential], *, random_bytes: RandomBytes = secrets.token_bytes
) -> Plan[None]:
    """Delete an object of the account. Raises FailedError."""

    def attempt(one: str) -> Plan[Response | Failure]:
        return (yield from ask(Exchange(Request("DELETE", one + name.path), Receiver()), credentials))

    yield from first_of([server], attempt, random_bytes)

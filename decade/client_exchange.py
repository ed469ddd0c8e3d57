"""What a plan of a client is made of: exchanges, waits, and what went wrong (RFC 7069 section 6.3).

A plan is a generator. It yields an `Exchange` or a `Wait`, and a driver with any HTTP library that follows no redirects
by itself runs it like this::

    step, reply = next(plan), None
    while True:                                     # StopIteration.value is the result
        if isinstance(step, Wait):
            sleep(step.seconds)
            step = plan.send(None)
        else:
            head, parts = send(step)                # step.signed(), step.source; or plan.throw(UnreachableError())
            if step.receiver.start(head):
                while parts and step.receiver.feed(next(parts)): ...
            step = plan.send(head)

Nobody keeps a body in memory because a peer sends it: a `Receiver` takes what was allowed and not an octet more.
"""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar
from urllib.parse import urljoin, urlsplit

import attrs

from decade import cbor
from decade.cbor import MAX_MESSAGE
from decade.cose import MAC0, SIGN1, Ed25519SigningKey, Es256SigningKey
from decade.errors import STATUS, DecadeError, DecodeError, ErrorCode
from decade.http import Headers, Request, Response
from decade.names import Digest
from decade.pop import sign
from decade.problem import Problem, decode_problem
from decade.tokens import CWT, MAX_TOKEN

_T = TypeVar("_T")
RandomBytes: TypeAlias = Callable[[int], bytes]

MAX_REDIRECTS = 5
MAX_ROUNDS = 3
"""Times that servers are asked that have no time: then it fails."""
MAX_WAIT = 60.0
"""Seconds that a server may make a client wait: beyond it another server is quicker."""
FIRST_WAIT = 0.5
"""Seconds until a second try where the server says nothing; it doubles each time, and half of it is chance."""
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_SAME_METHOD = frozenset({307, 308})
_BUSY = frozenset({429, 503})
_IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE"})
_AUDIENCE = 3
_NONCE_SIZE = 16
_TAGS = frozenset({CWT, MAC0, SIGN1})


class UnreachableError(DecadeError):
    """There was no answer, or it was cut short: what a driver throws into a plan, with the reason.

    `is_lost`: a connection was there, and broke. One that is kept for later may be closed at any time, which says
    nothing of the server (RFC 9110 section 9.2.2).
    """

    def __init__(self, reason: str, *, is_lost: bool = False) -> None:
        super().__init__(reason)
        self.is_lost = is_lost


class FailedError(DecadeError):
    """No server did what was asked; `failures` has one entry for each time that one was asked."""

    def __init__(self, failures: Sequence[Failure]) -> None:
        """In the order in which they were tried."""
        super().__init__("; ".join(map(str, failures)) or "there is no server to ask")
        self.failures = tuple(failures)


@attrs.frozen
class Wait:
    """Send None in so many seconds."""

    seconds: float


class Sink(Protocol):
    """Where the octets of an object go before they are verified."""

    def restart(self) -> None:
        """Forget what was written: it comes again from the start."""

    def write(self, octets: bytes) -> object:
        """The next octets."""


class Source(Protocol):
    """Where the octets of an object come from, more than once if it must be."""

    @property
    def size(self) -> int:
        """Octets in all."""

    def parts(self) -> Iterator[bytes]:
        """All of them, from the start."""


class Receiver:
    """Takes the body of one answer. Of an object it goes to a sink and is hashed; all else is kept, up to a message."""

    def __init__(self, sink: Sink | None = None, max_size: int = MAX_MESSAGE) -> None:
        """`max_size`: octets of an object that are accepted."""
        self._sink = sink
        self._max_size = max_size
        self.reset()

    def reset(self) -> None:
        """Nothing has come yet."""
        self._is_object = False
        self._kept = bytearray()
        self.digest = Digest()
        self.size = 0
        self.total: int | None = None
        self.has_begun = False
        self.is_over = False

    @property
    def octets(self) -> bytes:
        """What was kept."""
        return bytes(self._kept)

    def start(self, head: Response) -> bool:
        """An answer begins: whether its body is wanted."""
        self.reset()
        self.has_begun = True
        self._is_object = self._sink is not None and head.status in (200, 206)
        field = head.header("Content-Length") or ""
        self.total = int(field) if field.isascii() and field.isdecimal() and len(field) < 19 else None
        self.is_over = self.total is not None and self.total > self._limit
        if self._is_object and self._sink is not None:
            self._sink.restart()
        return not self.is_over

    def feed(self, octets: bytes) -> bool:
        """The next octets: whether more are wanted. What the sink raises passes through."""
        self.size += len(octets)
        if self.size > self._limit:
            self.is_over = True
            return False
        if self._is_object and self._sink is not None:
            self.digest.update(octets)
            self._sink.write(octets)
        else:
            self._kept += octets
        return True

    @property
    def _limit(self) -> int:
        return self._max_size if self._is_object else MAX_MESSAGE


ProofKey: TypeAlias = Ed25519SigningKey | Es256SigningKey


@attrs.frozen
class Exchange:
    """Send this request, and give the answer's body to the receiver. `source`: the body that goes with it.

    `digest`: the SHA-256 of the source. `key`: what the request is to be signed with, by `signed`, as it is sent.
    """

    request: Request
    receiver: Receiver
    source: Source | None = None
    digest: bytes | None = None
    key: ProofKey | None = attrs.field(default=None, repr=False)

    def signed(self, *, wall: float, random_bytes: RandomBytes) -> Request:
        """The request as it is sent at a Unix time, with the proof that its token asks for, if it does."""
        if self.key is None:
            return self.request
        nonce = random_bytes(_NONCE_SIZE).hex()
        fields = sign(self.request, self.key, created=int(wall), nonce=nonce, digest=self.digest)
        return attrs.evolve(self.request, headers=(*self.request.headers, *fields))


Plan: TypeAlias = Generator[Exchange | Wait, Response | None, _T]


@attrs.frozen
class Failure:
    """Why a server was of no use: the status of its answer and the code in it, or what was wrong with the answer.

    `status` is 0 when there was none. `retry_after`: seconds after which it may be asked again, None for never.
    """

    server: str
    status: int = 0
    code: int | None = None
    reason: str = ""
    retry_after: float | None = None

    @property
    def is_blamed(self) -> bool:
        """Whether the server has sent what it should not: other octets, or another type."""
        return self.code == ErrorCode.REMOTE_MISMATCH and self.status in (200, 206)

    def __str__(self) -> str:
        """The server, the name of the code or else the status, and the reason."""
        named = ErrorCode(self.code) if self.code is not None and self.code in STATUS else None
        what = str(self.status or "") if named is None else named.name.lower().replace("_", "-")
        return f"{self.server}: {what}{' ' if what and self.reason else ''}{self.reason}"


@attrs.frozen
class Credential:
    """A token, and the origins that it is for: no other server is ever sent it.

    Off this machine it goes over TLS alone (RFC 7069 section 8.2), unless `is_insecure_allowed`. `key`: whose
    possession is to be proved, for a token that asks for it (RFC 8747).
    """

    token: bytes = attrs.field(repr=False)
    audience: tuple[str, ...]
    is_insecure_allowed: bool = False
    key: ProofKey | None = attrs.field(default=None, repr=False)

    @classmethod
    def of(cls, token: bytes) -> Credential:
        """With the audience that the token names; its signature is the server's to verify. Raises DecodeError."""
        audience = unverified_claims(token).get(_AUDIENCE)
        audience = (audience,) if isinstance(audience, str) else audience
        if isinstance(audience, tuple) and all(isinstance(one, str) for one in audience):
            return cls(token, audience)
        raise DecodeError("a token without an audience")

    @property
    def text(self) -> str:
        """The token in base64url, as it travels."""
        return base64.urlsafe_b64encode(self.token).rstrip(b"=").decode()

    def headers(self, uri: str) -> Headers:
        """The header field for a request to this URI; none if its origin is not, to the character, in the audience."""
        if origin(uri) not in self.audience or not (is_confidential(uri) or self.is_insecure_allowed):
            return ()
        return (("Authorization", f"Bearer {self.text}"),)


def unverified_claims(token: bytes) -> Mapping[int | str, Any]:
    """What a token says, by the numbers of the claims, true or not: for who holds it. Raises DecodeError."""
    match cbor.decode(token, max_size=MAX_TOKEN, tags=_TAGS):
        case cbor.Tag(tag=61, value=cbor.Tag(value=(bytes(), Mapping(), bytes(payload), bytes()))):
            claims = cbor.decode(payload)
            if isinstance(claims, Mapping):
                return claims
    raise DecodeError("no token")


def authorized(exchange: Exchange, target: str, credentials: Sequence[Credential]) -> Exchange:
    """The exchange at this URI, with the first token that is for it."""
    request = attrs.evolve(exchange.request, target=target)
    for credential in credentials:
        if headers := credential.headers(target):
            request = attrs.evolve(request, headers=(*request.headers, *headers))
            return attrs.evolve(exchange, request=request, key=credential.key)
    return attrs.evolve(exchange, request=request)


def ask(exchange: Exchange, credentials: Sequence[Credential]) -> Plan[Response | Failure]:
    """The answer after redirects, with what the receiver has kept as its body; or why there is none."""
    target = exchange.request.target
    for hops in range(MAX_REDIRECTS + 1):
        step = authorized(exchange, target, credentials)
        exchange.receiver.reset()
        try:
            head = yield step
        except UnreachableError as error:
            # It has begun to answer: the next time it may come to the end of it.
            is_again = exchange.receiver.has_begun or (error.is_lost and step.request.method in _IDEMPOTENT)
            retry = FIRST_WAIT if is_again else None
            return Failure(origin(target), reason=str(error), retry_after=retry)
        if head is None:
            raise TypeError("a request is answered with a response")
        following = _redirected(step.request, head) if hops < MAX_REDIRECTS else None
        if following is None:
            response = attrs.evolve(head, body=exchange.receiver.octets)
            return _failure(target, response) or response
        target = following
    raise AssertionError("the last answer is returned")


def first_of(
    servers: Sequence[str], attempt: Callable[[str], Plan[_T | Failure]], random_bytes: RandomBytes
) -> Plan[tuple[_T, tuple[Failure, ...]]]:
    """What the first server that can do it has done, and the failures before it. Raises FailedError.

    Those that are busy are asked again when nobody else has done it, after a wait.
    """
    failures: list[Failure] = []
    waiting = list(dict.fromkeys(servers))
    for tries in range(MAX_ROUNDS):
        busy: dict[str, float] = {}
        for server in waiting:
            result = yield from attempt(server)
            if not isinstance(result, Failure):
                return result, tuple(failures)
            failures.append(result)
            if result.retry_after is not None and result.retry_after <= MAX_WAIT:
                busy[server] = result.retry_after
        if not busy or tries == MAX_ROUNDS - 1:
            break
        yield Wait(max(min(busy.values()), _backoff(tries, random_bytes)))
        waiting = list(busy)
    raise FailedError(failures)


def _backoff(tries: int, random_bytes: RandomBytes) -> float:
    return FIRST_WAIT * (1 << tries) * (0.5 + random_bytes(1)[0] / 510)


def origin(uri: str) -> str:
    """Scheme, host and port as they stand."""
    return "/".join(uri.split("/", 3)[:3])


def is_confidential(uri: str) -> bool:
    """Whether nobody on the way can read what is sent there."""
    return uri.startswith("https://") or _is_loopback(uri)


def _is_loopback(uri: str) -> bool:
    try:
        host = urlsplit(uri).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _redirected(request: Request, head: Response) -> str | None:
    """Where to go, if it is safe: to https, or to the same origin, or from this machine to this machine.

    A method other than GET and HEAD stays what it is, and so is followed for 307 and 308 alone (RFC 9110 section 15.4).
    """
    location = head.header("Location")
    statuses = _REDIRECTS if request.method in ("GET", "HEAD") else _SAME_METHOD
    if head.status not in statuses or location is None:
        return None
    try:
        following = urljoin(request.target, location)
        parts = urlsplit(following)
        is_somewhere = bool(parts.hostname) and parts.port != 0
        is_local = parts.scheme == "http" and _is_loopback(following) and _is_loopback(request.target)
    except ValueError:
        return None
    is_safe = parts.scheme == "https" or origin(following) == origin(request.target) or is_local
    is_plain = following.isascii() and following.isprintable() and " " not in following
    return following if is_safe and is_plain and is_somewhere and "@" not in parts.netloc else None


def _failure(target: str, response: Response) -> Failure | None:
    if 200 <= response.status < 300:
        return None
    problem = decode_problem(body_of(response))
    # A code that does not go with the status is not this server's answer to this request.
    known = problem is not None and problem.code in STATUS and STATUS[ErrorCode(problem.code)] == response.status
    title = (problem.title or "") if problem is not None else ""
    return Failure(
        origin(target),
        response.status,
        problem.code if problem is not None and known else None,
        "".join(each if each.isprintable() else "?" for each in title[:200]),
        _retry_after(response, problem),
    )


def _retry_after(response: Response, problem: Problem | None) -> float | None:
    """The seconds that a busy server asks for; None if it is not busy."""
    if response.status not in _BUSY:
        return None
    field = response.header("Retry-After") or ""
    if problem is not None and problem.retry_after is not None:
        return float(problem.retry_after / 1000)
    if field.isascii() and field.isdecimal() and len(field) <= 9:
        return float(field)
    return FIRST_WAIT


def body_of(response: Response) -> bytes:
    """The octets of an answer to a client."""
    if not isinstance(response.body, bytes):
        raise TypeError("the answer to a client has octets")
    return response.body


def as_text(value: bytes) -> str:
    """Octets in a URI: base64url without padding."""
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def unexpected(target: str, response: Response, reason: str) -> Failure:
    """A success that is none."""
    return Failure(origin(target), response.status, ErrorCode.REMOTE_MISMATCH, reason)

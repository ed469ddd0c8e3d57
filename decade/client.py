"""What a client does, as plans: generators that yield a `Request`, or a `Wait`, and are sent the `Response`.

A driver runs one like this, with any HTTP library that follows no redirects by itself::

    step, answer = next(plan), None
    while True:
        answer = send(step) if isinstance(step, Request) else sleep(step.seconds)
        step = plan.send(answer)          # StopIteration.value is the result

Objects are verified by their names whatever the server says (RFC 7069 section 8.3).
"""

from __future__ import annotations

import base64
from collections.abc import Generator, Sequence
from typing import TypeAlias
from urllib.parse import urljoin, urlsplit

import attrs

from decade.errors import STATUS, DecadeError, DecodeError, ErrorCode
from decade.http import Headers, Request, Response, write_attrs
from decade.messages import Message, Status, decode_message
from decade.names import Name, NiUri, name_of
from decade.problem import decode_problem
from decade.settings import DRP_PATH

MAX_REDIRECTS = 5
MAX_TRIES = 3
"""Times that one server is asked that says it has no time: then another one is, or nobody."""
MAX_WAIT = 60.0
"""Seconds that a server may make a client wait: beyond it another server is quicker."""
_DEFAULT_WAIT = 1.0
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_BUSY = frozenset({429, 503})


@attrs.frozen
class Wait:
    """Send None in so many seconds."""

    seconds: float


@attrs.frozen
class Failure:
    """Why a server was of no use: the status of its answer and the code in it, or what was wrong with the answer."""

    server: str
    status: int
    code: int | None = None
    reason: str = ""


class FailedError(DecadeError):
    """No server did what was asked; `failures` has one entry for each that was tried."""

    def __init__(self, failures: Sequence[Failure]) -> None:
        """In the order in which they were tried."""
        super().__init__("; ".join(f"{f.server}: {f.status} {f.code or ''} {f.reason}".rstrip() for f in failures))
        self.failures = tuple(failures)


@attrs.frozen
class Credential:
    """A token, and the origins that it is for: no other server is ever sent it."""

    token: bytes = attrs.field(repr=False)
    audience: tuple[str, ...]

    def headers(self, uri: str) -> Headers:
        """The header field for a request to this URI; none if its origin is not, to the character, in the audience."""
        if _origin(uri) not in self.audience:
            return ()
        text = base64.urlsafe_b64encode(self.token).rstrip(b"=").decode()
        return (("Authorization", f"Bearer {text}"),)


Plan: TypeAlias = Generator[Request | Wait, Response | None, Response]


def fetch(
    uri: NiUri, servers: Sequence[str], credential: Credential | None = None
) -> Generator[Request | Wait, Response | None, bytes]:
    """Get an object from the first of these origins that has it, and verify it. Raises FailedError.

    A media type other than the `ct` of the name, if it has one, counts as a failure (RFC 6920 section 3.1).
    """
    failures = []
    for server in servers:
        response = yield from _ask(Request("GET", server + uri.name.path), credential)
        failure = _failure(server, response) or _mismatch(server, response, uri)
        if failure is None:
            return _octets(response)
        failures.append(failure)
    raise FailedError(failures)


def put(
    octets: bytes,
    server: str,
    credential: Credential,
    *,
    expires: int | None = None,
    media_type: str | None = None,
) -> Generator[Request | Wait, Response | None, Name]:
    """Store an object, and return its name. `expires`: seconds since 1970. Raises FailedError."""
    name = name_of(octets)
    kind = () if media_type is None else (("Content-Type", media_type),)
    headers = (("Content-Length", str(len(octets))), *kind, *write_attrs(expires))
    response = yield from _ask(Request("PUT", server + name.path, headers, octets), credential)
    failure = _failure(server, response)
    if failure is not None:
        raise FailedError([failure])
    return name


def delete(name: Name, server: str, credential: Credential) -> Generator[Request | Wait, Response | None, None]:
    """Delete an object of the account. Raises FailedError."""
    response = yield from _ask(Request("DELETE", server + name.path), credential)
    failure = _failure(server, response)
    if failure is not None:
        raise FailedError([failure])


def status(server: str, credential: Credential) -> Generator[Request | Wait, Response | None, Status]:
    """What the account has and uses at a server. Raises FailedError."""
    response = yield from _ask(Request("GET", f"{server}{DRP_PATH}status"), credential)
    failure = _failure(server, response)
    message = None if failure is not None else _message(response)
    if isinstance(message, Status):
        return message
    raise FailedError([failure or Failure(server, response.status, reason="no status")])


def _ask(request: Request, credential: Credential | None) -> Plan:
    """The answer to a request, after redirects, and after waits if the server asks for them."""
    redirects, tries = 0, 1
    target = request.target
    while True:
        token = () if credential is None else credential.headers(target)
        response = yield attrs.evolve(request, target=target, headers=(*request.headers, *token))
        if response is None:
            raise TypeError("a request is answered with a response")
        following = _redirected(target, response)
        wait = _wait(response)
        if following is not None and redirects < MAX_REDIRECTS:
            redirects, target = redirects + 1, following
        elif wait is not None and tries < MAX_TRIES:
            tries += 1
            yield Wait(wait)
        else:
            return response


def _redirected(target: str, response: Response) -> str | None:
    """Where to go, if it is safe: to https, or to the same origin."""
    location = response.header("Location")
    if response.status not in _REDIRECTS or location is None:
        return None
    try:
        following = urljoin(target, location)
        parts = urlsplit(following)
    except ValueError:
        return None
    is_safe = parts.scheme == "https" or _origin(following) == _origin(target)
    return following if is_safe and parts.hostname and "@" not in parts.netloc else None


def _wait(response: Response) -> float | None:
    """The seconds that a busy server asks for, None if it is not busy, or for too long."""
    if response.status not in _BUSY:
        return None
    problem = decode_problem(_octets(response))
    field = response.header("Retry-After") or ""
    if problem is not None and problem.retry_after is not None:
        seconds = problem.retry_after / 1000
    elif field.isascii() and field.isdecimal() and len(field) <= 9:
        seconds = float(field)
    else:
        seconds = _DEFAULT_WAIT
    return seconds if seconds <= MAX_WAIT else None


def _failure(server: str, response: Response) -> Failure | None:
    if response.status in (200, 201, 204):
        return None
    problem = decode_problem(_octets(response))
    # A code that does not go with the status is not this server's answer to this request.
    known = problem is not None and problem.code in STATUS and STATUS[ErrorCode(problem.code)] == response.status
    title = (problem.title or "") if problem is not None else ""
    return Failure(server, response.status, problem.code if problem is not None and known else None, title)


def _mismatch(server: str, response: Response, uri: NiUri) -> Failure | None:
    if not uri.name.matches(_octets(response)):
        return Failure(server, response.status, ErrorCode.REMOTE_MISMATCH, "these octets do not have this name")
    got = (response.header("Content-Type") or "").partition(";")[0].strip().lower()
    if uri.content_type is not None and got != uri.content_type.partition(";")[0].strip().lower():
        return Failure(server, response.status, ErrorCode.REMOTE_MISMATCH, f"{got:.80} is not the type in the name")
    return None


def _message(response: Response) -> Message | None:
    try:
        return decode_message(_octets(response))
    except DecodeError:
        return None


def _octets(response: Response) -> bytes:
    if not isinstance(response.body, bytes):
        raise TypeError("the answer to a client has octets")
    return response.body


def _origin(uri: str) -> str:
    return "/".join(uri.split("/", 3)[:3])

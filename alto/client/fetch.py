"""One request to its end: redirects, authentication, revalidation (RFC 7285 sections 8.3 and 8.5.3, RFC 9110).

A plan is a generator that yields a `Request` and is sent its `Response`; whoever carries it may throw an
`UnreachableError` into it instead. It never waits and never sees a socket.
"""

from collections.abc import Generator
from typing import Protocol, TypeAlias, TypeVar

from attrs import define, field, frozen

from alto.client.cache import CachedAnswer, ResponseCache, conditional, is_unchanged
from alto.client.errors import ServerError, server_error
from alto.errors import DecodeError
from alto.http import Request, Response
from alto.ird import resolve

_T = TypeVar("_T")

Plan: TypeAlias = Generator[Request, Response, _T]

MAX_REDIRECTS = 5
"""Redirects of one request; two are a lot already."""

MAX_BODY = 128 * 1024 * 1024
"""Octets of a response: a cost map of four thousand PIDs."""

MAX_CHALLENGES = 2
"""Challenges that are answered: the first one, and another for a nonce that has expired in between."""

_NO_ANSWER = (201, 202, 204, 205, 206)
"""Statuses of success without the resource, or without all of it. One that is not known is as good as 200, says RFC
9110 section 15, and so is 203, which a proxy makes of it."""

_SEE_OTHER = 303
REDIRECTS = (301, 302, _SEE_OTHER, 307, 308)
_UNAUTHORIZED = 401


class Credentials(Protocol):
    """Who the client is, for one origin and no other: `alto.auth.DigestClient`, for one."""

    def authorize(self, request: Request) -> Request:
        """The request with proof, where there is one for its origin without being asked again; else as it is."""

    def answer(self, request: Request, response: Response) -> Request | None:
        """What to send after a response of status 401; None where it cannot be answered."""


@define
class Session:
    """What outlives one request: credentials, what is kept of answers, a limit."""

    credentials: Credentials | None = None
    max_body: int = MAX_BODY
    cache: ResponseCache = field(factory=ResponseCache)


@frozen
class Fetched:
    """The answer at the end of all redirects, and the URI it came from."""

    uri: str
    response: Response
    kept: CachedAnswer
    is_unchanged: bool = False
    """Whether the server has said that what was kept still holds."""


def fetch(session: Session, request: Request) -> Plan[Fetched]:
    """Send a request and follow where it leads. Raises ServerError for a status that is no success, and DecodeError
    for a redirect that leads nowhere, in a circle, too far, or from https to http.

    POST stays POST, since an ALTO server need not answer a GET in its place (section 8.3.2); only 303 asks for a GET.
    """
    seen: set[tuple[str, str]] = set()
    for _ in range(MAX_REDIRECTS + 1):
        seen.add((request.method, request.target))
        fetched = yield from _send(session, request)
        response = fetched.response
        location = response.header("location")
        if response.status not in REDIRECTS or location is None:
            if not is_answer(response):
                raise server_error(response, request.target)
            return fetched
        request = redirected(request, response.status, location)
        if (request.method, request.target) in seen:
            raise DecodeError(f"{request.target:.200}: a loop of redirects")
    raise DecodeError(f"{request.target:.200}: more than {MAX_REDIRECTS} redirects")


def is_answer(response: Response) -> bool:
    """Whether the body is what was asked for."""
    return 200 <= response.status < 300 and response.status not in _NO_ANSWER


def redirected(request: Request, status: int, location: str) -> Request:
    """The request that a redirect leads to. Raises DecodeError for one that leads nowhere, or away from https."""
    target = resolve(request.target, location.strip())
    if target is None:
        raise DecodeError(f"{request.target:.200}: a redirect to {location!r:.200}, which is no http or https URI")
    if request.target.startswith("https:") and not target.startswith("https:"):
        raise DecodeError(f"{request.target:.200}: a redirect from https to {target:.200}")
    if status != _SEE_OTHER or request.method == "GET":
        return Request(request.method, target, request.headers, request.body)
    headers = tuple((name, value) for name, value in request.headers if name.lower() != "content-type")
    return Request("GET", target, headers)


def _send(session: Session, request: Request) -> Plan[Fetched]:
    kept = session.cache.find(request)
    asked = request if kept is None else conditional(request, kept)
    response = yield from authorized(session.credentials, asked)
    if len(response.body) > session.max_body:
        raise DecodeError(f"{request.target:.200}: a body of more than {session.max_body} octets")
    if is_unchanged(response):
        if kept is None:
            raise ServerError(response.status, uri=request.target)
        return Fetched(request.target, kept.response, kept, is_unchanged=True)
    if not is_answer(response):
        return Fetched(request.target, response, CachedAnswer(request, response))
    return Fetched(request.target, response, session.cache.keep(request, response))


def authorized(credentials: Credentials | None, request: Request) -> Plan[Response]:
    """The response to a request, after all challenges that there are credentials for."""
    if credentials is None:
        return (yield request)
    request = credentials.authorize(request)
    response = yield request
    for _ in range(MAX_CHALLENGES):
        answer = credentials.answer(request, response) if response.status == _UNAUTHORIZED else None
        if answer is None:
            break
        request = answer
        response = yield request
    return response

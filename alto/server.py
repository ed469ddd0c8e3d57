"""The ALTO server (RFC 7285): an HTTP request in, an answer out; no socket, no clock."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar, TypeAlias

import attrs
from attrs import field, frozen

from alto import _serving_requests as requests
from alto import media
from alto._serving_answers import PRIVATE, Encoded, error_response, finished, once, refusal
from alto._serving_ird import DelegatedDirectory, check, directory_of, part_of
from alto._serving_limits import Budgets, Limits
from alto._serving_representations import Representations, is_cacheable
from alto.address import client_endpoint
from alto.auth import Authenticated, Authenticator
from alto.directory import Directory, Document, Query, RequestContext
from alto.errors import ConfigurationError, RequestError
from alto.http import Answer, Headers, Pending, Response, Stream
from alto.http import Request as HttpRequest
from alto.ports import Resource, Service

__all__ = ["AltoServer", "DelegatedDirectory", "Limits", "Prepared"]

RETRY_AFTER = 30
"""Seconds that a client is asked to wait for a server that is going down or cannot work."""

Peer: TypeAlias = tuple[str, int] | None


@frozen
class Prepared:
    """Resources that are to replace others, and the representations of what changes with them."""

    resources: tuple[Resource, ...]
    encoded: Mapping[str, Encoded] = field(factory=dict, hash=False)


class AltoServer:
    """Serves a directory of resources below one URI: the directory at the URI itself, each resource at its ID.

    `epoch` is the Unix time at `now == 0`. `base_uri` is the absolute URI at which clients reach the server; where it
    is empty each request has to say it. What is served by GET may be kept by caches for `max_age` seconds before they
    ask again. A `private` server tells nobody anything before `authenticator` knows who asks; otherwise that holds for
    the resources that say so. `redirects` sends those who ask for a resource ID to another URI (section 8.5.3).

    A server that another one's directory leads to (section 9.2.4) is told so by `elsewhere`: the IDs of the resources
    that are listed and served there, where an ID is listed once, and are here only what others are made from; there may
    be none. Any other server needs a network map. Raises ConfigurationError.
    """

    Request: ClassVar = HttpRequest

    def __init__(
        self,
        directory: Directory,
        *,
        epoch: float,
        base_uri: str = "",
        authenticator: Authenticator | None = None,
        private: bool = False,
        delegated: Iterable[DelegatedDirectory] = (),
        elsewhere: Iterable[str] | None = None,
        redirects: Mapping[str, str] | None = None,
        max_age: int = 0,
        limits: Limits | None = None,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        limits = limits or Limits()
        self.max_body = limits.body
        """Octets of the longest body that `handle` reads; it refuses a longer one, so one octet more is enough."""
        self.base_uri = requests.checked_base(base_uri)
        """Where clients reach the server, with a slash at its end; empty where each request says it."""
        self._directory = directory
        self._epoch = epoch
        self._authenticator = authenticator
        self._private = private
        self._delegated = _by_id(delegated, directory)
        self._elsewhere = None if elsewhere is None else frozenset(elsewhere)
        self._redirects = {name: requests.checked_absolute(uri) for name, uri in (redirects or {}).items()}
        self._budgets = Budgets(limits.posts_per_second, limits.burst) if limits.posts_per_second else None
        self._random_bytes = random_bytes
        check(directory, self._delegated, self._elsewhere)
        self._hidden = self._elsewhere or frozenset()
        freshness = f"public, max-age={max_age}, must-revalidate" if max_age else "public, no-cache"
        keeping = PRIVATE if private else (("Cache-Control", freshness), ("Vary", "Accept-Encoding"))
        self._representations = Representations(self._for_everybody, keeping, self._hidden)

    @property
    def directory(self) -> Directory:
        """What the server holds."""
        return self._directory

    @property
    def is_private(self) -> bool:
        """Whether it tells nobody anything before it knows who asks."""
        return self._private

    def prepare(self, *resources: Resource) -> Prepared:
        """Encode, compress and compare what would otherwise be when it is first asked for. Changes nothing.

        It may run in another thread. Without arguments: for what the server holds. Raises ConfigurationError.
        """
        after = self._replacing(resources)
        encoded = self._representations.encoded(after)
        for service in after.services.values():
            service.find_ahead(after)
        return Prepared(resources, encoded)

    def update(self, *resources: Resource, now: float) -> None:
        """Replace resources by those with the same IDs; services hear of it.

        Raises ConfigurationError, with nothing changed.
        """
        self.apply(Prepared(resources), now)

    def apply(self, prepared: Prepared, now: float) -> None:
        """Do what `prepare` has prepared, like `update`."""
        after = self._replacing(prepared.resources)
        self._directory = after
        self._representations.replaced(after, prepared.encoded, self._epoch + now)
        if prepared.resources:
            for service in after.services.values():
                service.changed(after, now)

    def _replacing(self, resources: tuple[Resource, ...]) -> Directory:
        after = self._directory.replacing(*resources)
        check(after, self._delegated, self._elsewhere)
        return after

    def get_timer(self) -> float | None:
        """When `handle_timer` is due; None while there is nothing to wait for."""
        timers = [timer for service in self._directory.services.values() if (timer := service.get_timer()) is not None]
        return min(timers, default=None)

    def handle_timer(self, now: float) -> None:
        """Let the services do what is due; early and late calls do no harm."""
        for service in self._directory.services.values():
            service.handle_timer(now)

    def close(self, description: str) -> None:
        """End every stream and long poll of the services; `description` tells the clients why."""
        for service in self._directory.services.values():
            service.close(description)

    def next_ready(self) -> Stream | Pending | None:
        """A stream that has octets to send, or a long poll that is answered, each once a change; None at the end."""
        for service in self._directory.services.values():
            ready = service.next_ready()
            if ready is not None:
                return ready
        return None

    def handle(
        self, request: HttpRequest, peer: Peer, now: float, *, user: str | None = None, base_uri: str | None = None
    ) -> Answer:
        """Answer one request; `peer` is the IP address and port it comes from, None where there is no such thing.

        `user` is who the connection itself has proven the client to be, by a TLS certificate. `base_uri` is where this
        request finds the server, if the server was not told. Whatever the request is, nothing is raised; what a
        resource of the application raises other than RequestError goes through, and `internal_error` is the answer.
        """
        base = self.base_uri or base_uri or "/"
        try:
            return self._answer(request, peer, now, user, base)
        except RequestError as error:
            return error_response(error)

    def internal_error(self, request: HttpRequest) -> Response:
        """The answer to a request whose handling failed unexpectedly."""
        return refusal(500, "the server failed at this request")

    def unavailable(self, request: HttpRequest) -> Response:
        """The answer of a server that is going down or has too much to do (section 8.5.3)."""
        return _unavailable(RETRY_AFTER)

    def _answer(self, request: HttpRequest, peer: Peer, now: float, user: str | None, base: str) -> Answer:
        if len(request.body) > self.max_body:
            return refusal(413, f"a body may have {self.max_body} octets")
        if request.target == "*" and request.method == "OPTIONS":
            return Response(204, requests.options((*_GET, *_POST), None))
        route = requests.route(request.target, base)
        if route is None:
            return refusal(404, "nothing of this server is there")
        resource_id, tail = route
        service = self._directory.services.get(resource_id)
        resource = self._directory.resources.get(resource_id) if not tail else None
        if resource_id in self._hidden:
            resource = None
        entry = resource if resource is not None else service
        auth: Headers = ()
        is_private = self._private or (entry is not None and entry.is_private)
        if is_private and user is None:
            verdict = self._who(request, now)
            if isinstance(verdict, Response):
                return verdict
            user, auth = verdict.user, verdict.headers
        # Only now, as those whom a private server does not know are not to learn what it has.
        if resource_id in self._redirects:
            return self._redirect(request, self._redirects[resource_id] + tail)
        if entry is None and resource_id:
            return refusal(404, "no resource has this URI")
        client = client_endpoint(peer[0]) if peer is not None else None
        if request.method == "POST" and (wait := self._budgets.wait(client, now) if self._budgets else 0):
            return _unavailable(wait)
        context = RequestContext(self._directory, client, base if "://" in base else "", user, self._epoch + now)
        if service is not None and (tail or request.method != "OPTIONS"):
            answer = service.handle(request, tail, context, now)
            if isinstance(answer, Response):
                answer = finished(answer, request, is_private=is_private)
        elif entry is not None and request.method == "OPTIONS":
            answer = self._options(entry, base)
        elif resource is not None:
            answer = self._serve(resource, request, context, is_private=is_private)
        else:
            answer = self._serve_directory(request, base, context.wall)
        if auth and isinstance(answer, Response):
            return attrs.evolve(answer, headers=(*answer.headers, *auth))
        return answer

    def _redirect(self, request: HttpRequest, uri: str) -> Response:
        query = request.target.partition("?")[2]
        location = f"{uri}?{query}" if query else uri
        if not location.isascii() or not location.isprintable() or " " in location:
            return refusal(400, "a URI with characters that are none of a URI's")
        return refusal(307, f"see {location}", ("Location", location))

    def _who(self, request: HttpRequest, now: float) -> Authenticated | Response:
        """Who sent the request, or the refusal of somebody unknown."""
        if self._authenticator is None:
            return refusal(403, "only for clients with a certificate that the server trusts")
        verdict = self._authenticator.authenticate(request, now)
        if isinstance(verdict, Authenticated):
            return verdict
        return refusal(401, "only for clients that have proven who they are", *verdict.headers)

    def _serve(
        self, resource: Resource, request: HttpRequest, context: RequestContext, *, is_private: bool
    ) -> Response:
        methods = _GET if resource.accepts is None else _POST
        refused = requests.refused(request, methods, resource.accepts, resource.media_type)
        if refused is not None:
            return refused
        if is_cacheable(resource):
            return self._representations.of(resource, self._directory, context.wall).answer(request, context.wall)
        value = requests.posted(request) if resource.accepts is not None else None
        query = Query(context, value, random_bytes=self._random_bytes)
        document = resource.answer(query)
        since = self._representations.since(resource, self._directory, context.wall)
        return once(document, request, since, is_private=is_private)

    def _for_everybody(self, resource: Resource, directory: Directory) -> Document:
        """The answer of a resource that is not to depend on who asks for it first."""
        return resource.answer(
            Query(RequestContext(directory, base_uri=self.base_uri), random_bytes=self._random_bytes)
        )

    def _options(self, entry: Resource | Service, base: str) -> Response:
        """The entry of the IRD for who asks for capabilities by OPTIONS (section 9.2.2)."""
        methods = _GET if entry.accepts is None else _POST
        document = Document(media.DIRECTORY, part_of(entry, self._directory, self._prefix(base)).to_json())
        headers = (("Content-Type", media.DIRECTORY), *requests.options(methods, entry.accepts))
        return Response(200, headers, document.body)

    def _serve_directory(self, request: HttpRequest, base: str, wall: float) -> Response:
        refused = requests.refused(request, _GET, None, media.DIRECTORY)
        if refused is not None:
            return refused
        if request.method == "OPTIONS":
            return Response(204, requests.options(_GET, None))
        prefix = self._prefix(base)

        def make() -> Document:
            return Document(
                media.DIRECTORY, directory_of(self._directory, self._delegated, self._hidden, prefix).to_json()
            )

        return self._representations.of_directory(prefix, self._directory, make, wall).answer(request, wall)

    def _prefix(self, base: str) -> str:
        """What stands before a resource ID in the directory.

        Where the server was not told its URI that is a path: the Host field of one must not be what others are served.
        """
        return self.base_uri or requests.path_of(base)


_GET = ("GET", "HEAD")
_POST = ("POST",)


def _unavailable(seconds: int) -> Response:
    return refusal(503, "too much to do", ("Retry-After", str(seconds)))


def _by_id(delegated: Iterable[DelegatedDirectory], directory: Directory) -> dict[str, DelegatedDirectory]:
    found: dict[str, DelegatedDirectory] = {}
    for entry in delegated:
        if entry.id in found or entry.id in directory.resources or entry.id in directory.services:
            raise ConfigurationError(f"the resource ID {entry.id!r} is there twice")
        found[entry.id] = entry
    return found

"""The server's side of the Transport Information Publication Service (RFC 9569).

Of RFC 9569 the late draft draft-ietf-alto-new-transport (2023-12-07) was at hand, not the published text: section
numbers are the draft's.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence

from alto import media, params
from alto._json import Json, dumps
from alto._questions import Question, depths
from alto._serving_answers import NO_STORE, refusal
from alto._serving_headers import combined
from alto._serving_requests import options, posted, refused
from alto._tips_views import Key, Poll, Polls, TipsLimits, View
from alto.directory import Directory, RequestContext
from alto.errors import AltoError, ConfigurationError, ErrorCode, RequestError
from alto.http import Answer, Request, Response
from alto.ports import Resource
from alto.tips_graph import Edge, UpdateItem, UpdatesGraph
from alto.tips_messages import TipsView, UpdatesGraphSummary, ascii_uri, read_tips_request

PATCH_TYPES = (media.MERGE_PATCH, media.JSON_PATCH)
"""The media types of incremental changes (section 5.2)."""
REFRESHED_AT_ONCE = 8
REFRESHED_OCTETS = 4 * 2**20
"""Views brought up to date at a time after a change, and octets of their documents: others are served in between."""
RETRY_SOON = 5
RETRY_LATER = 60
"""Seconds that a client is told to wait for a place to wait at, or for a view."""

_POST = ("POST",)
_SEQ = re.compile(r"0|[1-9][0-9]*")
_MAX_DIGITS = 15


class TipsService:
    """The TIPS of a server (a `ports.Service`): views of the resources that it `uses`, pulled edge by edge.

    `incremental_change_media_types` says for each resource which patches its clients have to understand; where nothing
    is said, both. A resource with a multipart answer has none. Raises ConfigurationError.

    Versions are made when somebody asks or waits: several changes between two requests become one version. A request
    that has waited for `limits.poll_timeout` is answered 425, and the client asks again.
    """

    media_type = media.TIPS
    accepts = media.TIPS_PARAMS

    def __init__(
        self,
        id: str,  # noqa: A002 - as the port has it
        uses: Sequence[str],
        *,
        incremental_change_media_types: Mapping[str, Sequence[str]] | None = None,
        is_private: bool = False,
        limits: TipsLimits | None = None,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self.id = id
        self.uses = tuple(uses)
        self.is_private = is_private
        self.limits = limits or TipsLimits()
        self._patch_types = dict.fromkeys(uses, PATCH_TYPES) | {
            name: tuple(types) for name, types in (incremental_change_media_types or {}).items()
        }
        for name, types in self._patch_types.items():
            if name not in self.uses:
                raise ConfigurationError(f"the TIPS {id!r} announces patches of {name!r}, which it does not use")
            if not set(types) <= set(PATCH_TYPES):
                raise ConfigurationError(f"the TIPS {id!r} announces patches that are neither merge nor JSON patch")
        self._random_bytes = random_bytes
        self._opened = 0
        self._views: OrderedDict[str, View] = OrderedDict()  # by their secrets, the one unused for longest first
        self._by_key: dict[Key, View] = {}
        self._octets = 0
        self._polls = Polls(self.limits)
        self._directory: Directory | None = None
        self._generation = 0
        self._changed_at = 0.0
        self._to_refresh: deque[View] = deque()

    def capabilities(self, directory: Directory) -> dict[str, Json]:
        """TIPSCapabilities (section 5.2)."""
        types = {name: ",".join(self._patches_of(directory.resources[name])) for name in self.uses}
        return {"incremental-change-media-types": {name: text for name, text in types.items() if text}}

    def handle(self, request: Request, tail: str, context: RequestContext, now: float) -> Answer:
        """Open a view, recommend a next edge, or give an update item. Raises RequestError."""
        if context.directory is not self._directory:
            self.changed(context.directory, now)
        path = tail.partition("?")[0]
        if not path:
            return self._open(request, context, now)
        _, secret, *rest = path.split("/")
        view = self._views.get(secret)
        if view is None or not view.may_see(context) or rest[:1] != ["ug"] or len(rest) not in (1, 3):
            return _error(404)
        return self._next_edge(request, view, now) if len(rest) == 1 else self._pull(request, view, rest, context, now)

    def changed(self, directory: Directory, now: float) -> None:
        """Resources were replaced: views that somebody waits at are brought up to date, what others use first."""
        self._directory = directory
        self._generation += 1
        self._changed_at = now
        order = depths(directory, self.uses)
        waited_at = [view for view in self._views.values() if view.polls]
        self._to_refresh = deque(sorted(waited_at, key=lambda view: order[view.question.resource_id]))
        self._refresh_some(now)

    def find_ahead(self, directory: Directory) -> None:
        """Find out what views of large documents will step to when `directory` holds. Another thread may do it."""
        for view in list(self._views.values()):
            resource = directory.resources.get(view.question.resource_id)
            held = view.graph.latest
            after = None if resource is None else view.question.ask_ahead(resource, directory, held)
            if after is not None:
                view.graph.find_ahead(after)

    def next_ready(self) -> Poll | None:
        """A long poll that is answered, each once."""
        return self._polls.next_answered()

    def get_timer(self) -> float | None:
        """When a request has waited long enough, a view is to be closed, or others are to be brought up to date."""
        timers = [self._polls.deadline(), self._changed_at if self._to_refresh else None]
        if self._views:
            timers.append(next(iter(self._views.values())).last_used + self.limits.view_idle)
        return min((timer for timer in timers if timer is not None), default=None)

    def handle_timer(self, now: float) -> None:
        """Do what is due."""
        self._refresh_some(now)
        for poll in self._polls.overdue(now):
            self._polls.answer(poll, _error(425, ("Retry-After", "0")))
            self._touch(poll.view, now)
        while self._views:
            oldest = next(iter(self._views.values()))
            if oldest.last_used + self.limits.view_idle > now:
                break
            if oldest.polls:
                self._touch(oldest, now)
            else:
                self._close(oldest)

    def close(self, description: str) -> None:
        """Answer every request that waits."""
        for poll in self._polls.waiting():
            self._polls.answer(poll, refusal(503, description, ("Retry-After", str(RETRY_SOON))))

    def _open(self, request: Request, context: RequestContext, now: float) -> Response:
        tree = _posted(request, media.TIPS)
        if isinstance(tree, Response):
            return tree
        asked = read_tips_request(tree)
        resource = context.directory.resources.get(asked.resource_id) if asked.resource_id in self.uses else None
        if resource is None:
            raise params.bad_value("resource-id", asked.resource_id)
        if not context.base_uri:
            return refusal(400, "a Host field is due: a view has an absolute URI")
        if resource.is_private and context.user is None:
            return refusal(403, "only for clients that have proven who they are")
        given = None if resource.accepts is None else tree.get("input", {})
        is_private = resource.is_private or self.is_private
        question = Question(asked.resource_id, given, context, now, is_private, self._random_bytes)
        if resource.accepts is not None and "input" not in tree:
            question.ask(resource, context.directory, now)
            # The resource has nothing against an empty object, but section 6.1 asks for the member.
            raise RequestError(ErrorCode.MISSING_FIELD, field="input")
        view = self._view_of(question, resource, now)
        if view is None:
            return _error(429, ("Retry-After", str(RETRY_LATER)))
        uri = ascii_uri(f"{context.base_uri}{self.id}/{view.secret}")
        opened = TipsView(uri, _summary(view.graph, view.graph.start_edge(asked.tag)))
        return Response(200, (("Content-Type", media.TIPS), NO_STORE), dumps(opened.to_json()))

    def _next_edge(self, request: Request, view: View, now: float) -> Response:
        tree = _posted(request, media.MERGE_PATCH)
        if isinstance(tree, Response):
            return tree
        asked = read_tips_request(tree)
        if asked.resource_id != view.question.resource_id:
            raise params.bad_value("resource-id", asked.resource_id)
        if "input" in tree:
            raise params.bad_value("input", tree["input"])
        if not self._refresh(view, now):
            return _error(404)
        self._touch(view, now)
        summary = _summary(view.graph, view.graph.next_edge(asked.tag))
        return Response(200, (("Content-Type", media.MERGE_PATCH), NO_STORE), dumps(summary.to_json()))

    def _pull(self, request: Request, view: View, rest: list[str], context: RequestContext, now: float) -> Answer:
        """The processing logic of section 7.2."""
        if request.method not in ("GET", "HEAD"):
            return _error(405, ("Allow", "GET, HEAD"))
        i, j = (_read_seq(text) for text in rest[1:])
        if i is None or j is None or not self._refresh(view, now):
            return _error(404)
        self._touch(view, now)
        accept = combined(request.headers, "accept")
        response = self._item(view, (i, j), accept)
        if response is not None:
            return response
        if self._polls.is_full_for(context.client):
            return _error(429, ("Retry-After", str(RETRY_SOON)))
        return self._polls.add(view, (i, j), accept, context.client, now)

    def _item(self, view: View, edge: Edge, accept: str | None) -> Response | None:
        """What a request for an edge is answered now; None where it may wait."""
        i, j = edge
        graph = view.graph
        item = graph.item(i, j)
        if item is not None:
            return _item_response(item, accept)
        if i >= j:
            return _error(404)
        if min(j, i or j) < graph.start_seq:
            return _error(410)
        if j > graph.end_seq + self.limits.poll_window:
            return _error(425, ("Retry-After", str(RETRY_SOON)))
        # A step or a snapshot that will be there once version j is.
        return None if j > graph.end_seq and (i == 0 or i + 1 == j) else _error(404)

    def _view_of(self, question: Question, resource: Resource, now: float) -> View | None:
        """The view of a question, a new one if there is none; None where there is no room. Raises RequestError."""
        assert self._directory is not None
        name, digest, context = question.resource_id, question.digest(), question.context
        personal: Key = (name, digest, (context.client, context.user))
        for key in (personal, (name, digest, None)):
            view = self._by_key.get(key)
            if view is not None and self._refresh(view, now):
                self._touch(view, now)
                return view
        depends = resource.depends_on(self._directory)
        document, is_personal = question.ask(resource, self._directory, now)
        if not self._make_room(len(document.body), now):
            return None
        graph = UpdatesGraph(
            document,
            patch_types=self._patches_of(resource),
            max_versions=self.limits.versions,
            max_octets=self.limits.view_octets,
        )
        key = personal if is_personal or question.is_private else (name, digest, None)
        view = View(self._secret(), key, question, graph, depends, self._generation, now)
        self._views[view.secret] = self._by_key[key] = view
        self._octets += graph.octets
        return view

    def _refresh(self, view: View, now: float) -> bool:
        """Bring a view up to date, and answer who waits at it; False where it had to be closed."""
        if view.generation == self._generation:
            return view.secret in self._views
        assert self._directory is not None
        question = view.question
        resource = self._directory.resources.get(question.resource_id)
        view.generation = self._generation
        before = view.graph.octets
        try:
            if resource is None or (resource.is_private and not question.is_private):
                raise ConfigurationError("the resource is gone, or no longer for everybody")
            depends = resource.depends_on(self._directory)
            if depends == view.depends:
                return True
            document, is_personal = question.ask(resource, self._directory, now)
            if is_personal and view.is_shared:
                raise ConfigurationError("the resource now looks at who asks")
        except AltoError:
            # What was asked cannot be asked any more: the client opens another view and is told why.
            self._close(view)
            return False
        view.depends = depends
        if view.graph.add(document):
            if self._octets + view.graph.octets - before > self.limits.octets:
                view.graph.shrink()
            self._octets += view.graph.octets - before
            self._settle(view, now)
        return True

    def _refresh_some(self, now: float) -> None:
        octets = 0
        for _ in range(min(REFRESHED_AT_ONCE, len(self._to_refresh))):
            view = self._to_refresh.popleft()
            if view.secret in self._views:
                self._refresh(view, now)
                octets += len(view.graph.latest.body)
            if octets > REFRESHED_OCTETS:
                break

    def _settle(self, view: View, now: float) -> None:
        for poll in list(view.polls):
            response = self._item(view, poll.edge, poll.accept)
            if response is not None:
                self._polls.answer(poll, response)
                self._touch(view, now)

    def _make_room(self, octets: int, now: float) -> bool:
        """Close the views unused for longest until there is room for another; False if there will be none."""
        while len(self._views) >= self.limits.views or self._octets + octets > self.limits.octets:
            oldest = next(iter(self._views.values()), None)
            if oldest is None or oldest.polls or oldest.last_used + self.limits.view_grace > now:
                return False
            self._close(oldest)
        return True

    def _close(self, view: View) -> None:
        del self._views[view.secret], self._by_key[view.key]
        self._octets -= view.graph.octets
        for poll in list(view.polls):
            self._polls.answer(poll, _error(404))

    def _touch(self, view: View, now: float) -> None:
        if view.secret in self._views:
            view.last_used = now
            self._views.move_to_end(view.secret)

    def _secret(self) -> str:
        # The count makes it different from every other, whatever the source of chance is worth.
        self._opened += 1
        return hashlib.sha256(self._random_bytes(32) + self._opened.to_bytes(8, "big")).hexdigest()[:40]

    def _patches_of(self, resource: Resource) -> tuple[str, ...]:
        kind = media.parse_media_type(resource.media_type)
        is_json = kind is not None and kind.type.endswith("+json")
        return self._patch_types[resource.id] if is_json else ()


def _posted(request: Request, offered: str) -> Json | Response:
    """The JSON value of a POST that takes `offered` for an answer, or what else it is answered. Raises RequestError."""
    refusal = refused(request, _POST, media.TIPS_PARAMS, offered)
    if refusal is not None:
        return refusal
    return Response(204, options(_POST, media.TIPS_PARAMS)) if request.method == "OPTIONS" else posted(request)


def _read_seq(text: str) -> int | None:
    """A sequence number of a path; None for what is none. One of many digits is merely far away."""
    if _SEQ.fullmatch(text) is None:
        return None
    return int(text) if len(text) <= _MAX_DIGITS else 10**_MAX_DIGITS


def _summary(graph: UpdatesGraph, edge: Edge) -> UpdatesGraphSummary:
    return UpdatesGraphSummary(graph.start_seq, graph.end_seq, *edge)


def _item_response(item: UpdateItem, accept: str | None) -> Response:
    kind = media.parse_media_type(item.media_type)
    if not media.accepts(accept, [kind.type if kind is not None else item.media_type]):
        return _error(415)
    return Response(200, (("Content-Type", item.media_type), NO_STORE), item.body)


def _error(status: int, *headers: tuple[str, str]) -> Response:
    """An error of section 7.2 or 6.2. No code of RFC 7285 fits, so clients go by the status."""
    body = dumps({"meta": {"code": ErrorCode.INVALID_FIELD_VALUE.value}})
    return Response(status, (("Content-Type", media.ERROR), NO_STORE, *headers), body)

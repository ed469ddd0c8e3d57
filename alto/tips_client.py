"""The client's side of the Transport Information Publication Service (RFC 9569).

A `TipsClient` follows one resource: it opens a view, takes a snapshot and then one update item after the other, and
always holds the latest document. Whoever drives it runs the plan `advance` again and again.

Of RFC 9569 the late draft draft-ietf-alto-new-transport (2023-12-07) was at hand, not the published text: section
numbers are the draft's.
"""

from __future__ import annotations

from typing import TypeAlias

from attrs import frozen

from alto import media
from alto._json import Json, dumps
from alto.capabilities import bare_type
from alto.client.errors import ServerError, UnreachableError, retry_delay
from alto.client.fetch import Fetched, Plan, Session, fetch
from alto.client.reading import check_type, read_json
from alto.directory import Document
from alto.errors import AltoError, ConfigurationError, DecodeError
from alto.findings import Finding, Findings
from alto.http import Request, Response
from alto.ird import ResourceEntry
from alto.patch import json_patch, merge_patch
from alto.tips_graph import Edge
from alto.tips_messages import RFC, TipsRequest, UpdatesGraphSummary, ascii_uri, parse_next_edge, parse_tips_view
from alto.types import VTag
from alto.vtags import parse_vtag

MAX_EXCHANGES = 8
"""Requests for one update before the client pauses: two views, an edge recommended in each, and some to spare."""
FIRST_WAIT = 1.0
LAST_WAIT = 64.0
"""Seconds to wait after the first failure and after many, each time twice as long, where the server says nothing."""
MAX_RETRY_AFTER = 3600.0
"""Seconds that a server can make the client wait."""
PATIENCE = 5.0
"""A poll that took so many seconds was no failure: the server held it as long as it could."""

_PATCH_TYPES = (media.MERGE_PATCH, media.JSON_PATCH)
_COME_BACK = (425, 429, 500, 502, 503, 504)
_LOST = (404, 410)
_NO_SNAPSHOT: Edge = (0, 0)


@frozen
class TipsUpdate:
    """Another version of the resource. `document` has a JSON value, or octets where the answer is multipart."""

    seq: int
    document: Document
    is_full: bool
    """It came as a whole and not as a patch."""
    findings: tuple[Finding, ...] = ()


@frozen
class Wait:
    """Nothing to tell: run the next plan after so many seconds. `reason` is what went wrong, if anything did."""

    seconds: float
    reason: AltoError | None = None


Advance: TypeAlias = TipsUpdate | Wait


class TipsClient:
    """Follows `resource` by the TIPS `service`, both as an IRD has them; `params` is what a POST-mode one is asked.

    `document` is a version that the client has already: if it has a version tag, the server may send only what has
    changed since. Raises ConfigurationError for a resource that the service does not have, or which it announces a
    patch type for that is neither merge patch nor JSON patch: then "the client MUST NOT use" it (section 6.1).
    """

    def __init__(
        self,
        session: Session,
        service: ResourceEntry,
        resource: ResourceEntry,
        params: Json = None,
        *,
        document: Document | None = None,
        strict: bool = True,
    ) -> None:
        if service.uses and resource.id not in service.uses:
            raise ConfigurationError(f"the TIPS {service.id!r} does not have {resource.id!r}")
        if (params is None) == (resource.accepts is not None):
            due = "needs input" if params is None else "takes no input"
            raise ConfigurationError(f"the resource {resource.id!r} {due}")
        self._session = session
        self._service = service
        self._resource = resource
        self._params = params
        self._strict = strict
        self._accept = ",".join((resource.media_type, *_announced(service, resource), media.ERROR))
        self._view: str | None = None
        self._closed: str | None = None
        self._edge: Edge = _NO_SNAPSHOT
        self._seq = 0
        self._shown = 0
        self._size = 0
        self._failures = 0
        self._asked_at = 0.0
        self._document = document

    @property
    def document(self) -> Document | None:
        """The latest version; None before there is one."""
        return self._document

    @property
    def seq(self) -> int:
        """The sequence number of `document` in the view that is open; 0 where it has none."""
        return self._seq

    @property
    def view_uri(self) -> str | None:
        """The URI of the view that is open."""
        return self._view

    def advance(self, wall: float) -> Plan[Advance]:
        """Ask until there is another version, or nothing to do but wait; `wall` is Unix time.

        Raises DecodeError for what breaks a MUST, and ServerError for a refusal that asking again will not change;
        then nothing has changed, and the next plan begins where this one began.
        """
        if wall - self._asked_at >= PATIENCE:
            self._failures = 0
        self._asked_at = wall
        findings = Findings(strict=self._strict)
        for _ in range(MAX_EXCHANGES):
            try:
                update = yield from self._exchange(findings)
            except UnreachableError as error:
                return self._pause(error)
            except ServerError as error:
                if error.status not in _COME_BACK:
                    raise
                return self._pause(error, retry_delay(error.retry_after, wall))
            if isinstance(update, TipsUpdate):
                self._failures = 0
            if update is not None:
                return update
        return self._pause(DecodeError(f"{self._service.uri:.200}: {MAX_EXCHANGES} requests and no update"))

    def _pause(self, reason: AltoError | None, asked: float | None = None) -> Wait:
        doubled = min(LAST_WAIT, FIRST_WAIT * 2.0 ** min(self._failures, 16))
        self._failures += 1
        if asked is None:
            return Wait(doubled, reason)
        # A server that says "at once" each time must not keep the client spinning.
        return Wait(max(min(asked, MAX_RETRY_AFTER), 0.0 if self._failures == 1 else doubled / 4), reason)

    def _exchange(self, findings: Findings) -> Plan[Advance | None]:
        """One request, or two; what it brought, if it is worth telling."""
        if self._view is None and not (yield from self._open(findings)):
            return self._pause(None)
        i, j = self._edge
        request = Request("GET", f"{self._view}/ug/{i}/{j}", (("Accept", self._accept),))
        try:
            fetched = yield from fetch(self._session, request)
        except ServerError as error:
            if error.status not in _LOST:
                raise
            return (yield from self._recommended(findings))
        return self._taken(fetched.response, findings)

    def _open(self, findings: Findings) -> Plan[bool]:
        """Open a view; False where it is the one that was thought to be closed, with nothing new in it."""
        tag = self._tag()
        body = TipsRequest(self._resource.id, tag, self._params)
        fetched = yield from self._post(self._service.uri, media.TIPS, body)
        check_type(fetched.response, media.TIPS, findings)
        view = parse_tips_view(read_json(fetched.response), findings, fetched.uri)
        self._check_start(view.summary, tag)
        # Paths are appended to it: as a relative reference they would take the place of its last segment.
        self._view = ascii_uri(view.tips_view_uri).rstrip("/")
        if self._view != self._closed:
            self._shown = 0
        elif view.summary.end_seq <= self._seq:
            return False
        self._follow(view.summary)
        return True

    def _recommended(self, findings: Findings) -> Plan[Advance | None]:
        """The edge that was asked for is not there: let the server say which to take (section 7.4)."""
        tag = self._tag()
        body = TipsRequest(self._resource.id, tag)
        try:
            fetched = yield from self._post(f"{self._view}/ug", media.MERGE_PATCH, body)
        except ServerError as error:
            if error.status not in _LOST:
                raise
            # "The client will have to request a new TIPS view URI" (section 4.1). A server without next edges says 404
            # too, and then gives the same one again.
            self._closed, self._view = self._view, None
            return None
        check_type(fetched.response, media.MERGE_PATCH, findings)
        summary = parse_next_edge(read_json(fetched.response), findings)
        self._check_start(summary, tag)
        if self._seq and summary.end_seq == self._seq:
            return self._pause(None)  # a server that does not hold requests back
        if summary.end_seq < self._seq:
            findings.must("end-seq", f"{summary.end_seq} after {self._seq}: it may only grow", RFC, "3.2")
            self._view = None
            return None
        self._follow(summary)
        return None

    def _post(self, uri: str, answer: str, body: TipsRequest) -> Plan[Fetched]:
        headers = (("Accept", f"{answer},{media.ERROR}"), ("Content-Type", media.TIPS_PARAMS))
        return (yield from fetch(self._session, Request("POST", uri, headers, dumps(body.to_json()))))

    def _check_start(self, summary: UpdatesGraphSummary, tag: str | None) -> None:
        if summary.seq_i and tag is None:
            raise DecodeError(f"start-edge-rec: {summary.seq_i}, where no tag was sent (RFC {RFC} section 6.2)")

    def _follow(self, summary: UpdatesGraphSummary) -> None:
        # An edge that starts from a version is recommended by its tag, which is that of the document held.
        self._edge = (summary.seq_i, summary.seq_j)
        self._seq = summary.seq_i

    def _taken(self, response: Response, findings: Findings) -> TipsUpdate | None:
        """Apply an update item. Raises DecodeError, with nothing changed."""
        i, j = self._edge
        kind = bare_type(response.header("content-type"))
        size = len(response.body)
        if i and kind in _PATCH_TYPES:
            document, grown = self._patched(kind, response)
            size = self._size + grown
        else:
            check_type(response, self._resource.media_type, findings)
            document = self._whole(response)
        if size > self._session.max_body:
            size = len(document.body)
            if size > self._session.max_body:
                raise DecodeError(f"{self._view}: a document of more than {self._session.max_body} octets")
        is_known = self._document is not None and document.vtag is not None and document.vtag == self._document.vtag
        self._document = document
        self._size = size
        self._seq = j
        self._edge = (j, j + 1)
        # A path that starts from an older snapshot passes versions that were told, and a new view may begin with one.
        if j <= self._shown or (is_known and not self._shown):
            self._shown = max(self._shown, j)
            return None
        self._shown = j
        return TipsUpdate(j, document, kind not in _PATCH_TYPES, tuple(findings.items))

    def _whole(self, response: Response) -> Document:
        kind = bare_type(self._resource.media_type)
        if kind is None or not kind.endswith("json"):
            return Document(response.header("content-type") or self._resource.media_type, body=response.body)
        return self._document_of(read_json(response))

    def _patched(self, kind: str, response: Response) -> tuple[Document, int]:
        """The document after a patch, and by how many octets it may have grown."""
        if self._document is None:
            raise DecodeError(f"{self._view}: a patch of a document that was never sent")
        patch, before = read_json(response), self._document.tree
        if kind == media.MERGE_PATCH:
            return self._document_of(merge_patch(before, patch)), len(response.body)
        document = self._document_of(json_patch(before, patch))
        has_copies = any(operation["op"] == "copy" for operation in patch)
        return document, self._session.max_body if has_copies else len(response.body)

    def _document_of(self, tree: Json) -> Document:
        if not isinstance(tree, dict):
            raise DecodeError(f"{self._view}: the document is no object (RFC 7285 section 8.4.1)")
        return Document(self._resource.media_type, tree, vtag=_vtag_of(tree))

    def _tag(self) -> str | None:
        """The tag to be sent: of the document that is held, and only for a GET-mode resource (section 6.1)."""
        held = self._document
        return held.vtag.tag if held is not None and held.vtag is not None and self._params is None else None


def _announced(service: ResourceEntry, resource: ResourceEntry) -> tuple[str, ...]:
    """The patch types of a resource. Raises ConfigurationError for one that is not understood here."""
    announced = service.capabilities.get("incremental-change-media-types", {})
    text = announced.get(resource.id, "") if isinstance(announced, dict) else ""
    types = tuple(part.strip() for part in text.split(",") if part.strip()) if isinstance(text, str) else ()
    for kind in types:
        if bare_type(kind) not in _PATCH_TYPES:
            raise ConfigurationError(f"the TIPS {service.id!r} may send {kind!r:.80}, which is no patch known here")
    return types


def _vtag_of(tree: dict[str, Json]) -> VTag | None:
    meta = tree.get("meta")
    found = meta.get("vtag") if isinstance(meta, dict) else None
    return parse_vtag(found, Findings(strict=False), "meta/vtag") if found is not None else None

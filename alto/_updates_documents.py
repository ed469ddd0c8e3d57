"""The documents that an update stream keeps up to date, and which of them may be used (RFC 8895 sections 5.2, 9.2)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

from attrs import define, field, frozen

from alto import media
from alto._json import Json, JsonError, dumps, loads
from alto.errors import DecodeError
from alto.findings import Findings
from alto.media import MediaType
from alto.multipart import parse
from alto.patch import MAX_MOVED, json_equal, json_patch, merge_patch
from alto.types import VTag

PATCH_TYPES = (media.MERGE_PATCH, media.JSON_PATCH)
MAX_DOCUMENT = 256 * 2**20
"""Octets of a document in JSON: a server must not fill the memory by patches that add and copy without end."""
MAX_SEEN = 64
"""Versions of a document that are remembered: one that depends on any of them is late, and not early."""

_WHOLE = ""


@frozen
class Subscription:
    """A substream that is to be asked for (section 6.5), and what its server says of its resource.

    `tag` and `document` are what the client has of a GET-mode resource, both or neither.
    """

    resource_id: str
    input: Json = None
    tag: str | None = None
    document: Json = None
    media_type: str | None = None
    """What the resource answers with; None where that is not known."""
    uses: tuple[str, ...] = ()
    patch_types: tuple[str, ...] | None = None
    """The incremental changes that the update stream announces for it; None where that is not known."""
    incremental_changes: bool = True

    @property
    def takes_changes(self) -> bool:
        """Whether to let the server send incremental changes: only if every announced kind of them is known here."""
        return self.incremental_changes and (self.patch_types is None or set(self.patch_types) <= set(PATCH_TYPES))

    def to_json(self) -> dict[str, Json]:
        """AddUpdateReq (section 6.5)."""
        tree: dict[str, Json] = {"resource-id": self.resource_id}
        if self.tag is not None:
            tree["tag"] = self.tag
        if not self.takes_changes:
            tree["incremental-changes"] = False
        if self.input is not None:
            tree["input"] = self.input
        return tree


@define(eq=False)
class Held:
    """What is held of one substream."""

    subscription: Subscription
    trees: dict[str, Json] = field(factory=dict)
    """By Content-ID; a document that is no multipart under the empty one."""
    vtags: dict[str, VTag] = field(factory=dict)
    dependents: dict[str, tuple[VTag, ...]] = field(factory=dict)
    outdated: set[str] = field(factory=set)
    """What it uses and does not name by version, as far as that has changed since it was sent."""
    is_exposed: bool = False
    """Whether the application was shown it as it is."""
    waits_since: float | None = None
    """Since when it cannot be used."""
    grown: int = 0

    @property
    def is_multipart(self) -> bool:
        """Whether its last full replacement came in parts."""
        return bool(self.trees) and _WHOLE not in self.trees

    def replace(self, trees: Mapping[str, Json]) -> None:
        """Take a full replacement."""
        self.trees = dict(trees)
        self.vtags.clear()
        self.dependents.clear()
        for name in trees:
            self.read_meta(name)

    def read_meta(self, name: str) -> None:
        """Learn the versions of a part from its `meta`, forgiving whatever is wrong with them."""
        meta = self.trees[name].get("meta")
        meta = meta if isinstance(meta, dict) else {}
        self.vtags.pop(name, None)
        if (vtag := _vtag(meta.get("vtag"))) is not None:
            self.vtags[name] = vtag
        listed = meta.get("dependent-vtags")
        found = map(_vtag, listed) if isinstance(listed, list) else ()
        self.dependents[name] = tuple(vtag for vtag in found if vtag is not None)

    def is_consistent(self, newest: Mapping[str, str]) -> bool:
        """Whether it is based on the versions now of what it depends on: its own parts, or `newest`."""
        own = {vtag.resource_id: vtag.tag for vtag in self.vtags.values()}
        for vtag in (vtag for vtags in self.dependents.values() for vtag in vtags):
            if own.get(vtag.resource_id, newest.get(vtag.resource_id, vtag.tag)) != vtag.tag:
                return False
        return not self.outdated


class Documents:
    """The documents of one stream."""

    def __init__(self) -> None:
        self.held: dict[str, Held] = {}
        self._newest: dict[str, str] = {}
        self._seen: dict[str, deque[str]] = {}

    def add(self, subscriptions: Mapping[str, Subscription]) -> None:
        """Expect substreams; of some a version is there already."""
        for substream_id, subscription in subscriptions.items():
            held = self.held[substream_id] = Held(subscription)
            if subscription.tag is not None:
                held.replace({_WHOLE: subscription.document})
                held.is_exposed = True
                self._note(VTag(subscription.resource_id, subscription.tag))

    def remove(self, substream_ids: Iterable[str]) -> None:
        """Forget substreams. What depended on them is no longer compared with them."""
        for substream_id in substream_ids:
            self.held.pop(substream_id, None)
        known = {vtag.resource_id for held in self.held.values() for vtag in held.vtags.values()}
        self._newest = {name: tag for name, tag in self._newest.items() if name in known}
        self._seen = {name: tags for name, tags in self._seen.items() if name in known}

    def take(
        self, substream_id: str, part: str | None, kind: MediaType, name: str, data: bytes, findings: Findings
    ) -> None:
        """Apply an update message to a substream that is held. Raises DecodeError if that cannot be done."""
        held = self.held[substream_id]
        before = dict(held.trees)
        if kind.type in PATCH_TYPES:
            self._patch(held, part, kind.type, data, findings)
        else:
            if part is not None:
                findings.must("event", f"a full replacement of the part {part!r:.80}", 8895, "6.7.3")
            self._replace(held, kind, name, data, findings)
        held.outdated.clear()
        self._note_versions(held, before)

    def _replace(self, held: Held, kind: MediaType, name: str, data: bytes, findings: Findings) -> None:
        if kind.type != media.MULTIPART_RELATED:
            held.replace({_WHOLE: _document(_json(data))})
        else:
            trees: dict[str, Json] = {}
            # An event stream knows of no CR; the message is read as it was before.
            for number, part in enumerate(parse(name, data.replace(b"\n", b"\r\n"), findings).parts, 1):
                if part.content_id is None:
                    findings.must(f"part {number}", "no Content-ID", 8895, "5.2")
                trees[part.content_id or f"part {number}"] = _document(_json(part.body))
            held.replace(trees)
        held.grown = len(data)

    def _patch(self, held: Held, part: str | None, kind: str, data: bytes, findings: Findings) -> None:
        if not held.trees:
            raise DecodeError("an incremental change before any full replacement (RFC 8895 section 6.7.1)")
        target = _part_of(held, part, findings)
        change = _json(data)
        if kind == media.MERGE_PATCH:
            held.trees[target] = _document(merge_patch(held.trees[target], change))
            held.grown += len(data)
        else:
            held.trees[target] = _document(json_patch(held.trees[target], change))
            copies = any(operation["op"] == "copy" for operation in change)
            held.grown += len(data) + (MAX_MOVED if copies else 0)
        if held.grown > MAX_DOCUMENT:
            held.grown = 0  # what it really is now counts, and is looked at again after it may have doubled
            if sum(len(dumps(tree)) for tree in held.trees.values()) > MAX_DOCUMENT:
                raise DecodeError(f"a document of more than {MAX_DOCUMENT} octets")
        held.read_meta(target)

    def _note(self, vtag: VTag) -> None:
        self._newest[vtag.resource_id] = vtag.tag
        self._seen.setdefault(vtag.resource_id, deque(maxlen=MAX_SEEN)).append(vtag.tag)

    def _note_versions(self, changed: Held, before: dict[str, Json]) -> None:
        for vtag in changed.vtags.values():
            self._note(vtag)
        resource_id = changed.subscription.resource_id
        # A document that names the versions it is based on is judged by them.
        unjudged = [
            held
            for held in self.held.values()
            if held is not changed
            and resource_id in held.subscription.uses
            and held.trees
            and not any(held.dependents.values())
        ]
        if unjudged and before and not json_equal(before, changed.trees):
            for held in unjudged:
                held.outdated.add(resource_id)

    def consistent(self, substream_id: str) -> bool:
        """Whether a document is there and may be used (section 9.2)."""
        held = self.held[substream_id]
        return bool(held.trees) and held.is_consistent(self._newest)

    def awaits_others(self, substream_id: str) -> bool:
        """Whether a document is based on a version of another substream that has not been sent yet."""
        held = self.held[substream_id]
        own = {vtag.resource_id for vtag in held.vtags.values()}
        named = (vtag for vtags in held.dependents.values() for vtag in vtags if vtag.resource_id not in own)
        return any(vtag.resource_id in self._newest and vtag.tag not in self._seen[vtag.resource_id] for vtag in named)


def _json(data: bytes) -> Json:
    try:
        return loads(data)
    except JsonError as error:
        raise DecodeError(f"the data is no JSON: {error}") from error


def _document(tree: Json) -> Json:
    if not isinstance(tree, dict):
        raise DecodeError("a document that is no object (RFC 7285 section 8.4)")
    return tree


def _vtag(tree: Json) -> VTag | None:
    if not isinstance(tree, dict):
        return None
    resource_id, tag = tree.get("resource-id"), tree.get("tag")
    return VTag(resource_id, tag) if isinstance(resource_id, str) and isinstance(tag, str) else None


def _part_of(held: Held, part: str | None, findings: Findings) -> str:
    """The part that a data-id names; RFC 8895 and RFC 9275 differ in what of a Content-ID stands there."""
    if part is None or not held.is_multipart:
        if (part is not None) or held.is_multipart:
            findings.must("event", f"the part {part!r:.80} of what has none, or none of what has parts", 8895, "5.2")
        if held.is_multipart:
            raise DecodeError("an incremental change of a multipart document names no part (RFC 8895 section 6.7.3)")
        return _WHOLE
    bare = part.strip("<>")
    if bare in held.trees:
        return bare
    found = [name for name in held.trees if name.partition("@")[0] == bare.partition("@")[0]]
    if len(found) != 1:
        raise DecodeError(f"an incremental change of the part {part!r:.80}, which is not there (RFC 8895 section 5.2)")
    findings.note("event", f"the part {part!r:.80} is called {found[0]!r:.80}", 8895, "5.2")
    return found[0]

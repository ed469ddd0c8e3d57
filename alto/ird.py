"""The Information Resource Directory: what a server has, where it is, and what it can do (RFC 7285 section 9)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urldefrag, urljoin, urlsplit

from attrs import field, frozen

from alto import media
from alto._json import Json
from alto.capabilities import MAX_UNREAD, check_kind, read_capabilities, root_type
from alto.errors import DecodeError
from alto.findings import Findings, join, shown
from alto.media import is_media_type, parse_media_type
from alto.metrics import parse_cost_type
from alto.types import CostType, is_resource_id

MAX_RESOURCES = 100_000
"""Entries of one IRD: a thousand times what any server has, and some 100 MB at most."""

_URI = re.compile(r"[!#-;=?-\[\]_a-z~%]*")


@frozen
class ResourceEntry:
    """One entry of the `resources` of an IRD (section 9.2.2)."""

    id: str
    uri: str
    """Absolute in what a client has parsed; a server may say it relative to the IRD's own."""
    media_type: str
    """With its parameters, as the IRD says it."""
    accepts: str | None = None
    """The media type of what is POSTed; None for a resource that one GETs."""
    capabilities: Mapping[str, Json] = field(factory=dict, hash=False)
    uses: tuple[str, ...] = ()

    @property
    def document_type(self) -> str | None:
        """The bare media type; of a multipart answer that of its root part."""
        return root_type(self.media_type)

    @property
    def is_multipart(self) -> bool:
        """Whether it answers in parts (RFC 9275)."""
        return is_media_type(self.media_type, media.MULTIPART_RELATED)

    def to_json(self) -> dict[str, Json]:
        """The object of section 9.2.2, without the members that are empty."""
        tree: dict[str, Json] = {"uri": self.uri, "media-type": self.media_type}
        if self.accepts is not None:
            tree["accepts"] = self.accepts
        if self.capabilities:
            tree["capabilities"] = dict(self.capabilities)
        if self.uses:
            tree["uses"] = list(self.uses)
        return tree


@frozen
class InformationResourceDirectory:
    """One IRD (section 9.2): resources by their IDs, and the cost types that its entries name."""

    resources: Mapping[str, ResourceEntry] = field(hash=False)
    cost_types: Mapping[str, CostType] = field(hash=False)
    """Their names hold in this IRD only."""
    default_network_map: str | None = None

    def cost_types_of(self, entry: ResourceEntry) -> dict[str, CostType]:
        """The cost types that an entry of this IRD names, by those names."""
        names = entry.capabilities.get("cost-type-names", ())
        return {name: self.cost_types[name] for name in names if name in self.cost_types}

    def to_json(self) -> dict[str, Json]:
        """The document of section 9.2.2."""
        meta: dict[str, Json] = {}
        if self.cost_types:
            meta["cost-types"] = {name: cost_type.to_json() for name, cost_type in self.cost_types.items()}
        if self.default_network_map is not None:
            meta["default-alto-network-map"] = self.default_network_map
        return {"meta": meta, "resources": {name: entry.to_json() for name, entry in self.resources.items()}}


def parse_directory(
    tree: Json, findings: Findings, base_uri: str, *, is_root: bool = True
) -> InformationResourceDirectory:
    """Read an IRD that was fetched from `base_uri`, after all redirects; its URIs become absolute.

    What hangs on other IRDs too (`uses`, IDs that are unique, the default map) is for `alto.closure`. Raises
    DecodeError where there are no resources to speak of, or more than MAX_RESOURCES; else what `findings` raise.
    """
    if not isinstance(tree, dict):
        raise DecodeError(f"an IRD is an object, not {shown(tree)} (RFC 7285 section 9.2.2)")
    resources = tree.get("resources")
    if not isinstance(resources, dict):
        raise DecodeError("resources: an IRD needs this object (RFC 7285 section 9.2.2)")
    if len(resources) > MAX_RESOURCES:
        raise DecodeError(f"resources: {len(resources)} of them; {MAX_RESOURCES} are read")
    meta = findings.member(tree, "meta", dict, "", 7285, "8.4") or {}
    cost_types = _parse_cost_types(meta, findings)
    default = findings.optional(meta, "default-alto-network-map", str, "meta", 7285, "9.2.2")
    if is_root and "default-alto-network-map" not in meta:
        findings.must("meta/default-alto-network-map", "missing in a Root IRD", 7285, "9.2.2")
    entries: dict[str, ResourceEntry] = {}
    for resource_id, value in resources.items():
        path = f"resources/{resource_id[:MAX_UNREAD]}"
        if not is_resource_id(resource_id):
            findings.must(path, "no resource ID: at most 64 of A-Z a-z 0-9 - : @ _", 7285, "10.2")
            if not 0 < len(resource_id) <= MAX_UNREAD:
                continue
        entry = _parse_entry(resource_id, value, base_uri, cost_types, path, findings)
        if entry is not None:
            entries[resource_id] = entry
    return InformationResourceDirectory(entries, cost_types, default)


def _parse_entry(
    resource_id: str, tree: Json, base_uri: str, cost_types: Mapping[str, CostType], path: str, findings: Findings
) -> ResourceEntry | None:
    if not findings.is_a(tree, dict, path, 7285, "9.2.2"):
        return None
    uri = findings.member(tree, "uri", str, path, 7285, "9.2.2")
    media_type = findings.member(tree, "media-type", str, path, 7285, "9.2.2")
    accepts = findings.optional(tree, "accepts", str, path, 7285, "9.2.2")
    if uri is None or media_type is None or (accepts is None and "accepts" in tree):
        return None
    for name, text in (("media-type", media_type), ("accepts", accepts or "a/b")):
        # What is said here is sent back in header fields.
        if parse_media_type(text) is None or not (text.isascii() and text.isprintable()):
            findings.must(join(path, name), f"{text!r:.80} is no media type", 7285, "9.1.2")
            return None
    absolute = resolve(base_uri, uri)
    if absolute is None:
        findings.must(join(path, "uri"), f"{uri!r:.80} is no http or https URI", 7285, "9.2.2")
        return None
    if base_uri.startswith("https:") and absolute.startswith("http:"):
        findings.note(join(path, "uri"), "an https IRD leads to http", 7285, "8.3.5")
    accepts = accepts or None
    check_kind(media_type, accepts, path, findings)
    capabilities = findings.optional(tree, "capabilities", dict, path, 7285, "9.2.2") or {}
    inner = join(path, "capabilities")
    capabilities = read_capabilities(capabilities, media_type, accepts, cost_types, inner, findings)
    uses = _parse_uses(tree, path, findings)
    return ResourceEntry(resource_id, absolute, media_type, accepts, capabilities, uses)


def _parse_uses(tree: dict[str, Json], path: str, findings: Findings) -> tuple[str, ...]:
    listed = findings.optional(tree, "uses", list, path, 7285, "9.2.2") or []
    for element in listed:
        if not isinstance(element, str):
            findings.must(join(path, "uses"), f"{shown(element)} is no resource ID", 7285, "9.2.2")
    return tuple(dict.fromkeys(element for element in listed if isinstance(element, str)))


def resolve(base_uri: str, reference: str) -> str | None:
    """A URI reference made absolute (RFC 3986 section 5), without its fragment; None where no http(s) URI comes out."""
    if _URI.fullmatch(reference) is None:
        return None
    try:
        # A reference with a scheme is whole as it is; urljoin would take the base's host for a missing one.
        absolute = urldefrag(reference if urlsplit(reference).scheme else urljoin(base_uri, reference)).url
        split = urlsplit(absolute)
        is_good = split.scheme in ("http", "https") and bool(split.hostname) and split.port != 0
    except ValueError:  # brackets that hold no IPv6 address, or a port that is no number
        return None
    return absolute if is_good else None


def _parse_cost_types(meta: dict[str, Json], findings: Findings) -> dict[str, CostType]:
    listed = findings.optional(meta, "cost-types", dict, "meta", 7285, "9.2.2") or {}
    found: dict[str, CostType] = {}
    for name, value in listed.items():
        cost_type = parse_cost_type(value, findings, f"meta/cost-types/{name[:MAX_UNREAD]}")
        if cost_type is not None:
            found[name] = cost_type
    return found

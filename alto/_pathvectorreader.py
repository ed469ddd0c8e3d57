"""Reading what a path vector resource answers, clause by clause (RFC 9275 sections 6.6, 7.2.6 and 7.3.6)."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from attrs import frozen

from alto import media, multipart
from alto._json import Json, JsonError, loads
from alto.address import canonical_endpoint, client_endpoint
from alto.calendar import CalendarResponse, parse_calendars
from alto.capabilities import root_type
from alto.errors import DecodeError
from alto.findings import Findings, is_json, join, shown
from alto.ird import ResourceEntry
from alto.metrics import PATH_VECTOR, parse_cost_type
from alto.multipart import Part
from alto.paths import MAX_RESERVABLE_BANDWIDTH, PERSISTENT_ENTITY_ID
from alto.types import CostType, VTag, is_pid_name, is_resource_id, is_tag
from alto.vtags import parse_dependent_vtags, parse_meta

Cells: TypeAlias = dict[tuple[str, str], list[Json]]
"""By source and destination: a value for each cost type; that of a path vector is a list of paths by interval."""

_MEMBERS = {media.COST_MAP: "cost-map", media.ENDPOINT_COST: "endpoint-cost-map"}
_SECTIONS = {media.COST_MAP: "7.2.6", media.ENDPOINT_COST: "7.3.6"}
_CONTENT_ID = re.compile(r"<([^<>@]+)@([^<>@]+)>")
_DOT_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+(?:\.[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+)*")
_EPHEMERAL = ".ane:"
_MAX_SHOWN = 80


@frozen
class PathVectorMessage:
    """The two parts as JSON: what an update stream changes, one part at a time (RFC 8895 section 6.7.3)."""

    root_type: str
    """The media type of the part with the path vectors."""
    root_id: str | None
    """Its Content-ID, without brackets."""
    root: Json
    properties_id: str | None
    properties: Json


def split_path_vector(
    content_type: str, body: bytes, findings: Findings, entry: ResourceEntry | None
) -> PathVectorMessage:
    """The two parts. Raises DecodeError where one is not there or is no JSON: the client MUST discard the whole."""
    related = multipart.parse(content_type, body, findings)
    due = root_type(entry.media_type) if entry is not None else None
    if related.type not in _MEMBERS or (due is not None and related.type != due):
        findings.must("Content-Type", f"type is to be {due or ' or '.join(_MEMBERS)}", 9275, "7.2.6")
    roots = [part for part in related.parts if part.type in _MEMBERS]
    root = related.root if related.root in roots else next(iter(roots), None)
    properties = next((part for part in related.parts if part.type == media.PROPERTY_MAP), None)
    section = _SECTIONS.get(related.type or "", "7.2.6")
    if root is None or properties is None:
        missing = "path vectors" if root is None else "properties"
        raise DecodeError(f"the part with the {missing} is missing (RFC 9275 section {section})")
    if root is not related.root or root.type != related.type:
        findings.must("Content-Type", f"the root is no part of the type {related.type}", 9275, section)
    if len(related.parts) != 2:
        findings.must("", f"{len(related.parts)} parts, where two are due", 9275, section)
    if related.parts[0] is not root:
        findings.should("", "the part with the path vectors is not the first", 9275, section)
    for part in (root, properties):
        _check_content_id(part, findings, section)
    kind = root.type or media.COST_MAP
    return PathVectorMessage(kind, root.content_id, _load(root), properties.content_id, _load(properties))


def _check_content_id(part: Part, findings: Findings, section: str) -> None:
    text = part.header("Content-ID")
    if text is None:
        findings.must(f"part {part.type}", "the Content-ID is missing", 9275, section)
        return
    match = _CONTENT_ID.fullmatch(text)
    if match is None or not is_resource_id(match[1]) or _DOT_ATOM.fullmatch(match[2]) is None:
        findings.must(f"part {part.type}", f"the Content-ID {text!r:.80} is not <PART@DOMAIN>", 9275, "6.6")


def _load(part: Part) -> Json:
    try:
        return loads(part.body)
    except JsonError as error:
        raise DecodeError(f"part {part.type}: {error}") from error


class PathVectorReader:
    """Reads the two parts; the one with the path vectors comes first."""

    def __init__(
        self, root_type: str, findings: Findings, entry: ResourceEntry | None, asked: Mapping[str, Json]
    ) -> None:
        self._type = root_type
        self._findings = findings
        self._entry = entry
        self._asked = asked
        self._names: dict[str, None] = {}
        self.cost_types: tuple[CostType, ...] = ()
        self.calendars: list[CalendarResponse] = []
        self._is_multi_cost = False

    @property
    def _section(self) -> str:
        return _SECTIONS[self._type]

    def read_meta(self, root_id: str | None, tree: Json) -> tuple[VTag | None, tuple[VTag, ...]]:
        """The versions, and what the costs are. Raises DecodeError for no object, or where no cost type can be read."""
        meta = parse_meta(tree, self._findings)
        vtag = self._read_vtag(meta, root_id)
        dependent: tuple[VTag, ...] = ()
        if self._type == media.COST_MAP:
            found = parse_dependent_vtags(meta, self._findings, "7.2.6", rfc=9275)
            dependent = found or ()
            if found is not None and len(dependent) != 1:
                self._findings.must("meta/dependent-vtags", f"one is due, not {len(dependent)}", 9275, "7.2.6")
        self._read_cost_types(meta)
        self.calendars = parse_calendars(meta, self._findings)
        return vtag, dependent

    def _read_vtag(self, meta: dict[str, Json], root_id: str | None) -> VTag | None:
        """The version tag, whose resource ID is that of the resource, a dot, and that of the part."""
        findings, section = self._findings, self._section
        name = "vtag"
        if "vtag" not in meta and "vtags" in meta:  # as RFC 9275 prints it in sections 8.4 and 8.6
            findings.must("meta/vtags", "the member is called vtag", 9275, section)
            name = "vtags"
        tree = findings.member(meta, name, dict, "meta", 9275, section)
        vtag = None if tree is None else read_part_vtag(tree, findings, join("meta", name))
        if vtag is None:
            return None
        resource_id, _, part = vtag.resource_id.partition(".")
        path = f"meta/{name}/resource-id"
        if self._entry is not None and resource_id != self._entry.id:
            findings.must(path, f"{vtag.resource_id!r:.80} does not begin with {self._entry.id!r}", 9275, section)
        if root_id is not None and part != root_id.partition("@")[0]:
            findings.must(path, f"{vtag.resource_id!r:.80} does not end as the Content-ID begins", 9275, section)
        return vtag

    def _read_cost_types(self, meta: dict[str, Json]) -> None:
        findings = self._findings
        self._is_multi_cost = "multi-cost-types" in meta
        if self._is_multi_cost:
            listed = findings.member(meta, "multi-cost-types", list, "meta", 8189, "4.1.3") or []
            if meta.get("cost-type") != {}:
                findings.must("meta/cost-type", "{} is due beside multi-cost-types", 8189, "4.1.3")
        else:
            listed = [findings.member(meta, "cost-type", dict, "meta", 9275, self._section)]
        path = "meta/multi-cost-types" if self._is_multi_cost else "meta/cost-type"
        read = [None if tree is None else parse_cost_type(tree, findings, path) for tree in listed]
        found = [cost_type for cost_type in read if cost_type is not None]
        if not found or len(found) != len(read):
            raise DecodeError(f"{path}: what the values are is not known (RFC 9275 section {self._section})")
        self.cost_types = tuple(found)
        asked = self._asked.get("multi-cost-types") or [self._asked.get("cost-type")]
        if asked != [None] and [_key(tree) for tree in asked] != [cost_type.key for cost_type in found]:
            findings.must(path, "not the cost types that were asked for", 7285, "11.3.2.6")

    def read_cells(self, tree: Json) -> Cells:
        """The values of each pair. Raises DecodeError where there are none to read."""
        findings, section = self._findings, self._section
        member = _MEMBERS[self._type]
        if member not in tree and "cost-map" in tree:  # as RFC 9275 prints it in section 7.3.6
            findings.must("cost-map", f"the member is called {member}", 9275, section)
            member = "cost-map"
        data = findings.member(tree, member, dict, "", 9275, section)
        if data is None:
            raise DecodeError(f"{member}: there is none (RFC 9275 section {section})")
        cells: Cells = {}
        for source, row in data.items():
            path = join(member, source[:_MAX_SHOWN])
            start = self._read_end(source, path)
            if not findings.is_a(row, dict, path, 9275, section):
                continue
            for destination, value in row.items():
                inner = join(path, destination[:_MAX_SHOWN])
                end = self._read_end(destination, inner)
                values = self._read_values(value, inner)
                if start is not None and end is not None and values is not None:
                    if (start, end) in cells:
                        findings.must(inner, "the pair was there before, in another spelling", 7285, "10.4")
                    cells[start, end] = values
        return cells

    def _read_end(self, text: str, path: str) -> str | None:
        """A PID or endpoint in its one spelling; a lenient reader takes an address without its type."""
        if self._type == media.COST_MAP:
            if not is_pid_name(text):
                self._findings.must(path, f"{shown(text)} is no PID name", 7285, "10.1")
            return text
        try:
            return canonical_endpoint(text)
        except ValueError as error:
            self._findings.must(path, str(error), 7285, "10.4.1")
        return client_endpoint(text)

    def _read_values(self, value: Json, path: str) -> list[Json] | None:
        """A value for each cost type; None where they cannot be told apart."""
        values = [value]
        if self._is_multi_cost:
            if not self._findings.is_a(value, list, path, 8189, "4.1.3"):
                return None
            if len(value) != len(self.cost_types):
                self._findings.must(path, f"{len(value)} values for {len(self.cost_types)} cost types", 8189, "4.1.3")
                return None
            values = value
        return [self._read_value(one, kind, path) for one, kind in zip(values, self.cost_types, strict=True)]

    def _read_value(self, value: Json, cost_type: CostType, path: str) -> Json:
        if value is None and self._is_multi_cost:  # one of the costs of a pair may be missing (RFC 8189 section 4.1.3)
            return None
        if cost_type.key == PATH_VECTOR:
            return self._read_paths(value, path)
        if not is_json(value, float) and not isinstance(value, list):
            self._findings.should(path, f"{shown(value)} is no cost", 7285, "11.2.3.6")
            return None
        return value

    def _read_paths(self, value: Json, path: str) -> list[tuple[str, ...] | None] | None:
        """The path in each interval. "The client MUST also check that each element [...] is an ANEName": 6.5.1."""
        if not self._findings.is_a(value, list, path, 9275, "6.5.2"):
            return None
        # An array without anything in it is a path without elements: a calendar has at least one interval.
        if not self.calendars or not value or not all(one is None or isinstance(one, list) for one in value):
            return [self._read_path(value, path)]
        due = {calendar.attributes.number_of_intervals for calendar in self.calendars}
        if len(value) not in due:
            text = " or ".join(map(str, sorted(due)))
            self._findings.must(path, f"{len(value)} path vectors for {text} intervals", 8896, "3.3")
            return None
        return [None if one is None else self._read_path(one, path) for one in value]

    def _read_path(self, value: Sequence[Json], path: str) -> tuple[str, ...] | None:
        for element in value:
            if not isinstance(element, str) or not is_pid_name(element):
                self._findings.must(path, f"{shown(element)} is no ANE name", 9275, "6.5.1")
                return None
        self._names.update(dict.fromkeys(value))
        return tuple(value)

    def read_properties(self, tree: Json, vtag: VTag | None) -> tuple[dict[str, dict[str, Json]], tuple[VTag, ...]]:
        """The properties of each element, and what they depend on."""
        findings, section = self._findings, self._section
        meta = parse_meta(tree, findings)
        listed = findings.member(meta, "dependent-vtags", list, "meta", 9275, section)
        path = "meta/dependent-vtags"
        parsed = [read_part_vtag(one, findings, path) for one in listed or ()]
        vtags = tuple(one for one in parsed if one is not None)
        if listed is not None and vtag is not None and vtag not in vtags:
            findings.must(path, "the version of the path vectors is missing", 9275, section)
        data = findings.member(tree, "property-map", dict, "", 9275, section)
        found: dict[str, dict[str, Json]] = {}
        for entity, properties in (data or {}).items():
            inner = join("property-map", entity[:_MAX_SHOWN])
            name = entity.removeprefix(_EPHEMERAL)
            if not entity.startswith(_EPHEMERAL) or not is_pid_name(name):
                findings.must(inner, f"{entity!r:.80} is no ephemeral element, .ane:NAME", 9275, "6.2.4")
            elif name not in self._names:
                findings.must(inner, "an element that is in no path vector", 9275, section)
            elif findings.is_a(properties, dict, inner, 9240, "7.6"):
                found[name] = self._read_element(properties, {one.resource_id for one in vtags}, inner)
        for name in self._names:
            if name not in found:
                findings.must(join("property-map", _EPHEMERAL + name), "missing", 9275, section)
                found[name] = {}
        return found, vtags

    def _read_element(self, tree: dict[str, Json], versions: set[str], path: str) -> dict[str, Json]:
        """The properties of an element that can be made use of."""
        findings = self._findings
        found: dict[str, Json] = {}
        for name, value in tree.items():
            inner = join(path, name[:_MAX_SHOWN])
            if self._asked and name not in self._asked.get("ane-property-names", ()):
                findings.must(inner, "a property that was not asked for", 9275, self._section)
            if name == MAX_RESERVABLE_BANDWIDTH:
                if not is_json(value, float) or not 0 <= value <= sys.float_info.max:
                    findings.must(inner, f"{shown(value)} is no number of bits a second", 9275, "6.4.1")
                    continue
            elif name == PERSISTENT_ENTITY_ID:
                resource_id, _, identifier = value.partition(".ane:") if isinstance(value, str) else ("", "", "")
                if not is_resource_id(resource_id) or not is_pid_name(identifier):
                    findings.must(inner, f"{shown(value)} is not PROPMAP.ane:NAME", 9275, "6.2.4")
                    continue
                if resource_id not in versions:
                    findings.must(
                        "meta/dependent-vtags", f"the version of {resource_id!r} is missing", 9275, self._section
                    )
            if value is not None:
                found[name] = value
        return found


def read_part_vtag(tree: Json, findings: Findings, path: str) -> VTag | None:
    """A version tag, whose resource ID may have the ID of a part behind it (section 6.6); None where it has no use."""
    if not findings.is_a(tree, dict, path, 7285, "10.3"):
        return None
    resource_id = findings.member(tree, "resource-id", str, path, 7285, "10.3")
    tag = findings.member(tree, "tag", str, path, 7285, "10.3")
    if resource_id is None or tag is None:
        return None
    first, dot, part = resource_id.partition(".")
    if len(resource_id) > 64 or not is_resource_id(first) or (dot and not is_resource_id(part)):
        findings.must(join(path, "resource-id"), f"{shown(resource_id)} is no resource ID with a part", 9275, "6.6")
    if not is_tag(tag):
        findings.must(join(path, "tag"), f"{shown(tag)} is no tag: 1 to 64 of U+0021 to U+007E", 7285, "10.3")
    return VTag(resource_id, tag)


def _key(tree: Json) -> tuple[Json, Json]:
    return (tree.get("cost-mode"), tree.get("cost-metric")) if isinstance(tree, dict) else (None, None)

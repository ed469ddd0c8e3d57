"""What an IRD entry says of itself: input and capabilities, by the clauses of each kind of resource.

`read_capabilities` gives back what can be relied on: members of the wrong type, names that are not defined and
calendars that repeat a name are left out where the findings are lenient.
"""

from collections.abc import Callable, Mapping

from attrs import frozen

from alto import media
from alto._json import Json
from alto.entities import parse_domain_name, parse_property_name
from alto.findings import Findings, is_json, join, shown
from alto.media import parse_media_type
from alto.types import CostType, is_property_name, is_resource_id

PATH_VECTOR = ("array", "ane-path")
"""The key of the path vector cost type (RFC 9275 section 6.5)."""

MAX_UNREAD = 64
"""Characters of a name that are shown in a path; a longer one is no name and must not fill the list of findings."""


@frozen
class _Kind:
    """A kind of resource: what may be posted to it (None: it is got), and the clause that says so."""

    accepts: tuple[str | None, ...]
    rfc: int
    section: str


_KINDS: Mapping[str, _Kind] = {
    media.DIRECTORY: _Kind((None,), 7285, "9.2"),
    media.NETWORK_MAP: _Kind((None, media.NETWORK_MAP_FILTER), 7285, "11.3.1.3"),
    media.COST_MAP: _Kind((None, media.COST_MAP_FILTER), 7285, "11.3.2.3"),
    media.ENDPOINT_PROPERTIES: _Kind((media.ENDPOINT_PROPERTY_PARAMS,), 7285, "11.4.1.3"),
    media.ENDPOINT_COST: _Kind((media.ENDPOINT_COST_PARAMS,), 7285, "11.5.1.3"),
    media.EVENT_STREAM: _Kind((media.UPDATE_STREAM_PARAMS,), 8895, "6.5"),
    media.PROPERTY_MAP: _Kind((None, media.PROPERTY_MAP_PARAMS), 9240, "8.3"),
    media.CDNI: _Kind((None, media.CDNI_FILTER), 9241, "5.3"),
    media.TIPS: _Kind((media.TIPS_PARAMS,), 9569, "6.1"),
}
_PATH_VECTORS: Mapping[str, _Kind] = {
    media.COST_MAP: _Kind((media.COST_MAP_FILTER,), 9275, "7.2.3"),
    media.ENDPOINT_COST: _Kind((media.ENDPOINT_COST_PARAMS,), 9275, "7.3.3"),
}


def bare_type(text: str | None) -> str | None:
    """The media type without its parameters; None for none or what is none."""
    parsed = parse_media_type(text) if text is not None else None
    return None if parsed is None else parsed.type


def root_type(media_type: str) -> str | None:
    """The type of the document: of a `multipart/related` that of its root part (RFC 2387), else the bare type."""
    parsed = parse_media_type(media_type)
    if parsed is None:
        return None
    return bare_type(parsed.parameters.get("type")) if parsed.type == media.MULTIPART_RELATED else parsed.type


def check_kind(media_type: str, accepts: str | None, path: str, findings: Findings) -> None:
    """Note what does not belong to a resource of the type `media_type`: its parameters, its input."""
    is_multipart = bare_type(media_type) == media.MULTIPART_RELATED
    root = root_type(media_type)
    kind = (_PATH_VECTORS if is_multipart else _KINDS).get(root or "")
    if kind is None:
        if is_multipart and root is None:
            findings.must(join(path, "media-type"), "a multipart/related type needs its type parameter", 9275, "6.6")
        else:
            findings.note(join(path, "media-type"), f"{media_type!r:.80} is no registered type", 7285, "14.1")
    elif bare_type(accepts) not in kind.accepts:
        due = " or ".join(name or "nothing" for name in kind.accepts)
        findings.must(join(path, "accepts"), f"{due} is due, not {accepts!r:.80}", kind.rfc, kind.section)


def read_capabilities(
    tree: dict[str, Json],
    media_type: str,
    accepts: str | None,
    cost_types: Mapping[str, CostType],
    path: str,
    findings: Findings,
) -> dict[str, Json]:
    """The capabilities at `path` of a resource of that type and input, with `cost_types` the names of its IRD."""
    found = dict(tree)
    root = root_type(media_type)
    if bare_type(media_type) == media.MULTIPART_RELATED:
        _read_costs(found, True, cost_types, path, findings)
        _read_path_vectors(found, cost_types, path, findings)
    elif root in (media.COST_MAP, media.ENDPOINT_COST):
        _read_costs(found, accepts is not None, cost_types, path, findings)
    elif root == media.ENDPOINT_PROPERTIES:
        _read_strings(found, "prop-types", True, path, findings, 7285, "11.4.1.4", _is_endpoint_property)
    elif root == media.PROPERTY_MAP:
        _read_mappings(found, path, findings)
    elif root in (media.EVENT_STREAM, media.TIPS):
        _read_updates(found, root == media.TIPS, path, findings)
    return found


def _read(
    found: dict[str, Json], name: str, kind: type, path: str, findings: Findings, rfc: int, section: str
) -> Json | None:
    """The member if it is of the type `kind`; what is not is taken away, so that nobody stumbles over it."""
    value = findings.optional(found, name, kind, path, rfc, section)
    if value is None:
        found.pop(name, None)
    return value


def _read_strings(
    found: dict[str, Json],
    name: str,
    is_required: bool,
    path: str,
    findings: Findings,
    rfc: int,
    section: str,
    is_good: Callable[[str], bool] = bool,
    why: str = "cannot stand here",
) -> list[str]:
    """An array of strings, at least one where it is required; those that are not `is_good` are left out."""
    inner = join(path, name)
    listed = _read(found, name, list, path, findings, rfc, section)
    if listed is None:
        if is_required and name not in found:
            findings.must(inner, "missing", rfc, section)
        return []
    if not listed:
        findings.must(inner, "at least one name is due", rfc, section)
    kept = [element for element in listed if isinstance(element, str) and is_good(element)]
    for element in listed:
        if not isinstance(element, str) or not is_good(element):
            findings.must(inner, f"{shown(element)} {why}", rfc, section)
    if len(set(kept)) != len(kept):
        findings.note(inner, "a name stands here twice", rfc, section)
        kept = list(dict.fromkeys(kept))
    found[name] = kept
    return kept


def _read_costs(
    found: dict[str, Json], is_filtered: bool, cost_types: Mapping[str, CostType], path: str, findings: Findings
) -> None:
    """RFC 7285 sections 11.2.3.4, 11.3.2.4 and 11.5.1.4; RFC 8189 section 4.1.1; RFC 8896 section 4.1."""
    section = "11.3.2.4" if is_filtered else "11.2.3.4"
    is_named = cost_types.__contains__
    why = "is not among the cost-types of this IRD"
    listed = found.get("cost-type-names")
    listed = [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []
    names = _read_strings(found, "cost-type-names", True, path, findings, 7285, section, is_named, why)
    inner = join(path, "cost-type-names")
    if not is_filtered and len(names) > 1:
        findings.must(inner, f"a cost map has one cost type, not {len(names)}", 7285, section)
        found["cost-type-names"] = names = names[:1]
    keys: dict[tuple[str, str], str] = {}
    for name in names:
        if keys.setdefault(cost_types[name].key, name) != name:
            findings.must(inner, f"{name!r:.80}: the same metric and mode twice", 9439, "3.1")
    if len(keys) < len(names):
        found["cost-type-names"] = names = list(keys.values())
    constraints = _read(found, "cost-constraints", bool, path, findings, 7285, "11.3.2.4")
    most = _read(found, "max-cost-types", float, path, findings, 8189, "4.1.1")
    if most is not None and (most < 0 or most != int(most)):
        findings.must(join(path, "max-cost-types"), f"{most} is no number of cost types", 8189, "4.1.1")
        del found["max-cost-types"]
    if "testable-cost-type-names" in found:
        is_listed = set(listed).__contains__  # what is not defined has been said
        why = "is not in cost-type-names"
        tested = _read_strings(found, "testable-cost-type-names", False, path, findings, 8189, "4.1.1", is_listed, why)
        if "testable-cost-type-names" in found:
            found["testable-cost-type-names"] = [name for name in tested if name in names]
        if constraints is True:
            findings.must(join(path, "testable-cost-type-names"), "never with cost-constraints: true", 8189, "4.1.1")
    if "calendar-attributes" in found:
        if not is_filtered:
            findings.must(join(path, "calendar-attributes"), "only where one POSTs", 8896, "3.3.2")
        _read_calendars(found, frozenset(names), path, findings)


def _read_calendars(found: dict[str, Json], names: frozenset[str], path: str, findings: Findings) -> None:
    """RFC 8896 section 4.1: a name counts where it stands first."""
    listed = _read(found, "calendar-attributes", list, path, findings, 8896, "4.1")
    if listed is None:
        return
    inner = join(path, "calendar-attributes")
    if not listed:
        findings.must(inner, "at least one object is due", 8896, "4.1")
    seen: set[str] = set()
    kept: list[Json] = []
    for number, element in enumerate(listed):
        where = f"{inner}/{number}"
        if not findings.is_a(element, dict, where, 8896, "4.1"):
            continue
        calendar = dict(element)
        named = _read_strings(calendar, "cost-type-names", True, where, findings, 8896, "4.1", names.__contains__)
        repeated = [name for name in named if name in seen]
        for name in repeated:
            findings.must(join(where, "cost-type-names"), f"{name!r} had its calendar before", 8896, "4.1")
        calendar["cost-type-names"] = [name for name in named if name not in seen]
        seen.update(named)
        if _has_intervals(calendar, where, findings) and calendar["cost-type-names"]:
            kept.append(calendar)
    found["calendar-attributes"] = kept


def _has_intervals(calendar: dict[str, Json], path: str, findings: Findings) -> bool:
    size = findings.member(calendar, "time-interval-size", float, path, 8896, "4.1")
    if size is not None and size < 0:
        findings.must(join(path, "time-interval-size"), f"{size} is negative", 8896, "4.1")
        size = None
    number = findings.member(calendar, "number-of-intervals", float, path, 8896, "4.1")
    if number is not None and (number < 1 or number != int(number)):
        findings.must(join(path, "number-of-intervals"), f"{number} is no positive integer", 8896, "4.1")
        number = None
    return size is not None and number is not None


def _read_path_vectors(
    found: dict[str, Json], cost_types: Mapping[str, CostType], path: str, findings: Findings
) -> None:
    """RFC 9275 sections 7.2.4 and 7.3.4."""
    vectors = {name for name in found.get("cost-type-names", ()) if cost_types[name].key == PATH_VECTOR}
    if not vectors:
        findings.must(join(path, "cost-type-names"), "the path vector cost type is missing", 9275, "7.2.4")
    elif found.get("cost-constraints") is True:
        findings.must(join(path, "cost-constraints"), "there are no constraints on path vectors", 9275, "7.2.4")
        found["cost-constraints"] = False
    testable = found.get("testable-cost-type-names", [])
    if vectors & set(testable):
        findings.must(join(path, "testable-cost-type-names"), "a path vector cannot be tested", 9275, "7.2.4")
        found["testable-cost-type-names"] = [name for name in testable if name not in vectors]
    if found.get("ane-property-names"):
        _read_strings(found, "ane-property-names", False, path, findings, 9275, "7.2.4")
    else:
        _read(found, "ane-property-names", list, path, findings, 9275, "7.2.4")


def _read_updates(found: dict[str, Json], is_tips: bool, path: str, findings: Findings) -> None:
    """RFC 8895 section 6.3; RFC 9569 section 5.2."""
    rfc, section = (9569, "5.2") if is_tips else (8895, "6.3")
    name = "incremental-change-media-types"
    inner = join(path, name)
    if name not in found:
        findings.should(inner, "missing", rfc, section)
    types = _read(found, name, dict, path, findings, rfc, section)
    if types is not None:
        kept: dict[str, str] = {}
        for resource_id, text in types.items():
            where = join(inner, resource_id[:MAX_UNREAD])
            if findings.is_a(text, str, where, rfc, section):
                kept[resource_id] = text
                _check_patch_types(text, is_tips, where, findings)
        found[name] = kept
    if is_tips:
        return
    if "support-stream-control" not in found:
        findings.should(join(path, "support-stream-control"), "missing", 8895, "6.3")
    _read(found, "support-stream-control", bool, path, findings, 8895, "6.3")


def _check_patch_types(text: str, is_tips: bool, path: str, findings: Findings) -> None:
    for part in text.split(","):
        if bare_type(part) in (media.MERGE_PATCH, media.JSON_PATCH):
            continue
        if is_tips:
            findings.must(path, f"{part!r:.80} is no patch type", 9569, "5.2")
        elif bare_type(part) is None:
            findings.must(path, f"{part!r:.80} is no media type", 8895, "6.3")
        else:
            findings.note(path, f"{part!r:.80} is no patch type of this RFC", 8895, "6.3")


def _read_mappings(found: dict[str, Json], path: str, findings: Findings) -> None:
    """RFC 9240 section 7.4."""
    mappings = findings.member(found, "mappings", dict, path, 9240, "7.4")
    if mappings is None:
        found.pop("mappings", None)
        return
    inner = join(path, "mappings")
    kept = dict(mappings)
    for domain in mappings:
        where = join(inner, domain[:MAX_UNREAD])
        if not _is_domain_name(domain):
            findings.must(where, "no entity domain name", 9240, "5.1.2")
            del kept[domain]
        elif not is_json(mappings[domain], list):
            findings.must(where, f"an array is due, not {shown(mappings[domain])}", 9240, "7.4")
            del kept[domain]
        else:
            _read_strings(kept, domain, True, inner, findings, 9240, "7.4", _is_entity_property)
    found["mappings"] = kept


def _is_domain_name(text: str) -> bool:
    try:
        parse_domain_name(text)
    except ValueError:
        return False
    return True


def _is_entity_property(text: str) -> bool:
    try:
        parse_property_name(text)
    except ValueError:
        return False
    return True


def _is_endpoint_property(text: str) -> bool:
    """RFC 7285 section 10.8: `property` or `resource-id.property`."""
    resource_id, dot, name = text.rpartition(".")
    return is_property_name(name) and (is_resource_id(resource_id) if dot else True)

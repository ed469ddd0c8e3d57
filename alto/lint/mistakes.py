"""The mistakes that a server is shown to see whether it names them (RFC 7285 section 8.5.2)."""

import copy
from collections.abc import Iterator
from typing import Any

from attrs import frozen

from alto import media
from alto._json import Json
from alto.ird import ResourceEntry
from alto.lint.asking import Due

_MISSING = ("E_MISSING_FIELD",)
_TYPE = ("E_INVALID_FIELD_TYPE",)
_VALUE = ("E_INVALID_FIELD_VALUE",)
_ANY = ("E_INVALID_FIELD_VALUE", "E_INVALID_FIELD_TYPE", "E_MISSING_FIELD", "E_SYNTAX")
# Table 1 of section 8.5.2 has "syntax error in a request, e.g., identifiers"; RFC 8895, 9240 and 9274 have the value.
_NAME = ("E_INVALID_FIELD_VALUE", "E_SYNTAX")
_REMOVED: Any = object()
NOTHING = "alto-lint-nothing"
"""A name that no server has."""


@frozen
class Mistake:
    """A request with one mistake in it."""

    about: str
    tree: Json
    due: Due


class _Mistakes:
    """Makes mistakes of a request that is in order, by the clause that describes it."""

    def __init__(self, request: dict[str, Json], rfc: int, section: str) -> None:
        self._request = request
        self._rfc = rfc
        self._section = section

    def made(self, path: str, value: Json, codes: tuple[str, ...], *fields: str) -> Mistake:
        """The request with another value at `path`; the error is due there or at one of `fields`."""
        tree = copy.deepcopy(self._request)
        *above, name = path.split("/")
        holder = tree
        for step in above:
            holder = holder[step]
        if value is _REMOVED:
            del holder[name]
        else:
            holder[name] = value
        about = f"without {path}" if value is _REMOVED else f"{path} = {value!r:.60}"
        return Mistake(about, tree, Due(codes, (path, *fields), self._rfc, self._section))

    def of_array(self, path: str, bad: str | None) -> Iterator[Mistake]:
        """Of a required array of strings, of which `bad` is not a possible one."""
        yield self.made(path, _REMOVED, _MISSING)
        yield self.made(path, NOTHING, _TYPE)
        # "For an array element, the array" is named, and a wrong element is a wrong value.
        yield self.made(path, [7], _VALUE)
        if bad is not None:
            yield self.made(path, [bad], _NAME)


def mistakes_for(entry: ResourceEntry, request: Json) -> Iterator[Mistake]:
    """The request to a resource, which is in order, with one mistake after the other."""
    clause = _CLAUSES.get(entry.accepts or "")
    if clause is None or not isinstance(request, dict):
        return
    make = _Mistakes(request, *clause)
    yield Mistake("an array for an object", [], Due((*_TYPE, "E_SYNTAX"), (), 7285, "8.5.2"))
    match entry.accepts:
        case media.NETWORK_MAP_FILTER:
            yield from make.of_array("pids", None)
            yield make.made("address-types", 7, _TYPE)
        case media.COST_MAP_FILTER:
            yield from _cost_mistakes(make, entry, request)
            yield from _selection_mistakes(make, request, "pids")
        case media.ENDPOINT_COST_PARAMS:
            yield from _cost_mistakes(make, entry, request)
            yield make.made("endpoints", _REMOVED, _MISSING)
            yield make.made("endpoints", {"srcs": [], "dsts": []}, _ANY, "endpoints/srcs", "endpoints/dsts")
            yield make.made("endpoints/srcs", ["nothing"], _NAME)
            yield from _selection_mistakes(make, request, "endpoints")
        case media.ENDPOINT_PROPERTY_PARAMS:
            yield from make.of_array("properties", f"priv:{NOTHING}")
            yield from make.of_array("endpoints", "nothing")
            yield make.made("properties", [], _ANY)
            yield make.made("endpoints", [], _ANY)
        case media.PROPERTY_MAP_PARAMS:
            yield from make.of_array("entities", f"{NOTHING}:x")
            yield make.made("properties", [f"{NOTHING}.x"], _NAME)
            yield make.made("properties", 7, _TYPE)
        case media.CDNI_FILTER:
            yield from make.of_array("cdni-capabilities", None)
            bad = {"capability-type": None, "capability-value": None}
            yield make.made("cdni-capabilities", [bad], _VALUE, "cdni-capabilities/capability-type")
        case media.UPDATE_STREAM_PARAMS:
            yield Mistake("an empty object", {}, Due(_MISSING, ("add",), 8895, "6.6"))
            yield make.made("add", 7, _TYPE)
            yield make.made("add/x", {}, _MISSING, "add/x/resource-id")
            yield make.made("add/x/resource-id", NOTHING, _VALUE)
        case media.TIPS_PARAMS:
            yield make.made("resource-id", _REMOVED, _MISSING)
            yield make.made("resource-id", 7, (*_TYPE, *_VALUE))
            yield make.made("resource-id", NOTHING, _VALUE)


def _cost_mistakes(make: _Mistakes, entry: ResourceEntry, request: dict[str, Json]) -> Iterator[Mistake]:
    yield make.made("cost-type", _REMOVED, _MISSING, "multi-cost-types")
    yield make.made("cost-type", 7, _TYPE)
    yield make.made("cost-type/cost-metric", _REMOVED, _MISSING)
    yield make.made("cost-type/cost-mode", _REMOVED, _MISSING)
    yield make.made("cost-type/cost-mode", 7, _TYPE)
    yield make.made("cost-type/cost-metric", f"priv:{NOTHING}", _VALUE, "cost-type")
    if entry.capabilities.get("cost-constraints") is True:
        yield make.made("constraints", 7, _TYPE)
        yield make.made("constraints", ["about 7"], _NAME)
    elif not entry.capabilities.get("testable-cost-type-names"):
        yield make.made("constraints", ["ge 0"], _ANY)


def _selection_mistakes(make: _Mistakes, request: dict[str, Json], member: str) -> Iterator[Mistake]:
    yield make.made(member, 7, _TYPE)
    if member in request:
        yield make.made(f"{member}/srcs", NOTHING, _TYPE)
        yield make.made(f"{member}/dsts", [7], _VALUE)
        if member == "pids":
            yield make.made("pids/srcs", _REMOVED, _MISSING)


_CLAUSES = {
    media.NETWORK_MAP_FILTER: (7285, "11.3.1.3"),
    media.COST_MAP_FILTER: (7285, "11.3.2.3"),
    media.ENDPOINT_PROPERTY_PARAMS: (7285, "11.4.1.3"),
    media.ENDPOINT_COST_PARAMS: (7285, "11.5.1.3"),
    media.PROPERTY_MAP_PARAMS: (9240, "8.6"),
    media.CDNI_FILTER: (9241, "5.6"),
    media.UPDATE_STREAM_PARAMS: (8895, "6.6"),
    media.TIPS_PARAMS: (9569, "6.2"),
}

"""JSON Schemas of what ALTO clients post and servers answer, written from the RFCs' texts and from nothing of ours.

A request that breaks its schema breaks the RFC, so that a server has to refuse it; `violations` says with which errors.
A schema of an answer is made for what was asked.
"""

import datetime
import ipaddress
import json
from collections.abc import Callable, Mapping
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker

Schema = dict[str, Any]

FORMATS = FormatChecker(formats=())


def _format(name: str) -> Callable[[Callable[[str], object]], Callable[[str], object]]:
    """Strings of this format are those that the function says yes to, without a ValueError."""

    def register(judge: Callable[[str], object]) -> Callable[[str], object]:
        FORMATS.checks(name, raises=ValueError)(lambda value: not isinstance(value, str) or bool(judge(value)))
        return judge

    return register


@_format("ipv4-prefix")
def _ipv4_prefix(text: str) -> object:
    return "/" in text and ipaddress.IPv4Network(text)


@_format("ipv6-prefix")
def _ipv6_prefix(text: str) -> object:
    return "/" in text and ipaddress.IPv6Network(text)


@_format("typed-address")
def _typed_address(text: str) -> object:
    """RFC 7285 section 10.4.1."""
    kind, _, address = text.partition(":")
    if kind == "ipv4":
        return ipaddress.IPv4Address(address)
    return kind == "ipv6" and "%" not in address and ipaddress.IPv6Address(address)


@_format("imf-fixdate")
def _fixdate(text: str) -> object:
    """RFC 9110 section 5.6.7."""
    parsed = datetime.datetime.strptime(text, "%a, %d %b %Y %H:%M:%S GMT")
    return parsed.strftime("%a, %d %b %Y %H:%M:%S GMT") == text


def _object(required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None, **more: Any) -> Schema:
    return {"type": "object", "required": [*required], "properties": {**required, **(optional or {})}, **more}


def _map(key: Schema, value: Schema) -> Schema:
    return {"type": "object", "propertyNames": key, "additionalProperties": value}


def _array(items: Schema, **more: Any) -> Schema:
    return {"type": "array", "items": items, **more}


STRING: Schema = {"type": "string"}
STRINGS = _array(STRING)
# RFC 7285 sections 10.1, 10.2, 10.3, 10.5, 10.6; RFC 9439 section 3.2 for the dot.
NAME: Schema = {"type": "string", "pattern": r"^[A-Za-z0-9\-:@_]{1,64}\Z"}
TAG: Schema = {"type": "string", "pattern": r"^[!-~]{1,64}\Z"}
ADDRESS: Schema = {"type": "string", "format": "typed-address"}
COST_TYPE = _object({"cost-mode": STRING, "cost-metric": STRING}, {"description": STRING})
# A server MUST ignore the description in what is posted (section 11.3.2.3).
_WANTED = _object({"cost-mode": STRING, "cost-metric": STRING})
# RFC 9275 section 6.6 and RFC 9240 section 5.1.3 put a dot and more behind a resource ID.
VTAG = _object({"resource-id": STRING, "tag": TAG}, additionalProperties=False)
VTAGS = _array(VTAG)


# What is posted. Members that a schema does not know are ignored (RFC 7285 section 8.4), so they are free here.

_PIDS = _object({"srcs": STRINGS, "dsts": STRINGS})
_ENDPOINTS: Schema = {
    **_object({}, {"srcs": STRINGS, "dsts": STRINGS}),
    "anyOf": [{"required": [end], "properties": {end: {"type": "array", "minItems": 1}}} for end in ("srcs", "dsts")],
}
_UPDATE = _object({"resource-id": STRING}, {"tag": STRING, "incremental-changes": {"type": "boolean"}, "input": {}})
_REQUESTS: dict[str, Schema] = {
    "application/alto-networkmapfilter+json": _object({"pids": STRINGS}, {"address-types": STRINGS}),
    "application/alto-endpointpropparams+json": _object(
        {"properties": _array(STRING, minItems=1), "endpoints": _array(ADDRESS, minItems=1)}
    ),
    "application/alto-propmapparams+json": _object({"entities": STRINGS}, {"properties": STRINGS}),
    "application/alto-cdnifilter+json": _object(
        {
            "cdni-capabilities": _array(
                _object({"capability-type": STRING, "capability-value": {"not": {"type": "null"}}})
            )
        }
    ),
    "application/alto-updatestreamparams+json": _object({"add": {**_map(NAME, _UPDATE), "minProperties": 1}}),
    "control": {
        **_object({}, {"add": _map(NAME, _UPDATE), "remove": STRINGS}),
        "if": {"required": ["remove"]},
        "else": {"required": ["add"], "properties": {"add": {"minProperties": 1}}},
    },
    "application/alto-tipsparams+json": _object({"resource-id": STRING}, {"tag": TAG, "input": {}}),
}
# RFC 7285 section 11.3.2.3, RFC 8189 section 4.1.2, RFC 8896 section 5.1.1, RFC 9275 section 7.2.3.
_COST_MEMBERS: Schema = {
    "constraints": STRINGS,
    "testable-cost-types": _array(_WANTED, minItems=1),
    "or-constraints": _array(_array(STRING, minItems=1), minItems=1),
}


def request_schema(accepts: str, capabilities: Mapping[str, Any]) -> Schema:
    """The schema of what may be posted to a resource with these capabilities."""
    if accepts in _REQUESTS:
        return _REQUESTS[accepts]
    members = dict(_COST_MEMBERS)
    if "calendar-attributes" in capabilities:
        members["calendared"] = _array({"type": "boolean"})
    if "ane-property-names" in capabilities:
        members["ane-property-names"] = STRINGS
    if accepts == "application/alto-costmapfilter+json":
        schema = _object({}, {**members, "pids": _PIDS})
    else:
        schema = _object({"endpoints": _ENDPOINTS}, members)
    several = _object({"multi-cost-types": _array(_WANTED, minItems=1)}, {"cost-type": {"enum": [{}]}})
    schema["if"] = {"required": ["multi-cost-types"]}
    schema["then"] = several
    schema["else"] = _object({"cost-type": _WANTED})
    return schema


TYPE, VALUE, MISSING = "E_INVALID_FIELD_TYPE", "E_INVALID_FIELD_VALUE", "E_MISSING_FIELD"


def violations(schema: Schema, body: Any) -> set[tuple[str, str | None]]:
    """Code and field of each error that RFC 7285 section 8.5.2 has for what breaks the schema."""
    found: set[tuple[str, str | None]] = set()
    for error in Draft202012Validator(schema, format_checker=FORMATS).iter_errors(body):
        path = [*error.absolute_path]
        names = [str(part) for part in path if not isinstance(part, int)]
        field = "/".join(names) or None
        if error.validator == "required":
            missing = [name for name in error.validator_value if name not in error.instance]
            found |= {(MISSING, "/".join([*names, name])) for name in missing}
        elif error.validator == "minProperties":
            found.add((MISSING, field))  # RFC 8895 section 6.6
        elif error.validator == "type" and not (path and isinstance(path[-1], int)):
            found.add((TYPE, field))
        else:
            found.add((VALUE, field))
    return found


# What is answered.

ERROR: Schema = {
    **_object(
        {
            "meta": _object(
                {"code": {"enum": ["E_SYNTAX", MISSING, TYPE, VALUE]}},
                {"field": STRING, "value": STRING, "syntax-error": STRING},
                additionalProperties=False,
                dependentRequired={"value": ["field"]},
                allOf=[
                    {"if": {"required": ["value"]}, "then": {"properties": {"code": {"const": VALUE}}}},
                    {"if": {"required": ["syntax-error"]}, "then": {"properties": {"code": {"const": "E_SYNTAX"}}}},
                ],
            )
        }
    ),
    "additionalProperties": False,
}
_PREFIXES = _object(
    {},
    {kind: _array({"type": "string", "format": f"{kind}-prefix"}) for kind in ("ipv4", "ipv6")},
    additionalProperties=False,
)
_FOOTPRINT = _object({"footprint-type": STRING, "footprint-value": STRINGS})
_SEQ: Schema = {"type": "integer", "minimum": 0}
_ANSWERS: dict[str, Schema] = {
    "application/alto-networkmap+json": _object(
        {"meta": _object({"vtag": VTAG}), "network-map": _map(NAME, _PREFIXES)}
    ),
    "application/alto-endpointprop+json": _object(
        {"meta": _object({"dependent-vtags": VTAGS}), "endpoint-properties": _map(ADDRESS, _map(STRING, STRING))}
    ),
    "application/alto-propmap+json": _object(
        {
            "meta": _object({}, {"vtag": VTAG, "dependent-vtags": VTAGS}),
            "property-map": _map(STRING, {"type": "object"}),
        }
    ),
    "application/alto-cdni+json": _object(
        {
            "meta": _object({"vtag": VTAG}, {"dependent-vtags": VTAGS}),
            "cdni-advertisement": _object(
                {
                    "capabilities-with-footprints": _array(
                        _object({"capability-type": STRING, "capability-value": {}}, {"footprints": _array(_FOOTPRINT)})
                    )
                }
            ),
        }
    ),
    "application/alto-tips+json": _object(
        {
            "tips-view-uri": {"type": "string", "pattern": r"^https?://[!-~]+\Z"},
            "tips-view-summary": _object(
                {
                    "updates-graph-summary": _object(
                        {"start-seq": _SEQ, "end-seq": _SEQ, "start-edge-rec": _object({"seq-i": _SEQ, "seq-j": _SEQ})}
                    )
                }
            ),
        }
    ),
    "application/alto-updatestreamcontrol+json": {
        **_object({}, {"control-uri": {"type": ["string", "null"]}, "started": STRINGS, "stopped": STRINGS}),
        "minProperties": 1,
    },
}


def answer_schema(
    media_type: str,
    asked: Mapping[str, Any] | None = None,
    calendars: Mapping[tuple[str, str], Mapping[str, Any]] | None = None,
) -> Schema:
    """The schema of an answer to `asked`; `calendars` are the CalendarAttributes by mode and metric."""
    if media_type == "application/alto-costmap+json":
        return _costs("cost-map", NAME, asked or {}, calendars or {}, dependent=True)
    if media_type == "application/alto-endpointcost+json":
        return _costs("endpoint-cost-map", ADDRESS, asked or {}, calendars or {}, dependent=False)
    return _ANSWERS[media_type]


def _costs(
    member: str,
    key: Schema,
    asked: Mapping[str, Any],
    calendars: Mapping[tuple[str, str], Mapping[str, Any]],
    *,
    dependent: bool,
) -> Schema:
    several = asked.get("multi-cost-types")
    wanted = several or [asked["cost-type"]] if asked else []
    flags = asked.get("calendared", [False] * len(wanted))
    values, timed = [], False
    for cost_type, flag in zip(wanted, flags, strict=True):
        calendar = calendars.get((cost_type["cost-mode"], cost_type["cost-metric"])) if flag else None
        value = STRINGS if cost_type["cost-mode"] == "array" else {"type": "number"}
        if calendar is not None:
            timed = True
            count = int(calendar["number-of-intervals"])
            value = _array({"type": ["number", "null"]}, minItems=count, maxItems=count)
        values.append(value)
    meta: dict[str, Schema] = {"dependent-vtags": {**VTAGS, "minItems": 1}} if dependent else {}
    if timed:
        meta["calendar-response-attributes"] = _array(_CALENDAR, minItems=1)
    cost: Schema = {"type": ["number", "array"]}
    if several:
        # In the place of a cost that is not there stands null (RFC 8189 section 4.1.3).
        either = [{"anyOf": [value, {"type": "null"}]} for value in values]
        cost = {"type": "array", "prefixItems": either, "minItems": len(values), "maxItems": len(values)}
        meta["multi-cost-types"] = {"const": [_bare(one) for one in several]}
        meta["cost-type"] = {"const": {}}
    elif asked:
        [cost] = values
        meta["cost-type"] = _object({name: {"const": text} for name, text in _bare(asked["cost-type"]).items()})
    else:
        meta["cost-type"] = COST_TYPE
    return _object({"meta": _object(meta), member: _map(key, _map(key, cost))})


_CALENDAR = _object(
    {
        "calendar-start-time": {"type": "string", "format": "imf-fixdate"},
        "time-interval-size": {"type": "number", "exclusiveMinimum": 0},
        "number-of-intervals": {"type": "integer", "minimum": 1},
    },
    {"cost-type-names": _array(STRING, minItems=1), "repeated": {"type": "integer", "minimum": 1}},
)


def _bare(cost_type: Mapping[str, Any]) -> dict[str, str]:
    return {name: cost_type[name] for name in ("cost-mode", "cost-metric")}


def check(schema: Schema, document: Any) -> None:
    """Assert that the document is of the schema."""
    errors = [*Draft202012Validator(schema, format_checker=FORMATS).iter_errors(document)]
    assert not errors, [(error.json_path, error.message) for error in errors[:3]]


def unambiguous(body: bytes) -> Any:
    """The JSON value of octets that every reader takes for the same (RFC 7493). Raises ValueError for any other.

    Python's own `json`, told to refuse names that are there twice, NaN, infinities, and half of a surrogate pair.
    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) != len(pairs):
            raise ValueError("a name twice")
        return dict(pairs)

    def refuse(text: str) -> Any:
        raise ValueError(text)

    value = json.loads(body.decode("utf-8"), object_pairs_hook=once, parse_constant=refuse)
    json.dumps(value, allow_nan=False, ensure_ascii=False).encode("utf-8")
    return value

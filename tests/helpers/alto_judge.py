"""Who judges what a server answers to whatever is posted: by the RFCs' texts, and by our own strict reader."""

import email.policy
import json
from collections.abc import Iterator, Mapping
from email.parser import BytesParser
from typing import Any

import alto_shapes as shapes
import httpx
from alto_shapes import MISSING, TYPE, VALUE
from attrs import frozen
from httpx_sse import EventSource

from alto import media
from alto.cdni import parse_cdni
from alto.costmap import parse_cost_map
from alto.endpointcost import parse_endpoint_cost
from alto.endpointproperty import parse_endpoint_properties
from alto.findings import Findings
from alto.http import Response
from alto.ird import InformationResourceDirectory, ResourceEntry, parse_directory
from alto.networkmap import parse_filtered_network_map
from alto.pathvector import parse_path_vector
from alto.propertymap import parse_property_map
from alto.tips_messages import parse_tips_view

MAX_ECHO = 256
"""Characters of a bad value that our server sends back."""
MAX_DEPTH = 64
"""Levels of nesting that our server reads."""
INTERNAL = (b"Traceback", b'File "', b"object at 0x", b"site-packages", b".py", b"NoneType", b"Error(", b"alto.")
"""What no answer may tell, unless it was asked with it."""

CONTROL_ENTRY = ResourceEntry("control", "", media.UPDATE_STREAM_CONTROL, media.UPDATE_STREAM_PARAMS)


@frozen
class Question:
    """What a resource is asked, and the errors that its schema has for that."""

    asked: Any
    broken: set[tuple[str, str | None]]

    def permits(self, meta: Mapping[str, str]) -> bool:
        """Whether the error is true: its field is there, and has the value that it tells; or it is missing."""
        code, field = meta["code"], meta.get("field")
        if code in (TYPE, MISSING):
            return (code, field) in self.broken
        return field is not None and told(meta.get("value"), at(self.asked, field.split("/")))


class Judge:
    """Knows the directory of a server, and what each of its resources may answer."""

    def __init__(self, directory: Any, base_uri: str) -> None:
        self.ird: InformationResourceDirectory = parse_directory(directory, Findings(), base_uri)
        self.cost_types: Mapping[str, Any] = directory["meta"]["cost-types"]
        self.capabilities = {
            name: entry.get("capabilities", {}) for name, entry in directory["resources"].items()
        }  # as they came, before anything of ours has read them

    def schema_of(self, resource_id: str) -> shapes.Schema:
        """The schema of what may be posted there."""
        if resource_id == CONTROL_ENTRY.id:
            return shapes.request_schema("control", {})
        accepts = self.ird.resources[resource_id].accepts
        assert accepts is not None
        return shapes.request_schema(accepts, self.capabilities[resource_id])

    def judge(self, resource_id: str, body: bytes, answer: Response) -> str:
        """Assert that the answer is one that the request may get; its class: `ok`, or code and field of the error."""
        for word in INTERNAL:
            assert word not in answer.body or word in body, (word, answer.body)
        assert "no-store" in (answer.header("Cache-Control") or ""), answer.headers
        try:
            asked = shapes.unambiguous(body)
        except (ValueError, RecursionError):
            meta = self._error(answer)
            assert meta["code"] == "E_SYNTAX", meta
            return "E_SYNTAX"
        questions = [*self._questions(resource_id, asked)]
        if answer.status in (200, 204):
            for question in questions:
                assert question.broken <= ignored(question.asked), question
            self._success(resource_id, asked, answer)
            return "ok"
        meta = self._error(answer)
        if meta["code"] == "E_SYNTAX":
            assert depth(asked) > MAX_DEPTH, meta
        else:
            assert any(question.permits(meta) for question in questions), (meta, questions)
        return f"{meta['code']} {meta.get('field')}"

    def _questions(self, resource_id: str, asked: Any) -> Iterator["Question"]:
        """What was posted; then each input in it, whose errors are those of its resource (RFC 8895 section 6.6)."""
        yield Question(asked, shapes.violations(self.schema_of(resource_id), asked))
        if not isinstance(asked, dict):
            return
        add = asked.get("add")
        for each in [asked, *(add.values() if isinstance(add, dict) else ())]:
            name = each.get("resource-id") if isinstance(each, dict) else None
            if isinstance(name, str) and name in self.ird.resources and self.ird.resources[name].accepts is not None:
                given = each.get("input", {})
                yield Question(given, shapes.violations(self.schema_of(name), given))

    def _error(self, answer: Response) -> Any:
        assert answer.status in (400, 404), (answer.status, answer.body)
        assert answer.header("Content-Type") == "application/alto-error+json"
        document = shapes.unambiguous(answer.body)
        shapes.check(shapes.ERROR, document)
        return document["meta"]

    def _success(self, resource_id: str, asked: Any, answer: Response) -> None:
        if resource_id == CONTROL_ENTRY.id:
            assert (answer.status, answer.body) == (204, b"")
            return
        entry = self.ird.resources[resource_id]
        kind = answer.header("Content-Type") or ""
        if entry.media_type == media.EVENT_STREAM:
            assert kind == entry.media_type
            self.events(answer.body, asked)
        elif entry.media_type.startswith("multipart/"):
            parse_path_vector(kind, answer.body, Findings(), entry=entry, asked=asked)
            root, properties = parts(kind, answer.body)
            self._document(resource_id, entry.media_type.partition("type=")[2], root, asked)
            shapes.check(shapes.answer_schema(media.PROPERTY_MAP), properties)
        else:
            assert kind == entry.media_type
            document = shapes.unambiguous(answer.body)
            self._document(resource_id, kind, document, asked)
            self._strictly(entry, document, asked)

    def _document(self, resource_id: str, kind: str, document: Any, asked: Any) -> None:
        calendars = {
            (cost_type["cost-mode"], cost_type["cost-metric"]): calendar
            for calendar in self.capabilities[resource_id].get("calendar-attributes", ())
            for cost_type in (self.cost_types[name] for name in calendar["cost-type-names"])
        }
        shapes.check(shapes.answer_schema(kind, asked, calendars), document)

    def _strictly(self, entry: ResourceEntry, document: Any, asked: Any) -> None:
        """Our own reader, which knows more clauses, as strict as it can be."""
        known = {"params": asked, "entry": entry, "cost_types": self.ird.cost_types}
        match entry.media_type:
            case media.NETWORK_MAP:
                parse_filtered_network_map(document, Findings(), asked)
            case media.COST_MAP:
                parse_cost_map(document, Findings(), **known)
            case media.ENDPOINT_COST:
                parse_endpoint_cost(document, Findings(), **known)
            case media.ENDPOINT_PROPERTIES:
                parse_endpoint_properties(document, Findings(), asked)
            case media.PROPERTY_MAP:
                parse_property_map(document, Findings(), entry)
            case media.CDNI:
                parse_cdni(document, Findings(), entry)
            case media.TIPS:
                parse_tips_view(document, Findings())
            case other:
                raise AssertionError(other)

    def events(self, octets: bytes, asked: Any) -> None:
        """The first events of a stream: that of its control, then the whole of each resource (RFC 8895 6.7.1)."""
        names = []
        for name, data in events(octets):
            kind, _, substream = name.rpartition(",") if "," in name else (name, "", "")
            names.append(substream)
            add = asked["add"][substream] if substream else {}
            if kind.startswith("multipart/"):
                root, _ = parts(kind, data)
                self._document(add["resource-id"], kind.partition("type=")[2], root, add["input"])
            elif substream:
                self._document(add["resource-id"], kind, shapes.unambiguous(data), add.get("input"))
            else:
                shapes.check(shapes.answer_schema(kind), shapes.unambiguous(data))
        assert names[0] == ""
        assert sorted(names[1:]) == sorted(asked["add"])


def events(octets: bytes) -> Iterator[tuple[str, bytes]]:
    """The events of a stream, as httpx-sse reads them: name and data."""
    response = httpx.Response(200, headers={"Content-Type": media.EVENT_STREAM}, content=octets)
    for event in EventSource(response).iter_sse():
        yield event.event, event.data.encode()


def parts(content_type: str, body: bytes) -> list[Any]:
    """The JSON of the parts of a multipart message, as Python's reader of mail takes it apart."""
    head = f"MIME-Version: 1.0\r\nContent-Type: {content_type}\r\n\r\n".encode()
    message = BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
    assert message.is_multipart()
    assert not message.defects, message.defects
    return [shapes.unambiguous(part.get_payload(decode=True)) for part in message.iter_parts()]  # type: ignore[attr-defined]


def ignored(asked: Any) -> set[tuple[str, str | None]]:
    """Errors that are none: constraints do not count where each cost is a calendar (RFC 8896 section 5.2.1)."""
    flags = asked.get("calendared") if isinstance(asked, dict) else None
    if not (isinstance(flags, list) and flags and all(flag is True for flag in flags)):
        return set()
    return {(code, name) for code in (TYPE, VALUE) for name in ("constraints", "or-constraints")}


_NOWHERE = object()


def at(value: Any, names: list[str]) -> list[Any]:
    """Every value at a path; arrays are gone through, and a name may have slashes in it."""
    if not names:
        return [value]
    if isinstance(value, list):
        return [found for element in value for found in at(element, names)]
    if not isinstance(value, dict):
        return []
    found = []
    for end in range(1, len(names) + 1):
        inner = value.get("/".join(names[:end]), _NOWHERE)
        if inner is not _NOWHERE:
            found += at(inner, names[end:])
    return found


def told(value: str | None, found: list[Any]) -> bool:
    """Whether `value` is what is at the field, or is an element or a name in it."""
    if not found:
        return False
    texts = {text(inner) for each in found for inner in (each, *nested(each))}
    return value is None or value in texts


def text(value: Any) -> str:
    whole = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return whole[:MAX_ECHO]


def nested(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        yield from value
        for inner in value.values() if isinstance(value, dict) else value:
            yield inner
            yield from nested(inner)


def depth(value: Any) -> int:
    """Levels of nesting."""
    level, count = [value], 0
    while level := [inner for inner in level if isinstance(inner, dict | list)]:
        count += 1
        level = [x for outer in level for x in (outer.values() if isinstance(outer, dict) else outer)]
    return count

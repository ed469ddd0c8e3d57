"""What is wrong with a recorded event stream (RFC 8895)."""

from collections.abc import Callable, Iterable
from contextlib import suppress

from attrs import evolve

from alto import media
from alto._json import Json, JsonError, loads
from alto.errors import DecodeError
from alto.findings import Finding, Findings
from alto.media import parse_media_type
from alto.multipart import parse
from alto.patch import json_patch, merge_patch
from alto.sse import EventStreamReader, EventTooLong, ServerSentEvent
from alto.types import is_resource_id

_PATCHES = {media.MERGE_PATCH: merge_patch, media.JSON_PATCH: json_patch}

Nested = Callable[[bytes | Json, str], list[Finding]]
"""What is wrong with the document of an event, by its media type."""


def lint_stream(octets: bytes, findings: Findings, nested: Nested) -> None:
    """Each event of a stream, and each document as its patches leave it."""
    reader = EventStreamReader()
    reader.receive_data(octets, 0.0)
    documents: dict[str, tuple[str, Json]] = {}
    number = 0
    while (event := reader.next_event()) is not None:
        number += 1
        if isinstance(event, EventTooLong):
            findings.note(f"event {number}", f"it has more than {event.limit} octets", 8895, "9.5")
            return
        _lint_event(event, number, findings, nested, documents)
    if not number:
        findings.must("", "a stream begins with a control event, and this has no event", 8895, "6.7.1")


def _lint_event(
    event: ServerSentEvent, number: int, findings: Findings, nested: Nested, documents: dict[str, tuple[str, Json]]
) -> None:
    path = f"event {number}"
    if event.id is not None:
        findings.note(path, "update messages do not use the SSE field id", 8895, "5.1")
    name, comma, data_id = event.event.rpartition(",")
    is_control = not comma and media.is_media_type(event.event, media.UPDATE_STREAM_CONTROL)
    if (number == 1) != is_control and number == 1:
        findings.must(path, "the first event is no control event", 8895, "6.7.1")
    if is_control:
        name = event.event
    elif not comma or parse_media_type(name) is None:
        findings.must(path, f"{event.event!r:.80} is no media type with a data-id", 8895, "5.2")
        return
    elif not is_resource_id(data_id.partition(".")[0]):
        findings.must(path, f"{data_id!r:.80} begins with no substream-id", 8895, "5.2")
    if media.is_media_type(name, media.MULTIPART_RELATED):
        _lint_parts(event, name, data_id, path, findings, nested, documents)
        return
    try:
        tree = loads(event.data)
    except JsonError as error:
        findings.must(path, f"no JSON of a certain meaning: {error}", 8895, "5.2")
        return
    if is_control and isinstance(tree, dict) and ("control-uri" in tree) != (number == 1):
        text = "the control URI is sent once more" if number > 1 else "the first event names no control URI"
        findings.must(path, text, 8895, "5.3" if number > 1 else "6.7.1")
    kind = parse_media_type(name)
    patch = _PATCHES.get(kind.type) if kind is not None else None
    if patch is not None:
        data_id = _spelled(data_id, documents)
    if patch is None:
        documents[data_id] = (name, tree)
    elif data_id not in documents:
        findings.must(path, f"a change of {data_id!r:.80}, of which there is no full version", 8895, "6.7.1")
    else:
        name, before = documents[data_id]
        try:
            tree = patch(before, tree)
        except DecodeError as error:
            findings.must(path, f"the change does not fit: {error}", 6902, "5")
            return
        documents[data_id] = (name, tree)
    _add(path, nested(tree, name), findings)


def _spelled(data_id: str, documents: dict[str, tuple[str, Json]]) -> str:
    """The data-id as it is among the documents: RFC 8895 and RFC 9275 differ in what of a Content-ID stands in it."""
    if data_id in documents:
        return data_id
    bare = [name for name in documents if name.partition("@")[0] == data_id.partition("@")[0].replace(".<", ".")]
    return bare[0] if len(bare) == 1 else data_id


def _lint_parts(
    event: ServerSentEvent,
    name: str,
    data_id: str,
    path: str,
    findings: Findings,
    nested: Nested,
    documents: dict[str, tuple[str, Json]],
) -> None:
    """A full replacement in parts, each of which may be changed under its own data-id (section 6.7.3)."""
    # An event stream knows of no CR; the message is read as it was before.
    body = event.data.replace(b"\n", b"\r\n")
    inner = Findings(strict=False)
    for part in parse(name, body, inner).parts:
        if part.content_id is None:
            inner.must("", "a part without a Content-ID", 8895, "5.2")
            continue
        with suppress(JsonError):  # which `nested` tells
            documents[f"{data_id}.{part.content_id}"] = (name, loads(part.body))
    _add(path, [*inner.items, *nested(body, name)], findings)


def _add(path: str, inner: Iterable[Finding], findings: Findings) -> None:
    findings.items += [evolve(finding, path=f"{path}: {finding.path}") for finding in inner]


def lint_control(tree: Json, findings: Findings) -> None:
    """A control update message (section 5.3)."""
    if not findings.is_a(tree, dict, "", 8895, "5.3"):
        return
    if tree.get("control-uri", "") is not None:
        findings.optional(tree, "control-uri", str, "", 8895, "5.3")
    if findings.optional(tree, "description", str, "", 8895, "5.3") is None and "stopped" in tree:
        findings.should("description", "missing, though something is stopped", 8895, "5.3")
    for name in ("started", "stopped"):
        listed = findings.optional(tree, name, list, "", 8895, "5.3")
        if listed == []:
            findings.must(name, "at least one substream-id is due", 8895, "5.3")
        for element in listed or ():
            if not isinstance(element, str) or not is_resource_id(element):
                findings.must(name, f"{element!r:.80} is no substream-id", 8895, "5.3")

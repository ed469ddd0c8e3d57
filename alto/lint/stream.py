"""What is wrong with a recorded event stream (RFC 8895)."""

from collections.abc import Callable

from alto import media
from alto._json import Json, JsonError, loads
from alto.errors import DecodeError
from alto.findings import Finding, Findings
from alto.media import parse_media_type
from alto.patch import json_patch, merge_patch
from alto.sse import EventStreamReader, EventTooLong, ServerSentEvent
from alto.types import is_resource_id

_PATCHES = {media.MERGE_PATCH: merge_patch, media.JSON_PATCH: json_patch}

Nested = Callable[[Json, str], list[Finding]]
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
    try:
        tree = loads(event.data)
    except JsonError as error:
        if not media.is_media_type(name, media.MULTIPART_RELATED):
            findings.must(path, f"no JSON of a certain meaning: {error}", 8895, "5.2")
        return
    kind = parse_media_type(name)
    patch = _PATCHES.get(kind.type) if kind is not None else None
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
    for finding in nested(tree, name):
        findings.items.append(
            Finding(finding.level, f"{path}: {finding.path}", finding.text, finding.rfc, finding.section)
        )


def lint_control(tree: Json, findings: Findings) -> None:
    """A control update message (section 5.3)."""
    if not findings.is_a(tree, dict, "", 8895, "5.3"):
        return
    if tree.get("control-uri", "") is not None:
        findings.optional(tree, "control-uri", str, "", 8895, "5.3")
    findings.optional(tree, "description", str, "", 8895, "5.3")
    for name in ("started", "stopped"):
        for element in findings.optional(tree, name, list, "", 8895, "5.3") or ():
            if not isinstance(element, str) or not is_resource_id(element):
                findings.must(name, f"{element!r:.80} is no substream-id", 8895, "5.3")

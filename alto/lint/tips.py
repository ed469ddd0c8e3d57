"""A TIPS view of a live server (RFC 9569)."""

from alto import media
from alto._json import Json
from alto.client.fetch import Plan
from alto.closure import Closure
from alto.errors import DecodeError
from alto.findings import Findings
from alto.ird import ResourceEntry
from alto.lint.asking import Due, Inspection, accepting, value_of
from alto.lint.document import note_error
from alto.lint.mistakes import NOTHING
from alto.tips_messages import RFC, TipsView, ascii_uri, parse_next_edge, parse_tips_view

_WRONG_RESOURCE = Due(("E_INVALID_FIELD_VALUE",), ("resource-id",), RFC, "7.4.1")


def probe_tips(inspection: Inspection, closure: Closure, entry: ResourceEntry, request: Json) -> Plan[None]:
    """Open a view, take its recommended edge, ask for a next one, and for edges that are not there."""
    view = yield from _open(inspection, entry, request)
    if view is None:
        return
    resource = closure.entries[request["resource-id"]]
    root = ascii_uri(view.tips_view_uri).rstrip("/")
    summary = view.summary
    i, j = summary.seq_i, summary.seq_j
    if i != 0:
        inspection.must(f"{entry.id}: open", "no snapshot is recommended, though no tag was sent", RFC, "6.2")
    for edge in {(0, summary.start_seq), (i, j)}:
        where = f"{entry.id}: GET ug/{edge[0]}/{edge[1]}"
        response = yield from inspection.ask("GET", f"{root}/ug/{edge[0]}/{edge[1]}", accepting(resource.media_type))
        findings = Findings(strict=False)
        inspection.check_answer(where, response, resource.media_type, findings)
        inspection.add(where, findings.items)
    for tail in (f"ug/{summary.end_seq + 1000}/{summary.end_seq + 1001}", "ug/0/0", f"ug/{NOTHING}/1"):
        response = yield from inspection.ask("GET", f"{root}/{tail}", accepting(resource.media_type))
        where = f"{entry.id}: GET {tail}"
        if not 400 <= response.status < 500:
            inspection.must(where, f"the status is {response.status}, and there is no such edge", RFC, "7.2")
        elif not media.is_media_type(response.header("content-type"), media.ERROR):
            inspection.should(where, "refused without an ALTO error", RFC, "7.2")
    yield from _next_edge(inspection, entry, root, request)


def _open(inspection: Inspection, entry: ResourceEntry, request: Json) -> Plan[TipsView | None]:
    response = yield from inspection.post(entry, request)
    where, findings = f"{entry.id}: open", Findings(strict=False)
    view = None
    if inspection.check_answer(where, response, media.TIPS, findings):
        try:
            view = parse_tips_view(value_of(response), findings)
        except DecodeError as error:
            note_error(error, findings)
    inspection.add(where, findings.items)
    return view


def _next_edge(inspection: Inspection, entry: ResourceEntry, root: str, request: Json) -> Plan[None]:
    where, findings = f"{entry.id}: POST ug", Findings(strict=False)
    headers = (*accepting(media.MERGE_PATCH), ("Content-Type", media.TIPS_PARAMS))
    response = yield from inspection.post(
        entry, {"resource-id": request["resource-id"]}, uri=f"{root}/ug", headers=headers
    )
    if inspection.check_answer(where, response, media.MERGE_PATCH, findings):
        try:
            parse_next_edge(value_of(response), findings)
        except DecodeError as error:
            note_error(error, findings)
    inspection.add(where, findings.items)
    wrong = yield from inspection.post(entry, {"resource-id": NOTHING}, uri=f"{root}/ug", headers=headers)
    inspection.check_refusal(f"{where}, resource-id = {NOTHING!r}", wrong, _WRONG_RESOURCE)

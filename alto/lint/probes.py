"""One resource of a live server: what it answers, and what it says to those who ask wrongly."""

from alto import media
from alto._json import Json
from alto.cdni import parse_cdni
from alto.client.client import check_vtag
from alto.client.fetch import Plan
from alto.closure import Closure
from alto.costmap import parse_cost_map
from alto.endpointcost import parse_endpoint_cost
from alto.endpointproperty import parse_endpoint_properties
from alto.errors import DecodeError
from alto.findings import Findings
from alto.http import Response
from alto.ird import ResourceEntry
from alto.lint.asking import Due, Inspection, accepting, value_of
from alto.lint.document import note_error
from alto.lint.mistakes import mistakes_for
from alto.networkmap import ParsedNetworkMap, parse_filtered_network_map, parse_network_map
from alto.pathvector import parse_path_vector
from alto.propertymap import parse_property_map

_SYNTAX = Due(("E_SYNTAX",), (), 7285, "8.5.2")
_WRONG_TYPE = "text/plain"


def read_answer(
    inspection: Inspection, closure: Closure, entry: ResourceEntry, response: Response, findings: Findings, asked: Json
) -> object:
    """The document of an answer to `asked` (None: to a GET). Raises DecodeError."""
    if entry.is_multipart:
        content_type = response.header("content-type") or ""
        return parse_path_vector(content_type, response.body, findings, entry=entry, asked=asked)
    tree = value_of(response)
    cost_types, wall = closure.cost_types.get(entry.id, {}), inspection.wall
    match entry.document_type:
        case media.NETWORK_MAP if asked is None:
            whole = parse_network_map(tree, findings)
            check_vtag(whole.vtag, entry.id, findings)
            return whole
        case media.NETWORK_MAP:
            return parse_filtered_network_map(tree, findings, asked)
        case media.COST_MAP:
            return parse_cost_map(tree, findings, params=asked, entry=entry, cost_types=cost_types, wall=wall)
        case media.ENDPOINT_COST:
            return parse_endpoint_cost(tree, findings, params=asked, entry=entry, cost_types=cost_types, wall=wall)
        case media.ENDPOINT_PROPERTIES:
            return parse_endpoint_properties(tree, findings, asked)
        case media.PROPERTY_MAP:
            media_types = {other.id: other.media_type for other in closure.entries.values()}
            return parse_property_map(tree, findings, entry, media_types=media_types)
        case media.CDNI:
            return parse_cdni(tree, findings, entry)
        case _:
            return None


def probe_get(inspection: Inspection, closure: Closure, entry: ResourceEntry) -> Plan[None]:
    """A resource that one GETs: its document, HEAD, revalidation, and a POST that it does not take."""
    headers = accepting(entry.media_type)
    response = yield from inspection.ask("GET", entry.uri, headers)
    document = take(inspection, closure, entry, response, "GET", None)
    if document is not None:
        inspection.documents[entry.id] = document
    if response.status == 200:
        yield from _probe_caching(inspection, entry, response)
    yield from _probe_method(inspection, entry, "POST", b"{}")


def take(
    inspection: Inspection, closure: Closure, entry: ResourceEntry, response: Response, how: str, asked: Json
) -> object:
    """Note what is wrong with an answer that has to be a success; its document, None where there is none of use."""
    where, findings = f"{entry.id}: {how}", Findings(strict=False)
    document = None
    if inspection.check_answer(where, response, entry.media_type, findings):
        try:
            document = read_answer(inspection, closure, entry, response, findings, asked)
        except DecodeError as error:
            note_error(error, findings)
    inspection.add(where, findings.items)
    return document


def probe_post(inspection: Inspection, closure: Closure, entry: ResourceEntry, request: Json) -> Plan[object]:
    """A resource that one POSTs to: an answer, then the errors to requests that are wrong in every way."""
    document = None
    if not media.is_media_type(entry.media_type, media.EVENT_STREAM):
        response = yield from inspection.post(entry, request)
        document = take(inspection, closure, entry, response, "POST", request)
    yield from _probe_method(inspection, entry, "GET", b"")
    headers = accepting(entry.media_type)
    for body in (b'{"', b'{"a": 1, "a": 2'):
        content = (("Content-Type", entry.accepts or ""),)
        response = yield from inspection.ask("POST", entry.uri, headers + content, body)
        inspection.check_refusal(f"{entry.id}: POST of {body.decode()}", response, _SYNTAX)
    yield from _probe_type(inspection, entry)
    for mistake in mistakes_for(entry, request):
        response = yield from inspection.post(entry, mistake.tree)
        inspection.check_refusal(f"{entry.id}: POST, {mistake.about}", response, mistake.due)
    return document


def _probe_caching(inspection: Inspection, entry: ResourceEntry, response: Response) -> Plan[None]:
    """RFC 7285 section 8.3.6 leaves freshness to HTTP: RFC 9110."""
    where = f"{entry.id}: GET with If-None-Match"
    headers = accepting(entry.media_type)
    etag = response.header("etag")
    if etag is None:
        inspection.should(
            f"{entry.id}: GET", "no ETag, so that clients have to fetch it whole each time", 9110, "8.8.3"
        )
    else:
        again = yield from inspection.ask("GET", entry.uri, (*headers, ("If-None-Match", etag)))
        if again.status == 200 and again.header("etag") == etag:
            inspection.must(where, "sent again, though the ETag still holds", 9110, "13.1.2")
        elif again.status == 304:
            if again.header("etag") != etag:
                inspection.must(
                    where, f"304 with the ETag {again.header('etag')!r:.80}, not {etag:.80}", 9110, "15.4.5"
                )
            if again.body:
                inspection.must(where, "304 with a body", 9110, "15.4.5")
        elif again.status != 200:
            inspection.must(where, f"the status is {again.status}", 9110, "13.1.2")
    head = yield from inspection.ask("HEAD", entry.uri, headers)
    if head.status != 200:
        inspection.must(f"{entry.id}: HEAD", f"the status is {head.status}, where GET has 200", 9110, "9.1")
    elif head.body:
        inspection.must(f"{entry.id}: HEAD", "an answer with a body", 9110, "9.3.2")
    elif media.parse_media_type(head.header("content-type") or "") != media.parse_media_type(
        response.header("content-type") or ""
    ):
        inspection.should(f"{entry.id}: HEAD", "not the Content-Type that GET has", 9110, "9.3.2")


def _probe_method(inspection: Inspection, entry: ResourceEntry, method: str, body: bytes) -> Plan[None]:
    """A method that the resource does not have."""
    where = f"{entry.id}: {method}"
    content = (("Content-Type", "application/json"),) if body else ()
    response = yield from inspection.ask(method, entry.uri, accepting(entry.media_type) + content, body)
    if response.status == 405:
        if response.header("allow") is None:
            inspection.must(where, "405 without Allow", 9110, "15.5.6")
    elif response.status >= 500 and response.status != 501:
        inspection.must(where, f"the status is {response.status}; the fault is the client's", 7285, "8.5")
    elif 200 <= response.status < 300:
        # Nothing forbids it, but then section 9.2.2 asks for another entry.
        inspection.should(where, "accepted, though the directory does not say so", 7285, "9.2.2")


def _probe_type(inspection: Inspection, entry: ResourceEntry) -> Plan[None]:
    """A body of a type that the resource does not take, and an answer of a type that it does not have."""
    headers = (*accepting(entry.media_type), ("Content-Type", _WRONG_TYPE))
    response = yield from inspection.ask("POST", entry.uri, headers, b"{}")
    where = f"{entry.id}: POST of {_WRONG_TYPE}"
    if 200 <= response.status < 300:
        inspection.should(where, "accepted; 415 is due", 9110, "15.5.16")
    elif response.status >= 500:
        inspection.must(where, f"the status is {response.status}; the fault is the client's", 7285, "8.5")


def network_maps(inspection: Inspection) -> dict[str, ParsedNetworkMap]:
    """The whole network maps that have been fetched, by their IDs."""
    return {name: each for name, each in inspection.documents.items() if isinstance(each, ParsedNetworkMap)}

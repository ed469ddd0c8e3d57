"""Which ALTO document something is: by its media type, or else by its shape."""

from collections.abc import Callable

from alto import media
from alto._json import Json
from alto.findings import Findings
from alto.media import parse_media_type

_REGISTERED = frozenset(
    {
        media.DIRECTORY,
        media.NETWORK_MAP,
        media.NETWORK_MAP_FILTER,
        media.COST_MAP,
        media.COST_MAP_FILTER,
        media.ENDPOINT_PROPERTIES,
        media.ENDPOINT_PROPERTY_PARAMS,
        media.ENDPOINT_COST,
        media.ENDPOINT_COST_PARAMS,
        media.ERROR,
        media.UPDATE_STREAM_PARAMS,
        media.UPDATE_STREAM_CONTROL,
        media.PROPERTY_MAP,
        media.PROPERTY_MAP_PARAMS,
        media.CDNI,
        media.CDNI_FILTER,
        media.TIPS,
        media.TIPS_PARAMS,
        media.EVENT_STREAM,
        media.MULTIPART_RELATED,
        media.MERGE_PATCH,
        media.JSON_PATCH,
    }
)
_MEMBERS = (
    ("resources", media.DIRECTORY),
    ("network-map", media.NETWORK_MAP),
    ("cost-map", media.COST_MAP),
    ("endpoint-cost-map", media.ENDPOINT_COST),
    ("endpoint-properties", media.ENDPOINT_PROPERTIES),
    ("property-map", media.PROPERTY_MAP),
    ("cdni-advertisement", media.CDNI),
    ("tips-view-uri", media.TIPS),
    ("control-uri", media.UPDATE_STREAM_CONTROL),
    ("started", media.UPDATE_STREAM_CONTROL),
    ("stopped", media.UPDATE_STREAM_CONTROL),
    ("tips-view-summary", media.MERGE_PATCH),
    ("cdni-capabilities", media.CDNI_FILTER),
    ("entities", media.PROPERTY_MAP_PARAMS),
    ("resource-id", media.TIPS_PARAMS),
    ("add", media.UPDATE_STREAM_PARAMS),
    ("remove", media.UPDATE_STREAM_PARAMS),
)
_JSON_TYPES = ("application/json", "text/json")


def kind_of(document: Json, media_type: str | None, findings: Findings) -> str | None:
    """The media type that a JSON value is to be read by; None where it is nothing known.

    `media_type` may also be the name of an event, with a data-id behind it (RFC 8895 section 5.2). One that is not
    registered is a finding, and then the shape decides.
    """
    shape = kind_of_tree(document)
    if media_type is None:
        return shape
    parsed = parse_media_type(media_type) or parse_media_type(media_type.rpartition(",")[0])
    kind = parsed.type if parsed is not None else None
    if kind in _REGISTERED:
        return kind
    if kind is None or kind not in _JSON_TYPES or shape is not None:
        hint = f"; is it {shape}?" if shape is not None else ""
        findings.must("", f"{media_type!r:.80} is no media type that is registered for ALTO{hint}", 7285, "14.1")
    return shape


def kind_of_tree(tree: Json) -> str | None:
    """The media type of the document that has these members; None where nothing tells."""
    if isinstance(tree, list):
        is_patch = bool(tree) and all(isinstance(each, dict) and "op" in each for each in tree)
        return media.JSON_PATCH if is_patch else None
    if not isinstance(tree, dict):
        return None
    found = next((kind for name, kind in _MEMBERS if name in tree), None)
    if found is not None:
        return found
    meta = tree.get("meta")
    if isinstance(meta, dict) and "code" in meta:
        return media.ERROR
    return next((kind for kind, looks in _REQUESTS if looks(tree)), None)


_REQUESTS: tuple[tuple[str, Callable[[dict[str, Json]], bool]], ...] = (
    (media.ENDPOINT_PROPERTY_PARAMS, lambda tree: "properties" in tree),
    (media.ENDPOINT_COST_PARAMS, lambda tree: "endpoints" in tree),
    (media.COST_MAP_FILTER, lambda tree: "cost-type" in tree or "multi-cost-types" in tree),
    (media.NETWORK_MAP_FILTER, lambda tree: "pids" in tree or "address-types" in tree),
)


def kind_of_octets(octets: bytes, media_type: str | None) -> str | None:
    """The media type of an event stream or a multipart message; None for what has to be JSON."""
    start = octets.lstrip(b"\xef\xbb\xbf \t\r\n")
    if media.is_media_type(media_type, media.EVENT_STREAM):
        return media.EVENT_STREAM
    if media_type is None and start.startswith((b"event:", b"data:", b"id:", b"retry:", b":")):
        return media.EVENT_STREAM
    # A part alone may come under the type of the whole.
    is_multipart = media_type is None or media.is_media_type(media_type, media.MULTIPART_RELATED)
    return media.MULTIPART_RELATED if is_multipart and start.startswith(b"--") else None

"""Media types: those that ALTO registers, how a Content-Type is read, and what an Accept field lets through."""

import re
from collections.abc import Iterable, Mapping

from attrs import field, frozen

DIRECTORY = "application/alto-directory+json"
NETWORK_MAP = "application/alto-networkmap+json"
NETWORK_MAP_FILTER = "application/alto-networkmapfilter+json"
COST_MAP = "application/alto-costmap+json"
COST_MAP_FILTER = "application/alto-costmapfilter+json"
ENDPOINT_PROPERTIES = "application/alto-endpointprop+json"
ENDPOINT_PROPERTY_PARAMS = "application/alto-endpointpropparams+json"
ENDPOINT_COST = "application/alto-endpointcost+json"
ENDPOINT_COST_PARAMS = "application/alto-endpointcostparams+json"
ERROR = "application/alto-error+json"
UPDATE_STREAM_PARAMS = "application/alto-updatestreamparams+json"
UPDATE_STREAM_CONTROL = "application/alto-updatestreamcontrol+json"
PROPERTY_MAP = "application/alto-propmap+json"
PROPERTY_MAP_PARAMS = "application/alto-propmapparams+json"
CDNI = "application/alto-cdni+json"
CDNI_FILTER = "application/alto-cdnifilter+json"
TIPS = "application/alto-tips+json"
TIPS_PARAMS = "application/alto-tipsparams+json"
EVENT_STREAM = "text/event-stream"
MULTIPART_RELATED = "multipart/related"
MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"

_TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_TYPE = re.compile(rf"[ \t]*({_TOKEN}/{_TOKEN})[ \t]*")
# More than a token: RFC 9275 section 7.2.6 has `type=application/alto-costmap+json` without quotes.
_VALUE = r"[!#-+\-./0-:<-\[\]-~]+"
_PARAMETER = re.compile(rf';[ \t]*(?:({_TOKEN})=(?:({_VALUE})|"((?:[^"\\]|\\.)*)")[ \t]*)?')
_RANGE = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.)*")+')


@frozen
class MediaType:
    """A media type with its parameters: type and parameter names in lower case, values as they stand."""

    type: str
    parameters: Mapping[str, str] = field(factory=dict, hash=False)


def parse_media_type(text: str) -> MediaType | None:
    """The media type of a Content-Type field, an IRD or an SSE event name; None for what is none (RFC 9110 8.3.1)."""
    match = _TYPE.match(text)
    if match is None:
        return None
    parameters: dict[str, str] = {}
    at = match.end()
    while at < len(text):
        part = _PARAMETER.match(text, at)
        if part is None:
            return None
        at = part.end()
        name, token, quoted = part.groups()
        if name is not None:
            value = token if token is not None else re.sub(r"\\(.)", r"\1", quoted)
            parameters.setdefault(name.lower(), value)
    return MediaType(match[1].lower(), parameters)


def is_media_type(text: str | None, wanted: str) -> bool:
    """Whether a Content-Type field names the type `wanted`, whatever its parameters."""
    parsed = parse_media_type(text) if text is not None else None
    return parsed is not None and parsed.type == wanted


def accepts(field: str | None, offered: Iterable[str]) -> bool:
    """Whether an Accept field lets any of the bare types in `offered` through (RFC 9110 section 12.5.1)."""
    if field is None or not field.strip():
        return True
    weights: dict[str, float] = {}
    for text in _RANGE.findall(field):
        parsed = parse_media_type(text)
        if parsed is not None:
            weights[parsed.type] = max(weights.get(parsed.type, 0.0), _weight(parsed.parameters.get("q", "1")))
    for kind in offered:
        for candidate in (kind, kind.partition("/")[0] + "/*", "*/*"):
            if candidate in weights:
                if weights[candidate] > 0:
                    return True
                break
    return False


def _weight(text: str) -> float:
    return float(text) if re.fullmatch(r"[01](?:\.[0-9]{0,3})?", text) else 1.0

"""Our `ppsp.tracker` as an implementation that answers conformance requests (RFC 7846)."""

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from ppsp.tracker.messages import RequestMessage, ResponseMessage, to_json
from ppsp.tracker.parse import MessageError, Parsed, parse_request, parse_response

_Json = dict[str, Any]


def _strict(parse: Callable[[bytes], Parsed[RequestMessage] | Parsed[ResponseMessage]], args: _Json) -> _Json:
    body = args["body"]
    octets = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    try:
        message = parse(octets).message
    except MessageError as exc:
        return {"rejected": str(exc), "value": {"error_code": int(exc.error_code)}}
    return {"value": json.loads(json.dumps(to_json(message)))}


CALLS: Mapping[str, Callable[[_Json], _Json]] = MappingProxyType(
    {
        "tracker-request": lambda args: _strict(parse_request, args),
        "tracker-response": lambda args: _strict(parse_response, args),
    }
)
"""Reading a message, by the function's name: the value is what is understood, in the strict form."""


def trace(steps: list[_Json], params: _Json) -> _Json:
    """Run the steps of a trace against a tracker."""
    return {"unsupported": True}

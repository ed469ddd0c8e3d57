"""Our `ppsp.tracker` as an implementation that answers conformance requests (RFC 7846)."""

import json
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from ppsp.tracker import (
    MEDIA_TYPE,
    Allowed,
    Denied,
    Limits,
    MessageError,
    Parsed,
    Request,
    RequestMessage,
    ResponseMessage,
    Rules,
    TrackerServer,
    Verdict,
    parse_request,
    parse_response,
    to_json,
)

_Json = dict[str, Any]


def _strict(parse: Callable[[bytes], Parsed[RequestMessage] | Parsed[ResponseMessage]], args: _Json) -> _Json:
    try:
        message = parse(_octets(args["body"])).message
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
    """Run the steps of a trace against a tracker; durations are in microseconds, under names that end in ``_us``."""
    durations = {name.removesuffix("_us"): value / 1e6 for name, value in params.items() if name.endswith("_us")}
    rules = Rules(**{name: params.get(name, False) for name in ("strict", "hold_ids", "own_addresses")})
    due = params.get("authorization")
    server = TrackerServer(
        rules=rules,
        limits=Limits(peers=params["max_peers"]) if "max_peers" in params else None,
        authenticate=None if due is None else partial(_authenticate, due),
        random_bytes=bytes,
        **durations,
    )
    return {"value": [_step(server, step) for step in steps]}


def _step(server: TrackerServer, step: _Json) -> _Json:
    ((verb, args),) = step["do"].items()
    now = step["at"] / 1e6
    observed: _Json = {}
    if verb == "request":
        response = server.handle(_http_request(args), (args.get("peer", "192.0.2.1"), args.get("port", 1024)), now)
        observed = {"status": response.status, "body": json.loads(response.body)}
        observed["content_type"] = response.header("Content-Type")
    elif verb == "timer":
        server.handle_timer(now)
    else:
        raise LookupError(f"a tracker has no verb {verb!r}")
    timer = server.get_timer()
    observed["timer_us"] = None if timer is None else round(timer * 1e6)
    observed["state"] = server.state.value
    observed["peers"] = server.peer_count
    observed["swarms"] = server.swarm_count
    return {name: observed[name] for name in step["observe"]}


def _authenticate(due: str, request: Request, certificate: str | None, now: float) -> Verdict:
    return Allowed() if request.header("Authorization") == due else Denied(('Bearer realm="ppsp"',))


def _http_request(args: _Json) -> Request:
    headers: tuple[tuple[str, str], ...] = (("Content-Type", args.get("content_type", MEDIA_TYPE)),)
    if "authorization" in args:
        headers += (("Authorization", args["authorization"]),)
    return Request(args.get("method", "POST"), args.get("target", "/"), headers, _octets(args["body"]))


def _octets(body: Any) -> bytes:
    """A body is given as its text, or as the JSON value."""
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()

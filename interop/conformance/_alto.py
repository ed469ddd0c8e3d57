"""Our `alto` package as an implementation that answers conformance requests: calls by the function's name."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from alto import AltoError
from interop.conformance import (
    _alto_client,
    _alto_costs,
    _alto_maps,
    _alto_paths,
    _alto_properties,
    _alto_server,
    _alto_tips,
    _alto_updates,
)

_Json = dict[str, Any]
_Call = Callable[[_Json], Any]

# One module for each part of the package brings its calls: a name, and a function from args to the value.
_PARTS: tuple[Mapping[str, _Call], ...] = (
    _alto_tips.CALLS,
    _alto_client.CALLS,
    _alto_maps.CALLS,
    _alto_paths.CALLS,
    _alto_costs.CALLS,
    _alto_properties.CALLS,
    _alto_updates.CALLS,
)
CALLS: Mapping[str, _Call] = MappingProxyType({name: call for part in _PARTS for name, call in part.items()})


def answer(request: _Json) -> _Json:
    """The answer to one request of the ``--exec`` protocol."""
    if request["op"] == "trace" and request["params"]["machine"] == "alto-server":
        return {"value": _alto_server.trace(request["steps"], request["params"])}
    if request["op"] == "trace" and request["params"]["machine"] == "tips":
        return {"value": _alto_tips.trace(request["steps"], request["params"])}
    if request["op"] == "trace" and request["params"]["machine"] in ("update-stream", "update-stream-client"):
        return {"value": _alto_updates.trace(request["steps"], request["params"])}
    call = CALLS.get(request["params"].get("function", "")) if request["op"] == "call" else None
    if call is None:
        return {"unsupported": True}
    try:
        return {"value": call({**request["params"], **request["args"]})}
    except (AltoError, ValueError) as exc:
        return {"rejected": str(exc)}

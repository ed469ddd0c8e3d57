"""Our `ledbat` package as an implementation that answers conformance requests."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from interop.conformance._json import number
from ledbat import EwmaFilter, Ledbat, LedbatError, MinFilter, NullFilter

_Json = dict[str, Any]
_FILTERS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {"min": MinFilter, "ewma": EwmaFilter, "null": NullFilter}
)


def answer(request: _Json) -> _Json:
    """The answer to one request of the ``--exec`` protocol."""
    params = request["params"]
    match request["op"]:
        case "call" if params["function"] == "ledbat":
            try:
                _controller(
                    {name: value for name, value in {**params, **request["args"]}.items() if name != "function"}
                )
            except LedbatError as exc:
                return {"rejected": str(exc)}
            return {"value": {}}
        case "trace" if params["machine"] == "ledbat":
            controller = _controller({name: value for name, value in params.items() if name != "machine"})
            return {"value": [_step(controller, step) for step in request["steps"]]}
    return {"unsupported": True}


def _controller(parameters: _Json) -> Ledbat:
    """A controller; durations are given in microseconds, under names that end in ``_us``."""
    arguments: _Json = {}
    for name, value in parameters.items():
        if name == "delay_filter":
            arguments[name] = _FILTERS[value["name"]](**{key: each for key, each in value.items() if key != "name"})
        elif name.endswith("_us"):
            arguments[name.removesuffix("_us")] = number(value) / 1e6
        else:
            arguments[name] = value
    return Ledbat(**arguments)


def _step(controller: Ledbat, step: _Json) -> _Json:
    ((verb, args),) = step["do"].items()
    try:
        _VERBS[verb](controller, args, step["at"] / 1e6)
    except LedbatError as exc:
        return {"rejected": True, "why": str(exc)}
    return {name: _observed(controller, name) for name in step["observe"] if name != "rejected"}


def _sent(controller: Ledbat, args: _Json, now: float) -> None:
    controller.on_sent(sent=args["sent"], now=now)


def _ack(controller: Ledbat, args: _Json, now: float) -> None:
    delays_us = [number(delay) for delay in args["delays_us"]]
    rtt_us = args.get("rtt_us")
    rtt = None if rtt_us is None else rtt_us / 1e6
    controller.on_ack(acked=args["acked"], delays_us=delays_us, rtt=rtt, now=now)


def _loss(controller: Ledbat, args: _Json, now: float) -> None:
    controller.on_loss(lost=args["lost"], will_retransmit=args["will_retransmit"], now=now)


def _timeout(controller: Ledbat, args: _Json, now: float) -> None:
    deadline = controller.get_timer()
    # A deadline is a sum of floats: a microsecond that names it may lie a rounding error before it.
    controller.on_timeout(deadline if deadline is not None and abs(deadline - now) < 5e-7 else now)


_VERBS: Mapping[str, Callable[[Ledbat, _Json, float], None]] = MappingProxyType(
    {
        "sent": _sent,
        "ack": _ack,
        "loss": _loss,
        "ecn": lambda controller, args, now: controller.on_ecn(now),
        "timeout": _timeout,
        "wait": lambda controller, args, now: None,
    }
)


def _observed(controller: Ledbat, name: str) -> Any:
    """A property of the controller; a time in seconds goes by its name and ``_us``, in whole microseconds."""
    if name == "timer_us":
        value: Any = controller.get_timer()
    elif hasattr(controller, name):
        return getattr(controller, name)
    else:
        value = getattr(controller, name.removesuffix("_us"))
    return None if value is None else round(value * 1e6)

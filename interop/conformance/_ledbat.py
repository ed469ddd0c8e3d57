"""Our `ledbat` package as an implementation that answers conformance requests."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from interop.conformance import _utp
from interop.conformance._json import number
from ledbat import EwmaFilter, Ledbat, LedbatError, LedbatPlusPlus, MinFilter, NullFilter, ReceiverWindow

_Json = dict[str, Any]
_FILTERS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {"min": MinFilter, "ewma": EwmaFilter, "null": NullFilter}
)


class _Receiver:
    """A receive window over LEDBAT++, and what it last advertised."""

    def __init__(self, *, mss: int, window_scale: int = 0) -> None:
        self.machine = ReceiverWindow(LedbatPlusPlus(mss=mss), mss=mss, window_scale=window_scale)
        self.advertised: int | None = None

    @property
    def rlwnd(self) -> int:
        """The controller's window."""
        return self.machine.rlwnd


_CONTROLLERS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {"ledbat": Ledbat, "ledbat-plus-plus": LedbatPlusPlus, "receiver-window": _Receiver}
)
_CALLS: Mapping[str, Callable[[_Json], _Json]] = MappingProxyType(
    {
        "utp-acknowledged": _utp.acknowledged,
        "utp-bitmask": _utp.bitmask,
        "utp-is-sample": _utp.sample,
    }
)


def answer(request: _Json) -> _Json:
    """The answer to one request of the ``--exec`` protocol."""
    params = request["params"]
    match request["op"]:
        case "decode" if params["of"] == "utp":
            return _utp.read_packet(request["wire"])
        case "encode" if params["of"] == "utp":
            return _utp.write_packet(request["value"])
        case "call" if params["function"] in _CALLS:
            return _CALLS[params["function"]](request["args"])
        case "call" if params["function"] in _CONTROLLERS:
            try:
                _controller(params["function"], params | request["args"])
            except LedbatError as exc:
                return {"rejected": str(exc)}
            return {"value": {}}
        case "trace" if params["machine"] == "utp":
            return {"value": _utp.trace(params, request["steps"])}
        case "trace" if params["machine"] in _CONTROLLERS:
            controller = _controller(params["machine"], params)
            return {"value": [_step(controller, step) for step in request["steps"]]}
    return {"unsupported": True}


def _controller(name: str, parameters: _Json) -> Any:
    """A controller; durations are given in microseconds, under names that end in ``_us``."""
    arguments = _arguments(parameters)
    return _CONTROLLERS[name](**arguments)


def _arguments(parameters: _Json) -> _Json:
    arguments: _Json = {}
    for name, value in parameters.items():
        if name in ("machine", "function"):
            continue
        if name == "delay_filter":
            arguments[name] = _FILTERS[value["name"]](**{key: each for key, each in value.items() if key != "name"})
        elif name.endswith("_us") and name != "anchor_us":
            arguments[name.removesuffix("_us")] = number(value) / 1e6
        else:
            arguments[name] = value
    return arguments


def _step(controller: Any, step: _Json) -> _Json:
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


def _data(receiver: _Receiver, args: _Json, now: float) -> None:
    rtt_us = args.get("rtt_us")
    delays_us = [number(delay) for delay in args.get("delays_us", ())]
    rtt = None if rtt_us is None else rtt_us / 1e6
    receiver.machine.on_data(received=args["received"], delays_us=delays_us, rtt=rtt, now=now)


def _window(receiver: _Receiver, args: _Json, now: float) -> None:
    receiver.advertised = receiver.machine.window(args["fcwnd"])


_VERBS: Mapping[str, Callable[[Any, _Json, float], None]] = MappingProxyType(
    {
        "sent": _sent,
        "ack": _ack,
        "loss": _loss,
        "ecn": lambda controller, args, now: controller.on_ecn(now),
        "timeout": _timeout,
        "data": _data,
        "retransmission": lambda receiver, args, now: receiver.machine.on_retransmission(now),
        "window": _window,
        "wait": lambda controller, args, now: None,
    }
)


def _observed(controller: Any, name: str) -> Any:
    """A property of the controller; a time in seconds goes by its name and ``_us``, in whole microseconds."""
    if name == "timer_us":
        value: Any = controller.get_timer()
    elif hasattr(controller, name):
        return getattr(controller, name)
    else:
        value = getattr(controller, name.removesuffix("_us"))
    return None if value is None else round(value * 1e6)

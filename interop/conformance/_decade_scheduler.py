"""Our scheduler of DECADE as an implementation that answers conformance requests (PROFILE.md sections 8.4, 14.17)."""

from typing import Any

from decade.scheduler import Scheduler, Terms
from decade.values import Priority

_Json = dict[str, Any]


def trace(steps: list[_Json], params: _Json) -> list[_Json]:
    """Offer, withdraw and grant octets in a tree of the nodes that `params` has, parents first."""
    scheduler = Scheduler(params.get("ceiling"))
    for node in params["nodes"]:
        _configure(scheduler, node)
    return [_step(scheduler, step) for step in steps]


def _configure(scheduler: Scheduler, node: _Json) -> None:
    priority = Priority(node.get("priority", Priority.NORMAL))
    scheduler.configure(
        tuple(node["path"]),
        weight=node["weight"],
        ceiling=node.get("ceiling"),
        priority=priority,
        guarantee=node.get("guarantee", 0),
    )


def _step(scheduler: Scheduler, step: _Json) -> _Json:
    ((verb, args),) = step["do"].items()
    now = step["at"] / 1e6
    found: _Json = {}
    match verb:
        case "offer":
            scheduler.offer(args["transfer"], args["octets"], _terms(args))
        case "withdraw":
            found["octets"] = scheduler.withdraw(args["transfer"])
        case "configure":
            _configure(scheduler, args)
        case "grant":
            found["grants"] = _grants(scheduler, args["most"], now)
            timer = scheduler.get_timer()
            found["timer"] = None if timer is None else round(timer * 1e6)
        case _:
            raise LookupError(f"a scheduler has no verb {verb!r}")
    return {name: found[name] for name in step["observe"]}


def _terms(args: _Json) -> Terms:
    return Terms(
        tuple(args["path"]),
        (b"", args["token"].encode()),
        weight=args.get("weight", 1),
        ceiling=args.get("ceiling"),
        priority=Priority(args.get("priority", Priority.NORMAL)),
    )


def _grants(scheduler: Scheduler, most: int, now: float) -> list[list[Any]]:
    """At most so many grants at one time."""
    made: list[list[Any]] = []
    while len(made) < most and (grant := scheduler.grant(now)) is not None:
        made.append([grant.transfer, grant.octets])
    return made

"""Compare JSON values, and say where they differ."""

from typing import Any


def difference(expected: Any, got: Any, where: str = "", *, ranges: bool = False) -> str | None:
    """Where `got` is not `expected`, or None. With `ranges`, ``{"min": a, "max": b}`` is any number in between."""
    if isinstance(expected, dict):
        if ranges and expected.keys() == {"min", "max"} and _is_number(got):
            inside = expected["min"] <= got <= expected["max"]
            return None if inside else f"{_at(where)}{got} is not in {expected['min']} to {expected['max']}"
        if isinstance(got, dict):
            return _object_difference(expected, got, where, ranges=ranges)
    elif isinstance(expected, list):
        if isinstance(got, list):
            return _array_difference(expected, got, where, ranges=ranges)
    elif isinstance(expected, bool) == isinstance(got, bool) and expected == got:
        return None
    return f"{_at(where)}{got!r:.200} instead of {expected!r:.200}"


def _object_difference(expected: dict[str, Any], got: dict[str, Any], where: str, *, ranges: bool) -> str | None:
    for name in [*expected, *(name for name in got if name not in expected)]:
        path = f"{where}.{name}" if where else name
        if name not in got:
            return f"{path} is missing"
        if name not in expected:
            return f"{path} should not be there: {got[name]!r:.200}"
        found = difference(expected[name], got[name], path, ranges=ranges)
        if found:
            return found
    return None


def _array_difference(expected: list[Any], got: list[Any], where: str, *, ranges: bool) -> str | None:
    for index, (one, other) in enumerate(zip(expected, got, strict=False)):
        found = difference(one, other, f"{where}[{index}]", ranges=ranges)
        if found:
            return found
    if len(expected) != len(got):
        return f"{_at(where)}{len(got)} entries instead of {len(expected)}"
    return None


def prefix_fault(whole: dict[str, Any], part: Any, *, refused: bool) -> str | None:
    """What is wrong with `part`, the value that a datagram cut short gave, `whole` being that of the full datagram.

    A datagram is a sequence of messages without a count: cut at the end of a message, a shorter one is well formed. So
    what comes back must be a proper prefix of the messages, whose last may be a DATA (it has no length) cut short.
    """
    if part is None and refused:
        return None
    messages = part.get("messages") if isinstance(part, dict) else None
    if not isinstance(messages, list):
        return f"no list of messages: {part!r:.200}"
    complete = whole["messages"]
    if len(messages) > len(complete):
        return f"{len(messages)} messages of {len(complete)}"
    if part.get("channel") != whole.get("channel"):
        return f"channel {part.get('channel')}"
    for index, message in enumerate(messages):
        found = difference(complete[index], message, f"messages[{index}]")
        if found and not (index == len(messages) - 1 and _is_data_cut_short(complete[index], message)):
            return found
        if not found and index == len(complete) - 1:
            return "all messages, though octets are missing"
    return None


def _is_data_cut_short(whole: dict[str, Any], part: Any) -> bool:
    if not isinstance(part, dict) or whole.get("type") != "DATA":
        return False
    payload, shorter = whole["payload"], part.get("payload")
    if not isinstance(shorter, str) or len(shorter) >= len(payload) or not payload.startswith(shorter):
        return False
    return difference(whole, {**part, "payload": payload}) is None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _at(where: str) -> str:
    return f"{where}: " if where else ""

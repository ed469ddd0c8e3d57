"""Changes of JSON values: merge patch (RFC 7396) and JSON patch (RFC 6902), applied and made.

Nothing here changes what it is given. What comes out shares with it the parts that are the same, so that a small change
of a large map costs little. Equality is that of JSON: 1 is 1.0, and true is not 1.
"""

import re
from collections.abc import Callable
from itertools import chain
from operator import eq
from typing import TypeAlias

from alto._json import MAX_DEPTH, Json
from alto.errors import AltoError, DecodeError

MAX_MOVED = 10_000_000
"""What one JSON patch may move: the values and characters of "copy" and "move", and every 64 elements that an array
shifts by one. An operation of forty octets may double the document, so that a short patch could fill any memory."""

_TOO_MUCH = f"more than {MAX_MOVED} values moved"
_INDEX = re.compile(r"0|[1-9][0-9]{0,9}")
_BAD_ESCAPE = re.compile(r"~(?![01])")
_Equal: TypeAlias = Callable[[Json, Json], bool]
_NO_MEMBERS: dict[str, Json] = {}


class InexpressibleError(AltoError, ValueError):
    """A merge patch cannot say this change: a member would become null, which to a merge patch means its removal."""


def json_equal(one: Json, other: Json) -> bool:
    """Whether two JSON values are the same (RFC 6902 section 4.6)."""
    if one != other:
        return False
    if isinstance(one, dict | list):
        return _comparison(one, other) is eq or _equal(one, other)
    return isinstance(one, bool) == isinstance(other, bool)


def merge_patch(target: Json, patch: Json) -> Json:
    """`target` as the merge patch changes it (RFC 7396 section 2). Raises DecodeError for one too deep."""
    return _merged(target, patch, 0)


def merge_diff(old: Json, new: Json) -> Json:
    """The merge patch that makes `new` of `old`. Raises InexpressibleError where there is none.

    Arrays that differ are sent whole; a null inside one survives. `old` may hold null members that stay as they are.
    """
    return _merge_diff(old, new, _comparison(old, new))


def json_patch(target: Json, operations: Json) -> Json:
    """`target` as a JSON patch document changes it (RFC 6902).

    Raises DecodeError for what is no patch document, for an operation that fails (then none has had an effect), for
    a result nested deeper than MAX_DEPTH, and for more than MAX_MOVED values copied and moved.
    """
    if not isinstance(operations, list):
        raise DecodeError("a JSON patch is an array of operations (RFC 6902 section 3)")
    work = _Work(target)
    for at, operation in enumerate(operations):
        try:
            work.apply(operation)
        except DecodeError as error:
            raise DecodeError(f"operation {at} of the JSON patch: {error}") from error
    return work.root


def json_diff(old: Json, new: Json) -> list[Json]:
    """A JSON patch document that makes `new` of `old`, empty where they are equal: "add", "remove", "replace" only."""
    operations: list[Json] = []
    _diff(old, new, "", operations, _comparison(old, new))
    return operations


def _comparison(one: Json, other: Json) -> _Equal:
    """What compares the parts of these two. Python's own comparison is many times faster, and right but for booleans.

    Raises DecodeError where one of them is too deep for what recurses.
    """
    return json_equal if _has_booleans(one) or _has_booleans(other) else eq


def _has_booleans(value: Json) -> bool:
    level: list[Json] = [value]
    for _ in range(MAX_DEPTH + 1):
        kinds = set(map(type, level))
        if bool in kinds:
            return True
        if kinds.isdisjoint((dict, list)):
            return False
        if len(kinds) > 1:
            level = [inner for inner in level if isinstance(inner, dict | list)]
        level = list(chain.from_iterable(inner.values() if isinstance(inner, dict) else inner for inner in level))
    raise DecodeError(f"nested more than {MAX_DEPTH} deep")


def _equal(one: Json, other: Json) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(value, other[name]) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _check(level: int) -> None:
    if level >= MAX_DEPTH:
        raise DecodeError(f"nested more than {MAX_DEPTH} deep")


def _merged(target: Json, patch: Json, level: int) -> Json:
    if not isinstance(patch, dict):
        return patch
    _check(level)
    before = target if isinstance(target, dict) else _NO_MEMBERS
    after = None if isinstance(target, dict) else dict[str, Json]()
    for name, value in patch.items():
        if value is None:
            if name in before:
                after = dict(before) if after is None else after
                del after[name]
            continue
        inner = _merged(before.get(name), value, level + 1)
        if name not in before or inner is not before[name]:
            after = dict(before) if after is None else after
            after[name] = inner
    return target if after is None else after


def _merge_diff(old: Json, new: Json, equal: _Equal) -> Json:
    if not isinstance(new, dict):
        return new
    if not isinstance(old, dict):
        old = _NO_MEMBERS
    patch: dict[str, Json] = {name: None for name in old if name not in new}
    for name, value in new.items():
        if name in old and equal(old[name], value):
            continue
        if value is None:
            raise InexpressibleError(f"a merge patch cannot set the member {name!r:.80} to null")
        patch[name] = _merge_diff(old.get(name), value, equal)
    return patch


class _Work:
    """A document while a JSON patch is applied: what was copied once is then changed in place."""

    def __init__(self, root: Json) -> None:
        self.root = root
        # By identity; holding on to the objects keeps their identities from being used again.
        self._owned: dict[int, Json] = {}
        self._allowance = MAX_MOVED

    def apply(self, operation: Json) -> None:
        if not isinstance(operation, dict):
            raise DecodeError("no object")
        kind = operation.get("op")
        path = _pointer(operation, "path")
        if kind == "test":
            if not json_equal(self._get(path), _value(operation)):
                raise DecodeError(f"the test of {operation['path']!r:.200} fails")
        elif kind == "add":
            self._add(path, _measured(_value(operation), path))
        elif kind == "replace":
            self._replace(path, _measured(_value(operation), path))
        elif kind == "remove":
            self._remove(path)
        elif kind in ("move", "copy"):
            self._carry(kind, _pointer(operation, "from"), path)
        else:
            raise DecodeError(f"the operation {kind!r:.40} is none of RFC 6902")

    def _get(self, path: list[str]) -> Json:
        found = self.root
        for token in path:
            found = found[_key(found, token)]
        return found

    def _own(self, path: list[str]) -> Json:
        """The container at `path`, after it and those around it were copied."""
        self.root = found = self._copied(self.root)
        for token in path:
            key = _key(found, token)
            found[key] = inner = self._copied(found[key])
            found = inner
        return found

    def _copied(self, value: Json) -> Json:
        if id(value) in self._owned or not isinstance(value, dict | list):
            return value
        copied = value.copy()
        self._owned[id(copied)] = copied
        return copied

    def _add(self, path: list[str], value: Json) -> None:
        if not path:
            self.root = value
            return
        holder = self._own(path[:-1])
        if isinstance(holder, list):
            self._spend(len(holder) // 64)
            holder.insert(len(holder) if path[-1] == "-" else _index(path[-1], len(holder) + 1), value)
        elif isinstance(holder, dict):
            holder[path[-1]] = value
        else:
            raise DecodeError(f"there is nothing to add {path[-1]!r:.80} to")

    def _replace(self, path: list[str], value: Json) -> None:
        if path:
            holder = self._own(path[:-1])
            holder[_key(holder, path[-1])] = value
        else:
            self.root = value

    def _remove(self, path: list[str]) -> None:
        if not path:
            raise DecodeError("the whole document cannot be removed")
        holder = self._own(path[:-1])
        self._spend(len(holder) // 64 if isinstance(holder, list) else 0)
        del holder[_key(holder, path[-1])]

    def _spend(self, moved: int) -> None:
        self._allowance -= moved
        if self._allowance < 0:
            raise DecodeError(_TOO_MUCH)

    def _carry(self, kind: str, source: list[str], path: list[str]) -> None:
        value = self._get(source)
        if kind == "move" and path[: len(source)] == source:
            if len(path) > len(source):
                raise DecodeError("a value cannot be moved into itself")
            return
        self._spend(_weight(value, self._allowance))
        _measured(value, path)
        if kind == "move":
            self._remove(source)
        else:
            value = _deep(value)  # else a later operation on one place would be seen in the other
        self._add(path, value)


def _value(operation: dict[str, Json]) -> Json:
    if "value" not in operation:
        raise DecodeError('"value" is missing')
    return operation["value"]


def _pointer(operation: dict[str, Json], name: str) -> list[str]:
    """The reference tokens of a JSON pointer (RFC 6901 section 3)."""
    text = operation.get(name)
    if not isinstance(text, str):
        raise DecodeError(f'"{name}" is missing or no string')
    if (text and not text.startswith("/")) or _BAD_ESCAPE.search(text):
        raise DecodeError(f'"{name}" {text!r:.200} is no JSON pointer')
    return [token.replace("~1", "/").replace("~0", "~") for token in text.split("/")[1:]]


def _key(holder: Json, token: str) -> str | int:
    if isinstance(holder, list):
        return _index(token, len(holder))
    if not isinstance(holder, dict) or token not in holder:
        raise DecodeError(f"there is no {token!r:.80}")
    return token


def _index(token: str, count: int) -> int:
    if _INDEX.fullmatch(token) is None or int(token) >= count:
        raise DecodeError(f"there is no element {token!r:.80} in an array of {count}")
    return int(token)


def _measured(value: Json, path: list[str]) -> Json:
    """`value`, if the document stays shallow enough with it at `path`."""
    depth, level = len(path), [value]
    while level := [inner for inner in level if isinstance(inner, dict | list) and inner]:
        depth += 1
        _check(depth)
        level = [inner for outer in level for inner in (outer.values() if isinstance(outer, dict) else outer)]
    return value


def _weight(value: Json, limit: int) -> int:
    """The values and characters in `value`. Raises DecodeError as soon as they are more than `limit`."""
    weight, waiting = 0, [value]
    while waiting:
        found = waiting.pop()
        weight += 1
        if isinstance(found, dict):
            weight += sum(map(len, found))
            waiting.extend(found.values())
        elif isinstance(found, list):
            waiting.extend(found)
        elif isinstance(found, str):
            weight += len(found)
        if weight + len(waiting) > limit:
            raise DecodeError(_TOO_MUCH)
    return weight


def _deep(value: Json) -> Json:
    if isinstance(value, dict):
        return {name: _deep(inner) for name, inner in value.items()}
    return [_deep(inner) for inner in value] if isinstance(value, list) else value


def _diff(old: Json, new: Json, path: str, operations: list[Json], equal: _Equal) -> None:
    if equal(old, new):
        return
    if isinstance(old, dict) and isinstance(new, dict):
        operations.extend({"op": "remove", "path": _below(path, name)} for name in old if name not in new)
        for name, value in new.items():
            if name not in old:
                operations.append({"op": "add", "path": _below(path, name), "value": value})
            elif not equal(old[name], value):
                _diff(old[name], value, _below(path, name), operations, equal)
        return
    whole = [{"op": "replace", "path": path, "value": new}]
    if isinstance(old, list) and isinstance(new, list):
        changes = _diff_arrays(old, new, path, equal)
        # A patch of most elements is longer than the array.
        operations.extend(whole if len(changes) > 2 + len(new) // 2 else changes)
    else:
        operations.extend(whole)


def _diff_arrays(old: list[Json], new: list[Json], path: str, equal: _Equal) -> list[Json]:
    operations: list[Json] = []
    if len(old) == len(new) and not (_are_names(old) and _are_names(new)):
        for at, value in enumerate(new):
            _diff(old[at], value, f"{path}/{at}", operations, equal)
        return operations
    shorter = min(len(old), len(new))
    start = next((at for at in range(shorter) if not equal(old[at], new[at])), shorter)
    end = next((at for at in range(shorter - start) if not equal(old[-1 - at], new[-1 - at])), shorter - start)
    before, after = old[start : len(old) - end], new[start : len(new) - end]
    kept = _kept(before, after)
    removed = [at for at, value in enumerate(before) if not kept or value not in kept]
    operations.extend({"op": "remove", "path": f"{path}/{start + at}"} for at in reversed(removed))
    added = [at for at, value in enumerate(after) if not kept or value not in kept]
    operations.extend({"op": "add", "path": f"{path}/{start + at}", "value": after[at]} for at in added)
    return operations


def _kept(before: list[Json], after: list[Json]) -> set[str]:
    """The strings that are in both, if each is there once and they are in the same order; else none."""
    if not (_are_names(before) and _are_names(after)):
        return set()
    kept = set(before) & set(after)
    ordered = [name for name in before if name in kept]
    return kept if len(ordered) == len(kept) and ordered == [name for name in after if name in kept] else set()


def _are_names(values: list[Json]) -> bool:
    return set(map(type, values)) <= {str}


def _below(path: str, name: str) -> str:
    return f"{path}/{name.replace('~', '~0').replace('/', '~1')}"

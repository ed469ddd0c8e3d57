"""Maps of CBOR as classes: a key for each member, exact types, and the rule for unknown keys.

A map of the profile is a class whose annotations carry `at`::

    @wire_map(6)                  # key 0 has the type of the message; without it there is none
    class Status(Extensible):
        epoch: int = at(1, UINT)
        condition: Condition | None = at(5, choice(Condition), default=None)

Unknown keys from 64 on are kept in `ext` and written again; those below are restrictions that a reader must know, and
refuse the map. Every reader and writer here raises DecodeError, which `encode_map` turns into EncodeError.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from enum import IntEnum
from functools import partial
from types import MappingProxyType
from typing import Any, Generic, TypeVar, dataclass_transform

import attrs

from decade.cbor import is_map
from decade.errors import DecodeError, EncodeError

_T = TypeVar("_T")
_E = TypeVar("_E", bound=IntEnum)

FIRST_EXTENSION = 64
"""Keys from here on may be ignored by who does not know them."""
MAX_UINT = 0xFFFFFFFFFFFFFFFF

_NO_EXTENSIONS: Mapping[int, Any] = MappingProxyType({})
_KEY = "decade"
_TYPE_KEY = 0


@attrs.frozen
class Kind(Generic[_T]):
    """How a value is read from an item of CBOR, and written as one. Both raise DecodeError."""

    read: Callable[[Any], _T]
    write: Callable[[_T], Any]
    is_hashable: bool = True


@attrs.frozen
class _Field:
    name: str
    kind: Kind[Any]
    default: Any


@attrs.frozen
class _Form:
    """What is known of a map: its name in the CDDL, its type or None, its members by their keys."""

    name: str
    type: int | None
    is_extensible: bool
    fields: Mapping[int, _Field]
    required: tuple[str, ...]


_FORMS: dict[type, _Form] = {}


def at(key: int, kind: Kind[Any], *, default: Any = attrs.NOTHING, is_secret: bool = False) -> Any:
    """A member of a map; one with a default may be absent. A secret, such as a token, is not shown by `repr`."""
    hashed = None if kind.is_hashable else False
    return attrs.field(default=default, kw_only=True, hash=hashed, repr=not is_secret, metadata={_KEY: (key, kind)})


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(attrs.field,))
def _value(cls: type[_T]) -> type[_T]:
    return attrs.frozen(cls)


@_value
class Extensible:
    """A map with the group "ext"."""

    ext: Mapping[int, Any] = attrs.field(default=_NO_EXTENSIONS, kw_only=True, hash=False, repr=False)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(at, attrs.field))
def wire_map(message_type: int | None = None) -> Callable[[type[_T]], type[_T]]:
    """Make a frozen class of the declaration, and remember how it is read and written."""

    def declare(cls: type[_T]) -> type[_T]:
        made = attrs.frozen(cls)
        members = [field for field in attrs.fields(made) if _KEY in field.metadata]  # type: ignore[arg-type]
        _FORMS[made] = _Form(
            name=re.sub("(?<=[a-z])(?=[A-Z])", "-", cls.__name__).lower(),
            type=message_type,
            is_extensible=issubclass(made, Extensible),
            fields={
                field.metadata[_KEY][0]: _Field(field.name, field.metadata[_KEY][1], field.default) for field in members
            },
            required=tuple(field.name for field in members if field.default is attrs.NOTHING),
        )
        return made

    return declare


def message_types(classes: Iterable[type[_T]]) -> Mapping[int, type[_T]]:
    """The classes by the type that key 0 has."""
    return MappingProxyType({form.type: cls for cls in classes if (form := _FORMS[cls]).type is not None})


def read_map(cls: type[_T], value: Any) -> _T:
    """The map as an object of `cls`. Raises DecodeError, which names the map and the member."""
    form = _FORMS[cls]
    if not is_map(value):
        raise DecodeError(f"{form.name}: {_shown(value)} is no map")
    members: dict[str, Any] = {}
    ext: dict[int, Any] = {}
    is_typed = form.type is None
    for key, item in value.items():
        field = form.fields.get(key)
        if field is not None:
            members[field.name] = _read_member(form, field, item)
        elif key == _TYPE_KEY and not is_typed:
            if type(item) is not int or item != form.type:
                raise DecodeError(f"{form.name}: type {_shown(item)} instead of {form.type}")
            is_typed = True
        elif form.is_extensible and type(key) is int and key >= FIRST_EXTENSION:
            ext[key] = item
        else:
            raise DecodeError(f"{form.name}: key {_shown(key)} is not known")
    missing = [name for name in form.required if name not in members]
    if missing or not is_typed:
        raise DecodeError(f"{form.name}: {', '.join(missing) or 'type'} is missing")
    if ext:
        members["ext"] = MappingProxyType(ext)
    return cls(**members)


def _read_member(form: _Form, field: _Field, item: Any) -> Any:
    try:
        return field.kind.read(item)
    except DecodeError as exc:
        raise DecodeError(f"{form.name}: {field.name}: {exc}", exc.code) from exc


def write_map(value: Any) -> dict[int, Any]:
    """The items of an object by their keys. Raises DecodeError for a member that the CDDL does not allow."""
    form = _FORMS[type(value)]
    items: dict[int, Any] = {} if form.type is None else {_TYPE_KEY: form.type}
    for key, field in form.fields.items():
        member = getattr(value, field.name)
        if member is field.default:
            continue
        try:
            items[key] = field.kind.write(member)
        except DecodeError as exc:
            raise DecodeError(f"{form.name}: {field.name}: {exc}", exc.code) from exc
    if form.is_extensible:
        for key, item in value.ext.items():
            if type(key) is not int or not FIRST_EXTENSION <= key <= MAX_UINT:
                raise DecodeError(f"{form.name}: key {_shown(key)} is no extension")
            items[key] = item
    return items


def encode_map(value: Any) -> dict[int, Any]:
    """As `write_map`, for who encodes. Raises EncodeError."""
    try:
        return write_map(value)
    except DecodeError as exc:
        raise EncodeError(str(exc)) from exc


def _shown(value: Any) -> str:
    return f"{value!r:.60}"


def plain(check: Callable[[Any], _T]) -> Kind[_T]:
    """A value that is its own item, if `check` returns it."""
    return Kind(check, check)


def uint(low: int = 0, high: int = MAX_UINT) -> Kind[int]:
    """An unsigned integer in a range."""

    def check(value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            raise DecodeError(f"{_shown(value)} is no integer from {low} to {high}")
        return value

    return plain(check)


def octets(low: int = 0, high: int = MAX_UINT) -> Kind[bytes]:
    """A byte string of a length in a range."""

    def check(value: Any) -> bytes:
        # What it is stays out of the text: it may be a token.
        if type(value) is not bytes or not low <= len(value) <= high:
            raise DecodeError(f"no byte string of {low} to {high} octets")
        return value

    return plain(check)


def text(low: int = 0, high: int = MAX_UINT) -> Kind[str]:
    """A text whose UTF-8 has a length in a range."""

    def check(value: Any) -> str:
        try:
            if type(value) is str and low <= len(value.encode()) <= high:
                return value
        except UnicodeEncodeError as exc:
            raise DecodeError("a text with half a surrogate pair") from exc
        raise DecodeError(f"{_shown(value)} is no text of {low} to {high} octets")

    return plain(check)


def exactly(expected: Any) -> Kind[Any]:
    """One value only."""

    def check(value: Any) -> Any:
        if type(value) is not type(expected) or value != expected:
            raise DecodeError(f"{_shown(value)} is not {expected!r}")
        return value

    return plain(check)


def choice(of: type[_E]) -> Kind[_E]:
    """One of the numbers of an enumeration."""

    def read(value: Any) -> _E:
        if isinstance(value, int) and type(value) is not bool:
            try:
                return of(value)
            except ValueError:
                pass
        raise DecodeError(f"{_shown(value)} is no {of.__name__}")

    return Kind(read, lambda value: int(read(value)))


def nullable(kind: Kind[_T]) -> Kind[_T | None]:
    """A value, or null."""
    return Kind(
        lambda value: None if value is None else kind.read(value),
        lambda value: None if value is None else kind.write(value),
        kind.is_hashable,
    )


def array(kind: Kind[_T], low: int = 0, high: int = MAX_UINT) -> Kind[tuple[_T, ...]]:
    """An array with a number of entries in a range."""

    def check(value: Any) -> tuple[Any, ...]:
        if type(value) is not tuple or not low <= len(value) <= high:
            raise DecodeError(f"no array of {low} to {high} entries")
        return value

    return Kind(
        lambda value: tuple(map(kind.read, check(value))),
        lambda value: tuple(map(kind.write, check(value))),
        kind.is_hashable,
    )


def table(kind: Kind[_T]) -> Kind[Mapping[str, _T]]:
    """A map whose keys are texts."""

    def convert(one: Callable[[Any], Any], value: Any) -> Mapping[str, Any]:
        if not isinstance(value, Mapping) or not all(type(key) is str for key in value):
            raise DecodeError("no map whose keys are texts")
        return MappingProxyType({key: one(item) for key, item in value.items()})

    return Kind(partial(convert, kind.read), partial(convert, kind.write), is_hashable=False)


def nested(cls: type[_T]) -> Kind[_T]:
    """A map in a map."""
    return Kind(partial(read_map, cls), partial(_write_nested, cls))


def row(cls: type[_T]) -> Kind[_T]:
    """An array whose places are the keys of `cls`; what may be absent stands at its end."""

    def read(value: Any) -> _T:
        if type(value) is not tuple:
            raise DecodeError(f"{_FORMS[cls].name}: {_shown(value)} is no array")
        return read_map(cls, dict(enumerate(value)))

    return Kind(read, lambda value: tuple(_write_nested(cls, value).values()))


def _write_nested(cls: type[_T], value: _T) -> dict[int, Any]:
    if type(value) is not cls:
        raise DecodeError(f"{_shown(value)} is no {cls.__name__}")
    return write_map(value)


def exactly_one(*members: Any) -> None:
    """Raises DecodeError unless one of the members is there, and no other."""
    if sum(member is not None for member in members) != 1:
        raise DecodeError("exactly one of its choices has to be there")


UINT = uint()
"""An unsigned integer of at most 64 bits: octets, bits per second, counts, and seconds since 1970 too."""

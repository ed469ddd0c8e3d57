"""TLS presentation language (RFC 6940 section 6.3.1): structures declared with attrs, compiled at import.

A structure is a class whose annotations carry field specifiers, in the order of the wire::

    @structure
    class SendUpdate:
        send_update: bool = boolean()
        ufrag: bytes = opaque(1)                  # opaque ufrag<0..2^8-1>: a length of one octet in front
        candidates: tuple[IceCandidate, ...] = vector(IceCandidate, 2)

`structure` turns the declaration into straight-line code: neighbouring numbers become one `struct` call, a check of
the room left stands before each read, and nothing is looked up while a message is read. A decoder never reads behind
`end`, and makes nothing for a length that is merely claimed.

Node-IDs have 16 to 20 octets, the same in a whole overlay (section 6.3.1.1): every function takes that length as `n`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol, TypeAlias, TypeVar, dataclass_transform

import attrs

from reload.errors import DecodeError, EncodeError

_T = TypeVar("_T")
_KEY = "wire"


class Structure(Protocol):
    """What `structure` adds to a class."""

    __attrs_attrs__: ClassVar[Any]

    def _encode(self, n: int) -> bytes: ...
    @classmethod
    def _decode(cls, data: bytes, at: int, end: int, n: int) -> tuple[Any, int]: ...


# What a member looks like on the wire. `code` is its letter for `struct`, where it has one.
@attrs.frozen
class _Number:
    size: int

    @property
    def code(self) -> str | None:
        return {1: "B", 2: "H", 3: "BH", 4: "I", 8: "Q"}[self.size]


@attrs.frozen
class _Boolean:
    code: ClassVar[str] = "B"


@attrs.frozen
class _Fixed:
    size: int

    @property
    def code(self) -> str:
        return f"{self.size}s"


@attrs.frozen
class _NodeId:
    code: ClassVar[None] = None


@attrs.frozen
class _Opaque:
    prefix: int
    code: ClassVar[None] = None


@attrs.frozen
class _Rest:
    code: ClassVar[None] = None


@attrs.frozen
class _Nested:
    of: type[Any]
    code: ClassVar[None] = None


@attrs.frozen
class _Custom:
    """Read and written by functions: `(data, at, end, n) -> (value, at)` and `(value, n) -> octets`."""

    decode: Callable[[bytes, int, int, int], tuple[Any, int]]
    encode: Callable[[Any, int], bytes]
    code: ClassVar[None] = None


@attrs.frozen
class _Vector:
    of: _Spec
    prefix: int
    code: ClassVar[None] = None


@attrs.frozen
class _Select:
    on: str
    cases: Mapping[int, _Spec | None]
    length: int
    extensible: bool
    code: ClassVar[None] = None


_Spec: TypeAlias = _Number | _Boolean | _Fixed | _NodeId | _Opaque | _Rest | _Nested | _Custom | _Vector | _Select
_Item: TypeAlias = "type[Any] | _Spec"


def _declare(spec: _Spec, default: Any) -> Any:
    return attrs.field(default=default, metadata={_KEY: spec})


def u8(*, default: Any = attrs.NOTHING) -> Any:
    """uint8, or an enum of one octet."""
    return _declare(_Number(1), default)


def u16(*, default: Any = attrs.NOTHING) -> Any:
    """uint16, or an enum of two octets."""
    return _declare(_Number(2), default)


def u24(*, default: Any = attrs.NOTHING) -> Any:
    """uint24."""
    return _declare(_Number(3), default)


def u32(*, default: Any = attrs.NOTHING) -> Any:
    """uint32."""
    return _declare(_Number(4), default)


def u64(*, default: Any = attrs.NOTHING) -> Any:
    """uint64."""
    return _declare(_Number(8), default)


def boolean(*, default: Any = attrs.NOTHING) -> Any:
    """Boolean: one octet, 0 or 1, and nothing else (section 6.3.1.1)."""
    return _declare(_Boolean(), default)


def fixed(size: int, *, default: Any = attrs.NOTHING) -> Any:
    """opaque x[size]: octets without a length in front."""
    return _declare(_Fixed(size), default)


def node_id(*, default: Any = attrs.NOTHING) -> Any:
    """NodeId: as many octets as the overlay's Node-IDs have."""
    return _declare(_NodeId(), default)


def opaque(prefix: int, *, default: Any = attrs.NOTHING) -> Any:
    """opaque x<0..2^(8*prefix)-1>: octets behind a length of `prefix` octets."""
    return _declare(_Opaque(prefix), default)


def rest(*, default: Any = attrs.NOTHING) -> Any:
    """The octets up to the end of what the structure stands in."""
    return _declare(_Rest(), default)


def nested(of: type[Any], *, default: Any = attrs.NOTHING) -> Any:
    """Another structure, in place."""
    return _declare(_Nested(of), default)


def custom(of: _Custom, *, default: Any = attrs.NOTHING) -> Any:
    """What has a form of its own, such as a Destination."""
    return _declare(of, default)


def vector(of: _Item, prefix: int, *, default: Any = attrs.NOTHING) -> Any:
    """T x<0..2^(8*prefix)-1>: a tuple of structures, numbers, Node-IDs or opaques behind its length in octets."""
    return _declare(_Vector(_spec(of), prefix), default)


def vector_of(of: _Item, prefix: int) -> _Vector:
    """A vector as a case of `select`."""
    return _Vector(_spec(of), prefix)


def select(
    on: str,
    cases: Mapping[int, _Item | None],
    *,
    length: int = 0,
    extensible: bool = False,
    default: Any = attrs.NOTHING,
) -> Any:
    """select (on): what the member `on` before it says; None for a case without octets, whose value is None.

    `length` is the size of a length field in front, 0 without one. With `extensible`, the octets of an unknown case
    are the value; otherwise it is an error (section 6.3.1.1).
    """
    known = {key: None if case is None else _spec(case) for key, case in cases.items()}
    return _declare(_Select(on, known, length, extensible), default)


Custom = _Custom
# The same without a default, to stand inside `vector` and `select`.
U8, U16, U32, U64, NODE_ID, REST = _Number(1), _Number(2), _Number(4), _Number(8), _NodeId(), _Rest()
OPAQUE8, OPAQUE16, OPAQUE24, OPAQUE32 = (_Opaque(size) for size in (1, 2, 3, 4))


def _spec(of: _Item) -> _Spec:
    return _Nested(of) if isinstance(of, type) else of


@dataclass_transform(
    frozen_default=True,
    field_specifiers=(u8, u16, u24, u32, u64, boolean, fixed, node_id, opaque, rest, nested, custom, vector, select),
)
def structure(cls: type[_T]) -> type[_T]:
    """A value class with slots, and the compiled code that reads and writes it.

    It is frozen for the type checker only: messages are made for every datagram, and freezing costs threefold.
    """
    made = attrs.define(cls)
    members = [(field.name, field.metadata[_KEY]) for field in attrs.fields(made)]  # type: ignore[arg-type]
    made._decode = staticmethod(_compile_decode(made, members))  # type: ignore[attr-defined]
    made._encode = _compile_encode(made, members)  # type: ignore[attr-defined]
    return made


def decode(cls: type[_T], data: bytes, *, node_id_length: int = 16) -> _T:
    """The structure that `data` is, all of it. Raises DecodeError."""
    value, at = cls._decode(data, 0, len(data), node_id_length)  # type: ignore[attr-defined]
    if at != len(data):
        raise DecodeError(f"{cls.__name__}: {len(data) - at} octets too many behind offset {at}")
    return value  # type: ignore[no-any-return]


def encode(value: Any, *, node_id_length: int = 16) -> bytes:
    """The octets of a structure. Raises EncodeError for a member that has none."""
    octets: bytes = value._encode(node_id_length)
    return octets


def short(where: str, at: int, need: int, have: int) -> DecodeError:
    """Too few octets."""
    return DecodeError(f"{where}: need {need} octets at {at}, have {have}")


def not_boolean(where: str, value: int) -> DecodeError:
    """Neither 0 nor 1."""
    return DecodeError(f"{where}: {value} is no Boolean")


def unknown_case(where: str, value: int) -> DecodeError:
    """A type that the structure does not know and may not skip."""
    return DecodeError(f"{where}: unknown type {value}")


def uneven(where: str, size: int, item: int) -> DecodeError:
    """A vector that ends within an item."""
    return DecodeError(f"{where}: {size} octets are no multiple of {item}")


def left_over(where: str, octets: int) -> DecodeError:
    """A length that is longer than what it holds."""
    return DecodeError(f"{where}: {octets} octets too many")


def stuck(where: str) -> DecodeError:
    """An item without octets, of which a vector could hold without end."""
    return DecodeError(f"{where}: an item without octets")


class _Source:
    """Lines of a function, and the names that they refer to."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.names: dict[str, Any] = {
            "short": short,
            "not_boolean": not_boolean,
            "unknown_case": unknown_case,
            "uneven": uneven,
            "left_over": left_over,
            "stuck": stuck,
            "unpack": struct.unpack,
        }
        self._depth = 1
        self._fresh = 0

    def line(self, text: str) -> None:
        self.lines.append("    " * self._depth + text)

    def indent(self, by: int) -> None:
        self._depth += by

    def fresh(self, stem: str) -> str:
        self._fresh += 1
        return f"_{stem}{self._fresh}"

    def name(self, value: Any, stem: str) -> str:
        name = self.fresh(stem)
        self.names[name] = value
        return name

    def build(self, head: str, where: str) -> Callable[..., Any]:
        text = "\n".join([head, *self.lines])
        exec(compile(text, f"<reload {where}>", "exec"), self.names)
        built: Callable[..., Any] = self.names["function"]
        return built


def _compile_decode(cls: type[Any], members: list[tuple[str, _Spec]]) -> Callable[..., Any]:
    source = _Source()
    source.names["cls"] = cls
    at = 0
    while at < len(members):
        run = at
        while run < len(members) and members[run][1].code is not None:
            run += 1
        if run > at:
            _decode_run(source, cls.__name__, members[at:run])
            at = run
            continue
        name, spec = members[at]
        _decode_member(source, f"v_{name}", spec, f"{cls.__name__}.{name}")
        at += 1
    source.line(f"return cls({', '.join(f'v_{name}' for name, _ in members)}), at")
    return source.build("def function(data, at, end, n):", f"{cls.__name__} decode")


def _decode_run(source: _Source, owner: str, run: list[tuple[str, _Spec]]) -> None:
    """Neighbouring members of fixed size: one check and one unpack."""
    code = struct.Struct(">" + "".join(spec.code or "" for _, spec in run))
    unpack = source.name(code.unpack_from, "unpack")
    source.line(f"if end - at < {code.size}:")
    source.line(f"    raise short({owner + '.' + run[0][0]!r}, at, {code.size}, end - at)")
    targets = []
    for name, spec in run:
        targets += [f"h_{name}", f"v_{name}"] if spec == _Number(3) else [f"v_{name}"]
    source.line(f"{', '.join(targets)}{',' if len(targets) == 1 else ''} = {unpack}(data, at)")
    source.line(f"at += {code.size}")
    for name, spec in run:
        if spec == _Number(3):
            source.line(f"v_{name} |= h_{name} << 16")
        elif isinstance(spec, _Boolean):
            source.line(f"if v_{name} > 1:")
            source.line(f"    raise not_boolean({owner + '.' + name!r}, v_{name})")
            source.line(f"v_{name} = v_{name} == 1")


def _decode_length(source: _Source, prefix: int, where: str) -> str:
    """Read a length of `prefix` octets; the name of where its octets stop."""
    stop = source.fresh("stop")
    source.line(f"if end - at < {prefix}:")
    source.line(f"    raise short({where!r}, at, {prefix}, end - at)")
    if prefix == 1:
        source.line(f"{stop} = at + 1 + data[at]")
    else:
        octets = " | ".join(f"data[at + {i}] << {8 * (prefix - 1 - i)}" for i in range(prefix))
        source.line(f"{stop} = at + {prefix} + ({octets})")
    source.line(f"at += {prefix}")
    source.line(f"if {stop} > end:")
    source.line(f"    raise short({where!r}, at, {stop} - at, end - at)")
    return stop


def _decode_member(source: _Source, target: str, spec: _Spec, where: str) -> None:
    match spec:
        case _Number() | _Boolean() | _Fixed():
            name = target.removeprefix("v_")
            _decode_run(source, where.rpartition(".")[0], [(name, spec)])
        case _NodeId():
            source.line("if end - at < n:")
            source.line(f"    raise short({where!r}, at, n, end - at)")
            source.line(f"{target} = data[at:at + n]")
            source.line("at += n")
        case _Opaque(prefix):
            stop = _decode_length(source, prefix, where)
            source.line(f"{target} = data[at:{stop}]")
            source.line(f"at = {stop}")
        case _Rest():
            source.line(f"{target} = data[at:end]")
            source.line("at = end")
        case _Nested(of):
            source.line(f"{target}, at = {source.name(of._decode, 'decode')}(data, at, end, n)")
        case _Custom(read, _):
            source.line(f"{target}, at = {source.name(read, 'decode')}(data, at, end, n)")
        case _Vector():
            _decode_vector(source, target, spec, where)
        case _Select():
            _decode_select(source, target, spec, where)


def _decode_vector(source: _Source, target: str, spec: _Vector, where: str) -> None:
    stop = _decode_length(source, spec.prefix, where)
    if isinstance(spec.of, _Number) and spec.of.size != 3:
        size = spec.of.size
        source.line(f"if ({stop} - at) % {size}:")
        source.line(f"    raise uneven({where!r}, {stop} - at, {size})")
        source.line(f"{target} = unpack(f'>{{({stop} - at) // {size}}}{spec.of.code}', data[at:{stop}])")
    elif isinstance(spec.of, _NodeId):
        source.line(f"if ({stop} - at) % n:")
        source.line(f"    raise uneven({where!r}, {stop} - at, n)")
        source.line(f"{target} = tuple([data[i:i + n] for i in range(at, {stop}, n)])")
    else:
        items, outer, before = source.fresh("items"), source.fresh("outer"), source.fresh("before")
        source.line(f"{items} = []")
        source.line(f"{outer}, end = end, {stop}")
        source.line("while at < end:")
        source.indent(1)
        source.line(f"{before} = at")
        _decode_member(source, "v_item", spec.of, where + ".item")
        source.line(f"if at == {before}:")
        source.line(f"    raise stuck({where!r})")
        source.line(f"{items}.append(v_item)")
        source.indent(-1)
        source.line(f"end = {outer}")
        source.line(f"{target} = tuple({items})")
    source.line(f"at = {stop}")


def _decode_select(source: _Source, target: str, spec: _Select, where: str) -> None:
    outer = ""
    if spec.length:
        stop = _decode_length(source, spec.length, where)
        outer = source.fresh("outer")
        source.line(f"{outer}, end = end, {stop}")
    word = "if"
    for key, case in spec.cases.items():
        source.line(f"{word} v_{spec.on} == {key}:")
        source.indent(1)
        if case is None:
            source.line(f"{target} = None")
        else:
            _decode_member(source, target, case, where)
        source.indent(-1)
        word = "elif"
    source.line("else:")
    if spec.extensible:
        source.line(f"    {target} = data[at:end]")
        source.line("    at = end")
    else:
        source.line(f"    raise unknown_case({where!r}, v_{spec.on})")
    if spec.length:
        source.line("if at != end:")
        source.line(f"    raise left_over({where!r}, end - at)")
        source.line(f"end = {outer}")


def _compile_encode(cls: type[Any], members: list[tuple[str, _Spec]]) -> Callable[..., Any]:
    source = _Source()
    source.names |= {"struct_error": struct.error, "encode_error": EncodeError, "joined": b"".join}
    source.line("try:")
    source.indent(1)
    pieces = []
    at = 0
    while at < len(members):
        run = at
        while run < len(members) and members[run][1].code is not None:
            run += 1
        if run > at:
            pieces.append(_encode_run(source, members[at:run]))
            at = run
            continue
        name, spec = members[at]
        pieces.append(_encode_member(source, f"self.{name}", spec, f"{cls.__name__}.{name}"))
        at += 1
    source.line(f"return joined(({', '.join(pieces)}{',' if len(pieces) == 1 else ''}))" if pieces else "return b''")
    source.indent(-1)
    source.line("except (struct_error, TypeError, AttributeError, OverflowError) as error:")
    source.line(f"    raise encode_error({cls.__name__ + ': '!r} + str(error)) from error")
    return source.build("def function(self, n):", f"{cls.__name__} encode")


def _encode_run(source: _Source, run: list[tuple[str, _Spec]]) -> str:
    code = struct.Struct(">" + "".join(spec.code or "" for _, spec in run))
    values = []
    for name, spec in run:
        match spec:
            case _Number(3):
                values += [f"self.{name} >> 16", f"self.{name} & 0xffff"]
            case _Fixed(size):
                values.append(f"{source.name(_exact(size, name), 'exact')}(self.{name})")
            case _:
                values.append(f"self.{name}")
    return f"{source.name(code.pack, 'pack')}({', '.join(values)})"


def _exact(size: int, name: str) -> Callable[[bytes], bytes]:
    def exact(octets: bytes) -> bytes:
        if len(octets) != size:
            raise EncodeError(f"{name}: {size} octets are due, not {len(octets)}")
        return octets

    return exact


def _framed(prefix: int, where: str) -> Callable[[bytes], bytes]:
    """Octets with their length in front."""
    limit = 1 << 8 * prefix

    def framed(octets: bytes) -> bytes:
        if len(octets) >= limit:
            raise EncodeError(f"{where}: {len(octets)} octets, at most {limit - 1} fit")
        return len(octets).to_bytes(prefix, "big") + octets

    return framed


def _encode_member(source: _Source, value: str, spec: _Spec, where: str) -> str:
    """An expression for the octets of `value`, after the lines that it needs."""
    match spec:
        case _Number(3):
            return f"({value}).to_bytes(3, 'big')"
        case _Number() | _Boolean():
            return f"{source.name(struct.Struct('>' + (spec.code or '')).pack, 'pack')}({value})"
        case _Fixed(size):
            return f"{source.name(_exact(size, where), 'exact')}({value})"
        case _NodeId():
            return f"{source.name(_node_id_octets(where), 'node_id')}({value}, n)"
        case _Opaque(prefix):
            return f"{source.name(_framed(prefix, where), 'framed')}({value})"
        case _Rest():
            return value
        case _Nested():
            return f"{value}._encode(n)"
        case _Custom(_, write):
            return f"{source.name(write, 'encode')}({value}, n)"
        case _Vector(of, prefix):
            inner = _encode_member(source, "item", of, where + ".item")
            framed = source.name(_framed(prefix, where), "framed")
            return f"{framed}(joined([{inner} for item in {value}]))"
        case _Select():
            return _encode_select(source, value, spec, where)


def _node_id_octets(where: str) -> Callable[[bytes, int], bytes]:
    def node_id_octets(octets: bytes, n: int) -> bytes:
        if len(octets) != n:
            raise EncodeError(f"{where}: a Node-ID of this overlay has {n} octets, not {len(octets)}")
        return octets

    return node_id_octets


def _encode_select(source: _Source, value: str, spec: _Select, where: str) -> str:
    target = source.fresh("case")
    word = "if"
    for key, case in spec.cases.items():
        source.line(f"{word} self.{spec.on} == {key}:")
        source.indent(1)
        source.line(f"{target} = {_encode_member(source, value, case, where) if case is not None else repr(b'')}")
        source.indent(-1)
        word = "elif"
    source.line("else:")
    if spec.extensible:
        source.line(f"    {target} = {value}")
    else:
        source.line(f"    raise encode_error({where + ': unknown type '!r} + str(self.{spec.on}))")
    return f"{source.name(_framed(spec.length, where), 'framed')}({target})" if spec.length else target

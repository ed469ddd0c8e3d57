"""From the declaration of a structure to the code that reads it.

A decoder is `function(data, at, end, n) -> (value, where it stops)`: it reads nothing at or behind `end`, and `n` is
the length of a Node-ID.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from reload._source import Member, Source, runs
from reload._specs import Boolean, Custom, Fixed, Nested, NodeId, Number, Opaque, Select, Spec, Vector
from reload.errors import DecodeError, UnknownTypeError


def short(where: str, at: int, need: int, have: int) -> DecodeError:
    """Too few octets."""
    return DecodeError(f"{where}: need {need} octets at {at}, have {have}")


def not_boolean(where: str, value: int) -> DecodeError:
    """Neither 0 nor 1."""
    return DecodeError(f"{where}: {value} is no Boolean")


def unknown_case(where: str, value: int) -> DecodeError:
    """A type that the structure does not know and may not skip."""
    return UnknownTypeError(f"{where}: unknown type {value}")


def uneven(where: str, size: int, item: int) -> DecodeError:
    """A vector that ends within an item."""
    return DecodeError(f"{where}: {size} octets are no multiple of {item}")


def left_over(where: str, octets: int) -> DecodeError:
    """A length that is longer than what it holds."""
    return DecodeError(f"{where}: {octets} octets too many")


def stuck(where: str) -> DecodeError:
    """An item without octets, of which a vector could hold without end."""
    return DecodeError(f"{where}: an item without octets")


def too_few(where: str, size: int, least: int) -> DecodeError:
    """A vector below its lower bound."""
    return DecodeError(f"{where}: {size} octets, at least {least} are due")


def contradiction(where: str, one: int, other: int) -> DecodeError:
    """Two lengths of one thing."""
    return DecodeError(f"{where}: the lengths {one} and {other} contradict each other")


_NAMES = {
    each.__name__: each for each in (short, not_boolean, unknown_case, uneven, left_over, stuck, too_few, contradiction)
}


def compile_decode(cls: type[Any], members: list[Member]) -> Callable[..., tuple[Any, int]]:
    """The decoder of a structure."""
    source = Source({**_NAMES, "unpack": struct.unpack, "cls": cls})
    for run in runs(members):
        if run[0][1].code is not None:
            _run(source, cls.__name__, [(f"v_{name}", name, spec) for name, spec in run])
        else:
            ((name, spec),) = run
            _member(source, f"v_{name}", spec, f"{cls.__name__}.{name}")
    source.line(f"return cls({', '.join(f'v_{name}' for name, _ in members)}), at")
    return source.build("def function(data, at, end, n):", f"{cls.__name__} decode")


def _run(source: Source, owner: str, run: list[tuple[str, str, Spec]]) -> None:
    """Neighbours of fixed size, each with its target: one check and one unpack."""
    code = struct.Struct(">" + "".join(spec.code or "" for _, _, spec in run))
    unpack = source.name(code.unpack_from, "unpack")
    with source.block(f"if end - at < {code.size}:"):
        source.line(f"raise short({owner + '.' + run[0][1]!r}, at, {code.size}, end - at)")
    source.line(f"{''.join(target + ', ' for target, _, _ in run)} = {unpack}(data, at)")
    source.line(f"at += {code.size}")
    for target, name, spec in run:
        if isinstance(spec, Boolean):
            with source.block(f"if {target} > 1:"):
                source.line(f"raise not_boolean({owner + '.' + name!r}, {target})")
            source.line(f"{target} = {target} == 1")


def _length(source: Source, prefix: int, where: str) -> str:
    """Read a length of `prefix` octets; the name of where its octets stop."""
    stop = source.fresh("stop")
    with source.block(f"if end - at < {prefix}:"):
        source.line(f"raise short({where!r}, at, {prefix}, end - at)")
    octets = " | ".join(f"data[at + {i}] << {8 * (prefix - 1 - i)}" for i in range(prefix))
    source.line(f"{stop} = at + {prefix} + ({octets})", f"at += {prefix}")
    with source.block(f"if {stop} > end:"):
        source.line(f"raise short({where!r}, at, {stop} - at, end - at)")
    return stop


def _member(source: Source, target: str, spec: Spec, where: str) -> None:
    match spec:
        case Number() | Boolean() | Fixed():
            owner, _, name = where.rpartition(".")
            _run(source, owner, [(target, name, spec)])
        case NodeId():
            with source.block("if end - at < n:"):
                source.line(f"raise short({where!r}, at, n, end - at)")
            source.line(f"{target} = data[at:at + n]", "at += n")
        case Opaque(prefix):
            stop = _length(source, prefix, where)
            source.line(f"{target} = data[at:{stop}]", f"at = {stop}")
        case Nested(of):
            source.line(f"{target}, at = {source.name(of._decode, 'decode')}(data, at, end, n)")
        case Custom(read, _):
            source.line(f"{target}, at = {source.name(read, 'decode')}(data, at, end, n)")
        case Vector():
            _vector(source, target, spec, where)
        case Select():
            _select(source, target, spec, where)


def _vector(source: Source, target: str, spec: Vector, where: str) -> None:
    if spec.twice:
        outer_stop = _length(source, spec.prefix, where)
        source.line(f"{outer_stop} += {spec.prefix}")
    stop = _length(source, spec.prefix, where)
    if spec.twice:
        with source.block(f"if {stop} != {outer_stop}:"):
            source.line(f"raise contradiction({where!r}, {outer_stop} - at, {stop} - at)")
    if spec.least:
        with source.block(f"if {stop} - at < {spec.least}:"):
            source.line(f"raise too_few({where!r}, {stop} - at, {spec.least})")
    match spec.of:
        case Number(size):
            _even(source, stop, str(size), where)
            source.line(f"{target} = unpack(f'>{{({stop} - at) // {size}}}{spec.of.code}', data[at:{stop}])")
        case NodeId():
            _even(source, stop, "n", where)
            source.line(f"{target} = tuple([data[i:i + n] for i in range(at, {stop}, n)])")
        case _:
            _items(source, target, stop, spec.of, where)
    source.line(f"at = {stop}")


def _even(source: Source, stop: str, size: str, where: str) -> None:
    with source.block(f"if ({stop} - at) % {size}:"):
        source.line(f"raise uneven({where!r}, {stop} - at, {size})")


def _items(source: Source, target: str, stop: str, of: Spec, where: str) -> None:
    items, item, outer, before = (source.fresh(stem) for stem in ("items", "item", "outer", "before"))
    source.line(f"{items} = []", f"{outer}, end = end, {stop}")
    with source.block("while at < end:"):
        source.line(f"{before} = at")
        _member(source, item, of, where + ".item")
        with source.block(f"if at == {before}:"):
            source.line(f"raise stuck({where!r})")
        source.line(f"{items}.append({item})")
    source.line(f"end = {outer}", f"{target} = tuple({items})")


def _select(source: Source, target: str, spec: Select, where: str) -> None:
    outer = source.fresh("outer")
    if spec.length:
        stop = _length(source, spec.length, where)
        source.line(f"{outer}, end = end, {stop}")
    on = f"v_{spec.on}"
    word = "if"
    for key, case in spec.cases.items():
        with source.block(f"{word} {on} == {key}:"):
            if case is None:
                source.line(f"{target} = None")
            else:
                _member(source, target, case, where)
        word = "elif"
    if spec.extensible:
        with source.block(f"elif {on}:"):
            source.line(f"{target} = data[at:end]", "at = end")
    with source.block("else:"):
        source.line(f"raise unknown_case({where!r}, {on})")
    if spec.length:
        with source.block("if at != end:"):
            source.line(f"raise left_over({where!r}, end - at)")
        source.line(f"end = {outer}")

"""From the declaration of a structure to the code that writes it: `function(self, n) -> octets`."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from reload._source import Member, Source, runs
from reload._specs import Boolean, Custom, Fixed, Nested, NodeId, Number, Opaque, Select, Spec, Vector
from reload.errors import EncodeError


def compile_encode(cls: type[Any], members: list[Member]) -> Callable[..., bytes]:
    """The encoder of a structure."""
    source = Source({"struct_error": struct.error, "encode_error": EncodeError, "joined": b"".join})
    pieces = []
    with source.block("try:"):
        for run in runs(members):
            if run[0][1].code is not None:
                pieces.append(_run(source, cls.__name__, run))
            else:
                ((name, spec),) = run
                pieces.append(_member(source, f"self.{name}", spec, f"{cls.__name__}.{name}"))
        source.line(f"return joined(({''.join(piece + ', ' for piece in pieces)}))")
    # What a value of another type does, in the place of a check of every member.
    with source.block("except (struct_error, TypeError, AttributeError, OverflowError) as error:"):
        source.line(f"raise encode_error({cls.__name__ + ': '!r} + str(error)) from error")
    return source.build("def function(self, n):", f"{cls.__name__} encode")


def _run(source: Source, owner: str, run: list[Member]) -> str:
    code = struct.Struct(">" + "".join(_code(spec) for _, spec in run))
    values = []
    for name, spec in run:
        exact = f"{source.name(_exact(spec.size, f'{owner}.{name}'), 'exact')}" if isinstance(spec, Fixed) else ""
        values.append(f"{exact}(self.{name})")
    return f"{source.name(code.pack, 'pack')}({', '.join(values)})"


def _code(spec: Spec) -> str:
    """Like `spec.code`, but whatever is true becomes 1."""
    return "?" if isinstance(spec, Boolean) else spec.code or ""


def _member(source: Source, value: str, spec: Spec, where: str) -> str:
    """An expression for the octets of `value`, after the lines that it needs."""
    match spec:
        case Number() | Boolean():
            return f"{source.name(struct.Struct('>' + _code(spec)).pack, 'pack')}({value})"
        case Fixed(size):
            return f"{source.name(_exact(size, where), 'exact')}({value})"
        case NodeId():
            return f"{source.name(_node_id(where), 'node_id')}({value}, n)"
        case Opaque(prefix):
            return f"{source.name(_framed(prefix, where), 'framed')}({value})"
        case Nested():
            return f"{value}._encode(n)"
        case Custom(_, write):
            return f"{source.name(write, 'encode')}({value}, n)"
        case Vector(of, prefix, least, twice):
            inner = _member(source, "item", of, where + ".item")
            framed = source.name(_framed(prefix, where, least, 2 if twice else 1), "framed")
            return f"{framed}(joined([{inner} for item in {value}]))"
        case Select():
            return _select(source, value, spec, where)


def _select(source: Source, value: str, spec: Select, where: str) -> str:
    target = source.fresh("case")
    misfit = f"raise encode_error(f'{where}: {{type({value}).__name__}} does not fit type {{self.{spec.on}}}')"
    word = "if"
    for key, case in spec.cases.items():
        with source.block(f"{word} self.{spec.on} == {key}:"):
            if case is None:
                with source.block(f"if {value} is not None:"):
                    source.line(misfit)
                source.line(f"{target} = b''")
            else:
                if isinstance(case, Nested):
                    with source.block(f"if type({value}) is not {source.name(case.of, 'of')}:"):
                        source.line(misfit)
                source.line(f"{target} = {_member(source, value, case, where)}")
        word = "elif"
    if spec.extensible:
        with source.block(f"elif self.{spec.on}:"):
            source.line(f"{target} = {value}")
    with source.block("else:"):
        source.line(f"raise encode_error(f'{where}: unknown type {{self.{spec.on}}}')")
    return f"{source.name(_framed(spec.length, where), 'framed')}({target})" if spec.length else target


def _exact(size: int, where: str) -> Callable[[bytes], bytes]:
    def exact(octets: bytes) -> bytes:
        if len(octets) != size:
            raise EncodeError(f"{where}: {size} octets are due, not {len(octets)}")
        return octets

    return exact


def _node_id(where: str) -> Callable[[bytes, int], bytes]:
    def node_id(octets: bytes, n: int) -> bytes:
        if len(octets) != n:
            raise EncodeError(f"{where}: a Node-ID of this overlay has {n} octets, not {len(octets)}")
        return octets

    return node_id


def _framed(prefix: int, where: str, least: int = 0, times: int = 1) -> Callable[[bytes], bytes]:
    """Octets with their length in front, so many times."""
    most = (1 << 8 * prefix) - 1

    def framed(octets: bytes) -> bytes:
        size = len(octets)
        if not least <= size <= most:
            raise EncodeError(f"{where}: {size} octets, it takes {least} to {most}")
        return size.to_bytes(prefix, "big") * times + octets

    return framed

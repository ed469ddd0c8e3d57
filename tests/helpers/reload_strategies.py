"""Hypothesis strategies for the structures of RELOAD, derived from the specifications of their members."""

from functools import cache
from typing import Any

import attrs
from hypothesis import strategies as st

from reload import addresses, contents, diagnostic_information, extensions, header, methods, security_block
from reload import storage_messages as storage
from reload._specs import (
    KEY,
    Boolean,
    Custom,
    Fixed,
    Nested,
    NodeId,
    Number,
    Opaque,
    Select,
    Spec,
    Vector,
)
from reload.destinations import (
    Destination,
    NodeDestination,
    OpaqueDestination,
    ResourceDestination,
    UnknownDestination,
)

MODULES = (addresses, contents, diagnostic_information, extensions, header, methods, security_block, storage)
STRUCTURES: list[type[Any]] = [
    each
    for module in MODULES
    for name, each in vars(module).items()
    if hasattr(each, "_decode") and each.__module__ == module.__name__ and each.__name__ == name  # no second names
]
"""Every structure that is declared."""

_FEW = 3
"""Items of a vector, octets of an opaque: what is longer shows nothing new."""


def octets(most: int = 6) -> st.SearchStrategy[bytes]:
    return st.binary(max_size=most)


def destinations(n: int) -> st.SearchStrategy[Destination]:
    """Destinations of every form."""
    return st.one_of(
        st.binary(min_size=n, max_size=n).map(NodeDestination),
        st.binary(max_size=254).map(ResourceDestination),
        st.binary(max_size=254).map(OpaqueDestination),
        st.integers(0x8000, 0xFFFF).map(lambda i: OpaqueDestination(i.to_bytes(2, "big"), is_compact=True)),
        st.builds(UnknownDestination, st.integers(4, 127), octets()),
    )


@cache
def structures(of: type[Any], n: int = 16) -> st.SearchStrategy[Any]:
    """Values of a structure that have octets."""
    fields = attrs.fields(of)
    specs = {field.name: field.metadata[KEY] for field in fields}
    selects = {spec.on: spec for spec in specs.values() if isinstance(spec, Select)}

    @st.composite
    def draw_one(draw: st.DrawFn) -> Any:
        made: dict[str, Any] = {}
        for name, spec in specs.items():
            if name in selects:
                made[name] = draw(_types(selects[name], spec))
            elif isinstance(spec, Select):
                made[name] = draw(_case(spec, made[spec.on], n))
            else:
                made[name] = draw(_values(spec, n))
        return of(**made)

    return draw_one()


def _types(select: Select, number: Number) -> st.SearchStrategy[int]:
    known = st.sampled_from(sorted(select.cases))
    return known | st.integers(1, 256**number.size - 1) if select.extensible else known


def _case(select: Select, value: int, n: int) -> st.SearchStrategy[Any]:
    if value not in select.cases:
        return octets()
    case = select.cases[value]
    return st.none() if case is None else _values(case, n)


def _values(spec: Spec, n: int) -> st.SearchStrategy[Any]:
    match spec:
        case Number(size):
            return st.integers(0, 256**size - 1)
        case Boolean():
            return st.booleans()
        case Fixed(size):
            return st.binary(min_size=size, max_size=size)
        case NodeId():
            return st.binary(min_size=n, max_size=n)
        case Opaque():
            return octets()
        case Nested(of):
            return structures(of, n)
        case Custom():
            return destinations(n)
        case Vector(of, _, least):
            # Every item has an octet at least, of those vectors that have a least size; a Destination has 2.
            return st.lists(_values(of, n), min_size=-(-least // 2), max_size=_FEW).map(tuple)
    raise AssertionError(spec)


def headers(n: int = 16) -> st.SearchStrategy[header.ForwardingHeader]:
    """Headers whose lists have no Resource-ID where none may be."""
    through = destinations(n).filter(lambda each: not isinstance(each, ResourceDestination))
    return st.builds(
        header.ForwardingHeader,
        overlay=st.integers(0, 2**32 - 1),
        transaction_id=st.integers(0, 2**64 - 1),
        destination_list=st.builds(
            lambda several, last: (*several, last), st.lists(through, max_size=2), destinations(n)
        ),
        via_list=st.lists(through, max_size=_FEW).map(tuple),
        options=st.lists(structures(header.ForwardingOption, n), max_size=2).map(tuple),
        configuration_sequence=st.integers(0, 65535),
        ttl=st.integers(0, 255),
        max_response_length=st.integers(0, 2**32 - 1),
        fragment=st.integers(2**31, 2**32 - 1),
    )

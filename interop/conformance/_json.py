"""How octets and numbers stand in a vector."""

from itertools import accumulate, pairwise
from typing import Any

from interop.conformance._files import MAX_INTEGER
from ppsp.constants import DEFAULT_CHUNK_SIZE


def number(value: int | str) -> int:
    """An integer of a vector: itself, or beyond 2^53 a hex string."""
    return int(value, 16) if isinstance(value, str) else value


def number_json(value: int) -> int | str:
    """An integer as a vector has it; those beyond 2^53 come from fields of 64 bits."""
    return value if value <= MAX_INTEGER else f"{value:016x}"


def octets(value: Any) -> bytes:
    """Octets of a vector: a hex string, or ``{"modulo": m, "length": n}``, whose octet i is i mod m."""
    if isinstance(value, str):
        return bytes.fromhex(value)
    modulo: int = value["modulo"]
    length: int = value["length"]
    return (bytes(range(modulo)) * (length // modulo + 1))[:length]


def chunks_of(args: dict[str, Any]) -> list[bytes]:
    """The chunks of the ``content`` of a vector: of ``chunk_size`` octets each, or of the ``sizes`` that it gives."""
    content = octets(args["content"])
    size = args.get("chunk_size", DEFAULT_CHUNK_SIZE)
    ends = list(accumulate(args["sizes"])) if "sizes" in args else [*range(size, len(content), size), len(content)]
    return [content[start:end] for start, end in pairwise([0, *ends])] if content else []

"""How octets and numbers stand in a vector."""

from typing import Any

from interop.conformance._files import MAX_INTEGER


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

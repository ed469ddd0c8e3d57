"""A small MaxMind database, written by its specification, version 2.0: records of 32 bits, IPv4 below ::/96."""

import ipaddress
from pathlib import Path
from typing import Any

_MARKER = b"\xab\xcd\xefMaxMind.com"
_UINT16, _UINT32, _UINT64 = 5, 6, 9


def write_database(path: Path, records: dict[str, Any]) -> None:
    """A database of these networks, which are not to overlap, and their records."""
    nodes: list[list[int | bytes | None]] = [[None, None]]
    for text, record in records.items():
        network = ipaddress.ip_network(text)
        length = network.prefixlen + (96 if network.version == 4 else 0)
        value, at = int(network.network_address), 0
        for depth in range(length):
            bit = value >> 127 - depth & 1
            if depth == length - 1:
                nodes[at][bit] = _encoded(record)
            else:
                child = nodes[at][bit]
                if child is None:
                    child = len(nodes)
                    nodes[at][bit] = child
                    nodes.append([None, None])
                assert isinstance(child, int)
                at = child
    data, tree = b"", b""
    for node in nodes:
        for side in node:
            if isinstance(side, bytes):
                tree += (len(nodes) + 16 + len(data)).to_bytes(4, "big")
                data += side
            else:
                tree += (len(nodes) if side is None else side).to_bytes(4, "big")
    metadata = {
        "node_count": len(nodes),
        "record_size": (_UINT16, 32),
        "ip_version": (_UINT16, 6),
        "database_type": "test",
        "languages": [],
        "binary_format_major_version": (_UINT16, 2),
        "binary_format_minor_version": (_UINT16, 0),
        "build_epoch": (_UINT64, 1),
        "description": {"en": "test"},
    }
    path.write_bytes(tree + bytes(16) + data + _MARKER + _encoded(metadata))


def _encoded(value: Any) -> bytes:
    match value:
        case dict():
            return _head(7, len(value)) + b"".join(_encoded(part) for pair in value.items() for part in pair)
        case list():
            return _head(11, len(value)) + b"".join(map(_encoded, value))
        case str():
            return _head(2, len(value.encode())) + value.encode()
    kind, number = value if isinstance(value, tuple) else (_UINT32, value)
    octets = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return _head(kind, len(octets)) + octets


def _head(kind: int, size: int) -> bytes:
    assert size < 29
    return bytes([kind << 5 | size]) if kind < 8 else bytes([size, kind - 7])

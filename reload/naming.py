"""What names become: the overlay's number and Resource-IDs (RFC 6940 sections 6.3.2 and 10.2)."""

from __future__ import annotations

import hashlib

WILDCARD = b"\xff"
"""An octet of the wildcard Node-ID, which consists of nothing else."""


def overlay_hash(name: str) -> int:
    """The `overlay` of a forwarding header: the lower 32 bits of the SHA-1 of the overlay's name."""
    return int.from_bytes(hashlib.sha1(name.encode("utf-8"), usedforsecurity=False).digest()[-4:], "big")


def resource_id(name: bytes) -> bytes:
    """The Resource-ID of CHORD-RELOAD: the first 16 octets of the SHA-1 of a resource name."""
    return hashlib.sha1(name, usedforsecurity=False).digest()[:16]

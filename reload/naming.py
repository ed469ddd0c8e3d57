"""What names become: the overlay's number and Resource-IDs (RFC 6940 sections 6.3.2 and 10.2)."""

from __future__ import annotations

import hashlib
import re

from reload.errors import EncodeError

_LABEL = re.compile(r"[0-9A-Za-z]([0-9A-Za-z-]{0,61}[0-9A-Za-z])?")
_LONGEST_NAME = 253
"""Characters of a domain name (RFC 1035 section 2.3.4, without the octets of the wire)."""


def wildcard(node_id_length: int = 16) -> bytes:
    """The Node-ID that every node takes for its own: all ones (section 6.1.1)."""
    return b"\xff" * node_id_length


def overlay_hash(name: str) -> int:
    """The `overlay` of a forwarding header: the lower 32 bits of the SHA-1 of the overlay's name.

    Raises EncodeError for a name that could not be looked up in the DNS (RFC 1035 section 2.3.1; a label may begin
    with a digit, by RFC 1123 section 2.1).
    """
    if len(name) > _LONGEST_NAME or not all(map(_LABEL.fullmatch, name.split("."))):
        raise EncodeError(f"{name!r:.80} is no overlay name: it has to be a domain name")
    return int.from_bytes(_sha1(name.encode("ascii"))[-4:], "big")


def resource_id(name: bytes) -> bytes:
    """The Resource-ID of CHORD-RELOAD: the first 16 octets of the SHA-1 of a resource name."""
    return _sha1(name)[:16]


def _sha1(octets: bytes) -> bytes:
    return hashlib.sha1(octets, usedforsecurity=False).digest()

"""Names of objects by their hash: ni and nih URIs, the binary form, and .well-known paths (RFC 6920).

Two names are the same when their algorithm and their value are: an authority and a query are hints, and no part of a
`Name`. A name whose hash is cut short is another one than that with the whole hash.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from urllib.parse import unquote_to_bytes

import attrs

from decade.errors import DecodeError, ErrorCode

SHA_256 = "sha-256"
WELL_KNOWN = "/.well-known/ni/"
MAX_NAME = 2048
"""Characters of a URI that is read; a hash takes 43, and an authority and a query are short."""
CACHED = 1024
"""Paths that were read last and are read again for nothing: a server is asked for some objects far more often."""

# Section 9.4: the name of the algorithm, its Suite ID, and the octets of its value.
_SUITES: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        "sha-256": (1, 32),
        "sha-256-128": (2, 16),
        "sha-256-120": (3, 15),
        "sha-256-96": (4, 12),
        "sha-256-64": (5, 8),
        "sha-256-32": (6, 4),
    }
)
_BY_ID: Mapping[int, str] = MappingProxyType({number: name for name, (number, _) in _SUITES.items()})
_SUITE_MASK = 0x3F

_NI = re.compile(r"ni://([^/?#;]*)/([^/?#;]*);([^/?#;]*)(?:\?([^#]*))?", re.IGNORECASE)
_SEGMENT = re.compile(r"([^/?#;]+);([^/?#;]+)")
_WELL_KNOWN = re.compile(r"/\.well-known/ni/([^/?#;]+)/([^/?#;]+)(?:\?([^#]*))?")
_NIH = re.compile(r"nih:([^;]+);([0-9a-f-]+)(?:;([0-9a-f]))?")
_BASE64URL = re.compile(r"[A-Za-z0-9_-]*")
_QUERY = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*")


@attrs.frozen(cache_hash=True)
class Name:
    """The name of an object: the algorithm, such as "sha-256", and the value of the hash, cut short if it says so."""

    algorithm: str
    value: bytes = attrs.field(repr=lambda value: value.hex())

    def __attrs_post_init__(self) -> None:
        """Raises DecodeError for an unknown algorithm, and for a value of another length."""
        _, size = _suite(self.algorithm)
        if len(self.value) != size:
            raise DecodeError(f"name: a value of {self.algorithm} has {size} octets, not {len(self.value)}")

    @property
    def is_whole(self) -> bool:
        """Whether the hash is not cut short: only such a name binds its object."""
        return self.algorithm == SHA_256

    @property
    def text(self) -> str:
        """The value in base64url without padding, as in ni and .well-known URIs."""
        return _base64url(self.value)

    @property
    def binary(self) -> bytes:
        """The binary form: the Suite ID, and the value (section 6)."""
        return bytes((_suite(self.algorithm)[0],)) + self.value

    @property
    def segment(self) -> str:
        """The form for a segment of a URL (section 5)."""
        return f"{self.algorithm};{self.text}"

    @property
    def path(self) -> str:
        """The path of its .well-known URL (section 4)."""
        return f"{WELL_KNOWN}{self.algorithm}/{self.text}"

    @property
    def etag(self) -> str:
        """The strong entity tag of its object."""
        return f'"{self.algorithm};{self.text}"'

    @property
    def repr_digest(self) -> str:
        """The value of Repr-Digest of its object (RFC 9530 section 3)."""
        return f"{self.algorithm}=:{base64.b64encode(self.value).decode()}:"

    def ni(self, authority: str = "") -> str:
        """The ni URI, with an authority if one is known to help."""
        return f"ni://{authority}/{self.segment}"

    def nih(self, *, group: int = 0, checkdigit: bool = True) -> str:
        """The form to be spoken: hexadecimal, a dash behind each `group` digits, and a digit that shows mistakes."""
        digits = self.value.hex()
        spoken = "-".join(digits[at : at + group] for at in range(0, len(digits), group)) if group > 0 else digits
        return f"nih:{self.algorithm};{spoken}" + (f";{_checkdigit(digits)}" if checkdigit else "")

    def truncated(self, algorithm: str) -> Name:
        """The name with the leftmost bits alone, as `algorithm` says. Raises DecodeError for a longer form."""
        _, size = _suite(algorithm)
        if size > len(self.value):
            raise DecodeError(f"name: {self.algorithm} cannot be cut to {algorithm}")
        return Name(algorithm, self.value[:size])

    def matches(self, octets: bytes) -> bool:
        """Whether this is the name of these octets."""
        return hmac.compare_digest(hashlib.sha256(octets).digest()[: len(self.value)], self.value)


@lru_cache(CACHED)
def _base64url(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


@attrs.frozen
class NiUri:
    """What an ni URI or a .well-known path says beside the name. `parameters` are decoded, in their order."""

    name: Name
    authority: str = ""
    parameters: tuple[tuple[str, str], ...] = ()

    @property
    def content_type(self) -> str | None:
        """The media type by `ct` (section 3.1): an object of another type may be an attack."""
        return next((value for tag, value in self.parameters if tag == "ct"), None)


def name_of(octets: bytes, algorithm: str = SHA_256) -> Name:
    """The name of an object. Raises DecodeError."""
    _, size = _suite(algorithm)
    return Name(algorithm, hashlib.sha256(octets).digest()[:size])


def read_ni(uri: str) -> NiUri:
    """An ni URI. Raises DecodeError."""
    found = _NI.fullmatch(_bounded(uri))
    if found is None:
        raise DecodeError("name: no ni URI")
    authority, algorithm, value, query = found.groups()
    return NiUri(_from_text(algorithm, value), authority, _parameters(query))


@lru_cache(CACHED)
def read_path(target: str) -> NiUri:
    """The path of a .well-known URL, and its query. Raises DecodeError."""
    found = _WELL_KNOWN.fullmatch(_bounded(target))
    if found is None:
        raise DecodeError("name: no path below /.well-known/ni/")
    algorithm, value, query = found.groups()
    return NiUri(_from_text(algorithm, value), "", _parameters(query))


def read_segment(segment: str) -> Name:
    """The form for a segment of a URL. Raises DecodeError."""
    found = _SEGMENT.fullmatch(_bounded(segment))
    if found is None:
        raise DecodeError("name: no algorithm and value with a semicolon between")
    return _from_text(*found.groups())


def read_nih(uri: str) -> Name:
    """An nih URI; its algorithm may be a Suite ID in decimal. Raises DecodeError, also for a wrong checkdigit."""
    found = _NIH.fullmatch(_bounded(uri))
    if found is None:
        raise DecodeError("name: no nih URI")
    algorithm, spoken, checkdigit = found.groups()
    if algorithm.isascii() and algorithm.isdecimal():
        algorithm = _BY_ID.get(int(algorithm[:3]), algorithm)
    digits = spoken.replace("-", "")
    _suite(algorithm)
    if len(digits) % 2:
        raise DecodeError("name: half an octet in an nih URI")
    if checkdigit is not None and checkdigit != _checkdigit(digits):
        raise DecodeError("name: the checkdigit of an nih URI is wrong")
    return Name(algorithm, bytes.fromhex(digits))


def read_binary(octets: bytes) -> Name:
    """The binary form; its reserved bits are ignored. Raises DecodeError."""
    if not octets:
        raise DecodeError("name: no octets")
    suite = octets[0] & _SUITE_MASK
    algorithm = _BY_ID.get(suite)
    if algorithm is None:
        raise DecodeError(f"name: Suite ID {suite} is not known", ErrorCode.DIGEST_UNSUPPORTED)
    return Name(algorithm, octets[1:])


class Digest:
    """The hash of an object that comes in parts: `update` with each, then `matches`."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.size = 0

    def update(self, octets: bytes | bytearray | memoryview) -> None:
        """Add the next part."""
        self._hash.update(octets)
        self.size += len(octets)

    def matches(self, name: Name) -> bool:
        """Whether what came is the object of this name."""
        return hmac.compare_digest(self._hash.digest()[: len(name.value)], name.value)

    @property
    def name(self) -> Name:
        """The name of what came so far."""
        return Name(SHA_256, self._hash.digest())


def _suite(algorithm: str) -> tuple[int, int]:
    try:
        return _SUITES[algorithm]
    except KeyError:
        raise DecodeError(f"name: the algorithm {algorithm!r:.40} is not known", ErrorCode.DIGEST_UNSUPPORTED) from None


def _bounded(text: str) -> str:
    if len(text) > MAX_NAME:
        raise DecodeError(f"name: {len(text)} characters, over {MAX_NAME}")
    return text


def _from_text(algorithm: str, value: str) -> Name:
    # RFC 3986 section 6.2.2.2: an unreserved character may come percent-encoded.
    algorithm, value = _plain(algorithm), _plain(value)
    _, size = _suite(algorithm)
    if not _BASE64URL.fullmatch(value) or len(value) != -(-size * 8 // 6):
        raise DecodeError(f"name: the value is not base64url, without padding, of {size} octets")
    try:
        octets = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
    except binascii.Error as exc:
        raise DecodeError("name: the value is not base64url") from exc
    name = Name(algorithm, octets)
    if name.text != value:
        raise DecodeError("name: the last character of the value has bits that belong to no octet")
    return name


def _plain(text: str) -> str:
    return unquote_to_bytes(text).decode("latin-1") if "%" in text else text


def _parameters(query: str | None) -> tuple[tuple[str, str], ...]:
    if not query:
        return ()
    if not _QUERY.fullmatch(query):
        raise DecodeError("name: characters in the query that must be percent-encoded")
    found = []
    for pair in query.split("&"):
        tag, _, value = pair.partition("=")
        try:
            found.append((unquote_to_bytes(tag).decode(), unquote_to_bytes(value).decode()))
        except UnicodeDecodeError as exc:
            raise DecodeError("name: the query is not UTF-8") from exc
    return tuple(found)


def _checkdigit(digits: str) -> str:
    """Luhn's mod 16 over hexadecimal digits: from the right, each second one is doubled, and its digits are added."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        addend = int(digit, 16) * (1 if place % 2 else 2)
        total += addend // 16 + addend % 16
    return f"{-total % 16:x}"

"""Names of the SIP usage: addresses of record, the domains of an overlay, GRUUs (RFC 7904 sections 2, 3.4 and 6)."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Collection
from typing import TypeAlias
from urllib.parse import unquote_to_bytes

import attrs

from reload.configuration_extensions import DomainRestrictions
from reload.destinations import Destination, NodeDestination, decode_destinations, encode_destinations
from reload.errors import DecodeError, EncodeError
from reload.usages._ere import Pattern

MAX_URI = 4096
"""Characters of a URI that is read: a name, a destination list of a few nodes, and room."""
ANONYMOUS = "anonymous"
"""The user of an anonymous URI (RFC 3323 section 4.1.1.3)."""

_SCHEME = re.compile(r"sips?:", re.IGNORECASE)
_URI = re.compile(r"[\x21-\x7e]*")
"""No blank and no line break: a URI of somebody else may come to stand in a SIP message."""
_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
# Neither a second @ nor a colon, which could be that of a scheme or a password.
_AOR = re.compile(r"[\x21-\x39\x3b-\x3f\x41-\x7e]+@[A-Za-z0-9.-]{1,253}")
_PORT = re.compile(r":[0-9]{1,5}$")


def read_aor(uri: str) -> str:
    """The address of record that a SIP URI names, as it stands in a certificate: without scheme, port and parameters.

    Escaped characters are decoded (section 7); the case is kept, as names are hashed as they are. An address of record
    without scheme and parameters is one already, and nothing in it is decoded. Raises DecodeError.
    """
    return _split(uri)[0]


def domain_of(aor: str) -> str:
    """What stands behind the @."""
    return aor.rpartition("@")[2]


def _split(uri: str) -> tuple[str, dict[str, str]]:
    """The address of record and the parameters of a URI, both decoded."""
    if len(uri) > MAX_URI:
        raise DecodeError(f"SIP URI: {len(uri)} characters, at most {MAX_URI} are read")
    if not _URI.fullmatch(uri):
        raise DecodeError(f"SIP URI: {uri!a:.80} is not of printable ASCII")
    if _AOR.fullmatch(uri):
        return uri, {}
    scheme = _SCHEME.match(uri)
    rest = uri[scheme.end() :] if scheme else uri
    if _ESCAPE.search(rest):
        raise DecodeError(f"SIP URI: {uri!r:.80} has a % that escapes nothing")
    user, at, behind = rest.partition("@")
    host, *parameters = behind.partition("?")[0].split(";")
    aor = _decoded(user) + at + _PORT.sub("", _decoded(host))
    if not _AOR.fullmatch(aor):
        raise DecodeError(f"SIP URI: {uri!r:.80} has no address of record that a certificate could have")
    found: dict[str, str] = {}
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if found.setdefault(name.lower(), _decoded(value)) != _decoded(value):
            raise DecodeError(f"SIP URI: {uri!r:.80} has a parameter twice")
    return aor, found


def _decoded(text: str) -> str:
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError as exc:
        raise DecodeError(f"SIP URI: {text!r:.80} is not UTF-8") from exc


class Domains:
    """The domains whose addresses of record an overlay accepts (section 3.4).

    Patterns match the whole domain, whatever the case. One that cannot be read matches none.
    """

    def __init__(self, overlay: str, restrictions: DomainRestrictions | None) -> None:
        self._overlay = overlay
        self._restrictions = restrictions
        self._patterns: list[Pattern] = []
        self.errors: list[DecodeError] = []
        """What is wrong with patterns, for the operator."""
        for pattern in restrictions.patterns if restrictions is not None and restrictions.enable else ():
            try:
                self._patterns.append(Pattern(pattern))
            except DecodeError as exc:
                self.errors.append(exc)

    def accept(self, aor: str) -> bool:
        """Whether this address of record may be registered, and so be found, in the overlay."""
        if not _AOR.fullmatch(aor):
            return False
        domain = domain_of(aor)
        if self._restrictions is None:
            return True
        if not self._restrictions.enable:
            return domain.lower() == self._overlay.lower()
        return any(pattern.fullmatch(domain) for pattern in self._patterns)


@attrs.frozen
class Gruu:
    """A URI that leads to one device: a name, and the destination list to it."""

    aor: str
    destination_list: tuple[Destination, ...]


def write_gruu(gruu: Gruu, *, node_id_length: int = 16) -> str:
    """The GRUU as text, without a scheme (section 6). Raises EncodeError for an empty list, or a name that is none."""
    if not gruu.destination_list or not _AOR.fullmatch(gruu.aor):
        raise EncodeError("GRUU: it has an address of record, and a destination list")
    octets = encode_destinations(gruu.destination_list, node_id_length)
    user, _, domain = gruu.aor.rpartition("@")
    escaped = re.sub(r"[^A-Za-z0-9\-_.!~*'()&=+$,;?/]", lambda found: f"%{ord(found[0]):02X}", user)
    return f"{escaped}@{domain};gr={base64.b64encode(octets).decode().replace('=', '~')}"


def read_gruu(uri: str, *, node_id_length: int = 16) -> Gruu | None:
    """The GRUU that a URI is; None for one without a `gr` parameter, or with one of ordinary SIP, empty.

    Raises DecodeError for what is no URI, and for a `gr` that is no destination list.
    """
    aor, parameters = _split(uri)
    encoded = parameters.get("gr", "")
    if not encoded:
        return None
    try:
        octets = base64.b64decode(encoded.replace("~", "="), validate=True)
    except (binascii.Error, ValueError) as exc:
        raise DecodeError(f"GRUU: {encoded!r:.80} is not base64") from exc
    destination_list = decode_destinations(octets, node_id_length)
    if not destination_list:
        raise DecodeError("GRUU: no destination in it")
    return Gruu(aor, destination_list)


def anonymous_gruu(domain: str, destination_list: tuple[Destination, ...], own_node_ids: Collection[bytes]) -> Gruu:
    """A GRUU that does not tell whose it is: it takes a Node-ID whose certificate has another name, or none.

    `own_node_ids` are those by which the user is known. Raises EncodeError when the list names one of them.
    """
    if any(isinstance(each, NodeDestination) and each.node_id in own_node_ids for each in destination_list):
        raise EncodeError("GRUU: this destination list tells whose it is")
    return Gruu(f"{ANONYMOUS}@{domain}", destination_list)


@attrs.frozen
class Hosted:
    """An address of record that may be registered in this overlay: resolve it."""

    aor: str


@attrs.frozen
class External:
    """A URI of a domain that this overlay does not serve: its user is reached by another overlay, or ordinary SIP."""

    uri: str


Way: TypeAlias = Gruu | Hosted | External


def find_way(uri: str, domains: Domains, *, node_id_length: int = 16) -> Way:
    """How to get to whom a URI names (section 4.1). Raises DecodeError for what is no SIP URI."""
    aor = read_aor(uri)
    if not domains.accept(aor):
        return External(uri)
    return read_gruu(uri, node_id_length=node_id_length) or Hosted(aor)

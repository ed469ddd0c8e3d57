"""The SIP usage (RFC 7904), its RELOAD side: registering an address of record, finding its devices, connecting to them.

SIP itself runs over the connections that AppAttach makes, and nothing of it is here.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Collection, Iterable
from enum import IntEnum

import attrs

from reload._presentation import decode, encode
from reload.configuration import Configuration
from reload.configuration_extensions import domain_restrictions
from reload.destinations import Destination, NodeDestination
from reload.errors import DecodeError, EncodeError
from reload.extensions import SipRegistration, SipRegistrationRoute, SipRegistrationType, SipRegistrationUri
from reload.kinds import SIP_REGISTRATION, Kind
from reload.naming import resource_id
from reload.operations import Failed, KindValues, NewValue, Plan, Store, Stored, StoredValue
from reload.ports import Identity
from reload.storage_messages import DataValue, DictionaryEntry, DictionarySpecifier, StoredDataValue
from reload.usages._fetching import fetch_kind
from reload.usages.sip_names import Domains, External, Gruu, Hosted, find_way, read_aor, read_gruu, write_gruu

LIFETIME = 3600
"""Seconds a registration is good for, as in SIP (RFC 3261 section 10.2)."""
MAX_FETCHES = 16
"""Addresses of record that one resolution fetches: it may be sent from one to the next without end (section 8.2.1)."""
MAX_ROUTES = 32
"""Devices that one call may go to, and as many external URIs: a fork of more is an attack on somebody."""

# Possessive: of blanks without end, each run is looked at once.
_SCHEMES = re.compile(rb'(\(\s*+!\s*+)?\(\s*+sip\.schemes\s*+=\s*+"?<?\s*+(sips?)\s*+>?"?\s*+\)', re.IGNORECASE)


class Scheme(IntEnum):
    """How SIP is spoken over a connection: the Application-ID of its AppAttach (section 5.1)."""

    SIP = 5060
    SIPS = 5061


def write_schemes(schemes: Collection[Scheme]) -> bytes:
    """The contact_prefs of a callee that accepts calls by these schemes only; empty when it accepts both."""
    return b"" if len(set(schemes)) != 1 else f"(sip.schemes={next(iter(schemes)).name})".encode()


def preferred_scheme(contact_prefs: bytes) -> Scheme | None:
    """The one scheme that contact_prefs name, a feature set of RFC 2533; None when they leave it open."""
    named = {Scheme[match[2].decode().upper()] for match in _SCHEMES.finditer(contact_prefs) if not match[1]}
    return named.pop() if len(named) == 1 else None


def route_to(destination_list: tuple[Destination, ...], contact_prefs: bytes = b"") -> SipRegistration:
    """Where a registration leads: to a node. Raises EncodeError for another list, and for prefs that are not ASCII."""
    if terminal_node_id(destination_list) is None or not contact_prefs.isascii():
        raise EncodeError("SipRegistration: its destination list ends in a node, and contact_prefs are ASCII")
    return SipRegistration(SipRegistrationType.ROUTE, SipRegistrationRoute(contact_prefs, destination_list))


def forward_to(uri: str, *, node_id_length: int = 16) -> SipRegistration:
    """Where a registration leads: to another address of record, or a GRUU. Raises DecodeError for neither."""
    gruu = read_gruu(uri, node_id_length=node_id_length)
    text = read_aor(uri) if gruu is None else write_gruu(gruu, node_id_length=node_id_length)
    return SipRegistration(SipRegistrationType.URI, SipRegistrationUri(text.encode()))


class Registration:
    """Registers one node for an address of record (section 3); a `Publication` repeats it in time.

    The certificate of the node has the address of record as its user name.
    """

    def __init__(
        self, uri: str, node_id: bytes, target: SipRegistration, domains: Domains, *, lifetime: int = LIFETIME
    ) -> None:
        """Raises DecodeError for what is no SIP URI, and EncodeError for a domain that the overlay does not accept."""
        self._aor = read_aor(uri)
        if not domains.accept(self._aor):
            raise EncodeError(f"{self._aor!r:.80} is of no domain that this overlay accepts")
        self._node_id = node_id
        self._value = DataValue(True, encode(target, node_id_length=len(node_id)))
        self._lifetime = lifetime

    @property
    def lifetime(self) -> int:
        """Of the registration, in seconds."""
        return self._lifetime

    def store(self) -> Plan[bool]:
        """Register, or refresh."""
        return isinstance((yield self._store(self._value)), Stored)

    def remove(self) -> Plan[bool]:
        """Say that this node is registered no longer."""
        return isinstance((yield self._store(DataValue(False))), Stored)

    def _store(self, value: DataValue) -> Store:
        entry = DictionaryEntry(self._node_id, value)
        return Store(resource_id(self._aor.encode()), (NewValue(SIP_REGISTRATION.id, entry, self._lifetime),))


class RegistrationCheck:
    """What the storing peer checks beyond USER-NODE-MATCH: the domain of the address of record (section 3.3).

    It is a `reload.policies.ValueCheck`, of the Kind SIP-REGISTRATION.
    """

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._kind: Kind | None = None
        self._domains: Domains | None = None

    def __call__(self, kind: Kind, at: bytes, value: StoredDataValue, signer: Identity) -> bool:
        """Whether the overlay accepts the signer's address of record. Restrictions that cannot be read accept none."""
        if self._kind is not kind:
            self._kind = kind
            self._domains = _domains(kind, self._configuration)
        return signer.user_name is not None and self._domains is not None and self._domains.accept(signer.user_name)


def _domains(kind: Kind, configuration: Configuration) -> Domains | None:
    try:
        return Domains(configuration.instance_name, domain_restrictions(kind, configuration))
    except DecodeError:
        return None


@attrs.frozen
class Route:
    """A way to a device: what it prefers, and for which address of record it was found."""

    destination_list: tuple[Destination, ...]
    contact_prefs: bytes
    aor: str


@attrs.frozen
class Resolution:
    """What a URI has led to: devices, and URIs of other domains, which are found by other means.

    `failures` are of the Fetches that failed. `is_cut_short`: there was more than one call may lead to.
    """

    routes: tuple[Route, ...]
    external: tuple[str, ...] = ()
    failures: tuple[Failed, ...] = ()
    is_cut_short: bool = False


def resolve(uri: str, domains: Domains, *, node_id_length: int = 16) -> Plan[Resolution]:
    """All devices to call for a URI (section 4). Raises DecodeError for what is no SIP URI.

    Each address of record is fetched once, however often it comes up: whoever forwards in a circle stops nobody.
    """
    find_way(uri, domains, node_id_length=node_id_length)
    return _resolve(uri, domains, node_id_length)


def _resolve(uri: str, domains: Domains, node_id_length: int) -> Plan[Resolution]:
    todo = deque([uri])
    fetched: set[str] = set()
    routes: dict[tuple[Destination, ...], Route] = {}
    external: dict[str, None] = {}
    failures: list[Failed] = []
    is_cut_short = False
    while todo:
        try:
            way = find_way(todo.popleft(), domains, node_id_length=node_id_length)
        except DecodeError:
            continue
        match way:
            case External(other):
                external.setdefault(other)
            case Gruu(aor, destination_list):
                if terminal_node_id(destination_list) is not None:
                    routes.setdefault(destination_list, Route(destination_list, b"", aor))
            case Hosted(aor) if aor not in fetched and len(fetched) == MAX_FETCHES:
                is_cut_short = True
            case Hosted(aor) if aor not in fetched:
                fetched.add(aor)
                found = yield from fetch_kind(resource_id(aor.encode()), SIP_REGISTRATION.id, DictionarySpecifier(()))
                if isinstance(found, Failed):
                    failures.append(found)
                    continue
                for target in _registrations(found, aor, node_id_length):
                    if isinstance(target, Route):
                        routes.setdefault(target.destination_list, target)
                    else:
                        todo.append(target)
    is_cut_short |= max(len(routes), len(external)) > MAX_ROUTES
    ways, others = list(routes.values())[:MAX_ROUTES], list(external)[:MAX_ROUTES]
    return Resolution(tuple(ways), tuple(others), tuple(failures), is_cut_short)


def _registrations(found: KindValues, aor: str, node_id_length: int) -> Iterable[Route | str]:
    """What an address of record is registered with: ways to devices, and URIs."""
    for value in found.values:
        match _registration(value, aor, node_id_length):
            case SipRegistrationRoute(contact_prefs, destination_list):
                if terminal_node_id(destination_list) is not None:
                    yield Route(destination_list, contact_prefs, aor)
            case SipRegistrationUri(uri):
                yield uri.decode("ascii", "replace")


def _registration(value: StoredValue, aor: str, node_id_length: int) -> object:
    """The data of a registration, if its signer may have stored it, and it can be read."""
    entry, signer = value.data.value, value.identity
    if signer is None or not isinstance(entry, DictionaryEntry) or not entry.value.exists:
        return None
    if signer.user_name != aor or signer.node_id != entry.key:
        return None
    try:
        return decode(SipRegistration, entry.value.value, node_id_length=node_id_length).data
    except DecodeError:
        return None


@attrs.frozen
class Call:
    """A connection to be made by `Node.app_attach`, for SIP."""

    destination_list: tuple[Destination, ...]
    application: Scheme


def calls(resolution: Resolution, scheme: Scheme) -> tuple[Call, ...]:
    """The connections for a call by a URI of this scheme, each as its callee prefers; but SIPS never becomes SIP."""
    return tuple(
        Call(route.destination_list, max(scheme, preferred_scheme(route.contact_prefs) or scheme))
        for route in resolution.routes
    )


def terminal_node_id(destination_list: tuple[Destination, ...]) -> bytes | None:
    """The node that a list leads to by name: a certificate can be compared with nothing else (section 5.1)."""
    match destination_list:
        case (*_, NodeDestination(node_id) as last) if not last.is_wildcard:
            return node_id
    return None


def is_responder(destination_list: tuple[Destination, ...], identity: Identity) -> bool:
    """Whether a connection may be used whose other end has shown this certificate; else it MUST be closed.

    By section 5.1 the Node-ID has to match the last entry of the list, so that of a list that ends in an opaque ID no
    connection can be used, and an anonymous GRUU needs a Node-ID of its own.
    """
    return terminal_node_id(destination_list) in identity.node_ids

"""The certificate store usage (RFC 6940 section 8): certificates are found by user name and by Node-ID."""

from __future__ import annotations

import attrs

from reload.errors import SecurityError
from reload.kinds import CERTIFICATE_BY_NODE, CERTIFICATE_BY_USER, Kind
from reload.naming import resource_id
from reload.operations import Failed, NewValue, Plan, Store, Stored, StoredValue
from reload.ports import Identity, Verifier
from reload.storage_messages import APPEND, ArrayEntry, ArrayRange, ArraySpecifier, DataValue
from reload.usages._fetching import fetch_kind

LIFETIME = 86_400
"""Seconds a certificate is stored for."""
MAX_CERTIFICATES = 64
"""Certificates of one answer that are looked at, the last ones: to verify one takes some 0.1 ms."""

_ALL = ArraySpecifier((ArrayRange(0, APPEND),))


class OwnCertificate:
    """Stores a node's certificate by its user name and its Node-ID; a `Publication` repeats it in time.

    A value is one certificate, bare DER: the RFC does not say. It is appended once, behind older ones of the same user
    or node, and refreshed where it is from then on.
    """

    def __init__(self, identity: Identity, *, lifetime: int = LIFETIME) -> None:
        """`identity` is the node's own, as `reload.signing.own_identity` tells it."""
        self._certificate = identity.certificate
        self._lifetime = lifetime
        self._places: list[tuple[Kind, bytes]] = []
        if identity.user_name is not None:
            self._places.append((CERTIFICATE_BY_USER, resource_id(identity.user_name.encode())))
        # By NODE-MATCH only the Node-ID that signs; another one of the certificate stores for itself.
        self._places.append((CERTIFICATE_BY_NODE, resource_id(identity.node_id)))

    @property
    def lifetime(self) -> int:
        """Of what is stored, in seconds."""
        return self._lifetime

    def store(self) -> Plan[bool]:
        """Store at both places, or refresh."""
        succeeded = True
        for kind, at in self._places:
            succeeded &= yield from self._store(kind, at, DataValue(True, self._certificate), APPEND)
        return succeeded

    def remove(self) -> Plan[bool]:
        """Remove it from both places."""
        succeeded = True
        for kind, at in self._places:
            succeeded &= yield from self._store(kind, at, DataValue(False), None)
        return succeeded

    def _store(self, kind: Kind, at: bytes, value: DataValue, otherwise: int | None) -> Plan[bool]:
        """Store in the place of the certificate, if it is there, and `otherwise` at that index, or not at all."""
        found = yield from fetch_kind(at, kind.id, _ALL)
        if isinstance(found, Failed):
            return False
        index, generation = otherwise, 0
        for each in found.values:
            entry = each.data.value
            if isinstance(entry, ArrayEntry) and entry.value == DataValue(True, self._certificate):
                # Only while the array is as it was: the entry may expire, and its index be another's.
                index, generation = entry.index, found.generation
        if index is None:
            return True
        new = NewValue(kind.id, ArrayEntry(index, value), self._lifetime, generation)
        return isinstance((yield Store(at, (new,))), Stored)


def certificates_of_user(user_name: str, verifier: Verifier, wall: float) -> Plan[tuple[Identity, ...] | Failed]:
    """The valid certificates that have this user name, the newest first. `wall` is the Unix time now."""
    found = yield from _fetch(CERTIFICATE_BY_USER, user_name.encode(), verifier, wall)
    if isinstance(found, Failed):
        return found
    return tuple(identity for identity in found if identity.user_name == user_name)


def certificates_of_node(node_id: bytes, verifier: Verifier, wall: float) -> Plan[tuple[Identity, ...] | Failed]:
    """The valid certificates that have this Node-ID, the newest first. `wall` is the Unix time now."""
    found = yield from _fetch(CERTIFICATE_BY_NODE, node_id, verifier, wall)
    if isinstance(found, Failed):
        return found
    return tuple(attrs.evolve(identity, node_id=node_id) for identity in found if node_id in identity.node_ids)


def _fetch(kind: Kind, name: bytes, verifier: Verifier, wall: float) -> Plan[list[Identity] | Failed]:
    found = yield from fetch_kind(resource_id(name), kind.id, _ALL)
    if isinstance(found, Failed):
        return found
    entries = sorted(found.values, key=_index, reverse=True)[:MAX_CERTIFICATES]
    identities = [_identity(entry, verifier, wall) for entry in entries]
    return list({each.certificate: each for each in identities if each is not None}.values())


def _index(value: StoredValue) -> int:
    entry = value.data.value
    return entry.index if isinstance(entry, ArrayEntry) else -1


def _identity(value: StoredValue, verifier: Verifier, wall: float) -> Identity | None:
    """Whose certificate a value is, if it is valid."""
    entry, signer = value.data.value, value.identity
    if signer is None or not isinstance(entry, ArrayEntry) or not entry.value.exists:
        return None
    if entry.value.value == signer.certificate:
        return signer  # It was verified with the value, and with those of its authorities, which are not stored here.
    try:
        return verifier.identify(entry.value.value, (), wall)
    except SecurityError:
        return None

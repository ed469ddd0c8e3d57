"""Who may write what, where: access control policies (RFC 6940 section 7.3 and RFC 7374 section 5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

from reload.configuration import Configuration
from reload.configuration_extensions import branching_factor
from reload.errors import DecodeError
from reload.kinds import SIP_REGISTRATION, AccessControl, Kind
from reload.naming import resource_id
from reload.ports import Identity
from reload.storage_messages import DictionaryEntry, StoredDataValue
from reload.usages.redir_tree import may_store
from reload.usages.sip import RegistrationCheck

Policy: TypeAlias = Callable[[Kind, bytes, StoredDataValue, Identity], bool]
"""Whether this signer may write this value of a Kind at this Resource-ID.

It is asked about the signer of the value and, unless it is a replica, about that of the request too. It must not raise.
"""

ValueCheck: TypeAlias = Policy
"""What a usage asks of the values of its Kind beyond the policy; it is asked about the signer of the value only."""


def user_match(kind: Kind, at: bytes, value: StoredDataValue, signer: Identity) -> bool:
    """The hash of the user name is the Resource-ID (section 7.3.1); the user name as UTF-8."""
    return signer.user_name is not None and resource_id(signer.user_name.encode()) == at


def node_match(kind: Kind, at: bytes, value: StoredDataValue, signer: Identity) -> bool:
    """The hash of the Node-ID that has signed is the Resource-ID (section 7.3.2)."""
    return resource_id(signer.node_id) == at


def user_node_match(kind: Kind, at: bytes, value: StoredDataValue, signer: Identity) -> bool:
    """As USER-MATCH, and the key is the Node-ID that has signed; in dictionaries only (section 7.3.3)."""
    return isinstance(value, DictionaryEntry) and value.key == signer.node_id and user_match(kind, at, value, signer)


def node_multiple(kind: Kind, at: bytes, value: StoredDataValue, signer: Identity) -> bool:
    """H(Node-ID || i) is the Resource-ID for an i from 1 to the Kind's max-node-multiple (section 7.3.4).

    i is one octet, which the RFC leaves open.
    """
    return any(resource_id(signer.node_id + bytes([i])) == at for i in range(1, kind.max_node_multiple + 1))


def make_node_id_match(configuration: Configuration | None = None) -> Policy:
    """NODE-ID-MATCH (RFC 7374 section 5) with the branching factor that the Kind or this configuration sets."""

    def node_id_match(kind: Kind, at: bytes, value: StoredDataValue, signer: Identity) -> bool:
        try:
            factor = branching_factor(kind, configuration)
        except DecodeError:
            return False
        return isinstance(value, DictionaryEntry) and may_store(value, at, signer.node_id, factor)

    return node_id_match


def standard_policies(configuration: Configuration | None = None) -> Mapping[str, Policy]:
    """The policies of IANA's registry, by name."""
    return MappingProxyType(
        {
            AccessControl.USER_MATCH: user_match,
            AccessControl.NODE_MATCH: node_match,
            AccessControl.USER_NODE_MATCH: user_node_match,
            AccessControl.NODE_MULTIPLE: node_multiple,
            AccessControl.NODE_ID_MATCH: make_node_id_match(configuration),
        }
    )


def standard_checks(configuration: Configuration) -> Mapping[int, ValueCheck]:
    """The checks of the usages of registered Kinds, by Kind-ID."""
    return MappingProxyType({SIP_REGISTRATION.id: RegistrationCheck(configuration)})


_STANDARD = standard_policies()


def is_authorized(
    kind: Kind, at: bytes, value: StoredDataValue, signer: Identity, policies: Mapping[str, Policy] = _STANDARD
) -> bool:
    """Whether the policy of the Kind lets the signer write the value there; an unknown one lets nobody."""
    policy = policies.get(kind.access_control)
    return policy is not None and policy(kind, at, value, signer)

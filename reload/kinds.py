"""Kinds of data: how values are held, who may write them, how many and how large (RFC 6940 sections 7.4.5 and 11.1)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from types import MappingProxyType

import attrs

from reload.storage_messages import DataModel


class AccessControl(StrEnum):
    """Who may write a value (sections 7.3 and 14.4; the last one is RFC 7374's)."""

    USER_MATCH = "USER-MATCH"
    NODE_MATCH = "NODE-MATCH"
    USER_NODE_MATCH = "USER-NODE-MATCH"
    NODE_MULTIPLE = "NODE-MULTIPLE"
    NODE_ID_MATCH = "NODE-ID-MATCH"


@attrs.frozen
class Extension:
    """An element of a namespace that is not RFC 6940's, in the order and with the text that it has."""

    namespace: str
    name: str
    attributes: Mapping[str, str] = attrs.field(factory=dict)
    text: str = ""
    children: tuple[Extension, ...] = ()


@attrs.frozen
class Kind:
    """A Kind: at most `max_count` values of at most `max_size` octets each at one resource.

    `max_node_multiple` is the greatest i of NODE-MULTIPLE, and 0 with other policies. `signer` is the Node-ID that
    signed the definition, `block` the octets of its kind-block: both are there if it came in one.
    """

    id: int
    data_model: DataModel
    access_control: AccessControl
    max_count: int
    max_size: int
    max_node_multiple: int = 0
    name: str | None = None
    signer: bytes | None = None
    block: bytes = attrs.field(default=b"", repr=False)
    extensions: tuple[Extension, ...] = ()


class KindTable(Mapping[int, Kind]):
    """The Kinds that a node knows, by Kind-ID. It does not change: `updated` and `without` make another one."""

    def __init__(self, kinds: Iterable[Kind] = ()) -> None:
        self._kinds: Mapping[int, Kind] = MappingProxyType({kind.id: kind for kind in kinds})

    def __getitem__(self, kind_id: int) -> Kind:
        return self._kinds[kind_id]

    def __iter__(self) -> Iterator[int]:
        return iter(self._kinds)

    def __len__(self) -> int:
        return len(self._kinds)

    def __repr__(self) -> str:
        return f"KindTable({list(self._kinds.values())!r})"

    def missing(self, kind_ids: Iterable[int]) -> tuple[int, ...]:
        """Those of the Kind-IDs that are not known, each once: the info of Error_Unknown_Kind (section 7.4.1.2)."""
        return tuple(dict.fromkeys(kind_id for kind_id in kind_ids if kind_id not in self._kinds))

    def updated(self, kinds: Iterable[Kind]) -> KindTable:
        """With these Kinds, in place of what was known about them."""
        return KindTable([*self._kinds.values(), *kinds])

    def without(self, kind_ids: Iterable[int]) -> KindTable:
        """Without these Kinds."""
        gone = frozenset(kind_ids)
        return KindTable(kind for kind in self._kinds.values() if kind.id not in gone)


# What is registered: id, data model and policy. The limits are the configuration's to set; those here, ours, hold where
# it says nothing of a Kind that every node must know: some devices a user, certificates that fit into a message. A tree
# node of ReDiR comes to hold 2 * 10 * 10 providers, the lowest and highest of all intervals of its children.
TURN_SERVICE = Kind(2, DataModel.SINGLE, AccessControl.NODE_MULTIPLE, 1, 64, 20, "TURN-SERVICE")
CERTIFICATE_BY_NODE = Kind(3, DataModel.ARRAY, AccessControl.NODE_MATCH, 16, 4096, 0, "CERTIFICATE_BY_NODE")
CERTIFICATE_BY_USER = Kind(0x10, DataModel.ARRAY, AccessControl.USER_MATCH, 16, 4096, 0, "CERTIFICATE_BY_USER")
SIP_REGISTRATION = Kind(1, DataModel.DICTIONARY, AccessControl.USER_NODE_MATCH, 16, 512, 0, "SIP-REGISTRATION")
REDIR = Kind(0x104, DataModel.DICTIONARY, AccessControl.NODE_ID_MATCH, 256, 512, 0, "REDIR")

REGISTERED: Mapping[str, Kind] = MappingProxyType(
    {str(kind.name): kind for kind in (TURN_SERVICE, CERTIFICATE_BY_NODE, CERTIFICATE_BY_USER, SIP_REGISTRATION, REDIR)}
)
"""The Kinds of IANA's registry, by name."""

BASE_KINDS = KindTable((TURN_SERVICE, CERTIFICATE_BY_NODE, CERTIFICATE_BY_USER))
"""The Kinds of RFC 6940's own usages, which every node knows, configured or not (sections 8 and 9)."""

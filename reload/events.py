"""What a node tells its driver and its user."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, TypeAlias

import attrs

from reload.addresses import IpAddressPort
from reload.exchange import Link
from reload.methods import IceCandidate, OverlayLinkType
from reload.topology import BootstrapWanted, Joined, JoinFailed, Left


@attrs.frozen
class Candidates:
    """One side's ICE parameters and candidates; without ICE, ufrag and password are empty."""

    ufrag: bytes
    password: bytes
    candidates: tuple[IceCandidate, ...]


class Role(StrEnum):
    """The one who has asked is passive: ICE-controlling, and the (D)TLS server (section 6.5.1)."""

    ACTIVE = "active"
    PASSIVE = "passive"


@attrs.frozen
class CandidatesWanted:
    """Gather candidates and give them to `Node.provide_candidates`; for an AppAttach with its Application-ID."""

    attach: int
    application: int | None = None


@attrs.frozen
class ConnectionWanted:
    """Connect to `peer`, then call `Node.link_established` with `attach`, or `Node.connection_failed`.

    Its certificate must show the Node-ID `peer`. The connection of an AppAttach is the application's: no link follows.
    """

    attach: int
    role: Role
    peer: bytes
    local: Candidates
    remote: Candidates
    application: int | None = None


@attrs.frozen
class ConnectionAbandoned:
    """Stop to connect, or to gather, for this number: it has failed, or the peer's own Attach takes its place."""

    attach: int


@attrs.frozen
class DirectConnectionWanted:
    """Connect to `peer` at this address, then call `Node.link_established` with `attach`, or `Node.connection_failed`.

    It is for responses (RFC 7263 and 7264): this node is the TLS client, and no Attach precedes. A certificate must
    show the Node-ID `peer`. A driver that makes no such connections fails them at once.
    """

    attach: int
    peer: bytes
    overlay_link: OverlayLinkType
    address: IpAddressPort


@attrs.frozen
class LinkUnwanted:
    """Close this link; `Node.link_lost` need not be called."""

    link: Link
    reason: str


@attrs.frozen
class Connected:
    """There is a link to this node, and none was before."""

    node_id: bytes


@attrs.frozen
class Disconnected:
    """The last link to this node is gone."""

    node_id: bytes


@attrs.frozen
class Completed:
    """What came of the operation, the plan, the Attach or the AppAttach that a verb has begun and given this number.

    `result` is the result of an operation, what a plan returned, and the Node-ID that an Attach has led to.
    """

    handle: int
    result: Any


@attrs.frozen
class ConfigurationChanged:
    """Another configuration is in force; with `must_rejoin` this node leaves, and is to join again.

    With `obstacles`, which say why, it leaves and cannot be in this overlay any more.
    """

    sequence: int
    must_rejoin: bool
    obstacles: tuple[str, ...] = ()


@attrs.frozen
class ConfigurationWanted:
    """Retrieve a new configuration and give it to `Node.update_configuration`: this one expires, or has expired."""

    sequence: int
    is_expired: bool


@attrs.frozen
class MessageDropped:
    """A message had no effect."""

    link: Link
    reason: str


Event: TypeAlias = (
    CandidatesWanted
    | ConnectionWanted
    | ConnectionAbandoned
    | DirectConnectionWanted
    | LinkUnwanted
    | Connected
    | Disconnected
    | Completed
    | ConfigurationChanged
    | ConfigurationWanted
    | MessageDropped
    | Joined
    | JoinFailed
    | Left
    | BootstrapWanted
)

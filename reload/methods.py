"""The bodies of the messages that manage links and the overlay (RFC 6940 sections 6.4 and 6.5)."""

from __future__ import annotations

from enum import IntEnum

from reload._presentation import structure
from reload._specs import (
    NODE_ID,
    OPAQUE16,
    OPAQUE24,
    U8,
    U32,
    boolean,
    custom,
    nested,
    node_id,
    opaque,
    select,
    u8,
    u16,
    u32,
    u64,
    vector,
    vector_of,
)
from reload.addresses import IpAddressPort
from reload.destinations import DESTINATION, Destination


class OverlayLinkType(IntEnum):
    """How a link is made (section 14.10)."""

    DTLS_UDP_SR = 1
    DTLS_UDP_SR_NO_ICE = 3
    TLS_TCP_FH_NO_ICE = 4

    @property
    def is_ice(self) -> bool:
        """Made by ICE."""
        return self is OverlayLinkType.DTLS_UDP_SR


class CandType(IntEnum):
    """Where an ICE candidate comes from; 3 is reserved."""

    HOST = 1
    SRFLX = 2
    RELAY = 4


class ProbeInformationType(IntEnum):
    """What a Probe can ask for."""

    RESPONSIBLE_SET = 1
    NUM_RESOURCES = 2
    UPTIME = 3


class ConfigUpdateType(IntEnum):
    """What a ConfigUpdate brings."""

    CONFIG = 1
    KIND = 2


@structure
class IceExtension:
    """An ICE extension attribute."""

    name: bytes = opaque(2)
    value: bytes = opaque(2)


@structure
class IceCandidate:
    """An ICE candidate; its component is always 1. `rel_addr_port` is None for a host candidate."""

    addr_port: IpAddressPort = nested(IpAddressPort)
    overlay_link: int = u8()
    foundation: bytes = opaque(1)
    priority: int = u32()
    type: int = u8()
    rel_addr_port: IpAddressPort | None = select("type", {1: None, 2: IpAddressPort, 4: IpAddressPort}, default=None)
    extensions: tuple[IceExtension, ...] = vector(IceExtension, 2, default=())


@structure
class AttachReqAns:
    """Attach, both ways (section 6.5.1)."""

    ufrag: bytes = opaque(1)
    password: bytes = opaque(1)
    role: bytes = opaque(1)
    candidates: tuple[IceCandidate, ...] = vector(IceCandidate, 2)
    send_update: bool = boolean(default=False)


@structure
class AppAttachReq:
    """AppAttach; the answer has the same form (section 6.5.2)."""

    ufrag: bytes = opaque(1)
    password: bytes = opaque(1)
    application: int = u16()
    role: bytes = opaque(1)
    candidates: tuple[IceCandidate, ...] = vector(IceCandidate, 2)


AppAttachAns = AppAttachReq


@structure
class PingReq:
    """Ping, with padding for measurements of the path."""

    padding: bytes = opaque(2, default=b"")


@structure
class PingAns:
    """`time` is the answerer's, in milliseconds since 1970."""

    response_id: int = u64()
    time: int = u64()


@structure
class JoinReq:
    """The Node-ID that the sender wants to assume."""

    joining_peer_id: bytes = node_id()
    overlay_specific_data: bytes = opaque(2, default=b"")


@structure
class JoinAns:
    """What the overlay algorithm answers."""

    overlay_specific_data: bytes = opaque(2, default=b"")


@structure
class LeaveReq:
    """The Node-ID that leaves; in CHORD-RELOAD with ChordLeaveData."""

    leaving_peer_id: bytes = node_id()
    overlay_specific_data: bytes = opaque(2, default=b"")


@structure
class RouteQueryReq:
    """Where would you send what goes there?"""

    send_update: bool = boolean()
    destination: Destination = custom(DESTINATION)
    overlay_specific_data: bytes = opaque(2, default=b"")


@structure
class ProbeReq:
    """What is asked for, in order."""

    requested_info: tuple[int, ...] = vector(U8, 1)


@structure
class ProbeInformation:
    """A number, or the octets of an unknown type."""

    type: int = u8()
    value: int | bytes = select("type", {1: U32, 2: U32, 3: U32}, length=1, extensible=True)


@structure
class ProbeAns:
    """What was asked for and is known."""

    probe_info: tuple[ProbeInformation, ...] = vector(ProbeInformation, 2)


@structure
class ConfigUpdateReq:
    """A configuration document, or the kind blocks of one (section 6.5.4)."""

    type: int = u8()
    data: bytes | tuple[bytes, ...] = select(
        "type", {1: OPAQUE24, 2: vector_of(OPAQUE16, 3)}, length=4, extensible=True
    )


@structure
class Empty:
    """LeaveAns, UpdateAns and ConfigUpdateAns have no octets."""


# CHORD-RELOAD (section 10).
class ChordUpdateType(IntEnum):
    """How much an Update tells."""

    PEER_READY = 1
    NEIGHBORS = 2
    FULL = 3


class ChordLeaveType(IntEnum):
    """Whose Leave it is."""

    FROM_SUCC = 1
    FROM_PRED = 2


@structure
class ChordNeighbors:
    """The neighbor table, the nearest first."""

    predecessors: tuple[bytes, ...] = vector(NODE_ID, 2)
    successors: tuple[bytes, ...] = vector(NODE_ID, 2)


@structure
class ChordFull:
    """The neighbor table and the fingers."""

    predecessors: tuple[bytes, ...] = vector(NODE_ID, 2)
    successors: tuple[bytes, ...] = vector(NODE_ID, 2)
    fingers: tuple[bytes, ...] = vector(NODE_ID, 2)


@structure
class ChordUpdate:
    """The body of an Update in CHORD-RELOAD; `uptime` in seconds (section 10.7.1)."""

    uptime: int = u32()
    type: int = u8()
    tables: ChordNeighbors | ChordFull | None = select("type", {1: None, 2: ChordNeighbors, 3: ChordFull}, default=None)


@structure
class ChordRouteQueryAns:
    """The next hop (section 10.8)."""

    next_peer: bytes = node_id()


@structure
class ChordLeaveData:
    """The successors of a leaving successor, or the predecessors of a leaving predecessor (section 10.9)."""

    type: int = u8()
    peers: tuple[bytes, ...] = select("type", {1: vector_of(NODE_ID, 2), 2: vector_of(NODE_ID, 2)})

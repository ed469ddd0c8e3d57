"""What the extensions of RELOAD add to the wire: RFC 7263, 7264, 7363, 7374, 7851, 7904, and TURN of RFC 6940."""

from __future__ import annotations

from enum import IntEnum

from reload._presentation import structure
from reload._specs import custom, nested, opaque, select, u8, u16, u32, u64, vector
from reload.addresses import IpAddressPort
from reload.destinations import DESTINATION, Destination


class RouteMode(IntEnum):
    """How a response comes back (RFC 7263 section 5.2, RFC 7264 section 5.1)."""

    DRR = 1
    RPR = 2


@structure
class ExtensiveRoutingModeOption:
    """Where to send the response directly: to the sender (DRR), or to its relay (RPR)."""

    routemode: int = u8()
    transport: int = u8()
    ipaddressport: IpAddressPort = nested(IpAddressPort)
    destinations: tuple[Destination, ...] = vector(DESTINATION, 1, least=1)


@structure
class SelfTuningData:
    """A peer's estimates: peers in the overlay, and how many join and leave in 24 hours (RFC 7363 section 6.5)."""

    network_size: int = u32()
    join_rate: int = u32()
    leave_rate: int = u32()


@structure
class RedirServiceProvider:
    """A provider of a service in a node of the ReDiR tree (RFC 7374 section 4.1)."""

    type: int = u8()
    destination_list: tuple[Destination, ...] = vector(DESTINATION, 2)
    namespace: bytes = opaque(2)
    level: int = u16()
    node: int = u16()
    extension: bytes = opaque(2, default=b"")


@structure
class TurnServer:
    """A TURN server (RFC 6940 section 9)."""

    iteration: int = u8()
    server_address: IpAddressPort = nested(IpAddressPort)


class SipRegistrationType(IntEnum):
    """What a registration names (RFC 7904 section 3.1)."""

    URI = 1
    ROUTE = 2


@structure
class SipRegistrationRoute:
    """How a user's device is reached."""

    contact_prefs: bytes = opaque(2)
    destination_list: tuple[Destination, ...] = vector(DESTINATION, 2, least=3)


@structure
class SipRegistrationUri:
    """Another address of record to look up."""

    uri: bytes = opaque(2)


@structure
class SipRegistration:
    """The value of a SIP-REGISTRATION (RFC 7904 section 3.1)."""

    type: int = u8()
    data: SipRegistrationUri | SipRegistrationRoute | bytes = select(
        "type", {1: SipRegistrationUri, 2: SipRegistrationRoute}, length=2, extensible=True
    )


class DiagnosticKind(IntEnum):
    """What a diagnostic asks for, and the number of its bit in dMFlags (RFC 7851 section 9.2)."""

    STATUS_INFO = 0x1
    ROUTING_TABLE_SIZE = 0x2
    PROCESS_POWER = 0x3
    UPSTREAM_BANDWIDTH = 0x4
    DOWNSTREAM_BANDWIDTH = 0x5
    SOFTWARE_VERSION = 0x6
    MACHINE_UPTIME = 0x7
    APP_UPTIME = 0x8
    MEMORY_FOOTPRINT = 0x9
    DATASIZE_STORED = 0xA
    INSTANCES_STORED = 0xB
    MESSAGES_SENT_RCVD = 0xC
    EWMA_BYTES_SENT = 0xD
    EWMA_BYTES_RCVD = 0xE
    UNDERLAY_HOP = 0xF
    BATTERY_STATUS = 0x10


@structure
class DiagnosticExtension:
    """A kind of diagnostic information beyond the bits of dMFlags, and what it asks or tells."""

    kind: int = u16()
    diagnostic_extension_contents: bytes = opaque(4)


@structure
class DiagnosticsRequest:
    """What is asked; times in milliseconds since 1970 (RFC 7851 section 5.1).

    The RFC writes an ext_length before a list that has a length of its own: both are on the wire, and must agree.
    """

    expiration: int = u64()
    timestamp_initiated: int = u64()
    dmflags: int = u64()
    diagnostic_extensions_list: tuple[DiagnosticExtension, ...] = vector(DiagnosticExtension, 4, twice=True, default=())


@structure
class DiagnosticInfo:
    """One piece of information."""

    kind: int = u16()
    diagnostic_info_contents: bytes = opaque(2)


@structure
class DiagnosticsResponse:
    """What is told; `hop_counter` is the TTL with which the request came (RFC 7851 section 5.2)."""

    expiration: int = u64()
    timestamp_initiated: int = u64()
    timestamp_received: int = u64()
    hop_counter: int = u8()
    diagnostic_info_list: tuple[DiagnosticInfo, ...] = vector(DiagnosticInfo, 4, twice=True, default=())


@structure
class PathTrackReq:
    """PathTrack: what a node on the path tells, and who is next (RFC 7851 section 5.1)."""

    destination: Destination = custom(DESTINATION)
    request: DiagnosticsRequest = nested(DiagnosticsRequest)


@structure
class PathTrackAns:
    """The next hop; the answerer itself at the end of the path."""

    next_hop: Destination = custom(DESTINATION)
    response: DiagnosticsResponse = nested(DiagnosticsResponse)

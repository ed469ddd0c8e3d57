"""The messages of RFC 7574 (sections 3 and 8) as values.

`start` and `end` are a chunk specification in the unit of the swarm's chunk addressing method, end inclusive (section
4.1): chunk numbers for bins and chunk ranges, octet offsets for byte ranges. Bins exist on the wire only.
"""

import ipaddress
from typing import ClassVar, TypeAlias, TypeVar, dataclass_transform

import attrs

from ppsp.constants import MessageType
from ppsp.options import ProtocolOptions

_T = TypeVar("_T")


@dataclass_transform(frozen_default=True, eq_default=True)
def _message(cls: type[_T]) -> type[_T]:
    """A small slots class, frozen to the type checker only: frozen construction costs several times a plain one."""
    return attrs.define(cls)


@_message
class Handshake:
    """HANDSHAKE (sections 3.1 and 8.4): opens a channel, or closes it when `source_channel` is 0."""

    message_type: ClassVar = MessageType.HANDSHAKE
    source_channel: int
    options: ProtocolOptions = ProtocolOptions()


@_message
class Data:
    """DATA (section 8.6): one chunk, and the sender's clock in microseconds (64 bits, any epoch).

    The payload of a decoded message is a view of the datagram: it is good for as long as the datagram's buffer is.
    """

    message_type: ClassVar = MessageType.DATA
    start: int
    end: int
    timestamp_us: int
    payload: bytes | memoryview


@_message
class Ack:
    """ACK (section 8.7): chunks received and verified, and a one-way delay sample in microseconds.

    `delay_us` is the unsigned 64-bit number of the wire. The clocks of two peers differ: read it modulo 2**64.
    """

    message_type: ClassVar = MessageType.ACK
    start: int
    end: int
    delay_us: int


@_message
class Have:
    """HAVE (section 8.5): chunks that the sender has and has verified."""

    message_type: ClassVar = MessageType.HAVE
    start: int
    end: int


@_message
class Integrity:
    """INTEGRITY (section 8.8): the hash of the tree node above the chunks."""

    message_type: ClassVar = MessageType.INTEGRITY
    start: int
    end: int
    hash: bytes


@_message
class PexResV4:
    """PEX_RESv4 (section 8.13): the address of a peer, 4 octets in network order, and its UDP port."""

    message_type: ClassVar = MessageType.PEX_RESV4
    address: bytes
    port: int

    @property
    def host(self) -> str:
        """The address as text."""
        return str(ipaddress.IPv4Address(self.address))


@_message
class PexReq:
    """PEX_REQ (section 8.13): asks for addresses of peers."""

    message_type: ClassVar = MessageType.PEX_REQ


@_message
class SignedIntegrity:
    """SIGNED_INTEGRITY (section 8.9): a live source's signature over the chunks.

    `ntp_timestamp` is the 64 bits of the NTP timestamp format (RFC 5905): seconds since 1900, then their fraction.
    """

    message_type: ClassVar = MessageType.SIGNED_INTEGRITY
    start: int
    end: int
    ntp_timestamp: int
    signature: bytes


@_message
class Request:
    """REQUEST (section 8.10): chunks that the sender wants."""

    message_type: ClassVar = MessageType.REQUEST
    start: int
    end: int


@_message
class Cancel:
    """CANCEL (section 8.11): chunks that the sender no longer wants."""

    message_type: ClassVar = MessageType.CANCEL
    start: int
    end: int


@_message
class Choke:
    """CHOKE (section 8.12): the sender will not serve requests for now."""

    message_type: ClassVar = MessageType.CHOKE


@_message
class Unchoke:
    """UNCHOKE (section 8.12): the sender will serve new requests."""

    message_type: ClassVar = MessageType.UNCHOKE


@_message
class PexResV6:
    """PEX_RESv6 (section 8.13): the address of a peer, 16 octets in network order, and its UDP port."""

    message_type: ClassVar = MessageType.PEX_RESV6
    address: bytes
    port: int

    @property
    def host(self) -> str:
        """The address as text."""
        return str(ipaddress.IPv6Address(self.address))


@_message
class PexResCert:
    """PEX_REScert (section 8.13): a membership certificate, X.509v3 in DER."""

    message_type: ClassVar = MessageType.PEX_RESCERT
    certificate: bytes


Message: TypeAlias = (
    Handshake
    | Data
    | Ack
    | Have
    | Integrity
    | PexResV4
    | PexReq
    | SignedIntegrity
    | Request
    | Cancel
    | Choke
    | Unchoke
    | PexResV6
    | PexResCert
)

"""Message contents: code, body, extensions; errors (RFC 6940 sections 6.3.3, 14.8 and 14.9)."""

from __future__ import annotations

from enum import IntEnum

from reload._presentation import structure
from reload._specs import U32, boolean, opaque, u16, vector


class MessageCode(IntEnum):
    """What a message is (section 14.8, RFC 7851 section 9.3)."""

    PROBE_REQ = 1
    PROBE_ANS = 2
    ATTACH_REQ = 3
    ATTACH_ANS = 4
    STORE_REQ = 7
    STORE_ANS = 8
    FETCH_REQ = 9
    FETCH_ANS = 10
    FIND_REQ = 13
    FIND_ANS = 14
    JOIN_REQ = 15
    JOIN_ANS = 16
    LEAVE_REQ = 17
    LEAVE_ANS = 18
    UPDATE_REQ = 19
    UPDATE_ANS = 20
    ROUTE_QUERY_REQ = 21
    ROUTE_QUERY_ANS = 22
    PING_REQ = 23
    PING_ANS = 24
    STAT_REQ = 25
    STAT_ANS = 26
    APP_ATTACH_REQ = 29
    APP_ATTACH_ANS = 30
    CONFIG_UPDATE_REQ = 33
    CONFIG_UPDATE_ANS = 34
    EXP_A_REQ = 35
    EXP_A_ANS = 36
    EXP_B_REQ = 37
    EXP_B_ANS = 38
    PATH_TRACK_REQ = 39
    PATH_TRACK_ANS = 40
    ERROR = 0xFFFF


class ErrorCode(IntEnum):
    """What an error response says (section 14.9, RFC 7851 section 9.4)."""

    FORBIDDEN = 2
    NOT_FOUND = 3
    REQUEST_TIMEOUT = 4
    GENERATION_COUNTER_TOO_LOW = 5
    INCOMPATIBLE_WITH_OVERLAY = 6
    UNSUPPORTED_FORWARDING_OPTION = 7
    DATA_TOO_LARGE = 8
    DATA_TOO_OLD = 9
    TTL_EXCEEDED = 0xA
    MESSAGE_TOO_LARGE = 0xB
    UNKNOWN_KIND = 0xC
    UNKNOWN_EXTENSION = 0xD
    RESPONSE_TOO_LARGE = 0xE
    CONFIG_TOO_OLD = 0xF
    CONFIG_TOO_NEW = 0x10
    IN_PROGRESS = 0x11
    EXP_A = 0x12
    EXP_B = 0x13
    INVALID_MESSAGE = 0x14
    UNDERLAY_DESTINATION_UNREACHABLE = 0x15
    UNDERLAY_TIME_EXCEEDED = 0x16
    MESSAGE_EXPIRED = 0x17
    UPSTREAM_MISROUTING = 0x18
    LOOP_DETECTED = 0x19
    TTL_HOPS_EXCEEDED = 0x1A


class ExtensionType(IntEnum):
    """Message extensions (section 14.14)."""

    DIAGNOSTIC_PING = 2
    SELF_TUNING_DATA = 3


@structure
class MessageExtension:
    """An extension of a message: who does not know a critical one refuses the message."""

    type: int = u16()
    critical: bool = boolean()
    extension_contents: bytes = opaque(4)


@structure
class MessageContents:
    """The code of a message, the octets of its body, and its extensions."""

    message_code: int = u16()
    message_body: bytes = opaque(4)
    extensions: tuple[MessageExtension, ...] = vector(MessageExtension, 4, default=())


@structure
class ErrorResponse:
    """The body of an error."""

    error_code: int = u16()
    error_info: bytes = opaque(2, default=b"")


@structure
class UnknownKinds:
    """The error_info of Error_Unknown_Kind: the Kind-IDs that are not known (section 7.4.1.2)."""

    unknown_kinds: tuple[int, ...] = vector(U32, 1)


def is_request(message_code: int) -> bool:
    """Requests are odd, up to 0x7FFF; what is above is reserved, or an error (section 6.3.3)."""
    return message_code & 1 == 1 and message_code < 0x8000

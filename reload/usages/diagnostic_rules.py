"""What both sides of a diagnostic request keep to (RFC 7851 sections 5 and 6)."""

from __future__ import annotations

from collections.abc import Iterable

from reload._presentation import decode, encode
from reload.contents import ErrorCode, ExtensionType, MessageExtension
from reload.destinations import Destination, NodeDestination
from reload.errors import DecodeError, EncodeError
from reload.extensions import DiagnosticExtension, DiagnosticKind, DiagnosticsRequest, DiagnosticsResponse

EVERYTHING = (1 << 64) - 1
"""dMFlags that ask for all base information there is."""
MIN_LIFETIME, MAX_LIFETIME = 1, 600
"""Seconds that a request or a response may be good for."""
CLOCK_SKEW = 5
"""Seconds that two clocks of an overlay may differ by: they are synchronized (section 6.4), but not to the second
before NTP has settled."""
FIRST_EXTENSION = 0x40
"""Kinds below this are asked for by their bit."""

_RESERVED = 1 | 1 << 63


def dmflags(*kinds: int) -> int:
    """The dMFlags that ask for these kinds. Raises EncodeError for a kind that has no bit."""
    flags = 0
    for kind in kinds:
        if not 0 < kind < FIRST_EXTENSION - 1:
            raise EncodeError(f"dMFlags: kind {kind} has no bit")
        flags |= 1 << kind
    return flags


def make_request(
    wall: float, lifetime: float, flags: int, extensions: Iterable[DiagnosticExtension] = ()
) -> DiagnosticsRequest:
    """A request of the Unix time `wall`, good for `lifetime` seconds.

    Raises EncodeError for what no request may ask, and for a lifetime that none may have.
    """
    if not MIN_LIFETIME <= lifetime <= MAX_LIFETIME:
        raise EncodeError(f"DiagnosticsRequest: it is good for {MIN_LIFETIME} to {MAX_LIFETIME} s, not {lifetime}")
    now = round(wall * 1000)
    request = DiagnosticsRequest(now + round(lifetime * 1000), now, flags, tuple(extensions))
    try:
        requested_kinds(request)
    except DecodeError as error:
        raise EncodeError(str(error)) from error
    return request


def requested_kinds(request: DiagnosticsRequest) -> dict[int, bytes]:
    """The kinds that a request asks for, and what it says about each; base kinds first, ascending.

    Raises DecodeError for reserved bits, kinds in the list that have a bit, and kinds that stand there twice.
    """
    if request.dmflags == EVERYTHING:
        kinds = dict.fromkeys(map(int, DiagnosticKind), b"")
    elif request.dmflags & _RESERVED:
        raise DecodeError(f"DiagnosticsRequest.dMFlags: {request.dmflags:#018x} has a reserved bit")
    else:
        kinds = {kind: b"" for kind in range(1, FIRST_EXTENSION - 1) if request.dmflags >> kind & 1}
    for extension in request.diagnostic_extensions_list:
        if extension.kind < FIRST_EXTENSION or extension.kind in kinds:
            raise DecodeError(f"DiagnosticsRequest: kind {extension.kind} must not be in the list, or not twice")
        kinds[extension.kind] = extension.diagnostic_extension_contents
    return kinds


def check_times(request: DiagnosticsRequest, wall: float) -> ErrorCode | None:
    """What is wrong with the times of a request at the Unix time `wall`."""
    now = wall * 1000
    if request.expiration <= now:
        return ErrorCode.MESSAGE_EXPIRED
    lifetime = request.expiration - request.timestamp_initiated
    ahead = request.expiration - now
    if not MIN_LIFETIME * 1000 <= lifetime <= MAX_LIFETIME * 1000 or ahead > (MAX_LIFETIME + CLOCK_SKEW) * 1000:
        return ErrorCode.INVALID_MESSAGE
    return None


def ping_extension(body: DiagnosticsRequest | DiagnosticsResponse) -> MessageExtension:
    """The extension of a Ping, or of its answer."""
    return MessageExtension(ExtensionType.DIAGNOSTIC_PING, False, encode(body))


def find_request(extensions: Iterable[MessageExtension]) -> DiagnosticsRequest | None:
    """What a Ping asks for, None when it is a plain one. Raises DecodeError."""
    for extension in extensions:
        if extension.type == ExtensionType.DIAGNOSTIC_PING:
            return decode(DiagnosticsRequest, extension.extension_contents)
    return None


def is_broadcast(destination: Destination) -> bool:
    """Whether it is the Node-ID that means everybody."""
    return isinstance(destination, NodeDestination) and destination.is_wildcard

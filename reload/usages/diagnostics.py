"""Diagnostics of an overlay (RFC 7851): what a node tells about itself, to whom, and what it notices on the way."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Protocol

import attrs

from reload._presentation import decode
from reload.configuration import Configuration
from reload.configuration_extensions import diagnostic_access
from reload.contents import ErrorCode, ErrorResponse, ExtensionType, MessageCode, MessageExtension
from reload.destinations import NodeDestination
from reload.diagnostic_information import DiagnosticValue, InstancesStored, encode_information
from reload.errors import DecodeError, EncodeError
from reload.exchange import Answer, Reply, Request
from reload.extensions import (
    DiagnosticInfo,
    DiagnosticKind,
    DiagnosticsRequest,
    DiagnosticsResponse,
    PathTrackAns,
    PathTrackReq,
)
from reload.header import ForwardingHeader
from reload.limits import Bucket
from reload.node_ports import Forwarded, Host
from reload.usages.diagnostic_rules import check_times, find_request, ping_extension, requested_kinds

RESPONSE_LIFETIME = 60
"""Seconds that a response is good for."""
INFORMATION_PER_SECOND, INFORMATION_AT_ONCE = 20, 100
"""Responses with information, whoever asks: to measure load or count what is stored may take long. Beyond, responses
tell the next hop and nothing more, as of a node that is not willing to."""
MAX_FORWARDED, FORWARDED_LIFETIME = 64, 15.0
"""Diagnostic requests on their way through this node that an error of the underlay is reported to, and the seconds
until nobody waits for it any more."""
UPSTREAM = "upstream "
"""The error_info of Error_Upstream_Misrouting begins so; the Node-ID of the upstream peer follows, in hexadecimal."""

_TRACKED = frozenset({MessageCode.PATH_TRACK_REQ, MessageCode.PATH_TRACK_ANS})


class DiagnosticSource(Protocol):
    """What an application knows of its machine. Values are of the forms of `reload.diagnostic_information`."""

    def information(self, kind: int, contents: bytes, next_hop: bytes, now: float) -> DiagnosticValue | None:
        """The information of a kind; None where there is none.

        `contents` are what the request says about it, for kinds that have no bit. `next_hop` is the node that a message
        to the destination would go to next: UNDERLAY_HOP is about it. What the node itself knows (the size of its
        routing table, what is stored, messages and octets, its uptime) need not be told; if it is, it counts.
        """
        ...


@attrs.frozen
class _Forwarded:
    """A diagnostic request that was forwarded to `next_hop`."""

    header: ForwardingHeader
    previous_hop: bytes
    next_hop: bytes
    deadline: float


class Diagnostics:
    """A `Service` of a node: answers PathTrack and Pings with the extension, and looks at those that are forwarded."""

    message_codes = frozenset({int(MessageCode.PATH_TRACK_REQ)})
    extension_types = frozenset({int(ExtensionType.DIAGNOSTIC_PING)})
    transit_codes = frozenset({int(MessageCode.PING_REQ), *map(int, _TRACKED)})

    def __init__(self, source: DiagnosticSource | None = None) -> None:
        """Without a source, a node tells what it knows by itself."""
        self._source = source
        self._bucket = Bucket(INFORMATION_PER_SECOND, INFORMATION_AT_ONCE, 0.0)
        self._forwarded: deque[_Forwarded] = deque(maxlen=MAX_FORWARDED)
        self._access: tuple[Configuration, Mapping[int, frozenset[bytes]]] | None = None
        self.host: Host

    def bind(self, host: Host) -> None:
        """Belong to this node."""
        self.host = host

    # Requests for this node.
    def on_request(self, request: Request, now: float) -> Reply:
        """A PathTrack (section 6.3)."""
        body: PathTrackReq = request.body
        hop = self.host.next_hop(body.destination)
        next_hop = self.host.node_id if hop is None else hop
        response = self._respond(request, body.request, next_hop, now)
        if isinstance(response, ErrorResponse):
            return response
        return Answer(PathTrackAns(NodeDestination(next_hop), response))

    def extend_ping(self, request: Request, now: float) -> tuple[MessageExtension, ...] | ErrorResponse:
        """The answer to the extension of a Ping; nothing, to another extension."""
        try:
            asked = find_request(request.extensions)
        except DecodeError as error:
            return _error(ErrorCode.INVALID_MESSAGE, str(error))
        if asked is None:
            return ()
        response = self._respond(request, asked, self.host.node_id, now)
        return response if isinstance(response, ErrorResponse) else (ping_extension(response),)

    def _respond(
        self, request: Request, asked: DiagnosticsRequest, next_hop: bytes, now: float
    ) -> DiagnosticsResponse | ErrorResponse:
        wall = self.host.wall(now)
        wrong = check_times(asked, wall)
        if wrong is not None:
            return _error(wrong, "the expiration has passed, or is not one that a request may have")
        try:
            kinds = requested_kinds(asked)
        except DecodeError as error:
            return _error(ErrorCode.INVALID_MESSAGE, str(error))
        access = self._accessible()
        for kind in kinds:
            if request.identity.node_id not in access.get(kind, ()):
                return _error(ErrorCode.FORBIDDEN, f"diagnostic kind {kind:#06x}")
        info = self._information(kinds, next_hop, now) if kinds and self._bucket.take(now) else ()
        received = round(wall * 1000)
        expiration = received + RESPONSE_LIFETIME * 1000
        return DiagnosticsResponse(expiration, asked.timestamp_initiated, received, request.header.ttl, info)

    def _accessible(self) -> Mapping[int, frozenset[bytes]]:
        """Who may have what by the configuration in force; nobody anything, where that cannot be read."""
        configuration = self.host.configuration
        if self._access is None or self._access[0] is not configuration:
            try:
                self._access = configuration, diagnostic_access(configuration)
            except DecodeError:
                self._access = configuration, {}
        return self._access[1]

    def _information(self, kinds: Mapping[int, bytes], next_hop: bytes, now: float) -> tuple[DiagnosticInfo, ...]:
        found: list[DiagnosticInfo] = []
        for kind, contents in kinds.items():
            value = None if self._source is None else self._source.information(kind, contents, next_hop, now)
            if value is None:
                value = self._own(kind, now)
            if value is None:
                continue
            if kind == DiagnosticKind.STATUS_INFO and isinstance(value, int):
                value &= 0x0F  # "other bits MUST be cleared to "0"s for future use"
            try:
                found.append(DiagnosticInfo(kind, encode_information(kind, value)))
            except EncodeError:
                continue
        return tuple(found)

    def _own(self, kind: int, now: float) -> DiagnosticValue | None:
        """What the node itself knows of a kind."""
        host = self.host
        match kind:
            case DiagnosticKind.ROUTING_TABLE_SIZE:
                return host.routing_table_size()
            case DiagnosticKind.APP_UPTIME:
                return host.uptime(now)
            case DiagnosticKind.DATASIZE_STORED:
                return host.stored_octets()
            case DiagnosticKind.INSTANCES_STORED:
                instances = host.stored_instances()
                return tuple([InstancesStored(stored, instances[stored]) for stored in sorted(instances)])
            case DiagnosticKind.MESSAGES_SENT_RCVD if host.traffic is not None:
                return host.traffic.messages()
            case DiagnosticKind.EWMA_BYTES_SENT if host.traffic is not None:
                return host.traffic.sent.value(now)
            case DiagnosticKind.EWMA_BYTES_RCVD if host.traffic is not None:
                return host.traffic.received.value(now)
        return None

    # Messages for others (section 6.2).
    def on_forward(self, message: Forwarded, now: float) -> ErrorResponse | None:
        """What keeps a diagnostic message from being forwarded; None for all others.

        For a PathTrack that is answered the error takes the place of the answer.
        """
        try:
            expiration = self._expiration(message)
        except DecodeError:
            return None  # Whom it is for refuses it.
        if expiration is None:
            return None
        header, upstream = message.header, message.previous_hop
        if expiration <= self.host.wall(now) * 1000:
            return _error(ErrorCode.MESSAGE_EXPIRED, "expired on the way")
        if message.message_code == MessageCode.PATH_TRACK_ANS:
            return None
        if header.ttl == 0:
            return _error(ErrorCode.TTL_HOPS_EXCEEDED, "TTL 0")
        if _is_loop(header, self.host.node_id, upstream):
            return _error(ErrorCode.LOOP_DETECTED, "the Via List has a node twice, or this one")
        if self.host.is_misrouted(upstream, header.destination_list[0]):
            return _error(ErrorCode.UPSTREAM_MISROUTING, UPSTREAM + upstream.hex())
        self._forwarded.append(_Forwarded(header, upstream, message.next_hop, now + FORWARDED_LIFETIME))
        return None

    def on_underlay_error(self, next_hop: bytes, error_code: ErrorCode, info: str, now: float) -> None:
        """An ICMP error has come for what was sent to this neighbor: tell those whose requests went there.

        `error_code` is Error_Underlay_Destination_Unreachable or Error_Underlay_Time_Exceeded.
        """
        kept = deque[_Forwarded](maxlen=MAX_FORWARDED)
        for forwarded in self._forwarded:
            if forwarded.next_hop != next_hop:
                kept.append(forwarded)
            elif forwarded.deadline > now:
                self.host.refuse(forwarded.header, forwarded.previous_hop, _error(error_code, info), now)
        self._forwarded = kept

    def _expiration(self, message: Forwarded) -> int | None:
        """Of a diagnostic message, None for another. Raises DecodeError."""
        contents = message.contents()
        if contents.message_code in _TRACKED:
            n = len(self.host.node_id)
            if contents.message_code == MessageCode.PATH_TRACK_REQ:
                return decode(PathTrackReq, contents.message_body, node_id_length=n).request.expiration
            return decode(PathTrackAns, contents.message_body, node_id_length=n).response.expiration
        asked = find_request(contents.extensions)
        return None if asked is None else asked.expiration


def upstream_of(error: ErrorResponse) -> bytes | None:
    """The Node-ID of the peer that an Error_Upstream_Misrouting is about; None when it does not say so."""
    text = error.error_info.decode("utf-8", "replace")
    if error.error_code != ErrorCode.UPSTREAM_MISROUTING or not text.startswith(UPSTREAM):
        return None
    try:
        return bytes.fromhex(text[len(UPSTREAM) :])
    except ValueError:
        return None


def _is_loop(header: ForwardingHeader, node_id: bytes, previous_hop: bytes) -> bool:
    passed = [each for each in header.via_list if isinstance(each, NodeDestination)]
    passed.append(NodeDestination(previous_hop))
    return len(set(passed)) < len(passed) or NodeDestination(node_id) in passed


def _error(error_code: ErrorCode, text: str) -> ErrorResponse:
    return ErrorResponse(error_code, text.encode())

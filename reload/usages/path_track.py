"""The asking side of diagnostics: Pings with information, and PathTrack hop by hop (RFC 7851 sections 4, 6.1, 6.4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

import attrs

from reload._presentation import decode
from reload.contents import ExtensionType, MessageCode
from reload.destinations import Destination, NodeDestination
from reload.diagnostic_information import DiagnosticValue, decode_information
from reload.errors import DecodeError, StateError
from reload.exchange import Response
from reload.extensions import (
    DiagnosticExtension,
    DiagnosticsRequest,
    DiagnosticsResponse,
    PathTrackAns,
    PathTrackReq,
)
from reload.methods import PingReq
from reload.node_ports import Host
from reload.operations import Failed, Plan, Result, Send
from reload.usages.diagnostic_rules import (
    CLOCK_SKEW,
    MAX_LIFETIME,
    is_broadcast,
    make_request,
    ping_extension,
    requested_kinds,
)

LIFETIME = 60.0
"""Seconds that a request is good for: it is sent again for 15 s, and once more by another way."""
MAX_HOPS = 64
"""Steps of a PathTrack at most: three times as many as a Chord of a million peers takes."""


@attrs.frozen
class Diagnosis:
    """What one node has told.

    `information` has what could be read of what was asked for. `hops` are those from here to it, and so many TTLs.
    `delay` is how long the request took, by the two clocks, and `round_trip` by this node's, in seconds; where a first
    attempt had no answer, they begin with that.
    """

    node_id: bytes
    information: Mapping[int, DiagnosticValue]
    hops: int
    delay: float
    round_trip: float


@attrs.frozen
class Plain:
    """An answer to a Ping without information: the node does not know diagnostics, or has told what cannot be."""

    node_id: bytes
    round_trip: float


@attrs.frozen
class Hop:
    """A node on a path: what it has told, or why it has not. It was named by the hop before.

    `is_by_detour`: it did not answer by way of the hop before, but by the routes of the overlay.
    """

    node_id: bytes
    diagnosis: Diagnosis | None = None
    failure: Failed | None = None
    is_by_detour: bool = False


class PathEnd(StrEnum):
    """How a walk has ended."""

    RESPONSIBLE = "the last hop is responsible for the destination"
    SILENT = "the last hop does not answer"
    REFUSED = "an error has come in the place of the last hop's answer"
    MALFORMED = "the last hop has told what cannot be"
    LOOP = "the last hop names one that was passed before"
    TOO_LONG = "there are more hops than were allowed"


@attrs.frozen
class Path:
    """The hops to a destination, without this node."""

    hops: tuple[Hop, ...]
    end: PathEnd


def diagnostic_ping(
    host: Host,
    destination_list: Sequence[Destination],
    now: float,
    *,
    flags: int = 0,
    extensions: Iterable[DiagnosticExtension] = (),
    lifetime: float = LIFETIME,
) -> Plan[Diagnosis | Plain | Failed]:
    """Ping a node or a resource, and ask for the information of `dmflags` and of kinds without a bit.

    Raises StateError for the broadcast Node-ID, and EncodeError for what no request may ask.
    """
    if not destination_list or any(map(is_broadcast, destination_list)):
        raise StateError("a diagnostic Ping goes to a node or a resource, not to the broadcast Node-ID")
    asked = make_request(host.wall(now), lifetime, flags, extensions)
    send = Send(tuple(destination_list), MessageCode.PING_REQ, PingReq(), (ping_extension(asked),))
    return _ping(host, send, asked, now)


def _ping(host: Host, send: Send, asked: DiagnosticsRequest, now: float) -> Plan[Diagnosis | Plain | Failed]:
    result = yield send
    if not isinstance(result, Response):
        return _failed(result)
    for extension in result.extensions:
        if extension.type == ExtensionType.DIAGNOSTIC_PING:
            try:
                response = decode(DiagnosticsResponse, extension.extension_contents)
                return _diagnosis(host, result, response, asked, now)
            except DecodeError:
                break
    return Plain(result.identity.node_id, max(result.received - now, 0.0))


def path_track(
    host: Host,
    destination: Destination,
    now: float,
    *,
    flags: int = 0,
    extensions: Iterable[DiagnosticExtension] = (),
    lifetime: float = LIFETIME,
    max_hops: int = MAX_HOPS,
) -> Plan[Path]:
    """Walk the path of a message to `destination`, and ask each hop for information and for the next one.

    Every hop is asked by way of those before it. One that does not answer so is asked again by the routes of the
    overlay: if it answers, the link that leads to it is at fault; if not, it is. Raises StateError for the broadcast
    Node-ID, and EncodeError for what no request may ask.
    """
    if is_broadcast(destination):
        raise StateError("a path leads to a node or a resource, not to the broadcast Node-ID")
    kinds = tuple(extensions)
    make_request(host.wall(now), lifetime, flags, kinds)
    return _walk(host, destination, now, flags, kinds, lifetime, max_hops)


def _walk(
    host: Host,
    destination: Destination,
    now: float,
    flags: int,
    extensions: tuple[DiagnosticExtension, ...],
    lifetime: float,
    max_hops: int,
) -> Plan[Path]:
    hops: list[Hop] = []
    by_way_of: tuple[NodeDestination, ...] = ()
    passed = {host.node_id}
    next_hop = host.next_hop(destination)
    while next_hop is not None and next_hop not in passed:
        if len(hops) == max_hops:
            return Path(tuple(hops), PathEnd.TOO_LONG)
        passed.add(next_hop)
        asked = make_request(host.wall(now), lifetime, flags, extensions)
        body = PathTrackReq(destination, asked)
        to_hop = NodeDestination(next_hop)
        by_way_of += (to_hop,)
        result = yield Send(by_way_of, MessageCode.PATH_TRACK_REQ, body)
        is_by_detour = isinstance(result, Failed) and result.error is None and len(by_way_of) > 1
        if is_by_detour:
            by_way_of = (to_hop,)
            result = yield Send(by_way_of, MessageCode.PATH_TRACK_REQ, body)
        if not isinstance(result, Response):
            failed = _failed(result)
            hops.append(Hop(next_hop, None, failed, is_by_detour))
            return Path(tuple(hops), PathEnd.SILENT if failed.error is None else PathEnd.REFUSED)
        answer: PathTrackAns = result.body
        try:
            following = _next_hop(answer, host)
            diagnosis = _diagnosis(host, result, answer.response, asked, now)
        except DecodeError as error:
            hops.append(Hop(next_hop, None, Failed(None, str(error), result.identity), is_by_detour))
            return Path(tuple(hops), PathEnd.MALFORMED)
        hops.append(Hop(next_hop, diagnosis, None, is_by_detour))
        now = max(result.received, now)
        if following == next_hop:
            return Path(tuple(hops), PathEnd.RESPONSIBLE)
        next_hop = following
    return Path(tuple(hops), PathEnd.RESPONSIBLE if next_hop is None else PathEnd.LOOP)


def _next_hop(answer: PathTrackAns, host: Host) -> bytes:
    match answer.next_hop:
        case NodeDestination(node_id) as destination if not destination.is_wildcard:
            return node_id
    raise DecodeError(f"PathTrackAns.next_hop: {answer.next_hop} is no node")


def _diagnosis(
    host: Host, result: Response, response: DiagnosticsResponse, asked: DiagnosticsRequest, now: float
) -> Diagnosis:
    """What a response says of what was asked at `now`. Raises DecodeError for one that is not to this request."""
    received = max(result.received, now)
    wall = host.wall(received) * 1000
    if response.timestamp_initiated != asked.timestamp_initiated:
        raise DecodeError("DiagnosticsResponse.timestamp_initiated: it is not that of the request")
    if not wall < response.expiration <= wall + (MAX_LIFETIME + CLOCK_SKEW) * 1000:
        raise DecodeError("DiagnosticsResponse.expiration: it has passed, or is not one that a response may have")
    if response.hop_counter > host.configuration.initial_ttl:
        raise DecodeError(f"DiagnosticsResponse.hop_counter: {response.hop_counter} is more than it was sent with")
    kinds = requested_kinds(asked)
    information: dict[int, DiagnosticValue] = {}
    for info in response.diagnostic_info_list:
        if info.kind in kinds and info.kind not in information:
            try:
                information[info.kind] = decode_information(info.kind, info.diagnostic_info_contents)
            except DecodeError:
                continue
    return Diagnosis(
        result.identity.node_id,
        information,
        host.configuration.initial_ttl - response.hop_counter + 1,
        (response.timestamp_received - response.timestamp_initiated) / 1000,
        received - now,
    )


def _failed(result: Result) -> Failed:
    return result if isinstance(result, Failed) else Failed(None, f"{type(result).__name__} answers no Send")

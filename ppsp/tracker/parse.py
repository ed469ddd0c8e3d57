"""PPSTP messages as others send them: read liberally, with a list of what was forgiven.

All eight examples of RFC 7846 break its own schema, so these are understood, and noted: one object where an array is
due, a number in a string, the members of `find` without `find`, `Stat` for `stat`, `Ipv4` for `ipv4`, an address
without `type`, null for an absent member. An optional member that makes no sense is left out, and noted. Everything
else that the schema does not allow is refused.
"""

from enum import StrEnum
from typing import Any, Generic, TypeVar

from attrs import frozen

from ppsp.errors import DecodeError
from ppsp.tracker._json import Members, Notes, read_object
from ppsp.tracker.messages import (
    MAX_LABEL,
    MAX_TEXT,
    ROOT,
    VERSION,
    AbilityNat,
    Action,
    AddressType,
    Connection,
    ConnectRequest,
    ErrorCode,
    FindRequest,
    PeerAddr,
    PeerInfo,
    PeerMode,
    PeerNum,
    RequestMessage,
    RequestType,
    ResponseMessage,
    ResponseType,
    StatReportRequest,
    StreamStats,
    SwarmAction,
    SwarmResult,
)

M = TypeVar("M")
E = TypeVar("E", bound=StrEnum)


class MessageError(DecodeError):
    """A PPSTP message that cannot be understood, with what an answer to it needs."""

    def __init__(self, text: str, error_code: ErrorCode, transaction_id: str) -> None:
        super().__init__(text)
        self.error_code = error_code
        """BAD_REQUEST, or UNSUPPORTED_VERSION_NUMBER (section 4.3)."""
        self.transaction_id = transaction_id
        """The message's transaction ID, empty where it could not be read."""


class _VersionError(DecodeError):
    """Another version of PPSTP, whose messages may look quite different."""


@frozen
class Parsed(Generic[M]):
    """A message, and what was forgiven in it: empty for one that keeps to the schema."""

    message: M
    forgiven: tuple[str, ...]


def parse_request(body: bytes) -> Parsed[RequestMessage]:
    """Read the body of a request to a tracker; MessageError (a DecodeError) when it cannot be understood."""
    notes: Notes = []
    transaction_id = ""
    try:
        root = read_object(body, ROOT, notes)
        transaction_id = _salvage(root)
        return Parsed(_request(Members(root, "", notes)), tuple(notes))
    except (DecodeError, ValueError) as error:
        raise _failure(error, transaction_id) from error


def parse_response(body: bytes) -> Parsed[ResponseMessage]:
    """Read the body of a tracker's response; MessageError (a DecodeError) when it cannot be understood."""
    notes: Notes = []
    transaction_id = ""
    try:
        root = read_object(body, ROOT, notes)
        transaction_id = _salvage(root)
        return Parsed(_response(Members(root, "", notes)), tuple(notes))
    except (DecodeError, ValueError) as error:
        raise _failure(error, transaction_id) from error


def _salvage(root: dict[str, Any]) -> str:
    """The transaction ID for the answer to a message that may turn out malformed elsewhere."""
    value = root.get("transaction_id")
    if not isinstance(value, str) or len(value) > MAX_TEXT:
        return ""
    return value.encode(errors="ignore").decode()


def _failure(error: Exception, transaction_id: str) -> MessageError:
    unsupported = isinstance(error, _VersionError)
    code = ErrorCode.UNSUPPORTED_VERSION_NUMBER if unsupported else ErrorCode.BAD_REQUEST
    return MessageError(str(error), code, transaction_id)


def _check_version(root: Members) -> None:
    version = root.integer("version")
    if version != VERSION:
        raise _VersionError(f"version {str(version)[:20]}, and this speaks {VERSION}")


def _enumerated(members: Members, name: str, kind: type[E]) -> E:
    text = members.text(name)
    try:
        return kind(text)
    except ValueError:
        raise DecodeError(f"{members.where(name)}: none of {', '.join(kind)}") from None


def _request(root: Members) -> RequestMessage:
    _check_version(root)
    kind = _enumerated(root, "request_type", RequestType)
    transaction_id, peer_id = root.text("transaction_id"), root.text("peer_id")
    match kind:
        case RequestType.CONNECT:
            connect = root.object("connect")
            return ConnectRequest(
                transaction_id,
                peer_id,
                swarm_action=tuple(map(_swarm_action, connect.objects("swarm_action"))),
                peer_num=_peer_num(connect),
                peer_addr=tuple(_peer_addr(one, AddressType.HOST) for one in connect.objects("peer_addr")),
            )
        case RequestType.FIND:
            find = root
            if root.has("find"):
                find = root.object("find")
            elif root.has("swarm_id"):
                root.forgive("swarm_id", "stands outside find")
            return FindRequest(transaction_id, peer_id, find.text("swarm_id"), _peer_num(find))
        case RequestType.STAT_REPORT:
            return StatReportRequest(transaction_id, peer_id, _stat_report(root))


def _swarm_action(members: Members) -> SwarmAction:
    return SwarmAction(
        swarm_id=members.text("swarm_id"),
        action=_enumerated(members, "action", Action),
        peer_mode=_enumerated(members, "peer_mode", PeerMode),
    )


def _peer_num(parent: Members) -> PeerNum | None:
    if parent.get("peer_num") is None:
        return None
    members = parent.object("peer_num")
    return PeerNum(
        peer_count=members.integer("peer_count"),
        ability_nat=members.optional("ability_nat", lambda name: _enumerated(members, name, AbilityNat)),
        concurrent_links=members.optional("concurrent_links", lambda name: _count(members, name)),
        online_time=members.optional("online_time", lambda name: _count(members, name)),
        upload_bandwidth=members.optional("upload_bandwidth", lambda name: _count(members, name)),
    )


def _count(members: Members, name: str) -> int:
    value = members.integer(name)
    if not 0 <= value < 2**64:
        raise DecodeError(f"{members.where(name)}: not of 64 bits")
    return value


def _peer_addr(members: Members, implied: AddressType) -> PeerAddr:
    """One `peer_addr`; an absent `type` is taken for `implied`, since the RFC's own example leaves it out."""
    ip_address = members.object("ip_address")
    given = ip_address.text("address")
    kind = implied
    if members.get("type") is None:
        members.forgive("type", f"absent, taken as {implied}")
    else:
        kind = _enumerated(members, "type", AddressType)
    address = PeerAddr(
        address=given,
        port=members.integer("port"),
        priority=members.integer("priority"),
        type=kind,
        connection=members.optional("connection", lambda name: _enumerated(members, name, Connection)),
        asn=members.optional("asn", lambda name: _label(members, name)),
        peer_protocol=members.optional("peer_protocol", lambda name: _label(members, name)),
    )
    if address.address != given:
        ip_address.forgive("address", f"written {address.address} in its canonical form")
    _check_address_type(ip_address, given, address)
    return address


def _check_address_type(ip_address: Members, given: str, address: PeerAddr) -> None:
    named = ip_address.text("address_type")
    if named == address.address_type:
        return
    # An IPv4-mapped address is named ipv6 by right and taken as ipv4.
    if named.lower() not in (address.address_type, "ipv6" if ":" in given else "ipv4"):
        raise DecodeError(f"{ip_address.where('address_type')}: not the type of {address.address}")
    ip_address.forgive("address_type", f"stands for {address.address_type}")


def _label(members: Members, name: str) -> str:
    value = members.get(name)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**64:
        members.forgive(name, "a number for a string")
        value = str(value)
    if not isinstance(value, str) or not 0 < len(value) <= MAX_LABEL:
        raise DecodeError(f"{members.where(name)}: not a short string")
    value.encode()
    return value


def _stat_report(root: Members) -> tuple[StreamStats, ...]:
    """The statistics; none where the request is only a sign of life (section 4.1.3)."""
    if root.get("stat_report") is None:
        return ()
    report = root.object("stat_report")
    kind = report.get("type")
    if kind != "STREAM_STATS":
        report.forgive("type", "not STREAM_STATS")
        if kind is not None:
            return ()
    name = report.any_case("stat")
    stat = tuple(
        StreamStats(
            swarm_id=one.text("swarm_id"),
            uploaded_bytes=one.integer("uploaded_bytes"),
            downloaded_bytes=one.integer("downloaded_bytes"),
            available_bandwidth=one.integer("available_bandwidth"),
            concurrent_links=one.integer("concurrent_links"),
        )
        for one in report.objects(name)
    )
    if not stat:
        report.forgive(name, "empty, taken as a sign of life")
    return stat


def _response(root: Members) -> ResponseMessage:
    _check_version(root)
    response_type = ResponseType(root.integer("response_type"))
    error_code = root.integer("error_code")
    transaction_id = root.text("transaction_id")
    if response_type is ResponseType.FAILED:
        for name in ("peer_addr", "swarm_result"):
            if root.has(name):
                root.forgive(name, "part of an error, ignored")
        return ResponseMessage(response_type, error_code, transaction_id)
    return ResponseMessage(
        response_type,
        error_code,
        transaction_id,
        peer_addr=root.optional("peer_addr", lambda name: _peer_addr(root.object(name), AddressType.REFLEXIVE)),
        swarm_result=tuple(map(_swarm_result, root.objects("swarm_result"))),
    )


def _swarm_result(members: Members) -> SwarmResult:
    group = None
    if members.get("peer_group") is not None:
        group = tuple(_peer_infos(members.object("peer_group")))
    return SwarmResult(members.text("swarm_id"), ResponseType(members.integer("result")), group)


def _peer_infos(group: Members) -> list[PeerInfo]:
    """The peers that can be read: one entry that cannot does not spoil the others."""
    peers = []
    for one in group.objects("peer_info"):
        try:
            peers.append(PeerInfo(one.text("peer_id"), _peer_addr(one.object("peer_addr"), AddressType.HOST)))
        except (DecodeError, ValueError):
            one.notes.append(f"{one.path}: not understood, left out")
    return peers

"""PPSTP messages (RFC 7846 section 3) as values, and their strict encoding.

A value that the RFC's schema does not allow cannot be made: its constructor raises ValueError. What others send is read
by `ppsp.tracker.parse`, which forgives more.
"""

import ipaddress
import json
from collections.abc import Callable
from enum import IntEnum, StrEnum
from json.encoder import encode_basestring as _quoted
from typing import Any, TypeAlias

from attrs import Attribute, evolve, field, frozen
from attrs.validators import instance_of, min_len, optional

MEDIA_TYPE = "application/ppsp-tracker+json"
"""The media type of every request and response (section 4)."""
VERSION = 1
"""The only PPSTP version there is (section 3.2.1)."""
ROOT = "PPSPTrackerProtocol"
"""The one member of every message (section 3.4)."""

MAX_SWARM_ID = 2048
"""Characters. The longest swarm ID in use is an RSA-4096 public key in hexadecimal, some 1040."""
MAX_TEXT = 256
"""Characters in a peer ID and a transaction ID: a UUID has 36, a SHA-512 in hexadecimal 128."""
MAX_LABEL = 32
"""Characters of `asn` and `peer_protocol`, of which the tracker keeps one for each address of each peer, and lists
them: a number of 32 bits has at most ten digits, and "PPSP-PP" is the one protocol that the RFC names."""
MAX_INTEGER = 2**64 - 1
"""What the RFC leaves open: a counter of octets fits 64 bits, and nothing here counts more."""


class RequestType(StrEnum):
    """`request_type` (section 3.3.1); case matters (section 7.2)."""

    CONNECT = "CONNECT"
    FIND = "FIND"
    STAT_REPORT = "STAT_REPORT"


class ResponseType(IntEnum):
    """`response_type`, and the `result` of one swarm action (sections 3.3.2 and 4.2)."""

    SUCCESSFUL = 0
    FAILED = 1


class ErrorCode(IntEnum):
    """`error_code` (sections 4.3 and 8.4)."""

    NO_ERROR = 0
    BAD_REQUEST = 1
    UNSUPPORTED_VERSION_NUMBER = 2
    FORBIDDEN_ACTION = 3
    INTERNAL_SERVER_ERROR = 4
    SERVICE_UNAVAILABLE = 5
    AUTHENTICATION_REQUIRED = 6


class Action(StrEnum):
    """What a CONNECT asks for in one swarm (section 3.2.3)."""

    JOIN = "JOIN"
    LEAVE = "LEAVE"


class PeerMode(StrEnum):
    """How a peer takes part in a swarm (section 3.2.3)."""

    SEEDER = "SEEDER"
    LEECH = "LEECH"


class AbilityNat(StrEnum):
    """`ability_nat`: the NAT traversal that the requesting peer prefers (section 3.2.2)."""

    NO_NAT = "NO_NAT"
    STUN = "STUN"
    TURN = "TURN"


class AddressType(StrEnum):
    """`type` of a `peer_addr`: how the address came about, for NAT traversal (table 3)."""

    HOST = "HOST"
    REFLEXIVE = "REFLEXIVE"
    PROXY = "PROXY"


class Connection(StrEnum):
    """`connection` of a `peer_addr`: the access type (table 3)."""

    WIRELESS = "wireless"
    WIRED = "wired"


_Check: TypeAlias = Callable[[Any, "Attribute[Any]", Any], None]


def _text(limit: int = MAX_TEXT, least: int = 1) -> _Check:
    def check(_: Any, attribute: "Attribute[Any]", value: Any) -> None:
        if type(value) is not str or not least <= len(value) <= limit:
            raise ValueError(f"{attribute.name}: not a string of {least} to {limit} characters")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{attribute.name}: half of a surrogate pair, which UTF-8 cannot carry") from None

    return check


def _whole(least: int = 0, most: int = MAX_INTEGER) -> _Check:
    def check(_: Any, attribute: "Attribute[Any]", value: Any) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise ValueError(f"{attribute.name}: not an integer from {least} to {most}")

    return check


def canonical_address(text: str) -> str:
    """The address as RFC 3986 section 3.2.2 (IPv4) or RFC 5952 section 4 (IPv6) writes it; an IPv4-mapped one is IPv4.

    Raises ValueError when `text` is no IP address, or has a zone.
    """
    if type(text) is not str or "%" in text:
        raise ValueError(f"address: not an IP address without zone: {str(text)[:60]!r}")
    address = ipaddress.ip_address(text)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


@frozen
class PeerNum:
    """`peer_num`: how many peers to return, and what the requesting peer is like (section 3.2.2)."""

    peer_count: int = field(validator=_whole())
    ability_nat: AbilityNat | None = field(default=None, validator=optional(instance_of(AbilityNat)))
    concurrent_links: int | None = field(default=None, validator=optional(_whole()))
    online_time: int | None = field(default=None, validator=optional(_whole()))
    """Seconds."""
    upload_bandwidth: int | None = field(default=None, validator=optional(_whole()))
    """Kilobit per second."""


@frozen
class PeerAddr:
    """`peer_addr`: a transport address of a peer (section 3.2.4)."""

    address: str = field(converter=canonical_address)
    port: int = field(validator=_whole(1, 65535))
    priority: int = field(default=1, validator=_whole())
    """The larger, the better."""
    type: AddressType = field(default=AddressType.HOST, validator=instance_of(AddressType))
    connection: Connection | None = field(default=None, validator=optional(instance_of(Connection)))
    asn: str | None = field(default=None, validator=optional(_text(MAX_LABEL)))
    peer_protocol: str | None = field(default=None, validator=optional(_text(MAX_LABEL)))

    @property
    def address_type(self) -> str:
        """`ipv4` or `ipv6`."""
        return "ipv6" if ":" in self.address else "ipv4"

    @property
    def is_unicast(self) -> bool:
        """Whether a peer can be there: nobody is in 0.0.0.0/8, and a multicast address would flood a network."""
        ip = ipaddress.ip_address(self.address)
        is_nowhere = ip.is_unspecified or (ip.version == 4 and ip.packed[0] == 0)
        return not (ip.is_multicast or is_nowhere or self.address == "255.255.255.255")

    @property
    def is_loopback(self) -> bool:
        """Whether only the machine itself finds the peer there."""
        return ipaddress.ip_address(self.address).is_loopback

    @property
    def is_private(self) -> bool:
        """Whether the address means nothing in the Internet, and maybe something in a network."""
        ip = ipaddress.ip_address(self.address)
        # 6to4 and Teredo name a host in the Internet, whatever IANA's registry says of their prefixes.
        leads_out = isinstance(ip, ipaddress.IPv6Address) and (ip.sixtofour or ip.teredo) is not None
        return not (ip.is_global or leads_out)


@frozen
class PeerInfo:
    """`peer_info`: a peer and one of its addresses; one with several stands in a list once for each (section 3.2.4)."""

    peer_id: str = field(validator=_text())
    peer_addr: PeerAddr = field(validator=instance_of(PeerAddr))


@frozen
class SwarmAction:
    """`swarm_action`: join or leave one swarm (section 3.2.3)."""

    swarm_id: str = field(validator=_text(MAX_SWARM_ID))
    action: Action = field(validator=instance_of(Action))
    peer_mode: PeerMode = field(validator=instance_of(PeerMode))


@frozen
class StreamStats:
    """`stat`: a peer's statistics of one swarm (section 3.2.5)."""

    swarm_id: str = field(validator=_text(MAX_SWARM_ID))
    uploaded_bytes: int = field(default=0, validator=_whole())
    downloaded_bytes: int = field(default=0, validator=_whole())
    available_bandwidth: int = field(default=0, validator=_whole())
    """Upload bandwidth that is free just now; the RFC gives no unit (`upload_bandwidth` is in kilobit per second)."""
    concurrent_links: int = field(default=0, validator=_whole())


@frozen
class ConnectRequest:
    """CONNECT: register, and join or leave swarms (section 4.1.1)."""

    transaction_id: str = field(validator=_text())
    peer_id: str = field(validator=_text())
    swarm_action: tuple[SwarmAction, ...] = field(validator=min_len(1))
    peer_num: PeerNum | None = None
    peer_addr: tuple[PeerAddr, ...] = ()

    def wants_peers(self, action: SwarmAction) -> bool:
        """Whether the answer has a list of peers for this action of it: one joined as LEECH, or with `peer_num`."""
        is_asking = action.peer_mode is PeerMode.LEECH or self.peer_num is not None
        return is_asking and action.action is Action.JOIN


@frozen
class FindRequest:
    """FIND: a new list of peers in one swarm (section 4.1.2)."""

    transaction_id: str = field(validator=_text())
    peer_id: str = field(validator=_text())
    swarm_id: str = field(validator=_text(MAX_SWARM_ID))
    peer_num: PeerNum | None = None


@frozen
class StatReportRequest:
    """STAT_REPORT: statistics of any number of swarms; with none it is only a sign of life (section 4.1.3)."""

    transaction_id: str = field(validator=_text())
    peer_id: str = field(validator=_text())
    stat: tuple[StreamStats, ...] = ()


RequestMessage: TypeAlias = ConnectRequest | FindRequest | StatReportRequest


@frozen
class SwarmResult:
    """`swarm_result`: what became of the request in one swarm (section 3.3.4)."""

    swarm_id: str = field(validator=_text(MAX_SWARM_ID))
    result: ResponseType = field(validator=instance_of(ResponseType))
    peer_group: tuple[PeerInfo, ...] | None = None


@frozen
class ResponseMessage:
    """A tracker's answer (section 3.3.4). The transaction ID is empty where the request's could not be read."""

    response_type: ResponseType = field(validator=instance_of(ResponseType))
    error_code: int = field(validator=_whole())
    transaction_id: str = field(validator=_text(least=0))
    peer_addr: PeerAddr | None = None
    swarm_result: tuple[SwarmResult, ...] = ()

    def __attrs_post_init__(self) -> None:
        if self.response_type is ResponseType.SUCCESSFUL and self.error_code:
            raise ValueError("error_code: MUST be 00 when response_type is 0 (section 3.3.4)")
        if self.response_type is ResponseType.FAILED and (self.peer_addr or self.swarm_result):
            raise ValueError("an error is answered without peer_addr and swarm_result (section 4.3)")


def _present(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def _peer_num(value: PeerNum | None) -> dict[str, Any] | None:
    if value is None:
        return None
    return _present(
        peer_count=value.peer_count,
        ability_nat=value.ability_nat,
        concurrent_links=value.concurrent_links,
        online_time=value.online_time,
        upload_bandwidth=value.upload_bandwidth,
    )


def _peer_addr(value: PeerAddr) -> dict[str, Any]:
    return _present(
        ip_address={"address_type": value.address_type, "address": value.address},
        port=value.port,
        priority=value.priority,
        type=value.type,
        connection=value.connection,
        asn=value.asn,
        peer_protocol=value.peer_protocol,
    )


def _connect(request: ConnectRequest) -> dict[str, Any]:
    actions = [
        {"swarm_id": one.swarm_id, "action": one.action, "peer_mode": one.peer_mode} for one in request.swarm_action
    ]
    return _present(
        peer_num=_peer_num(request.peer_num),
        peer_addr=[_peer_addr(address) for address in request.peer_addr] or None,
        swarm_action=actions,
    )


def _find(request: FindRequest) -> dict[str, Any]:
    return _present(swarm_id=request.swarm_id, peer_num=_peer_num(request.peer_num))


def _stat_report(request: StatReportRequest) -> dict[str, Any] | None:
    if not request.stat:
        return None
    stat = [
        {
            "swarm_id": one.swarm_id,
            "uploaded_bytes": one.uploaded_bytes,
            "downloaded_bytes": one.downloaded_bytes,
            "available_bandwidth": one.available_bandwidth,
            "concurrent_links": one.concurrent_links,
        }
        for one in request.stat
    ]
    return {"type": "STREAM_STATS", "stat": stat}


def _swarm_result(value: SwarmResult) -> dict[str, Any]:
    group = None
    if value.peer_group is not None:
        peers = [{"peer_id": peer.peer_id, "peer_addr": _peer_addr(peer.peer_addr)} for peer in value.peer_group]
        group = {"peer_info": peers}
    return _present(swarm_id=value.swarm_id, result=value.result, peer_group=group)


def _response(value: ResponseMessage) -> dict[str, Any]:
    return _present(
        version=VERSION,
        response_type=value.response_type,
        error_code=value.error_code,
        transaction_id=value.transaction_id,
        peer_addr=_peer_addr(value.peer_addr) if value.peer_addr else None,
        swarm_result=[_swarm_result(one) for one in value.swarm_result] or None,
    )


def _request(value: RequestMessage) -> dict[str, Any]:
    kind, name, data = _request_data(value)
    return _present(
        version=VERSION,
        request_type=kind,
        transaction_id=value.transaction_id,
        peer_id=value.peer_id,
        **{name: data},
    )


def _request_data(value: RequestMessage) -> tuple[RequestType, str, dict[str, Any] | None]:
    """Table 5: which member carries the data of which request type."""
    match value:
        case ConnectRequest():
            return RequestType.CONNECT, "connect", _connect(value)
        case FindRequest():
            return RequestType.FIND, "find", _find(value)
        case StatReportRequest():
            return RequestType.STAT_REPORT, "stat_report", _stat_report(value)


def to_json(message: RequestMessage | ResponseMessage) -> dict[str, Any]:
    """The message as a JSON object, strictly as section 3 has it, members in the RFC's order."""
    return {ROOT: _response(message) if isinstance(message, ResponseMessage) else _request(message)}


def encode(message: RequestMessage | ResponseMessage) -> bytes:
    """The message as the body of an HTTP request or response: JSON in UTF-8, strictly as section 3 has it."""
    if isinstance(message, ResponseMessage) and message.swarm_result:
        text = _with_results(_dumps(to_json(evolve(message, swarm_result=()))), message.swarm_result)
    else:
        text = _dumps(to_json(message))
    return text.encode()


def _dumps(tree: dict[str, Any]) -> str:
    return json.dumps(tree, ensure_ascii=False, separators=(",", ":"))


# Lists of peers are most of what a tracker sends: written by hand they take a third of the time.


def _with_results(head: str, results: tuple[SwarmResult, ...]) -> str:
    return f'{head[:-2]},"swarm_result":[{",".join(map(_result_text, results))}]}}}}'


def _result_text(value: SwarmResult) -> str:
    group = ""
    if value.peer_group is not None:
        group = f',"peer_group":{{"peer_info":[{",".join(map(_peer_info_text, value.peer_group))}]}}'
    return f'{{"swarm_id":{_quoted(value.swarm_id)},"result":{value.result:d}{group}}}'


def _peer_info_text(value: PeerInfo) -> str:
    at = value.peer_addr
    rest = "" if at.connection is None else f',"connection":"{at.connection}"'
    rest += "" if at.asn is None else f',"asn":{_quoted(at.asn)}'
    rest += "" if at.peer_protocol is None else f',"peer_protocol":{_quoted(at.peer_protocol)}'
    return (
        f'{{"peer_id":{_quoted(value.peer_id)},"peer_addr":{{"ip_address":{{"address_type":"{at.address_type}",'
        f'"address":"{at.address}"}},"port":{at.port},"priority":{at.priority},"type":"{at.type}"{rest}}}}}'
    )

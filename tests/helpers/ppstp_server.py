"""Requests to a tracker in memory, and its answers."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ppsp.tracker import (
    MEDIA_TYPE,
    Action,
    ConnectRequest,
    FindRequest,
    PeerAddr,
    PeerMode,
    PeerNum,
    Request,
    RequestMessage,
    Response,
    ResponseMessage,
    ResponseType,
    StatReportRequest,
    StreamStats,
    SwarmAction,
    TrackerServer,
    encode,
    parse_response,
)

EXAMPLES = Path(__file__).parents[1] / "data" / "ppstp_examples"
PEER = ("198.51.100.7", 43210)
HEADERS = (("Content-Type", MEDIA_TYPE),)
JOIN, LEAVE = Action.JOIN, Action.LEAVE
SEEDER, LEECH = PeerMode.SEEDER, PeerMode.LEECH

_numbers = itertools.count(1)


def counted() -> Callable[[int], bytes]:
    """A source of chance that is the same in every test."""
    counter = itertools.count()
    return lambda size: bytes((next(counter) * 167 + 13) % 256 for _ in range(size))


def tracker(**arguments: Any) -> TrackerServer:
    return TrackerServer(**({"random_bytes": counted()} | arguments))


def new_id() -> str:
    return f"t{next(_numbers)}"


def connect(
    peer_id: str,
    *actions: tuple[str, Action, PeerMode],
    transaction_id: str | None = None,
    peer_num: PeerNum | None = None,
    peer_addr: tuple[PeerAddr, ...] | None = None,
) -> ConnectRequest:
    if peer_addr is None:
        peer_addr = (PeerAddr("192.0.2.1", 1 + sum(peer_id.encode()) % 60000),)
    return ConnectRequest(
        transaction_id or new_id(), peer_id, tuple(SwarmAction(*action) for action in actions), peer_num, peer_addr
    )


def find(peer_id: str, swarm_id: str, peer_num: PeerNum | None = None) -> FindRequest:
    return FindRequest(new_id(), peer_id, swarm_id, peer_num)


def report(peer_id: str, *stat: StreamStats) -> StatReportRequest:
    return StatReportRequest(new_id(), peer_id, stat)


def post(server: TrackerServer, message: RequestMessage | bytes, now: float = 0.0, peer: Any = PEER) -> Response:
    body = message if isinstance(message, bytes) else encode(message)
    return server.handle(Request("POST", "/video_1", HEADERS, body), peer, now)


def ask(server: TrackerServer, message: RequestMessage, now: float = 0.0, peer: Any = PEER) -> ResponseMessage:
    """The answer, which has to keep to the schema and to carry the transaction ID."""
    response = post(server, message, now, peer)
    parsed = parse_response(response.body)
    assert parsed.forgiven == ()
    assert parsed.message.transaction_id == message.transaction_id
    assert response.header("content-type") == MEDIA_TYPE
    return parsed.message


def join(server: TrackerServer, peer_id: str, swarm_id: str = "s", mode: PeerMode = LEECH, now: float = 0.0) -> None:
    answer = ask(server, connect(peer_id, (swarm_id, JOIN, mode)), now)
    assert answer.response_type is ResponseType.SUCCESSFUL


def listed(answer: ResponseMessage, swarm_id: str = "s") -> list[str]:
    group = next(one.peer_group for one in answer.swarm_result if one.swarm_id == swarm_id)
    return [] if group is None else [peer.peer_id for peer in group]


def stats(swarm_id: str = "s") -> StreamStats:
    return StreamStats(swarm_id, 512, 768, 1024000, 5)


class Broken:
    """A selector that fails until it is mended."""

    def __init__(self) -> None:
        self.is_broken = True

    def __call__(self, members: Any, requester: Any, peer_num: Any, count: int) -> Any:
        if self.is_broken:
            raise RuntimeError("the policy engine is gone")
        return members


def crowd(size: int, **arguments: Any) -> TrackerServer:
    server = tracker(**arguments)
    for number in range(size):
        join(server, f"peer {number}")
    return server

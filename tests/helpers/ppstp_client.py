"""A peer's side of PPSTP, and a world for it."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ppsp.tracker import (
    ClientTiming,
    Event,
    PeerAddr,
    PeerMode,
    Request,
    RequestMessage,
    Response,
    ResponseMessage,
    ResponseType,
    TrackerClient,
    TrackerServer,
    encode,
    parse_request,
)

EXAMPLES = Path(__file__).parents[1] / "data" / "ppstp_examples"
URL = "https://tracker.example.com/video_1"
ADDRESS = PeerAddr("192.0.2.1", 7001)
SEEDER, LEECH = PeerMode.SEEDER, PeerMode.LEECH
# 128 of 255 is the middle: no jitter worth speaking of.
TIMING = ClientTiming()


def chance() -> Callable[[int], bytes]:
    counter = itertools.count(1)
    return lambda size: b"\x80" if size == 1 else next(counter).to_bytes(size, "big")


def make(peer_id: str = "me", **arguments: Any) -> TrackerClient:
    return TrackerClient(peer_id, URL, **({"peer_addr": (ADDRESS,), "random_bytes": chance()} | arguments))


def events(client: TrackerClient) -> list[Event]:
    return list(iter(client.next_event, None))


def message_of(request: Request | None) -> RequestMessage:
    assert request is not None
    parsed = parse_request(request.body)
    assert parsed.forgiven == ()
    return parsed.message


def fail(code: int, transaction_id: str, status: int = 200, **headers: str) -> Response:
    return Response(status, tuple(headers.items()), encode(ResponseMessage(ResponseType.FAILED, code, transaction_id)))


class World:
    """A client and a tracker that answers at once, on one virtual clock."""

    def __init__(self, client: TrackerClient, server: TrackerServer | None = None) -> None:
        self.client = client
        self.server = server or TrackerServer(random_bytes=chance())
        self.now = 0.0
        self.is_reachable = True
        self.loses_responses = False
        self.asked: list[tuple[float, RequestMessage]] = []
        self.seen: list[Event] = []

    def run(self, until: float) -> list[RequestMessage]:
        """Let time pass; returns the requests that were made."""
        start = len(self.asked)
        while True:
            request = self.client.next_request(self.now)
            if request is not None:
                self._exchange(request)
                continue
            timer = self.client.get_timer()
            if timer is None or timer > until:
                self.now = until
                return [message for _, message in self.asked[start:]]
            self.now = max(self.now, timer)

    def _exchange(self, request: Request) -> None:
        self.asked.append((self.now, message_of(request)))
        if self.is_reachable:
            response = self.server.handle(request, ("198.51.100.7", 50000), self.now)
        if not self.is_reachable or self.loses_responses:
            self.client.request_failed("connection refused", self.now)
        else:
            self.client.receive_response(response, self.now)
        self.seen += events(self.client)


def neighbour(world: World, peer_id: str = "neighbour", swarm_id: str = "s") -> None:
    other = TrackerClient(peer_id, URL, peer_addr=(PeerAddr("192.0.2.77", 77),), random_bytes=chance())
    other.join(swarm_id, SEEDER)
    World(other, world.server).run(0.0)


def times_of(world: World, kind: type) -> list[float]:
    return [round(at) for at, message in world.asked if isinstance(message, kind)]

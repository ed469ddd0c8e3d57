"""The PPSTP tracker (RFC 7846): one HTTP request in, one HTTP response out; no socket, no clock.

Whatever comes in is answered with a PPSTP message. The RFC leaves the HTTP status open; a peer decides by the body.
"""

import secrets
from collections.abc import Callable
from typing import ClassVar, Protocol

from ppsp.tracker.answers import Answers, Basis
from ppsp.tracker.http import Request as HttpRequest
from ppsp.tracker.http import Response
from ppsp.tracker.messages import (
    MEDIA_TYPE,
    AddressType,
    ErrorCode,
    FindRequest,
    PeerAddr,
    RequestMessage,
    ResponseMessage,
    ResponseType,
    encode,
)
from ppsp.tracker.parse import MessageError, parse_request
from ppsp.tracker.registry import RegisteredPeer, Registry
from ppsp.tracker.selection import PeerSelector, RandomSample
from ppsp.tracker.states import PeerInput, TrackerState
from ppsp.tracker.tracking import Limits, RefusedError, Tracking

INIT_TIMER = 30.0
"""Seconds. The RFC names no value. A registration outlives its CONNECT only where the tracker itself failed."""
TRACK_TIMER = 180.0
"""Seconds. The RFC names no value: as long as RFC 7574 section 3.12 gives a silent peer, three reports of 60 s."""
RETRY_AFTER = 60
"""Seconds that an overloaded tracker asks a peer to wait."""

# The RFC names no HTTP status. 02 and 03 are answers of a protocol that understood the request, hence 200.
_STATUS = {
    ErrorCode.BAD_REQUEST: 400,
    ErrorCode.UNSUPPORTED_VERSION_NUMBER: 200,
    ErrorCode.FORBIDDEN_ACTION: 200,
    ErrorCode.INTERNAL_SERVER_ERROR: 500,
    ErrorCode.SERVICE_UNAVAILABLE: 503,
    ErrorCode.AUTHENTICATION_REQUIRED: 401,
}
# application/json too, since peers are seen to send it; nothing that a web page could make a browser post unasked.
_MEDIA_TYPES = (MEDIA_TYPE, "application/json")


class Authenticator(Protocol):
    """Who may speak as which peer (section 6.1)."""

    def __call__(self, request: HttpRequest, peer_id: str) -> str | None:
        """None where the request comes from `peer_id`; else the challenge for its sender, a WWW-Authenticate value."""


class TrackerServer:
    """A tracker for any number of swarms, whatever the path of the URI that a request is posted to.

    `select` picks the peers of a list (default: a random sample, from `random_bytes`). `authenticate` lets requests in
    (default: all). A `strict` tracker refuses every CONNECT that table 6 does not list as valid; otherwise a registered
    peer may join more swarms, and a LEECH become a SEEDER. `epoch` is the Unix time at `now == 0`.
    """

    Request: ClassVar = HttpRequest

    def __init__(
        self,
        *,
        select: PeerSelector | None = None,
        authenticate: Authenticator | None = None,
        strict: bool = False,
        limits: Limits | None = None,
        init_timer: float = INIT_TIMER,
        track_timer: float = TRACK_TIMER,
        epoch: float = 0.0,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        limits = limits or Limits()
        self.max_body = limits.body
        """Octets of the longest body that `handle` reads; it refuses a longer one, so one octet more is enough."""
        self._authenticate = authenticate
        self._registry = Registry(init_timer=init_timer, track_timer=track_timer, epoch=epoch)
        self._tracking = Tracking(self._registry, select or RandomSample(random_bytes), limits, strict=strict)
        self._answers = Answers()

    @property
    def state(self) -> TrackerState:
        """INIT without a registration, else STARTED (section 2.3)."""
        return self._registry.state

    @property
    def peer_count(self) -> int:
        """How many peers are registered."""
        return len(self._registry.peers)

    @property
    def swarm_count(self) -> int:
        """How many swarms have a peer."""
        return len(self._registry.swarms)

    def peer(self, peer_id: str) -> RegisteredPeer | None:
        """What is known of a registered peer."""
        return self._registry.peers.get(peer_id)

    def peers(self, swarm_id: str) -> tuple[RegisteredPeer, ...]:
        """The peers in a swarm, in no particular order."""
        return tuple(self._registry.members(swarm_id))

    def get_timer(self) -> float | None:
        """When `handle_timer` is due; None while no peer is registered."""
        return self._registry.get_timer()

    def handle_timer(self, now: float) -> None:
        """De-register every peer whose init or track timer has ended."""
        self._registry.handle_timer(now)

    def handle(self, request: HttpRequest, peer: tuple[str, int] | None, now: float) -> Response:
        """Answer one request; `peer` is the IP address and port it comes from, None where there is no such thing.

        Raises nothing by itself. What `select` or `authenticate` raises goes through, with nothing done but a
        registration that the init timer removes: `internal_error` is the answer then.
        """
        self.handle_timer(now)
        refused = self._refuse_http(request)
        if refused is not None:
            return refused
        try:
            message = parse_request(request.body).message
        except MessageError as error:
            return _error(error.error_code, error.transaction_id)
        challenge = self._authenticate(request, message.peer_id) if self._authenticate else None
        if challenge is not None:
            headers = (("WWW-Authenticate", challenge),)
            return _error(ErrorCode.AUTHENTICATION_REQUIRED, message.transaction_id, headers=headers)
        return self._answer(message, request.body, _sender(peer), now)

    def internal_error(self, request: HttpRequest) -> Response:
        """The answer to a request whose handling failed unexpectedly: error 04 (section 4.3)."""
        try:
            transaction_id = parse_request(request.body).message.transaction_id
        except MessageError as error:
            transaction_id = error.transaction_id
        return _error(ErrorCode.INTERNAL_SERVER_ERROR, transaction_id)

    def _refuse_http(self, request: HttpRequest) -> Response | None:
        """The answer to what is no HTTP request for a tracker; None for one that is."""
        if request.method != "POST":
            return _error(ErrorCode.BAD_REQUEST, status=405, headers=(("Allow", "POST"),))
        if len(request.body) > self.max_body:
            return _error(ErrorCode.BAD_REQUEST, status=413)
        media_type = (request.header("Content-Type") or "").partition(";")[0].strip().lower()
        coding = (request.header("Content-Encoding") or "identity").strip().lower()
        if media_type not in _MEDIA_TYPES or coding != "identity":
            return _error(ErrorCode.BAD_REQUEST, status=415, headers=(("Accept", MEDIA_TYPE),))
        return None

    def _answer(self, message: RequestMessage, body: bytes, sender: PeerAddr | None, now: float) -> Response:
        """Carry the request out, or repeat the answer to one that was carried out already."""
        key = self._answers.key(body)
        answer = self._answers.find(key, self._basis(message), now)
        if answer is None:
            try:
                answer = encode(self._tracking.carry_out(message, sender, now))
            except RefusedError as refused:
                return _error(refused.error_code, message.transaction_id)
            self._answers.store(key, self._basis(message), answer, now)
        elif (peer := self.peer(message.peer_id)) is not None:
            self._registry.step(peer, PeerInput.STAT_REPORT, now)
        return Response(200, (("Content-Type", MEDIA_TYPE),), answer)

    def _basis(self, message: RequestMessage) -> Basis:
        peer = self.peer(message.peer_id)
        if peer is None:
            return 0, 0
        return peer.number, self._registry.changes if isinstance(message, FindRequest) else peer.changes


def _error(
    code: ErrorCode,
    transaction_id: str = "",
    *,
    status: int | None = None,
    headers: tuple[tuple[str, str], ...] = (),
) -> Response:
    if code is ErrorCode.SERVICE_UNAVAILABLE:
        headers += (("Retry-After", str(RETRY_AFTER)),)
    body = encode(ResponseMessage(ResponseType.FAILED, code, transaction_id))
    return Response(status or _STATUS[code], (("Content-Type", MEDIA_TYPE), *headers), body)


def _sender(peer: tuple[str, int] | None) -> PeerAddr | None:
    """Where a request comes from, as a tracker reports it (section 4.1.1); None where that is no IP address."""
    if peer is None:
        return None
    host, port = peer
    try:
        return PeerAddr(host.partition("%")[0], port, type=AddressType.REFLEXIVE)
    except ValueError:
        return None

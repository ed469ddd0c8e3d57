"""The PPSTP tracker (RFC 7846): one HTTP request in, one HTTP response out; no socket, no clock.

Whatever comes in is answered with a PPSTP message. The RFC leaves the HTTP status open; a peer decides by the body.
"""

import json
import secrets
from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar

from ppsp.tracker.answers import Answers
from ppsp.tracker.http import Request as HttpRequest
from ppsp.tracker.http import Response
from ppsp.tracker.messages import (
    MEDIA_TYPE,
    AddressType,
    ErrorCode,
    PeerAddr,
    RequestMessage,
    ResponseMessage,
    ResponseType,
    encode,
)
from ppsp.tracker.parse import MessageError, parse_request
from ppsp.tracker.ports import Allowed, Authenticator, Denied, Registry, StoreUnavailableError
from ppsp.tracker.records import RegisteredPeer
from ppsp.tracker.registry import MemoryRegistry
from ppsp.tracker.selection import PeerSelector, RandomSample
from ppsp.tracker.states import PeerInput, TrackerState
from ppsp.tracker.tracking import Caller, Limits, RefusedError, Rules, Tracking

INIT_TIMER = 30.0
"""Seconds. The RFC names no value. A registration outlives its CONNECT only where the tracker itself failed."""
TRACK_TIMER = 180.0
"""Seconds. The RFC names no value: as long as RFC 7574 section 3.12 gives a silent peer, three reports of 60 s."""
RETRY_AFTER = 60
"""Seconds that an overloaded tracker asks a peer to wait."""
RETRY_STORE_AFTER = 5
"""Seconds to wait where the registrations are out of reach: a store that others share is back soon."""
MAX_ATTEMPTS = 8
"""How often a request is carried out anew because another tracker was faster with one of the same peer."""
STATISTICS = "/stats"
"""Where an operator finds the statistics."""
MAX_SWARMS_TOLD = 100
"""Swarms in the statistics: an operator looks at the largest."""

_KINDS = {"ConnectRequest": "CONNECT", "FindRequest": "FIND", "StatReportRequest": "STAT_REPORT"}
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


class TrackerServer:
    """A tracker for any number of swarms, whatever the path of the URI that a request is posted to.

    `registry` keeps the registrations (default: in memory, with these timers in seconds and with `epoch`, the Unix time
    at `now == 0`). `select` picks the peers of a list (default: a random sample, from `random_bytes`). `authenticate`
    lets requests in (default: all). `rules` are for peers, `limits` for what they can fill. With `has_statistics`, a
    GET of STATISTICS is answered.
    """

    Request: ClassVar = HttpRequest

    def __init__(
        self,
        *,
        registry: Registry | None = None,
        select: PeerSelector | None = None,
        authenticate: Authenticator | None = None,
        rules: Rules | None = None,
        limits: Limits | None = None,
        has_statistics: bool = False,
        init_timer: float = INIT_TIMER,
        track_timer: float = TRACK_TIMER,
        epoch: float = 0.0,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        limits = limits or Limits()
        self.max_body = limits.body
        """Octets of the longest body that `handle` reads; it refuses a longer one, so one octet more is enough."""
        self._authenticate = authenticate
        self._registry: Registry = registry or MemoryRegistry(
            init_timer=init_timer, track_timer=track_timer, epoch=epoch
        )
        self._tracking = Tracking(self._registry, select or RandomSample(random_bytes), limits, rules or Rules())
        self._has_statistics = has_statistics
        self._counts: Counter[str] = Counter()

    @property
    def state(self) -> TrackerState:
        """INIT without a registration, else STARTED (section 2.3)."""
        return self._registry.state

    @property
    def peer_count(self) -> int:
        """How many peers are registered."""
        return self._registry.peer_count

    @property
    def swarm_count(self) -> int:
        """How many swarms have a peer."""
        return self._registry.swarm_count

    def peer(self, peer_id: str) -> RegisteredPeer | None:
        """What is known of a registered peer."""
        return self._registry.peer(peer_id)

    def peers(self, swarm_id: str) -> tuple[RegisteredPeer, ...]:
        """The peers in a swarm, in no particular order; or a random sample, where many are shared with others."""
        return tuple(self._registry.members(swarm_id))

    def get_timer(self) -> float | None:
        """When `handle_timer` is due; None while no peer is registered."""
        return self._registry.get_timer()

    def handle_timer(self, now: float) -> None:
        """De-register every peer whose init or track timer has ended."""
        self._registry.handle_timer(now)

    def handle(
        self, request: HttpRequest, peer: tuple[str, int] | None, now: float, certificate: str | None = None
    ) -> Response:
        """Answer one request; `peer` is the IP address and port it comes from, None where there is no such thing.

        `certificate` is the verified name in the certificate that its sender has shown in TLS. Raises nothing by
        itself. What `select` or `authenticate` raises goes through, with nothing done but a registration that the init
        timer removes: `internal_error` is the answer then.
        """
        response = self._handle(request, peer, now, certificate)
        if response.status != 200:
            self._counts[f"status_{response.status}"] += 1
        return response

    def _handle(
        self, request: HttpRequest, peer: tuple[str, int] | None, now: float, certificate: str | None
    ) -> Response:
        if self._has_statistics and request.method in ("GET", "HEAD") and request.target == STATISTICS:
            return self._statistics(request, now, certificate)
        refused = self._refuse_http(request)
        if refused is not None:
            return refused
        # Before the message is looked at: curl asks for a Digest challenge with an empty body.
        verdict = self._judge(request, now, certificate)
        if isinstance(verdict, Denied):
            status, headers = _challenge(verdict)
            code = ErrorCode.AUTHENTICATION_REQUIRED
            return _error(code, _transaction_id(request), status=status, headers=headers)
        try:
            message = parse_request(request.body).message
        except MessageError as error:
            return _error(error.error_code, error.transaction_id)
        try:
            self.handle_timer(now)
            answer = self._answer(message, request.body, Caller(_sender(peer), verdict.holder), now)
        except RefusedError as error:
            return _error(error.error_code, message.transaction_id)
        except StoreUnavailableError:
            return _error(ErrorCode.SERVICE_UNAVAILABLE, message.transaction_id, retry_after=RETRY_STORE_AFTER)
        return Response(200, (("Content-Type", MEDIA_TYPE),), answer)

    def _judge(self, request: HttpRequest, now: float, certificate: str | None) -> Allowed | Denied:
        return self._authenticate(request, certificate, now) if self._authenticate else Allowed(certificate)

    def internal_error(self, request: HttpRequest) -> Response:
        """The answer to a request whose handling failed unexpectedly: error 04 (section 4.3)."""
        return _error(ErrorCode.INTERNAL_SERVER_ERROR, _transaction_id(request))

    def unavailable(self, request: HttpRequest) -> Response:
        """The answer to a request that there is no time for: error 05 (section 4.3)."""
        return _error(ErrorCode.SERVICE_UNAVAILABLE, _transaction_id(request), retry_after=RETRY_STORE_AFTER)

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

    def _answer(self, message: RequestMessage, body: bytes, caller: Caller, now: float) -> bytes:
        """Carry the request out, or repeat the answer to one that was carried out already. Raises RefusedError."""
        self._counts[type(message).__name__] += 1
        key = Answers.key(body)
        for _ in range(MAX_ATTEMPTS):
            remembered = self._registry.begin(message, key, now)
            try:
                self._tracking.check_holder(message, caller)
                answer = self._repeat(message, remembered, now) or encode(
                    self._tracking.carry_out(message, caller, now)
                )
            except RefusedError as refused:
                # What was refused may have ended the registration (section 2.3.2).
                if self._registry.commit(None, now):
                    self._counts[f"error_{refused.error_code:02d}"] += 1
                    raise
            else:
                if self._registry.commit(None if remembered else answer, now):
                    return answer
        raise RefusedError(ErrorCode.SERVICE_UNAVAILABLE)

    def _repeat(self, message: RequestMessage, answer: bytes | None, now: float) -> bytes | None:
        """The answer to a repeated request, which is a sign of life."""
        if answer is not None and (peer := self._registry.peer(message.peer_id)) is not None:
            self._registry.step(peer, PeerInput.STAT_REPORT, now)
        return answer

    def _statistics(self, request: HttpRequest, now: float, certificate: str | None) -> Response:
        verdict = self._judge(request, now, certificate)
        if isinstance(verdict, Denied):
            return Response(*_challenge(verdict))
        try:
            self.handle_timer(now)
            body = json.dumps(self.statistics()).encode()
        except StoreUnavailableError:
            return Response(503, (("Retry-After", str(RETRY_STORE_AFTER)),))
        return Response(200, (("Content-Type", "application/json"), ("Cache-Control", "no-store")), body)

    def statistics(self) -> dict[str, Any]:
        """What an operator wants to know (RFC 6972, OAM requirements), as JSON: counts, and never who a peer is.

        `requests`, `errors` and `statuses` are those of this tracker since it started; the others are of the registry.
        """
        counts = self._counts
        largest = self._registry.largest(MAX_SWARMS_TOLD)
        return {
            "state": self._registry.state.value,
            "peers": self._registry.peer_count,
            "swarms": self._registry.swarm_count,
            "memberships": self._registry.memberships,
            "requests": {name: counts[kind] for kind, name in _KINDS.items()},
            "errors": {name[6:]: count for name, count in sorted(counts.items()) if name.startswith("error_")},
            "statuses": {name[7:]: count for name, count in sorted(counts.items()) if name.startswith("status_")},
            "largest_swarms": [
                {"swarm_id": one.swarm_id, "seeders": one.seeders, "leeches": one.peers - one.seeders}
                for one in largest
            ],
        }


def _transaction_id(request: HttpRequest) -> str:
    """That of a message that is not carried out; empty where it cannot be read."""
    try:
        return parse_request(request.body).message.transaction_id
    except MessageError as error:
        return error.transaction_id


def _challenge(denied: Denied) -> tuple[int, tuple[tuple[str, str], ...]]:
    """The HTTP status and headers for who has not authenticated: a 401 is never without a challenge."""
    headers = tuple(("WWW-Authenticate", challenge) for challenge in denied.challenges)
    return 401 if headers else 403, headers


def _error(
    code: ErrorCode,
    transaction_id: str = "",
    *,
    status: int | None = None,
    headers: tuple[tuple[str, str], ...] = (),
    retry_after: int = RETRY_AFTER,
) -> Response:
    if code is ErrorCode.SERVICE_UNAVAILABLE:
        headers += (("Retry-After", str(retry_after)),)
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

"""The PPSTP tracker (RFC 7846): one HTTP request in, one HTTP response out; no socket, no clock.

Whatever comes in is answered with a PPSTP message. The RFC leaves the HTTP status open; a peer decides by the body.
"""

import json
import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

from attrs import define, frozen

from ppsp.tracker.answers import Answers
from ppsp.tracker.http import Request as HttpRequest
from ppsp.tracker.http import Response
from ppsp.tracker.messages import (
    MEDIA_TYPE,
    AddressType,
    ConnectRequest,
    ErrorCode,
    PeerAddr,
    RequestMessage,
    ResponseMessage,
    ResponseType,
    encode,
)
from ppsp.tracker.parse import MessageError, parse_request
from ppsp.tracker.ports import Allowed, Asked, Authenticator, Denied, Registry, StoreUnavailableError, Transaction
from ppsp.tracker.records import RegisteredPeer
from ppsp.tracker.registry import MemoryRegistry
from ppsp.tracker.rules import Limits, Rules, host_of
from ppsp.tracker.selection import PeerSelector, RandomSample
from ppsp.tracker.states import PeerInput, TrackerState
from ppsp.tracker.tracking import Caller, RefusedError, Tracking

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
TOO_MANY_REQUESTS = 429
"""The HTTP status (RFC 6585) for a host that has too many registrations: of a 503 a load balancer concludes that the
tracker is down, and whoever likes could have it say so."""
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
_HEADERS = (("Content-Type", MEDIA_TYPE),)
# application/json too, since peers are seen to send it; nothing that a web page could make a browser post unasked.
_MEDIA_TYPES = (MEDIA_TYPE, "application/json")


@frozen
class Incoming:
    """A request, and where it comes from: what `TrackerServer.handle` is given."""

    request: HttpRequest
    peer: tuple[str, int] | None
    certificate: str | None = None


@define
class _Waiting:
    """A request that is to be carried out."""

    at: int
    """Its place among those that came with it."""
    asked: Asked
    caller: Caller
    attempts: int = 0

    def has_lost(self) -> bool:
        """Another tracker was faster. Whether that was once too often."""
        self.attempts += 1
        return self.attempts >= MAX_ATTEMPTS


@define
class _Decision:
    """What a request has done, if it is committed, and its answer then."""

    transaction: Transaction
    body: bytes | None
    """What is to be the answer to repetitions."""
    response: Response
    error_code: ErrorCode | None = None


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
        registry: Registry[Any] | None = None,
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
        self._registry: Registry[Any] = registry or MemoryRegistry(
            init_timer=init_timer, track_timer=track_timer, epoch=epoch
        )
        self._limits = limits
        self._tracking = Tracking(select or RandomSample(random_bytes), limits, rules or Rules())
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
        """Answer one request; `peer` is the IP address and port it comes from, None where there is no such thing, and 0
        a port that is not known, such as behind a proxy: then the peer is not told where it is seen, nor listed there.

        `certificate` is the verified name in the certificate that its sender has shown in TLS. Raises nothing by
        itself. What `select` or `authenticate` raises goes through, with nothing done but a registration that the init
        timer removes: `internal_error` is the answer then.
        """
        answer = self.handle_all((Incoming(request, peer, certificate),), now)[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def handle_all(self, incoming: Sequence[Incoming], now: float) -> list[Response | Exception]:
        """Answer requests as `handle` does, and give back what it would raise.

        Those of different peers are carried out at once, as far as the registry can: it is waited for some few times
        for all of them. Those of one peer take effect in their order.
        """
        answers: list[Response | Exception | None] = [None] * len(incoming)
        waiting: list[_Waiting] = []
        for at, given in enumerate(incoming):
            try:
                opened = self._open(at, given, now)
            except Exception as error:  # noqa: BLE001 - given back
                answers[at] = error
                continue
            if isinstance(opened, _Waiting):
                waiting.append(opened)
            else:
                answers[at] = opened
        while waiting:
            first: dict[str, _Waiting] = {}
            for one in waiting:
                first.setdefault(one.asked.message.peer_id, one)
            for one, answer in self._carry_out(list(first.values()), now):
                answers[one.at] = answer
            waiting = [one for one in waiting if answers[one.at] is None]
        return [self._counted(answer) for answer in answers if answer is not None]

    def _counted(self, answer: Response | Exception) -> Response | Exception:
        if isinstance(answer, Response) and answer.status != 200:
            self._counts[f"status_{answer.status}"] += 1
        return answer

    def _open(self, at: int, incoming: Incoming, now: float) -> "Response | _Waiting":
        """What is to be carried out, or the answer to what is not."""
        request, certificate = incoming.request, incoming.certificate
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
        self._counts[type(message).__name__] += 1
        host = _seen(incoming.peer)
        sender = host if incoming.peer is not None and _is_port(incoming.peer[1]) else None
        is_here = incoming.peer is None or (host is not None and host.is_loopback)
        caller = Caller(host, sender, is_here, verdict.holder, _counts_for(message, host))
        return _Waiting(at, Asked(message, Answers.key(request.body), caller.counts_for), caller)

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

    def _carry_out(
        self, waiting: Sequence["_Waiting"], now: float
    ) -> Iterator[tuple["_Waiting", Response | Exception]]:
        """Carry requests out, each of another peer. Those without an answer are to be carried out anew."""
        try:
            self.handle_timer(now)
            begun = self._registry.begin([one.asked for one in waiting], now)
            decided = [self._decide(one, transaction, now) for one, transaction in zip(waiting, begun, strict=True)]
            done = [(one.transaction, one.body) for one in decided if isinstance(one, _Decision)]
            committed = iter(self._registry.commit(done, self._limits, now) if done else ())
        except StoreUnavailableError:
            yield from ((one, _store_is_away(one.asked.message)) for one in waiting)
            return
        for one, decision in zip(waiting, decided, strict=True):
            outcome: Exception | bool = next(committed) if isinstance(decision, _Decision) else decision
            if isinstance(outcome, StoreUnavailableError):
                yield one, _store_is_away(one.asked.message)
            elif isinstance(outcome, Exception):
                yield one, outcome
            elif outcome and isinstance(decision, _Decision):
                if decision.error_code is not None:
                    self._counts[f"error_{decision.error_code:02d}"] += 1
                yield one, decision.response
            elif one.has_lost():
                yield one, _error(ErrorCode.SERVICE_UNAVAILABLE, one.asked.message.transaction_id)

    def _decide(
        self, one: "_Waiting", transaction: Transaction | StoreUnavailableError, now: float
    ) -> "_Decision | Exception":
        """Carry a request out, or repeat the answer to one that was carried out already."""
        if isinstance(transaction, StoreUnavailableError):
            return transaction
        message = one.asked.message
        try:
            self._tracking.check_holder(transaction, one.caller)
            remembered = transaction.remembered
            if remembered is not None:
                if transaction.peer is not None:
                    # A repeated request is a sign of life.
                    transaction.step(PeerInput.STAT_REPORT, now)
                return _Decision(transaction, None, Response(200, _HEADERS, remembered))
            body = encode(self._tracking.carry_out(transaction, message, one.caller, now))
            return _Decision(transaction, body, Response(200, _HEADERS, body))
        except RefusedError as error:
            # What was refused may have ended the registration (section 2.3.2), so this is committed too.
            status = TOO_MANY_REQUESTS if error.is_hosts_own else None
            response = _error(error.error_code, message.transaction_id, status=status)
            return _Decision(transaction, None, response, error.error_code)
        except Exception as error:  # noqa: BLE001 - given back
            return error

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


def _store_is_away(message: RequestMessage) -> Response:
    return _error(ErrorCode.SERVICE_UNAVAILABLE, message.transaction_id, retry_after=RETRY_STORE_AFTER)


def _counts_for(message: RequestMessage, host: PeerAddr | None) -> str | None:
    """Whom the swarms that this message joins count for. Who is on this machine may be a proxy for all others."""
    if not isinstance(message, ConnectRequest) or host is None or host.is_loopback:
        return None
    return host_of(host.address)


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


def _is_port(port: int) -> bool:
    return 0 < port < 2**16


def _seen(peer: tuple[str, int] | None) -> PeerAddr | None:
    """Where a request comes from, as a tracker reports it (section 4.1.1); None where that is no IP address.

    Where the port is not known, it stands as 1: what a proxy says of it may be anything.
    """
    if peer is None:
        return None
    host, port = peer
    try:
        return PeerAddr(host.partition("%")[0], port if _is_port(port) else 1, type=AddressType.REFLEXIVE)
    except ValueError:
        return None

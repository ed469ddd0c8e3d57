"""A server of DECADE: requests in, answers out (RFC 7069).

The order of what may go wrong is the profile's, and each step is taken only when those before are passed::

    1 the head          400 405 411 415 422     5 whether it is there   404 410
    2 overload          503 307                 6 preconditions         412 304 416
    3 the token         401                     7 admission             413 507 403 429
    4 what it permits   403 451                 8 the transfer
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias
from urllib.parse import quote

import attrs

from decade._core import Ask, Core, refuse_method
from decade._pace import Pace, PacedUpload
from decade.arrivals import ArrivingError, Joining
from decade.authz import Gate, LocalPolicy
from decade.challenge import Challenges
from decade.challenge_resource import CHALLENGE_KINDS, ChallengeResource
from decade.drp import ControlResource, MessageUpload, read_route, whole_name
from decade.errors import STATUS, DecodeError, ErrorCode, RefusedError, StoreError
from decade.http import (
    Headers,
    Request,
    Response,
    hidden,
    message_response,
    problem_response,
    read_url_token,
    without_body,
)
from decade.journal import Journal, MemoryJournal
from decade.kept_policies import KeptPolicies
from decade.ledger import MemoryLedger, MemoryPolicies
from decade.lines import Line
from decade.log_resource import LOG_KINDS, LogResource
from decade.logs import Logs
from decade.messages import MEDIA_TYPE, encode_message
from decade.minting import TokenMint
from decade.named_resource import NamedResource
from decade.names import WELL_KNOWN, read_path
from decade.objects import Objects
from decade.policy import PROVIDER, PolicyTree
from decade.pop import ProofRecord, UnrecordedError
from decade.ports import Connections, Ledger, ObjectStore, Policies
from decade.problem import Problem
from decade.public import OpenAccounts
from decade.scheduler import Grant
from decade.sdt import ObjectDownload, ObjectResource, ObjectUpload
from decade.settings import DRP_PATH, LOGS, POLICY_EXTENSIONS, Extension, Settings
from decade.slots import ConnectionSlots
from decade.store import MemoryStore
from decade.token_cache import VerifiedTokenCache
from decade.tokens import Keys
from decade.transfer_book import Transfers
from decade.transfer_resource import TRANSFER_KINDS, TransferResource
from decade.transfer_toll import Toll
from decade.usage import TrafficCounter
from decade.waiting import Clock, Steps, Waiting, begin

INFO_PATH = "/.well-known/decade"
Peer: TypeAlias = tuple[str, int]
Answer: TypeAlias = "Response | PacedUpload | Joining[Answer]"
SWEEP_EVERY = 1.0
"""Seconds between two sweeps at least: an expired object is not served, so its removal can wait."""
FORGET_EVERY = 600.0
"""Seconds between two looks for what is too old in the logs, which is told to nobody meanwhile."""
RETRY_AFTER = 2.0
"""Seconds that a client waits who is sent away under load."""
_JITTER = 0.2
_VERSIONS = "/decade/v"
_URI = "%/?!$&'()*+,;=:@~"
_NO_WAIT = frozenset({429, 503})


class Server:
    """Answers requests. It is used in one thread, or under one lock."""

    def __init__(
        self,
        settings: Settings,
        keys: Keys,
        tree: PolicyTree,
        *,
        epoch: float,
        store: ObjectStore[Any] | None = None,
        ledger: Ledger | None = None,
        policies: Policies | None = None,
        connections: Connections | None = None,
        local_policy: LocalPolicy | None = None,
        journal: Journal | None = None,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """`keys`: who may issue tokens. `tree`: the accounts; it has counted what `store` has. `policies`: what
        accounts have changed in it, beside its quotas. `connections`: where processes count theirs together.

        `epoch`: the Unix time at `now` == 0. Without `store`, `ledger`, `policies` and `journal` they are in memory.
        Raises ValueError for a tree whose policies may use other extensions than the settings have, or guarantee rates
        of more than the line has.
        """
        _check_tree(tree, settings)
        ledger = MemoryLedger() if ledger is None else ledger
        limits, slots = settings.limits, ConnectionSlots(connections)
        tokens = _token_cache(keys, settings)
        gate = Gate(
            tokens=tokens,
            ledger=ledger,
            tree=tree,
            slots=slots,
            max_life=limits.max_token_life,
            is_overloaded=lambda: len(slots) + self._deciding + len(objects.arrivals) > settings.max_requests,
            local_policy=local_policy,
            members=lambda account, name, wall: objects.collections(account, name, wall),
        )
        parts = settings.processes
        self.downloads = Line(tree, is_upload=False, ceiling=settings.egress_bps, parts=parts)
        """What goes to clients, and to other servers."""
        self.uploads = Line(tree, is_upload=True, parts=parts)
        """What comes from them."""
        traffic = TrafficCounter()
        tree.listen(lambda path, policy: traffic.forget(path) if policy is None else None)
        objects = Objects(MemoryStore() if store is None else store, tree, limits)
        lines = self.downloads, self.uploads
        policies = MemoryPolicies(tree.holding) if policies is None else policies
        kept = KeptPolicies(tree, policies)
        self._core = Core(settings, gate, tree, ledger, objects, traffic, epoch, *lines, kept)
        _extend(self._core, journal, random_bytes)
        self._objects = ObjectResource(self._core, self._refuse)
        self._control = ControlResource(self._core, self._refuse)
        self._pace = Pace(self.uploads)
        self.transfers = Transfers(self._core, settings.transfers, random_bytes)
        """For the driver that does them, without which no extension lets them be ordered."""
        self._random_bytes = random_bytes
        self._resources = self._make_resources()
        self._info = encode_message(settings.info)
        self._swept = self._forgets_at = 0.0
        self._is_sweeping = False
        # Requests that have been begun and not answered, this one included: those that wait hold no slot yet.
        self._deciding = 0

    def _make_resources(self) -> Mapping[str, TransferResource | LogResource | ChallengeResource | NamedResource]:
        """Those of extensions, by the kinds of their routes."""
        challenges = Challenges(self._random_bytes)
        return {
            "named": NamedResource(self._core, self._objects),
            **dict.fromkeys(TRANSFER_KINDS, TransferResource(self._core, self.transfers, self._refuse)),
            **dict.fromkeys(LOG_KINDS, LogResource(self._core, self._control.answer)),
            **dict.fromkeys(CHALLENGE_KINDS, ChallengeResource(self._core, challenges, self._refuse)),
        }

    @property
    def logs(self) -> Logs | None:
        """What is kept of reads, and of what goes to servers; None if no log is on."""
        return self._core.logs

    @property
    def requests(self) -> int:
        """Transfers in progress."""
        return len(self._core.gate.slots)

    def handle(self, request: Request, peer: Peer | None, now: float) -> Answer | Waiting[Answer]:
        """The answer to the head of a request, or where its body goes. `peer`: the address of who asks.

        Who gets a `Waiting` and finds at its end that the client is gone closes the body, or aborts the upload, or
        cancels the `Joining`, of which there are none without that extension.
        """
        return begin(self._answer(request, peer, now))

    def set_clock(self, wall: float, now: float) -> None:
        """The Unix time at `now`, for drivers whose `now` stands still while the machine sleeps, or whose clock is set.

        A clock that is set back revives no token: the highest time that was seen holds.
        """
        self._core.epoch = wall - now

    def recall(
        self, request: Request, peer: Peer | None, now: float, *, head: Headers | None = None
    ) -> Response | None:
        """The answer to a GET like one that was answered before, with the octets of the object, which count as sent.

        None: ask `handle`. A driver that sends octets as soon as it has them asks this first. `head`: the header of an
        answer of `handle`, without whose octets the same one is wanted: somebody else sends them.
        """
        self._deciding += 1
        try:
            return self._objects.recall.answer(request, "" if peer is None else peer[0], now, head)
        finally:
            self._deciding -= 1

    def _answer(
        self, request: Request, peer: Peer | None, now: float, proof: ProofRecord | None = None
    ) -> Steps[Answer]:
        self._deciding += 1
        try:
            ask = Ask(now, request, peer[0] if peer is not None else "", self._core.wall(now), proof)
            try:
                answer = yield from self._route(ask)
            except UnrecordedError as new:
                ask.proof = yield from self._core.gate.record(new.record, ask, ask.peer)
                answer = yield from self._route(ask)
        except ArrivingError as error:
            answer = self._join(request, peer, ask, error)
        except (DecodeError, RefusedError, StoreError) as error:
            answer = self._redirect(request, error) or self._refuse(error)
        finally:
            self._deciding -= 1
        if isinstance(answer, ObjectUpload | MessageUpload):
            return self._pace.watch(answer)
        return answer if isinstance(answer, Joining) else self._finished(request, answer)

    def _finished(self, request: Request, answer: Response) -> Response:
        """An answer as this request gets it."""
        if Extension.DT in self._core.settings.extensions and read_url_token(request) is not None:
            answer = hidden(answer)
        return without_body(answer) if request.method == "HEAD" else answer

    def _join(self, request: Request, peer: Peer | None, ask: Ask, error: ArrivingError) -> Response | Joining[Answer]:
        """Who reads an object that is on its way is answered when it is there, as if asking then."""
        if Extension.JOINED not in self._core.settings.extensions or request.method != "GET":
            return self._refuse(error)

        def again(failure: RefusedError | None, now: float) -> Answer | Waiting[Answer]:
            if failure is not None:
                return self._finished(request, self._refuse(failure))
            return begin(self._answer(request, peer, now, ask.proof))

        try:
            return self._core.objects.arrivals.join(error.key, ask.now, again)
        except RefusedError as refused:
            return self._refuse(refused)

    def take(self, transfer: ObjectDownload | PacedUpload, octets: int, now: float) -> int:
        """How many octets may be sent of a download, or of those that came are paid for before more may come.

        None: the transfer waits, and grants of all of them come in its turn.
        """
        if isinstance(transfer, PacedUpload):
            return transfer.take(octets, now)
        return self.downloads.take(transfer, octets, now)

    def grant(self, now: float) -> Grant | None:
        """The transfer whose turn it is, of those that wait; None if there is none before `get_timer`.

        No octets: its account is gone, and it has to end.
        """
        grant = self.downloads.grant(now) or self.uploads.grant(now)
        while grant is not None and isinstance(grant.transfer, Toll):
            grant.transfer.go_on(grant.octets, now)
            grant = self.downloads.grant(now) or self.uploads.grant(now)
        if grant is not None and isinstance(grant.transfer, PacedUpload):
            grant.transfer.go_on(grant.octets, now)
        return grant

    def get_timer(self) -> float | None:
        """When `handle_timer` and `grant` are to be called next; maybe a time that is past."""
        try:
            expiry = None if self._is_sweeping else self._core.objects.next_expiry()
        except StoreError:
            expiry = None
        swept = None if expiry is None else max(expiry - self._core.epoch, self._swept + SWEEP_EVERY)
        forgets = None if self._core.logs is None else self._forgets_at
        parts = (self._pace, self._core.objects.arrivals, self._core.policies, self.downloads, self.uploads)
        times = (swept, forgets, *(part.get_timer() for part in parts))
        return min((time for time in times if time is not None), default=None)

    def handle_timer(self, now: float) -> Waiting[None] | None:
        """Remove objects that have expired, and end uploads that have stalled."""
        self._pace.handle_timer(now)
        self._core.objects.arrivals.handle_timer(now)
        self._core.policies.handle_timer(now)
        if self._core.logs is not None and now >= self._forgets_at:
            self._forgets_at = now + FORGET_EVERY
            self._core.logs.forget(self._core.wall(now))
        if self._is_sweeping or now < self._swept + SWEEP_EVERY:
            return None
        self._swept = now
        return begin(self._sweep(now))

    def _sweep(self, now: float) -> Steps[None]:
        self._is_sweeping = True
        # What a failing store does not remove now it is asked to again; nobody is served it meanwhile.
        try:
            if (yield from self._core.objects.sweep(self._core.wall(now), Clock(now))):
                self._swept = now - SWEEP_EVERY
        except StoreError:
            return
        finally:
            self._is_sweeping = False

    def _route(self, ask: Ask) -> Steps[Any]:
        target = ask.request.target
        path = target.partition("?")[0]
        if path == INFO_PATH:
            if ask.request.method not in ("GET", "HEAD"):
                return refuse_method("GET", "HEAD")
            return message_response(self._info, MEDIA_TYPE)
        if target.startswith(WELL_KNOWN):
            name = whole_name(read_path(path).name)
            return self._objects.check(ask.request) or (yield from self._objects.handle(ask, name))
        if target.startswith(DRP_PATH):
            route = read_route(target.removeprefix(DRP_PATH))
            if route is not None:
                resource = self._resources.get(route.kind, self._control)
                return self._control.check(ask, route) or (yield from resource.handle(ask, route))
        elif target.startswith(_VERSIONS):
            raise RefusedError(ErrorCode.UNSUPPORTED_VERSION, "this server speaks version 1")
        raise RefusedError(ErrorCode.NOT_FOUND, "there is no such resource")

    def _redirect(self, request: Request, error: Exception) -> Response | None:
        """Where to go under overload, for who asks for an object or brings one (RFC 7069 section 8.1)."""
        siblings = self._core.settings.siblings
        is_movable = request.method in ("GET", "HEAD", "PUT") and request.target.startswith(WELL_KNOWN)
        if not (isinstance(error, RefusedError) and error.code == ErrorCode.OVERLOADED and siblings and is_movable):
            return None
        if read_url_token(request) is not None:
            # Whoever follows would show the sibling a token that may not be for it.
            return None
        sibling = siblings[self._random_bytes(1)[0] % len(siblings)]
        problem = attrs.evolve(self._describe(error), alternates=siblings)
        target = quote(request.target, safe=_URI, encoding="latin-1", errors="replace")
        return problem_response(problem, status=307, headers=(("Location", sibling + target),))

    def _refuse(self, error: Exception) -> Response:
        """The answer to an error."""
        match error:
            case RefusedError():
                return problem_response(self._describe(error))
            case DecodeError():
                return problem_response(Problem(code=error.code, title=str(error)))
            case _:
                # What ails the store is not for everybody.
                broken = RefusedError(ErrorCode.OVERLOADED, "the store fails", retry_after=RETRY_AFTER)
                return problem_response(self._describe(broken))

    def _describe(self, error: RefusedError) -> Problem:
        wait = error.retry_after
        if wait is None and STATUS[error.code] in _NO_WAIT:
            wait = RETRY_AFTER
        if wait is not None:
            # Clients that were sent away together shall not return together.
            wait *= 1 + _JITTER * (self._random_bytes(1)[0] / 127.5 - 1)
        return Problem(
            code=error.code,
            title=str(error),
            retry_after=None if wait is None else max(1, round(wait * 1000)),
            dimension=error.dimension,
            limit=error.limit,
            used=error.used,
        )


def _check_tree(tree: PolicyTree, settings: Settings) -> None:
    """Whether what policies may use is what the server does. Raises ValueError."""
    if tree.extensions != settings.extensions & POLICY_EXTENSIONS:
        raise ValueError("the policies and the settings differ in their extensions")
    if Extension.GUARANTEES in settings.extensions and settings.egress_bps is not None:
        ceiling = tree.effective(PROVIDER).ceiling_download
        if ceiling is not None and ceiling > settings.egress_bps:
            raise ValueError("guarantees are of the provider's ceiling, and the line has less")


def _token_cache(keys: Keys, settings: Settings) -> VerifiedTokenCache:
    return VerifiedTokenCache(
        keys,
        audience=settings.server,
        max_life=settings.limits.max_token_life,
        features=settings.token_features,
        own=None if settings.mint_key is None else settings.mint_key.public,
    )


def _extend(core: Core, journal: Journal | None, random_bytes: Callable[[int], bytes]) -> None:
    """What only some extensions need."""
    settings = core.settings
    if settings.mint_key is not None:
        core.mint = TokenMint(settings.mint_key, core.gate.tokens.rules, random_bytes)
    if settings.extensions & LOGS:
        core.logs = Logs(MemoryJournal() if journal is None else journal, settings.log_retention)
    if Extension.PUBLIC in settings.extensions:
        core.open_accounts = OpenAccounts(core.tree)

"""Attach and AppAttach: candidates go to and fro, then the driver connects (RFC 6940 sections 6.5.1 and 6.5.2).

`Attaches` has a machine for each connection that is being made. It sends nothing itself: its owner, the node, takes
`next_step` after every call, and does what the steps say.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum, auto
from typing import Any, TypeAlias

import attrs

from reload.attach_steps import Ask, AttachEnded, Established, Step, Tell, Withdraw
from reload.candidates import (
    ACTIVE,
    PASSIVE,
    CandidatesRefusedError,
    attach_body,
    check_own,
    read_answer,
    read_offer,
)
from reload.configuration import Configuration
from reload.contents import ErrorCode, ErrorResponse, MessageCode
from reload.destinations import Destination, NodeDestination
from reload.errors import SecurityError, StateError
from reload.events import Candidates, CandidatesWanted, ConnectionAbandoned, ConnectionWanted, Role
from reload.exchange import Answer, Failure, Outcome, Reply, Request, Response
from reload.methods import AppAttachReq, AttachReqAns
from reload.ports import Identity

GATHERING_TIMEOUT = 15.0
"""Seconds for the driver to gather candidates: a requester waits no longer than that for an answer (section 6.2.1)."""
CONNECTING_TIMEOUT = 60.0
"""Seconds for the driver to connect: STUN gives up after 39.5 (RFC 5389 section 7.2.1), and a handshake follows."""
AWAITING_TIMEOUT = 15.0
"""Seconds that an Attach, said to be in progress, has to come: those in which its requester sends it again."""
MAX_INCOMING, MAX_INCOMING_OF_NODE = 64, 8
"""Attaches of others at a time, in all and of one node: the driver keeps sockets and ports for every one. A peer that
joins is asked by its neighbors and by those that take it as a finger, some tens at once; a node asks more than once
when it does not know that several Resource-IDs lead to one peer, and when it begins anew."""
MAX_INCOMING_BY_HOP = 48
"""Of these, those that have come through one neighbor: one with many Node-IDs leaves room for who comes otherwise."""


class State(Enum):
    """How far an Attach is: the first two and the last two are those of a requester, ANSWERING that of an answerer."""

    GATHERING = auto()
    ASKED = auto()
    ANSWERING = auto()
    CONNECTING = auto()
    AWAITING = auto()
    FOLLOWING = auto()


class _Input(Enum):
    CANDIDATES = auto()
    ANSWERED = auto()
    IN_PROGRESS = auto()
    REFUSED = auto()
    PEER_ASKS = auto()
    ESTABLISHED = auto()
    FAILED = auto()
    TIMEOUT = auto()


_TIMEOUTS = {
    State.GATHERING: GATHERING_TIMEOUT,
    State.ANSWERING: GATHERING_TIMEOUT,
    State.CONNECTING: CONNECTING_TIMEOUT,
    State.AWAITING: AWAITING_TIMEOUT,
}
"""An ASKED one ends with its request, a FOLLOWING one with the one that it follows."""


@attrs.define(eq=False)
class _Attach:
    """One Attach. `peer` is known to its answerer at once, to its requester by a Node-ID or the answer.

    `send_update` is what this node asks for, `request` what it is to answer. `followers` are the numbers of requesters
    whose connection this one will be, too.
    """

    number: int
    application: int | None
    state: State
    destination_list: tuple[Destination, ...] = ()
    peer: bytes | None = None
    send_update: bool = False
    request: Request | None = None
    transaction: int | None = None
    local: Candidates | None = None
    remote: Candidates | None = None
    update_wanted: bool = False
    deadline: float | None = None
    followers: list[int] = attrs.Factory(list)

    @property
    def key(self) -> tuple[bytes | None, int | None]:
        """Whom with, and what for."""
        return self.peer, self.application


class Attaches:
    """The Attaches and AppAttaches of a node, both ways.

    `numbers` are given to them, and shared with whatever else the node numbers. `configuration` is the one in force:
    set it when it changes.
    """

    def __init__(
        self,
        node_id: bytes,
        configuration: Configuration,
        numbers: Iterator[int],
        *,
        applications: Iterable[int] = (),
    ) -> None:
        self.configuration = configuration
        self._node_id = node_id
        self._numbers = numbers
        self._applications = frozenset(applications)
        self._all: dict[int, _Attach] = {}
        self._own: dict[tuple[bytes | None, int | None], _Attach] = {}
        self._incoming: dict[tuple[bytes | None, int | None], list[_Attach]] = {}
        self._by_transaction: dict[int, _Attach] = {}
        self._steps: deque[Step] = deque()

    def __len__(self) -> int:
        """Attaches that have not ended."""
        return len(self._all)

    # Verbs.
    def begin(
        self,
        destination_list: Sequence[Destination],
        now: float,
        *,
        send_update: bool = False,
        application: int | None = None,
    ) -> int:
        """Attach to whom the list leads to; `AttachEnded` tells the outcome. Returns the number of it.

        Raises StateError: there is no destination, or it is this node.
        """
        if not destination_list:
            raise StateError("Attach: to whom?")
        last, peer = destination_list[-1], None
        if isinstance(last, NodeDestination) and not last.is_wildcard:
            peer = last.node_id
        if peer == self._node_id:
            raise StateError("Attach: this is the node itself")
        attach = _Attach(
            next(self._numbers), application, State.GATHERING, tuple(destination_list), peer, send_update=send_update
        )
        self._all[attach.number] = attach
        if peer is None or not self._join_another(attach):
            self._enter(attach, State.GATHERING, now)
            if peer is not None:
                self._own[attach.key] = attach
            self._steps.append(CandidatesWanted(attach.number, application))
        return attach.number

    def provide_candidates(self, attach: int, local: Candidates, now: float) -> None:
        """What `CandidatesWanted` asks for. Raises StateError: nobody waits for them, or they must not be sent."""
        found = self._waiting(attach, _Input.CANDIDATES)
        check_own(local, self.configuration)
        found.local = local
        self._input(found, _Input.CANDIDATES, None, now)

    def established(self, attach: int, identity: Identity, now: float) -> Established:
        """The driver is connected to a node that has shown a certificate.

        Raises StateError when no connection is being made for this Attach, and SecurityError when it is not the node
        that has sent the Attach or its answer: the Attach has failed, and the connection is to be closed.
        """
        found = self._waiting(attach, _Input.ESTABLISHED)
        assert found.peer is not None
        if found.peer not in identity.node_ids:
            self._fail(found, "the connection leads to another node", now)
            raise SecurityError(f"connection: its certificate is not that of {found.peer.hex()}")
        established = Established(found.peer, found.update_wanted, found.application)
        self._input(found, _Input.ESTABLISHED, None, now)
        return established

    def failed(self, attach: int, now: float) -> None:
        """The driver can not gather candidates, or not connect. Raises StateError when it was not asked to."""
        found = self._waiting(attach, _Input.FAILED)
        self._input(found, _Input.FAILED, "it could not be connected", now)

    def abandon_all(self, now: float) -> None:
        """End all of them, as the node leaves."""
        for attach in list(self._all.values()):
            if attach.number in self._all and attach.state is not State.FOLLOWING:
                self._abandon(attach, "given up", now)

    def on_request(self, request: Request, now: float) -> Reply | None:
        """Answer an Attach or an AppAttach of another node; None when it is answered later, if at all."""
        peer, application = request.identity.node_id, None
        if isinstance(request.body, AppAttachReq):
            application = request.body.application
            if application not in self._applications:
                return ErrorResponse(ErrorCode.NOT_FOUND, b"no such application here")
        if peer == self._node_id:
            return ErrorResponse(ErrorCode.FORBIDDEN, b"an Attach to oneself")
        try:
            remote = read_offer(request.body, application, self.configuration)
        except CandidatesRefusedError as exc:
            return ErrorResponse(exc.error_code, str(exc).encode())
        earlier, own = self._incoming.get((peer, application), []), self._own.get((peer, application))
        for each in earlier:
            if _is_repetition(each, request):
                return _answer(each) if each.state is State.CONNECTING else None
        if own is not None and self._goes_first(own):
            return ErrorResponse(ErrorCode.IN_PROGRESS)
        if len(earlier) >= MAX_INCOMING_OF_NODE:
            return ErrorResponse(ErrorCode.IN_PROGRESS, b"too many of this node")
        if not self._has_room(request.previous_hop):
            return ErrorResponse(ErrorCode.REQUEST_TIMEOUT, b"too many Attaches at a time: try later")
        self._open(request, application, remote, own, now)
        return None

    def _has_room(self, hop: bytes) -> bool:
        hops = [each.request.previous_hop for some in self._incoming.values() for each in some if each.request]
        return len(hops) < MAX_INCOMING and hops.count(hop) < MAX_INCOMING_BY_HOP

    def _open(
        self, request: Request, application: int | None, remote: Candidates, own: _Attach | None, now: float
    ) -> None:
        """Begin to answer; an Attach of this node to the same peer yields.

        Others of the peer go on, as it has been told, or is to be told, that it can connect: it does not know whom an
        Attach to a Resource-ID leads to, and answers may be late (section 6.5.1.2 has each of them answered).
        """
        peer = request.identity.node_id
        attach = _Attach(next(self._numbers), application, State.ANSWERING, peer=peer, request=request, remote=remote)
        if isinstance(request.body, AttachReqAns):
            attach.update_wanted = request.body.send_update
        self._all[attach.number] = attach
        self._enter(attach, State.ANSWERING, now)
        if own is not None:
            self._input(own, _Input.PEER_ASKS, attach, now)
        incoming = self._incoming.setdefault(attach.key, [])
        if incoming:
            # If the peer has begun anew, it has forgotten the others.
            earlier = incoming[-1]
            attach.send_update |= earlier.send_update
            attach.followers += earlier.followers
            earlier.followers = []
        incoming.append(attach)
        self._steps.append(CandidatesWanted(attach.number, application))

    def asked(self, attach: int, transaction: int) -> None:
        """The number of the request that an `Ask` was. If its Attach has ended since, that is withdrawn."""
        found = self._all.get(attach)
        if found is None or found.state is not State.ASKED:
            self._steps.append(Withdraw(transaction))
            return
        found.transaction = transaction
        self._by_transaction[transaction] = found

    def on_outcome(self, outcome: Outcome, now: float) -> None:
        """What became of an `Ask`."""
        attach = self._by_transaction.pop(outcome.transaction, None)
        if attach is None:
            return
        attach.transaction = None
        event = _Input.ANSWERED
        if isinstance(outcome, Failure):
            is_under_way = outcome.error is not None and outcome.error.error_code == ErrorCode.IN_PROGRESS
            event = _Input.IN_PROGRESS if is_under_way else _Input.REFUSED
        self._input(attach, event, outcome, now)

    def next_step(self) -> Step | None:
        """What the node has to do next, if anything."""
        return self._steps.popleft() if self._steps else None

    def get_timer(self) -> float | None:
        """When the first of them has taken too long."""
        return min((each.deadline for each in self._all.values() if each.deadline is not None), default=None)

    def handle_timer(self, now: float) -> None:
        """End those that have taken too long."""
        for attach in list(self._all.values()):
            if attach.deadline is not None and attach.deadline <= now:
                self._input(attach, _Input.TIMEOUT, None, now)

    def is_abandoned(self, attach: int) -> bool:
        """Whether nothing of the driver is wanted any more for this Attach, or never was."""
        found = self._all.get(attach)
        return found is None or found.state in (State.AWAITING, State.FOLLOWING)

    # The machine.
    def _waiting(self, number: int, event: _Input) -> _Attach:
        """The Attach, if it waits for this. Raises StateError."""
        attach = self._all.get(number)
        if attach is None or event not in _TABLE[attach.state]:
            state = "has ended" if attach is None else f"is {attach.state.name}"
            raise StateError(f"Attach {number} {state}: {event.name} makes no sense")
        return attach

    def _input(self, attach: _Attach, event: _Input, detail: Any, now: float) -> None:
        action = _TABLE[attach.state].get(event)
        if action is not None:
            action(self, attach, detail, now)

    def _enter(self, attach: _Attach, state: State, now: float) -> None:
        attach.state = state
        timeout = _TIMEOUTS.get(state)
        attach.deadline = None if timeout is None else now + timeout

    def _join_another(self, attach: _Attach) -> bool:
        """Follow an Attach that is under way with the same peer, if it asks for an Update where this one does."""
        for other in (self._own.get(attach.key), self._newest(attach.key)):
            if other is not None and other.state in (State.GATHERING, State.ANSWERING, State.AWAITING):
                other.send_update |= attach.send_update
            if other is not None and other.send_update >= attach.send_update:
                self._follow(attach, other)
                return True
        return False

    def _follow(self, attach: _Attach, leader: _Attach) -> None:
        """What becomes of `leader` becomes of this one, and of those that have followed it."""
        self._forget(attach)
        attach.state, attach.deadline = State.FOLLOWING, None
        leader.followers += attach.followers
        attach.followers = []
        if attach.request is None:
            self._all[attach.number] = attach
            leader.followers.append(attach.number)

    def _newest(self, key: tuple[bytes | None, int | None]) -> _Attach | None:
        """Of those that a peer has begun, the last one."""
        incoming = self._incoming.get(key)
        return incoming[-1] if incoming else None

    def _forget(self, attach: _Attach) -> None:
        self._all.pop(attach.number, None)
        if self._own.get(attach.key) is attach:
            del self._own[attach.key]
        if attach.request is not None:
            self._incoming[attach.key].remove(attach)
            if not self._incoming[attach.key]:
                del self._incoming[attach.key]
        if attach.transaction is not None:
            del self._by_transaction[attach.transaction]
            self._steps.append(Withdraw(attach.transaction))
            attach.transaction = None

    def _goes_first(self, own: _Attach) -> bool:
        """Whether an Attach of this node forbids the peer's own (section 6.5.1.2)."""
        if own.state is State.ASKED:
            assert own.peer is not None
            return self._node_id > own.peer
        return own.state is State.CONNECTING

    def _ask(self, attach: _Attach, _: None, now: float) -> None:
        assert attach.local is not None
        code = MessageCode.ATTACH_REQ if attach.application is None else MessageCode.APP_ATTACH_REQ
        body = attach_body(attach.local, PASSIVE, attach.application, send_update=attach.send_update)
        self._steps.append(Ask(attach.number, attach.destination_list, code, body))
        self._enter(attach, State.ASKED, now)

    def _tell(self, attach: _Attach, _: None, now: float) -> None:
        assert attach.request is not None
        self._steps.append(Tell(attach.request, _answer(attach)))
        self._connect(attach, Role.ACTIVE, now)

    def _connect(self, attach: _Attach, role: Role, now: float) -> None:
        self._enter(attach, State.CONNECTING, now)
        assert attach.peer is not None
        assert attach.local is not None
        assert attach.remote is not None
        self._steps.append(
            ConnectionWanted(attach.number, role, attach.peer, attach.local, attach.remote, attach.application)
        )

    def _answered(self, attach: _Attach, response: Response, now: float) -> None:
        peer = response.identity.node_id
        try:
            attach.remote = read_answer(response.body, attach.application, self.configuration)
        except CandidatesRefusedError as exc:
            self._abandon(attach, f"what {peer.hex()} has answered: {exc}", now)
            return
        if peer == self._node_id:
            self._abandon(attach, "it has led to this node itself", now)
            return
        if self._own.get(attach.key) is attach:
            del self._own[attach.key]
        attach.peer = peer
        attach.update_wanted = attach.application is None and response.body.send_update
        other = self._own.get(attach.key)
        if other is not None and other.state is State.AWAITING:
            # This is what the peer has called in progress.
            self._yield(other, attach, now)
        self._own[attach.key] = attach
        self._connect(attach, Role.PASSIVE, now)

    def _in_progress(self, attach: _Attach, failure: Failure, now: float) -> None:
        """The peer's own Attach goes first: it is here already, or comes soon."""
        peer = attach.peer if failure.identity is None else failure.identity.node_id
        if peer is None or peer == self._node_id:
            self._refused(attach, failure, now)
            return
        if self._own.get(attach.key) is attach:
            del self._own[attach.key]
        attach.peer = peer
        leader = self._newest(attach.key) or self._own.get(attach.key)
        if leader is not None:
            self._yield(attach, leader, now)
            return
        self._steps.append(ConnectionAbandoned(attach.number))
        self._own[attach.key] = attach
        self._enter(attach, State.AWAITING, now)

    def _yield(self, attach: _Attach, leader: _Attach, now: float) -> None:
        """The connection of `leader` takes the place of this one."""
        if attach.state is not State.AWAITING:
            self._steps.append(ConnectionAbandoned(attach.number))
        if leader.state is State.ANSWERING:
            leader.send_update |= attach.send_update
        self._follow(attach, leader)

    def _refused(self, attach: _Attach, failure: Failure, now: float) -> None:
        self._steps.append(ConnectionAbandoned(attach.number))
        self._end(attach, None, failure.reason or "it was refused", failure.error)

    def _done(self, attach: _Attach, _: None, now: float) -> None:
        self._end(attach, attach.peer)

    def _fail(self, attach: _Attach, reason: str, now: float) -> None:
        if attach.state is State.ANSWERING:
            assert attach.request is not None
            error = ErrorResponse(ErrorCode.REQUEST_TIMEOUT, b"no candidates here: try later")
            self._steps.append(Tell(attach.request, error))
        self._end(attach, None, reason)

    def _abandon(self, attach: _Attach, reason: str | None, now: float) -> None:
        if attach.state is not State.AWAITING:
            self._steps.append(ConnectionAbandoned(attach.number))
        self._fail(attach, reason or f"it has taken too long, {attach.state.name}", now)

    def _end(self, attach: _Attach, peer: bytes | None, reason: str = "", error: ErrorResponse | None = None) -> None:
        self._forget(attach)
        requesters = attach.followers if attach.request is not None else [attach.number, *attach.followers]
        for number in requesters:
            self._all.pop(number, None)
            self._steps.append(AttachEnded(number, peer, attach.application, error, reason))


_Action: TypeAlias = Callable[[Attaches, _Attach, Any, float], None]
_TABLE: dict[State, dict[_Input, _Action]] = {
    State.GATHERING: {
        _Input.CANDIDATES: Attaches._ask,
        _Input.PEER_ASKS: Attaches._yield,
        _Input.FAILED: Attaches._fail,
        _Input.TIMEOUT: Attaches._abandon,
    },
    State.ASKED: {
        _Input.ANSWERED: Attaches._answered,
        _Input.IN_PROGRESS: Attaches._in_progress,
        _Input.REFUSED: Attaches._refused,
        _Input.PEER_ASKS: Attaches._yield,
        _Input.FAILED: Attaches._fail,
    },
    State.ANSWERING: {
        _Input.CANDIDATES: Attaches._tell,
        _Input.FAILED: Attaches._fail,
        _Input.TIMEOUT: Attaches._abandon,
    },
    State.CONNECTING: {
        _Input.ESTABLISHED: Attaches._done,
        _Input.FAILED: Attaches._fail,
        _Input.TIMEOUT: Attaches._abandon,
    },
    State.AWAITING: {_Input.PEER_ASKS: Attaches._yield, _Input.TIMEOUT: Attaches._abandon},
    State.FOLLOWING: {},
}


def _is_repetition(earlier: _Attach, request: Request) -> bool:
    """Whether this request is the one that is being answered, sent once more."""
    assert earlier.request is not None
    return earlier.request.header.transaction_id == request.header.transaction_id


def _answer(attach: _Attach) -> Answer:
    assert attach.local is not None
    return Answer(attach_body(attach.local, ACTIVE, attach.application, send_update=attach.send_update))

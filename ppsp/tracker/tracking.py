"""What a tracker does with a message whose sender may speak: register, list, record (RFC 7846 sections 2.3 and 4.1)."""

import hashlib
from collections.abc import Iterable, Iterator, Set

from attrs import frozen

from ppsp.errors import PpspError
from ppsp.tracker.messages import (
    AbilityNat,
    Action,
    AddressType,
    ConnectRequest,
    ErrorCode,
    FindRequest,
    PeerAddr,
    PeerInfo,
    PeerNum,
    RequestMessage,
    ResponseMessage,
    ResponseType,
    StatReportRequest,
    SwarmAction,
    SwarmResult,
)
from ppsp.tracker.ports import Transaction
from ppsp.tracker.records import RegisteredPeer
from ppsp.tracker.rules import Limits, Rules, host_of
from ppsp.tracker.selection import PeerSelector
from ppsp.tracker.states import PeerInput, PeerState, judge

MAX_PEER_COUNT = 29
"""Peers in one list: "peer_count should be less than 30" (section 3.2.2)."""
MAX_LISTED = 10 * MAX_PEER_COUNT
"""Addresses in all the lists of one answer: of more peers than anybody needs, and with the longest of IDs below the
megabyte that this package's client reads, for a CONNECT to hundreds of swarms too."""


@frozen
class Caller:
    """Who a request comes from."""

    host: PeerAddr | None
    """The address that the tracker sees, whatever its port says; None where it is no IP address."""
    sender: PeerAddr | None
    """The same, where the port is known: behind a proxy it may not be."""
    is_here: bool
    """Whether they are on the tracker's machine."""
    holder: str | None
    """The name by which authentication knows them."""
    counts_for: str | None
    """The host that what they join counts for; None where it counts for nobody."""


class RefusedError(PpspError):
    """The request is answered with this error code, without peer_addr and swarm_result (section 4.3)."""

    def __init__(self, error_code: ErrorCode, *, is_hosts_own: bool = False) -> None:
        super().__init__(error_code.name)
        self.error_code = error_code
        self.is_hosts_own = is_hosts_own
        """Whether it is the sender's host that has too much, and not the tracker."""


class Tracking:
    """What requests do, between the begin and the commit of a transaction."""

    def __init__(self, select: PeerSelector, limits: Limits, rules: Rules) -> None:
        self._select = select
        self._limits = limits
        self._rules = rules

    def check_holder(self, transaction: Transaction, caller: Caller) -> None:
        """Raises RefusedError if somebody else has registered the peer ID."""
        peer = transaction.peer
        if peer is not None and peer.holder is not None and peer.holder != self._holder(caller):
            raise RefusedError(ErrorCode.FORBIDDEN_ACTION)

    def _holder(self, caller: Caller) -> str | None:
        """Who registers: a user, a host, or nobody in particular; short, however long the name in a certificate is."""
        if caller.holder is not None:
            return f"user {hashlib.sha256(caller.holder.encode(errors='surrogatepass')).hexdigest()}"
        return f"host {host_of(caller.host.address)}" if self._rules.hold_ids and caller.host is not None else None

    def carry_out(
        self, transaction: Transaction, message: RequestMessage, caller: Caller, now: float
    ) -> ResponseMessage:
        """Do what a peer asks. Raises RefusedError.

        What the selector raises goes through: nothing is done then but a registration that the init timer removes.
        """
        match message:
            case ConnectRequest():
                return self._connect(transaction, message, caller, now)
            case FindRequest():
                return self._find(transaction, message, caller.sender, now)
            case StatReportRequest():
                return self._stat_report(transaction, message, now)

    def _connect(
        self, transaction: Transaction, message: ConnectRequest, caller: Caller, now: float
    ) -> ResponseMessage:
        known = transaction.peer
        if known is None and transaction.peer_count >= self._limits.peers:
            raise RefusedError(ErrorCode.SERVICE_UNAVAILABLE)
        addresses = self._addresses(message, caller, known)
        peer = transaction.connect(now)
        state = peer.state if peer.state is PeerState.TRACKING else PeerState.START
        verdict = judge(state, message.swarm_action, strict=self._rules.strict)
        if not verdict.valid:
            terminate = verdict.final is PeerState.TERMINATE
            transaction.step(PeerInput.TERMINATING_ACTIONS if terminate else PeerInput.ACTIONS_REFUSED, now)
            raise RefusedError(ErrorCode.FORBIDDEN_ACTION)
        refused = self._refused(transaction, peer, message.swarm_action, caller.counts_for)
        if len(refused) == len(message.swarm_action):
            transaction.step(PeerInput.ACTIONS_REFUSED, now)
            # What may succeed later is the better news.
            raise max(refused.values(), key=lambda refusal: refusal.error_code)
        self._note(peer, message, caller)
        results = tuple(self._results(transaction, peer, message, refused.keys()))
        peer.peer_addr = addresses
        for action in message.swarm_action:
            if action.swarm_id not in refused:
                _act(transaction, action)
        transaction.step(PeerInput.ACTIONS_DONE if peer.swarms else PeerInput.LEFT_LAST_SWARM, now)
        return _success(message, results, _reflexive(peer, message.peer_num, caller.sender))

    def _note(self, peer: RegisteredPeer, message: ConnectRequest, caller: Caller) -> None:
        """Keep what a CONNECT says of its peer, for others' lists."""
        peer.holder = self._holder(caller)
        peer.announced = peer.announced or bool(message.peer_addr)
        peer.properties = message.peer_num or peer.properties
        if caller.host is not None:
            peer.source = caller.host.address

    def _addresses(self, message: ConnectRequest, caller: Caller, peer: RegisteredPeer | None) -> tuple[PeerAddr, ...]:
        """The addresses to list for the peer: announced now, announced before, or the one the request comes from.

        The last is what the RFC's example lists, and moves with the peer; its port is that of the HTTP connection, so a
        peer should announce.
        """
        if message.peer_addr:
            if not all(address.is_unicast for address in message.peer_addr):
                raise RefusedError(ErrorCode.BAD_REQUEST)
            # Who is elsewhere and announces a loopback address sends each of the others to its own machine.
            usable = [address for address in message.peer_addr if caller.is_here or not address.is_loopback]
            if not usable:
                raise RefusedError(ErrorCode.BAD_REQUEST)
            if self._rules.own_addresses and caller.host is not None:
                usable = [one for one in usable if one.address == caller.host.address or one.is_private]
                if not usable:
                    raise RefusedError(ErrorCode.FORBIDDEN_ACTION)
            best_first = sorted(usable, key=lambda address: -address.priority)
            return tuple(best_first[: self._limits.addresses])
        if peer is not None and (peer.announced or caller.sender is None):
            return peer.peer_addr
        if caller.sender is None:
            raise RefusedError(ErrorCode.BAD_REQUEST)
        return (caller.sender,)

    def _refused(
        self, transaction: Transaction, peer: RegisteredPeer, actions: tuple[SwarmAction, ...], host: str | None
    ) -> dict[str, RefusedError]:
        """The swarms whose action cannot be carried out, and why."""
        refused = {}
        limits, of_peer, octets = self._limits, len(peer.swarms), _octets(peer.swarms)
        # All that the peer is in is to count for the host that asks.
        of_host = transaction.memberships_of_host + of_peer
        memberships, swarms = transaction.memberships, transaction.swarm_count
        for action in actions:
            is_member = action.swarm_id in peer.swarms
            if action.action is Action.LEAVE:
                if not is_member:
                    refused[action.swarm_id] = RefusedError(ErrorCode.FORBIDDEN_ACTION)
            elif not is_member:
                is_new = not transaction.has_swarm(action.swarm_id)
                longer = octets + _octets((action.swarm_id,))
                if of_peer >= limits.swarms_per_peer or longer > limits.swarm_ids_per_peer:
                    refused[action.swarm_id] = RefusedError(ErrorCode.FORBIDDEN_ACTION)
                elif host is not None and of_host >= limits.memberships_per_host:
                    refused[action.swarm_id] = RefusedError(ErrorCode.SERVICE_UNAVAILABLE, is_hosts_own=True)
                elif memberships >= limits.memberships or (is_new and swarms >= limits.swarms):
                    refused[action.swarm_id] = RefusedError(ErrorCode.SERVICE_UNAVAILABLE)
                else:
                    memberships, of_peer, of_host, swarms = memberships + 1, of_peer + 1, of_host + 1, swarms + is_new
                    octets = longer
        return refused

    def _results(
        self, transaction: Transaction, peer: RegisteredPeer, message: ConnectRequest, refused: Set[str]
    ) -> Iterator[SwarmResult]:
        """A result for each action, in their order, with a list for a swarm joined as LEECH or with `peer_num`."""
        room = MAX_LISTED
        for action in message.swarm_action:
            if action.swarm_id in refused:
                yield SwarmResult(action.swarm_id, ResponseType.FAILED)
                continue
            group: tuple[PeerInfo, ...] | None = None
            if message.wants_peers(action):
                listed = self._list(transaction, peer, action.swarm_id, message.peer_num, room)
                room -= len(listed)
                # The schema allows no empty list, and CONNECT does without one.
                group = listed or None
            yield SwarmResult(action.swarm_id, ResponseType.SUCCESSFUL, group)

    def _find(
        self, transaction: Transaction, message: FindRequest, sender: PeerAddr | None, now: float
    ) -> ResponseMessage:
        peer = _tracked(transaction)
        if message.swarm_id not in peer.swarms:
            raise RefusedError(ErrorCode.FORBIDDEN_ACTION)
        # "The response MUST include a peer_group element", so it is there even when it is empty.
        group = self._list(transaction, peer, message.swarm_id, message.peer_num, MAX_LISTED)
        transaction.step(PeerInput.FIND, now)
        result = SwarmResult(message.swarm_id, ResponseType.SUCCESSFUL, group)
        return _success(message, (result,), _reflexive(peer, message.peer_num, sender))

    def _stat_report(self, transaction: Transaction, message: StatReportRequest, now: float) -> ResponseMessage:
        peer = _tracked(transaction)
        known = [stat for stat in message.stat if stat.swarm_id in peer.swarms]
        if message.stat and not known:
            raise RefusedError(ErrorCode.FORBIDDEN_ACTION)
        for stat in known:
            transaction.record(stat)
        transaction.step(PeerInput.STAT_REPORT, now)
        results = tuple(
            SwarmResult(stat.swarm_id, ResponseType(stat.swarm_id not in peer.swarms)) for stat in message.stat
        )
        return _success(message, results, None)

    def _list(
        self, transaction: Transaction, peer: RegisteredPeer, swarm_id: str, peer_num: PeerNum | None, room: int
    ) -> tuple[PeerInfo, ...]:
        """Other peers of the swarm: an entry for each address, since `peer_info` has room for one; `room` at most."""
        count = min(room, MAX_PEER_COUNT, peer_num.peer_count if peer_num else MAX_PEER_COUNT)
        members = transaction.members(swarm_id)
        listed: list[PeerInfo] = []
        seen = {peer.peer_id}
        if count > 0 and members:
            for other in self._select(members, peer, peer_num, count):
                if other.peer_id not in seen:
                    seen.add(other.peer_id)
                    listed += (PeerInfo(other.peer_id, address) for address in other.peer_addr)
                if len(seen) > count or len(listed) >= room:
                    break
        return tuple(listed[:room])


def _act(transaction: Transaction, action: SwarmAction) -> None:
    match action.action:
        case Action.JOIN:
            transaction.join(action.swarm_id, action.peer_mode)
        case Action.LEAVE:
            transaction.leave(action.swarm_id)


def _octets(swarm_ids: Iterable[str]) -> int:
    return sum(len(one.encode()) for one in swarm_ids)


def _tracked(transaction: Transaction) -> RegisteredPeer:
    """The sender's registration; without one, condition B of section 2.3.2."""
    peer = transaction.peer
    if peer is None or peer.state is not PeerState.TRACKING:
        raise RefusedError(ErrorCode.FORBIDDEN_ACTION)
    return peer


def _reflexive(peer: RegisteredPeer, peer_num: PeerNum | None, sender: PeerAddr | None) -> PeerAddr | None:
    """The address the request comes from; none for a peer that uses STUN or TURN to learn it (section 4.1.1)."""
    ability = peer_num.ability_nat if peer_num else None
    gathered = peer.announced and any(address.type is not AddressType.HOST for address in peer.peer_addr)
    return None if gathered or ability in (AbilityNat.STUN, AbilityNat.TURN) else sender


def _success(message: RequestMessage, results: tuple[SwarmResult, ...], peer_addr: PeerAddr | None) -> ResponseMessage:
    return ResponseMessage(ResponseType.SUCCESSFUL, ErrorCode.NO_ERROR, message.transaction_id, peer_addr, results)

"""What a tracker does with a message whose sender may speak: register, list, record (RFC 7846 sections 2.3 and 4.1)."""

import hashlib
from collections.abc import Iterator

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
    PeerMode,
    PeerNum,
    RequestMessage,
    ResponseMessage,
    ResponseType,
    StatReportRequest,
    SwarmAction,
    SwarmResult,
)
from ppsp.tracker.ports import Registry
from ppsp.tracker.records import RegisteredPeer
from ppsp.tracker.selection import PeerSelector
from ppsp.tracker.states import PeerInput, PeerState, judge

MAX_PEER_COUNT = 29
"""Peers in one list: "peer_count should be less than 30" (section 3.2.2)."""
MAX_LISTED = 10 * MAX_PEER_COUNT
"""Addresses in all the lists of one answer: of more peers than anybody needs, and with the longest of IDs below the
megabyte that this package's client reads, for a CONNECT to hundreds of swarms too."""


@frozen
class Limits:
    """What peers can fill, and how far."""

    body: int = 64 * 2**10
    """Octets of a request: a CONNECT to 500 swarms has some 65,000."""
    peers: int = 200_000
    """Registrations at once, of some 1 KiB each, and of 7 where a peer makes the most of it: 200 MiB to 1.4 GiB."""
    swarms: int = 100_000
    """A swarm costs a list, and its ID up to 8 KiB: 20 to 850 MiB."""
    memberships: int = 1_000_000
    """Over all peers, of up to 450 octets each, statistics included; the product of the limits around would be 2e8."""
    swarms_per_peer: int = 1024
    """An edge cache seeds many, a viewer is in a few."""
    addresses: int = 8
    """Of one peer; those with the highest priority count. The ICE candidates of two interfaces are 4 to 6."""


@frozen
class Rules:
    """What a tracker asks of peers beyond what the RFC does. All of it costs some honest peers something."""

    strict: bool = False
    """Refuse every CONNECT that table 6 does not list as valid; else a registered peer may join more swarms, and a
    LEECH become a SEEDER."""
    hold_ids: bool = False
    """A peer ID in use belongs to the IP address that registered it, where no authentication says whose it is: others
    read it in lists, and could make its peer leave. A peer that moves registers anew when its track timer has ended;
    one that comes by IPv4 and IPv6 in turns is refused half of the time."""
    own_addresses: bool = False
    """List a peer only at the address that its request comes from, and at private ones: else a peer can point swarms
    at a victim. Peers at relays (TURN), and those with two families of addresses, lose one."""


@frozen
class Caller:
    """Who a request comes from."""

    sender: PeerAddr | None
    """The address that the tracker sees."""
    holder: str | None
    """The name by which authentication knows them."""


class RefusedError(PpspError):
    """The request is answered with this error code, without peer_addr and swarm_result (section 4.3)."""

    def __init__(self, error_code: ErrorCode) -> None:
        super().__init__(error_code.name)
        self.error_code = error_code


class Tracking:
    """The registered peers, and what their requests do."""

    def __init__(self, registry: Registry, select: PeerSelector, limits: Limits, rules: Rules) -> None:
        self._registry = registry
        self._select = select
        self._limits = limits
        self._rules = rules

    def check_holder(self, message: RequestMessage, caller: Caller) -> None:
        """Raises RefusedError if somebody else has registered the peer ID."""
        peer = self._registry.peer(message.peer_id)
        if peer is not None and peer.holder is not None and peer.holder != self._holder(caller):
            raise RefusedError(ErrorCode.FORBIDDEN_ACTION)

    def _holder(self, caller: Caller) -> str | None:
        """Who registers: a user, a host, or nobody in particular; short, however long the name in a certificate is."""
        if caller.holder is not None:
            return f"user {hashlib.sha256(caller.holder.encode(errors='surrogatepass')).hexdigest()}"
        return f"host {caller.sender.address}" if self._rules.hold_ids and caller.sender is not None else None

    def carry_out(self, message: RequestMessage, caller: Caller, now: float) -> ResponseMessage:
        """Do what a peer asks. Raises RefusedError.

        What the selector raises goes through: nothing is done then but a registration that the init timer removes.
        """
        match message:
            case ConnectRequest():
                return self._connect(message, caller, now)
            case FindRequest():
                return self._find(message, caller.sender, now)
            case StatReportRequest():
                return self._stat_report(message, now)

    def _connect(self, message: ConnectRequest, caller: Caller, now: float) -> ResponseMessage:
        known = self._registry.peer(message.peer_id)
        if known is None and self._registry.peer_count >= self._limits.peers:
            raise RefusedError(ErrorCode.SERVICE_UNAVAILABLE)
        addresses = self._addresses(message, caller.sender, known)
        peer = self._registry.connect(message.peer_id, now)
        state = peer.state if peer.state is PeerState.TRACKING else PeerState.START
        verdict = judge(state, message.swarm_action, strict=self._rules.strict)
        if not verdict.valid:
            terminate = verdict.final is PeerState.TERMINATE
            self._registry.step(peer, PeerInput.TERMINATING_ACTIONS if terminate else PeerInput.ACTIONS_REFUSED, now)
            raise RefusedError(ErrorCode.FORBIDDEN_ACTION)
        refused = self._refused(peer, message.swarm_action)
        if len(refused) == len(message.swarm_action):
            self._registry.step(peer, PeerInput.ACTIONS_REFUSED, now)
            full = ErrorCode.SERVICE_UNAVAILABLE in refused.values()
            raise RefusedError(ErrorCode.SERVICE_UNAVAILABLE if full else ErrorCode.FORBIDDEN_ACTION)
        self._note(peer, message, caller)
        results = tuple(self._results(peer, message, refused))
        peer.peer_addr = addresses
        for action in message.swarm_action:
            if action.swarm_id not in refused:
                self._act(peer, action)
        self._registry.step(peer, PeerInput.ACTIONS_DONE if peer.swarms else PeerInput.LEFT_LAST_SWARM, now)
        return _success(message, results, _reflexive(peer, message.peer_num, caller.sender))

    def _note(self, peer: RegisteredPeer, message: ConnectRequest, caller: Caller) -> None:
        """Keep what a CONNECT says of its peer, for others' lists."""
        peer.holder = self._holder(caller)
        peer.announced = peer.announced or bool(message.peer_addr)
        peer.properties = message.peer_num or peer.properties
        if caller.sender is not None:
            peer.source = caller.sender.address

    def _addresses(
        self, message: ConnectRequest, sender: PeerAddr | None, peer: RegisteredPeer | None
    ) -> tuple[PeerAddr, ...]:
        """The addresses to list for the peer: announced now, announced before, or the one the request comes from.

        The last is what the RFC's example lists; its port is that of the HTTP connection, so a peer should announce.
        """
        if message.peer_addr:
            if not all(address.is_unicast for address in message.peer_addr):
                raise RefusedError(ErrorCode.BAD_REQUEST)
            # Who is elsewhere and announces a loopback address sends each of the others to its own machine.
            is_here = sender is None or sender.is_loopback
            usable = [address for address in message.peer_addr if is_here or not address.is_loopback]
            if not usable:
                raise RefusedError(ErrorCode.BAD_REQUEST)
            if self._rules.own_addresses and sender is not None:
                usable = [one for one in usable if one.address == sender.address or one.is_private]
                if not usable:
                    raise RefusedError(ErrorCode.FORBIDDEN_ACTION)
            best_first = sorted(usable, key=lambda address: -address.priority)
            return tuple(best_first[: self._limits.addresses])
        if peer is not None and peer.peer_addr:
            return peer.peer_addr
        if sender is None:
            raise RefusedError(ErrorCode.BAD_REQUEST)
        return (sender,)

    def _refused(self, peer: RegisteredPeer, actions: tuple[SwarmAction, ...]) -> dict[str, ErrorCode]:
        """The swarms whose action cannot be carried out, and why."""
        refused = {}
        registry, limits = self._registry, self._limits
        memberships, of_peer, swarms = registry.memberships, len(peer.swarms), registry.swarm_count
        for action in actions:
            is_member = action.swarm_id in peer.swarms
            if action.action is Action.LEAVE:
                if not is_member:
                    refused[action.swarm_id] = ErrorCode.FORBIDDEN_ACTION
            elif not is_member:
                is_new = not registry.has_swarm(action.swarm_id)
                if of_peer >= limits.swarms_per_peer:
                    refused[action.swarm_id] = ErrorCode.FORBIDDEN_ACTION
                elif memberships >= limits.memberships or (is_new and swarms >= limits.swarms):
                    refused[action.swarm_id] = ErrorCode.SERVICE_UNAVAILABLE
                else:
                    memberships, of_peer, swarms = memberships + 1, of_peer + 1, swarms + is_new
        return refused

    def _results(
        self, peer: RegisteredPeer, message: ConnectRequest, refused: dict[str, ErrorCode]
    ) -> Iterator[SwarmResult]:
        """A result for each action, in their order, with a list for a swarm joined as LEECH or with `peer_num`."""
        room = MAX_LISTED
        for action in message.swarm_action:
            if action.swarm_id in refused:
                yield SwarmResult(action.swarm_id, ResponseType.FAILED)
                continue
            wants_peers = action.peer_mode is PeerMode.LEECH or message.peer_num is not None
            group: tuple[PeerInfo, ...] | None = None
            if action.action is Action.JOIN and wants_peers:
                listed = self._list(peer, action.swarm_id, message.peer_num, room)
                room -= len(listed)
                # The schema allows no empty list, and CONNECT does without one.
                group = listed or None
            yield SwarmResult(action.swarm_id, ResponseType.SUCCESSFUL, group)

    def _act(self, peer: RegisteredPeer, action: SwarmAction) -> None:
        match action.action:
            case Action.JOIN:
                self._registry.join(peer, action.swarm_id, action.peer_mode)
            case Action.LEAVE:
                self._registry.leave(peer, action.swarm_id)

    def _tracked(self, message: FindRequest | StatReportRequest) -> RegisteredPeer:
        """The sender's registration; without one, condition B of section 2.3.2."""
        peer = self._registry.peer(message.peer_id)
        if peer is None or peer.state is not PeerState.TRACKING:
            raise RefusedError(ErrorCode.FORBIDDEN_ACTION)
        return peer

    def _find(self, message: FindRequest, sender: PeerAddr | None, now: float) -> ResponseMessage:
        peer = self._tracked(message)
        if message.swarm_id not in peer.swarms:
            raise RefusedError(ErrorCode.FORBIDDEN_ACTION)
        # "The response MUST include a peer_group element", so it is there even when it is empty.
        group = self._list(peer, message.swarm_id, message.peer_num, MAX_LISTED)
        self._registry.step(peer, PeerInput.FIND, now)
        result = SwarmResult(message.swarm_id, ResponseType.SUCCESSFUL, group)
        return _success(message, (result,), _reflexive(peer, message.peer_num, sender))

    def _stat_report(self, message: StatReportRequest, now: float) -> ResponseMessage:
        peer = self._tracked(message)
        known = [stat for stat in message.stat if stat.swarm_id in peer.swarms]
        if message.stat and not known:
            raise RefusedError(ErrorCode.FORBIDDEN_ACTION)
        for stat in known:
            self._registry.record(peer, stat)
        self._registry.step(peer, PeerInput.STAT_REPORT, now)
        results = tuple(
            SwarmResult(stat.swarm_id, ResponseType(stat.swarm_id not in peer.swarms)) for stat in message.stat
        )
        return _success(message, results, None)

    def _list(self, peer: RegisteredPeer, swarm_id: str, peer_num: PeerNum | None, room: int) -> tuple[PeerInfo, ...]:
        """Other peers of the swarm: an entry for each address, since `peer_info` has room for one; `room` at most."""
        count = min(room, MAX_PEER_COUNT, peer_num.peer_count if peer_num else MAX_PEER_COUNT)
        members = self._registry.members(swarm_id)
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


def _reflexive(peer: RegisteredPeer, peer_num: PeerNum | None, sender: PeerAddr | None) -> PeerAddr | None:
    """The address the request comes from; none for a peer that uses STUN or TURN to learn it (section 4.1.1)."""
    ability = peer_num.ability_nat if peer_num else None
    gathered = peer.announced and any(address.type is not AddressType.HOST for address in peer.peer_addr)
    return None if gathered or ability in (AbilityNat.STUN, AbilityNat.TURN) else sender


def _success(message: RequestMessage, results: tuple[SwarmResult, ...], peer_addr: PeerAddr | None) -> ResponseMessage:
    return ResponseMessage(ResponseType.SUCCESSFUL, ErrorCode.NO_ERROR, message.transaction_id, peer_addr, results)

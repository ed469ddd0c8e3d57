"""Who may send next: hierarchical start-time fair queueing over the policy tree (RFC 7069 sections 4.5 and 5.3).

The bandwidth of a node is divided among the nodes below it and the tokens issued at it, by weight, and among those of
one priority only: a more urgent one goes first. So weight and priority of a token order it inside the share of its
issuer, whatever they are. Ceilings hold at each node and for each token; what a ceiling leaves over goes to the others.

A node with a guarantee goes before its siblings, whatever their priority, until it has had that rate; what it gets so
is not of its share, and what is left is divided by weight.

Start-time fair queueing (Goyal, Vin, Cheng 1996) gives each child of a node a start tag in the virtual time of that
node; the least is served, and served octets over the weight are added to it. A child that was idle starts at the
virtual time, so that it can neither save up its share nor lose what it has.

There is one scheduler for each direction.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from heapq import heapify, heappop, heappush, heapreplace
from math import inf

import attrs

from decade.errors import StateError
from decade.policy import PROVIDER
from decade.ports import NodePath, TokenKey
from decade.scope import TokenPolicy
from decade.values import BitRate, Priority, Weight

QUANTUM = 16 * 1024
"""Octets of a grant while several transfers wait: at 1 Gbit/s another one has its turn after 131 us."""
LONE_QUANTUM = 256 * 1024
"""Octets of a grant when nobody else waits: four sends of 16 KiB cost 1.3 times one of 64 KiB."""
BURST = 0.02
"""Seconds that a ceiling makes good when grants come late: 0.4 % over 5 s, and timers are late by a few ms."""
_SCALE = 1 << 20
"""Units of virtual time for an octet at weight 1: 16 octets at the greatest weight, and exact for powers of two."""
MAX_IDLE_FLOWS = 1024
"""Tokens with nothing to send that are remembered for a ceiling that they have used up, or a turn that they have had.
About 1 KiB each; who presents more of them than that has mostly had a quantum too much.
"""


@attrs.frozen(cache_hash=True)
class Terms:
    """How a token competes: at which node, with which weight and priority, and its ceiling in bit/s.

    Transfers with the same terms are of one token, and take turns.
    """

    path: NodePath
    token: TokenKey
    weight: int = 1
    ceiling: int | None = None
    priority: Priority = Priority.NORMAL


def token_terms(path: NodePath, token: TokenKey, policy: TokenPolicy | None) -> Terms:
    """The terms of a token that was issued at a node: its bandwidth is a weight or bit/s (RFC 7069 appendix A.3)."""
    bandwidth = policy.bandwidth if policy is not None else None
    priority = policy.priority if policy is not None else None
    return Terms(
        path,
        token,
        weight=bandwidth.value if isinstance(bandwidth, Weight) else 1,
        ceiling=bandwidth.bps if isinstance(bandwidth, BitRate) else None,
        priority=Priority.NORMAL if priority is None else priority,
    )


@attrs.frozen
class Grant:
    """A transfer may send so many octets now."""

    transfer: Hashable
    octets: int


class _Node:
    """A node of the tree, with its children in `heap`; or a flow, which is a token, with its transfers in `offers`."""

    __slots__ = (
        "due",
        "entitled",
        "finish",
        "guarantee",
        "heap",
        "interval",
        "is_due",
        "is_first",
        "is_flow",
        "is_queued",
        "is_sleeping",
        "offers",
        "parent",
        "priority",
        "ready",
        "virtual",
        "weight",
    )

    def __init__(self, parent: _Node | None, *, is_flow: bool = False) -> None:
        self.parent = parent
        self.is_flow = is_flow
        self.offers: OrderedDict[Hashable, int] = OrderedDict()
        self.weight = 1
        self.priority = int(Priority.NORMAL)
        # The children with something to send, and some that had: (priority, start tag, order of arrival, child).
        # One that is withdrawn stays until it comes to the top: every tag in here is at or after the virtual time.
        self.heap: list[tuple[int, int, int, _Node]] = []
        self.is_queued = False
        self.is_sleeping = False
        self.virtual = [0] * len(Priority)
        self.finish = 0
        # Seconds for an octet by the ceiling, 0 without one; and when the next one may go.
        self.interval = 0.0
        self.ready = -inf
        # The children with a guarantee, as in `heap`: (from when the next octets are guaranteed, order, child).
        self.due: list[tuple[float, int, _Node]] = []
        self.is_due = False
        self.is_first = False
        # Seconds for an octet of the guarantee, 0 without one; and from when the next one is guaranteed.
        self.guarantee = 0.0
        self.entitled = -inf

    def set_ceiling(self, ceiling: float | None, now: float) -> None:
        """What was sent too early stays owed, and is paid off at the new rate."""
        interval = 0.0 if ceiling is None else 8 / ceiling if ceiling else inf
        if interval == self.interval:
            return
        if interval == inf:
            self.ready = inf
        elif self.interval == inf:
            self.ready = now
        elif self.ready > now:
            self.ready = now + (self.ready - now) * interval / self.interval
        self.interval = interval

    def set_guarantee(self, guarantee: float, now: float) -> bool:
        """Whether it is another one. What was sent ahead of the guarantee stays owed."""
        interval = 8 / guarantee if guarantee else 0.0
        if interval == self.guarantee:
            return False
        ahead = (self.entitled - now) / self.guarantee if self.entitled > now else 0.0
        self.guarantee, self.entitled = interval, now + ahead * interval
        return True


class Scheduler:
    """Transfers offer octets, and `grant` says which one sends next."""

    def __init__(self, ceiling: int | None = None, *, parts: int = 1) -> None:
        """`ceiling`: bit/s of the whole server; shares are exact only while it is below the rate of the line. `parts`:
        schedulers that share every ceiling and guarantee, each of which has an equal part.
        """
        self._parts = parts
        self._root = _Node(None)
        self._nodes: dict[NodePath, _Node] = {PROVIDER: self._root}
        self._flows: dict[Terms, _Node] = {}
        self._flow_of: dict[Hashable, _Node] = {}
        self._sleeping: list[tuple[float, int, _Node]] = []
        self._order = 0
        self._sweep_at = MAX_IDLE_FLOWS
        self._now = -inf
        self._root.set_ceiling(self._part(ceiling), self._now)

    def configure(
        self,
        path: NodePath,
        *,
        weight: int,
        ceiling: int | None = None,
        priority: Priority = Priority.NORMAL,
        guarantee: int = 0,
    ) -> None:
        """Make a node, or change it: its weight and priority among its siblings, its ceiling and guarantee in bit/s.

        Guarantees hold while those of siblings are together within what is guaranteed above, or the ceiling of the
        server. Raises StateError if its parent is not there.
        """
        node = self._nodes.get(path)
        if node is None:
            parent = self._nodes.get(path[:-1])
            if parent is None:
                raise StateError(f"{'/'.join(path)!r} has no parent in the scheduler")
            node = self._nodes[path] = _Node(parent)
        node.weight = weight
        node.set_ceiling(self._part(ceiling), self._now)
        if node.is_sleeping:
            self._wake_never([node])
            self._sleep(node)
        is_moved = node.priority != priority
        if node.set_guarantee(guarantee / self._parts, self._now) or is_moved:
            self._dequeue(node)
            node.priority = int(priority)
            node.finish = 0 if is_moved else node.finish
            self._activate(node)

    def remove(self, path: NodePath) -> tuple[Hashable, ...]:
        """Take a node and those below it away, and return the transfers that wait there: they are withdrawn.

        Raises StateError if it is not there, or is the root.
        """
        node = self._nodes.get(path)
        if node is None or node is self._root:
            raise StateError(f"{'/'.join(path)!r} is not in the scheduler")
        gone = {terms: flow for terms, flow in self._flows.items() if terms.path[: len(path)] == path}
        waiting = tuple(transfer for flow in gone.values() for transfer in flow.offers)
        for transfer in waiting:
            del self._flow_of[transfer]
        self._dequeue(node)
        below = [known for known in self._nodes if known[: len(path)] == path]
        self._forget(list(gone), [self._nodes.pop(known) for known in below])
        return waiting

    def offer(self, transfer: Hashable, octets: int, terms: Terms) -> None:
        """A transfer has octets to send, besides those that it has offered before.

        Raises StateError for no octets, for a node that is not there, and if it has offered on other terms.
        """
        if octets <= 0:
            raise StateError("an offer has octets")
        flow = self._flows.get(terms) or self._make_flow(terms)
        if self._flow_of.get(transfer, flow) is not flow:
            raise StateError("this transfer has offered on other terms")
        self._flow_of[transfer] = flow
        flow.offers[transfer] = flow.offers.get(transfer, 0) + octets
        self._activate(flow)

    @property
    def is_waiting(self) -> bool:
        """Whether anything is offered."""
        return bool(self._flow_of)

    def is_free(self, terms: Terms) -> bool:
        """Whether no ceiling holds for a token: then nothing that it offers has to wait."""
        node = self._nodes.get(terms.path)
        if node is None or terms.ceiling is not None:
            return False
        while node is not None:
            if node.interval:
                return False
            node = node.parent
        return True

    def withdraw(self, transfer: Hashable) -> int:
        """The octets that a transfer has offered and not been granted; it sends them no more."""
        flow = self._flow_of.pop(transfer, None)
        return flow.offers.pop(transfer) if flow is not None else 0

    def grant(self, now: float) -> Grant | None:
        """The transfer that sends next, and how many octets; None if there is none before `get_timer`."""
        self._now = now
        while self._sleeping and self._sleeping[0][0] <= now:
            node = heappop(self._sleeping)[2]
            if node.is_sleeping and node.ready <= now:
                node.is_sleeping = False
                self._activate(node)
        flow = self._select(now) if self._root.ready <= now else None
        if flow is None:
            return None
        transfer, offered = next(iter(flow.offers.items()))
        octets = min(offered, QUANTUM if len(self._flow_of) > 1 else _lone_quantum(flow))
        if octets < offered:
            flow.offers[transfer] = offered - octets
            flow.offers.move_to_end(transfer)
        else:
            del flow.offers[transfer], self._flow_of[transfer]
        self._charge(flow, octets, now)
        return Grant(transfer, octets)

    def get_timer(self) -> float | None:
        """When to call `grant` next, maybe a time that is past; None if nothing is offered that may ever be sent."""
        if not self._flow_of:
            return None
        at = self._now if self._root.heap else self._sleeping[0][0] if self._sleeping else inf
        at = max(at, self._root.ready)
        return None if at == inf else at

    def _select(self, now: float) -> _Node | None:
        """The flow that is served next; each node above it is at the top of a heap of its parent's."""
        node = self._root
        while True:
            child = self._first_due(node, now) if node.due else None
            if child is not None:
                node = child
                continue
            heap = node.heap
            if not heap:
                if node.parent is None:
                    return None
                self._pop(node)
                node = node.parent
                continue
            child = heap[0][3]
            has_work = not child.is_flow or child.offers
            if has_work and child.ready <= now:
                if child.is_flow:
                    return child
                node = child
                continue
            heappop(heap)
            child.is_queued = False
            if has_work and not child.is_sleeping:
                self._sleep(child)

    def _first_due(self, node: _Node, now: float) -> _Node | None:
        """The child that is served by its guarantee, if there is one."""
        due = node.due
        while due and due[0][0] <= now:
            child = due[0][2]
            if child.ready <= now:
                child.is_first = True
                return child
            heappop(due)
            child.is_due = False
            if not child.is_sleeping:
                self._sleep(child)
        return None

    def _pop(self, node: _Node) -> None:
        """Take a node that has nothing to send out of the heap that it was found in; it may stay in the other one."""
        parent = node.parent
        assert parent is not None
        if node.is_first:
            heappop(parent.due)
            node.is_first = node.is_due = False
        else:
            heappop(parent.heap)
            node.is_queued = False

    def _charge(self, flow: _Node, octets: int, now: float) -> None:
        node = flow
        while True:
            if node.interval:
                # What was not sent in time is made good for BURST seconds, so that late timers cost no rate.
                node.ready = max(node.ready, now - BURST) + octets * node.interval
            parent = node.parent
            if parent is None:
                return
            self._order += 1
            if node.is_first:
                node.is_first = False
                node.entitled = max(node.entitled, now - BURST) + octets * node.guarantee
                heapreplace(parent.due, (node.entitled, self._order, node))
            else:
                heap = parent.heap
                priority, start, _, _ = heap[0]
                parent.virtual[priority] = start
                node.finish = start + octets * _SCALE // node.weight
                heapreplace(heap, (priority, node.finish, self._order, node))
            node = parent

    def _activate(self, node: _Node) -> None:
        """Queue a node that has something to send, and the nodes above it that had nothing."""
        while (parent := node.parent) is not None and not node.is_sleeping:
            if node.is_queued and node.is_due == bool(node.guarantee):
                return
            self._order += 1
            if not node.is_queued:
                start = max(parent.virtual[node.priority], node.finish)
                heappush(parent.heap, (node.priority, start, self._order, node))
                node.is_queued = True
            if node.guarantee and not node.is_due:
                heappush(parent.due, (node.entitled, self._order, node))
                node.is_due = True
            node = parent

    def _dequeue(self, node: _Node) -> None:
        if node.parent is None:
            return
        if node.is_queued:
            node.parent.heap = [entry for entry in node.parent.heap if entry[3] is not node]
            heapify(node.parent.heap)
        if node.is_due:
            node.parent.due = [entry for entry in node.parent.due if entry[2] is not node]
            heapify(node.parent.due)
        node.is_queued = node.is_due = False

    def _sleep(self, node: _Node) -> None:
        node.is_sleeping = True
        if node.ready < inf:
            self._order += 1
            heappush(self._sleeping, (node.ready, self._order, node))

    def _make_flow(self, terms: Terms) -> _Node:
        parent = self._nodes.get(terms.path)
        if parent is None:
            raise StateError(f"{'/'.join(terms.path)!r} is not in the scheduler")
        if len(self._flows) >= self._sweep_at:
            self._sweep()
        flow = self._flows[terms] = _Node(parent, is_flow=True)
        flow.weight = terms.weight
        flow.priority = int(terms.priority)
        flow.set_ceiling(self._part(terms.ceiling), self._now)
        return flow

    def _part(self, ceiling: int | None) -> float | None:
        return None if ceiling is None else ceiling / self._parts

    def _sweep(self) -> None:
        """Forget tokens that have nothing to send: those that owe nothing, and the oldest of many."""
        idle = {terms: flow for terms, flow in self._flows.items() if not flow.offers}
        for parent in {flow.parent for flow in idle.values() if flow.parent is not None and flow.is_queued}:
            for entry in parent.heap:
                entry[3].is_queued = not entry[3].is_flow or bool(entry[3].offers)
            parent.heap = [entry for entry in parent.heap if entry[3].is_queued]
            heapify(parent.heap)
        owing = [terms for terms, flow in idle.items() if self._owes(flow)]
        owing = owing[-MAX_IDLE_FLOWS:]
        self._forget(list(idle.keys() - owing), [])
        self._sweep_at = MAX_IDLE_FLOWS + 2 * len(self._flows)

    def _owes(self, flow: _Node) -> bool:
        """Whether a flow that came back as a new one would have more than its share."""
        parent = flow.parent
        has_tag = parent is not None and bool(parent.heap) and flow.finish > parent.virtual[flow.priority]
        return has_tag or flow.ready > self._now

    def _forget(self, flows: list[Terms], nodes: list[_Node]) -> None:
        self._wake_never([self._flows.pop(terms) for terms in flows] + nodes)

    def _wake_never(self, nodes: list[_Node]) -> None:
        lost = set(nodes)
        self._sleeping = [entry for entry in self._sleeping if entry[2] not in lost]
        heapify(self._sleeping)


def _lone_quantum(flow: _Node) -> int:
    """A ceiling that has let too much through at once would keep out whoever comes next."""
    octets = float(LONE_QUANTUM)
    node: _Node | None = flow
    while node is not None:
        if node.interval:
            octets = min(octets, BURST / node.interval)
        node = node.parent
    return max(QUANTUM, int(octets))

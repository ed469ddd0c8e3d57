"""Nodes that attach, each without anything around it: the test carries what they send."""

from __future__ import annotations

from itertools import count
from typing import Any

import attrs

from reload.addresses import IpAddressPort, IPv4AddrPort
from reload.attach import Attaches
from reload.attach_steps import Ask, AttachEnded, Tell, Withdraw
from reload.configuration import Configuration
from reload.destinations import Destination, NodeDestination
from reload.events import Candidates, CandidatesWanted, ConnectionAbandoned, Event
from reload.exchange import Answer, Failure, Outcome, Reply, Request, Response
from reload.header import ForwardingHeader
from reload.methods import CandType, IceCandidate, OverlayLinkType
from reload.ports import Identity

SMALL, LARGE, OTHER = b"\x01" * 16, b"\xee" * 16, b"\x77" * 16
CONFIGURATION = Configuration("overlay.example.org", 1, 1e12, no_ice=True)
SIP = 5060


def identity(node_id: bytes, *more: bytes) -> Identity:
    return Identity(node_id, (node_id, *more), None, b"certificate of " + node_id)


def candidates(host: int, link: int = OverlayLinkType.DTLS_UDP_SR_NO_ICE) -> Candidates:
    address = IpAddressPort(1, IPv4AddrPort(bytes((192, 0, 2, host)), 6084))
    return Candidates(b"", b"", (IceCandidate(address, link, b"1", 1, CandType.HOST),))


@attrs.define
class FakeHost:
    """A node without anything around it: it does what the steps say, and the test carries what is sent."""

    sent: dict[int, Ask] = attrs.Factory(dict)
    cancelled: list[int] = attrs.Factory(list)
    answers: list[tuple[Request, Reply]] = attrs.Factory(list)
    events: list[Event] = attrs.Factory(list)
    ended: list[AttachEnded] = attrs.Factory(list)
    number: int = 1000

    def take(self, attaches: Attaches) -> None:
        while (step := attaches.next_step()) is not None:
            match step:
                case Ask():
                    self.number += 1
                    self.sent[self.number] = step
                    attaches.asked(step.attach, self.number)
                case Withdraw():
                    del self.sent[step.transaction]
                    self.cancelled.append(step.transaction)
                case Tell():
                    self.answers.append((step.request, step.reply))
                case AttachEnded():
                    self.ended.append(step)
                case _:
                    self.events.append(step)

    def wanted(self, kind: type[Event]) -> Any:
        """The only event of this kind, taken."""
        (found,) = [event for event in self.events if isinstance(event, kind)]
        self.events.remove(found)
        return found


class Side:
    """A node that attaches, with its test in the place of driver and network."""

    def __init__(self, node_id: bytes) -> None:
        self.attaches = Attaches(node_id, CONFIGURATION, count(1), applications={SIP})
        self.node_id = node_id
        self._host = FakeHost()

    @property
    def host(self) -> FakeHost:
        """After it has done what there is to do."""
        self._host.take(self.attaches)
        return self._host

    def begin(self, to: bytes | Destination, now: float = 0.0, **kwargs: Any) -> int:
        destination = NodeDestination(to) if isinstance(to, bytes) else to
        return self.attaches.begin([destination], now, **kwargs)

    def gather(self, now: float = 0.0) -> int:
        """Give candidates to the Attach that asks for them."""
        attach: int = self.host.wanted(CandidatesWanted).attach
        self.attaches.provide_candidates(attach, candidates(self.node_id[0] % 200 + 1), now)
        return attach

    def ask(self, to: bytes | Destination, now: float = 0.0, **kwargs: Any) -> int:
        attach = self.begin(to, now, **kwargs)
        gathered = self.gather(now)
        assert gathered == attach
        return attach

    def request(self, transaction: int | None = None) -> Request:
        """What is sent, as it arrives."""
        number = max(self.host.sent) if transaction is None else transaction
        ask = self.host.sent[number]
        header = ForwardingHeader(1, number << 8 | self.node_id[0], ask.destination_list)
        return Request(ask.message_code, ask.body, identity(self.node_id), header, 1, OTHER)

    def receive(self, request: Request, now: float = 0.0) -> Reply | None:
        return self.attaches.on_request(request, now)

    def answered(self, by: Side, now: float = 0.0) -> None:
        """The last answer of `by` arrives."""
        request, reply = by.host.answers[-1]
        self.told(reply, by.node_id, now, transaction=request.header.transaction_id >> 8)

    def told(self, reply: Reply, by: bytes, now: float = 0.0, transaction: int | None = None) -> None:
        number = max(self.host.sent) if transaction is None else transaction
        code = self.host.sent.pop(number).message_code
        outcome: Outcome
        if isinstance(reply, Answer):
            header = ForwardingHeader(1, number, (NodeDestination(self.node_id),))
            outcome = Response(number, code + 1, reply.body, identity(by), header)
        else:
            outcome = Failure(number, reply, identity(by))
        self.attaches.on_outcome(outcome, now)

    def ended(self) -> list[AttachEnded]:
        ended, self.host.ended = self.host.ended, []
        return ended

    @property
    def abandoned(self) -> list[int]:
        return [event.attach for event in self.host.events if isinstance(event, ConnectionAbandoned)]


def assert_idle(*sides: Side) -> None:
    """Nothing is under way at these. (No `assert`, so that `-O` leaves it.)"""
    for side in sides:
        left = len(side.attaches), side.attaches.get_timer(), side.host.sent
        if left != (0, None, {}):
            raise AssertionError(left)

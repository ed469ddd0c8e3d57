"""Connections over which every message is acknowledged, and retransmitted when it is not (RFC 6940 section 6.6.3)."""

from __future__ import annotations

from interop.reload_simulation._network import Connection, End, Network
from reload.framing import DATA, DATA_HEADER_SIZE
from reload.link import LinkClosed, LinkFailing, LinkRestored, MessageReceived
from reload.simple_reliability import SimpleReliability


class ReliableConnection(Connection):
    """A connection with a machine of Simple Reliability at each end."""

    __slots__ = ("_due", "_machines")

    def __init__(self, network: Network, ends: tuple[End, End]) -> None:
        super().__init__(network, ends)
        rtt = 2 * self.delay_us / 1e6
        self._machines = SimpleReliability(rtt=rtt), SimpleReliability(rtt=rtt)
        self._due: list[int | None] = [None, None]

    def send(self, side: int, octets: bytes) -> None:
        """Take a message to the other end, as often as that takes."""
        machine = self._machines[side]
        if not machine.is_closed:
            machine.send_message(octets, self._network.engine.now)
            self._flush(side)

    def _flush(self, side: int) -> None:
        """Send what is to be sent, tell the host what has come, and see to the timer."""
        engine = self._network.engine
        machine, host = self._machines[side], self.ends[side]
        link = self.links[side]
        if link is None or not host.is_up:
            return
        for datagram, _ in machine.datagrams_to_send(engine.now):
            is_data = datagram[0] == DATA
            self._network.traffic.see(
                engine.now_us,
                host.number,
                self.ends[1 - side].number,
                datagram[DATA_HEADER_SIZE:] if is_data else datagram,
                is_stale=not self.ends[1 - side].is_up,
                is_acknowledgement=not is_data,
            )
            if self._gets_through(side):
                engine.post(engine.now_us + self.delay_us, self._deliver, 1 - side, datagram)
        self._arm(side)
        while (event := machine.next_event()) is not None:
            match event:
                case MessageReceived() if self.links[side] == link:
                    host.receive(link, event.message)
                case LinkFailing() | LinkRestored() if self.links[side] == link:
                    host.is_failing(link, isinstance(event, LinkFailing))
                case LinkClosed():
                    self._lose(side)

    def _deliver(self, side: int, octets: bytes) -> None:
        if self.links[side] is not None and self.ends[side].is_up:
            self._machines[side].receive_datagram(octets, None, self._network.engine.now)
            self._flush(side)

    def _arm(self, side: int) -> None:
        due = self._machines[side].get_timer()
        if due is None:
            return
        engine = self._network.engine
        at_us = max(int(due * 1e6) + 1, engine.now_us)
        planned = self._due[side]
        if planned is None or at_us < planned:
            self._due[side] = at_us
            engine.post(at_us, self._wake, side, at_us)

    def _wake(self, side: int, at_us: int) -> None:
        if self._due[side] == at_us:
            self._due[side] = None
            self._machines[side].handle_timer(self._network.engine.now)
            self._flush(side)

"""Loss, reordering, timeouts: what is sent again, and when."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from utp_network import Host, Network
from utp_wire import Wire

from ledbat.utp import Closed, EofReceived, Finished, Packet, PacketType, Reason, decode
from ledbat.utp.limits import GIVE_UP

STATE = PacketType.STATE


class Fixed:
    """A window that does not change, and a list of what the controller was told."""

    pacing_rate = None

    def __init__(self, mss: int, packets: int = 64) -> None:
        self.cwnd = packets * mss
        self.told: list[Any] = []
        self.rtts: list[float] = []

    def on_sent(self, **_: Any) -> None: ...

    def on_ack(self, *, acked: int, delays_us: Any, rtt: float | None, now: float) -> None:
        if rtt is not None:
            self.rtts.append(rtt)

    def on_loss(self, *, lost: int, will_retransmit: bool, now: float) -> None:
        self.told.append("loss")

    def on_timeout(self, now: float) -> None:
        self.told.append("timeout")

    def undo_timeout(self, now: float) -> None:
        self.told.append("undo")

    def get_timer(self) -> float:
        return 0.0


def _wire(count: int = 6) -> tuple[Wire, int, int, list[Packet], Fixed]:
    """A dialled connection with `count` packets of one octet in flight: also the ID, the number and the controller."""
    made: list[Fixed] = []

    def controller(mss: int) -> Fixed:
        made.append(Fixed(mss))
        return made[0]

    wire = Wire(nodelay=True, controller=controller)
    syn, number = wire.dialled()
    packets = []
    for i in range(count):
        wire.endpoint.send(number, bytes([i]))
        packets += wire.take()
    return wire, syn.connection_id, number, packets, made[0]


def _sack(wire: Wire, connection_id: int, ack_nr: int, mask: int, **fields: Any) -> list[Packet]:
    extensions = ((1, mask.to_bytes(4, "little")),)
    return wire.give(STATE, connection_id, 9000, ack_nr, extensions=extensions, **fields)


def test_three_packets_acknowledged_past_one_mean_that_it_is_lost() -> None:
    """BEP 29, packet loss: "but 3 or more packets have been acked past it [...] assumed to have been lost"."""
    wire, id_, _, packets, controller = _wire()
    base = packets[0].seq_nr
    assert _sack(wire, id_, base - 1, 0b011) == []
    assert [packet.seq_nr for packet in _sack(wire, id_, base - 1, 0b111)] == [base]
    assert controller.told == ["loss"]


def test_three_duplicate_acks_mean_that_the_next_packet_is_lost() -> None:
    """BEP 29, packet loss: "when receiving 3 duplicate acks, ack_nr + 1 is assumed to have been lost"."""
    wire, id_, _, packets, _ = _wire()
    base = packets[0].seq_nr
    assert wire.give(STATE, id_, 9000, base - 1) == []
    assert wire.give(STATE, id_, 9000, base - 1) == []
    assert [packet.seq_nr for packet in wire.give(STATE, id_, 9000, base - 1)] == [base]


def test_a_window_update_is_no_duplicate_ack() -> None:
    wire, id_, _, packets, _ = _wire()
    base = packets[0].seq_nr
    for wnd_size in (1000, 2000, 3000, 4000):
        assert wire.give(STATE, id_, 9000, base - 1, wnd_size=wnd_size) == []


def test_data_is_no_duplicate_ack() -> None:
    wire, id_, _, packets, _ = _wire()
    base = packets[0].seq_nr
    answers = []
    for i in range(4):
        answers += wire.give(PacketType.DATA, id_, 9000 + i, base - 1, payload=b"x")
    assert {packet.type for packet in answers} == {STATE}


def test_every_packet_with_three_after_it_is_sent_again() -> None:
    """BEP 29, packet loss: "This is applied to selective acks as well"."""
    wire, id_, _, packets, controller = _wire(8)
    base = packets[0].seq_nr
    # Present: 2, 4, 6, 7; so 0, 1 and 3 have three after them, 5 has two.
    again = _sack(wire, id_, base - 1, 1 << 1 | 1 << 3 | 1 << 5 | 1 << 6)
    assert [packet.seq_nr - base for packet in again] == [0, 1, 3]
    assert controller.told == ["loss"]


def test_a_window_is_reduced_once_for_the_losses_of_one_round_trip() -> None:
    """RFC 6817 section 2.4.2: "at most once per RTT"."""
    wire, id_, _, packets, controller = _wire(12)
    base = packets[0].seq_nr
    wire.now += 0.05
    _sack(wire, id_, base - 1, 0b111)
    wire.now += 0.01
    _sack(wire, id_, base - 1, 0b111 << 5 | 0b111)
    assert controller.told == ["loss"]


def test_no_round_trip_time_is_taken_of_a_packet_sent_twice() -> None:
    """BEP 29, timeouts: "only updated for packets that were sent only once" (Karn)."""
    wire, id_, number, packets, controller = _wire(4)
    base = packets[0].seq_nr
    wire.now += 0.1
    _sack(wire, id_, base - 1, 0b111)
    wire.now += 0.3
    measured = list(controller.rtts)
    wire.give(STATE, id_, 9000, packets[-1].seq_nr)
    assert controller.rtts == measured
    assert wire.endpoint.stats(number).flight == 0


def test_packets_behind_a_retransmission_are_no_round_trip_times_either() -> None:
    """They may have waited in the peer's reorder buffer, unreported, as with libutp's short masks."""
    wire, id_, _, packets, controller = _wire(4)
    base = packets[0].seq_nr
    wire.after(0.9)  # the tail probe, and a timeout: the first is sent again
    wire.give(STATE, id_, 9000, packets[-1].seq_nr, timestamp=0)
    assert controller.rtts == []
    del base


def test_the_first_timeout_is_a_second_and_the_least_one_half() -> None:
    """BEP 29, timeouts: "max(rtt + rtt_var * 4, 500)", "The initial timeout is set to 1000 milliseconds"."""
    wire = Wire()
    _, number = wire.accepted()
    assert wire.endpoint.stats(number).timeout == 1.0
    wire, _, number, _, _ = _wire()
    assert wire.endpoint.stats(number).timeout == 0.5


def test_the_round_trip_time_is_smoothed_as_written() -> None:
    """BEP 29, timeouts: rtt += (packet_rtt - rtt) / 8, rtt_var += (abs(delta) - rtt_var) / 4."""
    wire, id_, number, packets, _ = _wire(1)
    wire.now += 0.8
    wire.after(0.0)
    # The handshake took 0 s: rtt 0, rtt_var 0.
    wire = Wire(nodelay=True)
    number = wire.endpoint.connect(("198.51.100.7", 6881), wire.now)
    (syn,) = wire.take()
    wire.now += 0.2
    wire.give(STATE, syn.connection_id, 9000, syn.seq_nr)
    rtt, var = 0.2, 0.1
    for sample in (0.3, 0.1, 0.35):
        wire.endpoint.send(number, b"x")
        (data,) = wire.take()
        wire.now += sample
        wire.give(STATE, syn.connection_id, 9000, data.seq_nr)
        var += (abs(rtt - sample) - var) / 4
        rtt += (sample - rtt) / 8
    assert wire.endpoint.stats(number).srtt == pytest.approx(rtt)
    assert wire.endpoint.stats(number).timeout == pytest.approx(max(rtt + 4 * var, 0.5))
    del id_, packets


def test_consecutive_timeouts_are_twice_as_long_each() -> None:
    """BEP 29, timeouts: "For every packet consecutive subsequent packet that times out, the timeout is doubled"."""
    wire = Wire()
    _, number = wire.accepted()
    wire.endpoint.send(number, b"hello")
    start = wire.now
    wire.take()
    times = []
    for _ in range(5):
        wire.now = wire.endpoint.get_timer() or 0.0
        wire.endpoint.handle_timer(wire.now)
        if any(packet.type is PacketType.DATA for packet in wire.take()):
            times.append(round(wire.now - start))
    assert times[:4] == [1, 3, 7, 15]


def test_a_timeout_sends_one_packet_and_tells_the_controller() -> None:
    wire, _, _, packets, controller = _wire(6)
    controller.cwnd = 1
    sent = wire.after(0.6)
    assert controller.told == ["timeout"]
    assert packets[0].seq_nr in [packet.seq_nr for packet in sent]
    assert len(sent) <= 2  # a tail probe, and the oldest packet


def test_a_peer_that_does_not_answer_is_given_up_after_a_minute_and_not_before() -> None:
    wire, _, number, _, _ = _wire()
    wire.after(GIVE_UP - 1)
    assert not any(isinstance(event, Closed) for event in wire.events())
    wire.after(GIVE_UP)
    assert Closed(number, Reason.TIMEOUT) in wire.events()


def test_a_late_acknowledgement_takes_the_timeout_back() -> None:
    """RFC 3522 (Eifel) with uTP's timestamps: the peer answers what left before the timeout."""
    wire, id_, number, packets, controller = _wire(6)
    controller.cwnd = 1
    left = packets[0].timestamp
    wire.after(0.6)
    assert controller.told == ["timeout"]
    peer_clock = 123_456_789
    difference = (peer_clock - left) & 0xFFFFFFFF  # the delay that it saw; it answered at once
    sent = wire.give(STATE, id_, 9000, packets[1].seq_nr, timestamp=peer_clock, timestamp_difference=difference)
    assert sent == []  # the other four are not sent again
    assert controller.told == ["timeout", "undo"]
    assert wire.endpoint.stats(number).spurious_timeouts == 1


def test_an_answer_to_what_was_sent_again_does_not_take_the_timeout_back() -> None:
    wire, id_, number, packets, controller = _wire(6)
    wire.after(0.6)
    peer_clock = 123_456_789
    difference = (peer_clock - int(wire.now * 1e6)) & 0xFFFFFFFF
    wire.now += 0.05
    wire.give(STATE, id_, 9000, packets[3].seq_nr, timestamp=peer_clock, timestamp_difference=difference)
    assert "undo" not in controller.told
    assert wire.endpoint.stats(number).spurious_timeouts == 0


def test_bits_outside_of_the_send_window_are_ignored() -> None:
    """BEP 29, Selective ACK."""
    wire, id_, number, packets, _ = _wire(3)
    base = packets[0].seq_nr
    assert _sack(wire, id_, base - 1, 0xFFFFFFF0) == []
    assert wire.endpoint.stats(number).flight == 3


def _burst(network: Network, lost: int) -> tuple[Host, Host, int, int, float]:
    """Send `lost` packets at once on a warm connection and lose every one of them the first time."""
    a, b, number, other = network.connected(controller=Fixed, nodelay=True)
    a.send(number, bytes(400_000))
    network.run(5)
    seen: set[int] = set()

    def fate(data: bytes, source: Any, *_: Any) -> list[float]:
        packet = decode(data)
        if source == a.address and packet.type is PacketType.DATA and len(seen) < lost and packet.seq_nr not in seen:
            seen.add(packet.seq_nr)
            return []
        return [network.delay]

    network.fate = fate
    a.send(number, bytes(lost * 1452))
    return a, b, number, other, network.now


@pytest.mark.parametrize("lost", [1, 2, 24, 60])
def test_a_tail_burst_that_is_lost_is_repaired_within_a_second(network: Network, lost: int) -> None:
    """Gate E16: 24 packets, 50 ms of round trip, at most 1.0 s."""
    a, b, number, other, start = _burst(network, lost)
    network.run_until(lambda: len(b.received[other]) == 400_000 + lost * 1452, limit=20)
    assert network.now - start <= 1.0
    assert "timeout" not in a.endpoint._numbers[number].outbound.controller.told


def test_a_tail_probe_is_sent_after_two_round_trips() -> None:
    """RFC 8985 section 7.2."""
    wire, id_, number, packets, _ = _wire(4)
    wire.now += 0.2
    wire.give(STATE, id_, 9000, packets[0].seq_nr)
    srtt = wire.endpoint.stats(number).srtt
    assert srtt is not None
    assert wire.after(2 * srtt - 0.01) == []
    (probe,) = wire.after(0.02)
    assert probe.seq_nr == packets[-1].seq_nr


def test_reordering_costs_next_to_nothing_once_it_is_known(network: Network) -> None:
    rng = random.Random(3)
    network.fate = lambda *_: [0.02 + 0.006 * rng.random()]
    a, b, number, other = network.connected()
    a.send(number, bytes(1_000_000))
    network.run_until(lambda: len(b.received[other]) == 1_000_000, limit=100)
    assert a.endpoint.stats(number).retransmissions <= 8


def test_five_seconds_of_darkness_are_survived(network: Network) -> None:
    """Gate E15: back within two timeouts."""
    a, b, number, other = network.connected()
    a.send(number, bytes(40_000_000))
    network.run(2)
    network.fate = lambda *_: []
    network.run(5)
    network.fate = lambda *_: [network.delay]
    before = b.endpoint.stats(other).received
    timeout = a.endpoint.stats(number).timeout
    network.run(2 * timeout)
    assert b.endpoint.stats(other).received > before
    assert not a.of(Closed)


@pytest.mark.parametrize("seed", range(12))
def test_every_octet_and_both_fins_arrive_through_loss_reordering_and_duplication(seed: int) -> None:
    network = Network(delay=0.02)
    rng = random.Random(seed)
    loss = (0.0, 0.01, 0.05, 0.2)[seed % 4]

    def fate(*_: Any) -> list[float]:
        if rng.random() < loss:
            return []
        delays = [0.02 + (0.02 * rng.random() if rng.random() < 0.2 else 0.0)]
        return delays + [0.05] * (rng.random() < 0.05)

    network.fate = fate
    a, b = network.pair()
    up, down = rng.randbytes(200_000), rng.randbytes(70_000)
    b.on_event = _answering(b, down)
    number = a.connect(b.address)
    a.send(number, up, finish=True)
    network.run_until(lambda: bool(a.of(Closed) and b.of(Closed)), limit=600)
    assert bytes(b.received[b.incoming]) == up
    assert bytes(a.received[number]) == down
    assert {event.reason for event in a.of(Closed) + b.of(Closed)} == {Reason.FINISHED}
    assert [len(host.of(kind)) for host in (a, b) for kind in (EofReceived, Finished)] == [1, 1, 1, 1]
    assert not any(data[0] >> 4 == PacketType.RESET for _, _, data in network.log)
    network.run(10)
    assert (a.endpoint.connections, b.endpoint.connections) == (0, 0)
    assert not a.endpoint._numbers
    assert not b.endpoint._numbers


def _answering(host: Host, data: bytes) -> Callable[[Any], None]:
    def on_event(event: Any) -> None:
        if type(event).__name__ == "Incoming":
            host.send(event.connection, data, finish=True)

    return on_event


def test_a_peer_that_takes_a_selective_ack_back_is_sent_the_packet_again() -> None:
    """RFC 2018 section 8: what was acknowledged selectively is kept until it is acknowledged in order."""
    wire, id_, number, packets, _ = _wire(3)
    base = packets[0].seq_nr
    _sack(wire, id_, base - 1, 0b1)
    wire.give(STATE, id_, 9000, base)
    assert wire.endpoint.stats(number).flight == 2
    assert {packet.seq_nr for packet in wire.after(1.5)} >= {base + 1}

"""Links: what arithmetic says about rates and queues, and what goes wrong on the wire."""

from collections.abc import Callable
from itertools import pairwise

import pytest

from interop.simulation import CallbackSocket, CoDel, Drop, DropTail, Link, Network, Packet, SimulatedAddress, megabits

A, B = "192.0.2.1", "192.0.2.2"
HEADERS = 28
Arrivals = list[tuple[float, bytes]]


def pair(link: Link, seed: int = 1) -> tuple[Network, Callable[[bytes], None], Arrivals]:
    """A network with one link from A to B, a function that sends along it, and what has arrived."""
    network = Network(seed)
    arrivals: Arrivals = []
    sender = network.host(A, up=link).listen(lambda *_: None, 1)

    def arrived(data: bytes, source: SimulatedAddress, now: float) -> None:
        assert source == (A, 1)
        arrivals.append((now, data))

    network.host(B).listen(arrived, 2)
    return network, lambda data: sender.send(data, (B, 2)), arrivals


def numbered(count: int, size: int = 1000) -> list[bytes]:
    return [number.to_bytes(4, "big") + bytes(size - 4) for number in range(count)]


# -- rate, delay, queue ----------------------------------------------------------------------------------------------


def test_a_packet_takes_its_transmission_time_and_the_propagation_delay() -> None:
    network, send, arrivals = pair(Link(rate=megabits(8), delay=0.05))
    send(bytes(972))
    network.run()
    # 1000 octets at 1,000,000 octets per second.
    assert arrivals == [(0.051, bytes(972))]


def test_a_busy_link_delivers_at_its_rate_and_queueing_delays_add_up() -> None:
    link = Link(rate=100_000, delay=0.01, sample_delays=True)
    network, send, arrivals = pair(link)
    packets = numbered(50, 1000 - HEADERS)
    for packet in packets:
        send(packet)
    network.run()
    assert [data for _, data in arrivals] == packets
    assert [round(at * 1000) for at, _ in arrivals] == [10 * (number + 1) + 10 for number in range(50)]
    assert list(link.metrics.sample_delays_us) == [10_000 * number for number in range(50)]
    assert list(link.metrics.sample_times_us) == [0] * 50
    assert link.metrics.max_queue_delay_us == 490_000
    assert link.metrics.mean_queue_delay == pytest.approx(0.245)
    assert link.metrics.throughput(0.5) == 100_000


def test_a_rate_that_is_no_whole_number_of_microseconds_per_packet_is_kept_exactly() -> None:
    # 1073 octets at 1 Gb/s take 8.584 us: rounding each to microseconds would be 5 % off.
    network, send, arrivals = pair(Link(rate=megabits(1000)))
    for _ in range(100_000):
        send(bytes(1045))
    network.run()
    assert arrivals[-1][0] == pytest.approx(0.8584, abs=2e-6)


def test_an_idle_link_does_not_save_its_rate_up() -> None:
    network, send, arrivals = pair(Link(rate=100_000))
    send(bytes(972))
    network.at(5.0, send, bytes(972))
    network.run()
    assert [at for at, _ in arrivals] == [0.01, 5.01]


def test_an_ipv6_packet_has_twenty_octets_more() -> None:
    link = Link(rate=1_000_000)
    network = Network()
    sender = network.host("2001:db8::1", up=link).listen(lambda *_: None, 1)
    sources: list[SimulatedAddress] = []
    network.host("2001:db8::2").listen(lambda data, source, now: sources.append(source), 2)
    sender.send(bytes(100), ("2001:db8::2", 2))
    network.run()
    assert link.metrics.octets == 148
    assert sources == [("2001:db8::1", 1, 0, 0)]


def test_a_queue_of_octets_drops_what_does_not_fit() -> None:
    link = Link(rate=100_000, queue=DropTail(octets=3000))
    network, send, arrivals = pair(link)
    for packet in numbered(10, 972):
        send(packet)
    network.run()
    # The first is being transmitted and counts until it is: 1000 octets of it, and two more, are 3000.
    assert [data[3] for _, data in arrivals] == [0, 1, 2]
    assert link.metrics.dropped == 7
    assert network.recorder.dropped == {Drop.QUEUE: 7}


def test_a_queue_of_packets_frees_a_place_with_every_transmission() -> None:
    link = Link(rate=100_000, queue=DropTail(packets=2))
    network, send, arrivals = pair(link)
    for number, packet in enumerate(numbered(8, 972)):
        # One every 5 ms, and one transmitted every 10 ms.
        network.at(number * 0.005, send, packet)
    network.run()
    # By hand: 0 and 1 fit; at 10, 20, 30 ms one has just left, so 2, 4 and 6 fit, and 3, 5, 7 do not.
    assert [data[3] for _, data in arrivals] == [0, 1, 2, 4, 6]


def test_two_hosts_share_a_link() -> None:
    link = Link(rate=100_000)
    network = Network()
    arrivals: list[float] = []
    network.host(B).listen(lambda data, source, now: arrivals.append(now), 2)
    for address in (A, "192.0.2.3"):
        network.host(address, up=link).listen(lambda *_: None, 1).send(bytes(972), (B, 2))
    network.run()
    assert arrivals == [0.01, 0.02]


def test_a_link_may_change_and_keeps_the_order_of_packets() -> None:
    link = Link(delay=0.1)
    network, send, arrivals = pair(link)
    send(b"before")
    network.at(0.01, lambda: link.change(delay=0.01, rate=1000.0))
    network.at(0.02, send, bytes(2))
    network.at(0.2, send, bytes(2))
    network.run()
    assert [round(at, 6) for at, _ in arrivals] == [0.1, 0.1, 0.24]


@pytest.mark.parametrize("wrong", [{"rate": 0}, {"delay": -1.0}, {"loss": 1.1}, {"corruption": -0.1}])
def test_what_no_link_can_have_is_refused_and_changes_nothing(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Link(**wrong)  # type: ignore[arg-type]
    link = Link(rate=1000.0, delay=0.5)
    with pytest.raises(ValueError, match=next(iter(wrong))):
        link.change(**wrong)
    network, send, arrivals = pair(link)
    send(bytes(972))
    network.run()
    assert arrivals[0][0] == 1.5


def test_a_link_belongs_to_one_network() -> None:
    link = Link()
    Network().host(A, up=link)
    with pytest.raises(ValueError, match="another network"):
        Network().host(A, up=link)


# -- CoDel -----------------------------------------------------------------------------------------------------------


def overload(queue: CoDel | DropTail, load: float = 1.2) -> tuple[Network, Link]:
    """Twenty seconds of a link of 1000 packets per second that is offered `load` times as many."""
    link = Link(rate=1_000_000, queue=queue, sample_delays=True)
    network, send, _ = pair(link)
    for number in range(int(20_000 * load)):
        network.at(number / 1000 / load, send, bytes(972))
    network.run()
    return network, link


def test_codel_drops_nothing_while_the_queue_is_short() -> None:
    network, link = overload(CoDel(), load=0.95)
    assert network.recorder.dropped == {}
    assert link.metrics.packets == 19_000


def test_codel_lets_a_burst_pass_that_is_gone_within_the_interval() -> None:
    link = Link(rate=1_000_000, queue=CoDel())
    network, send, arrivals = pair(link)
    for packet in numbered(90, 972):
        send(packet)
    network.run()
    assert len(arrivals) == 90


def test_codel_drops_after_an_interval_above_target_and_then_ever_more_often() -> None:
    drops: list[float] = []
    network, send, _ = pair(Link(rate=1_000_000, queue=CoDel()))
    network.tap(lambda event: drops.append(event.at_us / 1e6) if event.reason is Drop.AQM else None)
    for number in range(24_000):
        network.at(number / 1200, send, bytes(972))
    network.run(until=1.0)
    # The queue grows by 0.2 ms a ms, so the sojourn time passes 5 ms at about 0.03 s; dropping begins 100 ms later, and
    # the next ones follow after 100 ms / sqrt(n) (the control law of RFC 8289).
    assert 0.12 < drops[0] < 0.15
    gaps = [after - before for before, after in pairwise(drops)]
    for number, gap in enumerate(gaps[:6], 1):
        assert gap == pytest.approx(0.1 / number**0.5, abs=0.002)


def test_codel_keeps_the_standing_queue_of_an_unresponsive_load_far_below_drop_tail() -> None:
    _, codel = overload(CoDel())
    network, tail = overload(DropTail(packets=1000))
    assert tail.metrics.max_queue_delay_us == pytest.approx(999_000, abs=2000)
    assert sum(codel.metrics.sample_delays_us[-2000:]) / 2000 < 0.2 * 999_000
    assert network.recorder.dropped[Drop.QUEUE] > 2000


def test_codel_transmits_at_the_rate_of_the_link() -> None:
    link = Link(rate=megabits(1000), queue=CoDel(packets=100_000, target=10.0))
    network, send, arrivals = pair(link)
    for _ in range(50_000):
        send(bytes(1045))
    network.run()
    assert arrivals[-1][0] == pytest.approx(0.4292, abs=2e-6)


def test_a_full_codel_queue_drops_what_comes() -> None:
    network, send, arrivals = pair(Link(rate=1000, queue=CoDel(packets=2)))
    for packet in numbered(5):
        send(packet)
    network.run()
    assert [data[3] for _, data in arrivals] == [0, 1, 2]
    assert network.recorder.dropped == {Drop.QUEUE: 2}


# -- what goes wrong on the wire -------------------------------------------------------------------------------------


def test_packets_are_lost_at_the_given_rate() -> None:
    link = Link(loss=0.1)
    network, send, arrivals = pair(link)
    for packet in numbered(10_000, 20):
        send(packet)
    network.run()
    assert link.metrics.lost + len(arrivals) == 10_000
    # Ten standard deviations of a binomial distribution are 300.
    assert 700 < link.metrics.lost < 1300
    assert network.recorder.dropped == {Drop.LOSS: link.metrics.lost}


def test_a_duplicated_packet_arrives_twice() -> None:
    link = Link(duplication=0.1)
    network, send, arrivals = pair(link)
    for packet in numbered(1000, 20):
        send(packet)
    network.run()
    assert len(arrivals) == 1000 + link.metrics.duplicated
    assert 40 < link.metrics.duplicated < 200
    assert {data for _, data in arrivals} == set(numbered(1000, 20))


def test_a_reordered_packet_is_overtaken() -> None:
    link = Link(rate=1_000_000, reordering=0.05, reorder_delay=0.0035)
    network, send, arrivals = pair(link)
    for packet in numbered(1000, 972):
        send(packet)
    network.run()
    order = [int.from_bytes(data[:4], "big") for _, data in arrivals]
    late = [number for place, number in enumerate(order) if number < max(order[: place + 1])]
    assert sorted(order) == list(range(1000))
    # The last one may have nobody behind it.
    assert len(late) in (link.metrics.reordered, link.metrics.reordered - 1)
    assert 20 < len(late) < 100
    assert all(order.index(number) - number == pytest.approx(3, abs=1) for number in late if number < 990)


def test_a_corrupted_packet_differs_in_one_bit() -> None:
    link = Link(corruption=0.2)
    network, send, arrivals = pair(link)
    sent = numbered(1000, 50)
    for packet in sent:
        send(packet)
    network.run()
    differences = [
        (int.from_bytes(before, "big") ^ int.from_bytes(after, "big")).bit_count()
        for before, (_, after) in zip(sent, arrivals, strict=True)
    ]
    assert set(differences) == {0, 1}
    assert sum(differences) == link.metrics.corrupted > 100


def test_jitter_spreads_arrivals_without_changing_their_order() -> None:
    network, send, arrivals = pair(Link(delay=0.01, jitter=0.02))
    for number, packet in enumerate(numbered(1000, 20)):
        network.at(number * 0.001, send, packet)
    network.run()
    assert [data for _, data in arrivals] == numbered(1000, 20)
    delays = [at - number * 0.001 for number, (at, _) in enumerate(arrivals)]
    assert 0.01 <= min(delays) < 0.02 < max(delays) <= 0.0300001


def test_jitter_reorders_when_asked_to() -> None:
    network, send, arrivals = pair(Link(jitter=0.02, keeps_order=False))
    for packet in numbered(100, 20):
        send(packet)
    network.run()
    assert [data for _, data in arrivals] != numbered(100, 20)
    assert sorted(data for _, data in arrivals) == numbered(100, 20)


def test_a_gate_chooses_single_packets() -> None:
    seen: list[Packet] = []

    def gate(packet: Packet) -> bool:
        seen.append(packet)
        return len(seen) != 3

    network, send, arrivals = pair(Link(gate=gate))
    for packet in numbered(5, 20):
        send(packet)
    network.run()
    assert [data[3] for _, data in arrivals] == [0, 1, 3, 4]
    assert network.recorder.dropped == {Drop.GATE: 1}


def test_chance_on_one_link_does_not_depend_on_another() -> None:
    def arrivals_beside(others: int) -> list[bytes]:
        network = Network(1)
        arrived: list[bytes] = []
        network.host(B).listen(lambda data, source, now: arrived.append(data), 2)
        for number in range(others):
            network.host(f"198.51.100.{number + 1}", up=Link(loss=0.5)).listen(lambda *_: None, 1).send(b"x", (B, 2))
        socket = network.host(A, up=Link(name="the one", loss=0.5)).listen(lambda *_: None, 1)
        for packet in numbered(100, 20):
            socket.send(packet, (B, 2))
        network.run()
        return [data for data in arrived if data != b"x"]

    assert 20 < len(arrivals_beside(0)) < 80
    assert arrivals_beside(0) == arrivals_beside(7)


def test_a_socket_stays_silent_once_it_is_closed() -> None:
    network = Network()
    socket: CallbackSocket = network.host(A).listen(lambda *_: None, 1)
    socket.close()
    socket.send(b"x", (B, 2))
    assert network.recorder.sent == 0

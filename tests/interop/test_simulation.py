"""The simulated network: time, machines, timers, partitions, crashes, determinism."""

import subprocess
import sys

import pytest
from simulated_pings import PORT, A, B, C, Echo, Pinger, ping_pong

from interop.simulation import (
    Datagram,
    Drop,
    Engine,
    Fate,
    Host,
    Link,
    MachineSocket,
    Network,
    SimulatedAddress,
    SimulationError,
    TraceHash,
    megabits,
)

# -- time ------------------------------------------------------------------------------------------------------------


def test_callbacks_come_in_the_order_of_their_times_and_then_of_their_posting() -> None:
    engine = Engine()
    seen: list[tuple[str, float]] = []
    for name, at in (("c", 2.0), ("a", 1.0), ("d", 2.0), ("b", 1.5)):
        engine.call_at(at, lambda name: seen.append((name, engine.now)), name)
    engine.run()
    assert seen == [("a", 1.0), ("b", 1.5), ("c", 2.0), ("d", 2.0)]


def test_a_cancelled_timer_does_not_fire_and_what_is_past_happens_now() -> None:
    network = Network()
    seen: list[str] = []
    timer = network.after(1.0, seen.append, "cancelled")
    network.at(2.0, lambda: network.at(0.5, seen.append, "late"))
    timer.cancel()
    network.run()
    assert (seen, network.now) == (["late"], 2.0)


def test_running_until_a_time_includes_it_and_stops_there() -> None:
    network = Network()
    seen: list[float] = []
    for at in (0.5, 1.0, 1.5):
        network.at(at, seen.append, at)
    network.run(until=1.0)
    assert (seen, network.now) == ([0.5, 1.0], 1.0)
    network.run(until=3.0)
    assert (seen, network.now) == ([0.5, 1.0, 1.5], 3.0)


def test_running_until_a_condition_says_whether_it_came_true() -> None:
    network, pinger, _ = ping_pong(link=lambda: Link(delay=0.1))
    assert not network.run_until(lambda: pinger.done, limit=1.0)
    assert (len(pinger.answered), network.now) == (5, 1.0)
    assert network.run_until(lambda: pinger.done, limit=10.0)
    assert network.now == pytest.approx(4.0)


# -- machines --------------------------------------------------------------------------------------------------------


def test_machines_talk_over_the_delays_of_their_links() -> None:
    network, pinger, echo = ping_pong(count=3, link=lambda: Link(rate=megabits(8), delay=0.02))
    network.run()
    # Each way: 52 octets at 1,000,000 octets per second, and 20 ms.
    assert pinger.answered == pytest.approx([0.040104, 0.080208, 0.120312])
    assert (pinger.sent, echo.batches) == (3, [1, 1, 1])


def test_datagrams_of_one_instant_are_one_batch() -> None:
    network = Network()
    echo = Echo()
    network.host(B).run(echo, PORT)
    for number in range(5):
        network.host(f"198.51.100.{number + 1}").listen(lambda *_: None, PORT).send(b"x", (B, PORT))
    network.run()
    assert echo.batches == [5]


def test_a_datagram_is_valid_during_the_call_only_as_with_a_real_driver() -> None:
    network, pinger, echo = ping_pong(count=2)
    network.run()
    assert pinger.done
    assert bytes(echo.received[0]) == bytes(echo.received[1]) == pinger.pings[1]


def test_a_lost_ping_is_repeated_when_the_timer_says_so() -> None:
    passes = iter([False, True, False, True, True])
    network, pinger, _ = ping_pong(count=1, link=lambda: Link(gate=lambda packet: next(passes)))
    network.run()
    assert pinger.sent == 3
    assert [round(now, 6) for _, now in pinger.timers] == [0.5, 1.0]
    assert network.recorder.dropped == {Drop.GATE: 2}


def test_machines_survive_all_that_can_go_wrong() -> None:
    def bad() -> Link:
        return Link(delay=0.01, jitter=0.02, loss=0.2, duplication=0.2, reordering=0.2, corruption=0.1)

    network, pinger, _ = ping_pong(count=200, link=bad)
    assert network.run_until(lambda: pinger.done, limit=1000.0)
    assert pinger.sent > 200
    assert network.recorder.dropped[Drop.LOSS] > 50


def test_the_same_seed_gives_the_same_octets_at_the_same_times_and_another_seed_others() -> None:
    def trace(seed: int) -> str:
        network, pinger, _ = ping_pong(
            seed, count=100, link=lambda: Link(delay=0.01, jitter=0.01, loss=0.1, duplication=0.1, corruption=0.1)
        )
        trace = TraceHash()
        network.tap(trace)
        network.run(until=100.0)
        assert pinger.done
        return trace.hexdigest()

    assert trace(1) == trace(1)
    assert trace(1) != trace(2)


def test_a_run_is_the_same_in_another_process() -> None:
    program = """
from interop.simulation import Link, Network, TraceHash
network, trace = Network("seed"), TraceHash()
network.tap(trace)
hosts = [network.host(f"192.0.2.{n}", up=Link(loss=0.3, jitter=0.1, duplication=0.2)) for n in range(1, 9)]
sockets = [host.listen(lambda *_: None, 1) for host in hosts]
network.partition(set(hosts[:4]), {hosts[6], hosts[5]})
for n in range(500):
    sockets[n % 8].send(hosts[n % 8].random_bytes(9), sockets[n * 3 % 8].address)
network.run()
print(trace.hexdigest())
"""
    hashes = {
        subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(hashes) == 1
    assert len(hashes.pop().strip()) == 64


def test_a_verb_is_followed_by_wake_and_events_are_announced() -> None:
    network = Network()
    events: list[int] = []
    host = network.host(A)
    network.host(B).run(Echo(), PORT)
    pinger = Pinger((B, PORT), 1)
    pinger._due = None
    socket = host.run(pinger, PORT, on_events=lambda: events.append(len(pinger.answered)))
    network.run()
    assert pinger.sent == 0
    pinger._due = 0.0
    socket.wake()
    network.run()
    assert pinger.done
    assert events == [0, 0, 1]


def test_a_closed_socket_sends_its_last_words_and_frees_its_port() -> None:
    network = Network()
    host = network.host(A)
    heard: list[bytes] = []
    network.host(B).listen(lambda data, source, now: heard.append(data), PORT)
    pinger = Pinger((B, PORT), 1)
    socket: MachineSocket = host.run(pinger, PORT)
    socket.close()
    network.run()
    assert heard == pinger.pings
    assert host.run(Echo(), PORT).port == PORT


def test_ports_are_given_out_and_none_twice() -> None:
    host = Network().host(A)
    first, second = host.run(Echo()), host.listen(lambda *_: None)
    assert first.port != second.port
    with pytest.raises(ValueError, match="taken"):
        host.run(Echo(), first.port)
    with pytest.raises(ValueError, match="taken or none"):
        host.run(Echo(), 70_000)


def test_an_address_is_given_to_one_host_and_is_an_ip_address() -> None:
    network = Network()
    network.host(A)
    with pytest.raises(ValueError, match="taken"):
        network.host(A)
    with pytest.raises(ValueError, match="example"):
        network.host("peer.example")


def test_what_nobody_takes_is_dropped_with_its_reason() -> None:
    network = Network()
    network.host(B)
    sender = network.host(A).listen(lambda *_: None, PORT)
    sender.send(b"x", (B, PORT))
    sender.send(b"x", (C, PORT))
    network.run()
    assert network.recorder.dropped == {Drop.NO_LISTENER: 1, Drop.NO_ROUTE: 1}
    assert (network.recorder.sent, network.recorder.delivered) == (2, 0)


def test_a_host_reaches_itself() -> None:
    network = Network()
    host = network.host(A)
    host.run(Echo(), PORT)
    pinger = Pinger((A, PORT), 3)
    host.run(pinger)
    network.run()
    assert pinger.done


# -- timers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("early", "late"), [(0.2, 0.0), (0.0, 0.2), (0.2, 0.2)])
def test_timers_come_early_or_late_when_asked_to_and_that_does_no_harm(early: float, late: float) -> None:
    network = Network(7)
    pinger = Pinger((B, PORT), 20)
    network.host(A, up=Link(loss=0.5), timer_early=early, timer_late=late).run(pinger, PORT)
    network.host(B).run(Echo(), PORT)
    assert network.run_until(lambda: pinger.done, limit=100.0)
    errors = [now - due for due, now in pinger.timers if due is not None]
    assert min(errors) >= -early - 1e-6
    assert max(errors) <= late + 1e-6
    assert (min(errors) < -0.05) == (early > 0)
    assert (max(errors) > 0.05) == (late > 0)


def test_without_errors_a_timer_is_handled_at_its_deadline() -> None:
    network, pinger, _ = ping_pong(count=30, link=lambda: Link(loss=0.3, delay=0.0123))
    network.run()
    assert len(pinger.timers) > 5
    assert all(due is not None and 0 <= now - due < 2e-6 for due, now in pinger.timers)


def test_a_timer_that_does_not_advance_is_an_error_that_names_the_host() -> None:
    class Stuck(Echo):
        def get_timer(self) -> float | None:
            return 1.0

        def handle_timer(self, now: float) -> None:
            pass

    network = Network()
    network.host(A, name="culprit").run(Stuck(), PORT)
    with pytest.raises(SimulationError, match="culprit: the timer of Stuck does not advance"):
        network.run()
    assert network.now == 1.0


def test_a_machine_that_sends_without_end_is_an_error_that_names_the_host() -> None:
    class Endless(Echo):
        def datagrams_to_send(self, now: float) -> list[tuple[Datagram, SimulatedAddress]]:
            return [(b"x", (B, PORT))]

    network = Network()
    network.host(A, name="culprit", up=Link(gate=lambda packet: False)).run(Endless(), PORT)
    with pytest.raises(SimulationError, match="culprit: datagrams_to_send of Endless has no end"):
        network.run()


def test_time_that_stands_still_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interop.simulation._engine.MAX_EVENTS_AT_ONE_INSTANT", 1000)
    network = Network()
    network.host(A).run(Echo(), PORT)
    network.host(B).run(Echo(), PORT)
    network.host(C).listen(lambda *_: None, PORT).host.send(b"x", (A, PORT), (B, PORT))
    with pytest.raises(SimulationError, match="time stands still"):
        network.run()


def test_an_exception_in_a_machine_reaches_whoever_runs_the_network() -> None:
    class Broken(Echo):
        def receive_datagram(self, data: memoryview, address: SimulatedAddress, now: float) -> None:
            raise ZeroDivisionError("a defect")

    network = Network()
    network.host(B).run(Broken(), PORT)
    network.host(A).listen(lambda *_: None, PORT).send(b"x", (B, PORT))
    with pytest.raises(ZeroDivisionError):
        network.run()


def test_a_host_lives_by_its_own_clock() -> None:
    network = Network()
    pinger = Pinger((B, PORT), 1, interval=10.0)
    pinger._due = 110.0
    # This clock shows 100 s at the start, and is 1 % too fast.
    host = network.host(A, clock_offset=100.0, clock_skew=0.01)
    host.run(pinger, PORT)
    network.host(B, up=Link(delay=1.0)).run(Echo(), PORT)
    sent: list[float] = []
    network.tap(lambda event: sent.append(event.at_us / 1e6) if event.fate is Fate.SENT and event.where == A else None)
    network.run()
    assert pinger.timers == [(110.0, pytest.approx(110.0, abs=2e-6))]
    assert pinger.answered == [pytest.approx(110.0 + 1.01, abs=1e-5)]
    assert sent == [pytest.approx(10.0 / 1.01, abs=2e-6)]


# -- partitions and crashes ------------------------------------------------------------------------------------------


def test_a_partition_comes_and_heals() -> None:
    network = Network()
    a, b, c = (network.host(address, up=Link(delay=0.01)) for address in (A, B, C))
    pinger, other = Pinger((B, PORT), 2, interval=1.0), Pinger((C, PORT), 1)
    b.run(Echo(), PORT)
    c.run(Echo(), PORT)
    partition = network.partition([a, c], [b])
    network.at(2.5, partition.heal)
    a.run(pinger, PORT)
    a.run(other)
    network.run()
    assert other.answered == [pytest.approx(0.02)]
    assert pinger.answered == pytest.approx([3.02, 3.04])
    assert network.recorder.dropped == {Drop.PARTITION: 3}


def test_hosts_that_a_partition_does_not_name_stay_together() -> None:
    network = Network()
    a, b, c = (network.host(address) for address in (A, B, C))
    partition = network.partition([a])
    assert not partition.separates(b, c)
    assert partition.separates(a, b)
    with pytest.raises(ValueError, match="two groups"):
        network.partition([a, b], [b])


def test_a_crashed_host_says_nothing_and_loses_its_state() -> None:
    network, pinger, _ = ping_pong(count=1000, link=lambda: Link(delay=0.01))
    b: Host = network._hosts[1]
    network.at(0.101, b.crash)
    network.run(until=1.0)
    assert len(pinger.answered) == 5
    assert network.recorder.dropped == {Drop.HOST_DOWN: 2}
    assert not b.is_up
    with pytest.raises(SimulationError, match="down"):
        b.run(Echo(), PORT)


def test_a_crashed_host_returns_with_a_new_machine() -> None:
    network, pinger, old = ping_pong(count=100, link=lambda: Link(delay=0.01))
    b = network._hosts[1]
    new = Echo()

    def returns() -> None:
        b.restart()
        b.run(new, PORT)

    network.at(0.101, b.crash)
    network.at(5.0, returns)
    network.run()
    assert pinger.done
    assert sum(old.batches) + sum(new.batches) == 100
    assert pinger.answered[5] > 5.0


def test_the_timers_of_a_crashed_host_do_not_fire() -> None:
    network = Network()
    pinger = Pinger((B, PORT), 1)
    host = network.host(A)
    socket = host.run(pinger, PORT)
    network.at(0.25, host.crash)
    network.run()
    assert (pinger.sent, pinger.timers, socket.machine) == (1, [], None)
    assert network.now == 0.5

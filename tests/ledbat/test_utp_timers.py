"""The timers of an endpoint, whether its connections open, idle, wait or close: few calls, and none in vain."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hand_utp import ADDRESS, DATA, START, STATE, SYN, Hand, build
from hypothesis import given
from hypothesis import strategies as st
from utp_endpoints import connected, drain, endpoint
from utp_network import B, Network

from ledbat.utp import Closed, EofReceived, Reason, UtpEndpoint

# Timers


def drive(one: UtpEndpoint, now: float, until: float) -> tuple[int, int]:
    """Obey `get_timer` and nothing else; returns how many calls that took, and how many datagrams went out."""
    calls = sent = 0
    while (due := one.get_timer()) is not None and due <= until:
        now = max(now, due)
        one.handle_timer(now)
        sent += len(drain(one, now))
        calls += 1
        assert calls < 100_000, "timers without progress"
    return calls, sent


def test_timers_alone_need_few_calls_for_a_connect_that_nobody_answers() -> None:
    """Five SYNs and the end."""
    one = endpoint()
    number = one.connect(ADDRESS, START)
    drain(one, START)
    calls, sent = drive(one, START, START + 1000)
    assert sent == 4
    assert calls < 20
    assert one.next_event() == Closed(number, Reason.TIMEOUT)
    assert one.get_timer() is None
    assert one.connections == 0


@pytest.mark.parametrize("early", [False, True])
def test_timers_alone_need_few_calls_for_a_half_open_connection(early: bool) -> None:
    """A SYN and nothing more: 30 s later it is forgotten, and until then there is next to nothing to do."""
    one = endpoint(accept_early=early)
    one.receive_datagram(build(SYN, 5, seq_nr=1), ADDRESS, START)
    drain(one, START)
    calls, _ = drive(one, START, START + 1000)
    assert calls < 20
    assert one.connections == 0
    assert one.get_timer() is None


def test_timers_alone_need_few_calls_for_an_idle_connection() -> None:
    """Keep-alives every 29 s for an hour."""
    peer = connected()
    calls, sent = drive(peer.endpoint, START, START + 3600)
    assert sent == 3600 // 29
    assert calls < 3 * sent


@given(st.floats(0.001, 2e9), st.floats(0.0001, 3.0))
def test_a_deadline_that_is_reached_is_served_whatever_the_clock_reads(start: float, later: float) -> None:
    """Floats: a + b may be reached while now - a is still less than b."""
    peer = Hand(endpoint(), now=start)
    peer.answer_connect()
    peer.hear()
    peer.now += later
    peer.say(DATA, payload=b"x")
    peer.hear()
    calls, sent = drive(peer.endpoint, peer.now, peer.now + 100.0)
    assert 3 <= sent <= 4
    assert calls <= 3 * sent
    peer.endpoint.send(peer.number, bytes(3000))
    calls, _ = drive(peer.endpoint, peer.now + 100.0, peer.now + 400.0)
    assert calls < 60


def test_timers_alone_need_few_calls_for_data_that_nobody_acknowledges() -> None:
    """Tail-loss probe, timeouts with back-off, and the end after about a minute."""
    peer = connected()
    peer.endpoint.send(peer.number, bytes(100_000))
    peer.hear()
    calls, _ = drive(peer.endpoint, START, START + 1000)
    assert calls < 60
    assert peer.events() == [Closed(peer.number, Reason.TIMEOUT)]
    assert peer.endpoint.get_timer() is None


@pytest.mark.parametrize("octets", [0, 1, 100])
def test_timers_alone_need_few_calls_for_a_window_that_stays_shut(octets: int) -> None:
    """The probes of a zero window back off."""
    peer = connected()
    peer.say(STATE, wnd_size=octets)
    peer.endpoint.send(peer.number, bytes(100_000))
    peer.hear()
    calls, _ = drive(peer.endpoint, START, START + 300)
    assert calls < 60


def test_timers_alone_need_few_calls_for_a_fin_that_nobody_answers() -> None:
    """The end comes by itself."""
    peer = connected()
    peer.endpoint.close(peer.number, START)
    peer.hear()
    calls, _ = drive(peer.endpoint, START, START + 1000)
    assert calls < 60
    assert [event for event in peer.events() if isinstance(event, Closed)] == [Closed(peer.number, Reason.TIMEOUT)]


def test_timers_alone_need_few_calls_for_a_peer_that_never_finishes_after_a_close() -> None:
    """Our FIN is acknowledged, theirs never comes: a minute, then RESET."""
    peer = connected()
    peer.endpoint.close(peer.number, START)
    peer.hear()
    peer.say(STATE)
    peer.hear()
    calls, sent = drive(peer.endpoint, START, START + 1000)
    assert calls < 20
    assert sent >= 1
    assert Closed(peer.number, Reason.TIMEOUT) in peer.events()


def test_timers_of_a_paced_transfer_need_no_more_calls_than_it_has_packets() -> None:
    """Pacing, delayed acknowledgements and probes together."""
    network = Network(delay=0.05)
    a, b = network.pair()
    calls: Counter[Any] = Counter()
    for host in (a, b):
        handle = host.endpoint.handle_timer

        def counted(now: float, host: Any = host, handle: Callable[[float], None] = handle) -> None:
            calls[host.address] += 1
            handle(now)

        host.endpoint.handle_timer = counted
    number = a.connect(B)
    a.send(number, bytes(2_000_000), finish=True)
    network.run_until(lambda: bool(b.of(EofReceived)))
    assert calls[a.address] < len(network.log)
    assert calls[b.address] < len(network.log)


def test_early_late_and_repeated_calls_of_handle_timer_do_no_harm() -> None:
    """A driver's timers are not exact."""
    peer = connected()
    peer.endpoint.send(peer.number, b"x" * 50)
    (data,) = peer.hear()
    for step in range(20):
        peer.endpoint.handle_timer(START + step / 1000)
        assert drain(peer.endpoint, START + step / 1000) == []
    peer.now = START + 20.0
    peer.endpoint.handle_timer(peer.now)
    peer.endpoint.handle_timer(peer.now)
    again = peer.hear()
    assert [packet.seq_nr for packet in again] == [data.seq_nr]
    peer.say(STATE, ack_nr=data.seq_nr)
    assert not [event for event in peer.events() if isinstance(event, Closed)]


def test_an_endpoint_without_connections_has_no_timer() -> None:
    """There is nothing to wait for, and handle_timer does nothing."""
    one = endpoint()
    assert one.get_timer() is None
    one.handle_timer(START)
    assert one.datagrams_to_send(START) == []


def test_thousands_of_idle_connections_cost_one_call_of_handle_timer_each_29_seconds_at_most() -> None:
    """One heap: the deadlines of all, each looked at when it is due."""
    one = endpoint()
    for port in range(2000):
        Hand(one, ("192.0.2.1", port)).open(connection_id=9)
    drain(one, START)
    while one.next_event() is not None:
        pass
    calls, sent = drive(one, START, START + 60.0)
    assert sent == 2 * 2000
    assert calls < 100, "those that are due together are served together"

"""What an endpoint tells its application, and in which order."""

import pytest
from hand_utp import ADDRESS, DATA, FIN, RESET, STATE, Hand
from utp_endpoints import connected, endpoint

from ledbat.errors import StateError
from ledbat.utp import Closed, Connected, EofReceived, Finished, Readable, Reason, Writable

# Events


def test_readable_is_told_once_until_everything_is_taken() -> None:
    """However many packets arrive."""
    peer = connected()
    for _ in range(5):
        peer.say(DATA, payload=b"12345")
    assert peer.events() == [Readable(peer.number)]
    assert peer.endpoint.receive(peer.number, 7) == b"1234512"
    peer.say(DATA, payload=b"67")
    assert peer.events() == []
    assert peer.endpoint.receive(peer.number) == b"345" + b"12345" * 3 + b"67"
    assert peer.endpoint.receive(peer.number) == b""
    peer.say(DATA, payload=b"again")
    assert peer.events() == [Readable(peer.number)]


def test_data_behind_a_hole_is_not_readable() -> None:
    """Until the missing packet comes, then all at once."""
    peer = connected()
    first = peer.seq
    peer.say(DATA, seq_nr=first + 2, payload=b"c")
    peer.say(DATA, seq_nr=first + 1, payload=b"b")
    assert peer.events() == []
    peer.say(DATA, seq_nr=first, payload=b"a")
    assert peer.events() == [Readable(peer.number)]
    assert peer.endpoint.receive(peer.number) == b"abc"


def test_eof_is_told_after_what_came_before_it_even_when_the_fin_overtakes() -> None:
    """BEP 29 "ST_FIN": "wait for packets that might still be missing [...] even after receiving the ST_FIN"."""
    peer = connected()
    first = peer.seq
    peer.say(FIN, seq_nr=first + 2)
    peer.say(DATA, seq_nr=first, payload=b"a")
    assert peer.events() == [Readable(peer.number)]
    peer.say(DATA, seq_nr=first + 1, payload=b"b")
    assert peer.events() == [EofReceived(peer.number)]
    assert peer.endpoint.receive(peer.number) == b"ab"


def test_nothing_after_the_fin_is_taken() -> None:
    """BEP 29 "ST_FIN": "this connection will never have a sequence number greater than [its]"."""
    peer = connected()
    first = peer.seq
    peer.say(DATA, payload=b"a")
    peer.say(FIN)
    peer.say(DATA, seq_nr=first + 2, payload=b"after the end")
    peer.say(FIN, seq_nr=first + 3)
    assert peer.endpoint.receive(peer.number) == b"a"
    assert [event for event in peer.events() if isinstance(event, EofReceived)] == [EofReceived(peer.number)]
    assert peer.hear()[-1].ack_nr == first + 1


def test_writable_is_told_once_when_send_took_less_than_all() -> None:
    """After there is room again."""
    peer = connected(send_buffer=10_000)
    taken = peer.endpoint.send(peer.number, bytes(50_000))
    assert taken == 10_000
    assert peer.endpoint.send(peer.number, b"x") == 0
    assert peer.events() == []
    for _ in range(100):
        if not peer.hear():
            break
        peer.now += 0.05
        peer.say(STATE)
    peer.hear()
    assert [event for event in peer.events() if isinstance(event, Writable)] == [Writable(peer.number)]
    assert peer.endpoint.send(peer.number, bytes(50_000)) == 10_000


def test_a_send_that_is_taken_whole_is_followed_by_no_writable() -> None:
    """There is nothing to tell."""
    peer = connected()
    assert peer.endpoint.send(peer.number, bytes(5000)) == 5000
    for _ in range(20):
        peer.hear()
        peer.now += 0.05
        peer.say(STATE)
    assert peer.events() == []


def test_a_life_in_order() -> None:
    """Connected, Readable, EofReceived, Finished, Closed: each once, the last one last."""
    peer = Hand(endpoint())
    peer.answer_connect()
    peer.endpoint.send(peer.number, b"question")
    peer.endpoint.shutdown(peer.number)
    peer.hear()
    peer.say(DATA, payload=b"answer")
    peer.say(FIN)
    peer.hear()
    number = peer.number
    assert peer.endpoint.receive(number) == b"answer"
    assert peer.events() == [
        Connected(number, ADDRESS),
        Readable(number),
        EofReceived(number),
        Finished(number),
        Closed(number, Reason.FINISHED),
    ]
    peer.wait(100.0)
    assert peer.events() == []


def test_finished_comes_while_the_peer_goes_on() -> None:
    """Half-close: everything and our FIN acknowledged, their direction open."""
    peer = connected()
    peer.endpoint.send(peer.number, b"all")
    peer.endpoint.shutdown(peer.number)
    peer.hear()
    peer.say(STATE)
    peer.hear()
    assert peer.events() == [Finished(peer.number)]
    peer.say(DATA, payload=b"still here")
    assert peer.endpoint.receive(peer.number) == b"still here"


def test_what_was_not_read_at_the_end_can_still_be_read() -> None:
    """Closed is the last event, and the octets are kept for as long as nobody took them."""
    peer = connected()
    peer.say(DATA, payload=b"left")
    peer.say(RESET)
    assert peer.events() == [Readable(peer.number), Closed(peer.number, Reason.RESET)]
    peer.wait(300.0)
    assert peer.endpoint.receive(peer.number) == b"left"
    with pytest.raises(StateError):
        peer.endpoint.receive(peer.number)


def test_dropped_datagrams_leave_a_limited_number_of_events() -> None:
    """Whoever sends garbage fills no memory with it."""
    peer = Hand(endpoint())
    for _ in range(10_000):
        peer.raw(b"garbage")
    assert len(peer.events()) <= 64


def test_dropped_datagrams_crowd_out_no_other_event() -> None:
    """They have a queue of their own."""
    peer = connected()
    peer.say(DATA, payload=b"x")
    for _ in range(1000):
        peer.raw(b"garbage")
    assert peer.events()[0] == Readable(peer.number)


def test_a_fin_that_comes_again_after_the_end_is_acknowledged_again() -> None:
    """Our last acknowledgement was lost: we linger."""
    peer = connected()
    peer.endpoint.shutdown(peer.number)
    peer.hear()
    peer.say(STATE)
    fin_seq = peer.seq
    peer.say(FIN)
    peer.hear()
    peer.now += 1.0
    peer.say(FIN, seq_nr=fin_seq)
    (state,) = peer.hear()
    assert (state.kind, state.ack_nr) == (STATE, fin_seq)

"""One object of a transfer: every state and event, redirects, pauses, stalls, cuts; nothing is held at the end."""

from itertools import product

import pytest
from decade_server import HELLO, OCTETS
from decade_tokens import SERVER
from decade_transfers import SA, One, answer

from decade._pace import STALL, STRIDE
from decade.errors import ErrorCode
from decade.messages import TransferState
from decade.remote import MAX_REDIRECTS
from decade.transfer import ANSWER_TIMEOUT, CONNECT_TIMEOUT, LONGEST_PAUSE, MAX_UNREACHABLE, SHORTEST_PAUSE
from decade.transfer_states import ENDED, ITEM_TABLE, RUNNING, ItemEvent, ItemState, Trouble
from decade.waiting import Clock, Waiting, begin

WHOLE = answer(200, size=len(OCTETS))


def in_body(one, now=1.0):
    exchange = one.start(now)
    exchange.connected(now)
    return one.head(exchange, WHOLE, now)


def reach(state):
    """An object in a state, and its exchange if it has one."""
    one = One()
    if state is ItemState.QUEUED:
        return one, None
    exchange = one.start()
    if state is ItemState.CONNECT:
        return one, exchange
    exchange.connected(1.0)
    if state is ItemState.REQUEST:
        return one, exchange
    if state is ItemState.BACKOFF:
        one.head(exchange, answer(503))
        return one, None
    if state is ItemState.FAILED:
        one.head(exchange, answer(404))
        return one, None
    exchange = one.head(exchange, WHOLE)
    if state is ItemState.BODY:
        return one, exchange
    if state is ItemState.CANCELLED:
        one.item.cancel(1.0)
        return one, exchange
    exchange.receive_data(OCTETS, 1.0)
    if state is ItemState.COMMIT:
        one.work.waits = True
        one.waiting = exchange.receive_end(1.0)
        return one, exchange
    exchange.receive_end(1.0)
    return one, exchange


VERBS = {
    "cancel": (ItemEvent.CANCEL, lambda one: one.item.cancel(2.0)),
    "expire": (ItemEvent.FAIL, lambda one: one.item.expire(2.0)),
    "connected": (ItemEvent.CONNECTED, lambda one: one.item.connected(2.0)),
    "cut": (ItemEvent.CUT, lambda one: one.item.lose(Trouble.CUT, 2.0)),
    "forbidden": (ItemEvent.FAIL, lambda one: one.item.lose(Trouble.FORBIDDEN, 2.0)),
    "write": (ItemEvent.BODY, lambda one: one.item.write(b"", 2.0)),
    "start": (ItemEvent.START, lambda one: one.start(2.0)),
}


@pytest.mark.parametrize(("state", "verb"), list(product(ItemState, VERBS)))
def test_every_verb_does_in_every_state_what_the_table_says(state, verb):
    one, _ = reach(state)
    assert one.item.state is state
    event, act = VERBS[verb]
    act(one)
    following = ITEM_TABLE[state].get(event, state)
    if state is ItemState.COMMIT:
        following = ItemState.FAILED if verb == "forbidden" else ItemState.COMMIT
    assert one.item.state is following
    if following in ENDED:
        assert not one.work.is_holding
        assert one.item.get_timer() is None
        assert following is ItemState.DONE or not one.work.octets


def test_the_table_has_every_state_and_what_has_ended_stays_so():
    assert set(ITEM_TABLE) == set(ItemState)
    for state in ENDED:
        assert ITEM_TABLE[state] == {}
    for state in RUNNING - {ItemState.COMMIT} | {ItemState.QUEUED, ItemState.BACKOFF}:
        assert ITEM_TABLE[state][ItemEvent.CANCEL] is ItemState.CANCELLED
        assert ITEM_TABLE[state][ItemEvent.FAIL] is ItemState.FAILED


def test_an_object_is_fetched_with_the_token_and_stored():
    one = One()
    exchange = one.start()
    assert (exchange.request.method, exchange.request.target) == ("GET", SA + HELLO.path)
    assert exchange.request.header("Authorization") is not None
    exchange.connected(1.0)
    going = one.head(exchange, WHOLE)
    assert going.is_open
    going.receive_data(OCTETS[:5], 1.0)
    going.receive_data(OCTETS[5:], 1.0)
    assert going.receive_end(1.0) is None
    assert (one.item.transfer_state, one.item.done, one.item.size) == (TransferState.DONE, 12, 12)
    assert one.work.is_kept
    assert not one.work.is_holding
    assert one.states[0] is ItemState.CONNECT
    assert [s for n, s in enumerate(one.states) if not n or one.states[n - 1] is not s] == [
        ItemState.CONNECT,
        ItemState.REQUEST,
        ItemState.BODY,
        ItemState.COMMIT,
        ItemState.DONE,
    ]


def test_what_is_held_already_is_not_asked_for():
    one = One(held=True)
    assert one.start() is None
    assert one.item.state is ItemState.DONE


def test_a_push_asks_first_and_then_sends_from_the_start():
    one = One(is_pull=False)
    exchange = one.start()
    assert exchange.request.method == "HEAD"
    assert exchange.length == 0
    put = one.head(exchange, answer(404))
    assert not exchange.is_open
    assert (put.request.method, put.length) == ("PUT", len(OCTETS))
    put.connected(1.0)
    assert put.read(5, 1.0) == OCTETS[:5]
    assert one.item.state is ItemState.BODY
    assert put.read(50, 1.0) == OCTETS[5:]
    assert put.read(50, 1.0) == b""
    assert one.head(put, answer(201)) is None
    assert one.item.state is ItemState.DONE


def test_a_push_of_what_the_remote_server_has_sends_nothing():
    one = One(is_pull=False)
    assert one.head(one.start(), answer(200)) is None
    assert (one.item.state, one.work.sent) == (ItemState.DONE, 0)


def test_a_push_may_be_answered_before_all_was_sent():
    for status, state in ((204, ItemState.DONE), (507, ItemState.FAILED), (503, ItemState.BACKOFF)):
        one = One(is_pull=False)
        put = one.head(one.start(), answer(404))
        put.read(5, 1.0)
        one.head(put, answer(status))
        assert one.item.state is state
        assert put.read(5, 1.0) == b""


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_refusal_is_final(status):
    one = One()
    assert one.head(one.start(), answer(status)) is None
    assert (one.item.state, one.item.error) == (ItemState.FAILED, ErrorCode.REMOTE_REFUSED)


def test_redirects_are_followed_and_the_token_stays_where_it_belongs():
    one = One(aud=(SA, "https://sc.example"))
    exchange = one.start()
    following = one.head(exchange, answer(307, Location="https://sc.example/x"))
    assert not exchange.is_open
    assert following.request.target == "https://sc.example/x"
    assert following.request.header("Authorization") is not None
    other = one.head(following, answer(307, Location="https://sd.example/y"))
    assert other.request.header("Authorization") is None
    assert one.item.state is ItemState.CONNECT


def test_after_five_redirects_it_is_a_loop():
    one = One()
    exchange = one.start()
    for _ in range(MAX_REDIRECTS):
        exchange = one.head(exchange, answer(302, Location="/x"))
    assert one.head(exchange, answer(302, Location="/x")) is None
    assert one.item.error == ErrorCode.LOOP_DETECTED


@pytest.mark.parametrize(
    ("location", "code"),
    [("http://sc.example/", ErrorCode.REMOTE_REFUSED), (SERVER + "/x", ErrorCode.LOOP_DETECTED)],
)
def test_a_redirect_to_where_nobody_goes_is_final(location, code):
    one = One()
    assert one.head(one.start(), answer(307, Location=location)) is None
    assert (one.item.state, one.item.error) == (ItemState.FAILED, code)


def test_pauses_are_as_the_remote_server_asks_or_double():
    one = One()
    waits = []
    now = 1.0
    for status in ({}, {"Retry_After": "7"}, {"Retry_After": "0"}, *[{}] * 6):
        one.head(one.start(now), answer(503, **status), now)
        waits.append(one.item.get_timer() - now)
        one.item.handle_timer(now)
        assert one.item.state is ItemState.BACKOFF
        now = one.item.get_timer()
        one.item.handle_timer(now)
        assert one.item.state is ItemState.QUEUED
    wanted = [1, 7, SHORTEST_PAUSE, 8, 16, 32, LONGEST_PAUSE, LONGEST_PAUSE, LONGEST_PAUSE]
    assert waits == pytest.approx(wanted, rel=0.01)


def test_a_cut_goes_on_where_it_was():
    one = One()
    going = in_body(one)
    going.receive_data(OCTETS[:5], 1.0)
    going.fail(Trouble.CUT, 1.0)
    assert not going.is_open
    assert one.work.is_holding
    one.item.handle_timer(10.0)
    exchange = one.start(10.0)
    assert exchange.request.header("Range") == "bytes=5-"
    rest = one.head(exchange, answer(206, size=7, Content_Range="bytes 5-11/12"), 10.0)
    rest.receive_data(OCTETS[5:], 10.0)
    rest.receive_end(10.0)
    assert one.item.state is ItemState.DONE


def test_an_answer_that_ends_too_early_is_a_cut():
    one = One()
    going = in_body(one)
    going.receive_data(OCTETS[:5], 1.0)
    going.receive_end(1.0)
    assert one.item.state is ItemState.BACKOFF
    assert one.work.done == 5


def test_a_range_that_is_refused_begins_anew():
    one = One()
    going = in_body(one)
    going.receive_data(OCTETS[:5], 1.0)
    going.fail(Trouble.CUT, 1.0)
    one.item.handle_timer(10.0)
    one.head(one.start(10.0), answer(416), 10.0)
    assert (one.item.state, one.work.done, one.work.is_holding) == (ItemState.BACKOFF, 0, False)
    one.item.handle_timer(20.0)
    assert one.start(20.0).request.header("Range") is None


def test_wrong_octets_are_discarded():
    one = One()
    going = in_body(one)
    going.receive_data(b"x" * 12, 1.0)
    going.receive_end(1.0)
    assert (one.item.state, one.item.error) == (ItemState.FAILED, ErrorCode.REMOTE_MISMATCH)
    assert (one.work.done, one.work.is_holding, one.work.is_kept) == (0, False, False)


def test_more_octets_than_were_announced_end_it():
    one = One()
    going = in_body(one)
    going.receive_data(OCTETS + b"!", 1.0)
    assert not going.is_open
    assert one.item.error == ErrorCode.REMOTE_MISMATCH


def test_it_waits_for_a_connection_for_an_answer_and_for_octets_in_turn():
    one = One()
    exchange = one.start(0.0)
    assert one.item.get_timer() == CONNECT_TIMEOUT
    exchange.connected(1.0)
    assert one.item.get_timer() == 1.0 + ANSWER_TIMEOUT
    one.head(exchange, answer(200, size=3 * STRIDE), 2.0)
    assert one.item.get_timer() == 2.0 + STALL
    exchange.receive_data(bytes(STRIDE - 1), 20.0)
    assert one.item.get_timer() == 2.0 + STALL
    exchange.receive_data(bytes(1), 21.0)
    assert one.item.get_timer() == 21.0 + STALL
    one.item.handle_timer(21.0 + STALL)
    assert one.item.state is ItemState.BACKOFF
    assert not exchange.is_open


def test_a_server_that_is_not_there_is_not_waited_for():
    one = One()
    now = 0.0
    for _ in range(MAX_UNREACHABLE):
        assert one.item.state is ItemState.QUEUED
        one.start(now).fail(Trouble.UNREACHABLE, now)
        now += 100
        one.item.handle_timer(now)
    assert (one.item.state, one.item.error) == (ItemState.FAILED, ErrorCode.REMOTE_UNREACHABLE)


def test_a_connection_that_comes_at_last_counts():
    one = One()
    now = 0.0
    for attempt in range(3 * MAX_UNREACHABLE):
        exchange = one.start(now)
        if attempt % 3 == 2:
            exchange.connected(now)
        exchange.fail(Trouble.UNREACHABLE, now)
        now += 100
        one.item.handle_timer(now)
    assert one.item.state is ItemState.QUEUED


@pytest.mark.parametrize("step", ["start", "accept", "keep"])
def test_what_our_own_store_refuses_is_the_reason(step):
    one = One(error=step)
    exchange = one.start()
    if exchange is not None:
        going = one.head(exchange, WHOLE)
        if going is not None:
            going.receive_data(OCTETS, 1.0)
            going.receive_end(1.0)
    assert (one.item.state, one.item.error) == (ItemState.FAILED, ErrorCode.STORAGE_QUOTA)
    assert not one.work.is_holding


@pytest.mark.parametrize("step", ["start", "accept"])
@pytest.mark.parametrize("error", [None, "same"])
def test_who_is_cancelled_while_our_store_works_holds_nothing_afterwards(step, error):
    one = One(waits=step == "start", error=step if error else None)
    if step == "start":
        waiting = begin(one.item.start(Clock(1.0)))
    else:
        exchange = one.start()
        one.work.waits = True
        waiting = exchange.receive_head(WHOLE, 1.0)
    assert isinstance(waiting, Waiting)
    assert one.item.get_timer() is None
    one.item.cancel(2.0)
    waiting.run()
    assert waiting.resume(3.0) is None
    assert (one.item.state, one.item.error) == (ItemState.CANCELLED, None)
    assert not one.work.is_holding


def test_it_is_too_late_to_cancel_what_is_being_stored():
    one, exchange = reach(ItemState.COMMIT)
    one.item.cancel(2.0)
    one.item.expire(2.0)
    assert not exchange.is_open
    one.waiting.run()
    one.waiting.resume(3.0)
    assert one.item.state is ItemState.DONE


def test_a_closed_exchange_changes_nothing():
    one = One()
    exchange = one.start()
    one.item.cancel(1.0)
    before = list(one.work.log)
    exchange.connected(2.0)
    exchange.receive_data(b"x", 2.0)
    exchange.fail(Trouble.CUT, 2.0)
    assert exchange.receive_head(WHOLE, 2.0) is None
    assert exchange.receive_end(2.0) is None
    assert exchange.read(5, 2.0) == b""
    assert one.work.log == before

"""Transfers between servers on the line of their account, and readers of what is on its way."""

import pytest
from decade_server import APP, HELLO, OCTETS, Bench, code, token, whole
from decade_tokens import ACCOUNT
from decade_transfers import answer, bench, finish_pull, request, transfers_of

from decade.errors import ErrorCode
from decade.messages import ResourcePolicy, TransferState
from decade.names import name_of
from decade.settings import Extension
from decade.transfer_states import Trouble
from decade.values import BitRate, Priority
from decade.waiting import settle


def test_what_asks_for_no_priority_is_in_the_background_and_no_terms_exceed_the_token():
    made = bench()
    plain = transfers_of(made, request()).errand.terms
    assert (plain.priority, plain.weight, plain.ceiling) == (Priority.LOW, 1, None)
    key = token(bandwidth=BitRate(1000), priority=Priority.NORMAL)
    asked = {"bandwidth": BitRate(2000), "priority": Priority.HIGH}
    terms = transfers_of(made, request(**asked), key).errand.terms
    assert (terms.priority, terms.ceiling) == (Priority.NORMAL, 1000)
    assert transfers_of(made, request(bandwidth=BitRate(500)), token()).errand.terms.ceiling == 500


def test_octets_wait_for_the_line_of_the_account():
    made = bench(policy=ResourcePolicy(weight=1, ceiling_upload=8 * 16384))
    octets = bytes(65536)
    transfer = transfers_of(made, request(name_of(octets)))
    woken = []
    made.server.transfers.wake = lambda: woken.append(1)
    exchange = made.server.transfers.next_request(1.0).receive_head(answer(200, size=65536), 1.0)
    now = 1.0
    for at in range(0, 65536, 16384):
        exchange.receive_data(octets[at : at + 16384], now)
        while exchange.is_paused:
            now = max(now + 0.01, made.server.get_timer())
            assert made.server.grant(now) is None
        made.server.transfers.handle_timer(now)
    assert now == pytest.approx(4.0, abs=0.3)
    assert woken
    exchange.receive_end(now)
    assert transfer.state == TransferState.DONE


def test_a_paused_object_is_not_slow_and_ends_with_its_node():
    made = bench()
    made.tree.put((ACCOUNT, "live"), ResourcePolicy(weight=1, ceiling_upload=8))
    transfer = transfers_of(made, request(), token(APP))
    exchange = made.server.transfers.next_request(1.0).receive_head(answer(200, size=12), 1.0)
    exchange.receive_data(OCTETS[:6], 1.0)
    exchange.receive_data(OCTETS[6:9], 1.0)
    assert exchange.is_paused
    made.server.transfers.handle_timer(1000.0)
    assert exchange.is_open
    made.server.transfers.cancel(transfer, 1000.0)
    assert not exchange.is_paused
    assert made.server.uploads.get_timer() is None


def test_who_asks_for_what_is_on_its_way_waits_until_it_is_verified():
    made = Bench(extensions=frozenset({Extension.PULL, Extension.JOINED}))
    transfers_of(made, request())
    joining = made.head("GET", HELLO.path, token())
    called = []
    joining.subscribe(lambda: called.append(1))
    exchange = made.server.transfers.next_request(1.0)
    exchange.receive_head(answer(200, size=12), 1.0)
    exchange.receive_data(OCTETS, 1.0)
    exchange.fail(Trouble.CUT, 1.0)
    made.server.transfers.handle_timer(9.0)
    assert called == []
    finish_pull(made, now=9.0)
    assert called == [1]
    assert whole(settle(joining.resume(9.0), 9.0)).body == OCTETS
    assert made.server.transfers._arrivals == {}


@pytest.mark.parametrize(("status", "wanted"), [(404, ErrorCode.REMOTE_REFUSED), (None, ErrorCode.NOT_FOUND)])
def test_who_waits_in_vain_is_told(status, wanted):
    made = Bench(extensions=frozenset({Extension.PULL, Extension.JOINED}))
    transfer = transfers_of(made, request())
    joining = made.head("GET", HELLO.path, token())
    joining.subscribe(lambda: None)
    if status is None:
        made.server.transfers.cancel(transfer, 1.0)
    else:
        made.server.transfers.next_request(1.0).receive_head(answer(status), 1.0)
    assert code(settle(joining.resume(2.0), 2.0)) == wanted

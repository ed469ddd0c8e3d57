"""Objects that a server sends to another one on the order of a client."""

from decade_server import HELLO, OCTETS, Bench, token
from decade_tokens import NOW
from decade_transfers import SA, answer, bench, request, transfers_of

from decade.errors import ErrorCode
from decade.messages import Direction, StoredAttrs, TransferState
from decade.names import name_of
from decade.remote import MAX_REDIRECTS
from decade.settings import Extension
from decade.transfer_states import Trouble


def test_a_push_that_is_done_is_in_the_log():
    extensions = frozenset({Extension.PUSH, Extension.DISTRIBUTION_LOG})
    made = Bench(extensions=extensions)
    made.put()
    transfers_of(made, request(direction=Direction.PUSH))
    made.server.transfers.next_request(1.0).receive_head(answer(200), 1.0)
    log = made.control("GET", "distribution-log")
    assert [(entry.name, entry.server) for entry in log.servers] == [(HELLO, SA)]


def test_a_push_brings_an_object_of_the_account():
    made = bench()
    made.put(headers=(("Content-Type", "a/b"),))
    wanted = StoredAttrs(expires=NOW + 500)
    key = token(amount=20)
    transfer = transfers_of(made, request(direction=Direction.PUSH, attrs=wanted, token=token(aud=(SA,))), key)
    head = made.server.transfers.next_request(1.0)
    assert head.request.method == "HEAD"
    put = head.receive_head(answer(404), 1.0)
    assert (put.request.method, put.length, put.request.header("Content-Length")) == ("PUT", 12, "12")
    assert put.request.header("Decade-Attrs") == f"exp={NOW + 500}"
    assert put.request.header("Content-Type") is None
    put.connected(1.0)
    assert put.read(100, 1.0) == OCTETS
    assert put.read(100, 1.0) == b""
    assert put.receive_head(answer(201), 1.0) is None
    assert (transfer.state, transfer.status().done, transfer.status().total) == (TransferState.DONE, 12, 12)
    assert [use.amount for use in made.uses()] == [12]
    assert made.server.requests == 0


def test_a_push_of_what_is_not_there_or_gone_fails():
    made = bench()
    made.put(b"x")
    gone = name_of(b"x")
    made.ask("DELETE", gone.path, token())
    transfer = transfers_of(made, request(HELLO, gone, direction=Direction.PUSH))
    assert made.server.transfers.next_request(1.0) is None
    assert [item.error for item in transfer.items] == [ErrorCode.NOT_FOUND, ErrorCode.GONE]


def test_a_push_that_is_cut_begins_anew_and_pays_for_what_went():
    made = bench()
    made.put()
    transfer = transfers_of(made, request(direction=Direction.PUSH), token(amount=30))
    put = made.server.transfers.next_request(1.0).receive_head(answer(404), 1.0)
    put.read(5, 1.0)
    put.fail(Trouble.CUT, 1.0)
    made.server.transfers.handle_timer(10.0)
    put = made.server.transfers.next_request(10.0).receive_head(answer(403), 10.0)
    put.read(7, 10.0)
    other = put.receive_head(answer(307, Location="https://sc.example/y"), 10.0)
    assert other.read(100, 10.0) == OCTETS
    assert other.receive_head(answer(204), 10.0) is None
    assert transfer.state == TransferState.DONE
    assert [use.amount for use in made.uses()] == [17]


def test_a_push_has_no_more_redirects_than_a_pull():
    made = bench()
    made.put()
    transfer = transfers_of(made, request(direction=Direction.PUSH))
    exchange = made.server.transfers.next_request(1.0)
    for _ in range(MAX_REDIRECTS + 1):
        exchange = exchange.receive_head(answer(307, Location="/x"), 1.0)
    assert transfer.items[0].error == ErrorCode.LOOP_DETECTED


def test_an_object_that_is_deleted_while_it_goes_arrives():
    made = bench()
    made.put()
    transfer = transfers_of(made, request(direction=Direction.PUSH))
    put = made.server.transfers.next_request(1.0).receive_head(answer(404), 1.0)
    assert put.read(5, 1.0) == OCTETS[:5]
    assert made.ask("DELETE", HELLO.path, token()).status == 204
    assert put.read(100, 1.0) == OCTETS[5:]
    assert put.receive_head(answer(201), 1.0) is None
    assert transfer.state == TransferState.DONE
    assert made.quotas.holding(()).used == 0


def test_who_is_cut_when_the_object_is_gone_has_nothing_to_begin_anew():
    made = bench()
    made.put()
    transfer = transfers_of(made, request(direction=Direction.PUSH))
    put = made.server.transfers.next_request(1.0).receive_head(answer(404), 1.0)
    put.read(5, 1.0)
    made.ask("DELETE", HELLO.path, token())
    put.fail(Trouble.CUT, 1.0)
    made.server.transfers.handle_timer(10.0)
    assert made.server.transfers.next_request(10.0) is None
    assert transfer.items[0].error == ErrorCode.GONE

"""The transfers of a server: ordered, paid for, next in turn, known again by their key, ended, forgotten."""

import pytest
from decade_server import APP, BOB, HELLO, OCTETS, Bench, code, token
from decade_tokens import ACCOUNT, NOW, SERVER
from decade_transfers import SA, TEMPLATE, answer, bench, finish_pull, ordered, request, transfers_of

from decade.errors import ErrorCode
from decade.messages import Direction, Remote, ResourcePolicy, Revocation, StoredAttrs, TransferState, TransferStatus
from decade.names import name_of
from decade.scope import Object, Operation
from decade.settings import Extension
from decade.transfer_book import MAX_OBJECTS, MAX_REMEMBERED, MAX_TRANSFERS, REMEMBERED
from decade.transfer_states import Trouble
from decade.transfer_work import LONGEST_TRANSFER
from decade.values import Priority, SignedName, Weight


def refused(made, message, key=None):
    """The code of a request that leaves no trace."""
    before = (made.state(), len(made.server.transfers._transfers))
    answer = made.control("POST", "transfers", message, key)
    assert (made.state(), len(made.server.transfers._transfers)) == before
    return code(answer)


def many(size, start=0):
    return tuple(name_of(b"%d" % number) for number in range(start, start + size))


def test_a_transfer_is_ordered_asked_about_and_done():
    made = bench()
    response = ordered(made, request(token=token(aud=(SA,))))
    assert response.status == 202
    location = response.header("Location").removeprefix("/decade/v1/")
    status = made.control("GET", location)
    assert (status.state, status.total, status.items[0].state) == (TransferState.QUEUED, None, TransferState.QUEUED)
    exchange = made.server.transfers.next_request(1.0)
    assert exchange.request.target == SA + HELLO.path
    exchange.connected(1.0)
    exchange.receive_head(answer(200, size=12), 1.0)
    status = made.control("GET", location)
    assert (status.state, status.done, status.total) == (TransferState.RUNNING, 0, 12)
    assert made.quotas.holding((ACCOUNT,)).reserved == 12
    exchange.receive_data(OCTETS, 1.0)
    exchange.receive_end(1.0)
    status = made.control("GET", location)
    assert (status.state, status.done, status.total) == (TransferState.DONE, 12, 12)
    assert made.get().body == OCTETS
    assert made.quotas.holding((ACCOUNT,)).stored == 12
    assert made.control("HEAD", location).status == 200
    assert made.server.transfers.running == 0


def test_features_say_what_the_driver_does():
    assert Bench().control("POST", "transfers", request()).status == 404
    made = Bench(extensions=frozenset({Extension.PULL}))
    assert made.server._core.settings.info.features == ("pull",)
    assert ordered(made, request()).status == 202
    assert refused(made, request(direction=Direction.PUSH)) == ErrorCode.OP_NOT_PERMITTED


def test_attributes_are_those_of_the_request_alone():
    made = bench()
    wanted = StoredAttrs(expires=NOW + 500, media_type="text/plain")
    transfers_of(made, request(attrs=wanted))
    finish_pull(made, head=answer(200, size=12, Content_Type="a/b", Decade_Attrs=f"exp={NOW + 9}"))
    got = made.get()
    assert got.header("Content-Type") == "text/plain"
    assert got.header("Decade-Attrs") == f"exp={NOW + 500}"
    transfers_of(made, request(attrs=StoredAttrs(expires=NOW + 900)))
    assert made.server.transfers.next_request(1.0) is None
    assert made.get().header("Decade-Attrs") == f"exp={NOW + 900}"


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        (request(SignedName(HELLO, b"x")), ErrorCode.DIGEST_UNSUPPORTED),
        (request(attrs=StoredAttrs(collections=(b"c",))), ErrorCode.ATTRIBUTE_NOT_PERMITTED),
        (request(attrs=StoredAttrs(expires=None)), ErrorCode.ATTRIBUTE_NOT_PERMITTED),
        (request(attrs=StoredAttrs(expires=NOW - 1)), ErrorCode.ATTRIBUTE_NOT_PERMITTED),
        (request(attrs=StoredAttrs(media_type="no type")), ErrorCode.MALFORMED),
        (request(deadline=NOW), ErrorCode.DEADLINE_EXCEEDED),
        (request(remote=Remote(object_template="http://x.example/{val}")), ErrorCode.MALFORMED),
        (request(remote=Remote(object_template=TEMPLATE.replace(SA, SERVER))), ErrorCode.LOOP_DETECTED),
        (request(remote=Remote(object_template=TEMPLATE, hop_limit=0)), ErrorCode.LOOP_DETECTED),
        (request(token=b"no token"), ErrorCode.MALFORMED),
        (request(token=token(aud=("https://sc.example",))), ErrorCode.MALFORMED),
        (b"\xff", ErrorCode.MALFORMED),
        (Revocation(before=1), ErrorCode.MALFORMED),
    ],
)
def test_what_cannot_be_done_is_refused_at_once(message, wanted):
    made = bench(limits={"max_transfer_objects": 3})
    assert refused(made, message) == wanted
    assert refused(made, request(*many(4))) == ErrorCode.TOO_LARGE


def test_a_token_permits_each_object_and_each_direction():
    made = bench()
    other = name_of(b"other")
    pull = token(scope=((Object(HELLO), Operation.PULL),))
    push = token(scope=((Object(HELLO), Operation.PUSH),))
    assert refused(made, request(HELLO, other), pull) == ErrorCode.OBJECT_NOT_PERMITTED
    assert refused(made, request(direction=Direction.PUSH), pull) == ErrorCode.OP_NOT_PERMITTED
    assert refused(made, request(), push) == ErrorCode.OP_NOT_PERMITTED
    assert refused(made, request(), token(scope=((Object(HELLO), Operation.GET),))) == ErrorCode.OP_NOT_PERMITTED
    assert ordered(made, request(), pull).status == 202
    assert ordered(made, request(direction=Direction.PUSH), push).status == 202


def test_the_provider_may_refuse_objects_of_a_transfer():
    def policy(question, _):
        return ErrorCode.LEGAL_BLOCK if question.names and HELLO in question.names else None

    made = bench(local_policy=policy)
    assert refused(made, request()) == ErrorCode.LEGAL_BLOCK
    assert ordered(made, request(name_of(b"other"))).status == 202


def test_a_transfer_is_seen_by_who_has_ordered_it_or_could_have():
    made = bench()
    mine = token(scope=((Object(HELLO), Operation.PULL),))
    location = ordered(made, request(), mine).header("Location").removeprefix("/decade/v1/")
    for key in (mine, token(), token(scope=((Object(HELLO), Operation.PULL),))):
        assert isinstance(made.control("GET", location, key=key), TransferStatus)
    narrow = token(scope=((Object(name_of(b"other")), Operation.PULL),))
    for key in (narrow, token(BOB)):
        assert code(made.control("GET", location, key=key)) == ErrorCode.NOT_FOUND
        assert code(made.control("DELETE", location, key=key)) == ErrorCode.NOT_FOUND
    assert code(made.control("GET", location, key=token(scope=((Object(HELLO), Operation.GET),)))) == 11
    assert made.control("GET", "transfers/" + "0" * 31).status == 404
    assert made.control("PUT", location, request()).status == 405
    assert made.control("DELETE", location).status == 204
    assert made.control("GET", location).state == TransferState.CANCELLED


def test_an_order_is_one_use_and_its_octets_are_paid_by_its_token():
    made = bench()
    key = token(uses=1, amount=20, storage=12)
    assert ordered(made, request(), key).status == 202
    assert code(made.control("POST", "transfers", request(), key)) == ErrorCode.TOKEN_USED_UP
    finish_pull(made)
    (use,) = made.uses()
    assert (use.uses, use.amount, use.storage) == (1, 12, 12)


@pytest.mark.parametrize(
    ("policy", "key", "wanted"),
    [
        ({"storage": 11}, {}, ErrorCode.STORAGE_QUOTA),
        ({}, {"amount": 11}, ErrorCode.AMOUNT_EXHAUSTED),
        ({}, {"storage": 11}, ErrorCode.STORAGE_QUOTA),
    ],
)
def test_room_is_made_before_octets_come(policy, key, wanted):
    made = bench(policy=ResourcePolicy(weight=1, **policy))
    transfer = transfers_of(made, request(), token(**key))
    exchange = made.server.transfers.next_request(1.0)
    assert exchange.receive_head(answer(200, size=12), 1.0) is None
    assert not exchange.is_open
    assert transfer.items[0].error == wanted
    assert made.quotas.holding((ACCOUNT,)).used == 0
    assert all((use.amount, use.storage) == (0, 0) for use in made.uses())


def test_too_large_an_object_is_not_fetched():
    made = bench(limits={"max_object": 11})
    transfer = transfers_of(made, request())
    made.server.transfers.next_request(1.0).receive_head(answer(200, size=12), 1.0)
    assert transfer.items[0].error == ErrorCode.TOO_LARGE


def test_a_cut_keeps_what_came_and_its_room_until_the_rest_is_there():
    made = bench()
    transfer = transfers_of(made, request(), token(amount=12))
    exchange = made.server.transfers.next_request(1.0)
    exchange.receive_head(answer(200, size=12, ETag='"x"'), 1.0)
    exchange.receive_data(OCTETS[:5], 1.0)
    exchange.fail(Trouble.CUT, 1.0)
    assert made.quotas.holding((ACCOUNT,)).reserved == 12
    assert made.server.requests == 0
    assert made.server.transfers.next_request(1.0) is None
    made.server.transfers.handle_timer(5.0)
    exchange = made.server.transfers.next_request(5.0)
    assert exchange.request.header("Range") == "bytes=5-"
    assert exchange.request.header("If-Match") == '"x"'
    exchange.receive_head(answer(200, size=12), 5.0)
    for at in range(0, 12, 4):
        exchange.receive_data(OCTETS[at : at + 4], 5.0)
    exchange.receive_end(5.0)
    assert transfer.state == TransferState.DONE
    assert made.get().body == OCTETS


def test_a_mismatch_leaves_nothing_and_what_came_was_moved():
    made = bench()
    transfer = transfers_of(made, request(), token(amount=20, storage=20))
    finish_pull(made, octets=b"Hello World?")
    assert (transfer.state, transfer.items[0].error) == (TransferState.FAILED, ErrorCode.REMOTE_MISMATCH)
    assert made.quotas.holding((ACCOUNT,)).used == 0
    (use,) = made.uses()
    assert (use.amount, use.storage) == (12, 0)


def test_an_idempotency_key_is_one_transfer():
    made = bench()
    message = request(idempotency_key=b"12345678")
    first, again = (ordered(made, message) for _ in range(2))
    assert first.header("Location") == again.header("Location")
    assert refused(made, request(name_of(b"x"), idempotency_key=b"12345678")) == ErrorCode.CONFLICT
    assert ordered(made, message, token(BOB)).header("Location") != first.header("Location")
    finish_pull(made, now=1.0)
    assert ordered(made, message).header("Location") == first.header("Location")
    made.now = 2 + 2 * REMEMBERED
    assert ordered(made, message, token(iat=NOW + 7000, exp=NOW + 9000)).header("Location") != first.header("Location")


def test_transfers_end_at_their_deadline():
    made = bench()
    soon = transfers_of(made, request(deadline=NOW + 11))
    late = transfers_of(made, request(name_of(b"x")))
    exchange = made.server.transfers.next_request(1.0)
    exchange.receive_head(answer(200, size=12), 1.0)
    assert made.server.transfers.get_timer() <= 11.0
    made.server.transfers.handle_timer(10.9)
    assert exchange.is_open
    made.server.transfers.handle_timer(11.0)
    assert not exchange.is_open
    assert (soon.state, soon.items[0].error) == (TransferState.FAILED, ErrorCode.DEADLINE_EXCEEDED)
    assert made.quotas.holding((ACCOUNT,)).used == 0
    made.server.transfers.handle_timer(LONGEST_TRANSFER)
    assert late.state == TransferState.QUEUED
    made.server.transfers.handle_timer(LONGEST_TRANSFER + 1)
    assert late.items[0].error == ErrorCode.DEADLINE_EXCEEDED


def test_a_cancelled_transfer_hangs_up_and_gives_back():
    made = bench()
    transfer = transfers_of(made, request(*many(3)))
    exchange = made.server.transfers.next_request(1.0)
    exchange.receive_head(answer(200, size=1), 1.0)
    woken = []
    made.server.transfers.wake = lambda: woken.append(1)
    made.control("DELETE", f"transfers/{transfer.id.hex()}")
    assert woken == [1]
    assert not exchange.is_open
    assert transfer.state == TransferState.CANCELLED
    assert made.quotas.holding((ACCOUNT,)).used == 0
    assert made.server.transfers.next_request(1.0) is None
    assert made.server.transfers.get_timer() is None or made.server.transfers.get_timer() > 10


def test_a_token_that_is_revoked_fetches_nothing_more():
    made = bench()
    key = token(cti=bytes(16))
    transfer = transfers_of(made, request(HELLO, name_of(b"x")), key)
    exchange = made.server.transfers.next_request(1.0)
    exchange.receive_head(answer(200, size=12), 1.0)
    made.control("POST", "revocations", Revocation(cti=(bytes(16),)))
    exchange.receive_data(OCTETS, 1.0)
    exchange.receive_end(1.0)
    assert made.server.transfers.next_request(1.0) is None
    assert [item.error for item in transfer.items] == [ErrorCode.TOKEN_REVOKED] * 2
    assert made.quotas.holding((ACCOUNT,)).used == 0


def test_a_token_that_is_revoked_before_an_answer_comes_holds_nothing():
    made = bench()
    transfer = transfers_of(made, request(), token(cti=bytes(16)))
    exchange = made.server.transfers.next_request(1.0)
    made.control("POST", "revocations", Revocation(cti=(bytes(16),)))
    assert exchange.receive_head(answer(200, size=12), 1.0) is None
    assert transfer.items[0].error == ErrorCode.TOKEN_REVOKED
    assert made.quotas.holding((ACCOUNT,)).used == 0


def test_more_than_was_announced_is_another_object():
    made = bench()
    transfer = transfers_of(made, request())
    exchange = made.server.transfers.next_request(1.0)
    exchange.receive_head(answer(200, size=12), 1.0)
    exchange.receive_data(OCTETS + b"!", 1.0)
    assert transfer.items[0].error == ErrorCode.REMOTE_MISMATCH


def test_what_comes_several_times_at_a_time_is_stored_once():
    made = bench()
    keys = [token(cti=bytes(15) + bytes((number,)), amount=20, storage=20) for number in range(3)]
    upload = made.head("PUT", HELLO.path, keys[2], headers=(("Content-Length", "12"),))
    transfers = [transfers_of(made, request(), key) for key in keys[:2]]
    exchanges = [made.server.transfers.next_request(1.0) for _ in transfers]
    for exchange in exchanges:
        exchange.receive_head(answer(200, size=12), 1.0)
        exchange.receive_data(OCTETS[:5], 1.0)
    assert made.quotas.holding((ACCOUNT,)).reserved == 36
    exchanges[1].receive_data(OCTETS[5:], 1.0)
    exchanges[1].receive_end(1.0)
    assert upload.feed(OCTETS, 1.0) is None
    assert upload.finish(1.0).status == 204
    exchanges[0].receive_data(OCTETS[5:], 1.0)
    exchanges[0].receive_end(1.0)
    assert [transfer.state for transfer in transfers] == [TransferState.DONE] * 2
    holding = made.quotas.holding((ACCOUNT,))
    assert (holding.stored, holding.reserved, holding.objects) == (12, 0, 1)
    assert [(use.amount, use.storage) for use in made.uses()] == [(12, 0), (12, 0), (12, 12)]
    assert made.server.requests == 0


@pytest.mark.parametrize("size", [12, 0])
def test_an_account_that_goes_before_an_answer_comes_gets_nothing(size):
    made = bench()
    transfer = transfers_of(made, request(name_of(OCTETS[:size])))
    exchange = made.server.transfers.next_request(1.0)
    made.tree.remove((ACCOUNT, "live"))
    if not size:  # nothing is reserved for it
        exchange.receive_head(answer(200, size=size), 1.0)
    made.tree.remove((ACCOUNT,))
    exchange.receive_head(answer(200, size=size), 1.0)
    exchange.receive_end(1.0)
    assert transfer.items[0].error == ErrorCode.CLIENT_NOT_PERMITTED
    assert (made.store.payloads, made.quotas.holding(()).used, made.server.requests) == (0, 0, 0)


def test_an_account_that_is_no_more_has_no_transfers():
    made = bench()
    transfer = transfers_of(made, request(), token(APP))
    made.tree.remove((ACCOUNT, "live"))
    assert made.server.transfers.next_request(1.0) is None
    assert transfer.items[0].error == ErrorCode.CLIENT_NOT_PERMITTED


def test_the_more_urgent_goes_first_within_an_account():
    made = bench(transfers=8)
    low = transfers_of(made, request(name_of(b"low"), priority=Priority.LOW))
    heavy = transfers_of(made, request(name_of(b"heavy"), priority=Priority.NORMAL, bandwidth=Weight(9)))
    normal = transfers_of(made, request(name_of(b"normal"), priority=Priority.NORMAL))
    bounded = transfers_of(made, request(name_of(b"bounded"), priority=Priority.URGENT), token(priority=Priority.LOW))
    taken = [made.server.transfers.next_request(1.0).request.target for _ in range(4)]
    wanted = [heavy, normal, low, bounded]
    assert taken == [SA + transfer.items[0].name.path for transfer in wanted]


def test_no_account_takes_the_places_of_the_others():
    made = bench(transfers=4)
    transfers_of(made, request(*many(9)))
    transfers_of(made, request(*many(9, 100)), token(BOB))
    transfers = made.server.transfers
    taken = [transfers.next_request(1.0) for _ in range(5)]
    assert taken[4] is None
    accounts = [transfer.account for item in transfers._slots for transfer in (transfers._transfer_of[item],)]
    assert sorted(accounts) == [ACCOUNT, ACCOUNT, "bob", "bob"]
    assert [x for _ in range(2) for x in [transfers.next_request(1.0)]] == [None, None]


def test_an_object_waits_for_a_connection_that_its_account_may_have():
    made = bench(policy=ResourcePolicy(weight=1, connections=1))
    transfers_of(made, request(*many(2)))
    first = made.server.transfers.next_request(1.0)
    assert made.server.transfers.next_request(1.0) is None
    assert made.server.transfers.get_timer() == pytest.approx(2.0)
    first.receive_head(answer(404), 1.0)
    assert made.server.transfers.next_request(1.0) is not None


def test_a_token_with_few_connections_does_not_stop_the_others():
    made = bench()
    transfers_of(made, request(*many(3)), token(connections=1))
    transfers_of(made, request(*many(2, 10)))
    taken = [made.server.transfers.next_request(1.0) for _ in range(4)]
    assert [exchange is not None for exchange in taken] == [True, True, True, False]


def test_under_overload_transfers_wait_and_look_again():
    made = bench(max_requests=1)
    transfers_of(made, request())
    held = made.head("PUT", HELLO.path, token(), headers=(("Content-Length", "12"),))
    made.server._deciding = 1
    assert made.server.transfers.next_request(1.0) is None
    assert made.server.transfers.get_timer() == pytest.approx(2.0)
    made.server._deciding = 0
    held.abort(1.0)
    assert made.server.transfers.next_request(2.0) is not None


def test_what_has_ended_leaves_nothing_behind():
    made = bench()
    transfers = made.server.transfers
    for number in range(600):
        transfer = transfers_of(made, request(name_of(b"%d" % number)))
        transfers.next_request(1.0).receive_head(answer(503, Retry_After="600"), 1.0)
        transfers.cancel(transfer, 1.0)
    kept = (transfers._deadlines, transfers._timers, transfers._ended, transfers._transfers)
    assert max(map(len, kept)) <= 2 * MAX_REMEMBERED + 260


def test_an_account_has_so_many_transfers_and_objects_and_no_more():
    made = bench()
    for number in range(MAX_TRANSFERS):
        ordered(made, request(name_of(b"%d" % number)))
    assert refused(made, request()) == ErrorCode.RATE_LIMITED
    assert ordered(made, request(), token(BOB)).status == 202
    made = bench()
    for number in range(MAX_OBJECTS // 256):
        ordered(made, request(*many(256, 256 * number)))
    assert refused(made, request()) == ErrorCode.RATE_LIMITED


def test_what_has_ended_is_forgotten_after_a_time_or_for_others():
    made = bench()
    transfers = made.server.transfers
    ended = []
    for number in range(MAX_REMEMBERED + 1):
        transfer = transfers_of(made, request(name_of(b"%d" % number), idempotency_key=b"%8d" % number))
        transfers.cancel(transfer, 1.0)
        ended.append(transfer)
    assert transfers.find(ended[0].id, 1.0) is None
    assert transfers.find(ended[1].id, 1.0 + REMEMBERED - 1) is ended[1]
    assert transfers.find(ended[-1].id, 1.0 + REMEMBERED) is None
    assert (transfers._accounts, transfers._transfers, transfers._transfer_of) == ({}, {}, {})

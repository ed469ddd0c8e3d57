"""Who asks for an object that is on its way waits until it is there, or has failed."""

import pytest
from decade_server import BOB, HELLO, OCTETS, PEER, Bench, bearer, code, token, whole

from decade import arrivals as module
from decade.arrivals import JOINED_FOR, Joining
from decade.errors import ErrorCode, RefusedError, StateError
from decade.http import Request, Response
from decade.messages import Revocation
from decade.settings import Extension

SIZE = (("Content-Length", "12"),)


def bench(**more):
    return Bench(extensions=frozenset({Extension.JOINED}), **more)


def upload(made):
    return made.head("PUT", HELLO.path, token(), headers=SIZE)


def join(made, key=None, called=None):
    answer = made.server.handle(Request("GET", HELLO.path, bearer(key or token())), PEER, made.now)
    assert isinstance(answer, Joining)
    answer.subscribe(lambda: called.append(answer) if called is not None else None)
    return answer


def test_a_reader_is_served_when_the_object_is_there():
    made, called = bench(), []
    coming = upload(made)
    joining = join(made, called=called)
    coming.feed(OCTETS, 1.0)
    with pytest.raises(StateError):
        joining.resume(1.0)
    assert called == []
    assert coming.finish(1.0).status == 201
    assert called == [joining]
    assert whole(joining.resume(1.0)).body == OCTETS
    assert made.server.requests == 0


def test_who_subscribes_late_is_called_at_once_and_a_reader_that_left_is_not():
    made, called = bench(), []
    coming = upload(made)
    late, gone = (made.server.handle(Request("GET", HELLO.path, bearer(token())), PEER, 1.0) for _ in range(2))
    gone.subscribe(lambda: called.append(gone))
    gone.cancel(1.0)
    gone.cancel(1.0)
    coming.feed(OCTETS, 1.0)
    coming.finish(1.0)
    late.subscribe(lambda: called.append(late))
    assert called == [late]


def test_an_upload_that_fails_is_not_found_and_another_one_may_still_bring_it():
    made, called = bench(), []
    first, second = upload(made), upload(made)
    joining = join(made, called=called)
    first.abort(1.0)
    assert called == []
    second.abort(1.0)
    assert called == [joining]
    assert code(joining.resume(1.0)) == ErrorCode.NOT_FOUND
    assert isinstance(made.head("GET", HELLO.path, token()), Response)


def test_a_transfer_says_why_it_failed():
    made = bench()
    arrival = made.server._core.objects.arrivals.begin("alice", HELLO)
    joining = join(made)
    arrival.end(RefusedError(ErrorCode.REMOTE_MISMATCH, "bad octets"), is_stored=False)
    arrival.end(is_stored=True)
    answer = joining.resume(1.0)
    assert (answer.status, code(answer)) == (502, ErrorCode.REMOTE_MISMATCH)


def test_what_is_permitted_is_asked_again_when_the_object_is_there():
    made = bench()
    coming, key = upload(made), token(cti=b"r" * 16)
    joining = join(made, key)
    made.control("POST", "revocations", Revocation(cti=(b"r" * 16,)))
    coming.feed(OCTETS, 1.0)
    coming.finish(1.0)
    assert code(joining.resume(1.0)) == ErrorCode.TOKEN_REVOKED


def test_a_token_in_a_url_is_hidden_also_when_the_object_is_on_its_way():
    made = Bench(extensions=frozenset({Extension.JOINED, Extension.DT}))
    plain = Bench(extensions=frozenset({Extension.DT}))
    target = f"{HELLO.path}?dt={bearer(token())[0][1].removeprefix('Bearer ')}"
    coming, _ = upload(made), upload(plain)
    joining = made.server.handle(Request("GET", target), PEER, made.now)
    coming.abort(1.0)
    answers = [joining.resume(1.0), *(plain.ask(method, target) for method in ("GET", "HEAD"))]
    for answer in answers:
        assert answer.status == 404
        assert answer.header("Referrer-Policy") == "no-referrer"
    assert answers[-1].body == b""


def test_a_reader_does_not_wait_for_ever():
    made, called = bench(), []
    upload(made)
    joining = join(made, called=called)
    made.server._pace._deadlines.clear()
    assert made.server.get_timer() == 1.0 + JOINED_FOR
    made.server.handle_timer(1.0 + JOINED_FOR)
    assert called == [joining]
    assert joining.resume(made.now).status == 504


def test_readers_who_wait_are_bounded_for_each_account_and_for_the_server(monkeypatch):
    monkeypatch.setattr(module, "MAX_JOINED", 2)
    made = bench(max_requests=4)
    upload(made)
    joined = [join(made) for _ in range(2)]
    assert code(made.head("GET", HELLO.path, token())) == ErrorCode.RATE_LIMITED
    made.head("PUT", HELLO.path, token(BOB), headers=SIZE)
    assert code(made.head("GET", HELLO.path, token())) == ErrorCode.OVERLOADED
    joined[0].cancel(1.0)
    join(made)


def test_others_than_readers_do_not_wait_nor_do_other_accounts_nor_anybody_without_the_extension():
    made = bench()
    upload(made)
    assert made.ask("HEAD", HELLO.path, token()).status == 404
    assert made.ask("DELETE", HELLO.path, token()).status == 404
    assert made.head("GET", HELLO.path, token(BOB)).status == 404
    assert code(made.head("GET", HELLO.path)) == ErrorCode.TOKEN_MISSING
    plain = Bench()
    upload(plain)
    assert plain.head("GET", HELLO.path, token()).status == 404

"""Objects over HTTP: stored, fetched in whole and in parts, kept by no cache, deleted, expired."""

import pytest
from decade_server import APP, BOB, HELLO, OCTETS, Bench, code, token, whole
from decade_tokens import ACCOUNT, NOW
from hypothesis import given
from hypothesis import strategies as st

from decade.errors import ErrorCode, StateError
from decade.messages import ResourcePolicy, Revocation
from decade.names import name_of
from decade.ports import Use
from decade.scheduler import token_terms
from decade.settings import DRP_PATH
from decade.values import Priority, Weight

LATER = NOW + 600
EMPTY = name_of(b"")


def test_an_object_is_stored_and_fetched_with_its_attributes():
    made = Bench()
    stored = made.put(headers=(("Content-Type", "text/plain"), ("Decade-Attrs", f"exp={LATER}")))
    assert (stored.status, stored.body, stored.header("ETag")) == (201, b"", HELLO.etag)
    assert stored.header("Location") == HELLO.path
    got = made.get()
    assert (got.status, got.body) == (200, OCTETS)
    assert got.header("Content-Type") == "text/plain"
    assert got.header("Content-Length") == str(len(OCTETS))
    assert got.header("ETag") == HELLO.etag
    assert got.header("Decade-Attrs") == f"exp={LATER}"
    assert got.header("Accept-Ranges") == "bytes"
    assert got.header("X-Content-Type-Options") == "nosniff"
    assert got.header("Content-Security-Policy") == "sandbox"
    head = made.ask("HEAD", HELLO.path, token())
    assert (head.status, head.headers, head.body) == (200, got.headers, b"")


def test_an_object_without_attributes_is_octets_that_expire_when_the_policy_says():
    made = Bench(policy=ResourcePolicy(weight=1, default_lifetime=100, longest_lifetime=1000))
    made.put()
    assert made.get().header("Content-Type") == "application/octet-stream"
    assert made.get().header("Decade-Attrs") == f"exp={NOW + 101}"


@pytest.mark.parametrize(
    ("policy", "key", "longest"),
    [({}, {}, 5000), ({"longest_lifetime": 40}, {}, 40), ({"longest_lifetime": 40}, {"lifetime": 30}, 30)],
)
def test_the_longest_life_is_the_least_that_anybody_allows(policy, key, longest):
    made = Bench(policy=ResourcePolicy(weight=1, **policy), limits={"max_ttl": 5000})
    last = NOW + 1 + longest
    refused = made.put(key=token(**key), headers=(("Decade-Attrs", f"exp={last + 1}"),))
    assert code(refused) == ErrorCode.ATTRIBUTE_NOT_PERMITTED
    assert made.put(key=token(**key), headers=(("Decade-Attrs", f"exp={last}"),)).status == 201
    assert made.put(b"other", token(**key)).status == 201
    assert made.get(name_of(b"other")).header("Decade-Attrs") == f"exp={last}"


def test_an_object_that_is_held_is_not_received_again():
    made = Bench()
    made.put(headers=(("Decade-Attrs", f"exp={LATER}"),))
    once = token(uses=1)
    again = made.head(
        "PUT",
        HELLO.path,
        once,
        headers=(("Content-Length", "12"), ("Content-Type", "a/b"), ("Decade-Attrs", f"exp={LATER - 1}")),
    )
    assert again.status == 204
    assert made.get().header("Decade-Attrs") == f"exp={LATER}"
    assert made.get().header("Content-Type") == "a/b"
    assert code(made.put(key=once)) == ErrorCode.TOKEN_USED_UP
    assert made.put(headers=(("Decade-Attrs", f"exp={LATER + 1}"), ("Content-Type", "c/d"))).status == 204
    assert made.get().header("Decade-Attrs") == f"exp={LATER + 1}"
    assert made.get().header("Content-Type") == "a/b"
    assert made.quotas.holding(("alice",)).objects == 1


def test_if_none_match_keeps_what_is_held():
    made = Bench()
    headers = (("If-None-Match", "*"),)
    assert made.put(headers=headers).status == 201
    assert made.put(headers=headers).status == 412
    assert made.put(b"other", headers=(("If-Match", "*"),)).status == 412


@pytest.mark.parametrize(
    ("octets", "wanted"),
    [(b"Hello World?", ErrorCode.NAME_MISMATCH), (b"Hello World", ErrorCode.MALFORMED), (b"", ErrorCode.MALFORMED)],
)
def test_what_is_not_what_its_name_says_is_not_kept(octets, wanted):
    made = Bench()
    *before, _ = made.state()
    upload = made.head("PUT", HELLO.path, token(uses=1, amount=99), headers=(("Content-Length", "12"),))
    assert made.quotas.holding(("alice",)).reserved == len(OCTETS)
    assert upload.feed(octets, 1.0) is None
    assert code(upload.finish(1.0)) == wanted
    *after, uses = made.state()
    assert after == before
    assert uses == ([Use(1, len(octets))] if octets else [])
    with pytest.raises(StateError):
        upload.finish(1.0)
    upload.abort(1.0)


def test_more_than_was_announced_ends_an_upload():
    made = Bench()
    before = made.state()
    upload = made.head("PUT", HELLO.path, token(), headers=(("Content-Length", "12"),))
    assert code(upload.feed(OCTETS + b"!", 1.0)) == ErrorCode.MALFORMED
    assert made.state() == before
    with pytest.raises(StateError):
        upload.feed(b"", 1.0)


def test_an_upload_that_is_cut_short_leaves_nothing_but_the_octets_that_were_moved():
    made = Bench()
    *before, _ = made.state()
    upload = made.head("PUT", HELLO.path, token(uses=1, storage=12), headers=(("Content-Length", "12"),))
    assert made.uses() == [Use(1, 12, 12)]
    upload.feed(b"Hello", 1.0)
    upload.abort(1.0)
    upload.abort(1.0)
    *after, uses = made.state()
    assert (after, uses) == (before, [Use(1, 5)])


def test_an_upload_of_which_no_octet_came_uses_nothing():
    made = Bench()
    before = made.state()
    upload = made.head("PUT", HELLO.path, token(uses=1, storage=12), headers=(("Content-Length", "12"),))
    upload.abort(1.0)
    assert made.state() == before


def test_an_upload_that_stalls_is_ended():
    made = Bench()
    before = made.state()
    upload = made.head("PUT", HELLO.path, token(), headers=(("Content-Length", "12"),))
    assert made.server.get_timer() == pytest.approx(31.0)
    made.server.handle_timer(30.0)
    for octet in b"Hello":
        assert upload.feed(bytes((octet,)), 30.5) is None
    made.server.handle_timer(31.0)
    assert made.state() == before
    assert made.server.get_timer() is None
    assert upload.feed(b"!", 32.0).status == 408
    assert code(upload.finish(32.0)) == ErrorCode.DEADLINE_EXCEEDED


def test_an_upload_that_gets_on_is_not_ended():
    made = Bench()
    octets = bytes(100_000)
    size = str(len(octets))
    upload = made.head("PUT", name_of(octets).path, token(), headers=(("Content-Length", size),))
    for at in range(0, len(octets), 10_000):
        made.server.handle_timer(at / 1000)
        assert upload.feed(octets[at : at + 10_000], at / 1000) is None
    assert upload.finish(100.0).status == 201


def test_two_uploads_of_an_object_at_a_time_store_it_once():
    made = Bench()
    first, second = (made.head("PUT", HELLO.path, token(), headers=(("Content-Length", "12"),)) for _ in range(2))
    for upload in (first, second):
        upload.feed(OCTETS, 1.0)
    assert (second.finish(1.0).status, first.finish(1.0).status) == (201, 204)
    held = made.quotas.holding(("alice",))
    assert (held.stored, held.reserved, held.objects) == (12, 0, 1)


def test_a_token_that_is_revoked_while_its_upload_comes_stores_nothing():
    made = Bench()
    upload = made.head("PUT", HELLO.path, token(cti=b"u" * 16), headers=(("Content-Length", "12"),))
    upload.feed(OCTETS, 1.0)
    made.control("POST", "revocations", Revocation(cti=(b"u" * 16,)))
    assert code(upload.finish(1.0)) == ErrorCode.TOKEN_REVOKED
    assert made.get().status == 404


@given(first=st.integers(0, 14), last=st.integers(0, 14))
def test_a_part_is_the_octets_of_the_whole(first, last):
    made = Bench()
    made.put()
    got = made.get(headers=(("Range", f"bytes={first}-{last}"),))
    if last < first:
        assert (got.status, got.body) == (200, OCTETS)
    elif first >= len(OCTETS):
        assert got.status == 416
    else:
        assert (got.status, got.body) == (206, OCTETS[first : last + 1])
        assert got.header("Content-Range") == f"bytes {first}-{min(last, 11)}/12"
        assert got.header("Content-Length") == str(len(got.body))


def test_what_a_client_has_already_is_not_sent_and_counts_as_a_use():
    made = Bench()
    made.put()
    once = token(uses=1)
    same = made.get(key=once, headers=(("If-None-Match", HELLO.etag), ("Range", "bytes=99-")))
    assert (same.status, same.body, same.header("ETag")) == (304, b"", HELLO.etag)
    assert same.header("Content-Length") is None
    assert code(made.get(key=once)) == ErrorCode.TOKEN_USED_UP
    assert made.get(headers=(("If-Match", '"x"'),)).status == 412


def test_an_object_of_no_octets_is_one():
    made = Bench()
    assert made.put(b"").status == 201
    once = token(uses=1)
    got = made.get(EMPTY, once, headers=(("Range", "bytes=-5"),))
    assert (got.status, got.body, got.header("Content-Length")) == (200, b"", "0")
    assert code(made.get(EMPTY, once)) == ErrorCode.TOKEN_USED_UP


def test_what_is_not_sent_of_an_amount_is_given_back():
    made = Bench()
    made.put()
    key = token(amount=12, uses=2)
    answer = made.head("GET", HELLO.path, key)
    assert code(made.get(key=key)) == ErrorCode.AMOUNT_EXHAUSTED
    answer.body.close(1.0)
    answer.body.close(1.0)
    assert answer.body.read(1, 1.0) == b""
    answer = made.head("GET", HELLO.path, key)
    assert answer.body.read(5, 1.0) == b"Hello"
    answer.body.close(1.0)
    got = made.get(key=key, headers=(("Range", "bytes=5-"),))
    assert got.body == OCTETS[5:]
    assert code(made.get(key=key)) == ErrorCode.TOKEN_USED_UP


def test_a_token_that_is_revoked_before_the_first_octet_gets_none():
    made = Bench()
    made.put()
    answer = made.head("GET", HELLO.path, token(cti=b"u" * 16))
    made.control("POST", "revocations", Revocation(cti=(b"u" * 16,)))
    assert answer.body.read(99, 1.0) == b""
    assert made.server.requests == 0


def test_a_download_says_how_it_competes():
    made = Bench()
    made.put()
    key = token(priority=Priority.HIGH, bandwidth=Weight(4))
    body = made.head("GET", HELLO.path, key).body
    assert (body.terms.path, body.terms.weight, body.terms.priority) == (("alice",), 4, Priority.HIGH)
    assert body.terms == token_terms(body.terms.path, body.terms.token, body._admission._token.claims.policy)
    assert body.length == len(OCTETS)


def test_who_reads_an_object_that_is_deleted_reads_it_to_the_end():
    made = Bench()
    made.put()
    answer = made.head("GET", HELLO.path, token())
    assert answer.body.read(5, 1.0) == b"Hello"
    assert made.ask("DELETE", HELLO.path, token()).status == 204
    assert made.quotas.holding(("alice",)).used == 0
    assert made.store.payloads == 1
    assert whole(answer).body == OCTETS[5:]
    assert made.store.payloads == 0


def test_what_was_deleted_is_gone_and_may_come_again():
    made = Bench()
    assert code(made.ask("DELETE", HELLO.path, token())) == ErrorCode.NOT_FOUND
    made.put()
    made.put(key=token(BOB))
    assert made.ask("DELETE", HELLO.path, token(), headers=(("If-Match", '"x"'),)).status == 412
    assert made.ask("DELETE", HELLO.path, token()).status == 204
    assert code(made.get()) == ErrorCode.GONE
    assert code(made.ask("DELETE", HELLO.path, token())) == ErrorCode.GONE
    assert made.get(key=token(BOB)).body == OCTETS
    assert made.put().status == 201
    assert made.get().body == OCTETS


def test_what_has_expired_is_gone_at_once_and_its_storage_is_free_soon():
    made = Bench(policy=ResourcePolicy(weight=1, storage=12))
    made.put(headers=(("Decade-Attrs", f"exp={NOW + 10}"),))
    assert made.server.get_timer() == 10.0
    made.now = 10.0
    assert code(made.get()) == ErrorCode.GONE
    assert made.quotas.holding(("alice",)).stored == 12
    made.server.handle_timer(10.0)
    assert made.quotas.holding(("alice",)).stored == 0
    assert made.server.get_timer() is None
    assert code(made.get()) == ErrorCode.GONE


def test_what_has_expired_and_is_not_yet_swept_makes_room_for_itself():
    made = Bench(policy=ResourcePolicy(weight=1, storage=12))
    made.put(headers=(("Decade-Attrs", f"exp={NOW + 10}"),))
    made.now = 11.0
    assert made.put().status == 201
    assert made.quotas.holding(("alice",)).stored == 12


@pytest.mark.parametrize("is_shared", [True, False])
def test_no_answer_to_a_request_that_needs_a_token_may_be_used_again_unasked(is_shared):
    made = Bench(is_shared_cache_allowed=is_shared)
    answers = [
        made.put(),
        made.put(),
        made.get(),
        made.get(headers=(("Range", "bytes=1-"),)),
        made.get(headers=(("Range", "bytes=99-"),)),
        made.get(headers=(("If-None-Match", "*"),)),
        made.get(headers=(("If-Match", '"x"'),)),
        made.ask("HEAD", HELLO.path, token()),
        made.get(key=b"bad"),
        made.get(name_of(b"x")),
        made.ask("GET", HELLO.path),
        made.ask("GET", DRP_PATH + "status", token()),
        made.ask("GET", DRP_PATH + "objects", token()),
        made.ask("POST", HELLO.path, token()),
        made.ask("DELETE", HELLO.path, token()),
        made.get(),
    ]
    assert {answer.status for answer in answers} >= {200, 201, 204, 206, 304, 401, 404, 405, 410, 412, 416}
    for answer in answers:
        control = [part.strip().lower() for part in (answer.header("Cache-Control") or "").split(",")]
        assert answer.header("Expires") is None
        assert not any(part.startswith(("s-maxage", "stale-", "immutable")) for part in control)
        ages = [part for part in control if part.startswith("max-age")]
        assert "no-store" in control or ("must-revalidate" in control and ages == ["max-age=0"])
        if answer.status in (200, 206, 304) and answer.header("ETag"):
            assert ("no-store" in control) is not is_shared
            assert "no-transform" in control


@pytest.mark.parametrize(
    ("priority", "field"),
    [(None, None), (Priority.URGENT, "u=1"), (Priority.HIGH, "u=2"), (Priority.NORMAL, None), (Priority.LOW, "u=5")],
)
def test_an_answer_says_how_urgent_its_token_is_and_what_the_object_hashes_to(priority, field):
    made = Bench()
    made.put()
    for answer in (made.get(key=token(priority=priority)), made.get(headers=(("Range", "bytes=1-2"),))):
        assert answer.header("Repr-Digest") == "sha-256=:f4OxZX/x/FO5LcGBSKHWXfwtSx+j1ncoSt3SABJtkGk=:"
    assert made.get(key=token(priority=priority)).header("Priority") == field


def test_an_upload_whose_token_is_revoked_before_its_first_octet_uses_nothing():
    """Section 7.2: HELD, REVOKED"""
    made, key = Bench(), token(uses=1, amount=100, cti=b"r" * 16)
    upload = made.head("PUT", HELLO.path, key, headers=(("Content-Length", "12"),))
    made.control("POST", "revocations", Revocation(cti=(b"r" * 16,)))
    assert code(upload.feed(b"Hello", 1.0)) == ErrorCode.TOKEN_REVOKED
    assert (made.uses(), made.server.requests, made.quotas.holding(()).used) == ([], 0, 0)


def test_octets_that_the_account_has_got_meanwhile_are_moved_and_not_stored():
    """Section 7.3: `storage` counts octets that are new to the account."""
    made = Bench()
    uploads = [made.head("PUT", HELLO.path, token(storage=100), headers=(("Content-Length", "12"),)) for _ in range(2)]
    for upload, status in zip(uploads, (201, 204), strict=True):
        assert upload.feed(OCTETS, 1.0) is None
        assert upload.finish(1.0).status == status
    assert made.uses() == [Use(1, 12, 12), Use(1, 12, 0)]


@pytest.mark.parametrize(("expires", "status"), [(NOW + 1, 403), (NOW + 2, 201), (NOW + 101, 201), (NOW + 102, 403)])
def test_an_expiry_is_ahead_and_not_too_far(expires, status):
    """Section 8.5, at the Unix time NOW + 1"""
    made = Bench(policy=ResourcePolicy(weight=1, longest_lifetime=100))
    assert made.put(headers=(("Decade-Attrs", f"exp={expires}"),)).status == status


def test_what_expires_while_the_same_object_comes_is_not_what_is_stored():
    """Another node paid for it."""
    made = Bench()
    coming = made.head("PUT", HELLO.path, token(), headers=(("Content-Length", "12"),))
    assert made.put(key=token(APP), headers=(("Decade-Attrs", f"exp={NOW + 5}"),)).status == 201
    assert coming.feed(OCTETS, 10.0) is None
    assert coming.finish(10.0).status == 201
    row = made.store.find(ACCOUNT, HELLO)
    assert (row.payer, row.created) == ((ACCOUNT,), NOW + 10)
    assert [made.quotas.holding(path).stored for path in ((ACCOUNT,), (ACCOUNT, "live"))] == [12, 0]


@pytest.mark.parametrize(
    ("size", "wanted"), [(11, ErrorCode.TOO_SMALL), (12, None), (13, None), (14, ErrorCode.TOO_LARGE)]
)
def test_objects_have_any_size_within_the_limits(size, wanted):
    made = Bench(limits={"min_object": 12, "max_object": 13})
    answer = made.put(bytes(size))
    assert code(answer) == wanted
    assert (answer.status == 201) is (wanted is None)
    assert made.quotas.holding(()).used == (size if wanted is None else 0)

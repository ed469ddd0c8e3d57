"""Objects that anybody may read, and tokens in URLs."""

import base64
from ipaddress import ip_network

import pytest
from decade_server import APP, BOB, HELLO, OCTETS, PEER, Bench, code, token, whole
from decade_tokens import NOW
from decade_waiting import SlowStore

from decade.errors import ErrorCode, RefusedError
from decade.http import Request
from decade.messages import Access, ResourcePolicy, Revocation
from decade.names import name_of
from decade.settings import Extension

ON = {"extensions": frozenset({Extension.PUBLIC})}
PUBLIC = ResourcePolicy(weight=1, access=Access.PUBLIC)
NET = (ip_network("192.0.2.0/24"),)
OTHER = name_of(b"other")


def bench(policy=PUBLIC, **more):
    made = Bench(policy=policy, **(ON | more))
    made.put()
    return made


def anybody(made, name=HELLO, method="GET", **more):
    return made.ask(method, name.path, **more)


def test_anybody_reads_what_is_public():
    made = bench()
    got = anybody(made)
    assert (got.status, got.body, got.header("ETag")) == (200, OCTETS, HELLO.etag)
    assert anybody(made, method="HEAD").headers == got.headers
    assert anybody(made, headers=(("If-None-Match", HELLO.etag),)).status == 304
    part = anybody(made, headers=(("Range", "bytes=6-"),))
    assert (part.status, part.body) == (206, b"World!")
    assert anybody(made, headers=(("Range", "bytes=99-"),)).status == 416


def test_caches_keep_what_is_public_until_it_expires_and_a_year_at_most():
    made = bench(limits={"max_ttl": 10**9})
    wanted = "public, max-age={}, immutable, no-transform"
    assert anybody(made).header("Cache-Control") == wanted.format(31536000)
    made.put(b"other", headers=(("Decade-Attrs", f"exp={NOW + 61}"),))
    assert anybody(made, OTHER).header("Cache-Control") == wanted.format(60)
    fresh = anybody(made, OTHER, headers=(("If-None-Match", OTHER.etag),))
    assert fresh.header("Cache-Control") == wanted.format(60)


def test_caches_keep_nothing_longer_because_its_answer_has_waited():
    made = bench(store=SlowStore())
    made.put(b"other", headers=(("Decade-Attrs", f"exp={NOW + 61}"),))
    waiting = made.server.handle(Request("GET", OTHER.path), PEER, 1.0)
    waiting.run()
    answer = waiting.resume(31.0)
    assert "max-age=30," in answer.header("Cache-Control")
    answer.body.close(31.0)


def test_who_shows_a_token_is_answered_as_if_it_were_needed():
    made = bench()
    assert "max-age=0" in made.get().header("Cache-Control")
    assert code(made.get(key=b"\x00")) == ErrorCode.TOKEN_MALFORMED
    assert code(made.get(key=token(BOB))) == ErrorCode.NOT_FOUND


def test_what_is_private_is_as_if_it_were_not_there():
    made = bench(ResourcePolicy(weight=1))
    private, absent = anybody(made), anybody(made, OTHER)
    assert code(private) == ErrorCode.TOKEN_MISSING
    assert private == absent
    assert anybody(bench(), OTHER) == absent
    assert anybody(made, method="HEAD") == anybody(made, OTHER, method="HEAD")


def test_only_reading_is_public():
    made = bench()
    for method in ("PUT", "DELETE"):
        assert code(anybody(made, method=method, body=OCTETS)) == ErrorCode.TOKEN_MISSING
    assert code(made.ask("GET", f"/decade/v1/objects/sha-256/{HELLO.text}")) == ErrorCode.TOKEN_MISSING


def test_what_is_restricted_is_for_some_networks_and_kept_by_no_cache_unasked():
    made = bench(ResourcePolicy(weight=1, access=Access.PUBLIC_RESTRICTED, prefixes=NET))
    got = anybody(made)
    assert (got.status, got.body) == (200, OCTETS)
    assert got.header("Cache-Control") == "public, max-age=0, must-revalidate, no-transform"
    away = made.server.handle(Request("GET", HELLO.path), ("198.51.100.1", 1), 1.0)
    nobody = made.server.handle(Request("GET", HELLO.path), None, 1.0)
    assert code(away) == code(nobody) == ErrorCode.TOKEN_MISSING
    made = bench(ResourcePolicy(weight=1, access=Access.PUBLIC_RESTRICTED, prefixes=NET), is_shared_cache_allowed=False)
    assert "no-store" in anybody(made).header("Cache-Control")


def test_an_application_is_public_by_itself():
    made = bench(ResourcePolicy(weight=1))
    assert made.control("PUT", "policy/live", PUBLIC).status == 204
    made.put(b"other", token(APP))
    assert anybody(made, OTHER).body == b"other"
    assert code(anybody(made)) == ErrorCode.TOKEN_MISSING
    made.control("PUT", "policy/live", ResourcePolicy(weight=1))
    assert code(anybody(made, OTHER)) == ErrorCode.TOKEN_MISSING


def test_of_several_accounts_the_one_that_has_had_it_longest_pays():
    made = Bench(policy=ResourcePolicy(weight=1), **ON)
    made.tree.put(("bob",), PUBLIC)
    made.put()
    made.now += 5
    made.put(key=token(BOB))
    anybody(made)
    sent = [made.control("GET", "status", key=key).usage.sent for key in (token(), token(BOB))]
    assert sent == [0, len(OCTETS)]
    made.tree.put(("alice",), PUBLIC)
    anybody(made)
    sent = [made.control("GET", "status", key=key).usage.sent for key in (token(), token(BOB))]
    assert sent == [len(OCTETS)] * 2


@pytest.mark.parametrize("asked", [64, 0])
def test_however_many_accounts_have_it_the_public_one_is_found(asked, monkeypatch):
    monkeypatch.setattr("decade.public.MAX_ASKED", asked)
    made = Bench(policy=ResourcePolicy(weight=1), **ON)
    made.put()
    made.now += 1
    made.put(key=token(BOB))
    assert code(anybody(made)) == ErrorCode.TOKEN_MISSING
    made.tree.put(("bob",), PUBLIC)
    assert anybody(made).body == OCTETS
    assert code(anybody(made, OTHER)) == ErrorCode.TOKEN_MISSING
    made.tree.put(("bob",), ResourcePolicy(weight=1))
    assert code(anybody(made)) == ErrorCode.TOKEN_MISSING
    made.control("PUT", "policy/live", PUBLIC)
    assert code(anybody(made)) == ErrorCode.TOKEN_MISSING
    made.put(b"other", token(APP))
    assert anybody(made, OTHER).status == 200
    made.ask("DELETE", OTHER.path, token())
    made.control("DELETE", "policy/live")
    assert made.server._core.open_accounts.names == frozenset()


def test_a_read_without_a_token_holds_a_connection_of_the_node_and_of_the_address(monkeypatch):
    made = bench(ResourcePolicy(weight=1, access=Access.PUBLIC, connections=2))
    open_ones = [made.head("GET", HELLO.path) for _ in range(2)]
    refused = anybody(made)
    assert (code(refused), refused.status) == (ErrorCode.TOO_MANY_CONNECTIONS, 429)
    for answer in open_ones:
        assert whole(answer).body == OCTETS
    assert made.server.requests == 0
    monkeypatch.setattr("decade.reading.MAX_ANONYMOUS", 1)
    held = made.head("GET", HELLO.path)
    assert code(anybody(made)) == ErrorCode.TOO_MANY_CONNECTIONS
    elsewhere = made.server.handle(Request("GET", HELLO.path), ("192.0.2.9", 1), 1.0)
    assert elsewhere.status == 200
    elsewhere.body.close(1.0)
    held.body.close(1.0)
    assert made.server.requests == 0


def test_a_node_without_bandwidth_serves_nobody():
    made = bench(ResourcePolicy(weight=1, access=Access.PUBLIC, ceiling_download=0))
    assert code(anybody(made)) == ErrorCode.RATE_LIMITED
    assert made.server.requests == 0


def test_the_provider_may_refuse_what_is_public():
    made = bench(local_policy=lambda question, token: ErrorCode.LEGAL_BLOCK if token is None else None)
    assert (code(anybody(made)), anybody(made).status) == (ErrorCode.LEGAL_BLOCK, 451)
    assert made.get().status == 200


def test_what_has_expired_is_not_public():
    made = Bench(policy=PUBLIC, **ON)
    made.put(headers=(("Decade-Attrs", f"exp={NOW + 5}"),))
    made.now = 5.0
    assert code(anybody(made)) == ErrorCode.TOKEN_MISSING


def test_an_object_without_octets_may_be_public():
    made = Bench(policy=PUBLIC, **ON)
    made.put(b"")
    got = anybody(made, name_of(b""))
    assert (got.status, got.body, got.header("Content-Length")) == (200, b"", "0")


def test_reads_without_a_token_are_counted_and_logged():
    made = bench(extensions=frozenset({Extension.PUBLIC, Extension.ACCESS_LOG}))
    anybody(made)
    (entry,) = made.control("GET", "access-log").entries
    assert (entry.token, entry.reads) == (b"", 1)
    assert made.control("GET", f"objects/sha-256/{HELLO.text}").access.reads == 1


def test_a_server_without_it_accepts_no_such_policy_and_serves_nobody():
    for policy in (PUBLIC, ResourcePolicy(weight=1, access=Access.PUBLIC_RESTRICTED, prefixes=NET)):
        with pytest.raises(RefusedError, match="public"):
            Bench(policy=policy)
        assert code(Bench().control("PUT", "policy/live", policy)) == ErrorCode.ATTRIBUTE_NOT_PERMITTED
    made = Bench()
    made.put()
    assert code(anybody(made)) == ErrorCode.TOKEN_MISSING


@pytest.mark.parametrize("access", [None, Access.PRIVATE, Access.PUBLIC])
def test_networks_without_a_restriction_to_them_are_refused(access):
    made = Bench(**ON)
    policy = ResourcePolicy(weight=1, access=access, prefixes=NET)
    assert code(made.control("PUT", "policy/live", policy)) == ErrorCode.ATTRIBUTE_NOT_PERMITTED


def with_token(octets, path=HELLO.path):
    return f"{path}?dt={base64.urlsafe_b64encode(octets).rstrip(b'=').decode()}"


def dt(**more):
    made = Bench(extensions=frozenset({Extension.DT}), **more)
    made.put()
    return made


def test_a_token_may_be_in_the_url_and_then_nobody_keeps_the_answer_or_tells_where_it_came_from():
    made = dt()
    key = token(uses=1)
    got = made.ask("GET", with_token(key))
    assert (got.status, got.body) == (200, OCTETS)
    assert got.header("Cache-Control") == "private, no-store, no-transform"
    assert got.header("Referrer-Policy") == "no-referrer"
    again = made.ask("GET", with_token(key))
    assert code(again) == ErrorCode.TOKEN_USED_UP
    assert again.header("Referrer-Policy") == "no-referrer"
    assert made.ask("HEAD", with_token(token()) + "&x=1").status == 200
    assert made.get().header("Referrer-Policy") is None


@pytest.mark.parametrize(
    ("query", "wanted"), [("dt=", 3), ("dt=$", 3), ("dt=AA=", 3), ("dtt=AA", 2), ("dt", 3), ("dt=AA&dt=AA", 3)]
)
def test_what_is_no_token_in_a_url_is_refused(query, wanted):
    assert code(dt().ask("GET", f"{HELLO.path}?{query}")) == wanted


def test_a_token_in_the_url_is_for_reading_objects():
    made = dt()
    for method in ("PUT", "DELETE"):
        assert code(made.ask(method, with_token(token()), body=OCTETS)) == ErrorCode.TOKEN_MISSING
    assert code(made.ask("GET", with_token(token(), "/decade/v1/status"))) == ErrorCode.TOKEN_MISSING


def test_a_token_in_the_url_is_not_sent_on_to_a_sibling():
    made = dt(siblings=("https://sa.example",), max_requests=1)
    busy = made.head("GET", HELLO.path, token())
    assert made.get().status == 307
    refused = made.ask("GET", with_token(token()))
    assert (refused.status, refused.header("Location")) == (503, None)
    busy.body.close(1.0)


def test_one_token_is_enough():
    made = dt()
    assert code(made.ask("GET", with_token(token()), token())) == ErrorCode.MALFORMED


def test_a_server_without_it_does_not_see_a_token_in_the_url():
    made = Bench()
    made.put()
    refused = made.ask("GET", with_token(token()))
    assert code(refused) == ErrorCode.TOKEN_MISSING
    assert made.ask("GET", with_token(b"\x00"), token()).status == 200


def test_revoked_and_public_are_told_apart():
    made = bench()
    made.control("POST", "revocations", Revocation(before=NOW + 1))
    assert code(made.get(key=token())) == ErrorCode.TOKEN_REVOKED
    assert anybody(made).status == 200
    assert PEER[0] == "192.0.2.1"


def test_what_becomes_private_while_a_read_waits_is_not_served():
    made = bench(store=SlowStore())
    waiting = made.server.handle(Request("GET", HELLO.path), PEER, made.now)
    waiting.run()
    made.tree.put(("alice",), ResourcePolicy(weight=1))
    refused = waiting.resume(made.now)
    assert code(refused) == ErrorCode.TOKEN_MISSING
    assert made.server.requests == 0
    made.tree.put(("alice",), PUBLIC)
    waiting = made.server.handle(Request("GET", HELLO.path), PEER, made.now)
    waiting.run()
    made.ask("DELETE", HELLO.path, token())
    assert code(waiting.resume(made.now)) == ErrorCode.GONE
    assert made.server.requests == 0


def test_an_account_that_is_called_like_an_address_has_its_own_connections():
    made = bench()
    path = ("address", PEER[0])
    made.tree.put(path[:1], ResourcePolicy(weight=1))
    made.tree.put(path, ResourcePolicy(weight=1, connections=0))
    held = made.head("GET", HELLO.path)
    assert made.server._core.gate.slots.count(path) == 0
    held.body.close(1.0)

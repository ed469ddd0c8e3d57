"""A GET that is answered at once is answered as it would be the long way, whatever has happened since it was first."""

from ipaddress import ip_network

import attrs
import pytest
from decade_chains import FEATURES, GRANT, HOLDERS, chain
from decade_server import BOB, HELLO, OCTETS, PEER, Bench, bearer, code, token, whole
from decade_tokens import ACCOUNT, CLAIMS, MAC, NOW, SERVER
from hypothesis import given
from hypothesis import strategies as st

from decade.errors import ErrorCode, StoreError
from decade.http import Request
from decade.messages import Access, AttrPatch, ResourcePolicy, Revocation
from decade.names import name_of
from decade.peer_failures import MAX_FAILURES
from decade.pop import sign
from decade.recall import MAX_AT_ONCE, MAX_RECALLED
from decade.scope import Confirmation, TokenPolicy
from decade.settings import Extension
from decade.store import MemoryStore
from decade.tokens import SKEW, RegisteredKey, mint
from decade.values import BitRate

KEY = token(cti=b"r" * 16)
ASKED = Request("GET", HELLO.path, bearer(KEY))


class Store(MemoryStore):
    """One that fails when it is told so."""

    fails = False

    def at_hand(self, account, name):
        if self.fails:
            raise StoreError("failed")
        return super().at_hand(account, name)


def bench(**more):
    """A server that has answered ASKED."""
    made = Bench(store=Store(), **more)
    made.put(headers=(("Decade-Attrs", f"exp={NOW + 1000}"), ("Content-Type", "text/plain")))
    assert whole(made.server.handle(ASKED, PEER, made.now), made.now).body == OCTETS
    return made


def recall(made, asked=ASKED, peer=PEER):
    """What is recalled, which has to be what is answered the long way."""
    found = made.server.recall(asked, peer, made.now)
    answer = made.server.handle(asked, peer, made.now)
    assert found is None or found == whole(answer, made.now)
    return found


def control(method, path, message=None):
    return lambda made: made.control(method, path, message)


def later(seconds):
    return lambda made: setattr(made, "now", seconds)


def policy(**members):
    return lambda made: made.tree.put((ACCOUNT,), ResourcePolicy(weight=1, **members))


def provider(made):
    made.tree.put((), ResourcePolicy(weight=1, connections=0))


def bad_tokens(made):
    for _ in range(MAX_FAILURES + 1):
        made.ask("GET", HELLO.path, b"no token")


def busy(made):
    made.put(b"other")
    made.head("GET", name_of(b"other").path, token())


def fail(made):
    made.store.fails = True


CHANGES = {
    "revoked": control("POST", "revocations", Revocation(cti=(b"r" * 16,))),
    "revoked by time": control("POST", "revocations", Revocation(before=NOW)),
    "revoked by key": control("POST", "revocations", Revocation(kid=MAC.kid)),
    "deleted": lambda made: made.ask("DELETE", HELLO.path, token()),
    "another expiry": control("PATCH", f"objects/sha-256/{HELLO.text}", AttrPatch(expires=NOW + 9)),
    "no type": control("PATCH", f"objects/sha-256/{HELLO.text}", AttrPatch(media_type=None)),
    "object expired": later(1000.0),
    "token expired": later(3600.0 + SKEW),
    "connections": policy(connections=0),
    "ceiling": policy(ceiling_download=8000),
    "no bandwidth": policy(ceiling_download=0),
    "provider": provider,
    "no key": lambda made: made.keys.pop(MAC.kid, None),
    "moved key": lambda made: made.keys.update({MAC.kid: RegisteredKey(MAC, "bob")}),
    "key of an application": lambda made: made.keys.update({MAC.kid: RegisteredKey(MAC, ACCOUNT, ("live",))}),
    "bad tokens": bad_tokens,
    "overload": busy,
    "medium": fail,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_has_changed_is_not_recalled(change):
    made = bench(max_requests=1)
    assert recall(made).body == OCTETS
    change(made)
    assert recall(made) is None


@given(st.lists(st.sampled_from(list(CHANGES.values())), max_size=3), st.booleans())
def test_what_is_recalled_is_what_is_answered(changes, is_stored_again):
    made = bench(max_requests=1)
    for change in changes:
        change(made)
        recall(made)
    if is_stored_again:
        made.put(headers=(("Content-Type", "text/html"),))
    for _ in range(2):
        recall(made)


def test_it_counts_like_any_other_answer_and_holds_nothing():
    made = bench()
    before = made.state()
    for _ in range(3):
        assert made.server.recall(ASKED, PEER, made.now).body == OCTETS
    row = made.store.find(ACCOUNT, HELLO)
    assert (row.reads, row.octets_read, row.last_read) == (4, 48, NOW + 1)
    assert made.control("GET", "status").usage.sent == 48
    assert made.state()[1:] == before[1:]


def test_a_token_that_is_proved_or_that_is_for_some_addresses_is_never_recalled():
    made = Bench(extensions=FEATURES)
    made.put()
    claims = attrs.evolve(CLAIMS, cnf=Confirmation(key=HOLDERS[0].public.cose_key), policy=None)
    headers = bearer(mint(claims, MAC))
    asked = Request("GET", SERVER + HELLO.path, headers)
    proof = sign(asked, HOLDERS[0], created=NOW + 1, nonce="0123456789abcdef")
    proved = Request("GET", HELLO.path, (*headers, *proof))
    near = Request("GET", HELLO.path, bearer(token(ip_prefixes=(ip_network("192.0.2.0/24"),))))
    for request in (proved, near):
        assert whole(made.server.handle(request, PEER, made.now), made.now).body == OCTETS
        assert made.server.recall(request, ("203.0.113.1", 1), made.now) is None
    assert code(made.server.handle(proved, PEER, made.now)) == ErrorCode.POP_FAILED
    assert code(made.server.handle(near, ("203.0.113.1", 1), made.now)) == ErrorCode.CLIENT_NOT_PERMITTED


@pytest.mark.parametrize(
    "members",
    [{"uses": 9}, {"amount": 999}, {"storage": 9}, {"connections": 9}, {"bandwidth": BitRate(10**9)}],
    ids=str,
)
def test_a_token_with_a_limit_is_never_recalled(members):
    made = bench()
    asked = Request("GET", HELLO.path, bearer(token(**members)))
    for _ in range(2):
        assert recall(made, asked) is None


def test_a_token_below_another_one_takes_the_long_way():
    """What its parents may use, and who holds them, is looked at each time."""
    made = Bench(extensions=FEATURES)
    made.put()
    key, _ = chain(1, first=attrs.evolve(GRANT, policy=TokenPolicy(levels=3)), key=MAC)
    asked = Request("GET", HELLO.path, bearer(key))
    proof = sign(attrs.evolve(asked, target=SERVER + HELLO.path), HOLDERS[1], created=NOW + 1, nonce="0123456789abcdef")
    free, _ = chain(1, first=attrs.evolve(GRANT, policy=TokenPolicy(levels=3)), key=MAC, cnf=None)
    for request in (attrs.evolve(asked, headers=(*asked.headers, *proof)), Request("GET", HELLO.path, bearer(free))):
        assert whole(made.server.handle(request, PEER, made.now), made.now).body == OCTETS
        assert made.server.recall(request, PEER, made.now) is None


@pytest.mark.parametrize("members", [{"connections": 9}, {"ceiling_download": 10**9}], ids=str)
def test_nothing_is_recalled_of_a_node_with_a_limit(members):
    made = bench(policy=ResourcePolicy(weight=1, **members))
    for _ in range(2):
        assert recall(made) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"method": "HEAD"},
        {"method": "DELETE"},
        {"target": name_of(b"other").path},
        {"target": HELLO.path + "?x"},
        {"headers": ()},
        {"headers": (*bearer(KEY), ("Range", "bytes=0-1"))},
        {"headers": (*bearer(KEY), ("If-None-Match", HELLO.etag))},
        {"headers": (*bearer(KEY), ("If-Match", '"x"'))},
        {"headers": bearer(token(BOB))},
    ],
    ids=str,
)
def test_another_request_is_not_that_request(changed):
    made = bench()
    asked = attrs.evolve(ASKED, **changed)
    for _ in range(2):
        assert recall(made, asked) is None


def test_what_needs_no_token_what_is_long_and_what_a_provider_looks_at_is_not_recalled():
    open_to_all = bench(policy=ResourcePolicy(weight=1, access=Access.PUBLIC), extensions=frozenset({Extension.PUBLIC}))
    for _ in range(2):
        assert recall(open_to_all, Request("GET", HELLO.path)) is None
    octets = bytes(MAX_AT_ONCE + 1)
    made = bench(local_policy=lambda question, token: None)
    made.put(octets)
    for asked in (ASKED, Request("GET", name_of(octets).path, bearer(KEY))):
        assert whole(made.server.handle(asked, PEER, made.now)).status == 200
        assert made.server.recall(asked, PEER, made.now) is None


def test_only_the_last_requests_are_recalled():
    made = bench()
    for number in range(MAX_RECALLED):
        asked = attrs.evolve(ASKED, headers=(*ASKED.headers, ("X", str(number))))
        made.server.handle(asked, PEER, made.now).body.close(made.now)
    assert made.server.recall(ASKED, PEER, made.now) is None
    assert made.server.recall(asked, PEER, made.now) is not None
    assert code(made.get(key=b"no token")) == ErrorCode.TOKEN_MALFORMED

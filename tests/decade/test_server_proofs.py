"""A proof of possession holds once: at every process that shares a ledger, after a restart, and for one answer."""

import attrs
import pytest
from decade_chains import FEATURES, HOLDERS
from decade_server import ALL, HELLO, OCTETS, PEER, Bench, bearer, code, token, whole
from decade_tokens import CLAIMS, NOW, SERVER, SIGNING
from decade_waiting import SlowLedger

from decade import ledger
from decade.errors import ErrorCode, StoreError
from decade.http import Request
from decade.ledger import MemoryLedger
from decade.pop import WINDOW, sign
from decade.ports import Use
from decade.scope import Confirmation
from decade.settings import Extension
from decade.tokens import RegisteredKey, mint
from decade.waiting import settle

HOLDER = HOLDERS[0]
WANTED = FEATURES | {Extension.JOINED}
SIZE = (("Content-Length", "12"),)


def held(**members):
    """A token that asks for a proof."""
    cnf = Confirmation(key=HOLDER.public.cose_key)
    return mint(attrs.evolve(CLAIMS, **({"cnf": cnf, "scope": ALL, "policy": None} | members)), SIGNING)


def proved(octets, method="GET", *, key=HOLDER, created=NOW + 1, nonce="0123456789abcdef"):
    """A request for the object that is signed, as a server sees it."""
    headers = bearer(octets)
    fields = sign(Request(method, SERVER + HELLO.path, headers), key, created=created, nonce=nonce)
    return Request(method, HELLO.path, (*headers, *fields))


def answer(bench, request):
    return whole(settle(bench.server.handle(request, PEER, bench.now), bench.now), bench.now)


@pytest.mark.parametrize("made", [MemoryLedger, SlowLedger])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_servers_that_share_a_ledger_take_a_proof_once(made, method):
    shared = made()
    first, second = (Bench(extensions=WANTED, ledger=shared) for _ in range(2))
    first.put()
    second.put()
    request = proved(held(), method)
    assert answer(first, request).status == 200
    # HEAD is answered without octets, and so has no body to tell why.
    assert answer(second, request).status == 401
    assert answer(second, proved(held(), method, nonce="another nonce of it")).status == 200


def test_a_proof_of_a_clock_that_is_ahead_does_not_hold_again_after_a_restart():
    shared = MemoryLedger()
    first = Bench(extensions=WANTED, ledger=shared)
    first.put()
    request = proved(held(), created=NOW + 1 + WINDOW)
    assert answer(first, request).status == 200
    second = Bench(extensions=WANTED, ledger=shared, store=first.store)
    for second.now in (1.0, 60.0, 1.0 + 2 * WINDOW):
        assert code(answer(second, request)) == ErrorCode.POP_FAILED
    shared.observe(NOW + 1 + 3 * WINDOW)
    shared.forget()
    assert second.uses() == []


def test_a_proof_that_was_used_elsewhere_counts_as_a_bad_token():
    shared = MemoryLedger()
    first, second = (Bench(extensions=WANTED, ledger=shared) for _ in range(2))
    first.put()
    octets = held()
    for number in range(100):
        request = proved(octets, nonce=f"{number:016}")
        assert answer(first, request).status == 200
        assert code(answer(second, request)) == ErrorCode.POP_FAILED
    assert code(second.get(key=octets)) == ErrorCode.RATE_LIMITED


def test_who_waits_for_an_object_has_proved_it_already():
    bench = Bench(extensions=WANTED)
    coming = bench.head("PUT", HELLO.path, token(), headers=SIZE)
    joining = bench.server.handle(proved(held()), PEER, bench.now)
    coming.feed(OCTETS, bench.now)
    assert coming.finish(bench.now).status == 201
    assert whole(joining.resume(bench.now)).body == OCTETS
    assert code(answer(bench, proved(held()))) == ErrorCode.POP_FAILED


def test_who_waits_while_the_key_that_the_token_names_is_taken_away_has_proved_nothing():
    bench = Bench(extensions=WANTED)
    bench.keys[HOLDER.kid] = RegisteredKey(HOLDER.public, "bob")
    coming = bench.head("PUT", HELLO.path, token(), headers=SIZE)
    joining = bench.server.handle(proved(held(cnf=Confirmation(kid=HOLDER.kid))), PEER, bench.now)
    del bench.keys[HOLDER.kid]
    coming.feed(OCTETS, bench.now)
    coming.finish(bench.now)
    assert code(joining.resume(bench.now)) == ErrorCode.POP_FAILED


def test_a_proof_that_cannot_be_recorded_is_not_accepted():
    class Broken(MemoryLedger):
        def hold(self, *arguments):
            raise StoreError("it fails")

    bench = Bench(extensions=WANTED, ledger=Broken())
    bench.put()
    assert code(answer(bench, proved(held()))) == ErrorCode.OVERLOADED


def test_a_proof_is_no_use_of_a_token():
    bench = Bench(extensions=WANTED)
    bench.put()
    assert answer(bench, proved(held(policy=attrs.evolve(CLAIMS.policy, uses=1, amount=None)))).status == 200
    key = SIGNING.public.thumbprint, CLAIMS.cti
    assert bench.ledger.used(key) == Use(1, 12)
    assert sorted(len(cti) for _, cti in bench.ledger._entries) == [16, 37]


def test_who_holds_much_and_takes_nothing_and_who_proves_often_leave_room_for_other_tokens(monkeypatch):
    monkeypatch.setattr(ledger, "MAX_COUNTED_TOKENS", 3)
    bench = Bench(extensions=WANTED)
    bench.put()
    for _ in range(9):
        bench.head("GET", HELLO.path, token(uses=1)).body.close(bench.now)
    octets = held()
    for number in range(3):
        assert answer(bench, proved(octets, nonce=f"{number:016}")).status == 200
    assert code(answer(bench, proved(octets, nonce=f"{3:016}"))) == ErrorCode.RATE_LIMITED
    assert [bench.get(key=token(uses=1)).status for _ in range(4)] == [200, 200, 200, 429]

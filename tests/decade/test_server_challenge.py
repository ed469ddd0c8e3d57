"""Storing an object without sending it, by showing that one has it."""

import pytest
from decade_server import ALL, BOB, HELLO, OCTETS, Bench, code, token
from decade_tokens import NOW
from decade_waiting import SlowLedger, SlowQuotas, SlowStore

from decade.challenge import LIFE, MAX_SEEDS, prove
from decade.errors import ErrorCode, StoreError
from decade.messages import (
    MEDIA_TYPE,
    Challenge,
    ChallengeRequest,
    Claim,
    ResourcePolicy,
    StoredAttrs,
    encode_message,
)
from decade.names import name_of
from decade.scope import Object, Operation
from decade.settings import Extension
from decade.store import MemoryStore
from decade.waiting import Waiting

OTHER = name_of(b"other")


def bench(**more):
    numbers = iter(range(1, 1 << 20))
    # Jitter takes one octet: the lowest is enough for it.
    made = Bench(
        extensions=frozenset({Extension.CHALLENGE}),
        random_bytes=lambda size: next(numbers).to_bytes(32, "little")[:size],
        **more,
    )
    made.put(key=token(BOB))
    return made


def seed(made, name=HELLO, key=None):
    challenge = made.control("POST", "challenges", ChallengeRequest(name=name), key)
    assert isinstance(challenge, Challenge)
    return challenge.seed


def claim(made, octets=OCTETS, *, name=HELLO, with_seed=None, key=None, proof=None, **attrs):
    with_seed = seed(made, name) if with_seed is None else with_seed
    asked = StoredAttrs(**attrs) if attrs else None
    proof = prove(with_seed, octets) if proof is None else proof
    return made.control("POST", "claims", Claim(name=name, seed=with_seed, proof=proof, attrs=asked), key)


def test_who_has_the_octets_of_an_object_that_is_there_need_not_send_them():
    made = bench()
    made.now = 5.0
    stored = claim(made, media_type="text/plain", expires=NOW + 99)
    assert (stored.status, stored.header("Location"), stored.header("ETag")) == (201, HELLO.path, HELLO.etag)
    got = made.get()
    assert (got.body, got.header("Content-Type"), got.header("Decade-Attrs")) == (
        OCTETS,
        "text/plain",
        f"exp={NOW + 99}",
    )
    row = made.store.find("alice", HELLO)
    assert (row.created, row.payer, row.size) == (NOW + 5, ("alice",), len(OCTETS))
    assert made.quotas.holding(("alice",)).stored == len(OCTETS)
    assert made.control("GET", "status").usage.received == 0
    # It is the account's own: nothing depends on who had it first.
    made.ask("DELETE", HELLO.path, token(BOB))
    assert made.get().body == OCTETS


def test_an_object_that_the_account_has_gets_the_attributes():
    made = bench()
    made.put()
    again = claim(made, media_type="a/b")
    assert again.status == 204
    assert made.get().header("Content-Type") == "a/b"
    assert made.quotas.holding(("alice",)).objects == 1


def test_a_wrong_proof_and_an_object_that_nobody_has_are_told_alike():
    made = bench()
    before = made.state()
    wrong = claim(made, b"Hello World?")
    nobody = claim(made, b"other", name=OTHER)
    assert (code(wrong), wrong.body) == (ErrorCode.NOT_FOUND, nobody.body)
    assert made.state()[:-1] == before[:-1]


def test_a_seed_tells_nothing_of_who_has_what():
    made = bench()
    held, absent = (made.control("POST", "challenges", ChallengeRequest(name=name)) for name in (HELLO, OTHER))
    assert held.expires == absent.expires == NOW + 1 + LIFE
    assert len(held.seed) == len(absent.seed) == 32


def test_a_seed_is_for_one_claim_of_who_asked():
    made = bench()
    given = seed(made)
    assert code(claim(made, with_seed=given, key=token(BOB))) == ErrorCode.CONFLICT
    assert code(claim(made, b"other", name=OTHER, with_seed=given)) == ErrorCode.CONFLICT
    assert code(claim(made, with_seed=given, proof=bytes(32))) == ErrorCode.NOT_FOUND
    assert code(claim(made, with_seed=given)) == ErrorCode.CONFLICT
    late = seed(made)
    made.now += LIFE
    assert code(claim(made, with_seed=late)) == ErrorCode.CONFLICT


def test_so_many_claims_may_be_made_in_a_minute():
    made = bench()
    for _ in range(MAX_SEEDS):
        seed(made)
    refused = made.control("POST", "challenges", ChallengeRequest(name=HELLO))
    assert (code(refused), refused.status) == (ErrorCode.RATE_LIMITED, 429)
    assert int(refused.header("Retry-After")) >= LIFE // 2
    made.now += LIFE
    seed(made)


def test_the_account_and_the_token_are_charged_in_full():
    made = bench(policy=ResourcePolicy(weight=1, storage=len(OCTETS) - 1))
    full = claim(made)
    assert (code(full), full.status) == (ErrorCode.STORAGE_QUOTA, 507)
    made = bench()
    small, exact = token(storage=len(OCTETS) - 1), token(storage=len(OCTETS), amount=0)
    assert code(claim(made, key=small)) == ErrorCode.STORAGE_QUOTA
    assert made.quotas.holding(("alice",)).used == 0
    assert claim(made, key=exact).status == 201
    made.ask("DELETE", HELLO.path, token())
    assert code(claim(made, key=exact)) == ErrorCode.STORAGE_QUOTA


def test_a_token_needs_put_for_this_object():
    made = bench()
    get = token(scope=((ALL[0][0], Operation.GET),))
    assert code(made.control("POST", "challenges", ChallengeRequest(name=HELLO), get)) == ErrorCode.OP_NOT_PERMITTED
    only = token(scope=((Object(OTHER), Operation.PUT),))
    assert (
        code(made.control("POST", "challenges", ChallengeRequest(name=HELLO), only)) == ErrorCode.OBJECT_NOT_PERMITTED
    )
    assert code(claim(made, key=only)) == ErrorCode.OBJECT_NOT_PERMITTED
    mine = token(scope=((Object(HELLO), Operation.PUT),))
    assert claim(made, with_seed=seed(made, key=mine), key=mine).status == 201
    assert code(made.ask("POST", "/decade/v1/claims", body=b"")) in (ErrorCode.MALFORMED, ErrorCode.TOKEN_MISSING)


def test_attributes_that_are_not_allowed_are_refused_and_nothing_is_stored():
    made = bench()
    for attrs in ({"expires": NOW}, {"expires": None}, {"collections": (b"x",)}):
        assert code(claim(made, **attrs)) == ErrorCode.ATTRIBUTE_NOT_PERMITTED
    assert code(claim(made, media_type="no type")) == ErrorCode.MALFORMED
    assert made.quotas.holding(("alice",)).used == 0


@pytest.mark.parametrize("path", ["challenges", "claims"])
def test_messages_of_other_kinds_are_refused(path):
    made = bench()
    assert code(made.control("POST", path, ResourcePolicy(weight=1))) == ErrorCode.MALFORMED
    assert made.ask("GET", f"/decade/v1/{path}", token()).status == 405


def test_what_has_expired_with_another_account_is_not_there():
    made = bench()
    made.put(b"other", token(BOB), headers=(("Decade-Attrs", f"exp={NOW + 5}"),))
    given = seed(made, OTHER)
    made.now = 6.0
    assert code(claim(made, b"other", name=OTHER, with_seed=given)) == ErrorCode.NOT_FOUND


def test_a_server_without_it_has_no_such_resources():
    made = Bench()
    for path, message in (("challenges", ChallengeRequest(name=HELLO)), ("claims", ResourcePolicy(weight=1))):
        assert code(made.control("POST", path, message)) == ErrorCode.NOT_FOUND


class Failing(MemoryStore):
    """Reads once, for the proof, and then fails."""

    def open(self, row):
        reader = super().open(row)
        read, times = reader.read, []

        def once(offset, size):
            times.append(1)
            if len(times) > 1:
                raise StoreError("no disk")
            return read(offset, size)

        reader.read = once
        return reader


def test_a_store_that_fails_keeps_nothing():
    made = bench(store=Failing())
    refused = claim(made, key=token(storage=99))
    assert (refused.status, code(refused)) == (503, ErrorCode.OVERLOADED)
    assert made.quotas.holding(("alice",)).used == 0
    assert made.server.requests == 0
    assert all(use.storage == 0 for use in made.uses())


SLOW = {"store": SlowStore, "ledger": SlowLedger, "quotas": SlowQuotas}


def test_a_claim_waits_for_the_store_and_the_ledger():
    made = bench(**{port: cls() for port, cls in SLOW.items()})
    key = token(storage=len(OCTETS))
    assert claim(made, key=key).status == 201
    assert made.get().body == OCTETS
    assert claim(made, key=key).status == 204
    assert code(claim(made, b"other", name=OTHER, key=key)) == ErrorCode.NOT_FOUND
    assert made.server.requests == 0


def test_an_object_that_its_holder_deletes_meanwhile_is_stored_all_the_same():
    made = bench(**{port: cls() for port, cls in SLOW.items()})
    given = seed(made)
    body = encode_message(Claim(name=HELLO, seed=given, proof=prove(given, OCTETS)))
    headers = (("Content-Length", str(len(body))), ("Content-Type", MEDIA_TYPE))
    upload = made.head("POST", "/decade/v1/claims", token(), headers=headers)
    assert upload.feed(body, made.now) is None
    answer, waits = upload.finish(made.now), 0
    while isinstance(answer, Waiting):
        answer.run()
        waits += 1
        if waits == 1:
            # The object is open.
            assert made.ask("DELETE", HELLO.path, token(BOB)).status == 204
        answer = answer.resume(made.now)
    assert (answer.status, waits > 3) == (201, True)
    assert made.get().body == OCTETS


def test_two_claims_at_a_time_store_one_object():
    made = bench(**{port: cls() for port, cls in SLOW.items()})
    uploads, key = [], token(storage=2 * len(OCTETS))
    for given in (seed(made), seed(made)):
        body = encode_message(Claim(name=HELLO, seed=given, proof=prove(given, OCTETS)))
        headers = (("Content-Length", str(len(body))), ("Content-Type", MEDIA_TYPE))
        upload = made.head("POST", "/decade/v1/claims", key, headers=headers)
        upload.feed(body, made.now)
        uploads.append(upload)
    answers = [upload.finish(made.now) for upload in uploads]
    while any(isinstance(answer, Waiting) for answer in answers):
        for answer in answers:
            if isinstance(answer, Waiting):
                answer.run()
        answers = [answer.resume(made.now) if isinstance(answer, Waiting) else answer for answer in answers]
    assert sorted(answer.status for answer in answers) == [201, 204]
    holding = made.quotas.holding(("alice",))
    assert (holding.stored, holding.reserved, holding.objects) == (len(OCTETS), 0, 1)
    assert [use.storage for use in made.uses()] == [len(OCTETS)]

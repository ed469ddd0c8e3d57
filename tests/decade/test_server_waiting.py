"""A server whose ports are slow: requests that wait are gone on with in any order, and others act between."""

from contextlib import suppress

import pytest
from decade_server import BOB, HELLO, Bench, bearer, code, token, whole
from decade_tokens import MAC, NOW
from decade_waiting import SlowLedger, SlowQuotas, SlowStore
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from decade.errors import ErrorCode, RefusedError, StoreError
from decade.http import Request, Response
from decade.messages import MEDIA_TYPE, AttrPatch, ResourcePolicy, Revocation, encode_message
from decade.names import name_of
from decade.tokens import SKEW
from decade.waiting import Waiting, settle

OBJECTS = [bytes((65 + size,)) * size for size in (0, 7, 33)]
LIMIT = 60
PEER = ("192.0.2.1", 1)


def fail():
    """What a medium does that has failed, and has changed nothing."""
    raise StoreError("failed")


accounts, octets = st.sampled_from(["alice", "bob"]), st.sampled_from(OBJECTS)
KEYS = {"alice": MAC, "bob": BOB}


class Interleaved(RuleBasedStateMachine):
    """Requests in progress: what waits, uploads that come, downloads that go."""

    def __init__(self):
        super().__init__()
        self.made = Bench(
            policy=ResourcePolicy(weight=1, storage=LIMIT), store=SlowStore(), ledger=SlowLedger(), quotas=SlowQuotas()
        )
        self.waiting, self.uploads, self.downloads = [], [], []
        # What was acknowledged, with its expiry, and no deletion of it was asked for since.
        self.acknowledged = {}
        self.deleting = []
        self.once = {account: token(key, uses=1, exp=NOW + 80_000) for account, key in KEYS.items()}
        self.served = dict.fromkeys(KEYS, 0)
        self.most = LIMIT

    def key(self, account, is_once):
        return self.once[account] if is_once else token(KEYS[account], amount=1000, exp=NOW + 80_000)

    def ask(self, method, target, key, then, headers=()):
        request = Request(method, target, (*headers, *bearer(key)))
        self.go_on(self.made.server.handle(request, PEER, self.made.now), then)

    def go_on(self, answer, then):
        if isinstance(answer, Waiting):
            self.waiting.append([answer, then, False])
        else:
            then(answer)

    @rule(account=accounts, body=octets, life=st.integers(1, 60), times=st.integers(1, 3))
    def put_some(self, account, body, life, times):
        for at in range(times):
            self.put(account, body, life + at, is_once=at == 2)

    def put(self, account, body, life, is_once):
        expires = int(NOW + self.made.now) + life

        def begun(answer):
            if not isinstance(answer, Response):
                self.uploads.append((answer, account, body, expires))
            elif answer.status == 204:
                self.acknowledge(account, body, expires)

        headers = (("Content-Length", str(len(body))), ("Decade-Attrs", f"exp={expires}"))
        self.ask("PUT", name_of(body).path, self.key(account, is_once), begun, headers)

    def acknowledge(self, account, body, expires):
        if (account, body) not in self.deleting:
            self.acknowledged[account, body] = max(expires, self.acknowledged.get((account, body), 0))

    @rule(ends=st.lists(st.sampled_from(["whole", "whole", "whole", "short", "abort", "abort late"]), min_size=1))
    @precondition(lambda self: self.uploads)
    def end_some(self, ends):
        for end in ends[: len(self.uploads)]:
            self.end(end)

    def end(self, end):
        upload, account, body, expires = self.uploads.pop(0)
        now = self.made.now
        ended = upload.feed(body[:-1] if end == "short" else body, now)
        if ended is not None:
            assert ended.status in (401, 408)
            return
        if end == "abort":
            upload.abort(now)
            return

        def finished(answer):
            assert (end == "short" and body) or answer.status in (201, 204, 401, 408, 503)
            if answer.status in (201, 204):
                self.acknowledge(account, body, expires)

        self.go_on(upload.finish(now), finished)
        if end == "abort late":
            upload.abort(now)

    @rule(account=accounts, body=octets, is_once=st.booleans())
    def get(self, account, body, is_once):
        def answered(answer):
            if answer.status == 200:
                self.served[account] += is_once
                if body:
                    self.downloads.append((answer.body, body))

        self.ask("GET", name_of(body).path, self.key(account, is_once), answered)

    @rule(at=st.integers(0, 99), size=st.integers(0, 40))
    @precondition(lambda self: self.downloads)
    def read(self, at, size):
        download, body = self.downloads.pop(at % len(self.downloads))
        assert download.read(size, self.made.now) in (body[:size], b"")
        download.close(self.made.now)

    @rule(account=accounts, body=octets)
    def delete(self, account, body):
        self.acknowledged.pop((account, body), None)
        self.deleting.append((account, body))
        self.ask(
            "DELETE", name_of(body).path, self.key(account, False), lambda _: self.deleting.remove((account, body))
        )

    @rule(account=accounts, body=octets, life=st.integers(1, 60))
    def patch(self, account, body, life):
        expires = int(NOW + self.made.now) + life
        message = encode_message(AttrPatch(expires=expires))

        def begun(answer):
            if not isinstance(answer, Response):
                assert answer.feed(message, self.made.now) is None
                self.acknowledged.pop((account, body), None)  # the expiry may be an earlier one
                self.go_on(answer.finish(self.made.now), lambda _: self.acknowledged.pop((account, body), None))

        target = f"/decade/v1/objects/{name_of(body).path.removeprefix('/.well-known/ni/')}"
        headers = (("Content-Length", str(len(message))), ("Content-Type", MEDIA_TYPE))
        self.ask("PATCH", target, self.key(account, False), begun, headers)

    @rule(seconds=st.integers(1, 25))
    def let_time_pass(self, seconds):
        self.made.now += seconds
        answer = self.made.server.handle_timer(self.made.now)
        if answer is not None:
            self.waiting.append([answer, lambda _: None, False])

    @rule(account=accounts)
    @precondition(lambda self: self.made.now > 190)
    def revoke(self, account):
        message = encode_message(Revocation(before=int(NOW + self.made.now) - 200))

        def begun(answer):
            if not isinstance(answer, Response):
                assert answer.feed(message, self.made.now) is None
                self.go_on(answer.finish(self.made.now), lambda _: None)

        headers = (("Content-Length", str(len(message))), ("Content-Type", MEDIA_TYPE))
        self.ask("POST", "/decade/v1/revocations", self.key(account, False), begun, headers)

    @rule(limit=st.sampled_from([40, 50, LIMIT]))
    def limit(self, limit):
        # One that is less than what is used is refused; what is on its way to be reserved is not used yet.
        with suppress(RefusedError):
            self.made.tree.put(("alice",), ResourcePolicy(weight=1, storage=limit))
            self.most = limit

    @rule(turns=st.lists(st.integers(0, 109), min_size=1, max_size=12))
    @precondition(lambda self: self.waiting)
    def advance_some(self, turns):
        for at in turns:
            if self.waiting:
                self.advance(at % len(self.waiting), fails=at >= 100)

    def advance(self, at, *, fails=False):
        one = self.waiting[at]
        answer, then, has_run = one
        if not has_run:
            if fails:
                answer._call = fail
            answer.run()
            one[2] = True
            return
        del self.waiting[at]
        self.go_on(answer.resume(self.made.now), then)

    @rule()
    def everything_comes_to_an_end(self):
        while self.waiting:
            self.advance(0)
        self.what_is_charged_is_what_is_held()
        for account, body in [key for key, expires in self.acknowledged.items() if expires > NOW + self.made.now]:
            answer = self.made.ask("GET", name_of(body).path, self.key(account, False))
            assert whole(answer).status == 200 or account in self.made.ledger._revoked

    def what_is_charged_is_what_is_held(self):
        for account in KEYS:
            holding = self.made.quotas.holding((account,))
            rows = self.made.store.page(account, b"", 99)
            assert (holding.stored, holding.objects) == (sum(row.size for row in rows), len(rows))
            reserved = [len(body) for up, owner, body, _ in self.uploads if owner == account and not up._has_expired]
            assert holding.reserved == sum(reserved)
        live = sum(not up._has_expired for up, *_ in self.uploads)
        assert self.made.server.requests == live + len(self.downloads)
        assert self.made.server._deciding == 0
        assert self.made.quotas.holding(("alice",)).used <= self.most

    @invariant()
    def no_limit_is_passed_and_one_use_is_one(self):
        assert self.made.quotas.holding(("alice",)).used <= LIMIT
        assert all(times <= 1 for times in self.served.values())
        for account in KEYS:
            rows = self.made.store.page(account, b"", 99)
            assert sum(row.size for row in rows) <= self.made.quotas.holding((account,)).used

    def teardown(self):
        for download, _ in self.downloads:
            download.close(self.made.now)
        self.downloads = []
        for upload, *_ in self.uploads:
            upload.abort(self.made.now)
        self.uploads = []
        while self.waiting:
            self.advance(0)
        for download, _ in self.downloads:
            download.close(self.made.now)
        for upload, *_ in self.uploads:
            upload.abort(self.made.now)
        self.uploads, self.downloads = [], []
        self.what_is_charged_is_what_is_held()
        assert all(entry.use.amount <= 1000 and entry.use.uses <= 1 for entry in self.made.ledger._entries.values())


TestInterleaved = Interleaved.TestCase
TestInterleaved.settings = settings(max_examples=60, stateful_step_count=80, deadline=None)


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_token_that_is_revoked_while_its_request_waits_does_nothing(method):
    made = Bench(store=SlowStore(), ledger=SlowLedger(), quotas=SlowQuotas())
    made.put(b"here")
    before = made.state()
    key = token(cti=b"w" * 16, uses=1)
    waiting = made.server.handle(Request(method, name_of(b"here").path, bearer(key)), PEER, 1.0)
    waiting.run()
    made.control("POST", "revocations", Revocation(cti=(b"w" * 16,)))
    assert code(settle(waiting.resume(2.0), 2.0)) == ErrorCode.TOKEN_REVOKED
    assert made.state() == before


def test_what_somebody_else_has_deleted_meanwhile_spends_no_use():
    made = Bench(store=SlowStore())
    made.put()
    waiting = made.server.handle(Request("DELETE", HELLO.path, bearer(token(uses=1))), PEER, 1.0)
    assert made.ask("DELETE", HELLO.path, token()).status == 204
    waiting.run()
    assert code(waiting.resume(1.0)) == ErrorCode.GONE
    assert (made.uses(), made.server.requests) == ([], 0)


def test_a_policy_that_has_become_smaller_while_room_was_made_holds():
    """Section 8.2"""
    made = Bench(policy=ResourcePolicy(weight=1, storage=100), quotas=SlowQuotas())
    fields = (("Content-Length", "12"), *bearer(token()))
    waiting = made.server.handle(Request("PUT", HELLO.path, fields), PEER, 1.0)
    made.tree.put(("alice",), ResourcePolicy(weight=1, storage=11))
    waiting.run()
    assert code(settle(waiting.resume(1.0), 1.0)) == ErrorCode.STORAGE_QUOTA
    assert (made.quotas.holding(()).used, made.server.requests) == (0, 0)


def test_a_token_that_ends_while_a_request_waits_to_be_counted_has_no_further_use():
    made = Bench(ledger=SlowLedger())
    made.put()
    once = token(uses=1, exp=NOW + 5)
    waiting = [made.server.handle(Request("GET", HELLO.path, bearer(once)), PEER, made.now) for _ in range(2)]
    waiting[0].run()
    held = waiting[0].resume(made.now)
    # The ledger is asked to forget what is over, before it is told of a request that came in time.
    made.now = 5.0 + SKEW
    assert made.get().status == 200
    waiting[1].run()
    assert code(waiting[1].resume(made.now)) == ErrorCode.TOKEN_USED_UP
    held.body.close(made.now)
    assert made.server.requests == 0


def test_expired_objects_are_swept_one_batch_at_a_time():
    made = Bench(store=SlowStore())
    made.put(b"short", headers=(("Decade-Attrs", f"exp={NOW + 5}"),))
    sweep = made.server.handle_timer(6.0)
    assert isinstance(sweep, Waiting)
    assert made.server.handle_timer(8.0) is None
    assert made.server.get_timer() is None
    settle(sweep, 8.0)
    assert made.store.page("alice", b"", 9) == []

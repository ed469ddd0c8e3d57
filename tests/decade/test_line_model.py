"""A server whose line is short: transfers that are ended at any moment, while they wait and after their turn came."""

from contextlib import suppress

from decade_server import APP, BOB, Bench, token
from decade_tokens import MAC, NOW
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from decade.errors import RefusedError
from decade.http import Response
from decade.messages import ResourcePolicy
from decade.names import name_of
from decade.sdt import ObjectDownload
from decade.values import BitRate

STORED = bytes(range(256)) * 400
RATE = 8 * 20_000
"""Bit/s, of the line and of each account's uploads: an object takes seconds."""
NODES = {MAC: ("alice",), BOB: ("bob",), APP: ("alice", "live")}
keys = st.sampled_from(sorted(NODES, key=lambda key: key.kid))
picks, counts = st.integers(0, 7), st.integers(1, 70_000)


class Short(RuleBasedStateMachine):
    """The model: each transfer that is open, with the octets that it may move and those that it waits for."""

    def __init__(self):
        super().__init__()
        self.made = Bench(egress_bps=RATE, policy=ResourcePolicy(weight=2, ceiling_upload=RATE))
        for key in (MAC, BOB):
            assert self.made.put(STORED, token(key, exp=NOW + 9000)).status == 201
        self.open, self.made_of = {}, 0

    def pick(self, pick, is_ready):
        """A transfer that waits for nothing, or does."""
        found = [one for one, (_, owed) in self.open.items() if (not owed) is is_ready]
        return found[pick % len(found)] if found else None

    def opened(self, answer, key):
        if not isinstance(answer, Response):
            self.open[answer] = [0, 0]
        elif isinstance(answer.body, ObjectDownload):
            assert answer.status == 200
            self.open[answer.body] = [0, 0]
        else:
            assert answer.status == 403
            assert self.made.tree.configured(NODES[key]) is None

    @rule(key=keys, is_slow=st.booleans())
    def download(self, key, is_slow):
        policy = {"bandwidth": BitRate(RATE // 4)} if is_slow else {}
        shown = token(key, exp=NOW + 9000, uses=3, **policy)
        self.opened(self.made.head("GET", name_of(STORED).path, shown), key)

    @rule(key=keys)
    def upload(self, key):
        self.made_of += 1
        body = self.made_of.to_bytes(4) + STORED
        headers = (("Content-Length", str(len(body))),)
        self.opened(self.made.head("PUT", name_of(body).path, token(key, exp=NOW + 9000), headers=headers), key)

    @rule(pick=picks, octets=counts)
    def take(self, pick, octets):
        one = self.pick(pick, is_ready=True)
        if one is None:
            return
        octets = min(octets, getattr(one, "length", octets))
        taken = self.made.server.take(one, octets, self.made.now)
        assert 0 <= taken <= octets
        self.open[one] = [self.open[one][0] + taken, 0 if taken else octets]

    @rule(pick=picks)
    def move(self, pick):
        """As many octets as it may."""
        one = self.pick(pick, is_ready=True)
        if one is None:
            return
        credit, self.open[one][0] = self.open[one][0], 0
        if isinstance(one, ObjectDownload):
            assert len(one.read(credit, self.made.now)) == min(credit, one.length - one.sent + credit)
        elif one.feed(bytes(credit), self.made.now) is not None:
            del self.open[one]

    @rule(pick=picks, is_ready=st.booleans(), is_twice=st.booleans())
    def end(self, pick, is_ready, is_twice):
        one = self.pick(pick, is_ready)
        if one is None:
            return
        del self.open[one]
        for _ in range(1 + is_twice):
            one.close(self.made.now) if isinstance(one, ObjectDownload) else one.abort(self.made.now)

    @rule(pick=picks)
    def finish(self, pick):
        """Before all has come."""
        one = self.pick(pick, is_ready=True)
        if one is not None and not isinstance(one, ObjectDownload):
            del self.open[one]
            assert one.finish(self.made.now).status in (400, 408, 422)

    @rule(key=keys)
    def remove(self, key):
        if self.made.tree.configured(NODES[key]) is not None:
            with suppress(RefusedError):
                self.made.tree.remove(NODES[key])

    @rule(key=keys)
    def change(self, key):
        self.made.tree.put(NODES[key], ResourcePolicy(weight=3, ceiling_upload=RATE, ceiling_download=RATE // 2))

    @rule(seconds=st.sampled_from([0.0, 0.01, 0.3, 2.0, 31.0]))
    def wait(self, seconds):
        made = self.made
        made.now += seconds
        made.server.handle_timer(made.now)
        while (grant := made.server.grant(made.now)) is not None:
            credit, owed = self.open[grant.transfer]
            assert grant.octets <= owed
            self.open[grant.transfer] = [credit + grant.octets, owed - grant.octets]
            if not grant.octets:
                # Its node is gone.
                del self.open[grant.transfer]
                one = grant.transfer
                one.close(made.now) if isinstance(one, ObjectDownload) else one.abort(made.now)
        for one in [one for one in self.open if getattr(one, "_has_expired", False)]:
            del self.open[one]
            assert one.feed(b"", made.now).status == 408
            assert one.finish(made.now).status == 408

    @invariant()
    def what_is_open_is_what_holds_something(self):
        assert self.made.server.requests == len(self.open)
        waiting = {one for one, (_, owed) in self.open.items() if owed}
        lines = self.made.server.downloads, self.made.server.uploads
        ended = {grant.transfer for line in lines for grant in line._ended}
        assert {one for line in lines for one in line._scheduler._flow_of} | ended == waiting
        if not any(not isinstance(one, ObjectDownload) for one in self.open):
            assert not len(self.made.server._pace)

    def teardown(self):
        for one in self.open:
            one.close(self.made.now) if isinstance(one, ObjectDownload) else one.abort(self.made.now)
        self.open.clear()
        self.what_is_open_is_what_holds_something()


TestShort = Short.TestCase

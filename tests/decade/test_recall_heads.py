"""Answers that are recalled for somebody in front who sends the octets, and by a clock that is set."""

from ipaddress import ip_network

import attrs
from decade_server import HELLO, OCTETS, PEER, Bench, bearer, token, whole
from decade_tokens import ACCOUNT, NOW

import decade.recall
from decade.errors import StoreError
from decade.http import Request
from decade.store import MemoryStore
from decade.tokens import TokenFeature


class Known:
    """A server that has answered a request; `ask` asks it to recall the answer."""

    def __init__(self, key=None, **settings):
        self.bench = Bench(**settings)
        self.bench.put(OCTETS)
        self.request = Request("GET", HELLO.path, bearer(token() if key is None else key))
        answer = self.bench.server.handle(self.request, PEER, self.bench.now)
        self.headers = answer.headers
        self.first = whole(answer)

    def ask(self, **more):
        return self.bench.server.recall(self.request, PEER, self.bench.now, **more)


def test_who_sends_the_octets_itself_gets_none_and_none_with_another_header():
    known = Known()
    assert known.ask(head=known.headers) == attrs.evolve(known.first, body=b"")
    assert known.ask(head=(*known.headers, ("X", "y"))) is None
    # It was answered again meanwhile, with another header.
    known.bench.store.update(ACCOUNT, HELLO, lambda row: attrs.evolve(row, media_type="text/plain"))
    again = known.bench.server.handle(known.request, PEER, known.bench.now)
    again.body.close(known.bench.now)
    assert known.ask(head=known.headers) is None
    assert known.ask(head=again.headers) == attrs.evolve(whole(again), body=b"")


def test_what_somebody_else_sends_counts_as_sent():
    known = Known()
    before = known.bench.server._core.traffic.at((ACCOUNT,)).sent.octets
    assert known.ask(head=known.headers) is not None
    assert known.bench.server._core.traffic.at((ACCOUNT,)).sent.octets == before + len(OCTETS)


def test_long_objects_are_sent_in_parts_but_for_somebody_in_front(monkeypatch):
    monkeypatch.setattr(decade.recall, "MAX_AT_ONCE", len(OCTETS) - 1)
    known = Known()
    assert known.ask() is None
    assert known.ask(head=known.headers) is not None


def test_a_clock_that_is_set_beyond_the_time_of_a_token_ends_it_at_once():
    known = Known()
    assert known.ask() is not None
    known.bench.server.set_clock(NOW + 3661, known.bench.now)
    assert known.ask() is None


def test_a_token_for_some_addresses_takes_the_long_way():
    known = Known(token(ip_prefixes=(ip_network("192.0.2.0/24"),)), extensions=frozenset({TokenFeature.IP_PREFIX}))
    assert known.first.status == 200
    assert known.ask() is None


def test_a_local_policy_is_asked_each_time():
    known = Known(local_policy=lambda question, verified: None)
    assert known.first.status == 200
    assert known.ask() is None


def test_a_count_that_is_lost_fails_nothing():
    class Forgetful(MemoryStore):
        def count_read(self, account, name, octets, wall):
            raise StoreError("away")

    assert Known(store=Forgetful()).ask().status == 200

"""A server whose store fails, and any request at all: each is answered, and nothing is kept or used."""

import pytest
from decade_server import HELLO, OCTETS, Bench, code, token, whole
from decade_tokens import NOW
from hypothesis import given
from hypothesis import strategies as st

from decade.errors import ErrorCode, StoreError
from decade.http import Response
from decade.names import name_of
from decade.ports import Use
from decade.settings import DRP_PATH
from decade.store import MemoryStore

EMPTY = name_of(b"")


class BrokenStore(MemoryStore):
    """A store whose medium fails at what is in `broken`."""

    broken = frozenset()

    def __getattribute__(self, name):
        if name in object.__getattribute__(self, "broken"):
            raise StoreError(name)
        return super().__getattribute__(name)


@pytest.mark.parametrize(
    ("verb", "method", "target", "octets"),
    [
        ("find", "GET", HELLO.path, None),
        ("find", "PUT", HELLO.path, OCTETS),
        ("create", "PUT", name_of(b"new").path, b"new"),
        ("open", "GET", HELLO.path, None),
        ("update", "PUT", HELLO.path, OCTETS),
        ("remove", "DELETE", HELLO.path, None),
        ("page", "GET", DRP_PATH + "objects", None),
    ],
)
def test_a_store_that_fails_is_answered_for_and_nothing_is_kept_or_used(verb, method, target, octets):
    made = Bench(store=BrokenStore())
    made.put()
    key = token(uses=9, amount=999)
    before = made.state()
    made.store.broken = frozenset({verb})
    answer = made.ask(method, target, key, octets)
    made.store.broken = frozenset()
    assert code(answer) == ErrorCode.OVERLOADED
    assert made.state() == before


def test_a_store_that_fails_at_the_end_of_an_upload_keeps_nothing():
    made = Bench(store=BrokenStore())
    *before, _ = made.state()
    made.store.broken = frozenset({"commit"})
    assert code(made.put(key=token(amount=999))) == ErrorCode.OVERLOADED
    *after, uses = made.state()
    assert (after, uses) == (before, [Use(1, 12)])


def test_a_store_that_fails_does_not_stop_the_timer_or_what_is_sent():
    made = Bench(store=BrokenStore())
    made.put(headers=(("Decade-Attrs", f"exp={NOW + 10}"),))
    answer = made.head("GET", HELLO.path, token())
    made.store.broken = frozenset({"count_read", "remove_many"})
    assert whole(answer).body == OCTETS
    made.server.handle_timer(10.0)
    assert made.server.get_timer() == 11.0
    made.store.broken = frozenset()
    made.server.handle_timer(11.0)
    assert made.server.get_timer() is None


TARGETS = (
    st.sampled_from(
        [
            HELLO.path,
            EMPTY.path,
            "/.well-known/decade",
            DRP_PATH,
            *(DRP_PATH + path for path in ("status", "objects", "policy")),
        ]
    )
    | st.text(max_size=40).map(lambda text: "/.well-known/ni/" + text)
    | st.text(max_size=40).map(lambda t: DRP_PATH + t)
)
HEADERS = st.sampled_from(
    [
        "Authorization",
        "Range",
        "If-Range",
        "If-Match",
        "If-None-Match",
        "Decade-Attrs",
        "Content-Length",
        "Content-Type",
    ]
)
FUZZED = Bench()
FUZZED.put()


@given(
    method=st.sampled_from(["GET", "HEAD", "PUT", "DELETE", "POST", "PATCH", "OPTIONS"]) | st.text(max_size=9),
    target=TARGETS | st.text(max_size=40),
    headers=st.lists(st.tuples(HEADERS, st.text(max_size=30) | st.sampled_from(["3", "bytes=0-", "exp=1", "*"]))),
    has_token=st.booleans(),
    parts=st.lists(st.binary(max_size=20), max_size=4),
)
def test_any_request_is_answered_and_leaves_no_transfer(method, target, headers, has_token, parts):
    key = token() if has_token else None
    answer = FUZZED.head(method, target, key, headers=tuple(headers))
    if not isinstance(answer, Response):
        for part in parts:
            ended = answer.feed(part, 1.0)
            if ended is not None:
                break
        else:
            ended = answer.finish(1.0)
        answer = ended
    answer = whole(answer)
    assert 200 <= answer.status < 600
    assert all(value.isascii() and "\n" not in value and "\r" not in value for _, value in answer.headers)
    assert FUZZED.server.requests == 0
    assert len(FUZZED.server._pace) == 0

"""Nodes that make room by what they hold, when their policy says so."""

import attrs
import pytest
from decade_server import APP, BOB, PEER, Bench, bearer, code, token, whole
from decade_tokens import NOW
from decade_waiting import SlowLedger, SlowQuotas, SlowStore
from hypothesis import given
from hypothesis import strategies as st

from decade.errors import ErrorCode
from decade.evicting import PAGE
from decade.http import Request, Response
from decade.messages import ResourcePolicy, WhenFull
from decade.names import name_of
from decade.settings import Extension
from decade.waiting import Waiting

ON = {"extensions": frozenset({Extension.EVICT_OWN})}
EVICT = ResourcePolicy(weight=1, storage=30, when_full=WhenFull.EVICT_OWN)
REJECT = ResourcePolicy(weight=1, storage=30)


def bench(policy=EVICT, **more):
    return Bench(policy=policy, **ON, **more)


def octets(letter):
    return letter.encode() * 10


def put(made, letters, key=None, size=10):
    """Store an object of each letter, one a second."""
    statuses = []
    for letter in letters:
        made.now += 1
        statuses.append(made.put(letter.encode() * size, key).status)
    return statuses


def held(made, letters, key=None):
    """Those of the objects that are there."""
    return "".join(
        letter for letter in letters if made.ask("HEAD", name_of(octets(letter)).path, key or token()).status == 200
    )


def test_what_came_first_goes_when_there_is_no_room():
    made = bench()
    assert put(made, "abcd") == [201] * 4
    assert held(made, "abcd") == "bcd"
    assert code(made.get(name_of(octets("a")))) == ErrorCode.GONE
    assert made.quotas.holding(("alice",)).stored == 30
    assert made.quotas.holding(()).objects == 3


def test_a_node_that_is_to_reject_rejects():
    made = bench(REJECT)
    assert put(made, "abcd") == [201, 201, 201, 507]
    assert held(made, "abcd") == "abc"


def test_a_server_without_it_does_not_accept_such_a_policy():
    with pytest.raises(Exception, match="evict") as refused:
        Bench(policy=EVICT)
    assert refused.value.code == ErrorCode.ATTRIBUTE_NOT_PERMITTED
    made = Bench()
    assert code(made.control("PUT", "policy/live", EVICT)) == ErrorCode.ATTRIBUTE_NOT_PERMITTED
    assert bench().control("PUT", "policy/live", EVICT).status == 204


def test_the_server_says_that_it_has_it():
    assert bench().server._core.settings.info.features == ("evict-own",)


def test_what_is_read_stays_longer():
    made = bench()
    put(made, "abc")
    put(made, "d")  # from here on reads are seen as they come
    for _ in range(2):
        made.get(name_of(octets("b")))
    put(made, "ef")
    assert held(made, "abcdef") == "bef"


def test_reads_from_before_a_restart_count():
    made = bench()
    put(made, "abc")
    for _ in range(2):
        made.get(name_of(octets("a")))
    put(made, "de")
    assert held(made, "abcde") == "ade"


def test_nothing_goes_for_an_object_that_can_never_fit():
    made = bench()
    put(made, "abc")
    assert put(made, "x", size=31) == [507]
    assert held(made, "abc") == "abc"


def test_an_application_has_room_only_by_what_is_its_own():
    made = bench()
    live = token(APP)
    assert put(made, "ab") == [201, 201]
    assert put(made, "cde", live) == [201] * 3
    assert held(made, "abcde") == "abe"
    assert put(made, "fg") == [201, 201]
    assert held(made, "abcdefg") == "efg"
    # A node does not make room by what is below it either.
    assert put(made, "x", size=21) == [507]
    assert held(made, "efg") == "efg"


def test_an_application_may_have_another_rule_than_its_account():
    made = bench()
    made.control("PUT", "policy/live", ResourcePolicy(weight=1, when_full=WhenFull.REJECT))
    live = token(APP)
    assert put(made, "abcd", live) == [201, 201, 201, 507]
    made = bench(REJECT)
    made.control("PUT", "policy/live", ResourcePolicy(weight=1, storage=20, when_full=WhenFull.EVICT_OWN))
    assert put(made, "abc", live) == [201] * 3
    assert held(made, "abc") == "bc"


def test_another_account_never_makes_room():
    made = bench(provider=ResourcePolicy(weight=1, storage=40, when_full=WhenFull.EVICT_OWN))
    assert put(made, "ab", token(BOB)) == [201] * 2
    assert put(made, "cde") == [201] * 3
    assert held(made, "cde") == "de"
    assert held(made, "ab", token(BOB)) == "ab"
    # What the provider says holds for accounts that say nothing.
    assert put(made, "f", token(BOB)) == [201]
    assert held(made, "abf", token(BOB)) == "bf"
    assert put(made, "x", token(BOB), size=21) == [507]


def test_what_has_expired_goes_first():
    made = bench()
    put(made, "a")
    made.put(octets("b"), headers=(("Decade-Attrs", f"exp={NOW + 8}"),))
    put(made, "c")
    made.now = 20.0
    assert put(made, "d") == [201]
    assert held(made, "abcd") == "acd"


def test_what_is_being_read_stays_while_anything_else_can_go():
    made = bench()
    put(made, "abc")
    reading = made.head("GET", name_of(octets("a")).path, token())
    assert put(made, "d") == [201]
    assert held(made, "abcd") == "acd"
    # It goes when there is no other, and whoever reads it reads it to its end.
    assert put(made, "x", size=30) == [201]
    assert held(made, "acd") == ""
    assert whole(reading).body == octets("a")
    assert put(made, "y") == [201]


def test_an_object_that_does_not_arrive_leaves_room():
    made = bench()
    put(made, "abc")
    upload = made.head("PUT", name_of(octets("d")).path, token(), headers=(("Content-Length", "10"),))
    upload.abort(1.0)
    assert held(made, "abc") == "bc"
    assert put(made, "e") == [201]
    assert held(made, "bce") == "bce"


def test_the_queues_are_made_from_more_rows_than_a_page_has():
    made = Bench(policy=ResourcePolicy(weight=1, storage=2 * PAGE + 5, when_full=WhenFull.EVICT_OWN), **ON)
    key = token()
    names = [at.to_bytes(2) for at in range(PAGE + 2)]
    for name in names:
        made.put(name, key)
    assert made.put(b"more", key).status == 201
    gone = [name for name in names if made.ask("HEAD", name_of(name).path, key).status != 200]
    assert len(gone) == 2  # one octet was free


def test_what_other_workers_do_is_seen_in_the_rows():
    made = bench()
    put(made, "abcd")
    made.store.remove("alice", name_of(octets("b")))
    made.tree.drop(("alice",), 10)
    assert put(made, "e") == [201]
    # An object that another worker has stored is not in the queues, until it is needed.
    made.server._core.objects._evictor._queues[("alice",)].remove(name_of(octets("c")))
    assert put(made, "fgh") == [201] * 3
    assert held(made, "abcdefgh") == "cgh"
    assert put(made, "x", size=30) == [201]
    assert held(made, "cgh") == ""


def test_what_other_workers_have_put_in_the_place_of_all_that_is_known_makes_room():
    made = bench()
    put(made, "abcd")
    for before, after in zip("bcd", "xyz", strict=True):
        row = made.store.remove("alice", name_of(octets(before)))
        row = attrs.evolve(row, name=name_of(octets(after)))
        sink = made.store.create(row.name, row.size)
        sink.write(octets(after))
        made.store.commit(sink, row)
    assert put(made, "e") == [201]
    assert held(made, "xyz") == "yz"


def test_what_another_node_has_stored_since_stays():
    made = bench()
    put(made, "abcd")
    row = made.store.remove("alice", name_of(octets("b")))
    sink = made.store.create(row.name, row.size)
    sink.write(octets("b"))
    made.store.commit(sink, attrs.evolve(row, payer=("alice", "live")))
    assert put(made, "e") == [201]
    assert held(made, "bcd") == "bd"


def test_uploads_that_wait_for_room_at_a_time_each_get_it_once():
    made = bench(store=SlowStore(), ledger=SlowLedger(), quotas=SlowQuotas())
    put(made, "abc")
    waiting = []
    for letter in "defgh":
        headers = (("Content-Length", "10"), *bearer(token()))
        waiting.append(made.server.handle(Request("PUT", name_of(octets(letter)).path, headers), PEER, made.now))
    answers = []
    while waiting:
        answer = waiting.pop(0)
        if isinstance(answer, Waiting):
            answer.run()
            waiting.append(answer.resume(made.now))
        else:
            answers.append(answer)
    uploads = [answer for answer in answers if not isinstance(answer, Response)]
    assert len(uploads) == 3
    assert [code(answer) for answer in answers if isinstance(answer, Response)] == [ErrorCode.STORAGE_QUOTA] * 2
    holding = made.quotas.holding(("alice",))
    assert (holding.stored, holding.reserved) == (0, 30)
    for upload in uploads:
        upload.abort(made.now)
    assert made.quotas.holding(("alice",)).used == 0


def test_nothing_goes_for_a_token_that_may_not_store_so_much():
    made = bench()
    put(made, "abc")
    for key, wanted in ((token(amount=9), ErrorCode.AMOUNT_EXHAUSTED), (token(storage=9), ErrorCode.STORAGE_QUOTA)):
        assert code(made.put(octets("d"), key)) == wanted
    assert held(made, "abc") == "abc"
    assert code(made.put(b"x" * 31, token(amount=9))) == ErrorCode.STORAGE_QUOTA
    assert made.put(octets("d"), token(amount=10, storage=10, uses=1)).status == 201
    assert put(made, "efg") == [201] * 3
    assert held(made, "abcdefg") == "efg"


def waited(made, answer):
    """The answer that a wait ends with; others act between its steps."""
    while isinstance(answer, Waiting):
        yield
        answer.run()
        yield
        answer = answer.resume(made.now)
    return answer


def exchange(made, method, octets, key):
    """A request and its answer, a step at a time."""
    headers = (("Content-Length", str(len(octets))), *bearer(key))
    request = Request(method, name_of(octets).path, headers)
    answer = yield from waited(made, made.server.handle(request, PEER, made.now))
    if not isinstance(answer, Response):
        yield
        if answer.feed(octets, made.now) is None:
            yield from waited(made, answer.finish(made.now))
    elif not isinstance(answer.body, bytes):
        yield
        assert answer.body.read(99, made.now) in (octets, b"")
        yield
        answer.body.close(made.now)


BEGIN = st.tuples(st.sampled_from(["PUT", "PUT", "GET", "DELETE"]), st.integers(0, 7), st.booleans())


@given(st.lists(BEGIN | st.integers(0, 9), max_size=80))
def test_the_books_are_right_in_whatever_order_requests_wait(steps):
    made = bench(store=SlowStore(), ledger=SlowLedger(), quotas=SlowQuotas())
    keys, going = (token(), token(APP)), []
    for step in [*steps, *[0] * 1000]:
        made.now += 1
        if isinstance(step, tuple):
            method, number, is_app = step
            going.append(exchange(made, method, bytes([number]) * (1 + 3 * number), keys[is_app]))
        elif going:
            one = going.pop(step % len(going))
            if next(one, one) is not one:
                going.append(one)
        holding = made.quotas.holding(("alice",))
        assert holding.stored + holding.reserved <= 30
    assert not going
    rows = made.store.page("alice", b"", 99)
    assert (holding.stored, holding.reserved, holding.objects) == (sum(row.size for row in rows), 0, len(rows))
    assert made.server.requests == 0

"""Plans of a client for objects, run against the server and against servers that lie."""

import attrs
import pytest
from decade_client import asks, cut_short, failed, mine, run, served
from decade_server import HELLO, OCTETS, Bench
from decade_tokens import NOW, SERVER
from hypothesis import given
from hypothesis import strategies as st

from decade.client import (
    EXPECT_FROM,
    Buffer,
    Fetched,
    Octets,
    Part,
    Wait,
    delete,
    fetch,
    fetch_part,
    put,
)
from decade.client_control import Control
from decade.client_exchange import UnreachableError
from decade.errors import DecodeError, ErrorCode
from decade.http import Response
from decade.messages import Revocation
from decade.names import NiUri, name_of

OTHER = "https://sa.example"
THIRD = "https://sc.example"
URI = NiUri(HELLO)
GOOD = Response(200, (), OCTETS)
LIE = Response(200, (), b"Hello world!")


def by_server(answers):
    return lambda step: answers[step.request.target.partition("/.")[0]]


def test_what_a_client_puts_it_fetches_and_deletes():
    made, sink = Bench(), Buffer()
    plan = put(HELLO, Octets(OCTETS), SERVER, mine(), expires=NOW + 60, media_type="text/plain")
    is_new, _ = run(plan, served(made))
    assert made.get().header("Decade-Attrs") == f"exp={NOW + 60}"
    is_new_again, _ = run(put(HELLO, Octets(OCTETS), SERVER, mine()), served(made))
    assert (is_new, is_new_again) == (True, False)
    fetched, _ = run(fetch(NiUri(HELLO, "", (("ct", "text/plain"),)), [SERVER], sink, mine()), served(made))
    assert (fetched, sink.octets) == (Fetched(SERVER, 12, "text/plain"), OCTETS)
    run(delete(HELLO, SERVER, mine()), served(made))
    assert failed(fetch(URI, [SERVER], sink, mine()), served(made))[0].code == ErrorCode.GONE
    assert failed(delete(HELLO, SERVER, mine()), served(made))[0].status == 410


@given(st.binary(max_size=20).filter(lambda octets: octets != OCTETS))
def test_what_does_not_have_the_name_is_never_the_result_and_its_server_is_blamed(octets):
    answers, sink = {SERVER: Response(200, (), octets), OTHER: GOOD}, Buffer()
    fetched, steps = run(fetch(URI, [SERVER, OTHER], sink), by_server(answers))
    assert (sink.octets, fetched.server, len(steps)) == (OCTETS, OTHER, 2)
    assert [(failure.server, failure.is_blamed) for failure in fetched.failures] == [(SERVER, True)]
    assert failed(fetch(URI, [SERVER], sink), by_server(answers))[0].code == ErrorCode.REMOTE_MISMATCH


@pytest.mark.parametrize("status", [201, 203, 204, 206])
def test_another_success_than_ok_is_no_object(status):
    assert failed(fetch(URI, [SERVER], Buffer()), lambda step: attrs.evolve(GOOD, status=status))


def test_an_object_of_another_type_than_its_name_says_is_refused():
    html = attrs.evolve(GOOD, headers=(("Content-Type", "text/html; charset=utf-8"),))
    uri = NiUri(HELLO, "", (("ct", "text/plain"),))
    assert failed(fetch(uri, [SERVER], Buffer()), lambda step: html)[0].is_blamed
    uri = NiUri(HELLO, "", (("ct", "TEXT/html"),))
    assert run(fetch(uri, [SERVER], Buffer()), lambda step: html)[0].size == 12


@pytest.mark.parametrize("headers", [(), (("Content-Length", "12"),), (("Content-Length", "9" * 18),)])
def test_an_object_over_what_is_accepted_is_not_read_further(headers):
    sink = Buffer()
    failure = failed(fetch(URI, [SERVER], sink, max_size=11), lambda step: attrs.evolve(GOOD, headers=headers))[0]
    assert (failure.code, failure.is_blamed) == (ErrorCode.TOO_LARGE, False)
    assert len(sink.octets) <= 11
    assert run(fetch(URI, [SERVER], sink, max_size=12), lambda step: GOOD)[0].size == 12


def test_a_name_that_is_cut_short_binds_no_object():
    uri = NiUri(HELLO.truncated("sha-256-32"))
    for plan in (fetch(uri, [SERVER], Buffer()), fetch_part(uri, [SERVER], 0, 1)):
        with pytest.raises(DecodeError, match="binds no object"):
            run(plan, lambda step: GOOD)


def test_servers_are_asked_in_the_order_of_their_costs():
    costs = {SERVER: 3.0, OTHER: 1.0, THIRD: 2.0}
    gone = Response(404, (), b"")
    answers = {SERVER: GOOD, OTHER: gone, THIRD: gone}
    fetched, steps = run(fetch(URI, list(costs), Buffer(), cost=costs.__getitem__), by_server(answers))
    assert fetched.server == SERVER
    assert [request.target.partition("/.")[0] for request in asks(steps)] == [OTHER, THIRD, SERVER]


def test_a_server_that_is_busy_is_asked_again_when_no_other_one_has_the_object():
    busy = Response(503, (("Retry-After", "2"),), b"")
    fetched, steps = run(fetch(URI, [SERVER, OTHER], Buffer()), by_server({SERVER: busy, OTHER: GOOD}))
    assert (fetched.server, len(steps)) == (OTHER, 2)
    answers = iter([busy, Response(404, (), b""), GOOD])
    fetched, steps = run(fetch(URI, [SERVER, OTHER], Buffer()), lambda step: next(answers))
    assert (fetched.server, steps[2]) == (SERVER, Wait(2.0))


def test_a_download_that_breaks_off_starts_again_and_keeps_nothing_of_before():
    sink, answers = Buffer(), iter([5, 12])
    fetched, steps = run(
        fetch(URI, [SERVER], sink),
        lambda step: cut_short(step, GOOD, size) if (size := next(answers)) < 12 else GOOD,
    )
    assert (sink.octets, fetched.failures[0].reason, len(asks(steps))) == (OCTETS, "cut short", 2)


def test_a_connection_that_was_lost_is_made_again_for_what_can_be_repeated():
    lost = UnreachableError("closed", is_lost=True)
    answers = iter([lost, GOOD])
    fetched, _ = run(fetch(URI, [SERVER], Buffer()), lambda step: next(answers))
    assert fetched.failures[0].reason == "closed"
    revoke = Control(f"{SERVER}/decade/v1/", mine()).revoke(Revocation(before=1))
    assert len(failed(revoke, lambda step: lost)) == 1


def test_a_server_that_does_not_answer_is_left_for_another_one():
    answers = {SERVER: UnreachableError("refused"), OTHER: GOOD}
    fetched, steps = run(fetch(URI, [SERVER, OTHER], Buffer()), by_server(answers))
    assert (fetched.server, len(steps)) == (OTHER, 2)
    assert str(failed(fetch(URI, [SERVER], Buffer()), by_server(answers))[0]) == f"{SERVER}: refused"


def test_a_part_is_not_verified_and_the_whole_is():
    made = Bench()
    made.put()
    part, steps = run(fetch_part(URI, [SERVER], 6, 5, mine()), served(made))
    assert part == Part(b"World", False, SERVER)
    assert asks(steps)[0].header("Range") == "bytes=6-10"
    assert run(fetch_part(URI, [SERVER], 6, 100, mine()), served(made))[0].octets == b"World!"
    assert run(fetch_part(URI, [SERVER], 6, 5), lambda step: GOOD)[0] == Part(b"World", True, SERVER)
    assert failed(fetch_part(URI, [SERVER], 6, 5), lambda step: LIE)[0].is_blamed
    assert failed(fetch_part(URI, [SERVER], 99, 1, mine()), served(made))[0].code == ErrorCode.RANGE_NOT_SATISFIABLE
    with pytest.raises(ValueError, match="an octet at least"):
        run(fetch_part(URI, [SERVER], 0, 0), lambda step: GOOD)


@pytest.mark.parametrize(
    "place", [None, "bytes 5-9/12", "bytes 6-11/12", "bytes 6-10", "octets 6-10/12", "bytes 10-6/12", "bytes 6-9/12"]
)
def test_another_part_than_was_asked_for_is_refused(place):
    headers = () if place is None else (("Content-Range", place),)
    assert failed(fetch_part(URI, [SERVER], 6, 5), lambda step: Response(206, headers, b"World"))[0].is_blamed


def test_a_large_body_waits_for_the_server_to_want_it():
    octets = bytes(EXPECT_FROM)
    for size, field in ((EXPECT_FROM, "100-continue"), (EXPECT_FROM - 1, None)):
        _, steps = run(put(name_of(octets), Octets(octets[:size]), SERVER, mine()), lambda step: Response(201, (), b""))
        assert asks(steps)[0].header("Expect") == field
        assert asks(steps)[0].header("Content-Length") == str(size)


def test_why_an_object_is_not_stored():
    made = Bench(limits={"max_object": 5})
    assert failed(put(HELLO, Octets(OCTETS), SERVER, mine()), served(made))[0].code == ErrorCode.TOO_LARGE
    made = Bench()
    failure = failed(put(name_of(b"another"), Octets(OCTETS), SERVER, mine()), served(made))[0]
    assert failure.code == ErrorCode.NAME_MISMATCH
    assert str(failure).startswith(f"{SERVER}: name-mismatch ")


@given(
    st.integers(100, 599),
    st.lists(st.tuples(st.sampled_from(["Location", "Retry-After", "Content-Length", "Content-Range"]), st.text())),
    st.binary(),
)
def test_any_answers_end_a_plan(number, headers, body):
    uri, answer = NiUri(name_of(b"nobody sends this")), Response(number, tuple(headers), body)
    assert failed(fetch(uri, [SERVER], Buffer()), lambda step: answer)
    assert failed(fetch(uri, [], Buffer()), lambda step: answer) == ()

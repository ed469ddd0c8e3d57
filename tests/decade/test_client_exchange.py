"""Exchanges of a client: tokens go where they belong, redirects and waits end, answers fit into what is allowed."""

import contextlib
import secrets

import attrs
import pytest
from decade_client import asks, failed, mine, run, served
from decade_server import HELLO, OCTETS, Bench, token
from decade_tokens import NOW, SERVER, SIGNING
from hypothesis import given
from hypothesis import strategies as st

from decade.cbor import MAX_MESSAGE
from decade.client import Buffer, Octets, fetch, put
from decade.client_exchange import (
    FIRST_WAIT,
    MAX_REDIRECTS,
    MAX_ROUNDS,
    Credential,
    Exchange,
    Receiver,
    Wait,
    ask,
)
from decade.errors import DecodeError, ErrorCode
from decade.http import Request, Response
from decade.names import NiUri
from decade.pop import Replays, read_proof
from decade.problem import Problem, encode_problem

OTHER = "https://sa.example"
URI = NiUri(HELLO)
GOOD = Response(200, (), OCTETS)


@pytest.mark.parametrize(
    ("location", "target", "has_token"),
    [
        (f"{OTHER}/x", f"{OTHER}/x", False),
        ("/y", f"{SERVER}/y", True),
        ("https://sb.example:443/z", "https://sb.example:443/z", False),
        ("https://sb.example.evil/z", "https://sb.example.evil/z", False),
        ("http://sb.example/z", None, False),
        ("http://127.0.0.1/z", None, False),
        ("https://sb.example@evil/z", None, False),
        ("https://sb.example:99999/z", None, False),
        ("https://sb.example:0/z", None, False),
        ("https://[/", None, False),
        ("https:///z", f"{SERVER}/z", True),
        ("https://sb.example/\nz\x00", None, False),
        ("file:///etc/passwd", None, False),
    ],
)
def test_a_redirect_is_followed_to_https_and_the_token_only_to_its_audience(location, target, has_token):
    asked = []

    def answer(step):
        asked.append(step.request.target)
        return GOOD if step.request.target == target else Response(307, (("Location", location),), b"")

    if target is None:
        assert failed(fetch(URI, [SERVER], Buffer(), mine()), answer)[0].status == 307
        assert asked == [SERVER + HELLO.path]
    else:
        _, steps = run(fetch(URI, [SERVER], Buffer(), mine()), answer)
        assert [request.target for request in asks(steps)] == [SERVER + HELLO.path, target]
        assert (asks(steps)[1].header("Authorization") is not None) is has_token
        assert asks(steps)[0].header("Authorization") is not None


def test_a_redirect_takes_the_token_that_is_for_where_it_goes():
    both = (*mine(), Credential.of(token(aud=(OTHER,))))
    answers = iter([Response(307, (("Location", f"{OTHER}{HELLO.path}"),), b""), GOOD])
    _, steps = run(fetch(URI, [SERVER], Buffer(), both), lambda step: next(answers))
    assert [request.header("Authorization") for request in asks(steps)] == [f"Bearer {one.text}" for one in both]


def test_redirects_have_an_end():
    count = iter(range(100))
    assert (
        failed(fetch(URI, [SERVER], Buffer()), lambda step: Response(307, (("Location", f"/{next(count)}"),), b""))[
            0
        ].status
        == 307
    )
    assert next(count) == MAX_REDIRECTS + 1


def test_a_body_follows_a_redirect_that_keeps_the_method_and_no_other_one():
    for status, requests in ((307, 2), (308, 2), (301, 1), (302, 1), (303, 1)):
        seen = []

        def answer(step, status=status, seen=seen):
            seen.append(b"".join(step.source.parts()))
            return Response(201, (), b"") if len(seen) > 1 else Response(status, (("Location", f"{OTHER}/"),), b"")

        plan = put(HELLO, Octets(OCTETS), SERVER, mine())
        if requests == 2:
            run(plan, answer)
        else:
            failed(plan, answer)
        assert seen == [OCTETS] * requests


def test_a_server_with_siblings_sends_away_and_its_sibling_is_asked():
    made = Bench(max_requests=0, siblings=(OTHER,))
    fetched, steps = run(
        fetch(URI, [SERVER], Buffer(), mine()),
        lambda step: GOOD if step.request.target.startswith(OTHER) else served(made)(step),
    )
    assert asks(steps)[1].header("Authorization") is None
    assert fetched.size == 12


@pytest.mark.parametrize(
    "uri", ["http://sb.example/x", "http://192.0.2.1/x", "http://127.0.0.1.example/x", "http://[2001:db8::1]/x"]
)
def test_a_token_does_not_leave_this_machine_in_the_clear(uri):
    origin = uri.removesuffix("/x")
    assert Credential(token(), (origin,)).headers(uri) == ()
    assert Credential(token(), (origin,), is_insecure_allowed=True).headers(uri) != ()


@pytest.mark.parametrize("uri", ["http://127.0.0.1:8080/x", "http://[::1]/x", "http://localhost/x", "https://sb/x"])
def test_a_token_goes_over_tls_and_within_this_machine(uri):
    assert Credential(token(), (uri.removesuffix("/x"),)).headers(uri) != ()


def test_within_this_machine_a_redirect_may_go_without_tls():
    one, two = "http://127.0.0.1:1", "http://127.0.0.1:2"
    answers = {f"{one}{HELLO.path}": Response(307, (("Location", f"{two}/"),), b""), f"{two}/": GOOD}
    assert run(fetch(URI, [one], Buffer()), lambda step: answers[step.request.target])[0].size == 12


def test_a_token_names_its_audience():
    assert Credential.of(token()).audience == (SERVER,)
    assert Credential.of(token(aud=(SERVER, OTHER))).audience == (SERVER, OTHER)
    assert "token" not in repr(Credential.of(token()))


@given(st.binary() | st.binary().map(lambda octets: token()[:-10] + octets))
def test_what_is_no_token_is_refused_or_has_an_audience(octets):
    with contextlib.suppress(DecodeError):
        assert Credential.of(octets).audience == (SERVER,)


@pytest.mark.parametrize(("field", "seconds"), [("7", 7.0), ("soon", FIRST_WAIT), (None, FIRST_WAIT), ("0", 0.25)])
def test_a_busy_server_is_asked_again_when_it_says(field, seconds):
    headers = () if field is None else (("Retry-After", field),)
    answers = iter([Response(503, headers, b""), GOOD])
    _, steps = run(fetch(URI, [SERVER], Buffer(), random_bytes=bytes), lambda step: next(answers))
    assert steps[1] == Wait(seconds)


@pytest.mark.parametrize(("drawn", "waits"), [(b"\x00", [0.25, 0.5]), (b"\xff", [0.5, 1.0])])
def test_waits_double_and_half_of_each_is_chance(drawn, waits):
    busy = Response(429, (("Retry-After", "0"),), b"")
    answers = iter([busy] * (MAX_ROUNDS - 1) + [GOOD])
    _, steps = run(fetch(URI, [SERVER], Buffer(), random_bytes=lambda size: drawn), lambda step: next(answers))
    assert [step.seconds for step in steps if isinstance(step, Wait)] == waits
    assert len(failed(fetch(URI, [SERVER], Buffer()), lambda step: busy)) == MAX_ROUNDS


@pytest.mark.parametrize("field", ["61", "3600", "999999999"])
def test_a_server_that_makes_wait_too_long_is_not_waited_for(field):
    failures = failed(fetch(URI, [SERVER], Buffer()), lambda step: Response(429, (("Retry-After", field),), b""))
    assert len(failures) == 1


def test_a_problem_says_how_long_to_wait_and_why():
    made = Bench(max_requests=0)
    failure = failed(put(HELLO, Octets(OCTETS), SERVER, mine()), served(made))[0]
    assert failure.code == ErrorCode.OVERLOADED
    assert 1.6 <= failure.retry_after <= 2.4


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (404, encode_problem(Problem(code=14, title="no such object")), 14),
        (403, encode_problem(Problem(code=14)), None),
        (404, encode_problem(Problem(code=63)), None),
        (404, b"\xff" * 100, None),
        (404, b"<html>" * 50000, None),
    ],
)
def test_a_code_counts_only_with_its_status(status, body, code):
    failure = failed(fetch(URI, [SERVER], Buffer()), lambda step: Response(status, (), body))[0]
    assert (failure.status, failure.code) == (status, code)


def test_a_title_cannot_write_to_a_terminal():
    body = encode_problem(Problem(code=14, title="\x1b[2Jgone\n" + "x" * 1000))
    failure = failed(fetch(URI, [SERVER], Buffer()), lambda step: Response(404, (), body))[0]
    assert str(failure) == f"{SERVER}: not-found ?[2Jgone?{'x' * 191}"


def test_a_receiver_keeps_no_more_than_a_message():
    receiver = Receiver()
    wanted = [receiver.start(Response(500)), receiver.feed(bytes(MAX_MESSAGE)), receiver.feed(b"\x00")]
    assert wanted == [True, True, False]
    assert (receiver.is_over, len(receiver.octets)) == (True, MAX_MESSAGE)
    lengths = (str(MAX_MESSAGE + 1), "twelve")
    wanted = [receiver.start(Response(200, (("Content-Length", length),))) for length in lengths]
    assert wanted == [False, True]
    assert (receiver.octets, receiver.total) == (b"", None)


def test_a_request_is_answered_with_a_response():
    plan = ask(Exchange(Request("GET", SERVER), Receiver()), ())
    next(plan)
    with pytest.raises(TypeError):
        plan.send(None)


def test_a_token_that_asks_for_proof_gets_a_signature_at_each_request():
    credential = attrs.evolve(mine()[0], key=SIGNING)
    answers = iter([Response(307, (("Location", "/again"),), b""), Response(201, (), b"")])
    _, steps = run(put(HELLO, Octets(OCTETS), SERVER, [credential]), lambda step: next(answers))
    replays = Replays()
    for step in steps:
        request = step.signed(wall=NOW, random_bytes=secrets.token_bytes)
        proof = read_proof(request, request.target)
        replays.check(proof, SIGNING.public, "alice", NOW)
        assert proof.digest == HELLO.value
    plain = Exchange(Request("GET", SERVER), Receiver())
    assert plain.signed(wall=NOW, random_bytes=bytes) == plain.request

"""Plans of a client, run against the server and against servers that lie."""

import attrs
import pytest
from decade_server import HELLO, OCTETS, PEER, Bench, token, whole
from decade_tokens import NOW, SERVER
from hypothesis import given
from hypothesis import strategies as st

from decade.client import MAX_REDIRECTS, MAX_TRIES, Credential, FailedError, Wait, delete, fetch, put, status
from decade.errors import ErrorCode
from decade.http import Request, Response
from decade.messages import Status
from decade.names import NiUri, name_of

OTHER = "https://sa.example"
URI = NiUri(HELLO)
GOOD = Response(200, (), OCTETS)


def mine():
    return Credential(token(), (SERVER,))


def run(plan, answer):
    """The result of a plan, and its steps; `answer` makes a response of a request."""
    steps, reply = [], None
    while True:
        try:
            steps.append(plan.send(reply))
        except StopIteration as stop:
            return stop.value, steps
        reply = answer(steps[-1]) if isinstance(steps[-1], Request) else None


def served(made):
    def answer(request):
        head = attrs.evolve(request, target=request.target.removeprefix(SERVER), body=b"")
        got = made.server.handle(head, PEER, made.now)
        if not isinstance(got, Response):
            got = got.feed(request.body, made.now) or got.finish(made.now)
        return whole(got, made.now)

    return answer


def failed(plan, answer):
    with pytest.raises(FailedError) as error:
        run(plan, answer)
    return error.value.failures


def test_what_a_client_puts_it_fetches_and_deletes():
    made = Bench()
    name, _ = run(put(OCTETS, SERVER, mine(), expires=NOW + 60, media_type="text/plain"), served(made))
    assert name == HELLO
    assert made.get().header("Decade-Attrs") == f"exp={NOW + 60}"
    assert run(fetch(NiUri(HELLO, "", (("ct", "text/plain"),)), [SERVER], mine()), served(made))[0] == OCTETS
    found, _ = run(status(SERVER, mine()), served(made))
    assert isinstance(found, Status)
    assert found.usage.stored == 12
    run(delete(HELLO, SERVER, mine()), served(made))
    assert failed(fetch(URI, [SERVER], mine()), served(made))[0].code == ErrorCode.GONE
    assert failed(delete(HELLO, SERVER, mine()), served(made))[0].status == 410


@given(st.binary(max_size=20).filter(lambda octets: octets != OCTETS))
def test_what_does_not_have_the_name_is_never_returned(octets):
    answers = {SERVER: Response(200, (), octets), OTHER: GOOD}
    result, steps = run(
        fetch(URI, [SERVER, OTHER]), lambda request: answers[request.target[: request.target.index("/.")]]
    )
    assert result == OCTETS
    assert len(steps) == 2
    assert failed(fetch(URI, [SERVER]), lambda request: answers[SERVER])[0].code == ErrorCode.REMOTE_MISMATCH


def test_an_object_of_another_type_than_its_name_says_is_refused():
    html = attrs.evolve(GOOD, headers=(("Content-Type", "text/html; charset=utf-8"),))
    uri = NiUri(HELLO, "", (("ct", "text/plain"),))
    assert failed(fetch(uri, [SERVER]), lambda request: html)[0].code == ErrorCode.REMOTE_MISMATCH
    assert run(fetch(NiUri(HELLO, "", (("ct", "TEXT/html"),)), [SERVER]), lambda request: html)[0] == OCTETS


@pytest.mark.parametrize(
    ("location", "target", "has_token"),
    [
        (f"{OTHER}/x", f"{OTHER}/x", False),
        ("/y", f"{SERVER}/y", True),
        ("https://sb.example:443/z", "https://sb.example:443/z", False),
        ("https://sb.example.evil/z", "https://sb.example.evil/z", False),
        ("http://sb.example/z", None, False),
        ("https://sb.example@evil/z", None, False),
        ("https://[/", None, False),
        ("file:///etc/passwd", None, False),
    ],
)
def test_a_redirect_is_followed_to_https_and_the_token_only_to_its_audience(location, target, has_token):
    def answer(request):
        return GOOD if request.target == target else Response(307, (("Location", location),), b"")

    if target is None:
        assert failed(fetch(URI, [SERVER], mine()), answer)[0].status == 307
    else:
        _, steps = run(fetch(URI, [SERVER], mine()), answer)
        assert [step.target for step in steps] == [SERVER + HELLO.path, target]
        assert (steps[1].header("Authorization") is not None) is has_token
        assert steps[0].header("Authorization") is not None


def test_redirects_have_an_end():
    steps = []

    def answer(request):
        steps.append(request)
        return Response(307, (("Location", f"/{len(steps)}"),), b"")

    assert failed(fetch(URI, [SERVER]), answer)[0].status == 307
    assert len(steps) == MAX_REDIRECTS + 1


@pytest.mark.parametrize(("field", "seconds"), [("7", 7.0), ("soon", 1.0), (None, 1.0)])
def test_a_busy_server_is_asked_again_when_it_says(field, seconds):
    headers = () if field is None else (("Retry-After", field),)
    answers = iter([Response(503, headers, b""), GOOD])
    result, steps = run(fetch(URI, [SERVER]), lambda request: next(answers))
    assert (result, steps[1]) == (OCTETS, Wait(seconds))


def test_a_server_that_stays_busy_or_makes_wait_too_long_is_left_for_another_one():
    for headers, tries in (((("Retry-After", "1"),), MAX_TRIES), ((("Retry-After", "3600"),), 1)):
        busy = Response(429, headers, b"")
        _, steps = run(
            fetch(URI, [SERVER, OTHER]), lambda request, busy=busy: GOOD if OTHER in request.target else busy
        )
        assert sum(isinstance(step, Request) for step in steps) == tries + 1


def test_a_problem_in_an_answer_says_how_long_to_wait():
    made = Bench(max_requests=0)
    with pytest.raises(FailedError) as error:
        run(put(OCTETS, SERVER, mine()), served(made))
    assert error.value.failures[0].code == ErrorCode.OVERLOADED


def test_what_is_no_status_is_a_failure():
    assert failed(status(SERVER, mine()), lambda request: GOOD)[0].reason == "no status"
    assert failed(fetch(URI, []), lambda request: GOOD) == ()


@given(st.integers(100, 599), st.lists(st.tuples(st.sampled_from(["Location", "Retry-After"]), st.text())), st.binary())
def test_any_answers_end_a_plan(number, headers, body):
    with pytest.raises(FailedError):
        run(
            fetch(NiUri(name_of(b"nobody sends this")), [SERVER]),
            lambda request: Response(number, tuple(headers), body),
        )


def test_a_token_is_not_shown():
    assert "token" not in repr(mine())

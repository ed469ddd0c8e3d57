"""A client and signed names: whatever servers say, what it returns is what the publisher has signed."""

from decade_client import asks, failed, mine, run, served
from decade_server import HELLO, OCTETS, Bench
from decade_tokens import NOW, SERVER
from hypothesis import given
from hypothesis import strategies as st

from decade.client import EXPECT_FROM, Buffer, Fetched, Octets
from decade.client_named import delete_named, fetch_named, put_named
from decade.cose import Ed25519SigningKey, Es256SigningKey
from decade.errors import ErrorCode
from decade.http import Response
from decade.named import SIGNATURE_FIELD, bind
from decade.names import name_of
from decade.tokens import TokenFeature

KEY, STRANGER = Ed25519SigningKey(bytes(range(32))), Es256SigningKey(bytes(range(1, 33)))
MADE = bind(KEY, b"live/1", HELLO)
OTHER = "https://sa.example"
GOOD = Response(200, ((SIGNATURE_FIELD, MADE.text),), OCTETS)


def bench():
    return Bench(extensions=frozenset({TokenFeature.SIGNED_NAMES}))


def by_server(answers):
    return lambda step: answers[step.request.target.partition("/decade")[0]]


def signed(binding, octets=OCTETS, status=200):
    return Response(status, ((SIGNATURE_FIELD, binding.text),), octets)


def test_what_a_publisher_puts_anybody_fetches_until_it_is_deleted():
    made, sink = bench(), Buffer()
    plan = put_named(MADE, Octets(OCTETS), SERVER, mine(), expires=NOW + 60, media_type="video/mp4")
    is_new, steps = run(plan, served(made))
    assert is_new is True
    assert asks(steps)[0].header("Expect") is None
    assert made.get().header("Decade-Attrs") == f"exp={NOW + 60}"
    assert run(put_named(MADE, Octets(OCTETS), SERVER, mine()), served(made))[0] is False
    result, _ = run(fetch_named(MADE.signed, [SERVER], sink, mine()), served(made))
    assert (result, sink.octets) == ((Fetched(SERVER, 12, "video/mp4"), MADE), OCTETS)
    new = bind(KEY, b"live/1", name_of(b"other"))
    assert failed(put_named(new, Octets(b"other"), SERVER, mine()), served(made))[0].code == ErrorCode.CONFLICT
    run(delete_named(MADE.signed, SERVER, mine()), served(made))
    assert failed(fetch_named(MADE.signed, [SERVER], sink, mine()), served(made))[0].code == ErrorCode.NOT_FOUND
    assert failed(delete_named(MADE.signed, SERVER, mine()), served(made))[0].status == 404


def test_a_large_object_waits_for_the_server_to_want_it():
    octets = bytes(EXPECT_FROM)
    plan = put_named(bind(KEY, b"l", name_of(octets)), Octets(octets), SERVER, mine())
    _, steps = run(plan, served(bench()))
    assert asks(steps)[0].header("Expect") == "100-continue"


def test_what_the_publisher_has_not_signed_is_never_the_result_and_its_server_is_blamed():
    lies = (
        signed(MADE, b"Hello world!"),
        signed(MADE, OCTETS[:-1]),
        Response(200, (), OCTETS),
        signed(bind(STRANGER, b"live/1", HELLO)),
        signed(bind(KEY, b"live/2", HELLO)),
        signed(bind(KEY, b"live/1", name_of(b"other"))),
        signed(MADE, OCTETS, 206),
        Response(200, ((SIGNATURE_FIELD, "A" * 100),), OCTETS),
    )
    for lie in lies:
        sink = Buffer()
        answer = by_server({SERVER: lie, OTHER: GOOD})
        (fetched, binding), _ = run(fetch_named(MADE.signed, [SERVER, OTHER], sink), answer)
        assert (sink.octets, fetched.server, binding) == (OCTETS, OTHER, MADE)
        assert [(failure.server, failure.is_blamed) for failure in fetched.failures] == [(SERVER, True)]
        assert [one.is_blamed for one in failed(fetch_named(MADE.signed, [SERVER], Buffer()), answer)] == [True]


@given(st.binary(max_size=20), st.text(max_size=60))
def test_any_answer_is_verified_or_a_failure(octets, field):
    answer = by_server({SERVER: Response(200, ((SIGNATURE_FIELD, field),), octets)})
    assert len(failed(fetch_named(MADE.signed, [SERVER], Buffer()), answer)) == 1


def test_the_cheapest_server_is_asked_first_and_too_much_is_refused():
    answer = by_server({SERVER: GOOD, OTHER: GOOD})
    costs = {SERVER: 2.0, OTHER: 1.0}
    (fetched, _), _ = run(fetch_named(MADE.signed, [SERVER, OTHER], Buffer(), cost=costs.get), answer)
    assert fetched.server == OTHER
    assert failed(fetch_named(MADE.signed, [SERVER], Buffer(), max_size=5), answer)[0].code == ErrorCode.TOO_LARGE

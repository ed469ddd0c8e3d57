"""The ALTO client's requests: redirects, credentials, revalidation, media types, errors."""

import contextlib

import pytest
from alto_plans import Carrier, answer
from hypothesis import given
from hypothesis import strategies as st

from alto import media
from alto._json import Json
from alto.auth import DigestClient
from alto.client.cache import ResponseCache
from alto.client.directory import fetch_closure
from alto.client.errors import MAX_ERROR, ServerError, retry_delay, server_error
from alto.client.fetch import MAX_CHALLENGES, MAX_REDIRECTS, Plan, Session, fetch
from alto.client.reading import json_of, obtain, request_for
from alto.errors import AltoError, DecodeError
from alto.findings import Findings
from alto.http import Headers, Request, Response
from alto.ird import ResourceEntry

ROOT = "https://alto.example.com/directory"
GET = Request("GET", "https://alto.example.com/a", (("Accept", "x/y"),))
POST = Request("POST", "https://alto.example.com/a", (("Accept", "x/y"), ("Content-Type", "p/q")), b"{}")
ENTRY = ResourceEntry("map", "https://alto.example.com/map", media.NETWORK_MAP)
FILTER = ResourceEntry("some", "https://alto.example.com/some", media.NETWORK_MAP, media.NETWORK_MAP_FILTER)
OK = Response(200, (("Content-Type", "x/y"),), b"fine")


def moved(status: int, location: str) -> Response:
    return Response(status, (("Location", location),))


def ird(resources: Json, *, default: str | None = "map") -> Response:
    meta: Json = {} if default is None else {"default-alto-network-map": default}
    return answer({"meta": meta, "resources": resources}, media.DIRECTORY)


def entry(uri: str = "map") -> Json:
    return {"uri": uri, "media-type": media.NETWORK_MAP}


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_keeps_the_method_and_the_body(status: int) -> None:
    carrier = Carrier({GET.target: moved(status, "/b?c#d"), "https://alto.example.com/b?c": OK})
    fetched = carrier.run(fetch(Session(), POST))
    assert fetched.uri == "https://alto.example.com/b?c"
    assert carrier.requests[1] == Request("POST", fetched.uri, POST.headers, POST.body)


def test_see_other_turns_a_post_into_a_get() -> None:
    carrier = Carrier({GET.target: moved(303, "b"), "https://alto.example.com/b": OK})
    assert carrier.run(fetch(Session(), POST)).response == OK
    assert carrier.requests[1] == Request("GET", "https://alto.example.com/b", (("Accept", "x/y"),))


@pytest.mark.parametrize(
    "location", ["http://alto.example.com/b", "ftp://x/", "http://[", "b c", "//", "https://x\r\ny/", "mailto:a@b"]
)
def test_a_redirect_from_https_goes_to_https_only(location: str) -> None:
    with pytest.raises(DecodeError, match="redirect"):
        Carrier({GET.target: moved(307, location)}).run(fetch(Session(), GET))


def test_a_loop_of_redirects_ends_at_once() -> None:
    carrier = Carrier({GET.target: moved(307, "b"), "https://alto.example.com/b": moved(307, "a")})
    with pytest.raises(DecodeError, match="loop"):
        carrier.run(fetch(Session(), GET))
    assert len(carrier.requests) == 2
    with pytest.raises(DecodeError, match="loop"):
        Carrier({GET.target: moved(303, "")}).run(fetch(Session(), GET))


def test_see_other_to_the_same_uri_is_no_loop() -> None:
    carrier = Carrier(lambda request: OK if request.method == "GET" else moved(303, ""))
    assert carrier.run(fetch(Session(), POST)).response == OK


def test_redirects_without_end_end() -> None:
    carrier = Carrier(lambda request: moved(307, request.target + "x"))
    with pytest.raises(DecodeError, match="more than 5 redirects"):
        carrier.run(fetch(Session(), GET))
    assert len(carrier.requests) == MAX_REDIRECTS + 1


@pytest.mark.parametrize("status", [204, 206, 300, 304, 305, 307, 400, 404, 405, 500, 503])
def test_a_status_that_is_no_success_is_a_server_error(status: int) -> None:
    with pytest.raises(ServerError) as caught:
        Carrier({GET.target: Response(status)}).run(fetch(Session(), GET))
    assert caught.value.status == status
    assert GET.target in str(caught.value)


@pytest.mark.parametrize("status", [200, 203, 207, 299])
def test_a_status_of_success_that_is_not_known_is_as_good_as_200(status: int) -> None:
    """RFC 9110 section 15; and 203 is what a proxy makes of 200"""
    assert Carrier(lambda _: Response(status, OK.headers, OK.body)).run(fetch(Session(), GET)).response.body == b"fine"


def test_a_body_beyond_the_limit_is_refused() -> None:
    with pytest.raises(DecodeError, match="more than 3 octets"):
        Carrier({GET.target: OK}).run(fetch(Session(max_body=3), GET))


CHALLENGE = Response(401, (("WWW-Authenticate", 'Digest realm="r", qop="auth", nonce="n", algorithm=SHA-256'),))
STALE = Response(401, (("WWW-Authenticate", 'Digest realm="r", qop="auth", nonce="m", stale=true'),))


def digest() -> DigestClient:
    return DigestClient("https://alto.example.com", "alice", "secret", random_bytes=bytes)


def test_a_challenge_is_answered_and_the_nonce_used_again() -> None:
    session = Session(digest())
    carrier = Carrier(lambda request: OK if request.header("Authorization") is not None else CHALLENGE)
    assert carrier.run(fetch(session, GET)).response == OK
    assert carrier.run(fetch(session, POST)).response == OK
    proofs = [request.header("authorization") or "" for request in carrier.requests]
    assert [("nc=00000001" in proof, "nc=00000002" in proof) for proof in proofs] == [
        (False, False),
        (True, False),
        (False, True),
    ]


def test_a_nonce_that_has_expired_is_replaced() -> None:
    def respond(request: Request) -> Response:
        proof = request.header("Authorization") or ""
        return OK if 'nonce="m"' in proof else STALE if proof else CHALLENGE

    assert Carrier(respond).run(fetch(Session(digest()), GET)).response == OK


def test_credentials_that_are_refused_are_a_server_error() -> None:
    carrier = Carrier({GET.target: CHALLENGE})
    with pytest.raises(ServerError, match="401"):
        carrier.run(fetch(Session(digest()), GET))
    assert len(carrier.requests) == 2
    carrier = Carrier({GET.target: STALE})
    with pytest.raises(ServerError, match="401"):
        carrier.run(fetch(Session(digest()), GET))
    assert len(carrier.requests) == 1 + MAX_CHALLENGES
    for session, response in ((Session(), CHALLENGE), (Session(digest()), Response(401))):
        with pytest.raises(ServerError, match="401"):
            Carrier({GET.target: response}).run(fetch(session, GET))


def test_credentials_go_to_their_own_origin_only() -> None:
    session = Session(digest())
    Carrier({GET.target: CHALLENGE}).run(_swallow(fetch(session, GET)))
    for other in ("https://evil.example/a", "https://alto.example.com:8443/a", "http://alto.example.com/a"):
        carrier = Carrier({GET.target: moved(308, other), other: CHALLENGE})
        for request in (Request("GET", other), GET if other.startswith("https") else Request("GET", other)):
            carrier.run(_swallow(fetch(session, request)))
        assert all(r.header("authorization") is None for r in carrier.requests if r.target == other)


def _swallow(plan: Plan[object]) -> Plan[None]:
    with contextlib.suppress(ServerError):
        yield from plan


def test_what_is_sent_has_no_cookie_whatever_the_server_sets() -> None:
    carrier = Carrier(lambda request: Response(200, (("Set-Cookie", "id=1"), ("ETag", '"1"'))))
    session = Session()
    carrier.run(fetch(session, GET))
    carrier.run(fetch(session, GET))
    assert all(request.header("cookie") is None for request in carrier.requests)


def versioned(etag: str = '"1"', *headers: tuple[str, str]) -> Carrier:
    """A server that knows conditional requests."""

    def respond(request: Request) -> Response:
        if request.header("if-none-match") == etag:
            return Response(304, (("ETag", etag),))
        return Response(200, (("ETag", etag), ("Content-Type", "x/y"), *headers), b"fine")

    return Carrier(respond)


def test_what_was_fetched_is_only_validated_the_next_time() -> None:
    carrier, session = versioned(), Session()
    first = carrier.run(fetch(session, GET))
    again = carrier.run(fetch(session, GET))
    assert not first.is_unchanged
    assert again.is_unchanged
    assert again.response == first.response
    assert again.kept is first.kept


def test_a_last_modified_validates_where_there_is_no_etag() -> None:
    date = "Sun, 06 Nov 1994 08:49:37 GMT"

    def respond(request: Request) -> Response:
        is_known = request.header("if-modified-since") == date
        return Response(304 if is_known else 200, (("Last-Modified", date),))

    carrier, session = Carrier(respond), Session()
    carrier.run(fetch(session, GET))
    assert carrier.run(fetch(session, GET)).is_unchanged


@pytest.mark.parametrize("header", [("Cache-Control", "max-age=3, No-Store"), ("Vary", "Accept, *")])
def test_what_may_not_be_kept_is_fetched_anew(header: tuple[str, str]) -> None:
    carrier, session = versioned('"1"', header), Session()
    carrier.run(fetch(session, GET))
    assert not carrier.run(fetch(session, GET)).is_unchanged
    assert len(session.cache) == 0


def test_what_was_chosen_by_a_header_is_kept_for_that_header_only() -> None:
    carrier, session = versioned('"1"', ("Vary", "Accept, Accept-Encoding")), Session()
    carrier.run(fetch(session, GET))
    other = Request("GET", GET.target, (("Accept", "other/type"),))
    assert not carrier.run(fetch(session, other)).is_unchanged
    assert carrier.run(fetch(session, other)).is_unchanged


def test_answers_to_posts_and_without_validator_are_not_kept() -> None:
    session = Session()
    versioned().run(fetch(session, POST))
    Carrier({GET.target: OK}).run(fetch(session, GET))
    assert len(session.cache) == 0


def test_the_cache_holds_no_more_than_it_may() -> None:
    cache = ResponseCache(max_entries=2, max_octets=10)

    def keep(name: str, size: int) -> None:
        cache.keep(Request("GET", name), Response(200, (("ETag", '"1"'),), bytes(size)))

    for name in "abc":
        keep(name, 2)
    assert [cache.find(Request("GET", name)) is not None for name in "abc"] == [False, True, True]
    keep("d", 9)
    assert [cache.find(Request("GET", name)) is not None for name in "bcd"] == [False, False, True]
    keep("e", 11)
    assert len(cache) == 1
    keep("d", 1)
    keep("f", 9)
    assert len(cache) == 2
    cache.find(Request("GET", "d"))
    keep("g", 1)
    assert cache.find(Request("GET", "f")) is None


def test_the_request_of_a_resource_says_what_it_takes_and_what_it_sends() -> None:
    assert request_for(ENTRY) == Request(
        "GET", ENTRY.uri, (("Accept", "application/alto-networkmap+json,application/alto-error+json"),)
    )
    assert request_for(FILTER, {"pids": []}) == Request(
        "POST",
        FILTER.uri,
        (
            ("Accept", "application/alto-networkmap+json,application/alto-error+json"),
            ("Content-Type", "application/alto-networkmapfilter+json"),
        ),
        b'{"pids":[]}',
    )


READ = json_of(lambda tree, findings: tree)


def test_a_document_comes_with_its_findings_and_is_parsed_once_per_version() -> None:
    parsed: list[Json] = []

    def parse(tree: Json, findings: Findings) -> Json:
        parsed.append(tree)
        findings.should("x", "y", 7285, "1")
        return tree

    def respond(request: Request) -> Response:
        if request.header("if-none-match") == '"1"':
            return Response(304)
        return answer({"a": 1}, media.NETWORK_MAP, ("ETag", '"1"'))

    carrier, session = Carrier(respond), Session()
    first = carrier.run(obtain(session, ENTRY, json_of(parse), Findings()))
    second = carrier.run(obtain(session, ENTRY, json_of(parse), Findings()))
    assert first.value == {"a": 1}
    assert [str(finding) for finding in first.findings] == ["x: y (RFC 7285 section 1)"]
    assert second is first
    assert len(parsed) == 1


@pytest.mark.parametrize(
    ("content_type", "is_forgiven"),
    [
        ("application/alto-networkmap+json; charset=utf-8", True),
        ("Application/ALTO-NetworkMap+JSON", True),
        ("application/json", True),
        ("application/alto-costmap+json", True),
        (None, True),
        ("text/html", False),
        ("nonsense", False),
        ("multipart/related; boundary=x", False),
    ],
)
def test_the_content_type_that_came_is_checked_and_not_the_one_promised(
    content_type: str | None, is_forgiven: bool
) -> None:
    headers: Headers = () if content_type is None else (("Content-Type", content_type),)
    carrier = Carrier({ENTRY.uri: Response(200, headers, b"{}")})
    is_right = (content_type or "").lower().startswith(media.NETWORK_MAP)
    findings = Findings(strict=False)
    if is_forgiven:
        assert carrier.run(obtain(Session(), ENTRY, READ, findings)).value == {}
        assert [item.section for item in findings.items] == ([] if is_right else ["8.3.3"])
    else:
        with pytest.raises(DecodeError, match="Content-Type"):
            carrier.run(obtain(Session(), ENTRY, READ, findings))
    if not is_right:
        with pytest.raises(DecodeError, match="Content-Type"):
            carrier.run(obtain(Session(), ENTRY, READ, Findings()))


@pytest.mark.parametrize("body", [b"", b"{", b'{"a":1,"a":2}', b"\xff", b"NaN", b"[" * 1000, b'{"a":1e999}'])
def test_a_body_that_is_no_json_is_a_decode_error(body: bytes) -> None:
    carrier = Carrier({ENTRY.uri: Response(200, (("Content-Type", media.NETWORK_MAP),), body)})
    for strict in (True, False):
        with pytest.raises(DecodeError, match="no JSON"):
            carrier.run(obtain(Session(), ENTRY, READ, Findings(strict=strict)))


def test_a_directory_in_place_of_the_resource_is_followed() -> None:
    map_document = answer({}, media.NETWORK_MAP)
    moved_on = ird({"other": {"uri": "/o", "media-type": media.CDNI}, "map": entry("/v2/map")}, default=None)
    carrier = Carrier({ENTRY.uri: moved_on, "https://alto.example.com/v2/map": map_document})
    result = carrier.run(obtain(Session(), ENTRY, READ, Findings()))
    assert result.uri == "https://alto.example.com/v2/map"
    by_type = ird({"renamed": entry("/v2/map")}, default=None)
    carrier = Carrier({ENTRY.uri: by_type, "https://alto.example.com/v2/map": map_document})
    assert carrier.run(obtain(Session(), ENTRY, READ, Findings())).entry.id == "renamed"


@pytest.mark.parametrize(
    "resources",
    [{}, {"map": {"uri": "/o", "media-type": media.CDNI}}, {"map": entry("/map")}],
)
def test_a_directory_that_leads_nowhere_is_a_decode_error(resources: Json) -> None:
    carrier = Carrier({ENTRY.uri: ird(resources, default=None)})
    with pytest.raises(DecodeError, match="IRD"):
        carrier.run(obtain(Session(), ENTRY, READ, Findings()))
    assert len(carrier.requests) <= 3


@pytest.mark.parametrize(
    ("meta", "expected", "sections"),
    [
        ({"code": "E_SYNTAX", "syntax-error": "at 3"}, ("E_SYNTAX", None, None, "at 3"), 0),
        (
            {"code": "E_INVALID_FIELD_VALUE", "field": "a/b", "value": "x"},
            ("E_INVALID_FIELD_VALUE", "a/b", "x", None),
            0,
        ),
        (
            # RFC 8895 section 7.6 has an array where RFC 7285 has a string.
            {"code": "E_INVALID_FIELD_VALUE", "field": "remove", "value": ["s1", "s2"]},
            ("E_INVALID_FIELD_VALUE", "remove", ("s1", "s2"), None),
            0,
        ),
        ({"code": "E_INVALID_FIELD_VALUE", "field": "a", "value": 3}, ("E_INVALID_FIELD_VALUE", "a", None, None), 1),
        ({"code": "E_INVALID_FIELD_VALUE", "value": "x"}, ("E_INVALID_FIELD_VALUE", None, "x", None), 1),
        ({"code": "E_GENERIC_HTTP"}, ("E_GENERIC_HTTP", None, None, None), 1),
        ({"code": 3, "field": [], "syntax-error": {}}, (None, None, None, None), 3),
        ({}, (None, None, None, None), 1),
        ([], (None, None, None, None), 1),
    ],
)
def test_an_error_response_says_what_was_wrong(meta: Json, expected: tuple[object, ...], sections: int) -> None:
    error = server_error(answer({"meta": meta}, media.ERROR, status=400), ROOT)
    assert (error.code, error.field, error.value, error.syntax_error) == expected
    assert error.status == 400
    assert [finding.section for finding in error.findings] == ["8.5.2"] * sections


@pytest.mark.parametrize(
    "response",
    [
        Response(400, (("Content-Type", media.ERROR),), b"{"),
        Response(400, (("Content-Type", media.ERROR),), b"[]"),
        Response(400, (("Content-Type", media.ERROR),), b"{}"),
    ],
)
def test_an_error_response_that_is_none_is_still_an_error_with_its_status(response: Response) -> None:
    error = server_error(response, ROOT)
    assert (error.status, error.code, len(error.findings)) == (400, None, 1)


def test_an_error_without_a_body_or_with_a_large_one_has_a_status_only() -> None:
    assert server_error(Response(500, (("Content-Type", "text/html"),), b"<p>"), ROOT).code is None
    large = b'{"meta":{"code":"E_SYNTAX","x":"' + b"x" * MAX_ERROR + b'"}}'
    assert server_error(Response(400, (("Content-Type", media.ERROR),), large), ROOT).code is None


def test_an_error_response_with_a_status_of_success_is_an_error() -> None:
    carrier = Carrier({ENTRY.uri: answer({"meta": {"code": "E_SYNTAX"}}, media.ERROR)})
    with pytest.raises(ServerError, match="E_SYNTAX"):
        carrier.run(obtain(Session(), ENTRY, READ, Findings()))


@pytest.mark.parametrize(
    ("text", "delay"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 100.0),
        ("Sun, 06 Nov 1994 08:40:00 GMT", 0.0),
        ("soon", None),
        ("-1", None),
        ("1" * 30, None),
        ("Sun, 31 Feb 1994 08:49:37 GMT", None),
        (None, None),
    ],
)
def test_retry_after_is_a_delay_or_a_date(text: str | None, delay: float | None) -> None:
    assert retry_delay(text, 784111777.0 - 100) == delay


def test_overload_says_when_to_come_again() -> None:
    with pytest.raises(ServerError) as caught:
        Carrier({GET.target: Response(503, (("Retry-After", "7"),))}).run(fetch(Session(), GET))
    assert retry_delay(caught.value.retry_after, 0.0) == 7.0


_HEADERS = st.lists(
    st.tuples(
        st.sampled_from(
            ["Content-Type", "Location", "ETag", "Vary", "Retry-After", "WWW-Authenticate", "Cache-Control"]
        ),
        st.sampled_from(
            [
                media.DIRECTORY,
                media.NETWORK_MAP,
                media.ERROR,
                '"1"',
                ROOT,
                "/map",
                'Digest realm="r", qop="auth", nonce="n", stale=true',
            ]
        )
        | st.text(),
    ),
    max_size=5,
).map(tuple)
_BODIES = st.binary(max_size=40) | st.sampled_from(
    [
        b"{}",
        b'{"meta":{}}',
        b'{"meta":{},"resources":{"map":{"uri":"/map","media-type":"application/alto-networkmap+json"}}}',
    ]
)
_RESPONSES = st.builds(Response, st.sampled_from([200, 200, 304, 303, 307, 401, 400, 503]), _HEADERS, _BODIES)


@given(st.lists(_RESPONSES, min_size=1, max_size=6), st.booleans())
def test_whatever_a_server_answers_is_a_document_or_an_error_of_ours(responses: list[Response], strict: bool) -> None:
    def respond(request: Request) -> Response:
        return responses[len(carrier.requests) % len(responses)]

    session = Session(digest())
    for _ in range(2):
        for plan in (
            fetch_closure(session, ROOT, Findings(strict=strict)),
            obtain(session, ENTRY, READ, Findings(strict=strict)),
            obtain(session, FILTER, READ, Findings(strict=strict), {}),
        ):
            carrier = Carrier(respond)
            try:
                carrier.run(plan)
            except AltoError:
                continue

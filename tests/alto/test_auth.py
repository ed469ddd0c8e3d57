"""HTTP Digest on both sides (RFC 7616; RFC 7285 section 8.3.5), with httpx as the foreign client."""

import base64
import hashlib
import re
from typing import Any

import attrs
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import alto
import alto.auth
from alto._digest import parse_challenges, response_digest, secret_digest
from alto.auth import Authenticated, Authenticator, Challenge, DigestAuthenticator, DigestClient
from alto.http import Request, Response

URL = "https://alto.example.com/tips"


def counting(start: int = 0) -> Any:
    """Random octets that are none."""
    state = [start]

    def octets(size: int) -> bytes:
        state[0] += 1
        return hashlib.shake_256(str(state[0]).encode()).digest(size)

    return octets


def server_of(realm: str = "alto.example.com", **users: str) -> DigestAuthenticator:
    return DigestAuthenticator(realm, users or {"ann": "secret"}, random_bytes=counting())


def client_of(username: str = "ann", password: str = "secret") -> DigestClient:
    return DigestClient("https://alto.example.com", username, password, random_bytes=counting(1000))


def as_sent(request: Request) -> Request:
    """What a server sees of a client's request."""
    return attrs.evolve(request, target="/" + request.target.partition("://")[2].partition("/")[2])


def refusal_of(verdict: Any) -> Response:
    assert isinstance(verdict, Challenge)
    return Response(401, verdict.headers)


def proven(
    server: DigestAuthenticator, client: DigestClient, now: float, url: str = URL, method: str = "GET"
) -> Request:
    """The request that `client` sends when it has been asked who it is."""
    request = Request(method, url)
    answer = client.answer(request, refusal_of(server.authenticate(as_sent(request), now)))
    assert answer is not None
    return answer


def replaced(request: Request, pattern: str, text: str) -> Request:
    field = request.header("Authorization")
    assert field is not None
    changed, count = re.subn(pattern, text, field)
    assert count == 1
    return attrs.evolve(request, headers=(("Authorization", changed),))


def is_stale(verdict: Any) -> bool:
    return "stale=true" in refusal_of(verdict).headers[0][1]


# The digests


def test_the_example_of_rfc_9569():
    """RFC 9569 section 6.3 (late draft); trap 21: its Digest response value does check out"""
    response = response_digest(
        "MD5",
        secret_digest("MD5", "client1", "alto.example.com", "helloalto"),
        method="POST",
        uri="/tips",
        nonce="173b5aba4242409ee2ac3a4fd797f9d7",
        nc="00000001",
        cnonce="ZTg3MTI3NDFmMDQ0NzI1MDQ3MWE3ZTFjZmM5MTNiM2I=",
    )
    assert response == "8e937ae696c1512e4f990fa21c7f9347"


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_examples_of_rfc_7616(algorithm, response):
    """RFC 7616 section 3.9.1"""
    secret = secret_digest(algorithm, "Mufasa", "http-auth@example.org", "Circle of Life")
    assert response == response_digest(
        algorithm,
        secret,
        method="GET",
        uri="/dir/index.html",
        nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
        nc="00000001",
        cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    )


# A server and our client


def test_a_client_that_knows_the_password_is_let_in():
    server, client = server_of(), client_of()
    first = proven(server, client, 1.0)
    assert server.authenticate(as_sent(first), 1.0) == Authenticated("ann")
    assert "algorithm=SHA-256" in first.header("Authorization")
    again = client.authorize(Request("GET", URL + "?x=1"))
    assert "nc=00000002" in again.header("Authorization")
    assert server.authenticate(as_sent(again), 2.0) == Authenticated("ann")


@pytest.mark.parametrize(("username", "password"), [("ann", "wrong"), ("bob", "secret"), ("", "")])
def test_who_does_not_know_it_is_not_and_gives_up(username, password):
    server, client = server_of(), client_of(username, password)
    request = proven(server, client, 1.0)
    verdict = server.authenticate(as_sent(request), 1.0)
    assert not is_stale(verdict)
    assert client.answer(request, refusal_of(verdict)) is None


@pytest.mark.parametrize("name", ["ann", 'a"b\\c', "J\u00e4s\u00f8n Doe", "\u65e5\u672c", "a:b", "a'b"])
def test_names_and_passwords_may_have_any_characters(name):
    """RFC 7616 section 3.4: username*"""
    server = DigestAuthenticator("r", {name: "p\u00e4ss"}, random_bytes=counting())
    client = DigestClient("https://alto.example.com", name, "p\u00e4ss")
    assert server.authenticate(as_sent(proven(server, client, 1.0)), 1.0) == Authenticated(name)


def test_a_request_is_taken_once():
    """RFC 7616 section 5.10: replay"""
    server, client = server_of(), client_of()
    request = as_sent(proven(server, client, 1.0))
    assert server.authenticate(request, 1.0) == Authenticated("ann")
    assert is_stale(server.authenticate(request, 1.1))


def test_requests_that_overtake_one_another_are_all_taken_and_each_once():
    server, client = server_of(), client_of()
    first = proven(server, client, 1.0)
    requests = [as_sent(request) for request in (first, *(client.authorize(Request("GET", URL)) for _ in range(80)))]
    order = [5, 0, 3, 80, 40, 41, 17, 79]
    assert all(server.authenticate(requests[at], 2.0) == Authenticated("ann") for at in order)
    assert all(is_stale(server.authenticate(requests[at], 2.0)) for at in [*order, 16])


def test_a_nonce_ends_and_the_client_takes_the_next():
    """RFC 7616 section 3.3: stale"""
    server, client = server_of(), client_of()
    proven(server, client, 1.0)
    late = client.authorize(Request("GET", URL))
    verdict = server.authenticate(as_sent(late), 400.0)
    assert is_stale(verdict)
    renewed = client.answer(late, refusal_of(verdict))
    assert renewed is not None
    assert server.authenticate(as_sent(renewed), 400.0) == Authenticated("ann")


def test_a_nonce_of_another_server_or_of_nobody_is_stale_for_those_who_know_the_password():
    server, client = server_of(), client_of()
    ours = server._nonce(1.0)
    # Another text of the same octets: four bits of the last digit stand for none of them.
    again = ours[:-3] + chr(ord(ours[-3]) + 1) + "=="
    assert base64.urlsafe_b64decode(again) == base64.urlsafe_b64decode(ours)
    for nonce in ["0" * 32, "", "\u00e4", "====", again, DigestAuthenticator("r", {})._nonce(1.0)]:
        challenge = (
            ("WWW-Authenticate", f'Digest realm="alto.example.com", qop="auth", algorithm=MD5, nonce="{nonce}"'),
        )
        request = client.answer(Request("GET", URL), Response(401, challenge))
        if request is not None:
            assert is_stale(server.authenticate(as_sent(request), 1.0))


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ('uri="/tips"', 'uri="/other"'),
        ("nc=00000001", "nc=00000002"),
        ("nc=00000001", "nc=1"),
        ("qop=auth", "qop=auth-int"),
        (", qop=auth", ""),
        ("algorithm=SHA-256", "algorithm=MD5"),
        ("algorithm=SHA-256", "algorithm=SHA-512"),
        ('realm="[^"]*"', 'realm="x"'),
        ('response="[0-9a-f]+"', 'response=""'),
        ('response="[0-9a-f]+"', 'response="\ud800"'),
        ('cnonce="[0-9a-f]+"', 'cnonce="0"'),
        ('username="ann"', 'username="bob"'),
        ('username="ann"', 'username="ann", username="ann"'),
        ('username="ann"', "username=\"ann\", username*=UTF-8''ann"),
        ('username="ann"', "username*=UTF-8''%ff"),
        ('username="ann"', "username*=latin-1''ann"),
        ("Digest ", "Basic "),
        ("Digest ", ""),
    ],
)
def test_whatever_is_changed_on_the_way_is_refused(pattern, text):
    server = server_of()
    request = replaced(as_sent(proven(server, client_of(), 1.0)), pattern, text)
    assert not is_stale(server.authenticate(request, 1.0))


@pytest.mark.parametrize(
    ("uri", "target", "is_same"),
    [
        ("/tips?x=1", "/tips?x=1", True),
        ("https://alto.example.com/tips?x=1", "/tips?x=1", True),
        ("https://alto.example.com:8443", "/", True),
        ("https://alto.example.com?x=1", "/?x=1", True),
        ("https://alto.example.com/other", "/tips", False),
        ("/tips?u=https://alto.example.com/", "/", False),
        ("tips", "/tips", False),
        ("://alto.example.com/tips", "/tips", False),
    ],
)
def test_the_target_may_be_proven_in_its_absolute_form(uri, target, is_same):
    """RFC 7616 section 3.4: uri is the effective request URI; section 3.4.6: proxies may change its form"""
    server = server_of()
    request = replaced(proven(server, client_of(), 1.0), 'uri="[^"]*"', f'uri="{uri}"')
    nonce, nc, cnonce = re.findall(r'(?:nonce|nc|cnonce)="?([^",]+)', request.header("Authorization"))
    proof = response_digest(
        "SHA-256",
        secret_digest("SHA-256", "ann", "alto.example.com", "secret"),
        method="GET",
        uri=uri,
        nonce=nonce,
        nc=nc,
        cnonce=cnonce,
    )
    request = replaced(request, 'response="[0-9a-f]+"', f'response="{proof}"')
    verdict = server.authenticate(attrs.evolve(request, target=target), 1.0)
    assert verdict == Authenticated("ann") if is_same else isinstance(verdict, Challenge)


def sharing(key: bytes | None) -> DigestAuthenticator:
    digests = {("SHA-256", "ann"): secret_digest("SHA-256", "ann", "alto.example.com", "secret")}
    return DigestAuthenticator.from_digests("alto.example.com", digests, key=key, random_bytes=counting())


def test_servers_with_one_key_take_one_anothers_nonces():
    """RFC 7616 section 3.3"""
    one, other, stranger = sharing(b"k" * 32), sharing(b"k" * 32), sharing(b"x" * 32)
    client = client_of()
    first = as_sent(proven(one, client, 100.0))
    for server in (other, one):
        # Each counts for itself: what one has seen, another has not.
        assert server.authenticate(first, 101.0) == Authenticated("ann")
        assert is_stale(server.authenticate(first, 102.0))
    for number in range(10):
        again = as_sent(client.authorize(Request("GET", URL)))
        assert (one, other)[number % 2].authenticate(again, 103.0) == Authenticated("ann")
    assert is_stale(stranger.authenticate(as_sent(client.authorize(Request("GET", URL))), 103.0))
    assert is_stale(other.authenticate(as_sent(client.authorize(Request("GET", URL))), 400.1))


def test_their_clocks_may_differ_by_some_seconds():
    fast, slow = sharing(b"k" * 32), sharing(b"k" * 32)
    client = client_of()
    proven(fast, client, 129.0)
    assert slow.authenticate(as_sent(client.authorize(Request("GET", URL))), 100.0) == Authenticated("ann")
    proven(fast, client, 131.0)
    assert is_stale(slow.authenticate(as_sent(client.authorize(Request("GET", URL))), 100.0))
    alone = sharing(None)
    proven(alone, client, 129.0)
    assert is_stale(alone.authenticate(as_sent(client.authorize(Request("GET", URL))), 128.0))


def test_the_method_and_the_target_are_those_that_were_proven():
    """RFC 7616 section 3.4.6"""
    server = server_of()
    request = as_sent(proven(server, client_of(), 1.0))
    for other in (attrs.evolve(request, method="POST"), attrs.evolve(request, target="/tips?x")):
        assert isinstance(server.authenticate(other, 1.0), Challenge)
    twice = attrs.evolve(request, headers=request.headers * 2)
    assert isinstance(server.authenticate(twice, 1.0), Challenge)


def test_what_is_remembered_of_nonces_is_bounded_and_none_can_be_used_again(monkeypatch):
    monkeypatch.setattr(alto.auth, "MAX_NONCES", 5)
    server = server_of()
    requests = []
    for number in range(20):
        requests.append(as_sent(proven(server, client_of(), 1.0 + number)))
        assert server.authenticate(requests[-1], 1.0 + number) == Authenticated("ann")
    assert len(server._used) == 5
    assert all(is_stale(server.authenticate(request, 30.0)) for request in requests)
    server.authenticate(as_sent(proven(server, client_of(), 1000.0)), 1000.0)
    assert len(server._used) == 1


def test_a_challenge_offers_the_stronger_algorithm_first():
    """RFC 7616 section 3.7"""
    headers = refusal_of(server_of().authenticate(Request("GET", "/"), 1.0)).headers
    assert [name for name, _ in headers] == ["WWW-Authenticate"] * 2
    assert ["SHA-256" in value for _, value in headers] == [True, False]
    assert "MD5" in headers[1][1]
    assert len({value.partition('nonce="')[2] for _, value in headers}) == 1


def test_every_challenge_has_another_nonce():
    server = server_of()
    nonces = {refusal_of(server.authenticate(Request("GET", "/"), 1.0)).headers[0][1] for _ in range(20)}
    assert len(nonces) == 20


def test_a_realm_that_no_field_can_carry_is_a_mistake():
    with pytest.raises(alto.ConfigurationError):
        DigestAuthenticator("a\r\nb", {})


def test_it_is_what_a_server_asks_of_an_authenticator():
    server: Authenticator = server_of()
    assert isinstance(server.authenticate(Request("GET", "/", (("Authorization", "x"),)), 1.0), Challenge)


# Our client and other servers


def challenged(*challenges: str, url: str = URL, status: int = 401) -> Request | None:
    return client_of().answer(
        Request("GET", url), Response(status, tuple(("WWW-Authenticate", text) for text in challenges))
    )


MD5 = 'Digest realm="r", qop="auth", nonce="n"'


def test_the_client_takes_the_strongest_of_what_is_offered_in_one_field_or_many():
    sha = 'Digest realm="r, \\"s\\"", nonce="n", qop="auth-int,auth", algorithm=SHA-256, opaque="o"'
    for fields in [(f"Basic realm=x, {MD5}, {sha}",), (MD5, sha), (f"Negotiate abc==, {sha}", MD5)]:
        request = challenged(*fields)
        assert request is not None
        field = request.header("Authorization")
        assert "algorithm=SHA-256" in field
        assert 'realm="r, \\"s\\""' in field
        assert 'opaque="o"' in field


@pytest.mark.parametrize(
    "challenge",
    [
        "Basic realm=x",
        'Digest realm="r", nonce="n"',
        'Digest realm="r", nonce="n", qop="auth-int"',
        'Digest realm="r", nonce="n", qop="auth", algorithm=SHA-512-256',
        'Digest nonce="n", qop="auth"',
        'Digest realm="r", qop="auth"',
        'Digest realm="r", realm="s", nonce="n", qop="auth"',
        'Digest realm="r\r\nX: y", nonce="n", qop="auth"',
        'Digest realm="\ud800", nonce="n", qop="auth"',
        "Digest " + "x" * 5000,
        "",
        "=,=",
    ],
)
def test_a_challenge_that_cannot_be_answered_is_not(challenge):
    assert challenged(challenge) is None


def test_the_client_answers_one_origin_only():
    assert challenged(MD5) is not None
    assert challenged(MD5, url="https://ALTO.example.com:443/x") is not None
    for url in ("http://alto.example.com/", "https://alto.example.com:8443/", "https://evil.example/", "/tips"):
        assert challenged(MD5, url=url) is None
    assert challenged(MD5, status=200) is None
    client = client_of()
    client.answer(Request("GET", URL), Response(401, (("WWW-Authenticate", MD5),)))
    other = Request("GET", "https://evil.example/")
    assert client.authorize(other) == other


def test_before_a_challenge_nothing_is_proven():
    request = Request("GET", URL)
    assert client_of().authorize(request) == request


# A foreign client


def test_httpx_is_let_in():
    """The foreign client takes the first challenge, SHA-256, and counts its requests."""
    server = DigestAuthenticator("r", {"ann": "secret"})
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        fields = tuple((key.decode(), value.decode()) for key, value in request.headers.raw)
        verdict = server.authenticate(Request(request.method, request.url.raw_path.decode(), fields), 1.0)
        seen.append(verdict)
        return (
            httpx.Response(200) if isinstance(verdict, Authenticated) else httpx.Response(401, headers=verdict.headers)
        )

    auth = httpx.DigestAuth("ann", "secret")
    with httpx.Client(transport=httpx.MockTransport(answer)) as client:
        for path in ("/a", "/b?x=%20", "/c"):
            assert client.post(f"https://alto.example.com{path}", auth=auth, content=b"x").status_code == 200
    assert [isinstance(verdict, Authenticated) for verdict in seen] == [False, True, True, True]


# Whatever comes


@given(st.text() | st.text(alphabet='Digest realm=",\\ \tnonce*=auth/;'))
def test_any_field_is_read_or_is_none(text):
    for scheme, parameters in parse_challenges(text):
        assert scheme
        assert all(parameters)
    request = Request("GET", "/", (("Authorization", text),))
    assert isinstance(server_of().authenticate(request, 1.0), Challenge)
    answer = challenged(text)
    assert answer is None or "\n" not in answer.header("Authorization")


def test_a_field_of_a_million_characters_takes_no_time():
    for text in ("a=" * 500_000, 'Digest a="' + "\\" * 1_000_000, "Digest " + "a," * 500_000):
        assert parse_challenges(text) == []
    assert parse_challenges('Digest a="' + "\\" * 4000) == []


def test_a_server_that_has_no_passwords_offers_what_every_user_has_a_digest_for() -> None:
    """RFC 7616 section 3.3: the client chooses among the algorithms that it is offered"""
    md5 = {("MD5", user): secret_digest("MD5", user, "r", "secret") for user in ("ann", "bob")}
    both = {**md5, ("SHA-256", "ann"): secret_digest("SHA-256", "ann", "r", "secret")}
    for digests, offered in ((md5, ["MD5"]), (both, ["MD5"]), ({}, ["SHA-256", "MD5"])):
        server = DigestAuthenticator.from_digests("r", digests, random_bytes=counting())
        verdict = server.authenticate(Request("GET", "/"), 1.0)
        assert isinstance(verdict, Challenge)
        assert [parse_challenges(value)[0][1]["algorithm"] for _, value in verdict.headers] == offered
    client = DigestClient("http://alto.example.com", "bob", "secret")
    request = Request("GET", "http://alto.example.com/")
    server = DigestAuthenticator.from_digests("r", both, random_bytes=counting())
    verdict = server.authenticate(Request("GET", "/"), 1.0)
    assert isinstance(verdict, Challenge)
    proven = client.answer(request, Response(401, verdict.headers))
    assert proven is not None
    asked = Request("GET", "/", proven.headers)
    assert server.authenticate(asked, 2.0) == Authenticated("bob")
    with pytest.raises(alto.ConfigurationError, match="every user needs a digest by the same algorithm"):
        DigestAuthenticator.from_digests("r", {("MD5", "ann"): "0" * 32, ("SHA-256", "bob"): "0" * 64})

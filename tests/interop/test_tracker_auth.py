"""Who may speak to a tracker, and how a peer proves it: curl, httpx, OpenSSL and PyJWT are the other side."""

import asyncio
import base64
import datetime
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from interop._alto_credentials import load_credentials
from interop.tracker_auth import BearerTokens, Gate, KeyFileError, load_token_keys
from interop.tracker_running import Tracker, TrackerConfig, TrackerConfigError
from ppsp.tracker import (
    MEDIA_TYPE,
    Action,
    Allowed,
    ConnectRequest,
    Denied,
    ErrorCode,
    FindRequest,
    PeerAddr,
    PeerMode,
    Request,
    RequestMessage,
    SwarmAction,
    encode,
    parse_response,
)

URL = "http://tracker.example/video?x=1"
HEADERS = {"Content-Type": MEDIA_TYPE}


def joining(peer_id: str = "a", transaction_id: str = "1") -> ConnectRequest:
    action = SwarmAction("s", Action.JOIN, PeerMode.LEECH)
    return ConnectRequest(transaction_id, peer_id, (action,), peer_addr=(PeerAddr("192.0.2.1", 80),))


def digests(folder: Path, *users: str, algorithms: tuple[str, ...] = ("sha256", "md5")) -> Path:
    """What `htdigest` writes: the password is that of the user's name in capitals."""
    lines = [
        f"{user}:ppsp:{hashlib.new(algorithm, f'{user}:ppsp:{user.upper()}'.encode()).hexdigest()}"
        for user in users
        for algorithm in algorithms
    ]
    file = folder / "users"
    file.write_text("\n".join(lines))
    return file


def client(config: TrackerConfig, **more: Any) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=Tracker(config).app, client=("198.51.100.7", 4000))
    return httpx.AsyncClient(transport=transport, headers=HEADERS, **more)


async def told(http: httpx.AsyncClient, message: RequestMessage, **more: Any) -> int:
    response = await http.post(URL, content=encode(message), **more)
    return int(parse_response(response.content).message.error_code)


def run(work: Any) -> Any:
    return asyncio.run(work)


# -- HTTP Digest ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithms", [("sha256",), ("md5",), ("sha256", "md5")])
def test_a_peer_with_a_password_is_let_in_by_digest(tmp_path, algorithms):
    """RFC 7846 section 4: HTTP Digest Access Authentication [RFC7616] MUST be supported; MD5 is for old clients"""
    config = TrackerConfig(users=digests(tmp_path, "anna", algorithms=algorithms))

    async def work() -> None:
        async with client(config) as http:
            refused = await http.post(URL, content=encode(joining()))
            assert refused.status_code == 401
            assert parse_response(refused.content).message.error_code == ErrorCode.AUTHENTICATION_REQUIRED
            names = [f"algorithm={name}" for name in ("SHA-256", "MD5") if name.replace("-", "").lower() in algorithms]
            challenges = refused.headers.get_list("www-authenticate")
            assert [name in challenge for name, challenge in zip(names, challenges, strict=True)] == [True] * len(names)
            auth = httpx.DigestAuth("anna", "ANNA")
            for number in range(3):
                assert await told(http, joining(transaction_id=str(number)), auth=auth) == 0
            assert await told(http, joining(), auth=httpx.DigestAuth("anna", "wrong")) == 6
            assert await told(http, joining(), auth=httpx.DigestAuth("nobody", "ANNA")) == 6

    run(work())


def test_a_request_that_somebody_has_read_is_refused_the_second_time_and_so_is_another_resource(tmp_path):
    """RFC 7616 section 5.12: replay; section 3.4.6: the URI is part of what is proven"""
    gate = Gate(digest=_digest(tmp_path))
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        verdict = gate(_as_given(request), None, 0.0)
        if isinstance(verdict, Denied):
            return httpx.Response(401, headers=[("WWW-Authenticate", one) for one in verdict.challenges])
        return httpx.Response(200, text=str(verdict.holder))

    with httpx.Client(transport=httpx.MockTransport(answer), auth=httpx.DigestAuth("anna", "ANNA")) as http:
        assert http.post(URL, content=b"x").text == "digest anna"
    replayed = gate(_as_given(seen[-1]), None, 0.0)
    assert isinstance(replayed, Denied)
    assert all("stale=true" in one for one in replayed.challenges)
    elsewhere = Request("POST", "/other", _as_given(seen[-1]).headers, b"x")
    assert isinstance(gate(elsewhere, None, 0.0), Denied)


def test_an_old_nonce_is_stale_and_one_more_round_trip_is_enough(tmp_path):
    """RFC 7616 section 3.3: stale"""
    gate = Gate(digest=_digest(tmp_path))
    now = [0.0]
    counts = {200: 0, 401: 0}

    def answer(request: httpx.Request) -> httpx.Response:
        verdict = gate(_as_given(request), None, now[0])
        status = 401 if isinstance(verdict, Denied) else 200
        counts[status] += 1
        headers = [("WWW-Authenticate", one) for one in verdict.challenges] if isinstance(verdict, Denied) else []
        return httpx.Response(status, headers=headers)

    with httpx.Client(transport=httpx.MockTransport(answer), auth=httpx.DigestAuth("anna", "ANNA")) as http:
        for now[0] in (0.0, 1.0, 1000.0, 1001.0):
            assert http.post(URL).status_code == 200
    assert counts == {200: 4, 401: 2}


def _digest(folder: Path) -> Any:
    return load_credentials(digests(folder, "anna")).authenticator()


def _as_given(request: httpx.Request) -> Request:
    return Request(request.method, request.url.raw_path.decode(), tuple(request.headers.multi_items()), request.content)


def test_a_user_cannot_use_the_peer_id_of_another(tmp_path):
    """RFC 7846 section 6.1: "attackers pretending to be ... peers other than themselves\""""
    config = TrackerConfig(users=digests(tmp_path, "anna", "mallory"))

    async def work() -> None:
        anna, mallory = httpx.DigestAuth("anna", "ANNA"), httpx.DigestAuth("mallory", "MALLORY")
        async with client(config) as http:
            assert await told(http, joining("a"), auth=anna) == 0
            leave = ConnectRequest("2", "a", (SwarmAction("s", Action.LEAVE, PeerMode.LEECH),))
            for message in (joining("a"), joining("a", "9"), FindRequest("3", "a", "s"), leave):
                assert await told(http, message, auth=mallory) == ErrorCode.FORBIDDEN_ACTION
            assert await told(http, FindRequest("4", "a", "s"), auth=anna) == 0

    run(work())


# -- bearer tokens ----------------------------------------------------------------------------------------------------

KEYS = {
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "ES384": ec.generate_private_key(ec.SECP384R1()),
    "RS256": rsa.generate_private_key(65537, 2048),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}


def token(algorithm: str = "ES256", key: Any = None, headers: dict[str, str] | None = None, **claims: Any) -> str:
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=5)
    whole = {"sub": "anna", "aud": "tracker", "exp": later} | claims
    whole = {name: value for name, value in whole.items() if value is not None}
    return jwt.encode(whole, key or KEYS[algorithm], algorithm=algorithm, headers=headers)


def pem(folder: Path, algorithm: str) -> Path:
    file = folder / f"{algorithm}.pem"
    file.write_bytes(KEYS[algorithm].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return file


@pytest.mark.parametrize("algorithm", list(KEYS))
def test_a_peer_with_a_token_is_let_in(tmp_path, algorithm):
    """RFC 7846 section 6.1: OAuth 2.0 SHOULD also be considered; RFC 6750"""
    config = TrackerConfig(token_keys=pem(tmp_path, algorithm), token_audience="tracker")

    async def work() -> None:
        async with client(config) as http:
            refused = await http.post(URL, content=encode(joining()))
            assert (refused.status_code, refused.headers["www-authenticate"]) == (401, 'Bearer realm="ppsp"')
            good = {"Authorization": f"Bearer {token(algorithm)}"}
            assert await told(http, joining(), headers=good) == 0
            bad = await http.post(URL, content=encode(joining()), headers={"Authorization": "Bearer junk"})
            assert bad.headers["www-authenticate"] == 'Bearer realm="ppsp", error="invalid_token"'

    run(work())


def test_a_token_that_is_not_for_us_not_valid_or_not_signed_names_nobody(tmp_path):
    tokens = BearerTokens(load_token_keys(pem(tmp_path, "ES256")), "tracker", "https://issuer.example")
    issuer = "https://issuer.example"
    past = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=5)
    assert tokens.subject(token(iss=issuer)) == "anna"
    assert tokens.subject(token(iss=issuer, aud=["other", "tracker"])) == "anna"
    public = (tmp_path / "ES256.pem").read_bytes()
    forged = _hs256_with_the_public_key(public, issuer)
    for bad in (
        token(iss="https://mallory.example"),
        token(),
        token(iss=issuer, aud="other"),
        token(iss=issuer, aud=None),
        token(iss=issuer, exp=past),
        token(iss=issuer, exp=None),
        token(iss=issuer, sub=None),
        token(iss=issuer, key=ec.generate_private_key(ec.SECP256R1())),
        jwt.encode({"sub": "anna", "aud": "tracker", "iss": issuer, "exp": 2**40}, None, algorithm="none"),
        forged,
        "",
        "a.b.c",
        "ä",
        token(iss=issuer, more="x" * 5000),
    ):
        assert tokens.subject(bad) is None


def _hs256_with_the_public_key(public: bytes, issuer: str) -> str:
    """The classic forgery; PyJWT does not make it."""

    def part(octets: bytes) -> bytes:
        return base64.urlsafe_b64encode(octets).rstrip(b"=")

    claims = {"sub": "anna", "aud": "tracker", "iss": issuer, "exp": 2**40}
    signed = part(b'{"alg":"HS256","typ":"JWT"}') + b"." + part(json.dumps(claims).encode())
    return (signed + b"." + part(hmac.digest(public, signed, "sha256"))).decode()


def test_keys_of_a_set_are_told_apart_by_their_names(tmp_path):
    """RFC 7517"""
    other = ec.generate_private_key(ec.SECP256R1())
    algorithm = jwt.algorithms.ECAlgorithm
    keys = [
        {**json.loads(algorithm.to_jwk(key.public_key())), "kid": name}
        for name, key in (("new", KEYS["ES256"]), ("old", other))
    ]
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps({"keys": keys}))
    tokens = BearerTokens(load_token_keys(file), "tracker")
    assert tokens.subject(token(headers={"kid": "new"})) == "anna"
    assert tokens.subject(token(key=other, headers={"kid": "old"})) == "anna"
    assert tokens.subject(token(key=other)) == "anna"
    assert tokens.subject(token(headers={"kid": "old"})) is None
    assert tokens.subject(token(headers={"kid": "none"})) is None


def test_a_file_that_has_no_key_is_one_line(tmp_path):
    junk = tmp_path / "junk"
    for content in (
        "",
        "hello",
        "{}",
        '{"keys": [{"kty": "?"}]}',
        "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----",
    ):
        junk.write_text(content)
        with pytest.raises(KeyFileError, match="no public key") as caught:
            load_token_keys(junk)
        assert "\n" not in str(caught.value)
    with pytest.raises(KeyFileError, match="No such file"):
        load_token_keys(tmp_path / "missing")
    with pytest.raises(TrackerConfigError, match="--token-audience"):
        Tracker(TrackerConfig(token_keys=junk))
    with pytest.raises(TrackerConfigError, match="--users"):
        Tracker(TrackerConfig(users=tmp_path / "missing"))


# -- several ways -----------------------------------------------------------------------------------------------------


def test_each_way_has_names_of_its_own_and_any_of_them_is_enough(tmp_path):
    tokens = BearerTokens(load_token_keys(pem(tmp_path, "ES256")), "tracker")
    gate = Gate(digest=_digest(tmp_path), bearer=tokens, has_certificates=True)
    request = Request("POST", "/", (("Authorization", f"bearer {token()}"),))
    assert gate(request, None, 0.0) == Allowed("bearer anna")
    assert gate(Request("POST", "/"), "CN=anna", 0.0) == Allowed("certificate CN=anna")
    denied = gate(Request("POST", "/"), None, 0.0)
    assert isinstance(denied, Denied)
    assert [one.split()[0] for one in denied.challenges] == ["Bearer", "Digest", "Digest"]
    assert isinstance(Gate(bearer=tokens)(Request("POST", "/"), "CN=anna", 0.0), Denied)


def test_without_a_certificate_where_nothing_else_would_do_the_status_is_403():
    """RFC 9110 section 15.5.2: a 401 has a challenge; RFC 7846 section 4.3: the error is 06"""

    async def work() -> None:
        async with client(TrackerConfig(has_certificates=True)) as http:
            response = await http.post(URL, content=encode(joining()))
            assert response.status_code == 403
            assert parse_response(response.content).message.error_code == ErrorCode.AUTHENTICATION_REQUIRED

    run(work())

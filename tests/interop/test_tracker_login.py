"""How a peer proves to its trackers who it is: the file, and what goes over the wire."""

import asyncio
import ssl
import subprocess
from pathlib import Path

import httpx
import pytest

from interop.tracker_client import TrackerSession
from interop.tracker_login import BearerAuth, LoginError, Logins, load_logins
from ppsp.tracker import MEDIA_TYPE, PeerMode, ResponseMessage, ResponseType, SwarmResult, encode

SWARM = bytes(20)


def load(folder: Path, text: str) -> Logins:
    file = folder / "login.toml"
    file.write_text(text)
    return load_logins(file)


def test_the_longest_beginning_that_fits_counts(tmp_path):
    logins = load(
        tmp_path,
        """
        [tracker."https://tracker.example/"]
        user = "anna"
        password = "secret"
        [tracker."https://tracker.example/private/"]
        token = "abc"
        [tracker."http://127.0.0.1:8700/"]
        user = "bob"
        password = "x"
        """,
    )
    assert isinstance(logins.of("https://tracker.example/").auth, httpx.DigestAuth)
    assert isinstance(logins.of("https://tracker.example/private/swarms").auth, BearerAuth)
    assert isinstance(logins.of("http://127.0.0.1:8700/").auth, httpx.DigestAuth)
    for other in ("http://tracker.example/", "https://tracker.example.evil/", "https://tracker.example:444/", ""):
        assert (logins.of(other).auth, logins.of(other).verify) == (None, True)
    assert "secret" not in repr(logins)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("tracker = 1", "a table is due"),
        ("[trackers]", "no such key"),
        ('[tracker."tracker.example"]', "http:// or https://"),
        ('[tracker."https://tracker.example"]', "at least one /"),
        ('[tracker."https://t/"]\nuser = "anna"', "go together"),
        ('[tracker."https://t/"]\nkey = "anna.key"', "go together"),
        ('[tracker."https://t/"]\nuser = "anna"\npassword = "x"\ntoken = "t"', "either"),
        ('[tracker."http://t/"]\ntoken = "t"', "needs https://"),
        ('[tracker."https://t/"]\npasword = "x"', "no such key"),
        ('[tracker."https://t/"]\nca = "missing.pem"', "cannot read"),
        ('[tracker."https://t/"]\ncertificate = "login.toml"\nkey = "login.toml"', "no certificate and key"),
        ("[", "Invalid"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_file(tmp_path, text, reason):
    with pytest.raises(LoginError, match=reason) as caught:
        load(tmp_path, text)
    assert str(tmp_path / "login.toml") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_token_goes_with_each_request_and_to_nobody_else(tmp_path):
    """RFC 6750 section 2.1"""
    seen: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("Authorization"))
        transaction_id = request.content.decode().partition('"transaction_id":"')[2].partition('"')[0]
        results = (SwarmResult(SWARM.hex(), ResponseType.SUCCESSFUL),)
        body = encode(ResponseMessage(ResponseType.SUCCESSFUL, 0, transaction_id, None, results))
        return httpx.Response(200, headers={"Content-Type": MEDIA_TYPE}, content=_pieces(body))

    async def work() -> None:
        logins = load(tmp_path, '[tracker."https://tracker.example/"]\ntoken = "abc"')
        for url in ("https://tracker.example/", "https://other.example/"):
            auth = logins.of(url).auth
            transport = httpx.MockTransport(answer)
            async with await TrackerSession.open(url, "peer", auth=auth, transport=transport) as session:
                session.join(SWARM, PeerMode.SEEDER)
                await session.joined(SWARM)

    asyncio.run(work())
    assert seen == ["Bearer abc", "Bearer abc", None, None]


async def _pieces(body: bytes):
    yield body


def test_a_certificate_is_shown_and_an_own_ca_trusted(tmp_path):
    pem, key = tmp_path / "anna.pem", tmp_path / "anna.key"
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", str(key)]
    subprocess.run(
        ["openssl", "req", "-x509", *new_key, "-subj", "/CN=anna", "-out", str(pem)], check=True, capture_output=True
    )
    logins = load(
        tmp_path,
        '[tracker."https://t/"]\ncertificate = "anna.pem"\nkey = "anna.key"\n[tracker."https://u/"]\nca = "anna.pem"',
    )
    context = logins.of("https://t/").verify
    assert isinstance(context, ssl.SSLContext)
    assert context.verify_mode is ssl.CERT_REQUIRED
    trusting = logins.of("https://u/").verify
    assert isinstance(trusting, ssl.SSLContext)
    assert [one["subject"] for one in trusting.get_ca_certs()] == [((("commonName", "anna"),),)]
    # That it is shown to a server that asks is seen by OpenSSL's, at the other end of a handshake.
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem, key)
    server.load_verify_locations(pem)
    server.verify_mode = ssl.CERT_REQUIRED
    shown = _handshake(server, context)
    assert shown == {"subject": ((("commonName", "anna"),),)} | shown


def _handshake(server_context: ssl.SSLContext, client_context: ssl.SSLContext) -> dict[str, object]:
    """What the client has shown to the server."""
    client_context.check_hostname = False
    client_context.verify_mode = ssl.CERT_NONE
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server_context.wrap_bio(there, back, server_side=True)
    client = client_context.wrap_bio(back, there)
    for _ in range(5):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    found = server.getpeercert()
    assert found is not None
    return dict(found)

"""An ALTO server in an application, met by foreign clients: curl and httpx, over uvicorn on loopback."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from alto_resources import MAP, PARAMS, Data, Echo, Streams
from alto_serving import Certificates, curl, running, wait_until

import alto
import interop._http_limits
from alto.auth import DigestAuthenticator
from alto.directory import Directory
from alto.server import AltoServer
from interop._http_tls import distinguished_name
from interop.alto_server import AltoApp

SAY = ("-H", f"Content-Type: {PARAMS}", "--data", '{"say": "x"}')


def app_of(*more: Any, **arguments: Any) -> AltoApp:
    options = {name: arguments.pop(name) for name in ("client_header",) if name in arguments}
    directory = Directory(
        [
            Data("map", {"text": "x" * 5000}),
            Echo(),
            Data("secret", 7, is_private=True),
            Echo("who", is_private=True),
            *more,
        ],
        services=[Streams()],
        default_network_map="map",
    )
    server = AltoServer(directory, epoch=time.time() - time.monotonic(), **arguments)
    return AltoApp(server, **options)


def service_of(app: AltoApp) -> Streams:
    service = app.server.directory.services["updates"]
    assert isinstance(service, Streams)
    return service


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[AltoApp, str]]:
    app = app_of(authenticator=DigestAuthenticator("alto", {"ann": "secret"}))
    with running(app) as url:
        yield app, url


def status_and_headers(*words: str | Path) -> tuple[int, dict[str, str], bytes]:
    head, _, body = curl("-i", *words).stdout.partition(b"\r\n\r\n")
    line, *fields = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (field.partition(": ") for field in fields)}
    return int(line.split()[1]), headers, body


# Foreign clients


def test_curl_reads_the_directory_and_what_it_names(served):
    _, url = served
    status, headers, body = status_and_headers(f"{url}/")
    assert (status, headers["content-type"]) == (200, "application/alto-directory+json")
    entry = json.loads(body)["resources"]["map"]
    status, headers, body = status_and_headers("-H", f"Accept: {MAP},application/alto-error+json", url + entry["uri"])
    assert (status, headers["content-type"], headers["content-length"]) == (200, MAP, str(len(body)))
    assert json.loads(body)["data"] == {"text": "x" * 5000}
    assert "server" not in headers


def test_curl_gets_it_compressed_and_once(served, tmp_path):
    """Trap 29"""
    _, url = served
    plain = curl(f"{url}/map").stdout
    tag = tmp_path / "tag"
    assert curl("--compressed", "--etag-save", tag, f"{url}/map").stdout == plain
    assert "-gzip" in tag.read_text()
    status, headers, body = status_and_headers("--compressed", "--etag-compare", tag, f"{url}/map")
    assert (status, body, "content-length" in headers) == (304, b"", False)
    assert (headers["vary"], headers["cache-control"], headers["etag"]) == (
        "Accept-Encoding",
        "public, no-cache",
        tag.read_text().strip(),
    )
    (tmp_path / "page").write_bytes(plain)
    assert status_and_headers("-z", tmp_path / "page", f"{url}/map")[0] == 304


def test_head_has_the_length_and_no_body_and_304_has_neither(served):
    _, url = served
    with httpx.Client(base_url=url) as client:
        whole = client.get("/map", headers={"Accept-Encoding": "identity"})
        head = client.head("/map", headers={"Accept-Encoding": "identity"})
        assert (head.content, head.headers["content-length"]) == (b"", str(len(whole.content)))
        assert head.headers["etag"] == whole.headers["etag"]
        # One connection goes on after each of them.
        for _ in range(2):
            assert client.get("/map", headers={"If-None-Match": "*"}).status_code == 304
        assert client.get("/").status_code == 200


def test_options_over_the_wire(served):
    _, url = served
    status, headers, _ = status_and_headers("-X", "OPTIONS", f"{url}/echo")
    assert (status, headers["allow"], headers["accept-post"]) == (200, "POST, OPTIONS", PARAMS)


def test_errors_over_the_wire(served):
    _, url = served
    status, headers, body = status_and_headers(*SAY[:2], "--data", "{", f"{url}/echo")
    assert (status, headers["content-type"]) == (400, "application/alto-error+json")
    assert json.loads(body)["meta"]["code"] == "E_SYNTAX"
    assert status_and_headers("-X", "DELETE", f"{url}/map")[1]["allow"] == "GET, HEAD, OPTIONS"
    assert status_and_headers("-H", "Accept: text/html", f"{url}/map")[0] == 406
    assert status_and_headers("--data", "{}", f"{url}/echo")[0] == 415
    assert status_and_headers(f"{url}/nope")[0] == 404


def test_ten_megabytes_are_refused(served, tmp_path):
    _, url = served
    (tmp_path / "large").write_bytes(b" " * 10_000_000)
    result = curl("-i", *SAY[:2], "-H", "Expect:", "--data-binary", f"@{tmp_path / 'large'}", f"{url}/echo")
    # Whoever writes on after the answer may lose the connection before it is read.
    assert result.stdout[:12] in (b"HTTP/1.1 413", b"")
    assert curl(*SAY, f"{url}/echo").returncode == 0


def test_a_failure_of_a_resource_is_a_500_without_a_trace(served, caplog):
    _, url = served
    status, headers, body = status_and_headers(*SAY[:2], "--data", '{"say": "crash"}', f"{url}/echo")
    assert (status, headers["cache-control"]) == (500, "no-store")
    assert b"secret" not in body
    assert b"Traceback" not in body
    assert "the secret of the resource" in caplog.text


def test_curl_proves_who_it_is_by_digest(served):
    """RFC 7285 section 8.3.5: HTTP Digest MUST be supported"""
    _, url = served
    assert status_and_headers(f"{url}/secret")[0] == 401
    result = curl("-i", "--digest", "-u", "ann:secret", f"{url}/secret")
    assert result.stdout.count(b"HTTP/1.1 401") == 1
    assert b"HTTP/1.1 200" in result.stdout
    assert b"cache-control: private, no-store" in result.stdout
    assert b"HTTP/1.1 200" not in curl("-i", "--digest", "-u", "ann:wrong", f"{url}/secret").stdout
    said = curl("--digest", "-u", "ann:secret", *SAY, f"{url}/who").stdout
    assert json.loads(said)["by"] == "ann"


def test_httpx_proves_who_it_is_by_digest_on_many_connections(served):
    _, url = served

    async def main() -> list[int]:
        async with httpx.AsyncClient(auth=httpx.DigestAuth("ann", "secret"), base_url=url) as client:
            await client.get("/secret")
            answers = await asyncio.gather(*(client.get("/secret") for _ in range(20)))
            return [answer.status_code for answer in answers]

    assert asyncio.run(main()) == [200] * 20


# TLS


def test_a_client_is_known_by_its_certificate(tmp_path):
    """RFC 7285 section 8.3.5: TLS, and TLS client authentication"""
    ours, theirs = Certificates(tmp_path / "ours"), Certificates(tmp_path / "theirs", "Other CA")
    certificate, key = ours.sign("server", "/CN=127.0.0.1", address="127.0.0.1")
    ann = ours.sign("ann", "/C=DE/O=Beispiel, GmbH/CN=ann")
    eve = theirs.sign("eve", "/C=DE/O=Beispiel, GmbH/CN=ann")
    trust = ("--cacert", ours.authority)
    with running(app_of(), certificate=certificate, key=key, client_ca=ours.authority) as url:
        assert url.startswith("https://")
        said = curl(*trust, "--cert", ann[0], "--key", ann[1], *SAY, f"{url}/who").stdout
        assert json.loads(said)["by"] == "CN=ann,O=Beispiel\\, GmbH,C=DE"
        assert status_and_headers(*trust, *SAY, f"{url}/who")[0] == 403
        assert status_and_headers(*trust, f"{url}/map")[0] == 200
        refused = curl(*trust, "--cert", eve[0], "--key", eve[1], *SAY, f"{url}/who")
        assert (refused.returncode != 0, refused.stdout) == (True, b"")
        assert curl("--cacert", theirs.authority, f"{url}/map").returncode == 60
        for version in ("1.2", "1.3"):
            assert status_and_headers(*trust, f"--tlsv{version}", "--tls-max", version, f"{url}/map")[0] == 200


@pytest.mark.parametrize(
    ("subject", "name"),
    [
        ((), ""),
        (((("commonName", "a"),),), "CN=a"),
        (((("organizationName", "O"),), (("commonName", "a"), ("userId", "1"))), "CN=a+UID=1,O=O"),
        (((("commonName", ' #"+,;<>\\ '),),), 'CN=\\ #\\"\\+\\,\\;\\<\\>\\\\\\ '),
        (((("commonName", "#a\0"),),), "CN=\\#a\\00"),
        (((("emailAddress", " "),),), "emailAddress=\\ "),
    ],
)
def test_the_name_of_a_certificate_is_written_as_rfc_4514_has_it(subject, name):
    assert distinguished_name(subject) == name


# Streams


def test_an_update_reaches_the_streams(served):
    app, url = served
    with httpx.Client(base_url=url) as client, client.stream("POST", "/updates") as response:
        assert (response.status_code, response.headers["content-type"]) == (200, "text/event-stream")
        lines = response.iter_lines()
        assert next(lines) == "hello"
        app.submit(Data("map", "from a thread")).result(60)
        assert next(lines) == "from a thread"
        asyncio.run(app.update(Data("map", "from another loop")))
        assert next(lines) == "from another loop"
        client.post("/updates/tick")
        assert next(lines) == "tick"
        assert client.get("/map").json()["data"] == "from another loop"
        client.request("DELETE", "/updates/all")
        assert list(lines) == ["bye"]
    app.submit(Data("map", {"text": "x" * 5000})).result(60)


def test_curl_reads_a_stream_as_it_comes(served):
    app, url = served
    process = subprocess.Popen(["curl", "-sN", "-X", "POST", f"{url}/updates"], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"hello\n"
    app.submit(Data("map", "new")).result(60)
    assert process.stdout.readline() == b"new\n"
    assert app.open_count == 1
    process.kill()
    process.communicate()
    # Who hangs up frees its place at once, with nothing sent (trap 28).
    wait_until(lambda: app.open_count == 0 and not service_of(app).feeds)


def test_a_long_poll_is_answered_by_an_update_and_forgotten_with_its_client(served):
    app, url = served
    answers: list[httpx.Response] = []
    thread = threading.Thread(target=lambda: answers.append(httpx.get(f"{url}/updates/poll", timeout=60)))
    thread.start()
    wait_until(lambda: app.open_count == 1)
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(f"{url}/updates/poll", timeout=0.2)
    wait_until(lambda: app.open_count == 1)
    app.submit(Data("map", "polled")).result(60)
    thread.join()
    assert [(answer.status_code, answer.text) for answer in answers] == [(200, "polled")]
    wait_until(lambda: app.open_count == 0 and not service_of(app).polls)


def test_the_end_of_the_server_ends_streams_and_long_polls():
    app = app_of()
    with running(app) as url:
        client = httpx.Client(base_url=url)
        stream = client.stream("POST", "/updates")
        lines = stream.__enter__().iter_lines()
        assert next(lines) == "hello"
        answers: list[httpx.Response] = []
        thread = threading.Thread(target=lambda: answers.append(httpx.get(f"{url}/updates/poll", timeout=60)))
        thread.start()
        wait_until(lambda: app.open_count == 2)
    assert list(lines) == ["the server is going down"]
    thread.join()
    assert (answers[0].status_code, answers[0].headers["retry-after"]) == (503, "30")
    stream.__exit__(None, None, None)
    client.close()


def test_a_client_that_does_not_read_its_stream_is_cut_off_and_holds_up_nobody(monkeypatch):
    monkeypatch.setattr(interop._http_limits, "WRITE_TIMEOUT", 0.2)
    app = app_of()
    with running(app) as url, httpx.Client(base_url=url) as client, client.stream("POST", "/updates") as reader:
        lines = reader.iter_lines()
        assert next(lines) == "hello"
        deaf = socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])))
        deaf.sendall(b"POST /updates HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        wait_until(lambda: app.open_count == 2)
        # More than all buffers between the two hold.
        large = "x" * 2**25
        app.submit(Data("map", large)).result(60)
        assert next(lines) == large
        wait_until(lambda: app.open_count == 1 and len(service_of(app).feeds) == 1)
        deaf.close()
        app.submit(Data("map", "more")).result(60)
        assert next(lines) == "more"


def test_three_hundred_streams_hear_of_one_update(served):
    app, url = served
    port = int(url.rpartition(":")[2])

    async def main() -> None:
        async with asyncio.timeout(60):
            connections = [await asyncio.open_connection("127.0.0.1", port) for _ in range(300)]
            for _, writer in connections:
                writer.write(b"POST /updates HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
            for reader, _ in connections:
                await reader.readuntil(b"hello\n")
            await app.update(Data("map", "everybody"))
            for reader, _ in connections:
                await reader.readuntil(b"everybody\n")
            for _, writer in connections:
                writer.close()

    asyncio.run(main())
    wait_until(lambda: app.open_count == 0)


# In an application


async def exchange(app: Any, path: str, *fields: tuple[bytes, bytes], **scope: Any) -> tuple[int, bytes]:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b'{"say": "x"}' if scope.get("method") == "POST" else b""}

    async def send(message: Any) -> None:
        sent.append(message)

    http = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": fields, "client": ("::1", 5)}
    await app({**http, **scope}, receive, send)
    return sent[0]["status"], b"".join(message["body"] for message in sent[1:])


def mounted(app: Any, prefix: str) -> Any:
    """As frameworks do it: the path stays whole, and `root_path` says what of it is the mount's."""

    async def mount(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"].startswith(prefix):
            scope = {**scope, "root_path": scope.get("root_path", "") + prefix}
            await app(scope, receive, send)
        elif scope["type"] == "http":
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b""})
        else:
            await app(scope, receive, send)

    return mount


def test_it_can_be_mounted_below_a_prefix():
    app = app_of()
    with running(mounted(app, "/net/alto"), closing=app) as url, httpx.Client(base_url=url) as client:
        assert client.get("/").status_code == 204
        for path in ("/net/alto", "/net/alto/"):
            entry = client.get(path).json()["resources"]["map"]
            assert entry["uri"] == "/net/alto/map"
        assert client.get(entry["uri"]).status_code == 200
        assert client.get("/net/alto/nope").status_code == 404
        client.get("/net/alto/updates/big")
        assert service_of(app).base_uris == [f"{url}/net/alto/"]


def test_a_server_that_knows_its_uri_does_not_ask_the_request():
    app = app_of(base_uri="https://alto.example.com/net/alto")
    status, body = asyncio.run(exchange(mounted(app, "/net/alto"), "/net/alto/", (b"host", b"evil.example")))
    assert (status, json.loads(body)["resources"]["map"]["uri"]) == (200, "https://alto.example.com/net/alto/map")


@pytest.mark.parametrize("host", [b"a b", b"a/b", b"user@host", b"", b"x" * 300, b"[::1", b"a:99999999"])
def test_a_host_field_that_is_none_gives_no_uri(host):
    app = app_of()
    status, _ = asyncio.run(exchange(app, "/updates/big", (b"host", host)))
    assert (status, service_of(app).base_uris) == (200, [""])


@pytest.mark.parametrize("host", [b"alto.example.com", b"127.0.0.1:8000", b"[2001:db8::1]:443"])
def test_a_host_field_says_where_the_server_is(host):
    app = app_of()
    asyncio.run(exchange(app, "/updates/big", (b"host", host), scheme="https"))
    assert service_of(app).base_uris == [f"https://{host.decode()}/"]


@pytest.mark.parametrize(
    ("header", "fields", "client"),
    [
        (None, ["203.0.113.9"], "ipv6:::1"),
        ("X-Forwarded-For", ["203.0.113.9"], "ipv4:203.0.113.9"),
        ("X-Forwarded-For", ["spoofed, 198.51.100.1", "203.0.113.9, 2001:DB8::9"], "ipv6:2001:db8::9"),
        ("X-Forwarded-For", ["::ffff:203.0.113.9"], "ipv4:203.0.113.9"),
        ("X-Forwarded-For", ["[2001:db8::9]"], "ipv6:2001:db8::9"),
        ("X-Forwarded-For", ["203.0.113.9, unknown"], None),
        ("X-Forwarded-For", [], None),
    ],
)
def test_only_a_header_that_is_trusted_says_who_the_client_is(header, fields, client):
    """Trap 3"""
    echo = Echo("other")
    app = app_of(echo, client_header=header)
    headers = [(b"x-forwarded-for", field.encode()) for field in fields] + [(b"content-type", PARAMS.encode())]
    assert asyncio.run(exchange(app, "/other", *headers, method="POST"))[0] == 200
    assert [query.context.client for query in echo.asked] == [client]


def test_an_update_that_cannot_be_is_told_and_changes_nothing():
    app = app_of()
    before = app.server.directory
    with pytest.raises(alto.ConfigurationError):
        asyncio.run(app.update(Data("nope")))
    with pytest.raises(alto.ConfigurationError):
        app.submit(Data("nope")).result()
    assert app.server.directory is before


def test_an_update_before_anything_is_served_counts():
    app = app_of()
    app.submit(Data("map", "first")).result()
    asyncio.run(app.update(Data("secret", "second", is_private=True)))
    status, body = asyncio.run(exchange(app, "/map"))
    assert (status, json.loads(body)["data"]) == (200, "first")


def test_everything_is_encoded_before_the_first_request(served):
    app, _ = served
    data = app.server.directory.resources["map"]
    assert isinstance(data, Data)
    assert len(data.asked) == 1


def test_another_server_takes_over_and_what_went_on_ends():
    app, other = app_of(), app_of(Data("more", 8)).server
    with running(app) as url, httpx.Client(base_url=url) as client:
        stream = client.stream("POST", "/updates")
        lines = stream.__enter__().iter_lines()
        assert next(lines) == "hello"
        wait_until(lambda: app.open_count == 1)
        app.replace(other).result(60)
        assert app.server is other
        # As a lost connection: without a word, so that its client opens another.
        assert list(lines) == []
        stream.__exit__(None, None, None)
        wait_until(lambda: app.open_count == 0)
        assert client.get("/more").json()["data"] == 8
        with client.stream("POST", "/updates") as response:
            lines = response.iter_lines()
            assert next(lines) == "hello"
            wait_until(lambda: app.open_count == 1)


def test_what_is_wrong_with_another_server_is_in_the_future():
    app = app_of()
    other = app_of(Data("more", object())).server
    assert isinstance(app.replace(other).exception(20), TypeError)
    assert app.server is not other


SCRIPT = """
import sys, time
sys.path.insert(0, sys.argv[1])
from alto_resources import Data, Streams
from alto.directory import Directory
from alto.server import AltoServer
from interop.alto_server import AltoApp, serve
directory = Directory([Data("map", 1)], services=[Streams()])
app = AltoApp(AltoServer(directory, epoch=time.time() - time.monotonic()))
serve(app, started=lambda url: print(url, flush=True))
print("ended")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_served_application_ends_at_the_first_signal_and_its_streams_with_it(number):
    helpers = Path(__file__).parents[1] / "helpers"
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(helpers)], stdout=subprocess.PIPE, text=True)
    url = process.stdout.readline().strip()
    with httpx.Client(base_url=url) as client, client.stream("POST", "/updates") as response:
        lines = response.iter_lines()
        assert next(lines) == "hello"
        process.send_signal(number)
        assert list(lines) == ["the server is going down"]
    assert process.communicate(timeout=60)[0] == "ended\n"
    assert process.returncode == 0

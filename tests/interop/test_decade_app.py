"""A DECADE server as an ASGI application, asked by httpx, curl and bare sockets, with httptools and with h11."""

import asyncio
import logging
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from decade_served import Served, fields, serving, until
from decade_server import BOB, HELLO, OCTETS, Bench, bearer, token
from decade_tokens import ACCOUNT, MAC

import interop.decade_server._stalls
from decade.errors import ErrorCode
from decade.messages import Revocation
from decade.names import name_of
from decade.peer_failures import MAX_FAILURES
from decade.ports import Use
from decade.problem import decode_problem
from decade.values import BitRate
from interop.decade_server import DecadeApp, app
from interop.decade_server.front import AUTHORIZE, Front
from interop.decade_server.origin import Proxies, networks_of
from interop.decade_store.settling import place

LARGE = bytes(range(256)) * 16 * 1024
"""4 MiB: more than all the buffers on the way."""
LARGE_NAME = name_of(LARGE)


@pytest.fixture(params=["httptools", "h11"])
def served(request) -> Iterator[Served]:
    with serving(http=request.param) as found:
        yield found


@pytest.fixture(params=["httptools", "h11"])
def large(request) -> Iterator[Served]:
    """One that has LARGE."""
    with serving(http=request.param, prepare=lambda bench: bench.put(LARGE)) as found:
        yield found


def connect(served: Served, receive_buffer: int | None = None) -> socket.socket:
    found = socket.socket()
    if receive_buffer is not None:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    found.settimeout(60)
    found.connect(("127.0.0.1", served.port))
    return found


def head(method: str, path: str, *more: str, key: bytes | None = None) -> bytes:
    (field,) = bearer(token() if key is None else key)
    lines = [f"{method} {path} HTTP/1.1", "Host: sb.example", ": ".join(field), *more]
    return "\r\n".join([*lines, "", ""]).encode()


def everything(connection: socket.socket) -> bytes:
    """What comes until the end of the connection."""
    parts = []
    while part := connection.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)


def answer_head(connection: socket.socket) -> bytes:
    """The head of an answer."""
    said = b""
    while b"\r\n\r\n" not in said:
        said += connection.recv(1 << 16)
    return said


def test_an_object_is_stored_and_fetched(served):
    url = served.url + HELLO.path
    with httpx.Client(headers=fields()) as client:
        assert client.put(url, content=OCTETS).status_code == 201
        answer = client.get(url)
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (200, OCTETS, HELLO.etag)
        assert client.head(url).headers["content-length"] == "12"
        part = client.get(url, headers={"Range": "bytes=6-10"})
        assert (part.status_code, part.content, part.headers["content-range"]) == (206, b"World", "bytes 6-10/12")
        assert client.get(url, headers={"If-None-Match": HELLO.etag}).status_code == 304
        assert client.delete(url).status_code == 204
        assert client.get(url).status_code == 410
    until(lambda: served.bench.server.requests == 0)


def test_a_large_object_goes_and_comes_whole(served):
    url = served.url + LARGE_NAME.path
    with httpx.Client(headers=fields()) as client:
        assert client.put(url, content=LARGE).status_code == 201
        assert client.get(url).content == LARGE
    until(lambda: served.bench.server.requests == 0)


def test_curl_waits_for_100_continue_and_gets_it(served, tmp_path):
    """RFC 9110 section 10.1.1"""
    (tmp_path / "hello").write_bytes(OCTETS)
    done = curl(served, "-v", "-T", tmp_path / "hello", "-H", "Expect: 100-continue", path=HELLO.path)
    assert "< HTTP/1.1 100 Continue" in done.stderr
    assert "< HTTP/1.1 201" in done.stderr


def curl(served: Served, *words: str | Path, path: str, key: bytes | None = None) -> subprocess.CompletedProcess[str]:
    (field,) = bearer(token() if key is None else key)
    command = ["curl", "-s", "-S", "-m", "60", "-H", ": ".join(field), *map(str, words), served.url + path]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_who_is_refused_before_the_body_sends_none(served):
    with connect(served) as connection:
        connection.sendall(head("PUT", HELLO.path, "Content-Length: 12", "Expect: 100-continue", key=b"no token"))
        said = everything(connection)
    assert said.startswith(b"HTTP/1.1 401 ")
    assert b"100 Continue" not in said
    assert b"connection: close" in said.lower()


def test_who_sends_a_long_body_in_vain_sees_the_answer(served, tmp_path, monkeypatch):
    monkeypatch.setattr(app, "LINGER", 20)
    (tmp_path / "large").write_bytes(LARGE)
    words = ("-T", tmp_path / "large", "-H", "Expect:", "-o", "/dev/null", "-w", "%{http_code}")
    done = curl(served, *words, path=LARGE_NAME.path, key=b"no token")
    assert (done.stdout, done.returncode) == ("401", 0)


def test_who_does_not_look_for_an_answer_before_all_is_sent_gets_it(served, monkeypatch):
    """RFC 9112 section 9.6"""
    monkeypatch.setattr(app, "LINGER", 20)
    with connect(served) as connection:
        connection.sendall(head("PUT", LARGE_NAME.path, f"Content-Length: {len(LARGE)}", key=b"no token"))
        connection.sendall(LARGE)
        said = everything(connection)
    assert said.startswith(b"HTTP/1.1 401 ")
    assert b"connection: close" in said.lower()


def test_a_body_in_vain_is_not_waited_for_without_end(served, monkeypatch):
    monkeypatch.setattr(app, "LINGER", 0.1)
    with connect(served) as connection:
        connection.sendall(head("PUT", LARGE_NAME.path, f"Content-Length: {len(LARGE)}", key=b"no token"))
        connection.sendall(OCTETS)
        assert everything(connection).startswith(b"HTTP/1.1 401 ")


def test_a_short_body_that_is_refused_leaves_the_connection(served):
    with httpx.Client() as client:
        url = served.url + HELLO.path
        assert client.put(url, content=OCTETS, headers=fields(b"no token")).status_code == 401
        answer = client.put(url, content=OCTETS, headers=fields())
    assert answer.status_code == 201
    assert "connection" not in answer.headers


def test_a_body_of_another_name_is_refused_at_its_end(served):
    with httpx.Client(headers=fields()) as client:
        assert client.put(served.url + HELLO.path, content=b"Hello world!").status_code == 422
        assert client.put(served.url + HELLO.path, content=OCTETS).status_code == 201


def test_an_object_that_is_too_large_is_refused_before_its_body():
    with serving(limits={"max_object": 1000}) as served, connect(served) as connection:
        connection.sendall(head("PUT", HELLO.path, f"Content-Length: {1 << 30}"))
        said = answer_head(connection)
    assert said.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in said.lower()


def test_two_lengths_of_one_body_are_none(served):
    """RFC 9112 section 6.1: Transfer-Encoding and Content-Length"""
    with connect(served) as connection:
        connection.sendall(head("PUT", HELLO.path, "Content-Length: 12", "Transfer-Encoding: chunked"))
        connection.sendall(b"3\r\nHel\r\n0\r\n\r\n")
        said = answer_head(connection)
    assert said.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 411 "))
    assert served.bench.store.payloads == 0


def test_a_coded_transfer_has_no_length_that_can_be_reserved(served):
    with connect(served) as connection:
        connection.sendall(head("PUT", HELLO.path, "Transfer-Encoding: chunked") + b"c\r\n" + OCTETS)
        assert answer_head(connection).startswith(b"HTTP/1.1 411 ")


def test_what_is_behind_the_announced_length_is_not_of_the_object(served):
    with connect(served) as connection:
        connection.sendall(head("PUT", HELLO.path, "Content-Length: 12") + OCTETS + b" and more\r\n\r\n")
        # One parser answers both, the other one takes all for malformed when it has passed on the first.
        assert everything(connection).startswith((b"HTTP/1.1 201 ", b"HTTP/1.1 400 "))
    until(lambda: served.bench.server.requests == 0)
    assert served.bench.get().body == OCTETS


def test_a_client_that_goes_in_the_middle_of_its_body_gives_back_all_that_did_not_come(served):
    bench = served.bench
    *before, _ = bench.state()
    with connect(served) as connection:
        connection.sendall(head("PUT", HELLO.path, "Content-Length: 12", key=token(uses=1)) + OCTETS[:5])
        until(lambda: bench.server.requests == 1 and bench.quotas.holding((ACCOUNT,)).reserved == 12)
    until(lambda: bench.state()[:-1] == tuple(before))
    assert bench.uses() == [Use(uses=1, amount=5)]


def test_a_client_that_goes_in_the_middle_of_an_object_gets_back_what_was_not_sent(large):
    bench = large.bench
    key = token(amount=len(LARGE))
    with connect(large, receive_buffer=1 << 16) as connection:
        connection.sendall(head("GET", LARGE_NAME.path, key=key))
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
        assert bench.server.requests == 1
    (entry,) = (entry for entry in bench.ledger._entries.values() if entry.use.amount)
    until(lambda: bench.server.requests == 0 and entry.use.amount < len(LARGE))
    assert entry.use.amount > 0


def test_a_connection_that_breaks_without_a_pause_of_the_server_is_noticed():
    bench, gone = Bench(), asyncio.Event()
    bench.put(LARGE)
    key = token(amount=len(LARGE))
    messages = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive():
        if messages:
            return messages.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message):
        if message["type"] == "http.response.body":
            gone.set()

    scope = {
        "type": "http",
        "method": "GET",
        "scheme": "https",
        "path": LARGE_NAME.path,
        "raw_path": LARGE_NAME.path.encode(),
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in bearer(key)],
        "client": ("192.0.2.1", 4711),
    }
    asyncio.run(DecadeApp(bench.server, clock=lambda: bench.now)(scope, receive, send))
    (use,) = (use for use in bench.uses() if use.amount)
    assert 0 < use.amount < len(LARGE) // 2
    assert bench.server.requests == 0


def test_who_reads_slowly_holds_up_nobody(large):
    with connect(large, receive_buffer=1 << 16) as connection:
        connection.sendall(head("GET", LARGE_NAME.path, "Connection: close"))
        connection.recv(1000)
        assert httpx.get(large.url + LARGE_NAME.path, headers=fields()).content == LARGE
        assert everything(connection)[-1000:] == LARGE[-1000:]


def test_who_does_not_read_is_waited_for_no_longer(large, monkeypatch):
    monkeypatch.setattr(interop.decade_server._stalls, "WRITE_TIMEOUT", 0.05)
    with connect(large, receive_buffer=1 << 16) as connection:
        connection.sendall(head("GET", LARGE_NAME.path))
        until(lambda: large.bench.server.requests == 1)

        def is_over_later() -> bool:
            large.bench.now += 1
            return large.bench.server.requests == 0

        until(is_over_later)
        assert len(everything(connection)) < len(LARGE)


def test_who_does_not_write_is_told_so(served):
    with connect(served) as connection:
        connection.sendall(head("PUT", HELLO.path, "Content-Length: 12") + OCTETS[:5])
        until(lambda: served.bench.server.requests == 1)

        def is_over_later() -> bool:
            served.bench.now += 100
            # The timer was armed for a clock that goes on.
            served.server.servers[0].get_loop().call_soon_threadsafe(served.app._handle_timer)
            return served.bench.server.requests == 0

        until(is_over_later)
        assert answer_head(connection).startswith(b"HTTP/1.1 408 ")
    until(lambda: served.bench.server.requests == 0)


def test_an_object_that_cannot_be_read_on_ends_before_its_length(large, monkeypatch):
    with connect(large, receive_buffer=1 << 16) as connection:
        connection.sendall(head("GET", LARGE_NAME.path))
        connection.recv(1000)
        (body,) = large.app._line._flows
        monkeypatch.setattr(body, "read", lambda size, now: b"")
        assert len(everything(connection)) < len(LARGE)
    until(lambda: large.bench.server.requests == 0)


def test_an_error_of_ours_is_told_without_words(served, monkeypatch):
    monkeypatch.setattr(served.bench.server, "handle", lambda *_: 1 / 0)
    answer = httpx.get(served.url + HELLO.path, headers=fields())
    assert (answer.status_code, answer.content) == (500, b"Internal Server Error")


def asked(
    app: DecadeApp,
    *,
    client: tuple[str, int],
    headers: dict[str, str],
    url: str = "http://sb.example",
    path: str = HELLO.path,
):
    """What an application says to the GET of an object."""

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app, client=client)
        async with httpx.AsyncClient(transport=transport) as asking:
            return await asking.get(url + path, headers=headers)

    return asyncio.run(ask())


def test_a_token_over_plain_http_from_afar_is_refused(served):
    """RFC 7069 section 8.2"""
    far, near = ("192.0.2.7", 4711), ("127.0.0.1", 4711)
    served.bench.put()
    refused = asked(served.app, client=far, headers=fields())
    assert (refused.status_code, code_of(refused)) == (403, ErrorCode.CLIENT_NOT_PERMITTED)
    assert asked(served.app, client=far, headers={}).status_code == 401
    assert asked(served.app, client=near, headers=fields()).status_code == 200
    assert asked(served.app, client=far, headers=fields(), url="https://sb.example").status_code == 200
    daring = DecadeApp(served.bench.server, clock=lambda: 1.0, is_insecure_allowed=True)
    assert asked(daring, client=far, headers=fields()).status_code == 200


def code_of(answer: httpx.Response) -> int | None:
    problem = decode_problem(answer.content)
    return None if problem is None else problem.code


def test_a_token_that_came_over_tls_is_refused_without_it(served):
    """Section 4.12, also for a request that was answered before"""
    served.bench.put()
    far, headers = ("192.0.2.7", 4711), fields()
    for _ in range(2):
        assert asked(served.app, client=far, headers=headers, url="https://sb.example").content == OCTETS
    refused = asked(served.app, client=far, headers=headers)
    assert (refused.status_code, code_of(refused)) == (403, ErrorCode.CLIENT_NOT_PERMITTED)


def test_a_proxy_that_is_trusted_says_how_a_token_came(served):
    served.bench.put()
    behind = DecadeApp(served.bench.server, clock=lambda: 1.0, proxies=Proxies(networks_of(["127.0.0.1"])))
    near, said = ("127.0.0.1", 4711), {"X-Forwarded-For": "192.0.2.7"}
    assert asked(behind, client=near, headers=fields() | said).status_code == 403
    secure = said | {"X-Forwarded-Proto": "https"}
    assert asked(behind, client=near, headers=fields() | secure).status_code == 200
    assert asked(behind, client=("192.0.2.7", 1), headers=fields() | secure).status_code == 403


def test_a_web_server_in_front_is_told_which_file_to_send(served):
    bench = served.bench
    bench.put()
    front = Front("/_decade/", place, bench.tree)
    proxies = Proxies(networks_of(["10.0.0.1"]))
    app = DecadeApp(bench.server, clock=lambda: 1.0, proxies=proxies, front=front)
    secure = {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"}
    key = token(amount=20, bandwidth=BitRate(8000))
    told = asked(app, client=("10.0.0.1", 1), headers=fields(key) | secure)
    digest = HELLO.value.hex()
    assert told.headers["x-accel-redirect"] == f"/_decade/{digest[:2]}/{digest}"
    assert (told.status_code, told.content, told.headers["x-accel-limit-rate"]) == (200, b"", "1000")
    assert bench.uses() == [Use(uses=1, amount=12)]
    # What is left of its amount is not enough for another whole one, but for a part, which the web server cuts out.
    assert asked(app, client=("10.0.0.1", 1), headers=fields(key) | secure).status_code == 403
    part = asked(app, client=("10.0.0.1", 1), headers=fields(key) | secure | {"Range": "bytes=0-4"})
    assert (part.status_code, "content-range" in part.headers) == (200, False)
    assert bench.uses() == [Use(uses=2, amount=17)]
    # Others are sent the object.
    assert asked(app, client=("127.0.0.1", 1), headers=fields()).content == OCTETS
    assert bench.server.requests == 0


def test_a_web_server_in_front_is_not_told_of_an_object_whose_token_was_revoked_meanwhile():
    bench = Bench()
    bench.put()
    answer = bench.head("GET", HELLO.path, token())
    assert bench.control("POST", "revocations", Revocation(kid=MAC.kid)).status == 204
    with pytest.raises(ConnectionError):
        Front("/_decade/", place, bench.tree).hand_over(answer, bench.now)
    assert bench.server.requests == 0


@pytest.mark.parametrize("octets", [OCTETS, b""])
def test_a_web_server_in_front_that_asks_is_told_the_file_of_every_object(served, octets):
    """Section 14.16"""
    bench, name = served.bench, name_of(octets)
    bench.put(octets)
    front = Front("/_decade/", place, bench.tree)
    app = DecadeApp(bench.server, clock=lambda: 1.0, proxies=Proxies(networks_of(["10.0.0.1"])), front=front)
    about = {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https", "X-Original-URI": name.path}
    key = token(uses=1)
    told = asked(app, client=("10.0.0.1", 1), headers=fields(key) | about, path=AUTHORIZE)
    digest = name.value.hex()
    assert (told.status_code, told.headers["x-decade-file"]) == (204, f"{digest[:2]}/{digest}")
    assert told.headers["x-decade-type"] == "application/octet-stream"
    assert told.headers["etag"] == name.etag
    assert not {"x-accel-redirect", "content-length", "content-type", "accept-ranges"} & set(told.headers)
    assert bench.uses() == [Use(1, len(octets))]
    again = asked(app, client=("10.0.0.1", 1), headers=fields(key) | about, path=AUTHORIZE)
    assert (again.status_code, code_of(again)) == (401, ErrorCode.TOKEN_USED_UP)


def test_a_request_that_comes_again_from_elsewhere_is_one_of_its_own(served):
    served.bench.put()
    guesser, other = ("127.0.0.2", 4711), ("127.0.0.1", 4711)
    good, bad = fields(), fields(token(BOB)[:-1] + b"x")
    assert asked(served.app, client=other, headers=good).status_code == 200
    for _ in range(MAX_FAILURES):
        asked(served.app, client=guesser, headers=bad)
    assert asked(served.app, client=guesser, headers=good).status_code == 429
    assert asked(served.app, client=other, headers=good).status_code == 200


def test_no_token_is_in_the_access_log(served, caplog):
    """RFC 7069 section 6.2.2, RFC 6973 section 5.1.1"""
    key = fields()["Authorization"].removeprefix("Bearer ")
    with caplog.at_level(logging.INFO, logger="uvicorn.access"), serving(access_log=True) as logged:
        httpx.get(f"{logged.url}{HELLO.path}?a=1&dt={key}&b=2", headers=fields())
        httpx.get(logged.url + HELLO.path, headers={"Authorization": f"Bearer {key}"})
    assert f"{HELLO.path}?a=1&b=2" in caplog.text
    assert key not in caplog.text

"""`interop.gateway`: foreign clients read a swarm over HTTP while it is being fetched."""

import asyncio
import email
import email.policy
import json
import os
import socket
import threading
import time
from collections.abc import Iterator

import httpx
import pytest
from ppsp_gateway import CHUNK, Playing, curl, playing

from interop._gateway_ranges import MAX_RANGES
from interop.gateway import Gateway

_CONTENT = os.urandom(300 * CHUNK + 77)
_SIZE = len(_CONTENT)


@pytest.fixture(scope="module")
def swarm() -> Iterator[Playing]:
    with playing(_CONTENT) as running:
        yield running


def get(swarm: Playing, method: str = "GET", **headers: str) -> httpx.Response:
    return httpx.request(method, swarm.url, headers={name.replace("_", "-"): value for name, value in headers.items()})


def test_the_whole_content_is_read(swarm: Playing) -> None:
    answer = get(swarm)
    assert answer.status_code == 200
    assert answer.content == _CONTENT
    assert answer.headers["content-type"] == "video/mp4"
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["etag"] == f'"{swarm.uri.metadata.swarm_id.hex()}"'


def test_the_name_in_the_path_does_not_matter(swarm: Playing) -> None:
    bare = f"{swarm.base}/{swarm.uri.metadata.swarm_id.hex()}"
    assert curl(bare) == curl(bare + "/another%20name") == curl(bare.upper().replace("HTTP", "http")) == _CONTENT


def test_head_tells_the_length_and_nothing_else(swarm: Playing) -> None:
    answer = get(swarm, "HEAD", range="bytes=0-1")
    assert answer.status_code == 200  # only GET has ranges
    assert answer.headers["content-length"] == str(_SIZE)
    assert answer.content == b""


@pytest.mark.parametrize(
    ("wanted", "first", "last"),
    [
        ("0-0", 0, 0),
        ("100-1999", 100, 1999),
        ("1024-", 1024, _SIZE - 1),
        ("-1", _SIZE - 1, _SIZE - 1),
        ("-9999999", 0, _SIZE - 1),
        (f"{_SIZE - 5}-9999999", _SIZE - 5, _SIZE - 1),
    ],
)
def test_curl_gets_one_range(swarm: Playing, wanted: str, first: int, last: int) -> None:
    head, body = curl("-i", "--range", wanted, swarm.url).split(b"\r\n\r\n", 1)
    assert head.startswith(b"HTTP/1.1 206 ")
    assert f"content-range: bytes {first}-{last}/{_SIZE}".encode() in head
    assert f"content-length: {last - first + 1}\r\n".encode() in head
    assert body == _CONTENT[first : last + 1]


def parts_of(head: bytes, body: bytes) -> list[tuple[str, bytes]]:
    """Content-Range and octets of each part, by Python's own reader of MIME."""
    message = email.message_from_bytes(head.split(b"\r\n", 1)[1] + b"\r\n\r\n" + body, policy=email.policy.HTTP)
    assert message.get_content_type() == "multipart/byteranges"
    found = []
    for part in message.iter_parts():
        assert part.get_content_type() == "video/mp4"
        payload = part.get_payload(decode=True)
        assert isinstance(payload, bytes)
        found.append((part["content-range"], payload))
    return found


def test_curl_gets_several_ranges() -> None:
    text = bytes(range(32, 127)) * 400  # Python's reader of MIME changes line ends
    with playing(text) as swarm:
        raw = curl("-i", "--range", "5-9,1000-3000,-20", swarm.url)
        head, body = raw.split(b"\r\n\r\n", 1)
        assert head.startswith(b"HTTP/1.1 206 ")
        assert f"content-length: {len(body)}\r\n".encode() in head
        assert b"content-range" not in head
        size = len(text)
        assert parts_of(head, body) == [
            (f"bytes 5-9/{size}", text[5:10]),
            (f"bytes 1000-3000/{size}", text[1000:3001]),
            (f"bytes {size - 20}-{size - 1}/{size}", text[-20:]),
        ]


def test_ranges_that_overlap_are_one(swarm: Playing) -> None:
    answer = get(swarm, range=f"bytes=10-,-{_SIZE}")
    assert (answer.status_code, answer.content) == (206, _CONTENT)
    assert get(swarm, range="bytes=5-9,0-3,4-7").content == _CONTENT[:10]


@pytest.mark.parametrize(
    "value", ["bytes=2-3,", "bytes=, ,2-3", "Bytes = 2-3", f"bytes=2-3,{'9' * 40}-", "bytes=2-3,-0"]
)
def test_a_list_of_ranges_is_read_as_any_list(swarm: Playing, value: str) -> None:
    """RFC 9110 sections 5.6.1 and 14.2: empty elements do not count, nor do ranges that the content has not."""
    answer = get(swarm, range=value)
    assert (answer.status_code, answer.content) == (206, _CONTENT[2:4])


def test_a_number_beyond_all_measure_is_no_range(swarm: Playing) -> None:
    for value in ("bytes=0-" + "9" * 5000, "bytes=-" + "9" * 5000):
        assert get(swarm, range=value).content == _CONTENT


def test_ranges_come_in_any_order(swarm: Playing) -> None:
    answer = get(swarm, range="bytes=-1,0-0")
    assert answer.status_code == 206
    assert answer.content.index(b"bytes 0-0/") < answer.content.index(f"bytes {_SIZE - 1}-{_SIZE - 1}/".encode())


@pytest.mark.parametrize(
    "value",
    [
        "bytes=-0",
        f"bytes={_SIZE}-",
        f"bytes={_SIZE + 5}-{_SIZE + 9}",
        "bytes=" + ",".join(f"{n}0-{n}1" for n in range(1, 99)),
    ],
)
def test_a_range_that_is_not_there_is_416_with_the_size(swarm: Playing, value: str) -> None:
    answer = get(swarm, range=value)
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{_SIZE}"
    assert answer.text == f"There are {_SIZE} octets.\n"


def test_so_many_ranges_and_no_more(swarm: Playing) -> None:
    ranges = ",".join(f"{100 * n}-{100 * n + 1}" for n in range(MAX_RANGES))
    assert get(swarm, range=f"bytes={ranges}").status_code == 206
    assert get(swarm, range=f"bytes={ranges},{100 * MAX_RANGES}-").status_code == 416


@pytest.mark.parametrize("value", ["lines=0-1", "bytes=", "bytes=5-1", "bytes=x-y", "bytes", "bytes=--1", "bytes=0-1;"])
def test_a_range_that_is_none_is_ignored(swarm: Playing, value: str) -> None:
    """RFC 9110 section 14.2."""
    assert get(swarm, range=value).content == _CONTENT


def test_curl_continues_what_it_has_if_that_is_the_same(swarm: Playing) -> None:
    etag = f'"{swarm.uri.metadata.swarm_id.hex()}"'
    assert curl("-H", f"If-Range: {etag}", "-r", "7-9", swarm.url) == _CONTENT[7:10]
    for other in ('"other"', f"W/{etag}", "Wed, 21 Oct 2015 07:28:00 GMT"):
        assert curl("-H", f"If-Range: {other}", "-r", "7-9", swarm.url) == _CONTENT


def test_a_fresh_copy_is_304_and_a_wrong_one_412(swarm: Playing) -> None:
    etag = f'"{swarm.uri.metadata.swarm_id.hex()}"'
    for fresh in (etag, f"W/{etag}", f'"x", {etag}', "*"):
        answer = get(swarm, if_none_match=fresh)
        assert (answer.status_code, answer.content) == (304, b"")
        assert answer.headers["etag"] == etag
    assert get(swarm, if_none_match='"other"').status_code == 200
    assert get(swarm, if_match='"other"').status_code == 412
    assert get(swarm, if_match=f"W/{etag}").status_code == 412
    assert get(swarm, if_match=etag).status_code == 200
    for lines in ((etag, '"x"'), ('"x"', etag)):  # several lines of a field are one list (section 5.3)
        several = [("if-none-match", line) for line in lines]
        assert httpx.get(swarm.url, headers=several).status_code == 304


def test_other_methods_paths_and_swarms_are_refused(swarm: Playing) -> None:
    answer = get(swarm, "POST")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
    assert httpx.post(swarm.base + "/stats").status_code == 405
    for path in ("/x", f"/{'0' * 64}/film.mp4", "/stats/x", "//"):
        assert httpx.get(swarm.base + path).status_code == 404
    assert curl("-X", "OPTIONS", "--request-target", "*", "-o", "/dev/null", "-w", "%{http_code}", swarm.base) == b"204"


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "[::1", "localhost.x", "x.localhost", "localhost."],
)
def test_a_name_that_is_not_ours_is_refused(swarm: Playing, host: str) -> None:
    """DNS rebinding: a web page has its own name resolve to 127.0.0.1."""
    for path in ("/", "/stats", swarm.gateway.path):
        answer = httpx.get(swarm.base + path, headers={"host": host})
        assert answer.status_code in (400, 421)
        assert b"swarm" not in answer.content


@pytest.mark.parametrize("host", ["localhost:1", "LOCALHOST", "127.0.0.1", "[::1]:80"])
def test_addresses_and_localhost_are_ours(swarm: Playing, host: str) -> None:
    assert httpx.get(swarm.base + "/stats", headers={"host": host}).status_code == 200


def test_a_name_may_be_allowed() -> None:
    with playing(_CONTENT, hosts=["Film.Local"]) as swarm:
        assert httpx.get(swarm.base + "/", headers={"host": "film.local:80"}).status_code == 200


def test_pages_of_others_may_read_the_content_but_not_the_statistics(swarm: Playing) -> None:
    answer = get(swarm, origin="https://player.example", range="bytes=0-0")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "Content-Range" in answer.headers["access-control-expose-headers"]
    preflight = get(swarm, "OPTIONS", origin="https://player.example", access_control_request_headers="range")
    assert preflight.status_code == 204
    assert "Range" in preflight.headers["access-control-allow-headers"]
    for path in ("/", "/stats"):
        assert "access-control-allow-origin" not in httpx.get(swarm.base + path).headers


def test_what_a_swarm_holds_runs_no_script_of_its_own() -> None:
    with playing(b"<script>alert(1)</script>", "page.html") as swarm:
        answer = get(swarm)
    assert answer.headers["content-type"] == "text/html"
    assert answer.headers["content-security-policy"] == "sandbox"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_statistics_tell_what_rfc_6972_asks_for(swarm: Playing) -> None:
    get(swarm)
    stats = swarm.until(lambda stats: stats["complete"] and not stats["readers"] and stats["downloaded"] > 0)
    assert stats["size"] == _SIZE
    assert stats["verified"] == 1.0
    assert stats["chunks_held"] == stats["chunks"] == 301
    assert 0 <= stats["setup_seconds"] <= stats["uptime"]
    assert stats["chunks_refused"] == 0
    (peer,) = stats["peers"]
    assert peer["offered"] == 1.0
    assert peer["downloaded"] == _SIZE


def test_nobody_there_is_503_in_one_sentence() -> None:
    with playing(_CONTENT, sourceless=True, patience=0.3) as swarm:
        for method in ("GET", "HEAD"):
            answer = get(swarm, method)
            assert answer.status_code == 503
            assert answer.headers["retry-after"] == "5"
        assert get(swarm).text == "No peer of the swarm can be reached.\n"
        assert swarm.stats()["peers"] == []


def test_a_peer_that_sends_nothing_is_504_in_one_sentence() -> None:
    with playing(os.urandom(2000 * CHUNK), rate=100_000.0, patience=0.5) as swarm:
        swarm.until(lambda stats: stats["size"] is not None)
        swarm.set_rate(1.0)
        answers = [get(swarm, range=f"bytes={place}-{place}") for place in (500_000, 1_000_000)]
    assert answers[1].status_code == 504
    assert answers[1].text == "The one peer of the swarm that is connected has not sent this for 0.5 s.\n"


def test_a_seek_is_served_before_what_lies_between() -> None:
    content = os.urandom(4000 * CHUNK)
    with playing(content, rate=200_000.0) as swarm, httpx.Client() as client:
        swarm.until(lambda stats: stats["chunks_held"] > 50)
        with client.stream("GET", swarm.url) as playing_from_the_start:
            next(playing_from_the_start.iter_raw())
        middle = 2000 * CHUNK
        answer = client.get(swarm.url, headers={"range": f"bytes={middle}-{middle + 99}"})
        assert answer.content == content[middle : middle + 100]
        assert swarm.held(0, 1999) < 1500
        assert not swarm.stats()["complete"]
        end = client.get(swarm.url, headers={"range": "bytes=-10"})
        assert end.content == content[-10:]
        assert swarm.held(2300, 3900) < 1000


def test_readers_at_several_places_all_get_on_and_are_forgotten_when_they_leave() -> None:
    content = os.urandom(4000 * CHUNK)
    with playing(content, rate=300_000.0) as swarm, httpx.Client() as client:
        streams, kept = [], []
        for place in (0, 1500, 3000):
            request = client.build_request("GET", swarm.url, headers={"range": f"bytes={place * CHUNK}-"})
            streams.append((place * CHUNK, client.send(request, stream=True)))
        for place, stream in streams:
            pieces, got = stream.iter_raw(), b""
            while len(got) < 50_000:
                got += next(pieces)
            kept.append(pieces)
            assert got == content[place : place + len(got)]
        readers = swarm.stats()["readers"]
        assert len(readers) == 3
        assert all(reader["buffer_ahead"] >= 0 for reader in readers)
        for _, stream in streams:
            stream.close()
        swarm.until(lambda stats: not stats["readers"])
        assert not swarm.peer._endpoint._swarms[swarm.uri.metadata.swarm_id].deadlines


def test_too_many_readers_are_told_to_come_back() -> None:
    with playing(os.urandom(4000 * CHUNK), rate=100_000.0, max_readers=2) as swarm, httpx.Client() as client:
        with client.stream("GET", swarm.url), client.stream("GET", swarm.url):
            answer = client.get(swarm.url)
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
            assert client.head(swarm.base + "/stats").status_code == 200
        swarm.until(lambda stats: not stats["readers"])


def test_who_reads_slowly_is_not_read_ahead_of() -> None:
    """Back-pressure: what the client does not take stays where it is."""
    content = os.urandom(20_000 * CHUNK)
    with playing(content) as swarm:
        swarm.until(lambda stats: stats["complete"])
        host, port = swarm.base.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.sendall(f"GET {swarm.gateway.path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            time.sleep(0.5)
            (reader,) = swarm.stats()["readers"]
            assert reader["position"] < len(content) / 2
        swarm.until(lambda stats: not stats["readers"])


def test_a_source_that_falls_silent_only_makes_the_reader_wait() -> None:
    content = os.urandom(2000 * CHUNK)
    with playing(content, rate=500_000.0) as swarm:
        result: list[bytes] = []
        thread = threading.Thread(target=lambda: result.append(curl(swarm.url)))
        thread.start()
        swarm.until(lambda stats: stats["chunks_held"] > 200 and stats["readers"])
        swarm.set_rate(1.0)
        time.sleep(0.3)
        swarm.set_rate(None)
        thread.join(60)
        assert result == [content]
        assert swarm.stats()["waits"] > 0


def test_a_store_that_fails_is_503_for_who_comes_and_the_end_for_who_reads() -> None:
    content = os.urandom(20_000 * CHUNK)
    with playing(content, rate=400_000.0, patience=5.0) as swarm, httpx.Client() as client:
        swarm.until(lambda stats: stats["chunks_held"] > 50)
        store = swarm.peer.store

        def fail() -> None:
            store._max_size = 0  # type: ignore[attr-defined]

        with client.stream("GET", swarm.url) as stream:
            swarm.call(fail)
            with pytest.raises(httpx.RemoteProtocolError):
                stream.read()
        # What is held already is still sent: a chunk that is not, wherever the picker began.
        missing = swarm.call(lambda: swarm.peer.held_until(19_000))
        answer = client.get(swarm.url, headers={"range": f"bytes={missing * CHUNK}-"})
        assert answer.status_code == 503
        assert answer.text.startswith("The content cannot be stored: ")


def test_no_octet_is_written_that_is_not_verified() -> None:
    """RFC 7574 section 12.7: a peer that pollutes the content."""
    content = os.urandom(500 * CHUNK)
    with playing(content, liar=True) as swarm:
        assert curl(swarm.url) == content
        assert swarm.stats()["chunks_refused"] <= 1  # it is not spoken to any more
    with playing(content, liar=True, sourceless=True, patience=1.0) as swarm:
        assert get(swarm).status_code == 503


def test_the_page_of_the_gateway_is_whole_by_itself(swarm: Playing) -> None:
    answer = httpx.get(swarm.base + "/")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; script-src 'sha256-")
    assert "http://" not in answer.text
    assert "https://" not in answer.text


def test_other_kinds_of_asgi_scopes_do_no_harm(swarm: Playing) -> None:
    said: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        return {"type": "websocket.connect"}

    async def send(message: dict[str, object]) -> None:
        said.append(message)

    asyncio.run(Gateway(swarm.peer)({"type": "websocket"}, receive, send))  # type: ignore[arg-type]
    assert said == [{"type": "websocket.close", "code": 1000}]


def test_statistics_are_json_that_any_program_reads(swarm: Playing) -> None:
    assert json.loads(curl(swarm.base + "/stats"))["swarm_id"] == swarm.uri.metadata.swarm_id.hex()

"""Transfers between real servers: two of ours, nginx, servers that lie."""

import asyncio
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from decade_caches import free_port, nginx_config, program, running
from decade_orders import TEMPLATE, ended, order
from decade_server import HELLO, OCTETS, bearer, token
from decade_tokens import ACCOUNT
from decade_transfers import request
from decade_two import LOOPBACK, Certificates, Liar, Names, Site, says, until

import decade.transfer
from decade.cose import HmacKey
from decade.errors import ErrorCode
from decade.messages import MEDIA_TYPE, Direction, Remote, TransferState, TransferStatus, decode_message, encode_message
from decade.names import name_of
from decade.transfer import ObjectTransfer
from interop.decade_addresses import AddressPolicy
from interop.decade_transfers import client_tls

LARGE = bytes(range(251)) * 4178
"""1 MiB, and some octets."""


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def sites(certificates):
    """Makes sites, and servers that lie, and ends them."""
    made = []

    def make(kind=Site, *arguments, **more):
        made.append(kind(certificates.authority if kind is Site else certificates, *arguments, **more))
        return made[-1]

    yield make
    for site in reversed(made):
        site.close()


@pytest.fixture(scope="module")
def shared(certificates):
    made = Site(certificates.authority)
    yield made
    made.close()


@pytest.fixture
def puller(shared):
    """A site that has nothing."""
    yield shared
    httpx.delete(shared.url + HELLO.path, headers=dict(bearer(token(aud=(shared.url,)))))


@pytest.fixture
def fast(monkeypatch):
    """Pauses of a test."""
    monkeypatch.setattr(decade.transfer, "LONGEST_PAUSE", 0.05)
    monkeypatch.setattr(decade.transfer, "SHORTEST_PAUSE", 0.05)


@pytest.fixture
def impatient(monkeypatch, fast):
    """Patience of a test, which is that of the server again when it has left somebody who was asked."""
    patience, pause = (decade.transfer.ANSWER_TIMEOUT, decade.transfer.STALL), ObjectTransfer._pause
    monkeypatch.setattr(decade.transfer, "ANSWER_TIMEOUT", 0.2)
    monkeypatch.setattr(decade.transfer, "STALL", 0.2)

    def until_left(heads):
        def then_patient(*arguments):
            if heads:
                decade.transfer.ANSWER_TIMEOUT, decade.transfer.STALL = patience
            pause(*arguments)

        monkeypatch.setattr(ObjectTransfer, "_pause", then_patient)

    return until_left


def stored(site, octets):
    """What a site holds, over HTTP."""
    return httpx.get(site.url + name_of(octets).path, headers=dict(bearer(token(aud=(site.url,)))))


def put(site, certificates, octets):
    """Store at a site over its own protocol."""
    key = dict(bearer(token(aud=(site.url,))))
    url = f"{site.url.replace('sa.test', '127.0.0.1')}{name_of(octets).path}"
    answer = httpx.put(url, content=octets, headers=key, verify=client_tls(str(certificates.authority)))
    assert answer.status_code == 201


def test_an_object_goes_from_a_server_to_another_on_the_order_of_curl(sites, certificates, tmp_path):
    source, puller = sites(certificate=certificates.address), sites()
    for octets in (OCTETS, LARGE):
        put(source, certificates, octets)
    names = (HELLO, name_of(LARGE))
    message = request(*names, remote=Remote(object_template=source.url + TEMPLATE), token=token(aud=(source.url,)))
    body = tmp_path / "transfer"
    body.write_bytes(encode_message(message))
    field = ": ".join(bearer(token(aud=(puller.url,)))[0])
    command = ["curl", "-sS", "--fail", "-H", f"Content-Type: {MEDIA_TYPE}", "-H", field, "--max-time", "60"]
    ordered = subprocess.run(
        [
            *command,
            "--data-binary",
            f"@{body}",
            "-D",
            "-",
            "-o",
            str(tmp_path / "status"),
            puller.url + "/decade/v1/transfers",
        ],
        capture_output=True,
        check=True,
    ).stdout.decode()
    assert ordered.startswith("HTTP/1.1 202 ")
    location = next(line.split(": ")[1] for line in ordered.splitlines() if line.lower().startswith("location:"))

    def status():
        octets = subprocess.run([*command, puller.url + location.strip()], capture_output=True, check=True).stdout
        return decode_message(octets)

    until(lambda: status().state == TransferState.DONE)
    whole = status()
    assert isinstance(whole, TransferStatus)
    assert (whole.done, whole.total) == (len(OCTETS) + len(LARGE),) * 2
    for octets in (OCTETS, LARGE):
        assert stored(puller, octets).content == octets
    until(lambda: puller.quotas.holding((ACCOUNT,)).reserved == 0)
    until(lambda: (puller.server.requests, source.server.requests) == (0, 0))


def test_an_object_is_pushed_to_another_server_once(sites, certificates):
    target, pusher = sites(certificate=certificates.address), sites()
    put(pusher, certificates, LARGE)
    name = name_of(LARGE)
    assert ended(order(pusher, target.url, name, direction=Direction.PUSH)).state == TransferState.DONE
    assert target.store.find(ACCOUNT, name).size == len(LARGE)
    sent = pusher.server._core.traffic.at((ACCOUNT,)).sent.octets
    assert sent == len(LARGE)
    assert ended(order(pusher, target.url, name, direction=Direction.PUSH)).state == TransferState.DONE
    assert pusher.server._core.traffic.at((ACCOUNT,)).sent.octets == sent


def test_a_push_that_is_refused_fails_and_leaves_nothing_open(sites, certificates):
    target, pusher = sites(certificate=certificates.address), sites()
    put(pusher, certificates, LARGE)
    credential = token(HmacKey(bytes(32), b"nobody"), aud=(target.url,))
    transfer = order(pusher, target.url, name_of(LARGE), direction=Direction.PUSH, credential=credential)
    assert ended(transfer).items[0].error == ErrorCode.REMOTE_REFUSED
    until(lambda: (pusher.server.requests, target.server.requests, target.store.payloads) == (0, 0, 0))


def test_nginx_is_a_remote_server_and_a_cut_is_resumed(sites, certificates, tmp_path, fast):
    folder = tmp_path / "site" / ".well-known" / "ni" / "sha-256"
    folder.mkdir(parents=True)
    (folder / name_of(LARGE).text).write_bytes(LARGE)
    port = free_port()
    certificate, key = certificates.address
    config = nginx_config(
        tmp_path,
        f"""server {{ listen 127.0.0.1:{port} ssl; root {tmp_path}/site;
        ssl_certificate {certificate}; ssl_certificate_key {key}; ssl_protocols TLSv1.3; }}""",
    )
    puller = sites()
    with running([program("nginx"), "-c", str(config)], port, tmp_path / "log"):
        etag = httpx.head(
            f"https://127.0.0.1:{port}{name_of(LARGE).path}", verify=client_tls(str(certificates.authority))
        ).headers["ETag"]
        half = len(LARGE) // 2
        head = ("200 OK", f"Content-Length: {len(LARGE)}", f"ETag: {etag}")
        liar = sites(
            Liar,
            says(head, LARGE[:half], then=False),
            says(("307 Elsewhere", f"Location: https://sa.test:{port}{name_of(LARGE).path}", "Content-Length: 0")),
        )
        status = ended(order(puller, liar.url, name_of(LARGE)))
    assert status.state == TransferState.DONE
    assert f"range: bytes={half}-" in liar.heads[1].lower()
    assert f"if-match: {etag}".lower() in liar.heads[1].lower()
    assert stored(puller, LARGE).content == LARGE


def test_the_token_is_for_the_server_that_it_names_alone(sites, puller):
    there = sites(Liar, says(("200 OK", "Content-Length: 12"), OCTETS))
    here = sites(Liar, says(("307 Elsewhere", f"Location: https://sc.test:{there.port}/x", "Content-Length: 0")))
    assert ended(order(puller, here.url)).state == TransferState.DONE
    assert "authorization: bearer" in here.heads[0].lower()
    assert "authorization" not in there.heads[0].lower()
    assert f"host: sc.test:{there.port}" in there.heads[0].lower()
    assert "accept-encoding: identity" in there.heads[0].lower()
    assert "cookie" not in there.heads[0].lower()


async def _drip(reader, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n")
    for octet in OCTETS:
        writer.write(bytes((octet,)))
        await writer.drain()
        await asyncio.sleep(0.1)


async def _silence(reader, writer):
    await asyncio.sleep(60)


async def _endless_head(reader, writer):
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while not writer.is_closing():
        writer.write(b"X: " + b"y" * 1000 + b"\r\n")
        await writer.drain()
        await asyncio.sleep(0)


async def _endless_continue(reader, writer):
    while not writer.is_closing():
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0)


async def _endless(reader, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"Hello!" * 1000)
        await writer.drain()
        await asyncio.sleep(0)


LIES = [
    (says(("200 OK", "Content-Length: 12"), b"Hello World?"), ErrorCode.REMOTE_MISMATCH),
    (says(("200 OK", "Transfer-Encoding: chunked"), b"c\r\nHello World!\r\n0\r\n\r\n"), ErrorCode.REMOTE_REFUSED),
    (says(("200 OK",), OCTETS, then=False), ErrorCode.REMOTE_REFUSED),
    (says(("200 OK", "Content-Length: 999999999999"), OCTETS), ErrorCode.TOO_LARGE),
    (says(("200 OK", "Content-Length: 12", "Content-Encoding: gzip"), OCTETS), ErrorCode.REMOTE_MISMATCH),
    (says(("206 Part", "Content-Range: bytes 3-11/12", "Content-Length: 9"), OCTETS[3:]), ErrorCode.REMOTE_REFUSED),
    (says(("404 Not Found", "Content-Length: 0")), ErrorCode.REMOTE_REFUSED),
    (says(("301 Moved", "Location: /x", "Content-Length: 0")), ErrorCode.LOOP_DETECTED),
    (says(("307 Moved", "Location: http://sa.test/", "Content-Length: 0")), ErrorCode.REMOTE_REFUSED),
    (says(("307 Moved", "Location: file:///etc/passwd", "Content-Length: 0")), ErrorCode.REMOTE_REFUSED),
    (says(("307 Moved", "Location: https://u:p@sa.test/", "Content-Length: 0")), ErrorCode.REMOTE_REFUSED),
    (says(("307 Moved", "Location: https://169.254.169.254/", "Content-Length: 0")), ErrorCode.REMOTE_UNREACHABLE),
    (says(("307 Moved", "Location: https://[::1]/", "Content-Length: 0")), ErrorCode.REMOTE_UNREACHABLE),
    (says(("307 Moved", "Location: https://10.0.0.1/", "Content-Length: 0")), ErrorCode.REMOTE_UNREACHABLE),
    (_endless, ErrorCode.REMOTE_MISMATCH),
]


@pytest.mark.parametrize(("script", "code"), LIES)
def test_a_server_that_lies_is_found_out(sites, puller, fast, script, code):
    liar = sites(Liar, script)
    status = ended(order(puller, liar.url))
    assert [(item.state, item.error) for item in status.items] == [(TransferState.FAILED, code)]
    until(lambda: (puller.server.requests, puller.store.payloads) == (0, 0))
    until(lambda: puller.quotas.holding((ACCOUNT,)).used == 0)


@pytest.mark.parametrize("script", [_drip, _silence, _endless_head, _endless_continue, says("what?", then=False)])
def test_a_server_that_takes_its_time_is_left_and_asked_again(sites, puller, impatient, script):
    liar = sites(Liar, script, says(("200 OK", "Content-Length: 12"), OCTETS))
    impatient(liar.heads)
    assert ended(order(puller, liar.url)).state == TransferState.DONE
    assert len(liar.heads) == 2
    until(lambda: puller.server.requests == 0)


def test_a_busy_server_is_asked_again(sites, puller, fast):
    liar = sites(
        Liar,
        says(("503 Busy", "Content-Length: 0", "Retry-After: 0")),
        says(("429 Slow", "Content-Length: 0")),
        says(("200 OK", "Content-Length: 12"), OCTETS),
    )
    assert ended(order(puller, liar.url)).state == TransferState.DONE
    assert len(liar.heads) == 3


def test_a_transfer_that_is_cancelled_hangs_up(sites, puller):
    gone = asyncio.Event()

    async def slow(reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nHello")
        await writer.drain()
        await reader.read()
        gone.set()

    liar = sites(Liar, slow)
    transfer = order(puller, liar.url)
    until(lambda: transfer.items[0].done == 5)
    answer = httpx.delete(
        f"{puller.url}/decade/v1/transfers/{transfer.id.hex()}", headers=dict(bearer(token(aud=(puller.url,))))
    )
    assert answer.status_code == 204
    until(gone.is_set)
    assert ended(transfer).state == TransferState.CANCELLED
    until(lambda: puller.quotas.holding((ACCOUNT,)).used == 0)


def test_a_certificate_of_another_name_is_no_server(sites, puller, fast):
    liar = sites(Liar, says(("200 OK", "Content-Length: 12"), OCTETS))
    url = f"https://other.test:{liar.port}"
    assert ended(order(puller, url)).items[0].error == ErrorCode.REMOTE_UNREACHABLE
    assert liar.heads == []


def test_a_name_is_resolved_once_and_what_was_checked_is_connected_to(sites):
    """Rebinding: the second answer would be an address that is allowed here, and is never asked for."""
    names = Names(sa_test=[("8.8.8.8", "10.0.0.1"), ("127.0.0.1",)])
    liar, puller = (
        sites(Liar, says(("200 OK", "Content-Length: 12"), OCTETS)),
        sites(policy=AddressPolicy(), names=names),
    )
    assert ended(order(puller, liar.url)).items[0].error == ErrorCode.REMOTE_UNREACHABLE
    assert names.asked == ["sa.test"]
    names = Names(sa_test=[("127.0.0.1",), ("10.0.0.1",)])
    puller = sites(policy=LOOPBACK, names=names)
    assert ended(order(puller, liar.url)).state == TransferState.DONE
    assert names.asked == ["sa.test"]


def test_a_store_of_files_receives_it_and_a_read_joins_it(sites, certificates, tmp_path):
    asked = threading.Event()

    async def slow(reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(LARGE) + LARGE[:1000])
        await asyncio.to_thread(asked.wait, 60)
        writer.write(LARGE[1000:])
        await writer.drain()

    liar = sites(Liar, slow)
    puller = sites(root=tmp_path / "store")
    transfer = order(puller, liar.url, name_of(LARGE))
    until(lambda: transfer.items[0].done == 1000)
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(stored, puller, LARGE)
        until(lambda: len(puller.server._core.objects.arrivals))
        asked.set()
        assert read.result(60).content == LARGE
    assert ended(transfer).state == TransferState.DONE


def test_objects_of_one_server_share_connections_and_many_go_side_by_side(sites):
    bodies = {name_of(b"%d" % number).path: b"%d" % number for number in range(60)}
    here, most, many = [], [], asyncio.Event()

    async def serve(reader, writer):
        here.append(writer)
        most.append(len(here))
        if len(here) > 10:
            many.set()
        await many.wait()
        await asyncio.sleep(0.02)
        body = bodies[writer.target]
        await says(("200 OK", f"Content-Length: {len(body)}"), body)(reader, writer)
        here.remove(writer)

    liar = sites(Liar, serve)
    puller = sites(transfers=24)
    status = ended(order(puller, liar.url, *(name_of(body) for body in bodies.values())))
    assert status.state == TransferState.DONE
    assert 10 < max(most) <= 12
    assert len(puller.names.asked) <= 24


def test_a_host_may_be_trusted_by_its_name(sites):
    liar = sites(Liar, says(("200 OK", "Content-Length: 12"), OCTETS))
    puller = sites(policy=AddressPolicy(hosts=frozenset({"sa.test"})))
    assert ended(order(puller, liar.url)).state == TransferState.DONE


def test_a_server_that_ends_hangs_up_and_gives_back(sites):
    liar = sites(Liar, _silence)
    puller = sites()
    transfer = order(puller, liar.url)
    until(lambda: liar.heads)
    puller.close()
    assert transfer.state == TransferState.RUNNING
    puller.close()

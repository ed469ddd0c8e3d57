"""Several `ietf-p2p tracker` processes, on one Redis and as several trackers of a swarm: one is killed, all is well."""

import asyncio
import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from decade_scale import RedisProcess

import interop.cli.tracker
from interop.cli.tracker import command
from interop.tracker_client import TrackerSession
from interop.tracker_running import Tracker, TrackerConfig, TrackerConfigError
from ppsp.tracker import (
    MEDIA_TYPE,
    Action,
    AddressType,
    ClientTiming,
    ConnectRequest,
    ErrorCode,
    FindRequest,
    Limits,
    PeerAddr,
    PeerMode,
    ResponseMessage,
    StatReportRequest,
    SwarmAction,
    encode,
    parse_response,
)

SEEDER, LEECH = PeerMode.SEEDER, PeerMode.LEECH
FAST = ClientTiming(first_find=0.05, find=0.1, report=0.1, first_retry=0.05, retry=0.2)
SWARM = bytes(32)

Start = Callable[..., tuple[subprocess.Popen[str], str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a tracker; returns the process and its URL."""
    processes: list[subprocess.Popen[str]] = []

    def run(*words: str, listen: str = "127.0.0.1:0") -> tuple[subprocess.Popen[str], str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "interop", "tracker", "--listen", listen, "--json", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "NO_PROXY": "*"},
        )
        processes.append(process)
        line = process.stdout.readline()
        assert line, process.stderr.read()
        return process, json.loads(line)["url"]

    yield run
    for process in processes:
        process.kill()
        process.communicate()


def ask(url: str, message: ConnectRequest | FindRequest | StatReportRequest) -> tuple[int, ResponseMessage]:
    response = httpx.post(url, content=encode(message), headers={"Content-Type": MEDIA_TYPE}, trust_env=False)
    return response.status_code, parse_response(response.content).message


def joining(peer_id: str, mode: PeerMode, transaction_id: str = "1") -> ConnectRequest:
    addresses = (PeerAddr("127.0.0.1", 4000 + len(peer_id)),)
    return ConnectRequest(transaction_id, peer_id, (SwarmAction("s", Action.JOIN, mode),), peer_addr=addresses)


def listed(answer: ResponseMessage) -> set[str]:
    return {peer.peer_id for peer in answer.swarm_result[0].peer_group or ()}


def test_two_trackers_on_one_redis_are_one_tracker_and_the_death_of_one_harms_nobody(start):
    redis = RedisProcess()
    try:
        killed, first = start("--store", redis.url, "--stats")
        _, second = start("--store", redis.url, "--stats")
        assert ask(first, joining("source", SEEDER))[1].error_code == 0
        assert listed(ask(second, joining("viewer", LEECH))[1]) == {"source"}
        killed.kill()
        killed.wait()
        assert listed(ask(second, FindRequest("2", "viewer", "s"))[1]) == {"source"}
        # A request that the dead one has carried out is repeated at the other.
        assert ask(second, joining("source", SEEDER))[1].error_code == 0
        told = httpx.get(second + "stats", trust_env=False).json()
        assert (told["peers"], told["swarms"], told["memberships"], told["state"]) == (2, 1, 2, "STARTED")
        assert told["largest_swarms"] == [{"swarm_id": "s", "seeders": 1, "leeches": 1}]
        assert told["requests"] == {"CONNECT": 2, "FIND": 1, "STAT_REPORT": 0}
        assert "127.0.0.1" not in json.dumps(told)
        _, third = start("--store", redis.url)
        assert listed(ask(third, FindRequest("3", "viewer", "s"))[1]) == {"source"}
    finally:
        redis.close()


def test_while_redis_hangs_the_tracker_answers_what_needs_none_and_afterwards_everything(start):
    redis = RedisProcess()
    try:
        process, url = start("--store", redis.url)
        assert ask(url, joining("viewer", LEECH))[1].error_code == 0
        redis.hang()

        async def both() -> tuple[httpx.Response, httpx.Response]:
            headers = {"Content-Type": MEDIA_TYPE}
            async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
                waiting = asyncio.create_task(
                    http.post(url, content=encode(FindRequest("1", "viewer", "s")), headers=headers)
                )
                await asyncio.sleep(0.2)
                with contextlib.suppress(ValueError):
                    # Its head is read by the HTTP server, in another thread than the one that waits.
                    reader, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(url).port)
                    writer.write(b"POST / HTTP/1.1\r\n\r\n")
                    assert (await reader.read(100)).startswith(b"HTTP/1.1 400")
                    writer.close()
                assert not waiting.done()
                return await waiting, await http.post(
                    url, content=encode(FindRequest("1", "viewer", "s")), headers=headers
                )

        for response in asyncio.run(both()):
            assert response.status_code == 503
            assert parse_response(response.content).message.error_code == ErrorCode.SERVICE_UNAVAILABLE
        redis.go_on()
        redis.restart()
        status = 503
        while status == 503:
            status, answer = ask(url, FindRequest("2", "viewer", "s"))
        assert answer.error_code == 0
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=60) == ("", "")
    finally:
        redis.close()


class Peer:
    """A peer at several trackers, as `SwarmPeer` is: one session each, and one list of all that they name."""

    def __init__(self) -> None:
        self.found: set[tuple[str, int]] = set()

    def on_peers(self, swarm_id: bytes, addresses: list[tuple[str, int]]) -> None:
        self.found.update(addresses)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.02)


def test_a_peer_at_two_trackers_has_the_peers_of_both_and_goes_on_when_one_dies_and_comes_back(start):
    doomed, first = start()
    _, second = start()

    async def run() -> None:
        peer = Peer()
        async with contextlib.AsyncExitStack() as stack:

            async def session(url: str, peer_id: str, port: int, mode: PeerMode, whose: Peer) -> TrackerSession:
                opened = await stack.enter_async_context(
                    await TrackerSession.open(
                        url, peer_id, listens_on=[("127.0.0.1", port)], on_peers=whose.on_peers, timing=FAST
                    )
                )
                opened.join(SWARM, mode)
                await opened.joined(SWARM)
                return opened

            await session(first, "only at the first", 1001, SEEDER, Peer())
            await session(second, "only at the second", 1002, SEEDER, Peer())
            for url in (first, second):
                await session(url, "at both", 1000, LEECH, peer)
            await until(lambda: peer.found == {("127.0.0.1", 1001), ("127.0.0.1", 1002)})
            await asyncio.to_thread(kill, doomed)
            await session(second, "late", 1003, SEEDER, Peer())
            await until(lambda: ("127.0.0.1", 1003) in peer.found)
            # What comes back knows nobody: the peers register again by themselves (RFC 7846 section 2.3).
            await asyncio.to_thread(start, listen=f"127.0.0.1:{httpx.URL(first).port}")
            peer.found.clear()
            await until(lambda: ("127.0.0.1", 1001) in peer.found)

    asyncio.run(run())


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()


def test_other_machines_are_served_over_https_alone(start):
    """RFC 7846 section 6.1: TLS MUST be used in the communication between peers and tracker"""
    done = subprocess.run(
        [sys.executable, "-m", "interop", "tracker", "--listen", "0.0.0.0:0"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "peers elsewhere need HTTPS" in done.stderr
    process, _ = start("--insecure", listen="0.0.0.0:0")
    assert process.poll() is None


def test_a_store_that_is_none_is_said_at_once(tmp_path):
    for store, reason in (("http://127.0.0.1/", "scheme"), (f"unix://{tmp_path}/none", "No such file")):
        with pytest.raises(TrackerConfigError, match=f"--store: .*{reason}") as caught:
            Tracker(TrackerConfig(store=store))
        assert "\n" not in str(caught.value)


def certificate(folder: Path, name: str, *more: str) -> tuple[Path, Path]:
    """A certificate for this machine and its key, made by OpenSSL."""
    pem, key = folder / f"{name}.pem", folder / f"{name}.key"
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", str(key), "-days", "2"]
    subject = ["-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run(
        ["openssl", "req", "-x509", *new_key, *subject, *more, "-out", str(pem)], check=True, capture_output=True
    )
    return pem, key


def curl(url: str, *words: str, body: bytes) -> ResponseMessage:
    head = ["-H", f"Content-Type: {MEDIA_TYPE}", "--data-binary", "@-", "--noproxy", "*", "--max-time", "60"]
    done = subprocess.run(["curl", "-sS", *head, *words, url], input=body, capture_output=True, check=True)
    return parse_response(done.stdout).message


def test_curl_with_a_password_or_a_certificate_and_openssl_with_a_certificate_over_tls(start, tmp_path):
    """RFC 7846 section 4: HTTP Digest MUST be supported, with TLS Client Authentication as the preferred mechanism"""
    pem, key = certificate(tmp_path, "localhost")
    ca, ca_key = certificate(tmp_path, "clients")
    anna, anna_key = certificate(tmp_path, "anna", "-CA", str(ca), "-CAkey", str(ca_key))
    users = tmp_path / "users"
    users.write_text(
        "bob:ppsp:"
        + subprocess.run(
            ["sh", "-c", "printf %s bob:ppsp:secret | sha256sum"], capture_output=True, text=True, check=True
        ).stdout.split()[0]
    )
    process, url = start(
        "--tls-certificate", str(pem), "--tls-key", str(key), "--client-ca", str(ca), "--users", str(users), "--stats"
    )
    trust = ["--cacert", str(pem)]
    body = encode(joining("bob's", SEEDER))
    assert curl(url, *trust, body=body).error_code == ErrorCode.AUTHENTICATION_REQUIRED
    assert curl(url, *trust, "--digest", "-u", "bob:wrong", body=body).error_code == 6
    assert curl(url, *trust, "--digest", "-u", "bob:secret", body=body).error_code == 0
    shown = ["--cert", str(anna), "--key", str(anna_key)]
    assert listed(curl(url, *trust, *shown, body=encode(joining("anna's", LEECH)))) == {"bob's"}
    assert curl(url, *trust, *shown, body=body).error_code == ErrorCode.FORBIDDEN_ACTION
    assert httpx.get(url + "stats", verify=False, trust_env=False).status_code == 401
    find = encode(FindRequest("7", "anna's", "s"))
    head = f"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: {MEDIA_TYPE}\r\nContent-Length: {len(find)}\r\n"
    where = ["-connect", f"127.0.0.1:{httpx.URL(url).port}", "-CAfile", str(pem), "-verify_return_error"]
    done = subprocess.run(
        ["openssl", "s_client", "-quiet", "-ign_eof", *where, "-cert", str(anna), "-key", str(anna_key)],
        input=head.encode() + b"Connection: close\r\n\r\n" + find,
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert listed(parse_response(done.stdout.partition(b"\r\n\r\n")[2]).message) == {"bob's"}
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=60) == ("", "")


class Turns:
    """A load balancer: each connection goes to the next of the servers behind it."""

    def __init__(self, *ports: int) -> None:
        self._ports = itertools.cycle(ports)
        self.taken: list[int] = []

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port = next(self._ports)
        self.taken.append(port)
        behind, to_behind = await asyncio.open_connection("127.0.0.1", port)

        async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                sink.write(data)
            sink.close()

        await asyncio.gather(copy(reader, to_behind), copy(behind, writer))

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0)
        async with server:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


def test_curl_with_a_password_does_not_notice_which_of_two_trackers_answers(start, tmp_path):
    """RFC 7616 section 3.3: each takes the nonces of the other, as each has the peers of the other"""
    users = tmp_path / "users"
    digest = subprocess.run(["sh", "-c", "printf %s bob:ppsp:secret | sha256sum"], capture_output=True, check=True)
    users.write_bytes(b"bob:ppsp:" + digest.stdout.split()[0])
    redis = RedisProcess()
    try:
        ports = [httpx.URL(start("--store", redis.url, "--users", str(users))[1]).port for _ in range(2)]

        async def run() -> None:
            turns = Turns(*ports)
            async with turns.serving() as url:
                # curl asks for a nonce first; the connection is closed, so that it proves its password to the other.
                words = ["-H", "Connection: close", "--digest", "-u", "bob:secret"]
                for number, name in enumerate(("one", "two", "three"), 1):
                    body = encode(joining(name, SEEDER))
                    assert (await asyncio.to_thread(curl, url, *words, body=body)).error_code == 0
                    assert len(turns.taken) == 2 * number
                words[-1] = "bob:wrong"
                body = encode(joining("four", SEEDER))
                assert (await asyncio.to_thread(curl, url, *words, body=body)).error_code == 6

        asyncio.run(run())
        assert redis.client().ttl("{ppsp}:nonce-key") == -1
    finally:
        redis.close()


def test_through_a_proxy_curl_says_where_it_wants_to_go_and_proves_who_it_is(start, tmp_path):
    """RFC 9112 section 3.2.2: the target is in absolute form then"""
    users = tmp_path / "users"
    digest = subprocess.run(["sh", "-c", "printf %s bob:ppsp:secret | sha256sum"], capture_output=True, check=True)
    users.write_bytes(b"bob:ppsp:" + digest.stdout.split()[0])
    _, url = start("--users", str(users))
    words = ["--digest", "-u", "bob:secret", "--noproxy", "", "--proxy", url]
    assert curl("http://tracker.example/swarms", *words, body=encode(joining("a", SEEDER))).error_code == 0
    assert curl("http://tracker.example", *words, body=encode(joining("b", SEEDER))).error_code == 0


def test_behind_a_proxy_that_is_trusted_peers_are_where_it_says_and_behind_no_other(start):
    """Limits, --hold-ids and --own-addresses are about peers, and not about the proxy"""
    words = ["--host-limit", "1", "--own-addresses", "--hold-ids"]
    _, trusting = start(*words, "--trusted-proxy", "127.0.0.0/8")
    _, other = start(*words, "--trusted-proxy", "192.0.2.1")

    def told(url: str, peer_id: str, source: str, address: str | None) -> tuple[int, ResponseMessage]:
        addresses = (PeerAddr(address, 7000),) if address else ()
        message = ConnectRequest("1", peer_id, (SwarmAction("s", Action.JOIN, LEECH),), peer_addr=addresses)
        headers = {"Content-Type": MEDIA_TYPE, "X-Forwarded-For": source}
        response = httpx.post(url, content=encode(message), headers=headers, trust_env=False)
        return response.status_code, parse_response(response.content).message

    # Whatever the client has written itself stands before what the proxy has.
    status, answer = told(trusting, "a", "192.0.2.9, 203.0.113.5", "203.0.113.5")
    assert (status, answer.error_code, answer.peer_addr) == (200, 0, None)
    assert told(trusting, "b", "203.0.113.5", "203.0.113.5")[0] == 429
    assert told(trusting, "c", "203.0.113.6", "8.8.8.8")[1].error_code == ErrorCode.FORBIDDEN_ACTION
    assert told(trusting, "a", "203.0.113.6", "203.0.113.6")[1].error_code == ErrorCode.FORBIDDEN_ACTION
    assert told(trusting, "c", "203.0.113.6", None)[1].error_code == ErrorCode.BAD_REQUEST
    status, answer = told(trusting, "d", "203.0.113.7:4000", None)
    assert answer.peer_addr == PeerAddr("203.0.113.7", 4000, type=AddressType.REFLEXIVE)
    status, answer = told(other, "a", "203.0.113.5", None)
    assert (status, answer.peer_addr.address) == (200, "127.0.0.1")
    with pytest.raises(TrackerConfigError, match="--trusted-proxy nowhere"):
        Tracker(TrackerConfig(proxies=("nowhere",)))


@pytest.mark.parametrize(
    ("words", "due"),
    [((), Limits().memberships_per_host), (("--host-limit", "7"), 7), (("--host-limit", "0"), Limits().memberships)],
)
def test_what_one_host_may_fill_is_the_operators_choice(monkeypatch, words, due):
    configs: list[TrackerConfig] = []
    monkeypatch.setattr(interop.cli.tracker, "_serve", lambda config, place: configs.append(config))
    command.main([*words], standalone_mode=False)
    assert configs[0].limits.memberships_per_host == due


def test_seed_and_fetch_log_in_by_password_token_and_certificate_at_a_tracker_that_wants_it(start, cli, tmp_path):
    """RFC 7846 section 6.1: Digest, certificates, and OAuth 2.0"""
    pem, key = certificate(tmp_path, "localhost")
    ca, ca_key = certificate(tmp_path, "clients")
    certificate(tmp_path, "anna", "-CA", str(ca), "-CAkey", str(ca_key))
    users = tmp_path / "users"
    digest = subprocess.run(["sh", "-c", "printf %s bob:ppsp:secret | sha256sum"], capture_output=True, check=True)
    users.write_bytes(b"bob:ppsp:" + digest.stdout.split()[0])
    issuer = ed25519.Ed25519PrivateKey.generate()
    (tmp_path / "issuer").write_bytes(issuer.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    token = jwt.encode({"sub": "carol", "aud": "swarms", "exp": time.time() + 600}, issuer, algorithm="EdDSA")
    words = ["--tls-certificate", pem, "--tls-key", key, "--users", users, "--client-ca", ca]
    words += ["--token-keys", tmp_path / "issuer", "--token-audience", "swarms"]
    _, url = start(*map(str, words))
    logins = {
        "password": 'user = "bob"\npassword = "secret"',
        "token": f'token = "{token}"',
        "certificate": 'certificate = "anna.pem"\nkey = "anna.key"',
        "junk": 'token = "junk"',
    }
    for name, lines in logins.items():
        (tmp_path / f"{name}.toml").write_text(f'[tracker."{url}"]\n{lines}\nca = "localhost.pem"\n')
    content = os.urandom(50_000)
    (tmp_path / "film").write_bytes(content)
    _, event = cli.seed(tmp_path / "film", "--tracker", url, "--tracker-login", tmp_path / "password.toml")
    fetches = {
        name: cli.fetch(event["uri"], name, "--tracker-login", tmp_path / f"{name}.toml", "--timeout", "60")
        for name in ("token", "certificate", "junk")
    }
    stranger = cli.fetch(event["uri"], "stranger", "--timeout", "60")
    for name in ("token", "certificate"):
        status, _, stderr = cli.finish(fetches[name])
        assert status == 0, stderr
        assert (tmp_path / name).read_bytes() == content
    status, _, stderr = cli.finish(fetches["junk"])
    assert status != 0
    assert "Authentication required" in stderr
    status, _, stderr = cli.finish(stranger)
    assert status != 0
    assert "certificate" in stderr.lower()

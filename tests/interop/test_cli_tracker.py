"""`ietf-p2p tracker` as a process of its own, asked by curl and httpx."""

import asyncio
import contextlib
import json
import os
import re
import resource
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from interop.cli.tracker import command
from interop.tracker_client import TrackerError, TrackerSession
from interop.tracker_login import load_logins
from ppsp.tracker import MEDIA_TYPE, ErrorCode, PeerMode, ResponseMessage, parse_response

EXAMPLES = Path(__file__).parents[1] / "data" / "ppstp_examples"
POST = {"Content-Type": MEDIA_TYPE}

Start = Callable[..., tuple[subprocess.Popen[str], str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a tracker on a free port; returns the process and the first line it prints."""
    processes: list[subprocess.Popen[str]] = []

    def run(
        *arguments: str, listen: str = "127.0.0.1:0", setup: Callable[[], None] | None = None
    ) -> tuple[subprocess.Popen[str], str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "interop", "tracker", "--listen", listen, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": ""},
            preexec_fn=setup,
        )
        processes.append(process)
        return process, process.stdout.readline()

    yield run
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


def url_in(line: str) -> str:
    return re.search(r"https?://\S+", line)[0]


def curl(url: str, *arguments: str, body: bytes = b"", media_type: str = MEDIA_TYPE) -> tuple[int, bytes]:
    """Post with curl, a foreign HTTP implementation; it has to be there. Returns the status and the body."""
    options = ["--silent", "--show-error", "--noproxy", "*", "--max-time", "60", "-w", "%{stderr}%{http_code}"]
    done = subprocess.run(
        ["curl", *options, "-H", f"Content-Type: {media_type}", "--data-binary", "@-", *arguments, url],
        input=body,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stderr), done.stdout


def answered(response: tuple[int, bytes]) -> ResponseMessage:
    return parse_response(response[1]).message


def test_the_examples_of_the_rfc_posted_by_curl(start):
    """RFC 7846 sections 4.1.1.1, 4.1.2.1, 4.1.3.1"""
    _, line = start()
    url = url_in(line) + "video_1"

    def post(name: str) -> ResponseMessage:
        status, body = curl(url, body=(EXAMPLES / f"{name}.rfc.txt").read_bytes())
        assert status == 200
        return parse_response(body).message

    assert [one.result for one in post("connect_req_seeder").swarm_result] == [0, 0]
    joined = post("connect_req_leech")
    assert joined.peer_addr is None  # its ability_nat is STUN
    assert [peer.peer_id for peer in joined.swarm_result[0].peer_group] == ["656164657220"]
    assert [peer.peer_addr.address for peer in post("find_req").swarm_result[0].peer_group] == ["192.0.2.2"]
    assert [one.result for one in post("stat_report_req").swarm_result] == [0]
    assert [one.result for one in post("connect_req_leave_join").swarm_result] == [0, 0]


def test_malformed_requests_posted_by_curl_get_the_errors_of_the_rfc(start):
    """RFC 7846 section 4.3"""
    _, line = start()
    url = url_in(line)
    version_2 = b'{"PPSPTrackerProtocol": {"version": 2, "transaction_id": "7"}}'
    find = (EXAMPLES / "find_req.rfc.txt").read_bytes()
    for body, status, error in [
        (b"", 400, ErrorCode.BAD_REQUEST),
        (b"{", 400, ErrorCode.BAD_REQUEST),
        (b"[" * 60_000, 400, ErrorCode.BAD_REQUEST),
        (find.replace(b'"12345"', b"1e999"), 400, ErrorCode.BAD_REQUEST),
        (os.urandom(300), 400, ErrorCode.BAD_REQUEST),
        (b"x" * 10**6, 413, ErrorCode.BAD_REQUEST),
        (version_2, 200, ErrorCode.UNSUPPORTED_VERSION_NUMBER),
        (find, 200, ErrorCode.FORBIDDEN_ACTION),
    ]:
        response = curl(url, "-H", "Expect:", body=body)
        assert (response[0], answered(response).error_code) == (status, error)
    assert curl(url, body=find, media_type="text/plain")[0] == 415
    assert answered(curl(url, "-X", "PUT", body=find)).error_code == ErrorCode.BAD_REQUEST
    assert curl(url, "--http1.0", body=find)[0] == 200
    assert curl(url, "-H", "Transfer-Encoding: chunked", body=find)[0] == 200


def test_httpx_finds_one_line_with_the_url_and_a_tracker_behind_it(start):
    process, line = start("--json")
    url = json.loads(line)["url"]
    with httpx.Client(trust_env=False) as client:
        get = client.get(url)
        assert (get.status_code, get.headers["allow"]) == (405, "POST")
        head = client.head(url)
        assert (head.status_code, head.content) == (405, b"")
        assert "server" not in get.headers
        for _ in range(3):
            response = client.post(url, content=(EXAMPLES / "connect_req_leech.rfc.txt").read_bytes(), headers=POST)
            assert (response.status_code, response.headers["content-type"]) == (200, MEDIA_TYPE)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60) == ("", "")


def test_a_forged_forwarding_header_does_not_change_the_address_seen(start):
    """RFC 7846 section 4.1.1: the tracker inspects the public address itself"""
    _, line = start()
    body = (EXAMPLES / "connect_req_seeder.strict.json").read_bytes()
    response = answered(curl(url_in(line), "-H", "X-Forwarded-For: 203.0.113.66", body=body))
    assert response.peer_addr.address == "127.0.0.1"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly_even_with_a_connection_open(start, number):
    process, line = start()
    with httpx.Client(trust_env=False) as client:
        client.get(url_in(line))
        process.send_signal(number)
        assert process.wait(timeout=60) == 0
    assert process.communicate() == ("", "")


def self_signed(folder: Path, names: str = "DNS:localhost,IP:127.0.0.1") -> tuple[Path, Path]:
    """A certificate for this machine, or for other names, and its key, made by OpenSSL; it has to be there."""
    certificate, key = folder / "tracker.pem", folder / "tracker.key"
    subject = ["-subj", "/CN=localhost", "-addext", f"subjectAltName={names}", "-days", "2"]
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", str(key)]
    subprocess.run(
        ["openssl", "req", "-x509", *new_key, *subject, "-out", str(certificate)], check=True, capture_output=True
    )
    return certificate, key


def test_it_speaks_https(start, tmp_path):
    """RFC 7846 section 4: implementations MUST support the https URI scheme and TLS"""
    certificate, key = self_signed(tmp_path)
    _, line = start("--tls-certificate", str(certificate), "--tls-key", str(key))
    url = url_in(line)
    assert url.startswith("https://127.0.0.1:")
    body = (EXAMPLES / "connect_req_seeder.rfc.txt").read_bytes()
    assert answered(curl(url, "--cacert", str(certificate), body=body)).error_code == 0


@pytest.mark.skipif(not socket.has_ipv6, reason="the machine has no IPv6")
def test_it_listens_on_ipv6(start):
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("the machine has no IPv6 loopback")
    _, line = start(listen="[::1]:0")
    assert url_in(line).startswith("http://[::1]:")
    body = (EXAMPLES / "connect_req_seeder.rfc.txt").read_bytes()
    assert answered(curl(url_in(line), "-g", body=body)).peer_addr.address == "::1"


def _mistake(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "interop", "tracker", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_used_port_is_one_line_and_exit_status_2():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert f"127.0.0.1 port {port}: Address already in use" in _mistake("--listen", f"127.0.0.1:{port}")


@pytest.mark.parametrize(
    ("listen", "reason"),
    [
        ("8700", "not HOST:PORT"),
        ("127.0.0.1", "not HOST:PORT"),
        ("127.0.0.1:70000", "not HOST:PORT"),
        ("127.0.0.1:http", "not HOST:PORT"),
        ("::1:8700", "not HOST:PORT"),
        ("nobody.invalid:8700", "cannot listen on nobody.invalid"),
        (f"{'a' * 300}:8700", "not the name of a host"),
        ("192.0.2.1:8700", "Cannot assign requested address"),
    ],
)
def test_a_bad_address_is_one_line_and_exit_status_2(listen, reason):
    assert reason in _mistake("--listen", listen)


def test_a_certificate_that_is_none_is_one_line_and_exit_status_2(tmp_path):
    missing, junk = str(tmp_path / "missing.pem"), tmp_path / "junk.pem"
    junk.write_text("hello")
    assert "go together" in _mistake("--tls-certificate", str(junk))
    assert "No such file" in _mistake("--tls-certificate", missing, "--tls-key", missing)
    assert "no certificate" in _mistake("--tls-certificate", str(junk), "--tls-key", str(junk))


def test_help_ends_with_an_example():
    result = CliRunner().invoke(command, ["--help"], prog_name="ietf-p2p tracker")
    assert result.exit_code == 0
    assert result.output.rstrip().splitlines()[-2].strip() == "ietf-p2p tracker --listen 127.0.0.1:8700"


def test_strict_follows_table_6(start):
    """RFC 7846 table 6: a SEEDER's JOIN from TRACKING is invalid"""
    _, line = start("--strict")
    body = (EXAMPLES / "connect_req_seeder.rfc.txt").read_bytes()
    assert answered(curl(url_in(line), body=body)).error_code == 0
    again = body.replace(b'"12345"', b'"12346"')
    assert answered(curl(url_in(line), body=again)).error_code == ErrorCode.FORBIDDEN_ACTION


def test_a_connection_that_is_cut_in_the_middle_of_a_request_harms_nobody(start):
    process, line = start()
    host, port = re.search(r"//([^:]+):(\d+)", line).groups()
    for _ in range(5):
        with socket.create_connection((host, int(port))) as connection:
            head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: {MEDIA_TYPE}\r\nContent-Length: 400\r\n\r\n{{"
            connection.sendall(head.encode())
    body = (EXAMPLES / "connect_req_seeder.rfc.txt").read_bytes()
    assert answered(curl(url_in(line), body=body)).error_code == 0
    process.send_signal(signal.SIGINT)
    output: Any = None
    with contextlib.suppress(subprocess.TimeoutExpired):
        output = process.communicate(timeout=60)
    assert output == ("", "")


def test_a_stranger_fills_neither_the_memory_nor_the_log(start):
    process, line = start()
    host, port = re.search(r"//([^:]+):(\d+)", line).groups()
    for junk in (
        b"\x16\x03\x01" + os.urandom(300),
        b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    ):
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(junk)
            assert connection.recv(100).startswith(b"HTTP/1.1 40")
    endless = b"".join(b"x-%d: %s\r\n" % (number, b"y" * 8000) for number in range(5000))
    with socket.create_connection((host, int(port))) as connection:
        connection.settimeout(60)
        with pytest.raises(ConnectionError):
            connection.sendall(b"POST / HTTP/1.1\r\n" + endless)
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=60) == ("", "")


def test_connections_without_end_are_turned_away_and_the_log_stays_empty(start):
    process, line = start(setup=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)))
    host, port = re.search(r"//([^:]+):(\d+)", line).groups()
    body = (EXAMPLES / "connect_req_seeder.rfc.txt").read_bytes()
    with httpx.Client(trust_env=False) as early, contextlib.ExitStack() as stack:
        assert early.post(url_in(line), content=body, headers=POST).status_code == 200
        crowd = [stack.enter_context(socket.create_connection((host, int(port)), timeout=60)) for _ in range(150)]
        assert crowd[-1].recv(1) == b""
        assert early.post(url_in(line), content=body, headers=POST).status_code == 200
    assert answered(curl(url_in(line), "--retry", "5", "--retry-all-errors", body=body)).error_code == 0
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=60) == ("", "")


def test_a_peer_that_comes_does_not_wait_until_those_before_it_have_all_they_asked_for(start):
    _, line = start()
    host, port = re.search(r"//([^:]+):(\d+)", line).groups()
    with contextlib.ExitStack() as stack:

        def ask(times: int) -> socket.socket:
            connection = stack.enter_context(socket.create_connection((host, int(port)), timeout=60))
            connection.sendall(b"GET / HTTP/1.1\r\nHost: tracker\r\n\r\n" * times)
            return connection

        busy = [ask(200) for _ in range(100)]
        assert ask(1).recv(100).startswith(b"HTTP/1.1 405")
        busy[0].setblocking(False)
        assert busy[0].recv(2**20).count(b"HTTP/1.1 405") < 100


def test_a_peer_speaks_https_with_a_tracker_whose_certificate_it_trusts_and_with_no_other(start, tmp_path):
    """RFC 7846 sections 4, 6.1, 6.5: peers MUST support https and TLS"""
    certificate, key = self_signed(tmp_path)
    _, line = start("--tls-certificate", str(certificate), "--tls-key", str(key))
    swarm_id = bytes(32)

    async def run() -> None:
        trusting = ssl.create_default_context(cafile=str(certificate))
        async with await TrackerSession.open(url_in(line), "peer", verify=trusting) as session:
            session.join(swarm_id, PeerMode.LEECH)
            await session.joined(swarm_id)
        async with await TrackerSession.open(url_in(line), "other") as session:
            session.join(swarm_id, PeerMode.LEECH)
            with pytest.raises(TrackerError, match="CERTIFICATE_VERIFY_FAILED"):
                await session.joined(swarm_id)

    asyncio.run(run())


@pytest.mark.parametrize("insecure", [False, True])
def test_a_certificate_of_another_host_is_refused_by_who_trusts_its_issuer_whatever_else_is_allowed(
    start, tmp_path, insecure
):
    """RFC 7846 section 6.1. `--insecure-tracker` lets plain HTTP pass; it does not make TLS believe anybody."""
    certificate, key = self_signed(tmp_path, "DNS:tracker.example,IP:192.0.2.1")
    _, line = start("--tls-certificate", str(certificate), "--tls-key", str(key))
    logins = tmp_path / "logins.toml"
    logins.write_text(f'[tracker."{url_in(line)}"]\nca = "{certificate}"\n')
    swarm_id = bytes(32)

    async def run() -> None:
        login = load_logins(logins).of(url_in(line))
        async with await TrackerSession.open(
            url_in(line), "peer", verify=login.verify, auth=login.auth, insecure=insecure
        ) as session:
            session.join(swarm_id, PeerMode.LEECH)
            with pytest.raises(TrackerError, match=r"CERTIFICATE_VERIFY_FAILED.*127\.0\.0\.1"):
                await session.joined(swarm_id)

    asyncio.run(run())

"""A whole ALTO server over HTTP under the hands of schemathesis, which knows no ALTO, and of mutants that know it well.

The same mutants go to the server itself in tests/fuzz/test_fuzz_alto.py, more of them.
"""

import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from alto_judge import Judge
from alto_mutations import mutants
from alto_openapi import openapi
from alto_serving import running, wait_until
from alto_whole import ASKED, SECRET, whole_server
from hypothesis import given, settings
from hypothesis import strategies as st

from alto.http import Response
from interop.alto_server import AltoApp

SOAK = os.environ.get("HYPOTHESIS_PROFILE") == "soak"


class Live:
    """A server that runs, its directory, and a client."""

    def __init__(self, url: str, app: AltoApp, client: httpx.Client) -> None:
        self.url, self.app, self.client = url, app, client
        self.directory: Any = client.get("/").json()
        self.judge = Judge(self.directory, f"{url}/")

    def post(self, name: str, body: bytes) -> Response:
        """The answer; of a stream the first event of its control and of each resource."""
        headers = {"Content-Type": self.directory["resources"][name]["accepts"]}
        with self.client.stream("POST", f"/{name}", content=body, headers=headers) as answer:
            if answer.headers["content-type"] != "text/event-stream":
                octets = answer.read()
            else:
                octets = b""
                pieces = answer.iter_bytes()
                while octets.count(b"event: ") <= len(json.loads(body)["add"]) or not octets.endswith(b"\n\n"):
                    octets += next(pieces)
        return Response(answer.status_code, tuple(answer.headers.items()), octets)


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    app = AltoApp(whole_server(""))
    with running(app) as url, httpx.Client(base_url=url, timeout=60) as client:
        yield Live(url, app, client)


@pytest.fixture(autouse=True)
def nothing_fails_inside(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_schemathesis_finds_no_fault(live: Live, tmp_path: Path) -> None:
    """Its own examples, and data that are valid by the RFCs' schemas and that are not; names are not in schemas."""
    resources = {name: entry for name, entry in live.directory["resources"].items() if name != SECRET}
    document = openapi({**live.directory, "resources": resources}, ASKED)
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    command = [str(Path(sys.executable).with_name("schemathesis")), "run", "openapi.json", "--url", live.url]
    options = ["--max-examples", "500" if SOAK else "6", "--seed", "1", "--no-color", "--request-timeout", "20"]
    limits = ["--phases", "examples,coverage,fuzzing", "--exclude-checks", "positive_data_acceptance"]
    health = ["--suppress-health-check", "all", "--report", "json", "--report-json-path", "report.json"]
    done = subprocess.run([*command, *options, *limits, *health], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    assert f"Tested: {len(resources) + 1}" in done.stdout


@given(name=st.sampled_from(sorted(ASKED)), data=st.data())
@settings(max_examples=5000 if SOAK else 80)
def test_whatever_is_posted_over_http_gets_a_document_or_one_true_error(live: Live, name: str, data: Any) -> None:
    body = data.draw(mutants(ASKED[name]))
    answer = live.post(name, body)
    assert live.judge.judge(name, body, answer) == live.judge.judge(name, body, live.post(name, body))


def test_what_is_asked_rightly_is_answered_over_http(live: Live) -> None:
    for name, bodies in ASKED.items():
        for body in bodies:
            octets = json.dumps(body).encode()
            assert live.judge.judge(name, octets, live.post(name, octets)) == "ok", (name, body)
    wait_until(lambda: live.app.open_count == 0)


def raw(url: str, octets: bytes) -> bytes:
    """What comes back for octets that no HTTP library sends."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(octets)
        connection.shutdown(socket.SHUT_WR)
        found = b""
        try:
            while piece := connection.recv(65536):
                found += piece
        except ConnectionError:
            pass
        return found


_POST = b"POST /some-pids HTTP/1.1\r\nHost: x\r\nContent-Type: application/alto-networkmapfilter+json\r\n"


@pytest.mark.parametrize(
    "octets",
    [
        b"\0" * 100,
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET http://[::1/ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a b\"<script>\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"Accept: */*\r\n" * 5000 + b"\r\n",
        _POST + b"Content-Length: -1\r\n\r\n{}",
        _POST + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        _POST + b"Content-Length: 99999999999999999999\r\n\r\n{}",
        _POST + b"Content-Length: 50\r\n\r\n{}",
        _POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}",
        _POST + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        _POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{",
        _POST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{}",
    ],
)  # fmt: skip
def test_octets_that_are_hardly_http_do_no_harm(live: Live, octets: bytes) -> None:
    answer = raw(live.url, octets)
    assert b"Traceback" not in answer
    assert not answer.startswith(b"HTTP/1.1 5")
    assert live.client.get("/network-map").status_code == 200

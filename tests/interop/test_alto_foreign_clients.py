"""Every kind of resource asked by curl, by httpx and by Node's fetch: each gets what the others get.

Update streams are read by httpx-sse and curl in test_alto_updates.py; here Node reads one.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import json_merge_patch
import jsonpatch
import pytest
from alto_everything import cost_map, network_map
from alto_judge import Judge, parts
from alto_serving import curl, running, wait_until
from alto_whole import ASKED, SECRET, whole_server

from alto import media
from alto.http import Response
from interop.alto_server import AltoApp

SCRIPT = Path(__file__).parent / "data" / "alto_client.mjs"


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[AltoApp, str]]:
    app = AltoApp(whole_server(""))
    with running(app) as url:
        yield app, url


@pytest.fixture(scope="module")
def directory(served: tuple[AltoApp, str]) -> Any:
    return httpx.get(f"{served[1]}/").json()


def questions(directory: Any) -> list[tuple[str, Any]]:
    """Each resource that is no stream, with None for a GET and each body for a POST."""
    return [
        (name, body)
        for name, entry in directory["resources"].items()
        if entry["media-type"] != media.EVENT_STREAM and name != SECRET
        for body in (ASKED[name] if "accepts" in entry else [None])
    ]


def by_curl(url: str, entry: Any, body: Any) -> Response:
    words = [] if body is None else ["-H", f"Content-Type: {entry['accepts']}", "--data-binary", json.dumps(body)]
    words += ["-H", f"Accept: {entry['media-type']},{media.ERROR}", "--compressed", "-i", url + entry["uri"]]
    head, _, octets = curl(*words).stdout.partition(b"\r\n\r\n")
    line, *fields = head.decode().split("\r\n")
    return Response(int(line.split()[1]), tuple(tuple(field.split(": ", 1)) for field in fields), octets)  # type: ignore[misc]


def by_httpx(client: httpx.Client, entry: Any, body: Any) -> Response:
    headers = {"Accept": f"{entry['media-type']},{media.ERROR}"}
    if body is None:
        answer = client.get(entry["uri"], headers=headers)
    else:
        answer = client.post(entry["uri"], json=body, headers={**headers, "Content-Type": entry["accepts"]})
    return Response(answer.status_code, tuple(answer.headers.items()), answer.content)


def meaning(kind: str, octets: bytes) -> Any:
    """What is the same whoever asks: not the names and tags of path vectors, nor the URI of a view."""
    if kind.startswith(media.MULTIPART_RELATED):
        root, properties = parts(kind, octets)
        return sorted(root), sorted(map(sorted, root[sorted(root)[0]])), len(properties["property-map"])
    tree = json.loads(octets)
    tree.pop("tips-view-uri", None)
    return tree


def test_curl_httpx_and_node_get_the_same_of_every_resource(served: tuple[AltoApp, str], directory: Any) -> None:
    _, url = served
    judge = Judge(directory, f"{url}/")
    by_node = run_node(url)
    with httpx.Client(base_url=url) as client:
        for name, body in questions(directory):
            entry = directory["resources"][name]
            mine, theirs, other = by_curl(url, entry, body), by_httpx(client, entry, body), next(by_node)
            kind = mine.header("Content-Type")
            assert other["name"] == name
            assert (mine.status, theirs.status, other["status"]) == (200, 200, 200)
            assert kind == entry["media-type"] or kind.startswith(media.MULTIPART_RELATED)
            if body is not None:
                assert judge.judge(name, json.dumps(body).encode(), mine) == "ok"
            expected = meaning(kind, mine.body)
            assert meaning(theirs.header("Content-Type"), theirs.body) == expected
            assert meaning(other["type"], other["text"].encode()) == expected
    by_node.close()


def test_curl_and_httpx_are_told_the_same_errors(served: tuple[AltoApp, str], directory: Any) -> None:
    _, url = served
    judge = Judge(directory, f"{url}/")
    with httpx.Client(base_url=url) as client:
        for name in ASKED:
            entry = directory["resources"][name]
            for body in ({}, [], {"cost-type": 1, "add": 1, "resource-id": 1, "pids": 1}):
                mine, theirs = by_curl(url, entry, body), by_httpx(client, entry, body)
                assert (mine.status, mine.body) == (theirs.status, theirs.body)
                assert judge.judge(name, json.dumps(body).encode(), mine) != "ok"


def test_curl_and_httpx_validate_what_they_have_of_every_map(served: tuple[AltoApp, str], directory: Any) -> None:
    _, url = served
    with httpx.Client(base_url=url) as client:
        for name, body in questions(directory):
            if body is None:
                uri = directory["resources"][name]["uri"]
                tag = client.get(uri).headers["etag"]
                assert client.get(uri, headers={"If-None-Match": tag}).status_code == 304
                words = ("--compressed", "-o", "/dev/null", "-w", "%{http_code}", "-H", f"If-None-Match: {tag}")
                assert curl(*words, url + uri).stdout == b"304"


def run_node(url: str) -> Iterator[Any]:
    """What the script says, line by line."""
    node = shutil.which("node")
    assert node is not None, "Node.js is needed: .ci/packages installs it"
    with subprocess.Popen(
        [node, str(SCRIPT), f"{url}/"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            json.dump({name: bodies for name, bodies in ASKED.items() if name != SECRET}, process.stdin)
            process.stdin.close()
            for line in process.stdout:
                yield json.loads(line)
        finally:
            process.kill()


def test_node_follows_a_map_by_an_update_stream() -> None:
    """RFC 8895."""
    app = AltoApp(whole_server(""))
    with running(app) as url, httpx.Client(base_url=url) as client:
        lines = (line for line in run_node(url) if "event" in line)
        control, whole = next(lines), next(lines)
        assert control["event"] == media.UPDATE_STREAM_CONTROL
        assert whole["event"] == f"{media.NETWORK_MAP},map"
        app.submit(network_map(PID1={"ipv4": ["192.0.2.0/29"]}), cost_map(3.0)).result(20)
        change = next(lines)
        # This client has asked for the whole each time (`incremental-changes`).
        assert change["event"] == f"{media.NETWORK_MAP},map"
        assert change["data"] == client.get("/network-map").json()
        lines.close()
        wait_until(lambda: app.open_count == 0)


def test_curl_waits_for_the_next_version_of_a_map() -> None:
    """RFC 9569: a long poll, whose answer foreign libraries apply."""
    app = AltoApp(whole_server(""))
    with running(app) as url, httpx.Client(base_url=url) as client:
        before = client.get("/costs").json()
        headers = {"Content-Type": media.TIPS_PARAMS}
        view = client.post("/tips", json={"resource-id": "costs"}, headers=headers).json()["tips-view-uri"]
        assert curl(f"{view}/ug/0/1").stdout == client.get("/costs").content
        command = ["curl", "--silent", "--include", "--max-time", "60", f"{view}/ug/1/2"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as poll:
            wait_until(lambda: app.open_count == 1)
            app.submit(cost_map(3.0)).result(20)
            head, _, body = poll.communicate()[0].partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK")
        patch = json.loads(body)
        if f"content-type: {media.MERGE_PATCH}".encode() in head:
            after = json_merge_patch.merge(before, patch)
        else:
            after = jsonpatch.apply_patch(before, patch)
        assert after == client.get("/costs").json()

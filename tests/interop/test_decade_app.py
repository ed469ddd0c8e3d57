"""A DECADE server as an ASGI application, asked by httpx and curl over uvicorn with httptools and with h11."""

from collections.abc import Iterator

import httpx
import pytest
from decade_served import Served, fields, serving
from decade_server import HELLO, OCTETS

from decade.names import name_of

LARGE = bytes(range(256)) * 16 * 1024
"""4 MiB: more than all the buffers on the way."""


@pytest.fixture(params=["httptools", "h11"])
def served(request) -> Iterator[Served]:
    with serving(http=request.param) as found:
        yield found


def test_an_object_is_stored_and_fetched(served):
    url = served.url + HELLO.path
    assert httpx.put(url, content=OCTETS, headers=fields()).status_code == 201
    answer = httpx.get(url, headers=fields())
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (200, OCTETS, HELLO.etag)
    assert httpx.head(url, headers=fields()).headers["content-length"] == "12"
    part = httpx.get(url, headers={**fields(), "Range": "bytes=6-10"})
    assert (part.status_code, part.content, part.headers["content-range"]) == (206, b"World", "bytes 6-10/12")
    assert httpx.get(url, headers={**fields(), "If-None-Match": HELLO.etag}).status_code == 304
    assert httpx.delete(url, headers=fields()).status_code == 204
    assert httpx.get(url, headers=fields()).status_code == 410


def test_a_large_object_comes_whole(served):
    url = served.url + name_of(LARGE).path
    assert httpx.put(url, content=LARGE, headers=fields()).status_code == 201
    assert httpx.get(url, headers=fields()).content == LARGE
    assert served.bench.server.requests == 0

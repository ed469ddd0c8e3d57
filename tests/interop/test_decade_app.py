"""A DECADE server as an ASGI application, asked by httpx and curl over uvicorn with httptools and with h11."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import uvicorn
from decade_server import HELLO, OCTETS, Bench, bearer, token

from decade.names import name_of
from interop._http_server import bind
from interop.decade_server import DecadeApp

LARGE = bytes(range(256)) * 16 * 1024
"""4 MiB: more than all the buffers on the way."""


class Served:
    """A server in memory, on a socket."""

    def __init__(self, http: str = "httptools", **settings: Any) -> None:
        self.bench = Bench(**settings)
        self.app = DecadeApp(self.bench.server, clock=lambda: self.bench.now)
        self.listener = bind("127.0.0.1", 0)
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        config = uvicorn.Config(self.app, http=http, log_level="critical", ws="none", timeout_graceful_shutdown=1)
        self.server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self.server.run, args=([self.listener],))
        self._thread.start()

    def close(self) -> None:
        self.server.should_exit = True
        self._thread.join()
        self.listener.close()


@contextlib.contextmanager
def serving(**settings: Any) -> Iterator[Served]:
    served = Served(**settings)
    try:
        yield served
    finally:
        served.close()


@pytest.fixture(params=["httptools", "h11"])
def served(request) -> Iterator[Served]:
    with serving(http=request.param) as found:
        yield found


def fields(key: bytes | None = None) -> dict[str, str]:
    return dict(bearer(token() if key is None else key))


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

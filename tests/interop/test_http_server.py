"""What the commands' HTTP server does around uvicorn."""

import socket
from collections.abc import Iterator

import pytest

from interop import _http_server

resource = pytest.importorskip("resource")


@pytest.fixture
def hard() -> Iterator[int]:
    """The hard limit; the soft one is restored behind the test."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield before[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def soft() -> int:
    found: int = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return found


def test_a_server_may_open_as_many_descriptors_as_the_hard_limit_allows(hard: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    _http_server.raise_descriptor_limit()
    most = _http_server.MAX_DESCRIPTORS
    assert soft() == (most if hard == resource.RLIM_INFINITY else min(hard, most))


def test_a_limit_that_is_higher_already_stays(hard: int, monkeypatch: pytest.MonkeyPatch) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    monkeypatch.setattr(_http_server, "MAX_DESCRIPTORS", 100)
    _http_server.raise_descriptor_limit()
    assert soft() == 256


def test_the_server_raises_its_limit_when_it_runs(hard: int, monkeypatch: pytest.MonkeyPatch) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    seen: list[int] = []
    monkeypatch.setattr(_http_server.uvicorn.Server, "run", lambda self, sockets: seen.append(soft()))
    with _http_server.bind("127.0.0.1", 0) as listener:
        _http_server.Server(_http_server.config(None), started=lambda: None).run(sockets=[listener])
    assert seen == [min(x for x in (hard, _http_server.MAX_DESCRIPTORS) if x != resource.RLIM_INFINITY)]


@pytest.mark.skipif(not hasattr(socket, "TCP_NOTSENT_LOWAT"), reason="the kernel has no such limit")
def test_the_kernel_takes_little_for_a_client_that_does_not_read() -> None:
    with _http_server.bind("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == _http_server.MAX_UNSENT

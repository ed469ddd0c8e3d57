"""A DECADE server in memory on a socket: uvicorn in a thread."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from decade_server import Bench, bearer, token

from interop._http_server import bind
from interop.decade_server import DecadeApp


def fields(key: bytes | None = None) -> dict[str, str]:
    """The header fields of a request with a token."""
    return dict(bearer(token() if key is None else key))


def until(condition: Callable[[], bool]) -> None:
    """Wait for what happens in the server's thread."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


class Served:
    """`http`: the parser of uvicorn. `app`: more arguments of DecadeApp. `around` makes another application of it.

    `prepare` is called with the Bench before the thread starts: two threads must not use a server at once. The others
    are those of Bench.
    """

    def __init__(
        self,
        http: str = "httptools",
        app: dict[str, Any] | None = None,
        access_log: bool = False,
        around: Callable[[Any], Any] = lambda app: app,
        prepare: Callable[[Bench], object] = lambda bench: None,
        **settings: Any,
    ) -> None:
        self.bench = Bench(**settings)
        prepare(self.bench)
        self.app = DecadeApp(self.bench.server, **{"clock": lambda: self.bench.now, **(app or {})})
        self.listener = bind("127.0.0.1", 0)
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        config = uvicorn.Config(
            around(self.app),
            http=http,
            ws="none",
            log_config=None,
            log_level="info" if access_log else "critical",
            access_log=access_log,
            timeout_graceful_shutdown=1,
        )
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

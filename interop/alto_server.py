"""An ALTO server in an application: an ASGI application to mount or to run, and updates that reach its streams.

app = AltoApp(AltoServer(directory, epoch=time.time() - time.monotonic()))
Mount("/alto", app)                         # in Starlette or FastAPI, or `serve(app)` alone
await app.update(new_network_map)           # from any event loop; `app.submit` from any thread
"""

import asyncio
import concurrent.futures
import functools
import ipaddress
import logging
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from alto.ports import Resource
from alto.server import AltoServer, Prepared
from interop._asgi_parts import Receive, Scope, Send
from interop._http_server import Server, bind, config, url
from interop._http_tls import CertificateHttpProtocol
from interop.asgi import Adapter, asgi

logger = logging.getLogger(__name__)

_HOST = re.compile(r"(?:[A-Za-z0-9._\-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")


class AltoApp:
    """The ASGI application of an AltoServer, whose `now` is `clock`.

    A server that was not told its base URI finds it in each request: where the application is mounted, and the Host
    field. `client_header` names the field in which a proxy says who its client is, such as `X-Forwarded-For`, whose
    last element counts. It is to be given only where nobody but that proxy can reach this server: anybody can write it.

    It serves one event loop at a time; `update` and `submit` may be called from everywhere.
    """

    def __init__(
        self,
        server: AltoServer,
        *,
        clock: Callable[[], float] = time.monotonic,
        client_header: str | None = None,
    ) -> None:
        self.server = server
        self._clock = clock
        self._client_header = client_header.lower().encode("ascii") if client_header is not None else None
        self._adapter = asgi(server, clock=clock, origin=self._origin)
        # Servers that were replaced, until what they had begun is over.
        self._former: list[Adapter] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._loop is None or self._loop.is_closed():
            self._loop = asyncio.get_running_loop()
        if scope["type"] == "lifespan":
            await self._encode_all()
        await self._adapter(scope, receive, send)

    @property
    def open_count(self) -> int:
        """How many answers go on: update streams, and long polls."""
        return self._adapter.open_count + sum(former.open_count for former in self._former)

    async def update(self, *resources: Resource) -> None:
        """Replace resources by those with the same IDs, and let the streams know.

        They are encoded and compressed in a thread, while the server goes on. Raises alto.ConfigurationError, with
        nothing changed, and what a resource raises.
        """
        prepared = await asyncio.to_thread(self.server.prepare, *resources)
        loop = self._serving_loop()
        if loop is None or loop is asyncio.get_running_loop():
            self._apply(prepared)
        else:
            await asyncio.wrap_future(_call(loop, functools.partial(self._apply, prepared)))

    def submit(self, *resources: Resource) -> concurrent.futures.Future[None]:
        """Like `update`, from a thread without an event loop; what goes wrong is in the future."""

        def prepare() -> Callable[[], None]:
            return functools.partial(self._apply, self.server.prepare(*resources))

        return self._submit(prepare)

    def replace(self, server: AltoServer) -> concurrent.futures.Future[None]:
        """Serve another server from now on, from a thread without an event loop; what goes wrong is in the future.

        Where the IDs of its resources are the same it is better to `submit` them: here streams and long polls end as
        if the connection was lost, and their clients begin anew.
        """

        def prepare() -> Callable[[], None]:
            server.apply(server.prepare(), self._clock())
            return functools.partial(self._replace, server)

        return self._submit(prepare)

    def call(self, work: Callable[[], None]) -> concurrent.futures.Future[None]:
        """Do `work` in the thread of the event loop, from a thread without one; what it raises is in the future."""
        return self._submit(lambda: work)

    def close(self, description: str = "the server is going down") -> None:
        """End every stream and long poll, and tell the clients why.

        `serve` does it; call it, from wherever, before another HTTP server waits for their end.
        """
        loop = self._serving_loop()
        work = functools.partial(self._close, description)
        if loop is None or loop is _running_loop():
            work()
        else:
            loop.call_soon_threadsafe(work)

    def _close(self, description: str) -> None:
        self.server.close(description)
        self._adapter.close()

    def _submit(self, prepare: Callable[[], Callable[[], None]]) -> concurrent.futures.Future[None]:
        """Do what `prepare` returns, in the thread of the event loop if there is one."""
        done: concurrent.futures.Future[None] = concurrent.futures.Future()
        loop = self._serving_loop()
        try:
            work = prepare()
            if loop is not None:
                return _call(loop, work)
            work()
        except Exception as error:
            logger.debug("an update failed", exc_info=error)
            done.set_exception(error)
        else:
            done.set_result(None)
        return done

    def _replace(self, server: AltoServer) -> None:
        self._adapter.close()
        self._former = [former for former in (*self._former, self._adapter) if former.open_count]
        self.server = server
        self._adapter = asgi(server, clock=self._clock, origin=self._origin)

    async def _encode_all(self) -> None:
        """So that the first who ask need not wait."""
        try:
            self.server.apply(await asyncio.to_thread(self.server.prepare), self._clock())
        except Exception:
            logger.exception("a resource that cannot be encoded")

    def _apply(self, prepared: Prepared) -> None:
        self.server.apply(prepared, self._clock())
        if self._serving_loop() is not None:
            self._adapter.wake()

    def _serving_loop(self) -> asyncio.AbstractEventLoop | None:
        """The event loop that the application is served in; None while there is none."""
        return self._loop if self._loop is not None and self._loop.is_running() else None

    def _origin(self, scope: Scope) -> Mapping[str, Any]:
        """Who has sent a request, and by which URI."""
        found: dict[str, Any] = {}
        tls: Mapping[str, Any] = scope.get("extensions", {}).get("tls", {})
        if tls.get("client_cert_name"):
            found["user"] = tls["client_cert_name"]
        if self._client_header is not None:
            found["peer"] = _forwarded(scope, self._client_header)
        if not self.server.base_uri:
            found["base_uri"] = _base_uri(scope)
        return found


def _running_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop of this thread; None where there is none."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _call(loop: asyncio.AbstractEventLoop, work: Callable[[], None]) -> concurrent.futures.Future[None]:
    """Do `work` in the thread of `loop`."""

    async def call() -> None:
        work()

    return asyncio.run_coroutine_threadsafe(call(), loop)


def _fields(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name]


def _base_uri(scope: Scope) -> str:
    """Where this request finds the application; a path alone where its Host field is none."""
    path = str(scope.get("root_path", "")).rstrip("/") + "/"
    hosts = _fields(scope, b"host")
    if len(hosts) != 1 or not _HOST.fullmatch(hosts[0]) or not path.isascii():
        return path
    return f"{scope.get('scheme', 'http')}://{hosts[0]}{path}"


def _forwarded(scope: Scope, header: bytes) -> tuple[str, int] | None:
    """The client that the proxy names; None where it names none, as the proxy's own address would be wrong."""
    text = ",".join(_fields(scope, header)).rpartition(",")[2].strip()
    try:
        return str(ipaddress.ip_address(text.removeprefix("[").removesuffix("]"))), 0
    except ValueError:
        return None


def serve(
    app: AltoApp,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    certificate: Path | None = None,
    key: Path | None = None,
    client_ca: Path | None = None,
    loop: Literal["asyncio", "uvloop"] = "asyncio",
    started: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve until SIGINT or SIGTERM, by HTTPS where there is a `certificate` with its `key` (PEM).

    A client that shows a certificate which `client_ca` has signed is known by its subject's name. `started` is called
    with the URL. Raises OSError for an address or a file that is of no use, UnicodeError for a host that is no name.
    """
    uvicorn_config = config(
        app, certificate=certificate, key=key, client_ca=client_ca, protocol=CertificateHttpProtocol, loop=loop
    )
    with bind(host, port) as listener:
        where = url(listener, "https" if uvicorn_config.is_ssl else "http")
        server = Server(uvicorn_config, started=lambda: started(where), before_end=app.close)
        server.run(sockets=[listener])

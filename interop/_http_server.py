"""Uvicorn as the commands run it: limits, a socket that is bound before anything starts, an end at the first signal."""

import contextlib
import errno
import logging
import os
import re
import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import uvicorn

from interop._http_limits import LimitedHttpProtocol
from interop._toml import Table

GRACE = 3
"""Seconds that an exchange under way gets when the server is stopped."""
MAX_DESCRIPTORS = 2**16
"""Descriptors that a server lets itself have, where the hard limit allows as many: a connection takes one, and update
streams are connections that stay. The usual soft limit of 1,024 is for programs that use select()."""


_LISTEN = re.compile(r"(?:\[([^\]]+)\]|([^:\s]+)):(\d{1,5})")

MAX_UNSENT = 2**18
"""Octets that the kernel takes for a client before they can be sent. It would take megabytes, of which a thousand
clients that read slowly make gigabytes, and what is not sent yet can no longer be left out."""


class Server(uvicorn.Server):
    """Uvicorn, saying when it listens, and ending without a second signal for the sake of the first.

    `before_end` is called before it waits for exchanges under way to end.
    """

    def __init__(
        self, config: uvicorn.Config, *, started: Callable[[], None], before_end: Callable[[], None] | None = None
    ) -> None:
        super().__init__(config)
        self._when_started = started
        self._before_end = before_end

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        raise_descriptor_limit()
        super().run(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._when_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._before_end is not None:
            self._before_end()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def raise_descriptor_limit() -> None:
    """Let this process open as many descriptors as it may, up to MAX_DESCRIPTORS."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MAX_DESCRIPTORS)
    if resource.RLIM_INFINITY != soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class Listener(socket.socket):
    """Turns connections away while the process has no descriptor left: asyncio logs each failure to accept one."""

    def __init__(self, family: int, kind: int, protocol: int) -> None:
        super().__init__(family, kind, protocol)
        self._spare = open(os.devnull)  # noqa: SIM115 - it is there to be closed when a descriptor is needed

    def accept(self) -> tuple[socket.socket, Any]:
        try:
            return super().accept()
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
        self._spare.close()
        super().accept()[0].close()
        self._spare = open(os.devnull)  # noqa: SIM115
        raise BlockingIOError

    def close(self) -> None:
        super().close()
        self._spare.close()


def parse_listen(text: str) -> tuple[str, int] | None:
    """`HOST:PORT`, an IPv6 address in brackets; None for anything else."""
    match = _LISTEN.fullmatch(text)
    return None if match is None or int(match[3]) > 65535 else (match[1] or match[2], int(match[3]))


def read_listen(root: Table, port: int) -> tuple[str, int]:
    """The key `listen` of a configuration, by default this port of the machine itself. Raises TomlError."""
    text = root.text("listen")
    found = ("127.0.0.1", port) if text is None else parse_listen(text)
    if found is None:
        raise root.wrong(f"{text!r} is not HOST:PORT (an IPv6 address stands in brackets)", "listen")
    return found


def bind(host: str, port: int) -> Listener:
    """A socket that listens there. Raises OSError, and UnicodeError for what is no name of a host."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = Listener(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):  # for the connections, too
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, MAX_UNSENT)
        listener.bind(address)
        # A port that another socket listens on is refused here and not by bind, if that one allows its reuse.
        listener.listen(2048)
    except OSError:
        listener.close()
        raise
    return listener


def url(listener: socket.socket, scheme: str) -> str:
    """Where `listener` is to be found."""
    host, port = listener.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}/" if ":" in host else f"{scheme}://{host}:{port}/"


def config(
    app: Any,
    *,
    certificate: Path | None = None,
    key: Path | None = None,
    client_ca: Path | None = None,
    protocol: type[LimitedHttpProtocol] = LimitedHttpProtocol,
    loop: Literal["asyncio", "uvloop"] = "asyncio",
) -> uvicorn.Config:
    """How uvicorn is to serve `app`; `client_ca` lets clients show certificates that it has signed.

    Raises OSError (ssl.SSLError is one) for a certificate or key that cannot be read or used.
    """
    made = uvicorn.Config(
        app,
        http=protocol,
        loop=loop,
        # Warnings are about requests that are none: whoever sends them would fill a log.
        log_level=logging.ERROR,
        access_log=False,
        server_header=False,
        # A server reports or uses the address it sees; a header that any client can write is not that.
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE,
        ws="none",
        ssl_certfile=str(certificate) if certificate else None,
        ssl_keyfile=str(key) if key else None,
        ssl_ca_certs=str(client_ca) if client_ca else None,
        ssl_cert_reqs=ssl.CERT_OPTIONAL if client_ca else ssl.CERT_NONE,
    )
    made.load()
    return made

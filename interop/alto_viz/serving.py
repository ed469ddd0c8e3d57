"""The page beside a server's resources: an ASGI application around that of the server."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

from alto import media
from alto.directory import Directory
from alto.errors import ConfigurationError
from interop._asgi_parts import Receive, Scope, Send
from interop.alto_server import AltoApp
from interop.alto_viz.page import Live, data, page_of, policy
from interop.alto_viz.snapshot import Snapshot
from interop.alto_viz.sources import snapshot_of_directory, substreams

NAME = "ui"
"""Where the page is below the server's own URI; its data are at `ui/data`."""
_DATA = f"{NAME}/data"

_COMMON = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
)


class AltoUi:
    """An ASGI application that shows the page at `ui`, and leaves everything else to the server's `app`.

    It takes the place of `app` in an HTTP server. The page shows what the server shows everybody, and is not there
    where that is nothing, as the server is private; where the server has an update stream, the page follows it. Raises
    ConfigurationError for a server that has a resource of that name.
    """

    def __init__(self, app: AltoApp) -> None:
        directory = app.server.directory
        if NAME in directory.resources or NAME in directory.services:
            raise ConfigurationError(f"a resource has the ID {NAME!r}, where the page would be")
        self.app = app
        self._making = asyncio.Lock()
        self._made: tuple[Directory, bytes] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        name = self._name(scope) if scope["type"] == "http" else None
        if name is None:
            await self.app(scope, receive, send)
        else:
            await self._answer(name, str(scope["method"]), send)

    def close(self) -> None:
        """Like `AltoApp.close`."""
        self.app.close()

    def _name(self, scope: Scope) -> str | None:
        """What is asked for below the server's URI, if it is the page or belongs to it."""
        base = self.app.server.base_uri
        prefix = urlsplit(base).path if base else str(scope.get("root_path", "")) + "/"
        path = str(scope["path"])
        name = path.removeprefix(prefix)
        is_ours = path.startswith(prefix) and name in (NAME, _DATA) and not self.app.server.is_private
        return name if is_ours else None

    async def _answer(self, name: str, method: str, send: Send) -> None:
        if method not in ("GET", "HEAD"):
            await _respond(send, method, 405, b"text/plain", b"GET is what it takes\n", ((b"allow", b"GET, HEAD"),))
        else:
            content = await self._current()
            if name == NAME:
                body = page_of(content, is_live=True)
                guard = f"{policy(is_live=True)}; frame-ancestors 'none'".encode("ascii")
                await _respond(
                    send, method, 200, b"text/html; charset=utf-8", body, ((b"content-security-policy", guard),)
                )
            else:
                await _respond(send, method, 200, b"application/json", content)

    async def _current(self) -> bytes:
        """The data of what the server holds, made once for all who ask until it changes."""
        async with self._making:
            if self._made is None or self._made[0] is not self.app.server.directory:
                self._made = await asyncio.to_thread(_make, self.app.server.directory)
            return self._made[1]


def _make(directory: Directory) -> tuple[Directory, bytes]:
    snapshot = snapshot_of_directory(directory)
    return directory, data(snapshot, live=_live(directory, snapshot))


def _live(directory: Directory, snapshot: Snapshot) -> Live:
    for service in directory.services.values():
        if media.is_media_type(service.media_type, media.EVENT_STREAM) and not service.is_private:
            add = substreams(snapshot, service.uses)
            if add:
                return Live(_DATA, service.id, add)
    return Live(_DATA)


async def _respond(
    send: Send, method: str, status: int, kind: bytes, body: bytes, more: tuple[tuple[bytes, bytes], ...] = ()
) -> None:
    length = str(len(body)).encode("ascii")
    headers = [(b"content-type", kind), (b"content-length", length), *_COMMON, *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else body})

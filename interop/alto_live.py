"""An ALTO server that follows its files: a change reaches its streams, and a mistake leaves everything as it was."""

import functools
import logging
import ssl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from attrs import frozen

from alto.auth import DigestAuthenticator, Verdict
from alto.errors import ConfigurationError
from alto.http import Request
from alto.ports import Resource
from alto.server import AltoServer
from interop._alto_filecache import FileCache, Signature
from interop.alto_config import ServerConfig
from interop.alto_plan import Plan, plan
from interop.alto_server import AltoApp
from interop.alto_sources import Credentials

logger = logging.getLogger(__name__)

POLL = 0.25
"""Seconds between two looks at the files; they are read once they stay the same from one to the next."""
_AGAIN = 60.0
"""Seconds until what could not be read when a calendar went on is tried again."""


@frozen
class Followed:
    """What has happened to a server."""

    kind: Literal["reloaded", "unchanged", "refused", "restart-needed"]
    text: str
    resource_ids: tuple[str, ...] = ()
    """Those that changed."""


class LiveServer:
    """The application of a configuration, made again whenever a file of it changes.

    `configure` makes the configuration, from `config_file` if there is one. `tell` hears, in a thread, what has
    happened. Raises ConfigurationError for a configuration that cannot be served. Usable as a context manager, within
    which the files are followed.
    """

    def __init__(
        self,
        configure: Callable[[], ServerConfig],
        tell: Callable[[Followed], None],
        *,
        config_file: Path | None = None,
    ) -> None:
        self._configure = configure
        self._tell = tell
        self._config_file = config_file
        self._files = FileCache()
        self.plan = self._plan()
        """What is served."""
        self._users = _Users(self.plan.credentials)
        self.app = AltoApp(self._server(self.plan), client_header=self.plan.config.client_header)
        self._context: ssl.SSLContext | None = None
        self._certificate = self._certificate_now()
        self._is_asked = False
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="alto-files", daemon=True)

    def __enter__(self) -> "LiveServer":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stopped.set()
        self._thread.join()

    def renew(self, context: ssl.SSLContext | None) -> None:
        """Load a certificate that has changed into the context with which the application is served."""
        self._context = context

    def reload(self) -> None:
        """Read every file soon, changed or not. It does so little that a signal handler may call it."""
        self._is_asked = True

    def _follow(self) -> None:
        before: dict[Path, Signature] | None = None
        due = self.plan.next_change
        while not self._stopped.wait(POLL):
            now = self._files.signatures() if self._files.changed() else None
            is_settled = now is not None and now == before
            before = now
            is_asked, self._is_asked = self._is_asked, False
            if is_asked or is_settled or (due is not None and time.time() >= due):
                due = self.plan.next_change if self._read(is_asked=is_asked) else time.time() + _AGAIN

    def _read(self, *, is_asked: bool) -> bool:
        """Read the files, and serve what is in them; False where nothing was changed because something is wrong."""
        try:
            made = self._plan()
            changed = self._apply(made)
        except ConfigurationError as error:
            self._tell(Followed("refused", str(error)))
            return False
        except Exception as error:
            logger.exception("the files cannot be served")
            self._tell(Followed("refused", f"{type(error).__name__}: {error}"))
            return False
        if _fixed(made.config) != _fixed(self.plan.config):
            text = "other values of listen, tls or client-header hold when the server is started again"
            self._tell(Followed("restart-needed", text))
        self.plan = made
        if changed:
            self._tell(Followed("reloaded", ", ".join(changed), tuple(changed)))
        elif is_asked:
            self._tell(Followed("unchanged", "nothing has changed"))
        return True

    def _plan(self) -> Plan:
        with self._files.collecting():
            if self._config_file is not None:
                self._files.watch(self._config_file)
            config = self._configure()
            for path in () if config.tls is None else (config.tls.certificate, config.tls.key):
                self._files.watch(path)
            return plan(config, self._files, wall=time.time())

    def _server(self, made: Plan) -> AltoServer:
        return made.server(None if made.credentials is None else self._users)

    def _apply(self, made: Plan) -> list[str]:
        """Serve another plan; what it changes. Raises ConfigurationError, with nothing changed."""
        load_certificate = self._renewal()
        if made.shape != self.plan.shape:
            self.app.replace(self._server(made)).result()
            changed = ["everything, as there are other resources or settings"]
        else:
            replaced = self._replaced(made)
            self.app.submit(*replaced).result()
            changed = [resource.id for resource in replaced]
        if self._users.change(made.credentials):
            changed.append("users")
        if load_certificate is not None:
            self.app.call(load_certificate).result()
            changed.append("certificate")
        return changed

    def _replaced(self, made: Plan) -> list[Resource]:
        """The resources that answer otherwise than those that are served."""
        before, after = self.plan.directory, made.directory
        return [
            resource
            for name, resource in after.resources.items()
            if resource.depends_on(after) != before.resources[name].depends_on(before)
            or resource.capabilities(after) != before.resources[name].capabilities(before)
            or {key: one.to_json() for key, one in resource.cost_types.items()}
            != {key: one.to_json() for key, one in before.resources[name].cost_types.items()}
        ]

    def _certificate_now(self) -> tuple[Signature, ...]:
        tls = self.plan.config.tls
        return () if tls is None else (self._files.watch(tls.certificate), self._files.watch(tls.key))

    def _renewal(self) -> Callable[[], None] | None:
        """What makes connections to come use another certificate, if there is one. Raises ConfigurationError."""
        tls, context = self.plan.config.tls, self._context
        now = self._certificate_now()
        if tls is None or context is None or now == self._certificate:
            return None
        try:
            # What is of no use is not to be tried on the context that serves.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tls.certificate, tls.key)
        except (ssl.SSLError, OSError) as error:
            raise ConfigurationError(f"{tls.certificate}, {tls.key}: {error.strerror or error}") from error
        self._certificate = now
        return functools.partial(context.load_cert_chain, tls.certificate, tls.key)


class _Users:
    """Digest authentication by credentials that may change."""

    def __init__(self, credentials: Credentials | None) -> None:
        self._credentials: Credentials | None = None
        self._current: DigestAuthenticator | None = None
        self.change(credentials)

    def change(self, credentials: Credentials | None) -> bool:
        """Whether others may authenticate from now on. As long as that is not so, nonces stay good."""
        if credentials == self._credentials:
            return False
        self._credentials = credentials
        self._current = None if credentials is None else credentials.authenticator()
        return True

    def authenticate(self, request: Request, now: float) -> Verdict:
        assert self._current is not None
        return self._current.authenticate(request, now)


def _fixed(config: ServerConfig) -> tuple[object, ...]:
    """What cannot change while the server runs."""
    return config.listen, config.tls, config.client_header

"""A DECADE server made from a configuration, and the same one after the configuration has changed."""

from __future__ import annotations

import functools
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import attrs

from decade.errors import DecadeError, RefusedError
from decade.guarantees import without_guarantees
from decade.ledger import MemoryQuotas
from decade.messages import ResourcePolicy
from decade.policy import PROVIDER, PolicyTree
from decade.ports import NodePath
from decade.server import Server
from decade.settings import Extension, Settings
from decade.tokens import RegisteredKey
from interop._http_limits import MAX_HEAD, LimitedHttpProtocol
from interop.decade_server.app import DecadeApp
from interop.decade_server.config import ConfigError, ServerConfig, TransferConfig
from interop.decade_server.front import Front
from interop.decade_server.threaded import App, ThreadedApp
from interop.decade_store import open_server
from interop.decade_store.settling import place

if TYPE_CHECKING:
    from interop.decade_transfers import TransferRunner


class LiveServer:
    """A server that runs, and its application. It is used in one thread."""

    def __init__(self, config: ServerConfig, name: str) -> None:
        """`name`: the server's identifier. Raises ConfigError for a directory that cannot be used, or holds more."""
        self.config = config
        settings = config.settings(name)
        self._keys = config.keys
        self._close: list[Callable[[], None]] = []
        try:
            self._open(settings, time.time() - time.monotonic())
        except (DecadeError, OSError, ValueError, sqlite3.Error) as error:
            where = "the store" if config.root is None else config.root
            raise ConfigError(f"{where}: {error}") from error
        app = DecadeApp(
            self.server,
            proxies=config.proxies,
            is_insecure_allowed=config.is_insecure_allowed,
            wall=time.time,
            transfers=self._runner(),
            front=None if config.accel is None else Front(config.accel, place, self.tree),
        )
        self._threaded: ThreadedApp | None = None
        self.app: App = app
        if config.store is not None:
            # Each of its methods may wait for the network.
            self.app = self._threaded = ThreadedApp(app)
            self._close.insert(0, self._threaded.close)

    def _open(self, settings: Settings, epoch: float) -> None:
        config = self.config
        self.tree: PolicyTree
        self.server: Server
        if config.store is not None:
            from interop.decade_scale import open_scaled_server

            scaled = open_scaled_server(config.store, settings, self._key, config.policies, epoch=epoch)
            self.tree, self.server = scaled.tree, scaled.server
            self._close.append(scaled.close)
        elif config.root is not None:
            durable = open_server(
                config.root, settings, self._key, config.policies, epoch=epoch, is_alone=config.workers == 1
            )
            self.tree, self.server = durable.tree, durable.server
            self._close.append(durable.close)
        else:
            self.tree = PolicyTree(MemoryQuotas(), extensions=settings.extensions)
            for path, policy in config.policies.items():
                self.tree.put(path, policy)
            self.server = Server(settings, self._key, self.tree, epoch=epoch)

    def _runner(self) -> TransferRunner | None:
        if not self.config.has_transfers:
            return None
        # An HTTP client, which most servers do without.
        from interop.decade_addresses import AddressPolicy
        from interop.decade_transfers import TransferRunner, client_tls

        allowed = self.config.transfers or TransferConfig()
        try:
            tls = client_tls(None if allowed.ca is None else str(allowed.ca))
        except OSError as error:
            raise ConfigError(f"{allowed.ca}: {error.strerror or error}") from error
        return TransferRunner(self.server.transfers, policy=AddressPolicy(allowed.networks, allowed.hosts), tls=tls)

    async def reload(self, config: ServerConfig) -> str:
        """Take over accounts, keys and policies, and say what was. Raises ConfigError, with nothing changed."""
        if self._threaded is not None:
            return await self._threaded.call(functools.partial(self._reload, config))
        return self._reload(config)

    def _reload(self, config: ServerConfig) -> str:
        line, ceiling = self.config.egress_bps, config.policies[PROVIDER].ceiling_download
        if Extension.GUARANTEES in self.tree.extensions and line is not None and (ceiling is None or ceiling > line):
            raise ConfigError(f"egress-bps stays {line} until a restart: no more can be guaranteed")
        before = {path: self.tree.configured(path) for path in (*self.config.policies, *config.policies)}
        try:
            self._lay(config.policies, before)
        except RefusedError as error:
            self._restore(before)
            raise ConfigError(str(error)) from error
        kept = self._remove(self.config.policies.keys() - config.policies.keys())
        self._keys = config.keys
        is_same = attrs.evolve(config, policies={}, keys={}) == attrs.evolve(self.config, policies={}, keys={})
        self.config = attrs.evolve(self.config, policies=config.policies, keys=config.keys)
        said = f"{len(config.policies) - 1} accounts and applications, {len(config.keys)} keys"
        said += "".join(f"; {'/'.join(path)} still holds something, and stays" for path in kept)
        return said if is_same else f"{said}; what else has changed is for a restart"

    def close(self) -> None:
        """End it; what was answered is on the disk already."""
        for close in self._close:
            close()

    def _key(self, kid: bytes) -> RegisteredKey | None:
        return self._keys.get(kid)

    def _restore(self, policies: dict[NodePath, ResourcePolicy | None]) -> None:
        for path, policy in reversed(policies.items()):
            if policy is None and self.tree.configured(path) is not None:
                self.tree.remove(path)
        self._lay({path: policy for path, policy in policies.items() if policy is not None}, policies)

    def _lay(self, policies: Mapping[NodePath, ResourcePolicy], paths: Iterable[NodePath]) -> None:
        """Give nodes these policies. Raises RefusedError. `paths`: all that may have had a guarantee."""
        for path in reversed([*paths]):
            # Those of one node may be for another one now.
            policy = self.tree.configured(path)
            if policy is not None and (policy.guaranteed_download or policy.guaranteed_upload):
                self.tree.put(path, without_guarantees(policy))
        for path, policy in policies.items():
            self.tree.put(path, policy)

    def _remove(self, paths: set[NodePath]) -> list[NodePath]:
        """Take nodes away, and return those that cannot be."""
        kept = []
        for path in sorted(paths, key=len, reverse=True):
            try:
                self.tree.remove(path)
            except RefusedError:
                kept.append(path)
        return kept


def http_protocol(config: ServerConfig) -> type[LimitedHttpProtocol]:
    """Uvicorn's HTTP/1.1 with limits, for objects as large as the server takes."""
    return type("ObjectHttpProtocol", (LimitedHttpProtocol,), {"max_request": config.limits.max_object + 2 * MAX_HEAD})

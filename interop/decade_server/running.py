"""A DECADE server made from a configuration, and the same one after the configuration has changed."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable

import attrs

from decade.errors import DecadeError, RefusedError
from decade.ledger import MemoryQuotas
from decade.messages import ResourcePolicy
from decade.policy import PolicyTree
from decade.ports import NodePath
from decade.server import Server
from decade.tokens import RegisteredKey
from interop._http_limits import MAX_HEAD, LimitedHttpProtocol
from interop.decade_server.app import DecadeApp
from interop.decade_server.config import ConfigError, ServerConfig
from interop.decade_store import open_server


class LiveServer:
    """A server that runs, and its application. It is used in one thread."""

    def __init__(self, config: ServerConfig, name: str) -> None:
        """`name`: the server's identifier. Raises ConfigError for a directory that cannot be used, or holds more."""
        self.config = config
        settings = config.settings(name)
        epoch = time.time() - time.monotonic()
        self._keys = config.keys
        self._close: Callable[[], None] = _nothing
        if config.root is None:
            self.tree = PolicyTree(MemoryQuotas())
            for path, policy in config.policies.items():
                self.tree.put(path, policy)
            self.server = Server(settings, self._key, self.tree, epoch=epoch)
        else:
            try:
                durable = open_server(config.root, settings, self._key, config.policies, epoch=epoch)
            except (DecadeError, OSError, sqlite3.Error) as error:
                raise ConfigError(f"{config.root}: {error}") from error
            self.tree, self.server, self._close = durable.tree, durable.server, durable.close
        self.app = DecadeApp(self.server, proxies=config.proxies, is_insecure_allowed=config.is_insecure_allowed)

    def reload(self, config: ServerConfig) -> str:
        """Take over accounts, keys and policies, and say what was. Raises ConfigError, with nothing changed."""
        before = {path: self.tree.policy(path) for path in config.policies}
        try:
            for path, policy in config.policies.items():
                self.tree.put(path, policy)
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
        self._close()

    def _key(self, kid: bytes) -> RegisteredKey | None:
        return self._keys.get(kid)

    def _restore(self, policies: dict[NodePath, ResourcePolicy | None]) -> None:
        for path, policy in reversed(policies.items()):
            if policy is not None:
                self.tree.put(path, policy)
            elif self.tree.policy(path) is not None:
                self.tree.remove(path)

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


def _nothing() -> None:
    """Memory needs no end."""

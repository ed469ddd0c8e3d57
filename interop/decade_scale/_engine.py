"""The Redis or Valkey that the servers share: one connection pool, scripts that are atomic, and short timeouts.

redis-py's synchronous client: the calls come from the thread of a server and from threads that may block, never from an
event loop. It retries nothing: a script that has been sent may have been done, and a use that is held twice is lost.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.resources import files
from typing import Any, TypeAlias

import redis
from redis.backoff import NoBackoff
from redis.commands.core import Script
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from decade.errors import StoreError

CONNECT_TIMEOUT = 1.0
"""Seconds to connect: it is a machine nearby."""
TIMEOUT = 2.0
"""Seconds for an answer: a thousand times the usual, and a client still waits for it."""
PAUSE = 0.5
"""Seconds for which nothing is asked of a server that did not answer: requests fail at once meanwhile."""
MAX_NUMBER = 2**53 - 1
"""The largest number that scripts compute with exactly: 9 PB, or a Unix time that is never."""

Argument: TypeAlias = str | bytes | int
_SCRIPTS = files("interop.decade_scale") / "lua"
_DURABLE = {
    "appendonly": ("yes",),
    "appendfsync": ("always",),
    "no-appendfsync-on-rewrite": ("no",),
    "maxmemory-policy": ("noeviction",),
}
"""What an answer of the server has to mean that it is on the disk, and that nothing vanishes but what we remove."""


class UnsureError(StoreError):
    """The server did not answer: it may have done what was asked, or may do it yet."""


class Engine:
    """The connections to one server. Its methods may be called from any thread."""

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "decade",
        user: str | None = None,
        password: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`url`: redis://, rediss:// or unix://, as redis-py reads it. `prefix`: of all keys. Raises ValueError."""
        self._client = redis.Redis.from_url(
            url,
            username=user,
            password=password,
            socket_connect_timeout=CONNECT_TIMEOUT,
            socket_timeout=TIMEOUT,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
        )
        # The braces are a hash tag: of a cluster, one shard has all of it.
        self.base = f"{{{prefix}}}:".encode()
        self._scripts: dict[str, Script] = {}
        self._clock = clock
        self._away_until = float("-inf")

    def check_durable(self) -> None:
        """Raises StoreError if what this server answers could be lost in a power cut, or to eviction."""
        try:
            found = {name: self._ask(partial(self._client.config_get, name)).get(name) for name in _DURABLE}
        except UnsureError:
            raise
        except StoreError as exc:
            raise StoreError(f"redis does not tell its configuration ({exc}): allow that, if you know it") from exc
        wrong = [f"{name} {allowed[0]}" for name, allowed in _DURABLE.items() if found.get(name) not in allowed]
        if wrong:
            reason = "a restart could lose uses of tokens and objects that were acknowledged"
            raise StoreError(f"redis has to be set to {', '.join(wrong)}: {reason}")

    def run(self, name: str, *arguments: Argument) -> Any:
        """What a script answers. Raises StoreError: UnsureError if the script may have been done."""
        script = self._scripts.get(name)
        if script is None:
            text = (_SCRIPTS / "common.lua").read_text() + (_SCRIPTS / f"{name}.lua").read_text()
            script = self._scripts[name] = self._client.register_script(text)
        return self._ask(lambda: script(keys=[self.base], args=arguments))

    def ask(self, command: str, key: bytes | str, *arguments: Argument) -> Any:
        """What a command answers about a key. Raises StoreError as `run` does."""
        whole = self.base + (key.encode() if isinstance(key, str) else key)
        return self._ask(lambda: self._client.execute_command(command, whole, *arguments))  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _ask(self, call: Callable[[], Any]) -> Any:
        if self._clock() < self._away_until:
            raise StoreError("redis did not answer a moment ago")
        try:
            return call()
        except (redis.ConnectionError, redis.TimeoutError, OSError) as exc:
            self._away_until = self._clock() + PAUSE
            raise UnsureError(f"redis: {exc}") from exc
        except redis.RedisError as exc:
            raise StoreError(f"redis: {exc}") from exc


def pairs(names: Sequence[str], numbers: Sequence[Argument]) -> list[Argument]:
    """Names and numbers by turns, as scripts take them."""
    return [item for pair in zip(names, numbers, strict=True) for item in pair]

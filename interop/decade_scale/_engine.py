"""The Redis or Valkey that the servers share, which has to be durable. Nothing is tried again by itself: a use that is
held twice is lost.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.resources import files
from typing import Any

from decade.errors import StoreError
from interop._redis import Argument as Argument
from interop._redis import FailedError, SharedRedis, UnansweredError

MAX_NUMBER = 2**53 - 1
"""The largest number that scripts compute with exactly: 9 PB, or a Unix time that is never."""

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
        self._redis = SharedRedis(url, _SCRIPTS, prefix=prefix, user=user, password=password, clock=clock)

    def check_durable(self) -> None:
        """Raises StoreError if what this server answers could be lost in a power cut, or to eviction."""
        try:
            found = {name: self._ask(partial(self._redis.client.config_get, name)).get(name) for name in _DURABLE}
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
        return _asked(partial(self._redis.run, name, *arguments))

    def ask(self, command: str, key: bytes | str, *arguments: Argument) -> Any:
        """What a command answers about a key. Raises StoreError as `run` does."""
        whole = self._redis.base + (key.encode() if isinstance(key, str) else key)
        return self._ask(partial(self._redis.client.execute_command, command, whole, *arguments))

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def _ask(self, call: Callable[[], Any]) -> Any:
        return _asked(partial(self._redis.call, call))


def _asked(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except UnansweredError as exc:
        raise UnsureError(str(exc)) from exc
    except FailedError as exc:
        raise StoreError(str(exc)) from exc


def pairs(names: Sequence[str], numbers: Sequence[Argument]) -> list[Argument]:
    """Names and numbers by turns, as scripts take them."""
    return [item for pair in zip(names, numbers, strict=True) for item in pair]

"""A Redis or Valkey that servers share: one connection pool, scripts that are atomic, and short timeouts.

redis-py's synchronous client: the calls come from the thread of a server and from threads that may block, never from an
event loop. It retries nothing: a script that has been sent may have been done.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.resources.abc import Traversable
from typing import Any, TypeAlias

import redis
from redis.backoff import NoBackoff
from redis.commands.core import Script
from redis.exceptions import NoScriptError
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

CONNECT_TIMEOUT = 1.0
"""Seconds to connect: it is a machine nearby."""
TIMEOUT = 2.0
"""Seconds for an answer: a thousand times the usual, and a client still waits for it."""
PAUSE = 0.5
"""Seconds for which nothing is asked of a server that did not answer: requests fail at once meanwhile."""

Argument: TypeAlias = str | bytes | int
Call: TypeAlias = tuple[str, Sequence[Argument]]
"""The name of a script, and its arguments."""

logger = logging.getLogger(__name__)


class FailedError(Exception):
    """What was asked was not done; the text says why."""


class UnansweredError(FailedError):
    """The server did not answer: it may have done what was asked, or may do it yet."""


class SharedRedis:
    """The connections to one server. Its methods may be called from any thread."""

    def __init__(
        self,
        url: str,
        scripts: Traversable,
        *,
        prefix: str,
        user: str | None = None,
        password: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`url`: redis://, rediss:// or unix://, as redis-py reads it. `scripts`: the folder of them; common.lua goes
        before each, after a first line `#!lua`, which needs Redis 7 or Valkey. `prefix`: of all keys. Raises
        ValueError.
        """
        self.client = redis.Redis.from_url(
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
        self._folder = scripts
        self._scripts: dict[str, Script] = {}
        self._clock = clock
        self._away_until = float("-inf")

    def run(self, name: str, *arguments: Argument) -> Any:
        """What a script answers. Raises FailedError."""
        script = self._script(name)
        return self.call(lambda: script(keys=[self.base], args=arguments))

    def run_all(self, calls: Sequence[Call]) -> list[Any]:
        """What scripts answer that are sent at once, and done one after the other; what one fails with, in its place.

        Raises FailedError where the server did not answer to all of them.
        """
        answers = self._send(calls)
        unknown = [at for at, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if unknown:
            # A server that has lost its scripts has not done them.
            for name in {calls[at][0] for at in unknown}:
                self.call(partial(self.client.script_load, self._script(name).script))
            for at, answer in zip(unknown, self._send([calls[at] for at in unknown]), strict=True):
                answers[at] = answer
        return [FailedError(f"redis: {one}") if isinstance(one, redis.RedisError) else one for one in answers]

    def _send(self, calls: Sequence[Call]) -> list[Any]:
        pipeline = self.client.pipeline(transaction=False)
        for name, arguments in calls:
            pipeline.evalsha(self._script(name).sha, 1, self.base, *arguments)
        found: list[Any] = self.call(lambda: pipeline.execute(raise_on_error=False))
        return found

    def _script(self, name: str) -> Script:
        script = self._scripts.get(name)
        if script is None:
            text = (self._folder / f"{name}.lua").read_text()
            flags, line_end, rest = text.partition("\n") if text.startswith("#!") else ("", "", text)
            text = flags + line_end + (self._folder / "common.lua").read_text() + rest
            script = self._scripts[name] = self.client.register_script(text)
        return script

    def call(self, call: Callable[[], Any]) -> Any:
        """What a method of the client returns. Raises FailedError."""
        if self._clock() < self._away_until:
            raise FailedError("redis did not answer a moment ago")
        try:
            return call()
        except (redis.RedisError, OSError) as exc:
            logger.info("redis: %s", exc)
            if isinstance(exc, redis.ConnectionError | redis.TimeoutError | OSError):
                self._away_until = self._clock() + PAUSE
                raise UnansweredError(f"redis: {exc}") from exc
            raise FailedError(f"redis: {exc}") from exc

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

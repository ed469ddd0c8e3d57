"""Where the state is that servers share, as a person writes it: the table `store` of a server's TOML file.

::

    [store]
    s3 = "s3://films/decade"                # a bucket, and what all its keys begin with
    endpoint = "https://s3.example"         # of a store that is not Amazon's
    region = "eu-central-1"
    redis = "rediss://redis.example:6379/0" # or redis://, unix://
    prefix = "decade"                       # of all keys in Redis
    spool = "/var/cache/decade"             # for objects that come, or were read here
    spool-octets = 1073741824
    unchecked-redis = true                  # it is durable, though it does not say so

Secrets are in the environment alone: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or the role of the machine),
DECADE_REDIS_USER and DECADE_REDIS_PASSWORD.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import attrs

from interop._toml import Table
from interop.decade_scale._lease import LEASE
from interop.decade_scale._spool import MAX_OCTETS

_SCHEMES = ("redis", "rediss", "unix")


@attrs.frozen(kw_only=True)
class Shared:
    """Where the state is that servers share.

    `bucket`: s3://bucket/prefix. `redis`: a URL; all keys begin with `prefix`. `is_checked`: refuse a Redis that does
    not show that it is durable. `spool`: the directory of objects that come or were read, the system's without it, of
    `spool_octets` at most beside those in progress. `lease`: seconds for which a server is taken to live that says
    nothing.
    """

    bucket: str
    redis: str
    redis_user: str | None = None
    redis_password: str | None = attrs.field(default=None, repr=False)
    endpoint: str | None = None
    region: str | None = None
    prefix: str = "decade"
    is_checked: bool = True
    spool: Path | None = None
    spool_octets: int = MAX_OCTETS
    lease: float = LEASE


def read_shared(table: Table, environment: Mapping[str, str]) -> Shared:
    """The table `store`. Raises TomlError."""
    redis = table.due("redis", table.text("redis"))
    parts = urlsplit(redis)
    if parts.scheme not in _SCHEMES:
        raise table.wrong("redis://, rediss:// or unix:// is due", "redis")
    if parts.password is not None or "password=" in parts.query:
        raise table.wrong("a password belongs into the environment, as DECADE_REDIS_PASSWORD", "redis")
    bucket = table.due("s3", table.text("s3"))
    if not bucket.startswith("s3://"):
        raise table.wrong("s3://bucket or s3://bucket/prefix is due", "s3")
    found = Shared(
        bucket=bucket,
        redis=redis,
        redis_user=environment.get("DECADE_REDIS_USER"),
        redis_password=environment.get("DECADE_REDIS_PASSWORD"),
        endpoint=table.text("endpoint"),
        region=table.text("region"),
        prefix=table.text("prefix") or "decade",
        is_checked=not table.flag("unchecked-redis"),
        spool=table.file("spool"),
        spool_octets=table.integer("spool-octets", least=1) or MAX_OCTETS,
    )
    table.finish()
    return found

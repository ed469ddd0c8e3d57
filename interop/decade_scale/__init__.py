"""DECADE servers on several machines: objects in a bucket, rows, quotas and the ledger of tokens in Redis or Valkey."""

from interop.decade_scale.config import Shared, read_shared
from interop.decade_scale.ledger import RedisLedger
from interop.decade_scale.objects import BucketStore
from interop.decade_scale.policies import RedisPolicies
from interop.decade_scale.quotas import RedisQuotas
from interop.decade_scale.scrubbing import Scrubbed, scrub
from interop.decade_scale.serving import ScaledServer, open_scaled_server

__all__ = [
    "BucketStore",
    "RedisLedger",
    "RedisPolicies",
    "RedisQuotas",
    "ScaledServer",
    "Scrubbed",
    "Shared",
    "open_scaled_server",
    "read_shared",
    "scrub",
]

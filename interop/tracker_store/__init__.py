"""A tracker's registrations in Redis or Valkey, so that several trackers share swarms and peers (`--store`)."""

from interop.tracker_store.registry import RedisRegistry, StoreError

__all__ = ["RedisRegistry", "StoreError"]

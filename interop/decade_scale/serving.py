"""DECADE servers on several machines over one bucket and one Redis or Valkey.

Redis has all that must be exact: rows, quotas, the policies that accounts put, uses of tokens, revocations. So it has
to be set to `appendonly yes`, `appendfsync always`, `no-appendfsync-on-rewrite no` and `maxmemory-policy noeviction`,
which is checked at the start.
A replica that takes over may lack the last answers, so that a use could be possible twice: do not fail over by itself.
Of the bucket, let the store remove parts of uploads that were never completed (`AbortIncompleteMultipartUpload`).
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Mapping

from decade.errors import StoreError
from decade.messages import ResourcePolicy
from decade.policy import PolicyTree
from decade.ports import NodePath
from decade.server import Server
from decade.settings import Settings
from decade.tokens import Keys
from interop.decade_scale._bucket import Bucket, open_bucket
from interop.decade_scale._engine import Engine
from interop.decade_scale._lease import Lease
from interop.decade_scale._spool import Spool
from interop.decade_scale.config import Shared
from interop.decade_scale.ledger import RedisLedger
from interop.decade_scale.objects import BucketStore
from interop.decade_scale.policies import RedisPolicies
from interop.decade_scale.quotas import RedisQuotas
from interop.decade_scale.scrubbing import DAY, PARTS, scrub

logger = logging.getLogger(__name__)
REFRESH = 5.0
"""Seconds between two looks for what expires next, and two writes of what was read."""


class ScaledServer:
    """A server and its parts. The server is used in one thread of its own: each of its calls may ask Redis."""

    def __init__(
        self, server: Server, tree: PolicyTree, store: BucketStore, ledger: RedisLedger, lease: Lease, engine: Engine
    ) -> None:
        """For `open_scaled_server`."""
        self.server = server
        self._engine = engine
        self.tree = tree
        self.store = store
        self.ledger = ledger
        self._lease = lease
        self._is_closed = threading.Event()
        self._thread = threading.Thread(target=self._tend, name="decade-store", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it; what was answered is durable already."""
        self._is_closed.set()
        self._thread.join()
        self.store.close()
        self._lease.close()
        self._engine.close()

    def _tend(self) -> None:
        while not self._is_closed.wait(REFRESH):
            try:
                self.store.refresh()
                if self.store.begin_scrub(DAY):
                    self._scrub()
            except StoreError as exc:
                logger.warning("%s", exc)

    def _scrub(self) -> None:
        for part in range(PARTS):
            if self._is_closed.is_set():
                return
            found = scrub(self.store, part, wall=time.time())
            if found.removed:
                logger.warning("%d copies that nobody used are gone from the bucket", found.removed)
            for name in found.missing:
                logger.error("%s is not in the bucket", name.ni())


def open_scaled_server(
    shared: Shared,
    settings: Settings,
    keys: Keys,
    policies: Mapping[NodePath, ResourcePolicy],
    *,
    epoch: float,
    random_bytes: Callable[[int], bytes] = secrets.token_bytes,
) -> ScaledServer:
    """Join the servers that share a bucket and a Redis, or be the first. `policies`: of accounts, each before its
    applications, the same at every server; they go before what the accounts have put, where they have changed since
    (`PolicyTree`).

    `epoch`: the Unix time at which `now` is 0. Raises ValueError for a URL, StoreError, and as `PolicyTree.put`.
    """
    engine = Engine(shared.redis, prefix=shared.prefix, user=shared.redis_user, password=shared.redis_password)
    bucket = Bucket(open_bucket(shared.bucket, endpoint=shared.endpoint, region=shared.region))
    if shared.is_checked:
        engine.check_durable()
    mark = pair(engine, bucket)
    ledger = RedisLedger(engine)
    lease = Lease(engine, seconds=shared.lease)
    try:
        tree, kept = PolicyTree(RedisQuotas(engine, lease), extensions=settings.extensions), RedisPolicies(engine)
        tree.lay(kept.load({}))
        for path, policy in policies.items():
            tree.put(path, policy)
        spool = Spool(shared.spool, max_octets=shared.spool_octets)
        store = BucketStore(engine, bucket, lease, spool, mark=mark)
        server = Server(
            settings,
            keys,
            tree,
            epoch=epoch,
            store=store,
            ledger=ledger,
            policies=kept,
            random_bytes=random_bytes,
        )
    except BaseException:
        lease.close()
        raise
    return ScaledServer(server, tree, store, ledger, lease, engine)


def pair(engine: Engine, bucket: Bucket) -> str:
    """What the bucket and Redis both say: they belong together. The first server writes it.

    Raises StoreError if they do not: rows of other objects, or objects whose rows were lost, would be removed.
    """
    known = engine.ask("GET", "store")
    if known is None:
        fresh = bucket.set_mark(secrets.token_hex(16))
        if bucket.has_objects() and engine.ask("GET", "store") is None:
            raise StoreError("the bucket has objects, but redis has no rows: bring them back, or use an empty bucket")
        engine.ask("SET", "store", fresh, "NX")
        known = engine.ask("GET", "store")
    mark = bucket.mark()
    if mark is None or known != mark.encode():
        raise StoreError("the bucket is not the one whose rows redis has")
    return mark

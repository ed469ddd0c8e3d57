"""`ietf-p2p decade serve` as a process of its own, and tokens for it."""

import base64
import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from decade.cose import Ed25519SigningKey
from decade.scope import ALL_OPERATIONS, Everything, TokenPolicy
from decade.tokens import Claims, mint


class Process:
    """A server that runs; `url` has no slash at its end, `name` is its identifier."""

    def __init__(self, *words: str | Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "interop", "decade", "serve", "--json", *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        line = self.process.stdout.readline()
        assert line, self.process.communicate()[1]
        self.said = json.loads(line)
        self.url, self.name = self.said["url"].rstrip("/"), self.said["server"]

    def note(self) -> str:
        """The next line that it says to people."""
        return self.process.stderr.readline()

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def stop(self, number: int = signal.SIGINT) -> int:
        """End it; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(timeout=60)
        self.process.stdout.close()
        self.process.stderr.close()
        return status


@contextlib.contextmanager
def processing(*words: str | Path) -> Iterator[Process]:
    served = Process(*words)
    try:
        yield served
    finally:
        served.stop()


def make_key(path: Path) -> Ed25519SigningKey:
    """A new private key, in a PEM file as `openssl genpkey` makes it."""
    key = Ed25519PrivateKey.generate()
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return Ed25519SigningKey(key.private_bytes_raw())


def bearer_of(key: Ed25519SigningKey, server: str, **policy: int) -> dict[str, str]:
    """The header fields of a request with a token that permits everything."""
    now = int(time.time())
    claims = Claims(
        aud=(server,),
        exp=now + 600,
        iat=now,
        cti=secrets.token_bytes(16),
        scope=((Everything(), ALL_OPERATIONS),),
        policy=TokenPolicy(**policy) if policy else None,
    )
    return {"Authorization": "Bearer " + base64.urlsafe_b64encode(mint(claims, key)).rstrip(b"=").decode()}

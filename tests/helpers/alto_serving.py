"""An ALTO server under uvicorn on loopback, and certificates to meet it with."""

import contextlib
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvicorn

from interop._http_server import bind, config, url
from interop._http_tls import CertificateHttpProtocol


@contextlib.contextmanager
def running(app: Any, *, closing: Any = None, **tls: Path) -> Iterator[str]:
    """Serve an ASGI application in a thread; yields its URL. `closing` is the AltoApp whose streams end with it."""
    made = config(app, protocol=CertificateHttpProtocol, **tls)
    with bind("127.0.0.1", 0) as listener:
        server = uvicorn.Server(made)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            wait_until(lambda: server.started or not thread.is_alive())
            yield url(listener, "https" if made.is_ssl else "http").removesuffix("/")
        finally:
            (closing or app).close()
            server.should_exit = True
            thread.join()


def wait_until(condition: Any) -> None:
    """Wait for what another thread or process does."""
    deadline = time.monotonic() + 60
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.005)


def curl(*words: str | Path) -> subprocess.CompletedProcess[bytes]:
    """Run curl; what it writes is in stdout, headers included with `-i`."""
    command = ["curl", "--silent", "--show-error", "--max-time", "60", *map(str, words)]
    return subprocess.run(command, capture_output=True, check=False)


class Certificates:
    """A certification authority made by openssl, and what it signs, in `folder`."""

    def __init__(self, folder: Path, name: str = "Test CA") -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        self.authority = folder / "ca.pem"
        self._key = folder / "ca.key"
        usage = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
        self._openssl(
            "req", "-x509", *_KEY, "-keyout", self._key, "-subj", f"/CN={name}", *usage, "-out", self.authority
        )

    def sign(
        self, name: str, subject: str, *, address: str | None = None, host: str | None = None
    ) -> tuple[Path, Path]:
        """A certificate for `subject`, such as /O=Example/CN=ann, and its key."""
        certificate, key, request = (self.folder / f"{name}.{end}" for end in ("pem", "key", "csr"))
        extensions = self.folder / f"{name}.ext"
        named = f"IP:{address}" if address else f"DNS:{host}" if host else None
        whose = f"subjectAltName={named}\n" if named else "extendedKeyUsage=clientAuth\n"
        # RFC 5280 section 4.2.1.1, which Python 3.13 insists on.
        extensions.write_text(f"{whose}subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n")
        self._openssl("req", "-new", "-utf8", *_KEY, "-keyout", key, "-subj", subject, "-out", request)
        signer = ("-CA", self.authority, "-CAkey", self._key, "-CAcreateserial", "-extfile", extensions)
        self._openssl("x509", "-req", "-in", request, *signer, "-days", "2", "-out", certificate)
        return certificate, key

    def _openssl(self, *words: str | Path) -> None:
        subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)


_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")

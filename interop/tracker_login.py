"""How a peer proves to its trackers who it is, as a person writes it: a TOML file.

::

    [tracker."https://tracker.example/"]    # all that begins with this
    user = "anna"                           # HTTP Digest
    password = "secret"
    ca = "ca.pem"                           # who has signed the tracker's certificate, if nobody well known has

    [tracker."https://other.example/"]
    token = "eyJhbGciOi..."                 # a bearer token; goes over HTTPS alone

    [tracker."https://third.example/"]
    certificate = "anna.pem"                # a certificate in TLS, and its key
    key = "anna.key"
"""

from __future__ import annotations

import ssl
from collections.abc import Generator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import httpx
from attrs import field, frozen

from interop._toml import Table, TomlError, read


class LoginError(Exception):
    """The file cannot be used; the text says why, in one line."""


class BearerAuth(httpx.Auth):
    """A token with each request (RFC 6750)."""

    def __init__(self, token: str) -> None:
        self._token = token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self._token}"
        yield request


@frozen
class Login:
    """What `TrackerSession.open` takes: httpx's `auth`, and whom and what to show in TLS."""

    auth: httpx.Auth | None = None
    verify: ssl.SSLContext | bool = True


@frozen
class Logins:
    """The logins of trackers, by what their URIs begin with, and whether plain HTTP with other machines is allowed."""

    by_prefix: Mapping[str, Login] = field(factory=dict, repr=False)
    insecure: bool = False

    def of(self, tracker: str) -> Login:
        """The one whose prefix is the longest; nothing to prove where there is none."""
        fitting = [prefix for prefix in self.by_prefix if tracker.startswith(prefix)]
        return self.by_prefix[max(fitting, key=len)] if fitting else Login()


def load_logins(path: Path) -> Logins:
    """Read the file. Raises LoginError."""
    try:
        root = read(path)
        found = {prefix: _login(prefix, table) for prefix, table in root.tables("tracker").items()}
        root.finish()
    except TomlError as error:
        raise LoginError(str(error)) from error
    return Logins(found)


def _login(prefix: str, table: Table) -> Login:
    """Raises TomlError."""
    parts = urlsplit(prefix)
    # A prefix that ends within the name of a host would give the login to another: https://tracker.example.evil/.
    if parts.scheme not in ("http", "https") or not parts.netloc or not parts.path.startswith("/"):
        raise table.wrong("http:// or https://, a host and at least one / is due as the name of the table")
    user, password, token = table.text("user"), table.text("password"), table.text("token")
    certificate, key, ca = table.file("certificate"), table.file("key"), table.file("ca")
    table.finish()
    if (user is None) != (password is None) or (certificate is None) != (key is None):
        raise table.wrong("user and password go together, and so do certificate and key")
    if user is not None and token is not None:
        raise table.wrong("either user and password or a token")
    if parts.scheme == "http" and (token is not None or certificate is not None or ca is not None):
        raise table.wrong("a token or a certificate needs https://")
    auth: httpx.Auth | None = None
    if user is not None and password is not None:
        auth = httpx.DigestAuth(user, password)
    elif token is not None:
        auth = BearerAuth(token)
    return Login(auth, _context(table, certificate, key, ca))


def _context(table: Table, certificate: Path | None, key: Path | None, ca: Path | None) -> ssl.SSLContext | bool:
    if certificate is None and ca is None:
        return True
    try:
        context = ssl.create_default_context(cafile=ca)
        if certificate is not None:
            context.load_cert_chain(certificate, key)
    except ssl.SSLError as error:
        raise table.wrong(f"no certificate and key in these files: {error.reason}") from error
    except OSError as error:
        raise table.wrong(f"cannot read certificate, key or ca: {error.strerror or error}") from error
    return context

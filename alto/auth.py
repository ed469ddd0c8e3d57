"""Who a client is (RFC 7285 section 8.3.5): HTTP Digest (RFC 7616) on both sides, with SHA-256 and MD5.

A server without Digest of its own may bring anything that is an `Authenticator`.
"""

import base64
import hmac
import math
import re
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias
from urllib.parse import urlsplit

import attrs
from attrs import frozen

from alto._digest import (
    ALGORITHMS,
    Parameters,
    parse_challenges,
    quoted,
    response_digest,
    secret_digest,
    username_of,
    username_parameter,
)
from alto.errors import ConfigurationError
from alto.http import Headers, Request, Response

NONCE_LIFETIME = 300.0
"""Seconds that a nonce may be used for: as long as nobody who reads one can make use of it for long."""
MAX_NONCES = 10_000
"""Nonces whose use is remembered. Only who has authenticated fills this; beyond it the oldest nonces end early."""
CLOCK_SKEW = 30.0
"""Seconds by which the clocks of servers with one key may differ."""
_WINDOW = 64
"""How far behind the highest count of a nonce a request may come: connections in parallel overtake one another."""
_MAC = 16

_COUNT = re.compile(r"[0-9a-f]{8}")
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://[^/?#]*(.*)")


@frozen
class Authenticated:
    """The request comes from `user`; `headers` go with the answer."""

    user: str
    headers: Headers = ()


@frozen
class Challenge:
    """The request comes from nobody who is known; `headers` say how to prove who one is (WWW-Authenticate)."""

    headers: Headers


Verdict: TypeAlias = Authenticated | Challenge


class Authenticator(Protocol):
    """Finds out who a request comes from."""

    def authenticate(self, request: Request, now: float) -> Verdict:
        """Who has sent `request`, or how to prove it."""


class DigestAuthenticator:
    """HTTP Digest for a server: `credentials` are passwords by user name.

    What it holds is bounded by MAX_NONCES: a nonce says itself, under a key of this object, when it was made. A request
    that is sent twice is refused the second time. Raises ConfigurationError for a realm or a name that no header field
    can carry.
    """

    def __init__(
        self,
        realm: str,
        credentials: Mapping[str, str],
        *,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._adopt(
            realm,
            {
                (algorithm, user): secret_digest(algorithm, user, realm, password)
                for user, password in credentials.items()
                for algorithm in ALGORITHMS
            },
            random_bytes,
        )

    @classmethod
    def from_digests(
        cls,
        realm: str,
        digests: Mapping[tuple[str, str], str],
        *,
        key: bytes | None = None,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> "DigestAuthenticator":
        """Without the passwords: `digests` are those of `USER:REALM:PASSWORD`, by algorithm and user name.

        A client may choose the algorithm, so those are offered that every user has a digest for. Servers with one `key`
        take one another's nonces (section 3.3): `now` has to be the same for all then, such as Unix time. Each counts
        for itself how a nonce is used, so that a request may be sent once to every one of them. Raises
        ConfigurationError where no algorithm is left, too.
        """
        made = cls.__new__(cls)
        made._adopt(realm, digests, random_bytes, key)
        return made

    def _adopt(
        self,
        realm: str,
        digests: Mapping[tuple[str, str], str],
        random_bytes: Callable[[int], bytes],
        key: bytes | None = None,
    ) -> None:
        if not realm.isascii() or not realm.isprintable():
            raise ConfigurationError(f"a realm is of printable ASCII characters: {realm!r}")
        users = {user for _, user in digests}
        self._algorithms = [name for name in ALGORITHMS if all((name, user) in digests for user in users)]
        if not self._algorithms:
            raise ConfigurationError(f"every user needs a digest by the same algorithm, {' or '.join(ALGORITHMS)}")
        self.realm = realm
        self._random_bytes = random_bytes
        self._key = random_bytes(32) if key is None else key
        self._skew = 0.0 if key is None else CLOCK_SKEW
        self._secrets = {key: digest for key, digest in digests.items() if key[0] in self._algorithms}
        # Nobody knows this password: a user that is not there takes as long as one that is.
        self._nobody = secret_digest("SHA-256", "", realm, random_bytes(32).hex())
        self._used: OrderedDict[str, _Uses] = OrderedDict()
        self._forgotten = -1.0
        """Nonces made up to this time whose use is not remembered are refused."""

    def authenticate(self, request: Request, now: float) -> Verdict:
        """Who sent `request`, by its Authorization field."""
        fields = [value for name, value in request.headers if name.lower() == "authorization"]
        found = parse_challenges(fields[0]) if len(fields) == 1 else []
        if len(found) != 1 or found[0][0] != "digest":
            return self._challenge(now, is_stale=False)
        user = self._proven(found[0][1], request)
        if user is None:
            return self._challenge(now, is_stale=False)
        if not self._is_first_use(found[0][1], now):
            return self._challenge(now, is_stale=True)
        return Authenticated(user)

    def _proven(self, parameters: Parameters, request: Request) -> str | None:
        """The user whose password the sender of the request knows, if the nonce is ours and new."""
        user = username_of(parameters)
        algorithm = parameters.get("algorithm", "MD5").upper()
        names = ("realm", "nonce", "uri", "response", "qop", "nc", "cnonce")
        if user is None or algorithm not in ALGORITHMS or any(name not in parameters for name in names):
            return None
        if parameters["qop"] != "auth" or parameters["realm"] != self.realm or not _COUNT.fullmatch(parameters["nc"]):
            return None
        if not _same_resource(parameters["uri"], request.target):
            return None
        secret = self._secrets.get((algorithm, user))
        due = response_digest(
            algorithm,
            secret or self._nobody,
            method=request.method,
            uri=parameters["uri"],
            nonce=parameters["nonce"],
            nc=parameters["nc"],
            cnonce=parameters["cnonce"],
        )
        is_right = hmac.compare_digest(due.encode(), parameters["response"].lower().encode("utf-8", "replace"))
        return user if is_right and secret is not None else None

    def _is_first_use(self, parameters: Parameters, now: float) -> bool:
        """Whether the nonce is one of ours, still good, and used with this count for the first time."""
        nonce = parameters["nonce"]
        made = self._made(nonce)
        if made is None or not now - NONCE_LIFETIME <= made <= now + self._skew:
            return False
        uses = self._used.get(nonce)
        if uses is None:
            if made <= self._forgotten:
                return False
            self._forget(now)
            uses = self._used[nonce] = _Uses(made)
        return uses.note(int(parameters["nc"], 16))

    def _forget(self, now: float) -> None:
        """Make room for one nonce."""
        while self._used:
            nonce, uses = next(iter(self._used.items()))
            if uses.made >= now - NONCE_LIFETIME and len(self._used) < MAX_NONCES:
                return
            self._forgotten = max(self._forgotten, uses.made)
            del self._used[nonce]

    def _challenge(self, now: float, *, is_stale: bool) -> Challenge:
        nonce = self._nonce(now)
        stale = ", stale=true" if is_stale else ""
        return Challenge(
            tuple(
                (
                    "WWW-Authenticate",
                    f'Digest realm={quoted(self.realm)}, qop="auth", algorithm={algorithm}, nonce="{nonce}", '
                    f"charset=UTF-8{stale}",
                )
                for algorithm in self._algorithms
            )
        )

    def _nonce(self, now: float) -> str:
        content = math.floor(now * 1e6).to_bytes(10, "big", signed=True) + self._random_bytes(8)
        return base64.urlsafe_b64encode(content + self._mac(content)).decode()

    def _mac(self, content: bytes) -> bytes:
        return hmac.digest(self._key, content, "sha256")[:_MAC]

    def _made(self, nonce: str) -> float | None:
        """When a nonce of ours was made, rounded down as it is in the nonce; None for one that is not ours."""
        try:
            whole = base64.b64decode(nonce, altchars=b"-_", validate=True)
        except ValueError:
            return None
        content, mac = whole[:-_MAC], whole[-_MAC:]
        # One text for one nonce: base64 has several for some octets.
        is_ours = base64.urlsafe_b64encode(whole).decode() == nonce and hmac.compare_digest(mac, self._mac(content))
        return int.from_bytes(content[:10], "big", signed=True) / 1e6 if is_ours else None


class _Uses:
    """The counts with which a nonce has been used: the highest, and a bit for each of those before it."""

    __slots__ = ("_bits", "_highest", "made")

    def __init__(self, made: float) -> None:
        self.made = made
        self._highest = 0
        self._bits = 0

    def note(self, count: int) -> bool:
        """Whether `count` is new; it is not any more."""
        if count > self._highest:
            self._bits = (self._bits << min(count - self._highest, _WINDOW) | 1) & (2**_WINDOW - 1)
            self._highest = count
            return True
        back = self._highest - count
        if count < 1 or back >= _WINDOW or self._bits >> back & 1:
            return False
        self._bits |= 1 << back
        return True


def _same_resource(uri: str, target: str) -> bool:
    """Whether the digest's URI names what is asked for (section 3.4.6): the same text, or its absolute form."""
    if uri == target:
        return True
    found = _ABSOLUTE.fullmatch(uri)
    return found is not None and target == (found[1] if found[1].startswith("/") else "/" + found[1])


class DigestClient:
    """HTTP Digest for a client: answers the challenges of one origin, such as `https://alto.example.com:8443`.

    Another origin's challenges are not answered: its operator could use them to guess the password.
    """

    def __init__(
        self,
        origin: str,
        username: str,
        password: str,
        *,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._origin = _origin(origin)
        self._username = username
        self._password = password
        self._random_bytes = random_bytes
        self._challenge: dict[str, str] = {}
        self._count = 0

    def authorize(self, request: Request) -> Request:
        """`request` with the proof for the last challenge; as it is where there was none, or for another origin."""
        if not self._challenge or _origin(request.target) != self._origin:
            return request
        self._count += 1
        headers = tuple(pair for pair in request.headers if pair[0].lower() != "authorization")
        return attrs.evolve(request, headers=(*headers, ("Authorization", self._credentials(request))))

    def answer(self, request: Request, response: Response) -> Request | None:
        """What to send after `request` was answered with `response`; None where Digest is of no help.

        That is so for any status but 401, for what cannot be answered, and where the proof was given and refused.
        """
        if response.status != 401 or _origin(request.target) != self._origin:
            return None
        offered = [
            dict(parameters)
            for name, value in response.headers
            if name.lower() == "www-authenticate"
            for scheme, parameters in parse_challenges(value)
            if scheme == "digest" and _is_answerable(parameters)
        ]
        if not offered:
            return None
        best = min(offered, key=lambda parameters: list(ALGORITHMS).index(_algorithm(parameters)))
        was_tried = request.header("Authorization") is not None
        if was_tried and best.get("stale", "").lower() != "true":
            return None
        self._challenge, self._count = best, 0
        return self.authorize(request)

    def _credentials(self, request: Request) -> str:
        """The Authorization field (section 3.4)."""
        realm, nonce = self._challenge["realm"], self._challenge["nonce"]
        algorithm = _algorithm(self._challenge)
        parts = urlsplit(request.target)
        uri = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        nc, cnonce = f"{self._count:08x}", self._random_bytes(16).hex()
        proof = response_digest(
            algorithm,
            secret_digest(algorithm, self._username, realm, self._password),
            method=request.method,
            uri=uri,
            nonce=nonce,
            nc=nc,
            cnonce=cnonce,
        )
        opaque = f", opaque={quoted(self._challenge['opaque'])}" if "opaque" in self._challenge else ""
        return (
            f"Digest {username_parameter(self._username)}, realm={quoted(realm)}, uri={quoted(uri)}, "
            f"algorithm={algorithm}, nonce={quoted(nonce)}, nc={nc}, cnonce={quoted(cnonce)}, qop=auth, "
            f"response={quoted(proof)}{opaque}"
        )


def _algorithm(parameters: Parameters) -> str:
    return parameters.get("algorithm", "MD5").upper()


def _is_answerable(parameters: Parameters) -> bool:
    qops = {qop.strip().lower() for qop in parameters.get("qop", "").split(",")}
    values_fit = all(value.isascii() and value.isprintable() for value in parameters.values())
    return (
        _algorithm(parameters) in ALGORITHMS
        and "auth" in qops
        and {"realm", "nonce"} <= parameters.keys()
        and values_fit
    )


def _origin(uri: str) -> tuple[str, str, int | None]:
    """Scheme, host and port. Raises ConfigurationError for what has none."""
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError as error:
        raise ConfigurationError(f"{uri!r} is no URI") from error
    scheme = parts.scheme.lower()
    return scheme, (parts.hostname or "").lower(), port or {"http": 80, "https": 443}.get(scheme)

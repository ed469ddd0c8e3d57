"""Who may speak to a tracker (RFC 7846 section 6.1): HTTP Digest, bearer tokens, TLS client certificates, in any mix.

What a client proves names it, and a peer ID belongs to the name that registered it (`ppsp.tracker`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import jwt
from attrs import frozen
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from alto.auth import Authenticated, DigestAuthenticator
from alto.http import Request as DigestRequest
from ppsp.tracker import Allowed, Denied, Request, Verdict

LEEWAY = 30
"""Seconds by which the clock of whoever issues tokens may differ from ours."""
MAX_TOKEN = 4096
"""Octets of a token that is looked at: a signature over more is work that anybody could ask for."""
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}


class KeyFileError(Exception):
    """A file of keys cannot be used; the text says why, in one line."""


@frozen
class TokenKey:
    """A public key, and the one algorithm that it verifies."""

    key: Any
    algorithm: str
    kid: str | None = None


def load_token_keys(path: Path) -> tuple[TokenKey, ...]:
    """The keys that verify tokens: a public key in PEM, or a JSON Web Key (Set). Raises KeyFileError."""
    try:
        text = path.read_text("utf-8")
        if text.lstrip().startswith("{"):
            return _json_web_keys(json.loads(text))
        return (_pem_key(text),)
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror or error}") from error
    except (ValueError, TypeError, jwt.PyJWTError) as error:
        raise KeyFileError(f"{path}: no public key in PEM, and no JSON Web Key Set: {error}") from error


def _json_web_keys(tree: dict[str, Any]) -> tuple[TokenKey, ...]:
    found = [jwt.PyJWK.from_dict(one) for one in tree.get("keys", [tree])]
    return tuple(TokenKey(one.key, one.algorithm_name, one.key_id) for one in found)


def _pem_key(text: str) -> TokenKey:
    key = load_pem_public_key(text.encode())
    if isinstance(key, EllipticCurvePublicKey) and key.curve.name in _CURVES:
        return TokenKey(key, _CURVES[key.curve.name])
    if isinstance(key, RSAPublicKey):
        return TokenKey(key, "RS256")
    if isinstance(key, Ed25519PublicKey):
        return TokenKey(key, "EdDSA")
    raise ValueError("neither RSA, nor ECDSA, nor Ed25519")


@frozen
class BearerTokens:
    """OAuth 2.0 bearer tokens (RFC 6750) that are signed JSON Web Tokens with `exp` and `sub` (RFC 9068)."""

    keys: Sequence[TokenKey]
    audience: str
    """What `aud` has to name: a token for another service is none for this one."""
    issuer: str | None = None

    def subject(self, token: str) -> str | None:
        """Who the token is for; None where it is not good."""
        if len(token) > MAX_TOKEN:
            return None
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError:
            return None
        for key in self.keys:
            if header.get("kid") not in (None, key.kid) and key.kid is not None:
                continue
            try:
                claims = jwt.decode(
                    token,
                    key.key,
                    algorithms=[key.algorithm],
                    audience=self.audience,
                    issuer=self.issuer,
                    leeway=LEEWAY,
                    options={"require": ["exp", "sub", "aud"]},
                )
            except jwt.PyJWTError:
                continue
            return cast(str, claims["sub"])
        return None


class Gate:
    """A `ppsp.tracker.Authenticator`: lets in whoever proves a name by one of the ways that are given.

    `has_certificates`: those that the TLS library has verified are a way. Each way has names of its own. Tokens go by
    the system's clock; nonces by Unix time, `epoch` at `now == 0`, so that trackers may share them.
    """

    def __init__(
        self,
        *,
        digest: DigestAuthenticator | None = None,
        bearer: BearerTokens | None = None,
        has_certificates: bool = False,
        epoch: float = 0.0,
    ) -> None:
        self._digest = digest
        self._epoch = epoch
        self._bearer = bearer
        self._has_certificates = has_certificates

    def __call__(self, request: Request, certificate: str | None, now: float) -> Verdict:
        """Who sent the request."""
        if self._has_certificates and certificate is not None:
            return Allowed(f"certificate {certificate}")
        scheme, _, token = (request.header("Authorization") or "").partition(" ")
        challenges: list[str] = []
        if self._bearer is not None:
            is_bearer = scheme.lower() == "bearer"
            subject = self._bearer.subject(token.strip()) if is_bearer else None
            if subject is not None:
                return Allowed(f"bearer {subject}")
            challenges.append('Bearer realm="ppsp", error="invalid_token"' if is_bearer else 'Bearer realm="ppsp"')
        if self._digest is not None:
            given = DigestRequest(request.method, request.target, request.headers, request.body)
            verdict = self._digest.authenticate(given, self._epoch + now)
            if isinstance(verdict, Authenticated):
                return Allowed(f"digest {verdict.user}")
            challenges += (value for _, value in verdict.headers)
        return Denied(tuple(challenges))

"""Whose objects are measured, and the tokens for them."""

from __future__ import annotations

import base64
import secrets
import time

from decade.cose import Ed25519SigningKey
from decade.scope import ALL_OPERATIONS, Everything, TokenPolicy
from decade.tokens import Claims, RegisteredKey, mint

ACCOUNT = "alice"
SERVER = "http://storage.example"
KEY = Ed25519SigningKey(bytes(range(32)))


def registered() -> dict[bytes, RegisteredKey]:
    """The keys of the accounts of a server."""
    return {KEY.kid: RegisteredKey(KEY.public, ACCOUNT)}


def bearer(server: str = SERVER, key: Ed25519SigningKey = KEY, **policy: int) -> str:
    """The value of Authorization, with a token for everything."""
    now = int(time.time())
    claims = Claims(
        aud=(server,),
        exp=now + 3000,
        iat=now,
        cti=secrets.token_bytes(16),
        scope=((Everything(), ALL_OPERATIONS),),
        policy=TokenPolicy(**policy) if policy else None,
    )
    return "Bearer " + base64.urlsafe_b64encode(mint(claims, key)).rstrip(b"=").decode()

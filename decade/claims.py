"""The claims of a token (RFC 8392 section 3), with those that this profile adds."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import attrs

from decade import cbor
from decade._maps import Kind, array, at, octets, row, text, wire_map
from decade.errors import DecodeError, EncodeError
from decade.scope import CONFIRMATION, SCOPE, TOKEN_POLICY, Confirmation, Scope, TokenPolicy
from decade.values import EPOCH, KID

MAX_AUDIENCES = 8
MAX_ORIGIN = 6
"""Tokens that stand behind one that a server has minted: the longest chain, and one that was minted itself."""
_STRING_OR_URI = text(1, 2048)
_SEVERAL = array(_STRING_OR_URI, 2, MAX_AUDIENCES)
_CTI = octets(16, 32)
_ORIGIN = -70693


@wire_map()
class Ancestor:
    """A token by whose right another one was minted: the key that has signed it, its cti, and when it was issued."""

    kid: bytes = at(0, KID)
    cti: bytes = at(1, _CTI)
    iat: int = at(2, EPOCH)


@attrs.frozen(kw_only=True)
class Claims:
    """What a token says.

    `aud`: the servers that it is for, one to eight; one only if it has `uses`. `exp`, `nbf`, `iat`: seconds since 1970.
    `cti`: 16 to 32 octets that no other token of this key has. `iss` and `sub` are informative. `cnf`: the key of its
    holder, who proves to have it, or signs tokens below this one. `origin`: in tokens that a server mints, those by
    whose right.
    """

    aud: tuple[str, ...]
    exp: int
    iat: int
    cti: bytes
    scope: Scope
    policy: TokenPolicy | None = None
    nbf: int | None = None
    iss: str | None = None
    sub: str | None = None
    cnf: Confirmation | None = None
    origin: tuple[Ancestor, ...] | None = None


def _read_audience(value: Any) -> tuple[str, ...]:
    return (_STRING_OR_URI.read(value),) if type(value) is str else _SEVERAL.read(value)


def _write_audience(aud: tuple[str, ...]) -> Any:
    return _STRING_OR_URI.write(aud[0]) if len(aud) == 1 else _SEVERAL.write(aud)


def _read_scope(value: Any) -> Scope:
    return SCOPE.read(cbor.decode(octets().read(value)))


def _write_scope(scope: Scope) -> bytes:
    return cbor.encode(SCOPE.write(scope))


_CLAIMS: Mapping[int, tuple[str, Kind[Any]]] = MappingProxyType(
    {
        1: ("iss", _STRING_OR_URI),
        2: ("sub", _STRING_OR_URI),
        3: ("aud", Kind(_read_audience, _write_audience)),
        4: ("exp", EPOCH),
        5: ("nbf", EPOCH),
        6: ("iat", EPOCH),
        7: ("cti", _CTI),
        8: ("cnf", CONFIRMATION),
        9: ("scope", Kind(_read_scope, _write_scope)),
        -70690: ("policy", TOKEN_POLICY),
        _ORIGIN: ("origin", array(row(Ancestor), 1, MAX_ORIGIN)),
    }
)
_REQUIRED = frozenset({"aud", "exp", "iat", "cti", "scope"})


def read_claims(payload: bytes, *, is_own: bool = False) -> Claims:
    """The claims of a token; those that are not known are ignored (RFC 8392 section 3). Raises DecodeError.

    `is_own`: the reader has minted it itself. From anybody else `origin` means nothing, and counts as unknown.
    """
    value = cbor.decode(payload)
    if not cbor.is_map(value):
        raise DecodeError("claims: no map")
    members: dict[str, Any] = {}
    for key, item in value.items():
        known = _CLAIMS.get(key)
        if known is None or (key == _ORIGIN and not is_own):
            continue
        name, kind = known
        try:
            members[name] = kind.read(item)
        except DecodeError as exc:
            raise DecodeError(f"claims: {name}: {exc}") from exc
    if missing := _REQUIRED - members.keys():
        raise DecodeError(f"claims: {', '.join(sorted(missing))} is missing")
    claims = Claims(**members)
    _check_uses(claims)
    return claims


def write_claims(claims: Claims) -> bytes:
    """The payload of a token. Raises EncodeError, also for claims that expire before they start."""
    items: dict[int, Any] = {}
    try:
        for key, (name, kind) in _CLAIMS.items():
            if (member := getattr(claims, name)) is not None:
                items[key] = kind.write(member)
        _check_uses(claims)
    except DecodeError as exc:
        raise EncodeError(f"claims: {exc}") from exc
    if claims.exp <= claims.iat:
        raise EncodeError("claims: exp is not behind iat")
    return cbor.encode(items)


def _check_uses(claims: Claims) -> None:
    """Uses are counted by each server for itself: a token for two could be used twice as often."""
    if claims.policy is not None and claims.policy.uses is not None and len(claims.aud) != 1:
        raise DecodeError("a token with uses has one audience")

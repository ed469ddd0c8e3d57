"""Tokens: CBOR Web Tokens that permit operations and bound resources (RFC 7069 section 5.5, RFC 8392).

A token is `61(18([...]))`, signed, or `61(17([...]))`, with a MAC. Whoever issued it is known by the key alone: the
account is that of the verified key, never what `iss` or `sub` say. Both tags, the type and the deterministic encoding
are requirements of this profile.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

import attrs

from decade import cbor
from decade._maps import Kind, array, octets, text
from decade.cose import ALG, KID, MAC0, SIGN1, TYP, CoseMessage, SigningKey, VerifyingKey, read_cose, secure
from decade.errors import DecodeError, EncodeError, ErrorCode, RefusedError
from decade.messages import Revocation
from decade.scope import SCOPE, TOKEN_POLICY
from decade.scope import Collection as Collection
from decade.scope import Everything as Everything
from decade.scope import Object as Object
from decade.scope import Operation as Operation
from decade.scope import Publisher as Publisher
from decade.scope import Scope as Scope
from decade.scope import TokenPolicy as TokenPolicy
from decade.values import EPOCH, SignedName
from decade.values import KID as KID_KIND

CWT = 61
TYPE = "application/decade+cwt"
MAX_TOKEN = 4096
"""Octets of a token: it travels in a header field."""
SKEW = 60
"""Seconds that the clocks of an issuer and a server may differ."""
MAX_AUDIENCES = 8
CACHED_TOKENS = 4096
"""Verified tokens that a server remembers, about 2 KiB each."""
_SWEEP_EVERY = 60.0
"""Seconds between two searches for tokens that have expired."""

_CNF = 8
_CHAIN = -70691
"""Label of the chain of tokens that an issuer has its right from: an extension."""
_TAGS = frozenset({CWT, SIGN1, MAC0})
_STRING_OR_URI = text(1, 2048)
_SEVERAL = array(_STRING_OR_URI, 2, MAX_AUDIENCES)


@attrs.frozen(kw_only=True)
class Claims:
    """What a token says.

    `aud`: the servers that it is for, one to eight; one only if it has `uses`. `exp`, `nbf`, `iat`: seconds since 1970.
    `cti`: 16 to 32 octets that no other token of this key has. `iss` and `sub` are informative.
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
        7: ("cti", octets(16, 32)),
        9: ("scope", Kind(_read_scope, _write_scope)),
        -70690: ("policy", TOKEN_POLICY),
    }
)
_REQUIRED = frozenset({"aud", "exp", "iat", "cti", "scope"})


def read_claims(payload: bytes) -> Claims:
    """The claims of a token; those that are not known are ignored (RFC 8392 section 3). Raises DecodeError."""
    value = cbor.decode(payload)
    if not isinstance(value, Mapping):
        raise DecodeError("claims: no map")
    if _CNF in value:
        raise DecodeError("claims: proof of possession is not supported")
    members: dict[str, Any] = {}
    for key, (name, kind) in _CLAIMS.items():
        if key in value:
            try:
                members[name] = kind.read(value[key])
            except DecodeError as exc:
                raise DecodeError(f"claims: {name}: {exc}") from exc
    if missing := _REQUIRED - members.keys():
        raise DecodeError(f"claims: {', '.join(sorted(missing))} is missing")
    claims = Claims(**members)
    _check_uses(claims)
    return claims


def write_claims(claims: Claims) -> bytes:
    """The payload of a token. Raises EncodeError, as `mint` does."""
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


def mint(claims: Claims, key: SigningKey) -> bytes:
    """The token. Raises EncodeError for claims that the profile does not allow, or that expire before they start."""
    header: dict[int | str, Any] = {ALG: int(key.algorithm), KID: key.kid, TYP: TYPE}
    token = cbor.encode(cbor.Tag(CWT, secure(write_claims(claims), header, key)), tags=_TAGS)
    if len(token) > MAX_TOKEN:
        raise EncodeError(f"token: {len(token)} octets, over {MAX_TOKEN}")
    return token


@attrs.frozen
class RegisteredKey:
    """A key that a server knows: whose it is, and the node of the account's tree that pays for its tokens."""

    key: VerifyingKey
    account: str
    app: tuple[str, ...] = ()


Keys: TypeAlias = Callable[[bytes], RegisteredKey | None]
"""The key of a `kid`, or None."""


@attrs.frozen
class VerifiedToken:
    """The claims of a token whose signature, audience and time were right, and the key that has signed it."""

    claims: Claims
    key: RegisteredKey

    @property
    def account(self) -> str:
        """Whose objects it reaches, and who pays."""
        return self.key.account

    @property
    def ledger_key(self) -> tuple[bytes, bytes]:
        """What its uses and octets are counted under. A `kid` would not do: two keys may have the same one."""
        return self.key.key.thumbprint, self.claims.cti

    def is_revoked_by(self, revocation: Revocation) -> bool:
        """Whether a revocation by its account reaches this token."""
        if revocation.cti is not None:
            return self.claims.cti in revocation.cti
        if revocation.before is not None:
            return self.claims.iat <= revocation.before
        return self.key.key.kid == revocation.kid


def verify(token: bytes, keys: Keys, *, audience: str, wall: float, max_life: int) -> VerifiedToken:
    """The token, if it is for this server and now.

    `wall`: Unix time. `max_life`: the seconds between `iat` and `exp` that the server has published.
    Raises RefusedError, with the first that applies of TOKEN_MALFORMED (its form), TOKEN_BAD_SIGNATURE,
    TOKEN_MALFORMED (its claims), WRONG_AUDIENCE, TOKEN_EXPIRED, TOKEN_NOT_YET_VALID.
    """
    try:
        message = _read_token(token)
        kid = KID_KIND.read(message.header.get(KID))
    except DecodeError as exc:
        raise RefusedError(ErrorCode.TOKEN_MALFORMED, f"token: {exc}") from exc
    # An unknown key costs no signature work.
    registered = keys(kid)
    if registered is None:
        raise RefusedError(ErrorCode.TOKEN_BAD_SIGNATURE, "token: its key is not registered")
    _check_signature(message, registered.key)
    try:
        claims = read_claims(message.payload)
        _check_issuer(claims, registered, max_life)
        _refuse_extensions(claims)
    except DecodeError as exc:
        raise RefusedError(ErrorCode.TOKEN_MALFORMED, f"token: {exc}") from exc
    if audience not in claims.aud:
        raise RefusedError(ErrorCode.WRONG_AUDIENCE, "token: for another server")
    _check_time(claims, wall)
    return VerifiedToken(claims, registered)


def _read_token(token: bytes) -> CoseMessage:
    value = cbor.decode(token, max_size=MAX_TOKEN, tags=_TAGS)
    if type(value) is not cbor.Tag or value.tag != CWT:
        raise DecodeError(f"no tag {CWT}")
    message = read_cose(value.value)
    if message.header.get(TYP) != TYPE:
        raise DecodeError(f"its type is not {TYPE}")
    if _CHAIN in message.header or _CHAIN in message.unprotected:
        raise DecodeError("delegation is not supported")
    return message


def _check_signature(message: CoseMessage, key: VerifyingKey) -> None:
    # The key says which algorithm it is for; the token only repeats it, and in the protected header alone.
    algorithm = message.header.get(ALG)
    if type(algorithm) is not int or algorithm != key.algorithm or message.tag != key.tag:
        raise RefusedError(ErrorCode.TOKEN_BAD_SIGNATURE, "token: its algorithm is not that of its key")
    if not key.verify(message.signed, message.signature):
        raise RefusedError(ErrorCode.TOKEN_BAD_SIGNATURE, "token: its signature is wrong")


def _check_issuer(claims: Claims, registered: RegisteredKey, max_life: int) -> None:
    if claims.sub is not None and claims.sub != registered.account:
        raise DecodeError("claims: sub is not the account of the key")
    if claims.exp - claims.iat > max_life:
        raise DecodeError(f"claims: a life of {claims.exp - claims.iat} s, over {max_life}")


def _refuse_extensions(claims: Claims) -> None:
    """A restriction that is not enforced would be none: a token with one is refused as a whole."""
    policy = claims.policy or TokenPolicy()
    extensions = (policy.ip_prefixes, policy.collections, policy.levels, policy.app_path)
    if any(member is not None for member in extensions):
        raise DecodeError("claims: a policy with members that are not supported")
    for target, _ in claims.scope:
        if isinstance(target, Collection | Publisher) or (
            isinstance(target, Object) and isinstance(target.name, SignedName)
        ):
            raise DecodeError("claims: a scope of collections or signed names, which are not supported")


def _check_time(claims: Claims, wall: float) -> None:
    if wall >= claims.exp + SKEW:
        raise RefusedError(ErrorCode.TOKEN_EXPIRED, "token: expired")
    if claims.iat > wall + SKEW or (claims.nbf is not None and claims.nbf > wall + SKEW):
        raise RefusedError(ErrorCode.TOKEN_NOT_YET_VALID, "token: not yet valid")


class VerifiedTokenCache:
    """Verifies tokens, and remembers those that were good, by their hash: most are used more than once.

    Whoever uses what it returns still asks for revocations and uses: those change without the token.
    """

    def __init__(self, keys: Keys, *, audience: str, max_life: int, capacity: int = CACHED_TOKENS) -> None:
        """`keys`, `audience`, `max_life`: see `verify`. `capacity`: tokens, the one used longest ago goes first."""
        self._keys = keys
        self._audience = audience
        self._max_life = max_life
        self._capacity = capacity
        self._verified: OrderedDict[bytes, VerifiedToken] = OrderedDict()
        self._swept = 0.0

    def __len__(self) -> int:
        """Tokens that it remembers."""
        return len(self._verified)

    def verify(self, token: bytes, wall: float) -> VerifiedToken:
        """The token, if it is for this server and now. Raises RefusedError, as `verify` does."""
        digest = hashlib.sha256(token).digest()
        found = self._verified.get(digest)
        # Its key may have been taken away since, or given to another account.
        if found is not None and self._keys(found.key.key.kid) == found.key:
            self._verified.move_to_end(digest)
            try:
                _check_time(found.claims, wall)
            except RefusedError:
                del self._verified[digest]
                raise
            return found
        self._verified.pop(digest, None)
        made = verify(token, self._keys, audience=self._audience, wall=wall, max_life=self._max_life)
        self._sweep(wall)
        self._verified[digest] = made
        if len(self._verified) > self._capacity:
            self._verified.popitem(last=False)
        return made

    def revoke(self, account: str, revocation: Revocation) -> None:
        """Forget the tokens of an account that a revocation reaches."""
        self._forget(lambda token: token.account == account and token.is_revoked_by(revocation))

    def _sweep(self, wall: float) -> None:
        # A clock that was set back sweeps too early, which does no harm.
        if abs(wall - self._swept) >= _SWEEP_EVERY:
            self._swept = wall
            self._forget(lambda token: wall >= token.claims.exp + SKEW)

    def _forget(self, is_gone: Callable[[VerifiedToken], bool]) -> None:
        for digest in [digest for digest, token in self._verified.items() if is_gone(token)]:
            del self._verified[digest]

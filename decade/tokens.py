"""Tokens: CBOR Web Tokens that permit operations and bound resources (RFC 7069 section 5.5, RFC 8392).

A token is `61(18([...]))`, signed, or `61(17([...]))`, with a MAC. Whoever issued it is known by the key alone: the
account is that of the verified key, never what `iss` or `sub` say. Both tags, the type and the deterministic encoding
are requirements of this profile.

A token that names its holder's key may be passed on (`delegate`): the holder signs a token below it, which carries it
in its protected header, so that nobody can put it below another one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType
from typing import Any, TypeAlias

import attrs

from decade import cbor
from decade.attenuation import link_fault
from decade.claims import Ancestor as Ancestor
from decade.claims import Claims as Claims
from decade.claims import read_claims as read_claims
from decade.claims import write_claims as write_claims
from decade.cose import (
    ALG,
    KID,
    MAC0,
    SIGN1,
    TYP,
    Algorithm,
    CoseMessage,
    PublicKey,
    SigningKey,
    VerifyingKey,
    read_cose,
    read_public_key,
    secure,
)
from decade.errors import DecodeError, EncodeError, ErrorCode, RefusedError
from decade.messages import Revocation
from decade.scope import Collection as Collection
from decade.scope import Everything as Everything
from decade.scope import Object as Object
from decade.scope import Operation as Operation
from decade.scope import Publisher as Publisher
from decade.scope import Scope as Scope
from decade.scope import TokenPolicy as TokenPolicy
from decade.values import KID as KID_KIND
from decade.values import SignedName

CWT = 61
TYPE = "application/decade+cwt"
MAX_TOKEN = 4096
"""Octets of a token, those above it included: it travels in a header field."""
MAX_CHAIN = 4
"""Tokens from a registered key to the one that is shown: each may cost a check of a signature."""
SKEW = 60
"""Seconds that the clocks of an issuer and a server may differ."""

_PARENT = -70691
"""Label of the token that this one is below. In the protected header: its holder has signed which one it is."""
_TAGS = frozenset({CWT, SIGN1, MAC0})
_NO_POLICY = TokenPolicy()


class TokenFeature(StrEnum):
    """Extensions of tokens, by their names in server-info. A server without one refuses the tokens that use it."""

    ES256 = "es256"
    ED25519 = "ed25519"
    DELEGATION = "delegation"
    POP = "pop"
    IP_PREFIX = "ip-prefix"
    APP_PATH = "app-path"
    COLLECTIONS = "collections"
    SIGNED_NAMES = "signed-names"
    MINT = "mint"


_ALGORITHMS: Mapping[int, TokenFeature] = MappingProxyType(
    {Algorithm.ES256: TokenFeature.ES256, Algorithm.ED25519: TokenFeature.ED25519}
)


def mint(claims: Claims, key: SigningKey) -> bytes:
    """The token. Raises EncodeError for claims that the profile does not allow, or that expire before they start."""
    return _mint(claims, key, {})


def claims_of(token: bytes) -> Claims:
    """What a token says, for who holds it: nobody has verified it. Raises DecodeError."""
    return read_claims(_read_token(token).payload)


def delegate(parent: bytes, key: SigningKey, claims: Claims) -> bytes:
    """A token below `parent`, by the key of its holder. Raises EncodeError if `verify` would refuse it for its parent.

    Uses and octets of the parent are shared by all tokens below it.
    """
    try:
        above = claims_of(parent)
        reason = link_fault(above, claims)
        if reason is None and _holder(above).kid != key.kid:
            reason = "cnf: another key is its holder's"
    except DecodeError as exc:
        raise EncodeError(f"the parent of a token: {exc}") from exc
    if reason is not None:
        raise EncodeError(f"token: {reason}")
    return _mint(claims, key, {_PARENT: parent})


def _mint(claims: Claims, key: SigningKey, more: dict[int | str, Any]) -> bytes:
    header: dict[int | str, Any] = {ALG: int(key.algorithm), KID: key.kid, TYP: TYPE, **more}
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


@attrs.frozen(slots=False)
class VerifiedToken:
    """The claims of a token whose signature, audience and time were right, and the key that has signed it.

    `parent`: the token that it is below, which is `above` on the wire; the account is that of the first one's key.
    """

    claims: Claims
    key: RegisteredKey
    parent: VerifiedToken | None = None
    above: bytes = attrs.field(default=b"", repr=False)

    @property
    def account(self) -> str:
        """Whose objects it reaches, and who pays."""
        return self.key.account

    @property
    def node(self) -> tuple[str, ...]:
        """The node of the key that all began with: it and those above it may revoke the token."""
        return (self.key.account, *self.key.app)

    @cached_property
    def path(self) -> tuple[str, ...]:
        """The node of the policy tree that pays."""
        app = self.policy.app_path
        return (self.key.account, *(self.key.app if app is None else app))

    @property
    def policy(self) -> TokenPolicy:
        """The resources that it may use."""
        return self.claims.policy or _NO_POLICY

    @property
    def ledger_key(self) -> tuple[bytes, bytes]:
        """What its uses and octets are counted under. A `kid` would not do: two keys may have the same one."""
        return self.key.key.thumbprint, self.claims.cti

    @cached_property
    def levels(self) -> tuple[VerifiedToken, ...]:
        """It and the tokens that it is below, from the first one down: the limits of each hold, and are shared."""
        return (self,) if self.parent is None else (*self.parent.levels, self)

    @cached_property
    def flow(self) -> VerifiedToken:
        """The token whose share of the line it has: the first one with a bandwidth, or itself."""
        return next((level for level in self.levels if level.policy.bandwidth is not None), self)

    @cached_property
    def lineage(self) -> tuple[Ancestor, ...]:
        """All whose revocation reaches it: those that stand behind it as a server has minted it, and its levels."""
        own = tuple(
            Ancestor(kid=level.key.key.kid, cti=level.claims.cti, iat=level.claims.iat) for level in self.levels
        )
        return (*(self.levels[0].claims.origin or ()), *own)

    def is_revoked_by(self, node: tuple[str, ...], revocation: Revocation) -> bool:
        """Whether a revocation by a node reaches this token."""
        return self.node[: len(node)] == node and any(_is_reached(one, revocation) for one in self.lineage)


def _is_reached(one: Ancestor, revocation: Revocation) -> bool:
    if revocation.cti is not None:
        return one.cti in revocation.cti
    if revocation.before is not None:
        return one.iat <= revocation.before
    return one.kid == revocation.kid


@attrs.frozen(kw_only=True)
class Rules:
    """What a server asks of tokens.

    `audience`: its identifier. `max_life`: the seconds between `iat` and `exp` that it has published. `features`: the
    extensions that it has. `own`: the key with which it mints; such a token says itself whose it is.
    """

    keys: Keys
    audience: str
    max_life: int
    features: frozenset[TokenFeature] = frozenset()
    own: PublicKey | None = None


Recall: TypeAlias = Callable[[bytes], "VerifiedToken | None"]
"""A token that was verified before, and whose key is still what it was."""


def verify(
    token: bytes,
    keys: Keys,
    *,
    audience: str,
    wall: float,
    max_life: int,
    features: frozenset[TokenFeature] = frozenset(),
) -> VerifiedToken:
    """The token, if it is for this server and now.

    `wall`: Unix time. `max_life`, `features`: see `Rules`.
    Raises RefusedError, with the first that applies of TOKEN_MALFORMED (its form), TOKEN_BAD_SIGNATURE,
    TOKEN_MALFORMED (its claims), WRONG_AUDIENCE, TOKEN_EXPIRED, TOKEN_NOT_YET_VALID. Those that it is below come first.
    """
    rules = Rules(keys=keys, audience=audience, max_life=max_life, features=features)
    found = verify_chain(token, rules, _forgetful)
    check_now(found, rules, wall)
    return found


def _forgetful(_: bytes) -> None:
    """Nothing was verified before."""


def verify_chain(token: bytes, rules: Rules, recall: Recall) -> VerifiedToken:
    """The token with those that it is below, without a look at the clock. Raises RefusedError as `verify` does."""
    try:
        messages = _read_levels(token, rules)
        kid = KID_KIND.read(messages[0].header.get(KID))
    except DecodeError as exc:
        raise _malformed(exc) from exc
    found: VerifiedToken | None = None
    # What a child carries is a whole token, which may be known: the search starts next to the one that was shown.
    at = len(messages) - 1
    while at and found is None:
        found = recall(messages[at].header[_PARENT])
        at -= found is None
    if found is None:
        # An unknown key costs no signature work.
        found = _verify_first(messages[0], kid, rules)
        at = 1
    for message in messages[at:]:
        found = _verify_below(message, found, rules)
    _check_holder(found, rules)
    if rules.audience not in found.claims.aud:
        raise RefusedError(ErrorCode.WRONG_AUDIENCE, "token: for another server")
    return found


def _verify_first(message: CoseMessage, kid: bytes, rules: Rules) -> VerifiedToken:
    if rules.own is not None and kid == rules.own.kid:
        return _verify_own(message, rules, rules.own)
    registered = rules.keys(kid)
    if registered is None:
        raise RefusedError(ErrorCode.TOKEN_BAD_SIGNATURE, "token: its key is not registered")
    _check_signature(message, registered.key, rules)
    try:
        claims = read_claims(message.payload)
        check_claims(claims, registered, rules)
        _check_app_path(claims, registered, rules)
    except DecodeError as exc:
        raise _malformed(exc) from exc
    return VerifiedToken(claims, registered)


def _verify_own(message: CoseMessage, rules: Rules, own: PublicKey) -> VerifiedToken:
    """A token that this server has minted: it has written whose it is, after it had verified who asked."""
    _check_signature(message, own, rules)
    try:
        claims = read_claims(message.payload, is_own=True)
        if claims.sub is None or claims.origin is None or claims.policy is None or claims.policy.app_path is None:
            raise DecodeError("claims: of this server's key, but not as it mints")
        first = rules.keys(claims.origin[0].kid)
        registered = RegisteredKey(own, claims.sub, first.app if first is not None else ())
        check_claims(claims, registered, rules)
    except DecodeError as exc:
        raise _malformed(exc) from exc
    made = VerifiedToken(claims, registered)
    if not has_its_key(made, rules):
        raise RefusedError(ErrorCode.TOKEN_BAD_SIGNATURE, "token: the key by whose right it is, is not registered")
    return made


def has_its_key(token: VerifiedToken, rules: Rules) -> bool:
    """Whether the key that all began with is registered now, at the same node, and that may pay."""
    first = token.levels[0]
    if first.claims.origin is None:
        found = rules.keys(first.key.key.kid)
        return found is first.key or found == first.key
    registered = rules.keys(first.claims.origin[0].kid)
    if registered is None or (registered.account, *registered.app) != first.node:
        return False
    return first.path[: len(first.node)] == first.node


def _verify_below(message: CoseMessage, parent: VerifiedToken, rules: Rules) -> VerifiedToken:
    try:
        key = RegisteredKey(_holder(parent.claims), parent.key.account, parent.key.app)
    except DecodeError as exc:
        raise _malformed(exc) from exc
    if message.header.get(KID) != key.key.kid:
        raise RefusedError(ErrorCode.TOKEN_BAD_SIGNATURE, "token: not by the holder of the one above it")
    _check_signature(message, key.key, rules)
    try:
        claims = read_claims(message.payload)
        if (reason := link_fault(parent.claims, claims)) is not None:
            raise DecodeError(f"claims: {reason}")
        check_claims(claims, key, rules)
        _check_app_path(claims, key, rules)
    except DecodeError as exc:
        raise _malformed(exc) from exc
    return VerifiedToken(claims, key, parent, message.header[_PARENT])


def _holder(claims: Claims) -> PublicKey:
    """The key that signs what is below a token. Raises DecodeError."""
    if claims.cnf is None or claims.cnf.key is None:
        raise DecodeError("claims: cnf: no key of a holder")
    return read_public_key(claims.cnf.key)


def _malformed(reason: DecodeError) -> RefusedError:
    return RefusedError(ErrorCode.TOKEN_MALFORMED, f"token: {reason}")


def _read_levels(token: bytes, rules: Rules) -> tuple[CoseMessage, ...]:
    """The token and those that it is below, from the first one down."""
    levels: list[CoseMessage] = []
    octets: Any = token
    while True:
        levels.append(_read_token(octets))
        octets = levels[-1].header.get(_PARENT)
        if octets is None:
            return tuple(reversed(levels))
        if TokenFeature.DELEGATION not in rules.features:
            raise DecodeError("delegation is not supported")
        if type(octets) is not bytes or len(levels) == MAX_CHAIN:
            raise DecodeError(f"a chain of more than {MAX_CHAIN} tokens, or of what is none")


def _read_token(token: bytes) -> CoseMessage:
    value = cbor.decode(token, max_size=MAX_TOKEN, tags=_TAGS)
    if type(value) is not cbor.Tag or value.tag != CWT:
        raise DecodeError(f"no tag {CWT}")
    message = read_cose(value.value)
    if message.header.get(TYP) != TYPE:
        raise DecodeError(f"its type is not {TYPE}")
    if _PARENT in message.unprotected or message.header.get(_PARENT, b"") is None:
        raise DecodeError("a token above it that nobody has signed")
    return message


def _check_signature(message: CoseMessage, key: VerifyingKey, rules: Rules) -> None:
    # The key says which algorithm it is for; the token only repeats it, and in the protected header alone.
    algorithm = message.header.get(ALG)
    if type(algorithm) is not int or algorithm not in key.algorithms or message.tag != key.tag:
        raise RefusedError(ErrorCode.TOKEN_BAD_SIGNATURE, "token: its algorithm is not that of its key")
    needed = _ALGORITHMS.get(algorithm)
    if needed is not None and needed not in rules.features:
        raise RefusedError(ErrorCode.TOKEN_BAD_SIGNATURE, f"token: {needed} is not supported")
    if not key.verify(message.signed, message.signature):
        raise RefusedError(ErrorCode.TOKEN_BAD_SIGNATURE, "token: its signature is wrong")


def check_claims(claims: Claims, registered: RegisteredKey, rules: Rules) -> None:
    """Whether these are claims that a server can enforce, of a key. Raises DecodeError.

    A restriction that is not enforced would be none: a token with one is refused as a whole.
    """
    if claims.sub is not None and claims.sub != registered.account:
        raise DecodeError("claims: sub is not the account of the key")
    if claims.exp - claims.iat > rules.max_life:
        raise DecodeError(f"claims: a life of {claims.exp - claims.iat} s, over {rules.max_life}")
    if claims.policy is not None:
        _check_policy(claims.policy, rules.features)
    if claims.cnf is not None and claims.cnf.key is not None:
        read_public_key(claims.cnf.key)
    for target, _ in claims.scope:
        if isinstance(target, Collection) and TokenFeature.COLLECTIONS not in rules.features:
            raise DecodeError("claims: a scope of collections, which are not supported")
        is_signed = isinstance(target, Publisher) or (
            isinstance(target, Object) and isinstance(target.name, SignedName)
        )
        if is_signed and TokenFeature.SIGNED_NAMES not in rules.features:
            raise DecodeError("claims: a scope of signed names, which are not supported")


def _check_policy(policy: TokenPolicy, features: frozenset[TokenFeature]) -> None:
    if policy.collections is not None and TokenFeature.COLLECTIONS not in features:
        raise DecodeError("claims: a policy with collections, which are not supported")
    if policy.ip_prefixes is not None and TokenFeature.IP_PREFIX not in features:
        raise DecodeError("claims: a policy with ip-prefix, which is not supported")
    if policy.levels is not None and TokenFeature.DELEGATION not in features:
        raise DecodeError("claims: a policy with levels of delegation, which is not supported")


def _check_app_path(claims: Claims, registered: RegisteredKey, rules: Rules) -> None:
    path = claims.policy.app_path if claims.policy is not None else None
    if path is None:
        return
    if TokenFeature.APP_PATH not in rules.features:
        raise DecodeError("claims: a policy with app-path, which is not supported")
    if path[: len(registered.app)] != registered.app:
        raise DecodeError("claims: an app-path that is not below the node of the key")


def check_now(token: VerifiedToken, rules: Rules, wall: float) -> None:
    """Whether it may be shown, and now. Raises RefusedError."""
    _check_holder(token, rules)
    # No token outlives the one that it is below.
    if wall >= token.claims.exp + SKEW:
        raise RefusedError(ErrorCode.TOKEN_EXPIRED, "token: expired")
    level: VerifiedToken | None = token
    while level is not None:
        claims, level = level.claims, level.parent
        if claims.iat > wall + SKEW or (claims.nbf is not None and claims.nbf > wall + SKEW):
            raise RefusedError(ErrorCode.TOKEN_NOT_YET_VALID, "token: not yet valid")


def _check_holder(token: VerifiedToken, rules: Rules) -> None:
    """Whoever shows a token proves to hold it; a token that stands above it was proved by the signature below."""
    if token.claims.cnf is not None and TokenFeature.POP not in rules.features:
        raise RefusedError(ErrorCode.TOKEN_MALFORMED, "token: proof of possession is not supported")

"""Tokens of extensions that somebody has spoiled, and chains at random: nothing raises, nothing widens.

`make fuzz` runs this with the soak profile.
"""

from functools import reduce

import attrs
from decade_chains import FEATURES, GRANT, HOLDERS, READ, below, chain
from decade_changes import CHANGES, REMOVED, changed, places
from decade_messages import SCOPE, TOKEN_POLICY
from decade_tokens import ACCOUNT, CLAIMS, HELLO, LIFE, MAC, NOW, REGISTERED, SERVER, SIGNING
from hypothesis import given
from hypothesis import strategies as st

from decade import cbor
from decade.attenuation import attenuates
from decade.cose import Ed25519SigningKey, Es256SigningKey, secure
from decade.errors import EncodeError, ErrorCode, RefusedError
from decade.scope import Everything, Object, Operation, TokenPolicy
from decade.token_cache import VerifiedTokenCache
from decade.tokens import CWT, TYPE, Ancestor, RegisteredKey, TokenFeature, delegate, mint, verify, write_claims
from decade.values import Priority

ES256 = Es256SigningKey(bytes([5] * 32))
SPECIFIED = Ed25519SigningKey(SIGNING.seed, -19)
OWN = Ed25519SigningKey(bytes([6] * 32))
KEYS = {**REGISTERED, ES256.kid: RegisteredKey(ES256.public, ACCOUNT)}
MINTED = attrs.evolve(
    CLAIMS,
    sub=ACCOUNT,
    policy=attrs.evolve(CLAIMS.policy, app_path=()),
    origin=(Ancestor(kid=MAC.kid, cti=bytes(16), iat=NOW),),
)
TOKENS = [mint(CLAIMS, ES256), mint(CLAIMS, SPECIFIED), mint(MINTED, OWN), *(chain(level)[0] for level in (1, 2, 3))]
TAGS = frozenset({17, 18, CWT})
SPLICES = st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 8), st.binary(max_size=8)), min_size=1, max_size=4)
CODES = range(ErrorCode.TOKEN_MALFORMED, ErrorCode.WRONG_AUDIENCE + 1)


def cache():
    return VerifiedTokenCache(
        KEYS.get, audience=SERVER, max_life=LIFE, features=FEATURES | {TokenFeature.MINT}, own=OWN.public
    )


def outcome(token, known=None):
    """What becomes of a token: nothing but an acceptance, or a refusal with a code of tokens."""
    try:
        return (known or cache()).verify(token, NOW)
    except RefusedError as exc:
        code = exc.code
    assert code in CODES
    return code


def spliced(octets, splices):
    """The octets, with some at a place taken out and others put in."""
    for at, size, more in splices:
        at %= len(octets) + 1
        octets = octets[:at] + more + octets[at + size :]
    return octets


def test_every_kind_of_token_is_good_and_no_flipped_bit_of_it_is():
    known = cache()
    for token in TOKENS[:3]:
        assert not isinstance(outcome(token, known), ErrorCode)
        for bit in range(len(token) * 8):
            flipped = bytearray(token)
            flipped[bit // 8] ^= 1 << bit % 8
            assert outcome(bytes(flipped), known) in (ErrorCode.TOKEN_MALFORMED, ErrorCode.TOKEN_BAD_SIGNATURE)


@given(st.sampled_from(TOKENS), SPLICES)
def test_a_spoiled_token_is_refused_or_says_what_it_said(token, splices):
    found = outcome(spliced(token, splices))
    if not isinstance(found, ErrorCode):
        assert found.claims == outcome(token).claims


@given(st.integers(0, 2), st.lists(st.tuples(st.integers(0, 99), CHANGES), min_size=1, max_size=3))
def test_claims_of_a_holder_without_rules_are_refused_or_no_wider(level, changes):
    parent, claims = chain(level)
    value = cbor.decode(write_claims(below(claims[-1], level + 1)))
    for number, change in changes:
        paths = list(places(value))
        value = changed(value, paths[number % len(paths)], change)
        if value is REMOVED:
            return
    key = HOLDERS[level]
    header = {1: int(key.algorithm), 4: key.kid, 16: TYPE, -70691: parent}
    try:
        token = cbor.encode(cbor.Tag(CWT, secure(cbor.encode(value), header, key)), tags=TAGS)
    except EncodeError:
        return
    found = outcome(token)
    if not isinstance(found, ErrorCode):
        assert attenuates(found.parent.claims, found.claims)
        assert found.account == ACCOUNT


@st.composite
def children(draw, parent, level):
    """Claims that may be below others, or may not: some members at random."""
    made = below(parent, level)
    scope = draw(st.sampled_from([made.scope, made.scope, ((Object(HELLO), READ),)]) | SCOPE)
    policy = draw(TOKEN_POLICY)
    names = [field.name for field in attrs.fields(TokenPolicy) if draw(st.integers(0, 60))]
    kept = attrs.evolve(policy, **{name: getattr(made.policy, name) for name in names})
    return attrs.evolve(
        made,
        scope=scope,
        policy=kept,
        exp=made.exp + draw(st.sampled_from([-1, 0, 0, 0, 1])),
        nbf=draw(st.sampled_from([None, NOW, NOW + 1])),
    )


BOUNDED = attrs.evolve(
    GRANT,
    scope=((Everything(), Operation.GET | Operation.PUT | Operation.DELEGATE),),
    policy=attrs.evolve(GRANT.policy, priority=Priority.HIGH, storage=50, lifetime=60),
)


@given(st.data())
def test_chains_at_random_never_widen(data):
    claims, token = [BOUNDED], mint(BOUNDED, SIGNING)
    for level in range(1, data.draw(st.integers(1, 3)) + 1):
        claims.append(data.draw(children(claims[-1], level)))
        try:
            token = delegate(token, HOLDERS[level - 1], claims[-1])
        except EncodeError:
            return
    try:
        found = verify(token, REGISTERED.get, audience=SERVER, wall=NOW, max_life=LIFE, features=FEATURES)
    except RefusedError:
        return
    first = found.levels[0].claims
    assert all(attenuates(first, level.claims) for level in found.levels)
    assert reduce(min, (level.policy.amount for level in found.levels)) == found.policy.amount


@given(st.lists(st.tuples(st.sampled_from(TOKENS), st.integers(-90, 700)), max_size=12))
def test_a_cache_decides_as_if_there_were_none(asked):
    known = cache()
    for token, later in asked:
        decided = []
        for each in (known, cache()):
            try:
                decided.append(each.verify(token, NOW + later).claims)
            except RefusedError as exc:
                decided.append(exc.code)
        assert decided[0] == decided[1]

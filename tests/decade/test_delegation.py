"""Chains of delegation: each level a signature of its holder, no level wider, budgets shared, revoked from above."""

import attrs
import pytest
from decade_chains import FEATURES, GRANT, HOLDERS, READ, below, chain
from decade_tokens import ACCOUNT, CLAIMS, HELLO, LIFE, MAC, NOW, REGISTERED, SERVER, SIGNING

from decade import cbor
from decade.cose import secure
from decade.errors import Dimension, EncodeError, ErrorCode, RefusedError
from decade.ledger import MemoryLedger
from decade.messages import Revocation
from decade.ports import Use
from decade.scope import Confirmation, Everything, Object, Operation
from decade.token_cache import VerifiedTokenCache
from decade.tokens import CWT, TYPE, TokenFeature, TokenPolicy, delegate, mint, verify, write_claims
from decade.uses import check_revoked, check_uses, hold_use
from decade.values import BitRate, Priority, Weight

TAGS = frozenset({17, 18, CWT})


def check(token, *, wall=NOW + 1.0, audience=SERVER, features=FEATURES, keys=REGISTERED.get):
    return verify(token, keys, audience=audience, wall=wall, max_life=LIFE, features=features)


def code_of(token, **more):
    with pytest.raises(RefusedError) as refused:
        check(token, **more)
    return refused.value.code


def forged(parent, key, claims, *, kid=None, more=None):
    """A token below another one as somebody makes it who looks at no rules."""
    header = {1: int(key.algorithm), 4: kid or key.kid, 16: TYPE, -70691: parent, **(more or {})}
    return cbor.encode(cbor.Tag(CWT, secure(write_claims(claims), header, key)), tags=TAGS)


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_a_chain_is_verified_from_the_registered_key_down(levels):
    token, claims = chain(levels)
    found = check(token)
    assert [level.claims for level in found.levels] == claims
    assert found.account == ACCOUNT
    assert found.path == (ACCOUNT, "live")
    keys = [level.key.key for level in found.levels]
    assert keys == [SIGNING.public, *(holder.public for holder in HOLDERS[:levels])]


def test_a_server_without_delegation_refuses_chains_and_levels():
    token, _ = chain(1)
    assert code_of(token, features=FEATURES - {TokenFeature.DELEGATION}) == ErrorCode.TOKEN_MALFORMED
    one = mint(attrs.evolve(CLAIMS, policy=TokenPolicy(levels=0)), SIGNING)
    assert code_of(one, features=frozenset()) == ErrorCode.TOKEN_MALFORMED
    assert check(one, features=frozenset({TokenFeature.DELEGATION}))


def test_each_level_needs_the_algorithm_that_its_key_is_for():
    # The first holder signs by Ed25519, the second one by ES256.
    assert check(chain(1)[0], features=FEATURES - {TokenFeature.ES256})
    assert code_of(chain(2)[0], features=FEATURES - {TokenFeature.ES256}) == ErrorCode.TOKEN_BAD_SIGNATURE


@pytest.mark.parametrize("levels", [1, 3])
def test_every_flipped_bit_of_a_chain_is_refused(levels):
    token, _ = chain(levels)
    cache = VerifiedTokenCache(REGISTERED.get, audience=SERVER, max_life=LIFE, features=FEATURES)
    cache.verify(token, NOW)
    for bit in range(0, len(token) * 8, 1 if levels == 1 else 7):
        flipped = bytearray(token)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(RefusedError) as refused:
            cache.verify(bytes(flipped), NOW)
        assert refused.value.code in (ErrorCode.TOKEN_MALFORMED, ErrorCode.TOKEN_BAD_SIGNATURE)


WIDER = {
    "aud": {"aud": (SERVER, "https://sa.example"), "policy": {"uses": None}},
    "exp": {"exp": GRANT.exp + 1},
    "nbf": {"nbf": NOW - 1},
    "scope, an operation": {"scope": ((Everything(), READ | Operation.PUT),)},
    "amount": {"policy": {"amount": 1001}},
    "amount left out": {"policy": {"amount": None}},
    "uses": {"policy": {"uses": 11}},
    "uses left out": {"policy": {"uses": None}},
    "storage": {"policy": {"storage": 101}},
    "storage left out": {"policy": {"storage": None}},
    "connections": {"policy": {"connections": 5}},
    "lifetime": {"policy": {"lifetime": 3601}},
    "priority": {"policy": {"priority": Priority.NORMAL}},
    "priority left out": {"policy": {"priority": None}},
    "a rate": {"policy": {"bandwidth": BitRate(8001)}},
    "a weight instead of a rate": {"policy": {"bandwidth": Weight(1)}},
    "levels": {"policy": {"levels": 3}},
    "app-path above": {"policy": {"app_path": ()}},
    "app-path beside": {"policy": {"app_path": ("other",)}},
    "app-path left out": {"policy": {"app_path": None}},
}
BOUNDED = attrs.evolve(
    GRANT,
    nbf=NOW,
    policy=TokenPolicy(
        amount=1000,
        uses=10,
        storage=100,
        connections=4,
        lifetime=3600,
        levels=3,
        priority=Priority.LOW,
        bandwidth=BitRate(8000),
        app_path=("live",),
    ),
)


@pytest.mark.parametrize("members", WIDER.values(), ids=WIDER)
def test_a_level_that_is_wider_in_any_member_is_neither_made_nor_accepted(members):
    parent = mint(BOUNDED, SIGNING)
    assert check(delegate(parent, HOLDERS[0], below(BOUNDED, 1)))
    claims = below(BOUNDED, 1, **members)
    with pytest.raises(EncodeError):
        delegate(parent, HOLDERS[0], claims)
    assert code_of(forged(parent, HOLDERS[0], claims)) == ErrorCode.TOKEN_MALFORMED


def test_what_is_passed_on_is_what_the_parent_permits_to_pass_on():
    first = attrs.evolve(GRANT, scope=((Everything(), Operation.PUT), (Object(HELLO), READ)))
    parent = mint(first, SIGNING)
    for scope, is_right in (
        (((Object(HELLO), READ),), True),
        (((Object(HELLO), Operation.GET),), True),
        (((Object(HELLO), Operation.GET | Operation.PUT),), False),
        (((Everything(), Operation.GET),), False),
    ):
        token = forged(parent, HOLDERS[0], below(first, 1, scope=scope))
        assert (check(token).claims.scope == scope) if is_right else code_of(token) == ErrorCode.TOKEN_MALFORMED


def test_a_token_without_a_holder_or_without_levels_is_not_passed_on():
    for first in (
        attrs.evolve(GRANT, cnf=None),
        attrs.evolve(GRANT, cnf=Confirmation(kid=HOLDERS[0].kid)),
        attrs.evolve(GRANT, policy=TokenPolicy(amount=1000, uses=10)),
        attrs.evolve(GRANT, policy=TokenPolicy(amount=1000, uses=10, levels=0)),
    ):
        parent, claims = mint(first, SIGNING), attrs.evolve(below(GRANT, 1), policy=TokenPolicy(amount=1, uses=1))
        with pytest.raises(EncodeError):
            delegate(parent, HOLDERS[0], claims)
        assert code_of(forged(parent, HOLDERS[0], claims)) == ErrorCode.TOKEN_MALFORMED


def test_only_the_holder_signs_below_a_token():
    parent = mint(GRANT, SIGNING)
    for key, kid in (
        (HOLDERS[1], None),
        (SIGNING, None),
        (MAC, None),
        (HOLDERS[2], HOLDERS[0].kid),
        (HOLDERS[0], b"no thumbprint"),
    ):
        assert code_of(forged(parent, key, below(GRANT, 1), kid=kid)) == ErrorCode.TOKEN_BAD_SIGNATURE
    with pytest.raises(EncodeError, match="another key"):
        delegate(parent, HOLDERS[1], below(GRANT, 1))


def test_a_holder_of_two_grants_cannot_have_its_token_moved_below_the_other_one():
    one, other = mint(GRANT, SIGNING), mint(GRANT, MAC)
    token = delegate(one, HOLDERS[0], below(GRANT, 1))
    assert check(token).key.app == ("live",)
    swapped = token.replace(one, other + bytes(len(one) - len(other)))
    assert code_of(swapped) in (ErrorCode.TOKEN_MALFORMED, ErrorCode.TOKEN_BAD_SIGNATURE)
    outer = cbor.decode(token, tags=TAGS)
    protected, _, payload, signature = outer.value.value
    header = dict(cbor.decode(protected))
    moved = {-70691: header.pop(-70691)}
    parts = cbor.Tag(CWT, cbor.Tag(18, (cbor.encode(header), moved, payload, signature)))
    assert code_of(cbor.encode(parts, tags=TAGS)) == ErrorCode.TOKEN_MALFORMED


def test_a_chain_has_four_tokens_and_4_kib_at_most():
    token, claims = chain(3, cnf=Confirmation(key=HOLDERS[3].public.cose_key))
    with pytest.raises(EncodeError, match="levels"):
        delegate(token, HOLDERS[3], below(claims[-1], 3))
    fifth = forged(token, HOLDERS[3], attrs.evolve(claims[-1], cnf=None))
    assert code_of(fifth) == ErrorCode.TOKEN_MALFORMED
    for parent in (b"", b"\x00", 7, (token,), None, token + b"\x00", bytes(5000)):
        header = {1: -8, 4: HOLDERS[0].kid, 16: TYPE, -70691: parent}
        wrong = cbor.Tag(CWT, secure(write_claims(CLAIMS), header, HOLDERS[0]))
        assert code_of(cbor.encode(wrong, tags=TAGS)) == ErrorCode.TOKEN_MALFORMED


def test_a_key_of_a_holder_that_is_none_makes_its_token_malformed():
    good = HOLDERS[0].public.cose_key
    for key in (
        {1: 4, -1: bytes(32)},
        {**good, -4: bytes(32)},
        {**good, 3: -7},
        {**good, 4: (1,)},
        {1: 1, -1: 6, -2: bytes(31)},
        {1: 2, -1: 1, -2: bytes(32), -3: bytes(32)},
        {1: 2, -1: 1, -2: bytes(32), -3: True},
    ):
        token = mint(attrs.evolve(GRANT, cnf=Confirmation(key=key)), SIGNING)
        assert code_of(token) == ErrorCode.TOKEN_MALFORMED
    for more in ({3: -8}, {3: -19}, {4: (2,)}, {2: b"kid"}):
        token = mint(attrs.evolve(GRANT, cnf=Confirmation(key={**good, **more})), SIGNING)
        assert check(token)


def test_every_level_has_its_time():
    first = attrs.evolve(GRANT, iat=NOW - 100, exp=NOW + 1000)
    token, _ = chain(1, first=first, iat=NOW, exp=NOW + 10)
    assert code_of(token, wall=NOW + 70) == ErrorCode.TOKEN_EXPIRED
    late, _ = chain(1, first=attrs.evolve(GRANT, iat=NOW + 100), iat=NOW)
    assert code_of(late, wall=NOW) == ErrorCode.TOKEN_NOT_YET_VALID
    assert check(late, wall=NOW + 40)
    long = attrs.evolve(GRANT, iat=NOW - LIFE, exp=NOW + 600)
    assert code_of(chain(1, first=long, iat=NOW)[0]) == ErrorCode.TOKEN_MALFORMED


def test_the_subject_of_every_level_is_the_account():
    assert check(chain(1, sub=ACCOUNT)[0]).account == ACCOUNT
    assert code_of(chain(1, sub="bob")[0]) == ErrorCode.TOKEN_MALFORMED
    assert code_of(chain(1, first=attrs.evolve(GRANT, sub="bob"), sub=ACCOUNT)[0]) == ErrorCode.TOKEN_MALFORMED


def test_what_is_below_a_token_shares_what_it_may_use():
    ledger = MemoryLedger()
    parent = mint(GRANT, SIGNING)
    children = [
        check(delegate(parent, HOLDERS[0], below(GRANT, 1, cti=bytes([9, n] * 8), policy={"uses": 6})))
        for n in range(2)
    ]
    for _ in range(6):
        hold_use(ledger, children[0], Use(1, 100, 0)).spend()
    with pytest.raises(RefusedError) as refused:
        check_uses(ledger, children[0])
    assert refused.value.code == ErrorCode.TOKEN_USED_UP
    for _ in range(4):
        check_uses(ledger, children[1])
        hold_use(ledger, children[1], Use(1, 100, 0)).spend()
    with pytest.raises(RefusedError) as refused:
        hold_use(ledger, children[1], Use(1, 0, 0))
    assert (refused.value.code, refused.value.dimension) == (ErrorCode.TOKEN_USED_UP, Dimension.USES)
    assert ledger.used(children[0].parent.ledger_key) == Use(10, 1000, 0)
    assert ledger.used(children[1].ledger_key) == Use(4, 400, 0)


def test_what_a_level_has_not_used_is_given_back_at_every_level():
    ledger = MemoryLedger()
    found = check(chain(3, policy={"amount": 500})[0])
    with pytest.raises(RefusedError) as refused:
        hold_use(ledger, found, Use(1, 501, 0))
    assert refused.value.code == ErrorCode.AMOUNT_EXHAUSTED
    assert all(ledger.used(level.ledger_key) == Use() for level in found.levels)
    use = hold_use(ledger, found, Use(1, 500, 0))
    use.spend()
    use.settle(amount=200, storage=0)
    assert all(ledger.used(level.ledger_key) == Use(1, 200, 0) for level in found.levels)


@pytest.mark.parametrize("level", [0, 1, 2, 3])
@pytest.mark.parametrize("kind", ["cti", "kid", "before"])
def test_a_revocation_of_any_level_reaches_what_is_below(level, kind):
    token, claims = chain(3)
    cache = VerifiedTokenCache(REGISTERED.get, audience=SERVER, max_life=LIFE, features=FEATURES)
    found = cache.verify(token, NOW)
    assert len(cache) == 4
    ledger = MemoryLedger()
    revocation = {
        "cti": Revocation(cti=(claims[level].cti,)),
        "kid": Revocation(kid=found.levels[level].key.key.kid),
        "before": Revocation(before=NOW),
    }[kind]
    for account in "bob", ACCOUNT:
        node = (account,)
        check_revoked(ledger, found)
        ledger.revoke(node, revocation, wall=NOW, until=NOW + 1000)
        cache.revoke(node, revocation)
        assert len(cache) == (4 if account == "bob" else 0 if kind == "before" else level)
    with pytest.raises(RefusedError) as refused:
        check_revoked(ledger, found)
    assert refused.value.code == ErrorCode.TOKEN_REVOKED
    for above in found.levels[:level]:
        if kind != "before":
            check_revoked(ledger, above)


def test_the_tokens_above_are_verified_once(monkeypatch):
    cache = VerifiedTokenCache(REGISTERED.get, audience=SERVER, max_life=LIFE, features=FEATURES)
    parent, claims = chain(2)
    one, other = (delegate(parent, HOLDERS[2], below(claims[-1], 3, cti=bytes([n] * 16))) for n in (7, 8))
    first = cache.verify(one, NOW)
    verified = []
    whole = type(SIGNING.public).verify
    monkeypatch.setattr(type(SIGNING.public), "verify", lambda *given: verified.append(1) or whole(*given))
    assert cache.verify(other, NOW).parent == first.parent
    assert len(verified) == 1


def test_a_token_above_does_not_become_one_to_show_when_it_is_remembered():
    features = FEATURES - {TokenFeature.POP}
    cache = VerifiedTokenCache(REGISTERED.get, audience=SERVER, max_life=LIFE, features=features)
    parent = mint(GRANT, SIGNING)
    for _ in range(2):
        with pytest.raises(RefusedError) as refused:
            cache.verify(parent, NOW)
        assert refused.value.code == ErrorCode.TOKEN_MALFORMED
        cache.verify(delegate(parent, HOLDERS[0], below(GRANT, 1, cnf=None)), NOW)


def test_a_registered_key_that_is_taken_away_ends_its_chains():
    keys = dict(REGISTERED)
    cache = VerifiedTokenCache(keys.get, audience=SERVER, max_life=LIFE, features=FEATURES)
    token, _ = chain(3)
    cache.verify(token, NOW)
    del keys[SIGNING.kid]
    with pytest.raises(RefusedError) as refused:
        cache.verify(token, NOW)
    assert refused.value.code == ErrorCode.TOKEN_BAD_SIGNATURE

"""Tokens: the vectors, every flipped bit, the rules of the profile one by one, and the cache."""

import json
from importlib.resources import files
from types import SimpleNamespace

import attrs
import pytest
from cddl_verifier import Validator
from decade_messages import CTI, SCOPE, TOKEN_POLICY, UINT, URI
from decade_tokens import ACCOUNT, CLAIMS, HELLO, LIFE, MAC, NOW, REGISTERED, SERVER, SIGNING
from hypothesis import given
from hypothesis import strategies as st

from decade import cbor, token_cache
from decade.cose import Ed25519SigningKey, HmacKey, secure
from decade.errors import EncodeError, ErrorCode, RefusedError
from decade.messages import Revocation
from decade.token_cache import VerifiedTokenCache
from decade.tokens import (
    CWT,
    MAX_TOKEN,
    SKEW,
    TYPE,
    Claims,
    Collection,
    Everything,
    Object,
    Operation,
    Publisher,
    RegisteredKey,
    TokenPolicy,
    mint,
    read_claims,
    verify,
    write_claims,
)
from decade.values import SignedName

SIGNED, MACED = mint(CLAIMS, SIGNING), mint(CLAIMS, MAC)
BOTH = pytest.mark.parametrize("token", [SIGNED, MACED], ids=["signed", "maced"])
TAGS = frozenset({17, 18, CWT})


def check(token, *, keys=REGISTERED.get, audience=SERVER, wall=NOW + 1.0):
    return verify(token, keys, audience=audience, wall=wall, max_life=LIFE)


def code_of(token, **more):
    with pytest.raises(RefusedError) as refused:
        check(token, **more)
    return refused.value.code


def sealed(claims, *, header=None, key=SIGNING, absent=()):
    """A token of any claims, and of any protected header, that is signed as it should."""
    header = {1: int(key.algorithm), 4: key.kid, 16: TYPE} if header is None else header
    items = {name: item for name, item in claims.items() if name not in absent} if isinstance(claims, dict) else claims
    return cbor.encode(cbor.Tag(CWT, secure(cbor.encode(items), header, key)), tags=TAGS)


CDDL = Validator(files("decade").joinpath("decade.cddl").read_text())
GOOD = dict(cbor.decode(write_claims(CLAIMS)))


def test_the_tokens_of_the_vectors_are_minted_to_the_octet():
    document = json.loads(files("decade").joinpath("vectors/tokens.json").read_text())
    cases = [case for group in document["groups"] for case in group["cases"]]
    wires = {case["id"]: case["args"].get("token") for case in cases}
    assert SIGNED.hex() == wires["cwt-eddsa-get-once"]
    assert MACED.hex() == wires["cwt-hs256-get-once"]
    assert (len(SIGNED), len(MACED)) == (309, 256)


@BOTH
def test_a_token_is_what_was_minted_and_belongs_to_the_account_of_its_key(token):
    found = check(token)
    assert found.claims == CLAIMS
    assert found.account == ACCOUNT
    assert found.key in REGISTERED.values()
    assert found.ledger_key == (found.key.key.thumbprint, CLAIMS.cti)


@BOTH
def test_every_flipped_bit_is_refused(token):
    for bit in range(len(token) * 8):
        flipped = bytearray(token)
        flipped[bit // 8] ^= 1 << bit % 8
        assert code_of(bytes(flipped)) in (ErrorCode.TOKEN_MALFORMED, ErrorCode.TOKEN_BAD_SIGNATURE)


@BOTH
def test_a_token_cut_short_or_with_more_behind_it_is_malformed(token):
    for size in range(len(token)):
        assert code_of(token[:size]) == ErrorCode.TOKEN_MALFORMED
    assert code_of(token + b"\x00") == ErrorCode.TOKEN_MALFORMED


@given(st.binary(max_size=100))
def test_any_octets_are_refused(octets):
    assert code_of(octets) == ErrorCode.TOKEN_MALFORMED


def test_both_tags_are_needed():
    value = cbor.decode(SIGNED, tags=TAGS)
    assert code_of(cbor.encode(value.value, tags=TAGS)) == ErrorCode.TOKEN_MALFORMED
    assert code_of(cbor.encode(cbor.Tag(CWT, value.value.value), tags=TAGS)) == ErrorCode.TOKEN_MALFORMED
    twice = cbor.Tag(CWT, value)
    assert code_of(cbor.encode(twice, tags=TAGS)) == ErrorCode.TOKEN_MALFORMED


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ({1: -8, 4: SIGNING.kid}, ErrorCode.TOKEN_MALFORMED),
        ({1: -8, 4: SIGNING.kid, 16: "application/cwt"}, ErrorCode.TOKEN_MALFORMED),
        ({1: -8, 4: SIGNING.kid, 16: 61}, ErrorCode.TOKEN_MALFORMED),
        ({1: -8, 16: TYPE}, ErrorCode.TOKEN_MALFORMED),
        ({1: -8, 4: "kid", 16: TYPE}, ErrorCode.TOKEN_MALFORMED),
        ({1: -8, 4: b"", 16: TYPE}, ErrorCode.TOKEN_MALFORMED),
        ({1: -8, 4: bytes(65), 16: TYPE}, ErrorCode.TOKEN_MALFORMED),
        ({1: -8, 2: (4,), 4: SIGNING.kid, 16: TYPE}, ErrorCode.TOKEN_MALFORMED),
        ({1: -8, 4: SIGNING.kid, 16: TYPE, -70691: ()}, ErrorCode.TOKEN_MALFORMED),
        ({1: -8, 4: b"unknown", 16: TYPE}, ErrorCode.TOKEN_BAD_SIGNATURE),
        ({1: -8, 4: MAC.kid, 16: TYPE}, ErrorCode.TOKEN_BAD_SIGNATURE),
        ({1: 5, 4: SIGNING.kid, 16: TYPE}, ErrorCode.TOKEN_BAD_SIGNATURE),
        ({1: -19, 4: SIGNING.kid, 16: TYPE}, ErrorCode.TOKEN_BAD_SIGNATURE),
        ({1: "EdDSA", 4: SIGNING.kid, 16: TYPE}, ErrorCode.TOKEN_BAD_SIGNATURE),
        ({4: SIGNING.kid, 16: TYPE}, ErrorCode.TOKEN_BAD_SIGNATURE),
    ],
)
def test_the_protected_header_has_the_type_a_known_key_and_the_algorithm_of_that_key(header, code):
    assert code_of(sealed(GOOD, header=header)) == code


def test_other_labels_of_headers_are_ignored():
    assert check(sealed(GOOD, header={1: -8, 4: SIGNING.kid, 16: TYPE, 99: "x"})).claims == CLAIMS
    assert check(with_unprotected({99: "x"})).claims == CLAIMS


def with_unprotected(unprotected, protected=None):
    outer = cbor.decode(SIGNED, tags=TAGS)
    first, _, payload, signature = outer.value.value
    parts = (first if protected is None else protected, unprotected, payload, signature)
    return cbor.encode(cbor.Tag(CWT, cbor.Tag(18, parts)), tags=TAGS)


def test_the_unprotected_header_gives_neither_algorithm_nor_key_nor_chain():
    for unprotected in ({1: -8}, {4: SIGNING.kid}, {16: TYPE}, {2: (4,)}, {-70691: (b"",)}):
        assert code_of(with_unprotected(unprotected)) == ErrorCode.TOKEN_MALFORMED
    alone = cbor.encode({4: SIGNING.kid, 16: TYPE})
    assert code_of(with_unprotected({1: -8}, alone)) == ErrorCode.TOKEN_BAD_SIGNATURE


def test_a_public_key_as_the_secret_of_a_mac_proves_nothing():
    confused = HmacKey(SIGNING.public.octets, SIGNING.kid)
    assert code_of(mint(CLAIMS, confused)) == ErrorCode.TOKEN_BAD_SIGNATURE


@pytest.mark.parametrize(("key", "tag"), [(SIGNING, 17), (MAC, 18)])
def test_what_a_key_has_secured_in_the_structure_of_the_other_kind_is_no_token(key, tag):
    twisted = SimpleNamespace(algorithm=key.algorithm, kid=key.kid, sign=key.sign, tag=tag)
    assert code_of(sealed(GOOD, key=twisted)) == ErrorCode.TOKEN_BAD_SIGNATURE


def test_an_unknown_key_costs_no_signature_work():
    asked = []
    other = Ed25519SigningKey(bytes(32))
    assert code_of(mint(CLAIMS, other), keys=asked.append) == ErrorCode.TOKEN_BAD_SIGNATURE
    assert asked == [other.kid]


@pytest.mark.parametrize("claim", [3, 4, 6, 7, 9])
def test_each_required_claim_is_required(claim):
    assert code_of(sealed(GOOD, absent=(claim,))) == ErrorCode.TOKEN_MALFORMED


@pytest.mark.parametrize(
    ("claim", "item"),
    [
        (1, 1),
        (1, ""),
        (2, "bob"),
        (2, ""),
        (3, ()),
        (3, (SERVER,)),
        (3, (SERVER,) * 9),
        (3, 7),
        (3, ""),
        (4, -1),
        (4, None),
        (4, True),
        (5, "now"),
        (6, NOW - LIFE),  # lives longer than is published
        (7, bytes(15)),
        (7, bytes(33)),
        (7, "0123456789abcdef"),
        (8, {1: {1: 1, -1: 6, -2: bytes(32)}}),
        (9, ((HELLO.binary, 1),)),
        (9, b""),
        (9, b"\x80"),
        (9, b"\x81\x82\xf6\x02"),
        (9, cbor.encode(((HELLO.truncated("sha-256-128").binary, 1),))),
        (9, cbor.encode((((1, b"collection"), 1),))),
        (9, cbor.encode((((2, HELLO.binary, b""), 1),))),
        (9, cbor.encode((((HELLO.binary, b"label"), 1),))),
        (-70690, ()),
        (-70690, {12: 0}),
        (-70690, {63: 0}),
        (-70690, {-1: 0}),
        (-70690, {"x": 0}),
        (-70690, {1: 4}),
        (-70690, {2: (0, 0)}),
        (-70690, {4: 0}),
        (-70690, {8: (cbor.Tag(52, (8, b"\x0a")),)}),
        (-70690, {9: (b"c",)}),
        (-70690, {10: 0}),
        (-70690, {11: ()}),
    ],
)
def test_a_claim_that_is_wrong_or_restricts_what_is_not_enforced_refuses_the_token(claim, item):
    assert code_of(sealed(GOOD | {claim: item})) == ErrorCode.TOKEN_MALFORMED


@pytest.mark.parametrize("claim", [10, 63, 64, -1, 40000, -70692, -70693, "new"])
def test_unknown_claims_are_ignored(claim):
    assert check(sealed(GOOD | {claim: (1, {2: "x"})})).claims == CLAIMS


def test_unknown_keys_of_the_policy_from_64_on_are_ignored():
    found = check(sealed(GOOD | {-70690: {1: 1, 64: "x"}}))
    assert found.claims.policy == TokenPolicy(priority=1, ext={64: "x"})


def test_claims_in_another_spelling_are_malformed():
    payload = write_claims(CLAIMS)
    start = payload.index(b"\x06\x1a")
    unsorted = payload[: start - 6] + payload[start : start + 6] + payload[start - 6 : start] + payload[start + 6 :]
    outer = cbor.Tag(CWT, secure(unsorted, {1: -8, 4: SIGNING.kid, 16: TYPE}, SIGNING))
    assert sorted(unsorted) == sorted(payload)
    assert code_of(cbor.encode(outer, tags=TAGS)) == ErrorCode.TOKEN_MALFORMED
    assert code_of(sealed(())) == ErrorCode.TOKEN_MALFORMED


def test_the_audience_is_this_server_character_for_character():
    several = sealed(GOOD | {3: ("https://sa.example", SERVER), -70690: {1: 1}})
    assert check(several).claims.aud == ("https://sa.example", SERVER)
    for audience in ("https://sa.example", SERVER + "/", SERVER.upper(), SERVER + ":443", ""):
        assert code_of(SIGNED, audience=audience) == ErrorCode.WRONG_AUDIENCE


def test_a_token_with_uses_has_one_audience_at_both_ends():
    two = attrs.evolve(CLAIMS, aud=(SERVER, "https://sa.example"))
    with pytest.raises(EncodeError, match="one audience"):
        mint(two, SIGNING)
    assert code_of(sealed(GOOD | {3: two.aud})) == ErrorCode.TOKEN_MALFORMED
    assert check(mint(attrs.evolve(two, policy=None), SIGNING)).claims.policy is None


@pytest.mark.parametrize(
    ("claims", "wall", "code"),
    [
        ({}, NOW + 600 + SKEW - 0.001, None),
        ({}, NOW + 600 + SKEW, ErrorCode.TOKEN_EXPIRED),
        ({}, NOW - SKEW, None),
        ({}, NOW - SKEW - 0.001, ErrorCode.TOKEN_NOT_YET_VALID),
        ({5: NOW + 100}, NOW + 100 - SKEW, None),
        ({5: NOW + 100}, NOW + 100 - SKEW - 0.001, ErrorCode.TOKEN_NOT_YET_VALID),
        ({4: NOW + LIFE}, NOW, None),
        ({4: NOW + LIFE + 1}, NOW, ErrorCode.TOKEN_MALFORMED),
        ({4: 2**64 - 1, 6: 2**64 - 1 - LIFE}, NOW, ErrorCode.TOKEN_NOT_YET_VALID),
    ],
)
def test_time_has_a_minute_of_skew_and_a_life_its_limit(claims, wall, code):
    token = sealed(GOOD | claims)
    if code is None:
        assert check(token, wall=wall)
    else:
        assert code_of(token, wall=wall) == code


def test_the_audience_comes_before_the_time_and_the_form_before_both():
    assert code_of(SIGNED, audience="x", wall=0) == ErrorCode.WRONG_AUDIENCE
    assert code_of(sealed(GOOD | {2: "bob"}), audience="x", wall=0) == ErrorCode.TOKEN_MALFORMED


def test_the_subject_if_there_is_one_is_the_account_of_the_key():
    assert check(sealed(GOOD | {2: ACCOUNT})).claims.sub == ACCOUNT
    assert code_of(sealed(GOOD | {2: "bob"})) == ErrorCode.TOKEN_MALFORMED


@pytest.mark.parametrize(
    "members",
    [
        {"aud": ()},
        {"aud": (SERVER,) * 9},
        {"exp": NOW},
        {"exp": -1},
        {"cti": bytes(15)},
        {"scope": ()},
        {"scope": ((Object("hello"), Operation.GET),)},
        {"policy": TokenPolicy(uses=0)},
        {"iss": ""},
    ],
)
def test_claims_that_the_profile_does_not_allow_are_not_minted(members):
    with pytest.raises(EncodeError):
        mint(attrs.evolve(CLAIMS, **members), SIGNING)


def test_a_token_is_no_larger_than_4_kib():
    scope = tuple((Object(HELLO), Operation.GET) for _ in range(120))
    with pytest.raises(EncodeError, match="over 4096"):
        mint(attrs.evolve(CLAIMS, scope=scope), SIGNING)
    assert code_of(sealed(GOOD | {99: bytes(MAX_TOKEN)})) == ErrorCode.TOKEN_MALFORMED


@given(
    st.builds(
        Claims,
        aud=st.lists(URI, min_size=1, max_size=8).map(tuple),
        exp=UINT.filter(bool),
        iat=st.just(0),
        cti=CTI,
        scope=SCOPE,
        policy=st.none() | TOKEN_POLICY.map(lambda policy: attrs.evolve(policy, uses=None)),
        nbf=st.none() | UINT,
        iss=st.none() | URI,
        sub=st.none() | URI,
    )
)
def test_claims_conform_to_the_cddl_and_are_read_as_they_were_written(claims):
    payload = write_claims(claims)
    assert read_claims(payload) == claims
    result = CDDL.validate(payload, "token-claims", require_deterministic=True)
    assert result.valid, result.diagnostics


def test_scopes_of_extensions_can_be_minted_for_servers_that_have_them():
    targets = (Everything(), Collection(b"c"), Publisher(HELLO, b"p"), Object(SignedName(HELLO, b"l")))
    claims = attrs.evolve(CLAIMS, scope=tuple((target, Operation.GET | Operation.PUT) for target in targets))
    assert read_claims(write_claims(claims)) == claims


class Watched:
    """Keys that count how often they are asked for."""

    def __init__(self):
        self.keys = dict(REGISTERED)
        self.verified = 0

    def cache(self, **more):
        return VerifiedTokenCache(self.keys.get, audience=SERVER, max_life=LIFE, **more)


def numbered(count, **members):
    return [mint(attrs.evolve(CLAIMS, cti=bytes(15) + bytes((number,)), **members), MAC) for number in range(count)]


def test_a_token_is_verified_once(monkeypatch):
    cache = Watched().cache()
    first = cache.verify(SIGNED, NOW)
    monkeypatch.setattr(type(SIGNING.public), "verify", lambda *_: pytest.fail("verified again"))
    assert cache.verify(SIGNED, NOW + 1) is first
    assert len(cache) == 1


def test_what_is_refused_is_not_remembered():
    cache = Watched().cache()
    for token in (SIGNED[:-1] + b"\x00", b"", MACED + b"\x00"):
        with pytest.raises(RefusedError):
            cache.verify(token, NOW)
    assert len(cache) == 0


def test_the_cache_is_bounded_and_the_token_used_longest_ago_goes():
    cache = Watched().cache(capacity=3)
    tokens = numbered(4)
    kept = [cache.verify(token, NOW) for token in tokens[:3]]
    assert cache.verify(tokens[0], NOW) is kept[0]
    cache.verify(tokens[3], NOW)
    assert len(cache) == 3
    assert cache.verify(tokens[0], NOW) is kept[0]
    assert cache.verify(tokens[1], NOW) is not kept[1]


def test_the_cache_has_fewer_tokens_when_they_are_large(monkeypatch):
    monkeypatch.setattr(token_cache, "MAX_MEMORY", 100_000)
    cache = VerifiedTokenCache(REGISTERED.get, audience=SERVER, max_life=LIFE)
    large = tuple((Everything(), Operation.GET) for _ in range(256))
    for number in range(20):
        cache.verify(mint(attrs.evolve(CLAIMS, cti=bytes([number] * 16), scope=large), SIGNING), NOW + 1.0)
    assert len(cache) == 3
    for number in range(200):
        cache.verify(mint(attrs.evolve(CLAIMS, cti=bytes([number] * 16)), SIGNING), NOW + 1.0)
    assert 30 < len(cache) < 100
    cache.revoke((ACCOUNT,), Revocation(before=NOW))
    assert (len(cache), cache._memory) == (0, 0)


def test_a_remembered_token_expires_and_is_not_valid_before_its_time():
    cache = Watched().cache()
    cache.verify(SIGNED, NOW)
    with pytest.raises(RefusedError) as refused:
        cache.verify(SIGNED, NOW - 3600)
    assert refused.value.code == ErrorCode.TOKEN_NOT_YET_VALID
    cache.verify(SIGNED, NOW)
    with pytest.raises(RefusedError) as refused:
        cache.verify(SIGNED, NOW + 600 + SKEW)
    assert refused.value.code == ErrorCode.TOKEN_EXPIRED
    assert len(cache) == 0


def test_expired_tokens_leave_when_others_come():
    cache = Watched().cache()
    for token in numbered(5):
        cache.verify(token, NOW)
    later = mint(attrs.evolve(CLAIMS, iat=NOW + 700, exp=NOW + 800), MAC)
    cache.verify(later, NOW + 700)
    assert len(cache) == 1


def test_a_key_that_is_taken_away_or_given_to_another_account_counts_at_once():
    watched = Watched()
    cache = watched.cache()
    cache.verify(MACED, NOW)
    watched.keys[MAC.kid] = RegisteredKey(MAC, "bob")
    assert cache.verify(MACED, NOW).account == "bob"
    del watched.keys[MAC.kid]
    with pytest.raises(RefusedError) as refused:
        cache.verify(MACED, NOW)
    assert refused.value.code == ErrorCode.TOKEN_BAD_SIGNATURE
    assert len(cache) == 0


@pytest.mark.parametrize(
    ("revocation", "left"),
    [
        (Revocation(cti=(bytes(15) + b"\x01", bytes(16))), 1),
        (Revocation(cti=(bytes(20),)), 3),
        (Revocation(before=NOW - 1), 3),
        (Revocation(before=NOW), 0),
        (Revocation(kid=MAC.kid), 0),
        (Revocation(kid=SIGNING.kid), 3),
    ],
)
def test_a_revocation_reaches_the_tokens_of_its_account_alone(revocation, left):
    cache = Watched().cache()
    for token in numbered(3):
        cache.verify(token, NOW)
    cache.revoke(("bob",), revocation)
    assert len(cache) == 3
    cache.revoke((ACCOUNT,), revocation)
    assert len(cache) == left

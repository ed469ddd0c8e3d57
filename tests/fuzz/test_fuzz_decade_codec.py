"""Octets of messages and tokens that somebody has spoiled, and claims of an issuer that knows no rules.

`make fuzz` runs this with the soak profile. Whatever comes, it is a value or a refusal, and nothing is accepted that
the CDDL does not have.
"""

from importlib.resources import files

from cddl_verifier import Validator
from decade_changes import CHANGES, REMOVED, changed, places
from decade_messages import ANY_MESSAGE
from decade_tokens import CLAIMS, LIFE, MAC, NOW, REGISTERED, SERVER, SIGNING
from hypothesis import given
from hypothesis import strategies as st

from decade import cbor
from decade.cose import secure
from decade.errors import DecodeError, EncodeError, ErrorCode, RefusedError
from decade.messages import decode_message, decode_problem, encode_message
from decade.token_cache import VerifiedTokenCache
from decade.tokens import CWT, TYPE, mint, verify, write_claims

CDDL = Validator(files("decade").joinpath("decade.cddl").read_text())
TOKENS = [mint(CLAIMS, SIGNING), mint(CLAIMS, MAC)]
TAGS = frozenset({17, 18, CWT})
GOOD = cbor.decode(write_claims(CLAIMS))
SPLICES = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 8), st.binary(max_size=8)), min_size=1, max_size=4)


def spliced(octets, splices):
    """The octets, with some at a place taken out and others put in."""
    for at, size, more in splices:
        at %= len(octets) + 1
        octets = octets[:at] + more + octets[at + size :]
    return octets


def outcome(token):
    """What becomes of a token: nothing but an acceptance or a refusal with a code of tokens."""
    try:
        return verify(token, REGISTERED.get, audience=SERVER, wall=NOW, max_life=LIFE)
    except RefusedError as exc:
        code = exc.code
    assert ErrorCode.TOKEN_MALFORMED <= code <= ErrorCode.WRONG_AUDIENCE
    return code


@given(ANY_MESSAGE, SPLICES)
def test_a_spoiled_message_is_refused_or_conforms_to_the_cddl(message, splices):
    octets = spliced(encode_message(message), splices)
    decode_problem(octets)
    try:
        found = decode_message(octets)
    except DecodeError:
        return
    assert CDDL.validate(octets, "decade-message", require_deterministic=True).valid
    assert decode_message(encode_message(found)) == found


@given(st.sampled_from(TOKENS), SPLICES)
def test_a_spoiled_token_is_refused_or_says_what_it_said(token, splices):
    # Nobody signs the unprotected header: it can be changed, and means nothing.
    found = outcome(spliced(token, splices))
    if isinstance(found, ErrorCode):
        assert found in (ErrorCode.TOKEN_MALFORMED, ErrorCode.TOKEN_BAD_SIGNATURE)
    else:
        assert found.claims == CLAIMS


@given(st.lists(st.tuples(st.integers(0, 99), CHANGES), min_size=1, max_size=3))
def test_claims_of_an_issuer_without_rules_are_refused_or_conform_to_the_cddl(changes):
    value = GOOD
    for number, change in changes:
        paths = list(places(value))
        value = changed(value, paths[number % len(paths)], change)
        if value is REMOVED:
            return
    header = {1: -8, 4: SIGNING.kid, 16: TYPE}
    try:
        payload = cbor.encode(value)
        token = cbor.encode(cbor.Tag(CWT, secure(payload, header, SIGNING)), tags=TAGS)
    except EncodeError:
        return
    if not isinstance(outcome(token), ErrorCode):
        assert CDDL.validate(payload, "token-claims", require_deterministic=True).valid


@given(st.lists(st.tuples(st.sampled_from(TOKENS), st.integers(-90, 700)), max_size=20))
def test_a_cache_decides_as_if_there_were_none(asked):
    cache = VerifiedTokenCache(REGISTERED.get, audience=SERVER, max_life=LIFE, capacity=1)
    for token, later in asked:
        decided = []
        for ask in (
            lambda at, token=token: cache.verify(token, at),
            lambda at, token=token: verify(token, REGISTERED.get, audience=SERVER, wall=at, max_life=LIFE),
        ):
            try:
                decided.append(ask(NOW + later))
            except RefusedError as exc:
                decided.append(exc.code)
        assert decided[0] == decided[1]
        assert len(cache) <= 1

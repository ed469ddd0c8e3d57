"""Tokens that an issuer mints: what they permit, and what they are bounded by where nothing is said."""

import pytest
from decade_server import HELLO, OCTETS, Bench, code
from decade_tokens import MAC, NOW, SERVER, SIGNING

from decade.errors import EncodeError, ErrorCode
from decade.issuer import LIFETIME, Issuer
from decade.names import name_of
from decade.scope import Object, Operation
from decade.tokens import RegisteredKey, verify

OTHER = name_of(b"another")
ISSUER = Issuer(MAC, (SERVER,))


def claims(credential, key=MAC):
    return verify(
        credential.token, {key.kid: RegisteredKey(key, "alice")}.get, audience=SERVER, wall=NOW, max_life=86400
    ).claims


def test_a_token_to_read_is_bounded_by_names_time_and_twice_the_size():
    made = claims(ISSUER.read([HELLO, OTHER], wall=NOW + 0.9, size=12))
    assert made.scope == ((Object(HELLO), Operation.GET), (Object(OTHER), Operation.GET))
    assert (made.iat, made.exp) == (NOW, NOW + LIFETIME)
    assert (made.policy.amount, made.policy.uses) == (24, None)
    assert claims(ISSUER.read([HELLO], wall=NOW, size=12, amount=100)).policy.amount == 100
    assert claims(ISSUER.read([HELLO], wall=NOW, uses=3, lifetime=5)).policy.uses == 3
    assert claims(ISSUER.read([HELLO], wall=NOW)).policy.amount is None
    assert claims(ISSUER.read([HELLO], wall=NOW, size=0)).policy.amount == 2


def test_a_token_to_store_is_bounded_by_what_it_may_occupy():
    made = claims(ISSUER.store([HELLO], wall=NOW, size=12, object_lifetime=3600))
    assert made.scope == ((Object(HELLO), Operation.PUT),)
    assert (made.policy.storage, made.policy.amount, made.policy.lifetime) == (12, 24, 3600)


def test_each_token_has_an_identifier_of_its_own():
    assert claims(ISSUER.read([HELLO], wall=NOW)).cti != claims(ISSUER.read([HELLO], wall=NOW)).cti


def test_the_same_chance_makes_the_same_token():
    one, two = (Issuer(SIGNING, (SERVER,), lambda size: bytes(size)).read([HELLO], wall=NOW) for _ in range(2))
    assert one == two
    assert claims(one, SIGNING.public).cti == bytes(16)


def test_uses_are_for_one_server():
    with pytest.raises(EncodeError):
        Issuer(MAC, (SERVER, "https://sa.example")).read([HELLO], wall=NOW, uses=1)


def test_a_download_that_broke_off_can_be_repeated_and_no_more():
    made = Bench()
    manage = ISSUER.manage(Operation.PUT | Operation.STATUS, wall=NOW)
    made.put(OCTETS, manage.token)
    reader = ISSUER.read([HELLO], wall=NOW, size=len(OCTETS))
    statuses = [made.get(key=reader.token).status for _ in range(3)]
    assert statuses == [200, 200, 403]
    assert code(made.get(key=reader.token)) == ErrorCode.AMOUNT_EXHAUSTED
    assert code(made.get(key=manage.token)) == ErrorCode.OP_NOT_PERMITTED

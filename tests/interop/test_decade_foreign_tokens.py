"""Tokens between us and other people's libraries, cwt and pycose, both ways."""

import json
import subprocess
import time
from pathlib import Path

import attrs
import cbor2
import pytest
from decade_chains import FEATURES, GRANT, HOLDERS, below
from decade_tokens import ACCOUNT, CLAIMS, LIFE, MAC, REGISTERED, SERVER, SIGNING
from foreign_environment import foreign_python

from decade.cose import Es256SigningKey
from decade.named import bind
from decade.names import name_of
from decade.tokens import RegisteredKey, delegate, mint, verify, write_claims

LIBRARIES = ("cwt==3.3.0", "pycose==1.1.0")
ES256 = Es256SigningKey(bytes(range(32)))
KEYS = {
    "ES256": (ES256, ES256.scalar + ES256.public.x + ES256.public.y, ES256.public.x + ES256.public.y),
    "EdDSA": (SIGNING, SIGNING.seed, SIGNING.public.octets),
    "HMAC 256/256": (MAC, MAC.secret, MAC.secret),
}

pytestmark = pytest.mark.timeout(480)
KNOWN = {**REGISTERED, ES256.kid: RegisteredKey(ES256.public, ACCOUNT)}
both_ways = pytest.mark.parametrize("library", ["cwt", "pycose"])
each_key = pytest.mark.parametrize("algorithm", KEYS)


@pytest.fixture(scope="module")
def oracle():
    script = Path(__file__).with_name("decade_oracle.py")
    command = [foreign_python(*LIBRARIES), "-W", "ignore", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def ask(library, algorithm, keys=None, **work):
            key, private, public = keys or KEYS[algorithm]
            octets = private if "mint" in work else public
            work |= {"library": library, "algorithm": algorithm, "octets": octets.hex(), "kid": key.kid.hex()}
            process.stdin.write(json.dumps(work) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield ask
        process.stdin.close()


@pytest.fixture
def claims():
    """They look at the clock themselves."""
    now = int(time.time())
    return attrs.evolve(CLAIMS, iat=now, exp=now + 600)


@both_ways
@each_key
def test_they_verify_what_we_mint(oracle, claims, library, algorithm):
    token = mint(claims, KEYS[algorithm][0])
    assert oracle(library, algorithm, verify=token.hex()) == {"octets": write_claims(claims).hex()}


@both_ways
@each_key
def test_they_refuse_our_token_with_another_signature(oracle, claims, library, algorithm):
    token = mint(claims, KEYS[algorithm][0])
    assert "refused" in oracle(library, algorithm, verify=(token[:-1] + bytes((token[-1] ^ 1,))).hex())


@both_ways
@each_key
def test_we_verify_what_they_mint_and_it_is_our_token_but_for_chance(oracle, claims, library, algorithm):
    token = bytes.fromhex(oracle(library, algorithm, mint=write_claims(claims).hex())["octets"])
    found = verify(token, KNOWN.get, audience=SERVER, wall=claims.iat, max_life=LIFE, features=FEATURES)
    assert (found.account, found.claims) == (ACCOUNT, claims)
    # A signature of ECDSA has chance in it, ours has not.
    compared = -64 if algorithm == "ES256" else None
    assert token[:compared] == mint(claims, KEYS[algorithm][0])[:compared]


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256"])
def test_a_signature_of_a_signed_name_is_one_of_theirs(oracle, algorithm):
    made = bind(KEYS[algorithm][0], b"live/1", name_of(b"Hello World!"))
    protected, unprotected, payload, signature = cbor2.loads(made.signature).value
    assert payload is None
    signed = cbor2.dumps([b"\x01" + made.signed.publisher.value, b"live/1", made.name.value])
    whole = cbor2.CBORTag(61, cbor2.CBORTag(18, [protected, unprotected, signed, signature]))
    assert oracle("pycose", algorithm, verify=cbor2.dumps(whole).hex()) == {"octets": signed.hex()}


@both_ways
@pytest.mark.parametrize("level", [1, 2])
def test_a_token_of_a_chain_is_one_of_theirs_and_theirs_of_ours(oracle, library, level):
    now = int(time.time())
    claims = [attrs.evolve(GRANT, iat=now, exp=now + 600)]
    token = mint(claims[0], SIGNING)
    for each in range(1, level + 1):
        claims.append(below(claims[-1], each))
        parent, token = token, delegate(token, HOLDERS[each - 1], claims[-1])
    holder = HOLDERS[level - 1]
    if isinstance(holder, Es256SigningKey):
        algorithm, public = "ES256", holder.public.x + holder.public.y
        keys = holder, holder.scalar + public, public
    else:
        algorithm, keys = "EdDSA", (holder, holder.seed, holder.public.octets)
    assert oracle(library, algorithm, keys, verify=token.hex()) == {"octets": write_claims(claims[-1]).hex()}
    answer = oracle(library, algorithm, keys, mint=write_claims(claims[-1]).hex(), parent=parent.hex())
    made = bytes.fromhex(answer["octets"])
    found = verify(made, REGISTERED.get, audience=SERVER, wall=now, max_life=LIFE, features=FEATURES)
    assert [one.claims for one in found.levels] == claims

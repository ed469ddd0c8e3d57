"""Tokens between us and other people's libraries, cwt and pycose, both ways."""

import json
import subprocess
import time
from pathlib import Path

import attrs
import pytest
from decade_tokens import ACCOUNT, CLAIMS, LIFE, MAC, REGISTERED, SERVER, SIGNING
from foreign_environment import foreign_python

from decade.tokens import mint, verify, write_claims

LIBRARIES = ("cwt==3.3.0", "pycose==1.1.0")
KEYS = {
    "EdDSA": (SIGNING, SIGNING.seed, SIGNING.public.octets),
    "HMAC 256/256": (MAC, MAC.secret, MAC.secret),
}

pytestmark = pytest.mark.timeout(480)
both_ways = pytest.mark.parametrize("library", ["cwt", "pycose"])
each_key = pytest.mark.parametrize("algorithm", KEYS)


@pytest.fixture(scope="module")
def oracle():
    script = Path(__file__).with_name("decade_oracle.py")
    command = [foreign_python(*LIBRARIES), "-W", "ignore", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def ask(library, algorithm, **work):
            key, private, public = KEYS[algorithm]
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
def test_we_verify_what_they_mint_and_it_is_our_token_to_the_octet(oracle, claims, library, algorithm):
    token = bytes.fromhex(oracle(library, algorithm, mint=write_claims(claims).hex())["octets"])
    found = verify(token, REGISTERED.get, audience=SERVER, wall=claims.iat, max_life=LIFE)
    assert (found.account, found.claims) == (ACCOUNT, claims)
    assert token == mint(claims, KEYS[algorithm][0])

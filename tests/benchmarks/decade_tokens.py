"""Tokens verified for the first time and again, and minted, beside the bare signatures of `cryptography`.

    python tests/benchmarks/decade_tokens.py [--tokens 400] [--rounds 7] [--json]

`verify` meets each token for the first time; it should cost at most 1.5 times `bare verify`, the check of as many
signatures over as many octets in the same run. `again` meets tokens that it remembers; it should cost at most 3 us.
A chain of four has four signatures, and one when those above are remembered. Process time, the variants interleaved,
the least of the rounds.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable

import attrs
from interleaved import measure

from decade import cbor
from decade.cose import Ed25519SigningKey, Es256SigningKey, HmacKey, SigningKey, read_cose
from decade.names import name_of
from decade.scope import Confirmation, Object, Operation, TokenPolicy
from decade.token_cache import VerifiedTokenCache
from decade.tokens import CWT, Claims, RegisteredKey, TokenFeature, delegate, mint
from decade.values import Priority, Weight

FIRST = 1.5
"""How many times the check of a signature a token may cost, for Ed25519."""
AGAIN = 3e-6
"""Seconds of a token that is remembered."""
NOW = 1_800_000_000
SERVER = "https://sb.example"
ED25519, ES256, MAC = Ed25519SigningKey(bytes(32)), Es256SigningKey(bytes(range(32))), HmacKey(bytes(32), b"shared")
KEYS: dict[str, SigningKey] = {"Ed25519": ED25519, "ES256": ES256, "HMAC": MAC}
KNOWN = {
    ED25519.kid: RegisteredKey(ED25519.public, "alice"),
    ES256.kid: RegisteredKey(ES256.public, "alice"),
    MAC.kid: RegisteredKey(MAC, "alice"),
}
HOLDERS = [Ed25519SigningKey(bytes([number] * 32)) for number in (1, 2, 3)]
CLAIMS = Claims(
    aud=(SERVER,),
    exp=NOW + 600,
    iat=NOW,
    cti=bytes(16),
    scope=((Object(name_of(b"Hello World!")), Operation.GET | Operation.DELEGATE),),
    policy=TokenPolicy(priority=Priority.HIGH, bandwidth=Weight(4), amount=1 << 20, uses=1),
)


def cache() -> VerifiedTokenCache:
    return VerifiedTokenCache(KNOWN.get, audience=SERVER, max_life=86400, features=frozenset(TokenFeature))


def works(name: str, key: SigningKey, tokens: list[bytes]) -> dict[str, Callable[[], object]]:
    """Of one kind of key: each goes through all the tokens."""
    messages = [read_cose(cbor.decode(token, tags=frozenset({17, 18, CWT})).value) for token in tokens]
    signed = [(message.signed, message.signature) for message in messages]
    public = KNOWN[key.kid].key
    known = cache()
    for token in tokens:
        known.verify(token, NOW)

    def first() -> None:
        fresh = cache()
        for token in tokens:
            fresh.verify(token, NOW)

    return {
        f"{name}: bare verify": lambda: [public.verify(octets, signature) for octets, signature in signed],
        f"{name}: verify": first,
        f"{name}: again": lambda: [known.verify(token, NOW) for token in tokens],
        f"{name}: bare sign": lambda: [key.sign(octets) for octets, _ in signed],
        f"{name}: mint": lambda: [mint(CLAIMS, key) for _ in signed],
    }


def chained(count: int) -> dict[str, Callable[[], object]]:
    """Tokens below one chain of three."""
    keys = [ED25519, *HOLDERS]
    parent = b""
    for level in range(3):
        policy = TokenPolicy(amount=1 << 20, uses=1, levels=3 - level)
        cnf = Confirmation(key=HOLDERS[level].public.cose_key)
        claims = attrs.evolve(CLAIMS, cti=bytes([level] * 16), policy=policy, cnf=cnf)
        parent = delegate(parent, keys[level], claims) if level else mint(claims, keys[level])
    last = attrs.evolve(CLAIMS, policy=TokenPolicy(amount=1 << 20, uses=1))
    tokens = [delegate(parent, keys[3], attrs.evolve(last, cti=number.to_bytes(16))) for number in range(count)]

    def one_by_one() -> None:
        for token in tokens:
            cache().verify(token, NOW)

    def side_by_side() -> None:
        fresh = cache()
        for token in tokens:
            fresh.verify(token, NOW)

    return {"chain of four: verify": one_by_one, "chain of four: the last alone": side_by_side}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="print the results as one JSON object")
    options = parser.parse_args()
    all_works: dict[str, Callable[[], object]] = {}
    for name, key in KEYS.items():
        claims = [attrs.evolve(CLAIMS, cti=number.to_bytes(16)) for number in range(options.tokens)]
        all_works |= works(name, key, [mint(one, key) for one in claims])
    all_works |= chained(options.tokens)
    times = {
        work: taken / options.tokens for work, taken in measure(all_works, seconds=0.05, rounds=options.rounds).items()
    }
    ratio = times["Ed25519: verify"] / times["Ed25519: bare verify"]
    if options.json:
        print(json.dumps({"seconds": times, "ratio": ratio}))
        return
    for work, taken in times.items():
        print(f"{work:32} {taken * 1e6:8.2f} us")
    again = times["Ed25519: again"] * 1e6
    print(f"\nfirst: {ratio:.2f} times the bare check (goal {FIRST}); again: {again:.2f} us (goal {AGAIN * 1e6:.0f})")


if __name__ == "__main__":
    main()

"""Keys, features and tokens of holders for tests of delegation, proof of possession and minting."""

import attrs
from decade_tokens import CLAIMS, SIGNING

from decade.cose import Ed25519SigningKey, Es256SigningKey
from decade.scope import Confirmation, Everything, Operation
from decade.tokens import Claims, TokenFeature, TokenPolicy, delegate, mint

FEATURES = frozenset(TokenFeature) - {TokenFeature.MINT}
HOLDERS = (
    Ed25519SigningKey(bytes([1] * 32)),
    Es256SigningKey(bytes([2] * 32)),
    Ed25519SigningKey(bytes([3] * 32)),
    Es256SigningKey(bytes([4] * 32)),
)
READ = Operation.GET | Operation.DELEGATE
GRANT = attrs.evolve(
    CLAIMS,
    cti=bytes([1] * 16),
    scope=((Everything(), READ),),
    policy=TokenPolicy(amount=1000, uses=10, levels=3),
    cnf=Confirmation(key=HOLDERS[0].public.cose_key),
)


def below(parent: Claims, level: int, **members) -> Claims:
    """Claims for a token of a level below another one: as wide as it may be."""
    policy = attrs.evolve(parent.policy, **({"levels": 3 - level} | members.pop("policy", {})))
    cnf = Confirmation(key=HOLDERS[level].public.cose_key) if level < 3 else None
    made = attrs.evolve(parent, cti=bytes([level + 1] * 16), policy=policy, cnf=cnf)
    return attrs.evolve(made, **members)


def chain(levels=3, *, first=GRANT, key=SIGNING, **members):
    """A grant with tokens of so many levels below it, the members for the last: its octets, and the claims of each."""
    claims = [first]
    tokens = [mint(first, key)]
    for level in range(1, levels + 1):
        more = members if level == levels else {}
        claims.append(below(claims[-1], level, **more))
        tokens.append(delegate(tokens[-1], HOLDERS[level - 1], claims[-1]))
    return tokens[-1], claims

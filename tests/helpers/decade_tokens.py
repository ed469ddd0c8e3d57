"""Keys, a scope and claims of tokens for tests; the keys are public (RFC 8032 test 1, RFC 8392 appendix A.2.2)."""

from decade.cose import Ed25519SigningKey, HmacKey
from decade.names import name_of
from decade.tokens import Claims, Object, Operation, RegisteredKey, TokenPolicy
from decade.values import Priority, Weight

NOW = 1_800_000_000
SERVER = "https://sb.example"
HELLO = name_of(b"Hello World!")
SIGNING = Ed25519SigningKey(bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"))
MAC = HmacKey(bytes.fromhex("403697de87af64611c1d32a05dab0fe1fcb715a86ab435f1ec99192d79569388"), b"Symmetric256")
ACCOUNT = "alice"
REGISTERED = {
    SIGNING.kid: RegisteredKey(SIGNING.public, ACCOUNT, ("live",)),
    MAC.kid: RegisteredKey(MAC, ACCOUNT),
}
LIFE = 86400
CLAIMS = Claims(
    iss="ni:///sha-256;hm7vvWcYyIRs193-Q_x0qx2qxFOP-FFOouwtQQpBV0M",
    aud=(SERVER,),
    exp=NOW + 600,
    iat=NOW,
    cti=bytes(range(16)),
    scope=((Object(HELLO), Operation.GET),),
    policy=TokenPolicy(priority=Priority.HIGH, bandwidth=Weight(4), amount=1 << 20, uses=1),
)

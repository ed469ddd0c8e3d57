"""The overlay's configuration, and the identities of its peers: real ones, or null signatures of their size."""

from __future__ import annotations

import hashlib
import random

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from interop.reload_simulation._scenario import Maintenance, Scenario, Signatures
from reload.certificates import Authority
from reload.configuration import CHORD_RELOAD, CHORD_SELF_TUNING, Configuration
from reload.configuration_extensions import SELF_TUNING
from reload.configuration_update import InForce
from reload.kinds import BASE_KINDS, AccessControl, Kind
from reload.null_security import NullSigner, NullVerifier
from reload.ports import Signer, Verifier
from reload.signing import KeySigner, OverlayVerifier, PrivateKey
from reload.storage_messages import DataModel

OVERLAY = "overlay.example.org"
EPOCH = 1_700_000_000.0
"""The Unix time at which a simulation begins."""
VALUES = Kind(0xF0000001, DataModel.SINGLE, AccessControl.NODE_MULTIPLE, 1, 1000, 16)
"""The Kind of the values that are stored: each peer may write at 16 places all over the overlay."""

_VALIDITY = 365 * 86400.0
# Octets of a certificate with one Node-ID and user name, and of a signature, by P-256.
_CERTIFICATE_SIZE, _SIGNATURE_SIZE = 464, 71
# Keys of RSA take a second each to make, so that peers share a few; what it costs to use them is the same.
_RSA_KEYS = 2
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


class Security:
    """Whom the overlay of a scenario admits. The same seed gives the same keys and certificates."""

    def __init__(self, scenario: Scenario) -> None:
        """Make the root, and put the configuration in force."""
        self._signatures = scenario.signatures
        self._random = random.Random(f"{scenario.seed}/identities")
        self._authority: Authority | None = None
        self._rsa_keys: list[PrivateKey] = []
        verifier: Verifier = NullVerifier()
        roots: tuple[bytes, ...] = ()
        if scenario.signatures is not Signatures.NULL:
            if scenario.signatures is Signatures.RSA:
                self._rsa_keys = [_rsa_key(self._random) for _ in range(_RSA_KEYS)]
            self._authority = Authority.root(
                _p256_key(self._random),
                not_before=EPOCH - _VALIDITY,
                not_after=EPOCH + _VALIDITY,
                random_bytes=self._random.randbytes,
            )
            roots = (self._authority.certificate,)
        configuration = _configuration(scenario, roots)
        if roots:
            verifier = OverlayVerifier(configuration.trust)
        self.in_force = InForce(configuration, verifier, BASE_KINDS.updated([VALUES]))

    def enroll(self, number: int) -> Signer:
        """The identity of another peer."""
        node_id = self._random.randbytes(16)
        user_name = f"user{number}@{OVERLAY}"
        if self._authority is None:
            return NullSigner(node_id, user_name, certificate_size=_CERTIFICATE_SIZE, signature_size=_SIGNATURE_SIZE)
        key = self._rsa_keys[number % _RSA_KEYS] if self._rsa_keys else _p256_key(self._random)
        certificate = self._authority.issue(
            key.public_key(),
            OVERLAY,
            [node_id],
            user_name,
            not_before=EPOCH - _VALIDITY,
            not_after=EPOCH + _VALIDITY,
            random_bytes=self._random.randbytes,
        )
        return KeySigner(key, [certificate], OVERLAY)


def place_of(node_id: bytes, number: int) -> bytes:
    """The Resource-ID of a peer's place `number`, from 1 on (section 7.3.4; the width of the number is ours)."""
    return hashlib.sha1(node_id + bytes([number]), usedforsecurity=False).digest()[:16]


def _configuration(scenario: Scenario, roots: tuple[bytes, ...]) -> Configuration:
    tuning = scenario.maintenance is Maintenance.SELF_TUNING
    return Configuration(
        OVERLAY,
        1,
        EPOCH + _VALIDITY,
        topology_plugin=CHORD_SELF_TUNING if tuning else CHORD_RELOAD,
        root_certificates=roots,
        chord_reactive=scenario.maintenance is Maintenance.REACTIVE,
        chord_update_interval=scenario.update_interval,
        chord_ping_interval=scenario.ping_interval,
        mandatory_extensions=(SELF_TUNING,) if tuning else (),
    )


def _p256_key(source: random.Random) -> PrivateKey:
    return ec.derive_private_key(source.randrange(1, _P256_ORDER), ec.SECP256R1())


def _rsa_key(source: random.Random) -> PrivateKey:
    """An RSA key of 2048 bits that the seed decides, as the library gives no such."""
    exponent = 65537
    while True:
        p, q = _prime(source), _prime(source)
        if p != q and (p - 1) % exponent and (q - 1) % exponent:
            break
    d = pow(exponent, -1, (p - 1) * (q - 1))
    return rsa.RSAPrivateNumbers(
        p,
        q,
        d,
        rsa.rsa_crt_dmp1(d, p),
        rsa.rsa_crt_dmq1(d, q),
        rsa.rsa_crt_iqmp(p, q),
        rsa.RSAPublicNumbers(exponent, p * q),
    ).private_key()


def _prime(source: random.Random) -> int:
    """A number of 1024 bits, the two highest set, that is prime by Fermat for five bases: good enough for a play."""
    while True:
        number = source.getrandbits(1024) | 3 << 1022 | 1
        if all(number % small for small in (3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37)) and all(
            pow(base, number - 1, number) == 1 for base in (2, 3, 5, 7, 11)
        ):
            return number

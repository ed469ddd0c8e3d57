"""Signed requests between us and another implementation of RFC 9421, both ways."""

import base64
import hashlib
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import attrs
import pytest
from cryptography.hazmat.primitives import serialization
from decade_chains import HOLDERS
from http_message_signatures import HTTPMessageSigner, HTTPMessageVerifier, HTTPSignatureKeyResolver, algorithms

from decade.http import Request
from decade.pop import TAG, Replays, read_proof, sign

URI = "https://sb.example/.well-known/ni/sha-256/f4OxZX_x_FO5LcGBSKHWXfwtSx-j1ncoSt3SABJtkGk?ct=text%2Fplain"
NONCE = "0123456789abcdef"
BODY = b"Hello World!"
KINDS = {algorithms.ED25519: HOLDERS[0], algorithms.ECDSA_P256_SHA256: HOLDERS[1]}
each_kind = pytest.mark.parametrize("algorithm", KINDS, ids=["ed25519", "p256"])
each_method = pytest.mark.parametrize("method", ["GET", "PUT"])


class Resolver(HTTPSignatureKeyResolver):
    def __init__(self, key):
        self.key = key

    def resolve_public_key(self, key_id):
        return self.key._key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def resolve_private_key(self, key_id):
        return self.key._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


def asked(method):
    return Request(method, URI, (("Authorization", "Bearer YWJj"),), BODY if method == "PUT" else b"")


@each_kind
@each_method
def test_they_verify_what_we_sign(algorithm, method):
    key, now = KINDS[algorithm], datetime.now(UTC)
    request = asked(method)
    fields = sign(request, key, created=int(now.timestamp()), nonce=NONCE)
    message = SimpleNamespace(method=method, url=URI, headers=dict((*request.headers, *fields)))
    verifier = HTTPMessageVerifier(signature_algorithm=algorithm, key_resolver=Resolver(key))
    body = {"body": BODY} if method == "PUT" else {}
    (found,) = verifier.verify(message, max_age=timedelta(minutes=1), expect_tag=TAG, **body)
    digest = {'"content-digest"'} if method == "PUT" else set()
    assert (
        found.covered_components.keys() - {'"@signature-params"'}
        == {'"@method"', '"@target-uri"', '"authorization"'} | digest
    )
    assert found.parameters["nonce"] == NONCE


@each_kind
@each_method
def test_we_verify_what_they_sign(algorithm, method):
    key, now = KINDS[algorithm], datetime.now(UTC)
    request = asked(method)
    message = SimpleNamespace(method=method, url=URI, headers=dict(request.headers))
    covered = ["authorization", "@method", "@target-uri"]
    more = {}
    if method == "PUT":
        digest = base64.b64encode(hashlib.sha256(BODY).digest()).decode()
        message.headers["Content-Digest"] = f"sha-256=:{digest}:"
        covered.append("content-digest")
        more = {"body": BODY, "use_existing_digest": True}
    signer = HTTPMessageSigner(signature_algorithm=algorithm, key_resolver=Resolver(key))
    more |= {"key_id": "k", "created": now, "nonce": NONCE, "tag": TAG, "label": "x"}
    signer.sign(message, covered_component_ids=covered, **more)
    signed = attrs.evolve(request, headers=tuple(message.headers.items()))
    proof = read_proof(signed, URI)
    Replays().check(proof, key.public, "alice", now.timestamp() - 1)
    assert proof.digest == (hashlib.sha256(BODY).digest() if method == "PUT" else None)

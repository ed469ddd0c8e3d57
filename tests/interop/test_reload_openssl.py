"""Identities and signatures against the openssl command line, another implementation of X.509 and signatures."""

import base64
import hashlib
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from reload_configurations import configuration
from reload_identities import NOW, OVERLAY, authority, issue, key, node_id, random_bytes, self_signed

from reload._chain import Trust
from reload.certificates import Authority, KeyType, make_signing_request, read_signing_request
from reload.configuration import read_configuration
from reload.configuration_writer import write_document
from reload.contents import MessageContents
from reload.destinations import NodeDestination
from reload.errors import SecurityError
from reload.header import ForwardingHeader
from reload.identity import load_certificate, read_certificate
from reload.message import decode_message
from reload.signing import KeySigner, OverlayVerifier, PrivateKey, encode_signed, sign_message, verify_message

_TYPES: list[KeyType] = ["rsa", "p256"]
_DAYS = 365 * 30  # openssl dates from today on, so that NOW has to be replaced by a time within


def _openssl(*arguments: str, standard_input: bytes = b"") -> bytes:
    return subprocess.run(["openssl", *arguments], input=standard_input, capture_output=True, check=True).stdout


def _new_key(path: Path, key_type: KeyType) -> PrivateKey:
    choice = ["RSA", "rsa_keygen_bits:2048"] if key_type == "rsa" else ["EC", "ec_paramgen_curve:P-256"]
    _openssl("genpkey", "-algorithm", choice[0], "-pkeyopt", choice[1], "-out", str(path))
    return serialization.load_pem_private_key(path.read_bytes(), None)  # type: ignore[return-value]


def _pem(path: Path, der: bytes) -> str:
    body = base64.encodebytes(der).decode()
    path.write_text(f"-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n")
    return str(path)


def _within(der: bytes) -> float:
    return load_certificate(der).not_valid_before_utc.timestamp() + 60


def _self_signed_by_openssl(path: Path, key_type: KeyType, digest: str, count: int) -> bytes:
    """What the RFC says, with nothing of ours: the key's DER through `openssl dgst`, the names by hand."""
    _new_key(path, key_type)
    info = _openssl("pkey", "-in", str(path), "-pubout", "-outform", "DER")
    prefixes = [b""] if count == 1 else [bytes([0, 0, 0, index]) for index in range(1, count + 1)]
    ids = [_openssl("dgst", f"-{digest}", "-binary", standard_input=prefix + info)[:16].hex() for prefix in prefixes]
    names = ",".join(["email:alice@example.org", *(f"URI:reload://0110{each}@{OVERLAY}/" for each in ids)])
    return _openssl(
        *("req", "-x509", "-new", "-key", str(path), "-subj", "/", "-days", str(_DAYS), "-outform", "DER"),
        *("-addext", f"subjectAltName=critical,{names}"),
    )


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("digest", ["sha1", "sha256"])
@pytest.mark.parametrize("key_type", _TYPES)
def test_a_self_signed_certificate_of_openssl_is_accepted(
    tmp_path: Path, key_type: KeyType, digest: str, count: int
) -> None:
    der = _self_signed_by_openssl(tmp_path / "key", key_type, digest, count)
    verifier = OverlayVerifier(Trust(OVERLAY, self_signed_digest=digest))
    identity = verifier.identify(der, (), _within(der))
    assert (len(identity.node_ids), identity.user_name) == (count, "alice@example.org")


def test_a_self_signed_certificate_of_openssl_with_a_stolen_node_id_is_refused(tmp_path: Path) -> None:
    victim = _self_signed_by_openssl(tmp_path / "victim", "p256", "sha256", 1)
    stolen = read_certificate(victim, OVERLAY).node_ids[0].hex()
    _new_key(tmp_path / "thief", "p256")
    der = _openssl(
        *("req", "-x509", "-new", "-key", str(tmp_path / "thief"), "-subj", "/", "-outform", "DER"),
        *("-addext", f"subjectAltName=critical,URI:reload://0110{stolen}@{OVERLAY}/"),
    )
    with pytest.raises(SecurityError, match="not those of its key"):
        OverlayVerifier(Trust(OVERLAY, self_signed_digest="sha256")).identify(der, (), _within(der))


@pytest.mark.parametrize("key_type", _TYPES)
def test_a_certificate_that_an_openssl_authority_has_issued_is_accepted(tmp_path: Path, key_type: KeyType) -> None:
    _new_key(tmp_path / "ca.key", key_type)
    ca = ["req", "-x509", "-new", "-key", str(tmp_path / "ca.key"), "-subj", "/CN=root", "-days", str(_DAYS)]
    _openssl(*ca, "-out", str(tmp_path / "ca.pem"))
    _new_key(tmp_path / "node.key", key_type)
    request = ["req", "-new", "-key", str(tmp_path / "node.key"), "-subj", "/", "-out", str(tmp_path / "node.csr")]
    _openssl(*request)
    (tmp_path / "extensions").write_text(
        f"subjectAltName=critical,email:bob@example.org,URI:reload://0110{node_id(5).hex()}@{OVERLAY}/\n"
    )
    der = _openssl(
        *("x509", "-req", "-in", str(tmp_path / "node.csr"), "-CA", str(tmp_path / "ca.pem")),
        *("-CAkey", str(tmp_path / "ca.key"), "-set_serial", "7", "-outform", "DER"),
        *("-extfile", str(tmp_path / "extensions"), "-days", "30"),
    )
    root = _openssl("x509", "-in", str(tmp_path / "ca.pem"), "-outform", "DER")
    verifier = OverlayVerifier(Trust(OVERLAY, root_certificates=(root,)))
    identity = verifier.identify(der, (), _within(der))
    assert (identity.node_ids, identity.user_name) == ((node_id(5),), "bob@example.org")


@pytest.mark.parametrize("key_type", _TYPES)
def test_openssl_verifies_the_certificates_that_we_issue(tmp_path: Path, key_type: KeyType) -> None:
    root = authority(key_type, key_type)
    middle = root.subordinate(
        key("middle"), "middle", not_before=NOW - 3600, not_after=NOW + 86_400, random_bytes=random_bytes
    )
    node = issue([node_id(1), node_id(2)], by=middle, name=key_type, key_type=key_type)
    paths = [
        _pem(tmp_path / name, each)
        for name, each in (("root", root.certificate), ("middle", middle.certificate), ("node", node))
    ]
    said = _openssl(
        *("verify", "-x509_strict", "-attime", str(int(NOW)), "-CAfile", paths[0], "-untrusted", paths[1], paths[2])
    )
    assert said.rstrip().endswith(b"OK")
    text = _openssl("x509", "-in", paths[2], "-noout", "-text").decode()
    assert "X509v3 Subject Alternative Name: critical" in text
    assert f"URI:reload://0110{node_id(1).hex()}@{OVERLAY}/, URI:reload://0110{node_id(2).hex()}@{OVERLAY}/" in text
    assert "email:alice@example.org" in text


@pytest.mark.parametrize("key_type", _TYPES)
def test_openssl_verifies_our_self_signed_certificates(tmp_path: Path, key_type: KeyType) -> None:
    path = _pem(tmp_path / "self", self_signed(key_type, key_type=key_type))
    said = _openssl("verify", "-attime", str(int(NOW)), "-check_ss_sig", "-CAfile", path, path)
    assert said.rstrip().endswith(b"OK")


def _dgst_verify(tmp_path: Path, key_type: KeyType, covered: bytes, value: bytes) -> bytes:
    public = (
        key(key_type, key_type)
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    (tmp_path / "public").write_bytes(public)
    (tmp_path / "signature").write_bytes(value)
    arguments = ["dgst", "-sha256", "-verify", str(tmp_path / "public"), "-signature", str(tmp_path / "signature")]
    return _openssl(*arguments, standard_input=covered)


@pytest.mark.parametrize("key_type", _TYPES)
def test_openssl_verifies_our_signature_of_a_message_over_octets_cut_from_the_wire(
    tmp_path: Path, key_type: KeyType
) -> None:
    signer = KeySigner(key(key_type, key_type), [issue([node_id(1)], name=key_type, key_type=key_type)], OVERLAY)
    header = ForwardingHeader(0x9AA32B8D, 0x1122334455667788, (NodeDestination(node_id(9)),))
    wire = encode_signed(sign_message(header, MessageContents(23, b"\0\0"), signer))
    # By hand: overlay at 4, transaction_id at 20, contents of 12 octets behind a header of 38 and a list of 18.
    contents = wire[56:68]
    assert contents.hex() == "0017" + "00000002" + "0000" + "00000000"
    certificates = int.from_bytes(wire[68:70], "big")
    at = 70 + certificates + 2  # behind the bucket and the two octets of the algorithm
    identity = wire[at : at + 3 + int.from_bytes(wire[at + 1 : at + 3], "big")]
    covered = wire[4:8] + wire[20:28] + contents + identity
    at += len(identity)
    value = wire[at + 2 :]
    assert int.from_bytes(wire[at : at + 2], "big") == len(value)
    assert _dgst_verify(tmp_path, key_type, covered, value).strip() == b"Verified OK"


@pytest.mark.parametrize("key_type", _TYPES)
def test_openssl_verifies_our_signature_of_a_configuration(tmp_path: Path, key_type: KeyType) -> None:
    signer = KeySigner(key(key_type, key_type), [issue([node_id(1)], name=key_type, key_type=key_type)], OVERLAY)
    octets = write_document(configuration(), signers=[signer])
    start, stop = octets.index(b"<configuration "), octets.index(b"</configuration>") + len(b"</configuration>")
    block = base64.b64decode(octets.split(b"<signature>")[1].split(b"</signature>")[0])
    at = 2 + int.from_bytes(block[:2], "big") + 2
    at += 3 + int.from_bytes(block[at + 1 : at + 3], "big")
    assert _dgst_verify(tmp_path, key_type, octets[start:stop], block[at + 2 :]).strip() == b"Verified OK"
    assert read_configuration(octets, OVERLAY).octets == octets[start:stop]


@pytest.mark.parametrize("key_type", _TYPES)
def test_a_message_that_openssl_has_signed_is_verified(tmp_path: Path, key_type: KeyType) -> None:
    der = _self_signed_by_openssl(tmp_path / "key", key_type, "sha256", 1)
    header = bytes.fromhex("d2454c4f 9aa32b8d 0000 0a 64 c0000000")
    contents = bytes.fromhex("0017 00000002 0000 00000000")
    identity = bytes([1, 0, 34, 4, 32]) + hashlib.sha256(der).digest()
    covered = bytes.fromhex("9aa32b8d 00000000000000ff") + contents + identity
    value = _openssl("dgst", "-sha256", "-sign", str(tmp_path / "key"), standard_input=covered)
    algorithm = bytes([4, 1 if key_type == "rsa" else 3])
    generic = b"\0" + len(der).to_bytes(2, "big") + der
    bucket = len(generic).to_bytes(2, "big") + generic
    block = bucket + algorithm + identity + len(value).to_bytes(2, "big") + value
    destination = bytes([1, 16]) + node_id(9)
    length = 38 + len(destination) + len(contents) + len(block)
    rest = bytes.fromhex("00000000000000ff 00000000 0000 0012 0000") + destination
    wire = header + length.to_bytes(4, "big") + rest + contents + block
    verifier = OverlayVerifier(Trust(OVERLAY, self_signed_digest="sha256"))
    assert verify_message(decode_message(wire), verifier, _within(der)).user_name == "alice@example.org"
    changed = wire[:-1] + bytes([wire[-1] ^ 1])
    with pytest.raises(SecurityError):
        verify_message(decode_message(changed), verifier, _within(der))


@pytest.mark.parametrize("key_type", _TYPES)
def test_signing_requests_are_understood_both_ways(tmp_path: Path, key_type: KeyType) -> None:
    ours = make_signing_request(key(key_type, key_type), "alice@example.org")
    text = _openssl("req", "-inform", "DER", "-verify", "-noout", "-text", standard_input=ours).decode()
    assert "email:alice@example.org" in text
    theirs_key = _new_key(tmp_path / "key", key_type)
    theirs = _openssl(
        *("req", "-new", "-key", str(tmp_path / "key"), "-subj", "/", "-outform", "DER"),
        *("-addext", "subjectAltName=email:bob@example.org"),
    )
    found = read_signing_request(theirs)
    assert found.user_name == "bob@example.org"
    assert found.public_key == theirs_key.public_key()
    with pytest.raises(SecurityError):
        read_signing_request(theirs[:-1] + bytes([theirs[-1] ^ 1]))


def test_a_root_of_ours_is_one_to_openssl(tmp_path: Path) -> None:
    root = Authority.root(key("r"), not_before=NOW - 60, not_after=NOW + 60, random_bytes=random_bytes)
    path = _pem(tmp_path / "root", root.certificate)
    said = _openssl("verify", "-x509_strict", "-check_ss_sig", "-attime", str(int(NOW)), "-CAfile", path, path)
    assert said.rstrip().endswith(b"OK")

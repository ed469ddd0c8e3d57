"""Keys of live swarms: what DNSSEC's own RFCs print, and openssl as the other side."""

import base64
import functools
import subprocess
import sys

import dns.dnssec
import dns.rrset
import pytest

from ppsp.constants import LiveSignatureAlgorithm
from ppsp.errors import MetadataError
from ppsp.livekeys import LiveKey, LiveSigner, algorithm_of, signature_size

# The examples of RFC 6605 sections 6.1 and 6.2 and RFC 8080 section 6.1: zone, DNSKEY, what is signed, RRSIG.
_EXAMPLES = {
    13: (
        "example.net.",
        "257 3 13 GojIhhXUN/u4v54ZQqGSnyhWJwaubCvTmeexv7bR6edbkrSqQpF64cYbcB7wNcP+e+MAnLr+Wi9xMWyQLc8NAA==",
        "www.example.net. A 192.0.2.1",
        "A 13 3 3600 20100909100439 20100812100439 55648 example.net. "
        "qx6wLYqmh+l9oCKTN6qIc+bw6ya+KJ8oMz0YP107epXAyGmt+3SNruPFKG7tZoLBLlUzGGus7ZwmwWep666VCw==",
    ),
    14: (
        "example.net.",
        "257 3 14 xKYaNhWdGOfJ+nPrL8/arkwf2EY3MDJ+SErKivBVSum1w/egsXvSADtNJhyem5RCOpgQ6K8X1DRSEkrbYQ+OB+v8/uX45NBw"
        "Y8rp65F6Glur8I/mlVNgF6W/qTI37m40",
        "www.example.net. A 192.0.2.1",
        "A 14 3 3600 20100909102025 20100812102025 10771 example.net. "
        "/L5hDKIvGDyI1fcARX3z65qrmPsVz73QD1Mr5CEqOiLP95hxQouuroGCeZOvzFaxsT8Glr74hbavRKayJNuydCuzWTSSPdz7wnqXL5bdcJ"
        "zusdnI0RSMROxxwGipWcJm",
    ),
    15: (
        "example.com.",
        "257 3 15 l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=",
        "example.com. MX 10 mail.example.com.",
        "MX 15 2 3600 1440021600 1438207200 3613 example.com. "
        "oL9krJun7xfBOIWcGHi7mag5/hdZrKWw15jPGrHpjQeRAvTdszaPD+QLs3fx8A4M3e23mRZ9VrbpMngwcrqNAg==",
    ),
}
# The 512-bit key of RFC 5702 section 6.1: an exponent of 3 octets, a modulus of 64.
_SHORT_RSA = "AwEAAcFcGsaxxdgiuuGmCkVImy4h99CqT7jwY3pexPGcnUFtR2Fh36BponcwtkZ4cAgtvd4Qs8PkxUdp6p/DlUmObdk="
_SIZES = {5: 256, 8: 256, 13: 64, 14: 96, 15: 64}
_DIGESTS = {5: "sha1", 8: "sha256", 13: "sha256", 14: "sha384"}


@pytest.mark.parametrize("number", _EXAMPLES)
def test_the_signatures_that_the_rfcs_of_dnssec_print_are_verified(number):
    zone, key_text, signed, signature_text = _EXAMPLES[number]
    owner, kind, data = signed.split(" ", 2)
    record = dns.rrset.from_text(owner, 3600, "IN", kind, data)
    key = dns.rrset.from_text(zone, 3600, "IN", "DNSKEY", key_text)[0].key
    rrsig = dns.rrset.from_text(owner, 3600, "IN", "RRSIG", signature_text)[0]
    plaintext = _plain(rrsig, record)
    live = LiveKey(bytes((number,)) + key)
    assert live.algorithm == number
    assert live.signature_size == len(rrsig.signature)
    assert live.verify(rrsig.signature, plaintext)
    assert not live.verify(rrsig.signature, plaintext + b"\0")
    assert not live.verify(rrsig.signature[:-1], plaintext)


@functools.cache
def _signer(algorithm, number=0):
    """A key of the algorithm: those of RSA take long to make."""
    return LiveSigner.generate(algorithm)


def _plain(rrsig, record):
    """RFC 4034 section 3.1.8.1: the RRSIG without its signature, then the record in canonical form."""
    data = record[0].to_wire()
    head = record.name.to_wire() + record.rdtype.to_bytes(2, "big") + b"\0\1" + rrsig.original_ttl.to_bytes(4, "big")
    return rrsig.to_wire()[: -len(rrsig.signature)] + head + len(data).to_bytes(2, "big") + data


@pytest.mark.parametrize("algorithm", LiveSignatureAlgorithm)
def test_a_key_is_written_as_a_dnskey_record_has_it(algorithm):
    signer = _signer(algorithm)
    public = LiveKey(signer.swarm_id)._public
    assert signer.swarm_id[1:] == dns.dnssec.make_dnskey(public, int(algorithm)).key
    assert signer.swarm_id[0] == algorithm == algorithm_of(signer.swarm_id)
    assert signature_size(signer.swarm_id) == _SIZES[algorithm]


@pytest.mark.parametrize("algorithm", LiveSignatureAlgorithm)
def test_a_signature_is_good_for_one_key_and_one_text(algorithm):
    signer, other = _signer(algorithm), _signer(algorithm, 1)
    key = LiveKey(signer.swarm_id)
    signature = signer.sign(b"the munro")
    assert len(signature) == key.signature_size
    assert key.verify(signature, b"the munro")
    assert not key.verify(signature, b"another munro")
    assert not LiveKey(other.swarm_id).verify(signature, b"the munro")
    for spoiled in (b"", signature[:-1], signature + b"\0", bytes(len(signature)), b"\xff" * len(signature)):
        assert not key.verify(spoiled, b"the munro")


def _openssl(*arguments, data=b""):
    done = subprocess.run(["openssl", *arguments], input=data, capture_output=True, check=False)
    return done.returncode, done.stdout


def _der_integer(octets):
    octets = octets.lstrip(b"\0")
    octets = b"\0" + octets if octets[0] & 0x80 else octets
    return bytes((2, len(octets))) + octets


def _der_of(signature):
    half = len(signature) // 2
    body = _der_integer(signature[:half]) + _der_integer(signature[half:])
    return bytes((0x30, len(body))) + body


@pytest.mark.parametrize("algorithm", LiveSignatureAlgorithm)
def test_openssl_verifies_what_is_signed_here(algorithm, tmp_path):
    signer = _signer(algorithm)
    signature = signer.sign(b"a text")
    paths = {name: tmp_path / name for name in ("key", "public", "signature", "text")}
    paths["key"].write_bytes(signer.pem)
    paths["text"].write_bytes(b"a text")
    paths["signature"].write_bytes(_der_of(signature) if algorithm in (13, 14) else signature)
    assert _openssl("pkey", "-in", paths["key"], "-pubout", "-out", paths["public"])[0] == 0
    if algorithm == LiveSignatureAlgorithm.ED25519:
        command = ["pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", paths["public"]]
        command += ["-sigfile", paths["signature"], "-in", paths["text"]]
    else:
        command = ["dgst", f"-{_DIGESTS[algorithm]}", "-verify", paths["public"]]
        command += ["-signature", paths["signature"], paths["text"]]
    status, _ = _openssl(*command)
    assert status == 0
    paths["text"].write_bytes(b"A text")
    status, _ = _openssl(*command)
    assert status != 0


@pytest.mark.parametrize("algorithm", [5, 8])
def test_a_key_and_a_signature_that_openssl_makes_are_good_here(algorithm, tmp_path):
    key, text = tmp_path / "key", tmp_path / "text"
    text.write_bytes(b"a text")
    assert _openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024", "-out", key)[0] == 0
    status, signature = _openssl("dgst", f"-{_DIGESTS[algorithm]}", "-sign", key, text)
    assert status == 0
    signer = LiveSigner.from_pem(key.read_bytes(), LiveSignatureAlgorithm(algorithm))
    assert LiveKey(signer.swarm_id).verify(signature, b"a text")
    assert signer.sign(b"a text") == signature  # PKCS #1 v1.5 leaves nothing to chance


@pytest.mark.parametrize("algorithm", LiveSignatureAlgorithm)
def test_a_private_key_survives_its_pem(algorithm):
    signer = _signer(algorithm)
    assert LiveSigner.from_pem(signer.pem, algorithm).swarm_id == signer.swarm_id
    guessed = LiveSigner.from_pem(signer.pem).algorithm
    assert guessed == (LiveSignatureAlgorithm.RSASHA256 if algorithm == 5 else algorithm)


def test_the_exponent_may_be_long():
    """RFC 3110 section 2: a zero and two octets give the length of an exponent of more than 255 octets."""
    modulus = b"\xc1" + bytes(254) + b"\1"
    assert signature_size(b"\x08\x00\x01\x00" + b"\1" * 256 + modulus) == 256
    assert signature_size(b"\x08\x03\1\0\1" + modulus) == 256


@pytest.mark.parametrize(
    "swarm_id",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x0d", id="no key"),
        pytest.param(b"\x0d" + bytes(63), id="a short P-256 key"),
        pytest.param(b"\x0e" + bytes(64), id="a P-256 key for P-384"),
        pytest.param(b"\x0f" + bytes(31), id="a short Ed25519 key"),
        pytest.param(b"\x07" + bytes(64), id="an algorithm that is not ours"),
        pytest.param(b"\x08" + base64.b64decode(_SHORT_RSA), id="the 512-bit key of RFC 5702"),
        pytest.param(b"\x08\x00", id="a long exponent without length"),
        pytest.param(b"\x08\x00\xff\xff" + bytes(300), id="an exponent longer than the key"),
        pytest.param(b"\x08\x03\1\0\1" + b"\0" + b"\xc1" * 255, id="a modulus with a zero in front"),
        pytest.param(b"\x08\x03\1\0\1" + b"\xc1" * 513, id="a modulus of more than 4096 bits"),
    ],
)
def test_what_is_no_key_is_refused(swarm_id):
    with pytest.raises(MetadataError):
        signature_size(swarm_id)
    with pytest.raises(MetadataError):
        LiveKey(swarm_id)


def test_a_point_that_is_not_on_the_curve_is_refused():
    with pytest.raises(MetadataError):
        LiveKey(b"\x0d" + b"\1" * 64)


def test_a_private_key_for_another_algorithm_is_refused():
    pem = LiveSigner.generate(LiveSignatureAlgorithm.ECDSAP256SHA256).pem
    for algorithm in (5, 14, 15):
        with pytest.raises(MetadataError):
            LiveSigner.from_pem(pem, LiveSignatureAlgorithm(algorithm))
    with pytest.raises(MetadataError):
        LiveSigner.from_pem(b"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n")


def test_static_swarms_do_not_load_cryptography():
    code = "import sys, ppsp, ppsp.livekeys; sys.exit('cryptography' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == 0

"""Membership certificates (section 12.2.2): what is issued, what is believed, and keys."""

import random
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP521R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
    load_pem_private_key,
)
from ppsp_exchange import EPOCH, ISSUER, VERIFIER, certificate

from ppsp.constants import LiveSignatureAlgorithm
from ppsp.errors import MembershipError
from ppsp.livekeys import LiveSigner
from ppsp.membership import MembershipIssuer, MembershipVerifier


def test_a_certificate_tells_where_a_member_is(seven):
    for host in ("203.0.113.5", "2001:db8::7"):
        octets = certificate(host, 1234, root=seven.root)
        assert VERIFIER.check(octets, seven.root, EPOCH + 2000.0) == (host, 1234)
        assert len(octets) < 500


def test_the_name_in_a_certificate_is_a_critical_uri(seven):
    """Section 8.13, read by `cryptography`."""
    read = x509.load_der_x509_certificate(certificate("2001:db8::7", 1234, root=seven.root))
    name = read.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert name.critical
    (url,) = name.value
    assert isinstance(url, x509.UniformResourceIdentifier)
    assert url.value == f"file://[2001:db8::7]:1234/{seven.root.hex()}"
    assert read.not_valid_before_utc.timestamp() == EPOCH + 1000.0


@pytest.mark.parametrize("octet", [0, 255])
def test_a_certificate_is_what_rfc_5280_asks_of_an_authority(seven, octet):
    """Serial numbers that are positive, of 20 octets at the most and others each time; whose key has signed it."""
    issuer = MembershipIssuer.from_pem(ISSUER.pem, lambda size: bytes([octet] * size))
    read = x509.load_der_x509_certificate(certificate("203.0.113.5", root=seven.root, issuer=issuer))
    assert 0 < read.serial_number < 1 << 159
    key = read.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
    assert not key.critical
    assert key.value == x509.AuthorityKeyIdentifier.from_issuer_public_key(read.public_key())
    both = [x509.load_der_x509_certificate(certificate("203.0.113.5", root=seven.root)) for _ in range(2)]
    assert both[0].serial_number != both[1].serial_number


def test_certificates_that_prove_nothing_are_refused(seven):
    good = certificate("203.0.113.5", root=seven.root)
    stranger = MembershipIssuer.generate(random.Random(2).randbytes)
    bad = [
        b"",
        good[:-1],
        good[:60] + bytes([good[60] ^ 1]) + good[61:],
        good + bytes(2000),
        certificate("203.0.113.5", root=bytes(32)),
        certificate("203.0.113.5", root=seven.root, issuer=stranger),
    ]
    for octets in bad:
        with pytest.raises(MembershipError):
            VERIFIER.check(octets, seven.root, EPOCH + 2000.0)
    for when in (EPOCH, EPOCH + 90_000.0):
        with pytest.raises(MembershipError, match="over"):
            VERIFIER.check(good, seven.root, when)


def signed(names, *extensions, critical=True):
    """A certificate of the issuer with any names and extensions."""
    private = load_pem_private_key(ISSUER.pem, None)
    start = datetime.fromtimestamp(EPOCH + 1000.0, UTC)
    builder = x509.CertificateBuilder(x509.Name([]), x509.Name([]), private.public_key(), 7, start, start)
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=critical)
    for extension, is_critical in extensions:
        builder = builder.add_extension(extension, critical=is_critical)
    return builder.sign(private, SHA256()).public_bytes(Encoding.DER)


def url_of(root, text="file://203.0.113.5:77/{}"):
    return x509.UniformResourceIdentifier(text.format(root.hex()))


@pytest.mark.parametrize(
    "text",
    [
        "http://203.0.113.5:77/{}",
        "file://203.0.113.5/{}",
        "file://203.0.113.5:0/{}",
        "file://203.0.113.5:65536/{}",
        "file://203.0.113.5:x/{}",
        "file://a.name:77/{}",
        "file://[fe80::1%25eth0]:77/{}",
        "file://[203.0.113.5:77/{}",
        "file:///{}",
        "file://203.0.113.5:77/{}00",
        "file://203.0.113.5:77//{}",
        "file://203.0.113.5:77/{:.40}",
        "file://203.0.113.5:77",
        "",
    ],
)
def test_a_url_that_names_no_member_of_this_swarm_proves_nothing(seven, text):
    """Section 8.13. The issuer has signed it, all the same."""
    assert VERIFIER.check(signed([url_of(seven.root)]), seven.root, EPOCH + 1000.0) == ("203.0.113.5", 77)
    with pytest.raises(MembershipError):
        VERIFIER.check(signed([url_of(seven.root, text)]), seven.root, EPOCH + 1000.0)


def test_a_certificate_that_fits_no_datagram_is_not_read(seven):
    """Nobody could be sent it, so nobody may be led to believe that he can pass it on."""
    for size, taken in ((100, True), (1400, False)):
        filler = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), bytes(size))
        octets = signed([url_of(seven.root)], (filler, False))
        if taken:
            assert VERIFIER.check(octets, seven.root, EPOCH + 1000.0) == ("203.0.113.5", 77)
        else:
            with pytest.raises(MembershipError, match="octets"):
                VERIFIER.check(octets, seven.root, EPOCH + 1000.0)


def test_the_name_of_a_member_is_critical_and_one(seven):
    """Section 8.13: "marked as critical, of type uniformResourceIdentifier"."""
    url = url_of(seven.root)
    for octets in (
        signed([url], critical=False),
        signed([url, url_of(seven.root, "file://203.0.113.6:77/{}")]),
        signed([x509.DNSName("a.name")]),
    ):
        with pytest.raises(MembershipError, match="one critical name"):
            VERIFIER.check(octets, seven.root, EPOCH + 1000.0)


@pytest.mark.parametrize(
    ("extension", "taken"),
    [
        (x509.KeyUsage(True, *[False] * 8), True),
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (x509.InhibitAnyPolicy(0), False),
        (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0"), False),
    ],
    ids=["key usage", "basic constraints", "policies", "unknown"],
)
@pytest.mark.parametrize("critical", [True, False], ids=["critical", "not critical"])
def test_what_is_critical_and_not_understood_makes_a_certificate_worthless(seven, extension, taken, critical):
    """RFC 5280 section 4.2: a system "MUST reject" what has "a critical extension it does not recognize"."""
    octets = signed([url_of(seven.root)], (extension, critical))
    if taken or not critical:
        assert VERIFIER.check(octets, seven.root, EPOCH + 1000.0) == ("203.0.113.5", 77)
    else:
        with pytest.raises(MembershipError, match="critical"):
            VERIFIER.check(octets, seven.root, EPOCH + 1000.0)


def test_a_certificate_that_nobody_could_be_sent_is_not_issued():
    """A key on P-521 and the longest swarm ID, which is a key of RSA with 4096 bits, do not fit a datagram."""
    pem = generate_private_key(SECP521R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    host, swarm_id = "2001:db8:1111:2222:3333:4444:5555:6666", bytes(517)
    octets = ISSUER.issue(swarm_id, host, 65535, EPOCH)
    assert VERIFIER.check(octets, swarm_id, EPOCH) == (host, 65535)
    with pytest.raises(MembershipError, match="datagram"):
        MembershipIssuer.from_pem(pem, random.randbytes).issue(swarm_id, host, 65535, EPOCH)


def test_a_damaged_certificate_raises_nothing_else_and_tells_nothing_else(seven):
    good = certificate("203.0.113.5", 77, root=seven.root)
    chance = random.Random(1)
    for at in range(len(good)):
        for value in {0, 1, 2, 255, good[at] ^ 1, chance.randrange(256)}:
            damaged = good[:at] + bytes([value]) + good[at + 1 :]
            try:
                member = VERIFIER.check(damaged, seven.root, EPOCH + 2000.0)
            except MembershipError:
                continue
            assert member == ("203.0.113.5", 77)


@pytest.mark.parametrize("pem", [b"", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
def test_what_is_no_key_is_refused(pem):
    with pytest.raises(MembershipError):
        MembershipVerifier(pem)


def test_keys_are_read_as_they_are_kept(seven):
    """The private one in PEM, the public one in DER as metadata carry it, or in PEM as people have it."""
    again = MembershipIssuer.from_pem(ISSUER.pem, random.Random(3).randbytes)
    assert again.public_key == ISSUER.public_key
    pem = load_der_public_key(ISSUER.public_key).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    octets = certificate("203.0.113.5", root=seven.root, issuer=again)
    assert MembershipVerifier(pem).check(octets, seven.root, EPOCH + 2000.0) == ("203.0.113.5", 6778)


@pytest.mark.parametrize(
    "pem", [b"", b"no key", ISSUER.pem[:-80], LiveSigner.generate(LiveSignatureAlgorithm.ED25519).pem]
)
def test_what_cannot_issue_certificates_is_refused(pem):
    with pytest.raises(MembershipError):
        MembershipIssuer.from_pem(pem, random.randbytes)


@pytest.mark.parametrize(
    ("host", "port"), [("a.name", 1), ("fe80::1%eth0", 1), ("203.0.113.5", 0), ("203.0.113.5", 65536)]
)
def test_no_certificate_is_issued_for_what_is_no_address(seven, host, port):
    with pytest.raises(ValueError, match=r".+"):
        ISSUER.issue(seven.root, host, port, EPOCH)

"""Certificates with Node-IDs and a user name."""

import hashlib
import itertools

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st
from reload_identities import (
    ALICE,
    NOT_AFTER,
    NOT_BEFORE,
    NOW,
    OVERLAY,
    authority,
    issue,
    key,
    node_id,
    random_bytes,
    self_signed,
)

from reload._chain import MAX_PATH, Paths, Trust
from reload.certificates import Authority, generate_key, public_key_info
from reload.errors import SecurityError
from reload.identity import (
    MAX_NODE_IDS,
    CertificateCache,
    load_certificate,
    node_id_uri,
    read_certificate,
    read_node_id_uri,
    self_signed_node_ids,
)
from reload.security_block import X509, GenericCertificate, HashAlgorithm

_ENROLLED = Trust(OVERLAY, root_certificates=(authority().certificate,))
_OPEN = Trust(OVERLAY, self_signed_digest="sha256")


def _check(der: bytes, trust: Trust = _ENROLLED, wall: float = NOW, others: tuple[bytes, ...] = ()) -> None:
    certificate = read_certificate(der, OVERLAY)
    Paths(trust).check(certificate, [GenericCertificate(X509, other) for other in others], wall)


def _raw(names: list[x509.GeneralName], public: object | None = None, **more: x509.ExtensionType) -> bytes:
    """A self-signed certificate with any names and extensions, each of these critical."""
    own = key("raw")
    builder = (
        x509.CertificateBuilder(x509.Name([]), x509.Name([]), public or own.public_key())  # type: ignore[arg-type]
        .serial_number(1)
        .not_valid_before(load_certificate(authority().certificate).not_valid_before_utc)
        .not_valid_after(load_certificate(authority().certificate).not_valid_after_utc)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
    for value in more.values():
        builder = builder.add_extension(value, critical=True)
    return builder.sign(own, hashes.SHA256()).public_bytes(Encoding.DER)


_URI = x509.UniformResourceIdentifier(node_id_uri(node_id(7), OVERLAY))


# The reload URI.


def test_a_node_id_is_the_destination_in_hexadecimal() -> None:
    assert node_id_uri(bytes(range(16)), OVERLAY) == (
        "reload://0110000102030405060708090a0b0c0d0e0f@overlay.example.org/"
    )


@pytest.mark.parametrize("length", range(16, 21))
def test_a_node_id_of_any_permitted_length_is_found_in_its_uri(length: int) -> None:
    uri = node_id_uri(bytes(range(length)), OVERLAY)
    assert read_node_id_uri(uri, OVERLAY, node_id_length=length) == bytes(range(length))


def test_scheme_hexadecimal_digits_and_overlay_are_read_in_any_case() -> None:
    uri = node_id_uri(bytes.fromhex("ab" * 16), OVERLAY).upper()
    assert read_node_id_uri(uri, OVERLAY) == bytes.fromhex("ab" * 16)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "https://example.org/",
        "reload://" + "ab" * 16 + "@overlay.example.org/",  # the bare Node-ID, without the Destination around it
        "reload://0110" + "ab" * 16 + "@overlay.example.org",  # without the slash
        "reload://0110" + "ab" * 16 + "@overlay.example.org/00",  # with a specifier: data, not a node
        "reload://0110" + "ab" * 15 + "@overlay.example.org/",
        "reload://0110" + "ab" * 16 + "a@overlay.example.org/",
        "reload://010f" + "ab" * 15 + "@overlay.example.org/",  # a Node-ID of 15 octets
        "reload://" + ("0110" + "ab" * 16) * 2 + "@overlay.example.org/",  # two nodes
        "reload://021110" + "ab" * 16 + "@overlay.example.org/",  # a resource
        "reload://0110" + "ff" * 16 + "@overlay.example.org/",  # the wildcard
        "reload://0110" + "00" * 16 + "@overlay.example.org/",  # reserved
        "reload://0110" + "ab" * 16 + "@other.example.org/",
        "reload://0110" + "ab" * 16 + "@overlay.example.org@other/",
    ],
)
def test_a_uri_that_is_not_one_node_of_this_overlay_is_refused(uri: str) -> None:
    with pytest.raises(SecurityError):
        read_node_id_uri(uri, OVERLAY)


# Reading.


def test_a_certificate_holds_its_node_ids_and_user_name() -> None:
    found = read_certificate(issue([node_id(1), node_id(2)]), OVERLAY)
    assert found.node_ids == (node_id(1), node_id(2))
    assert found.user_name == ALICE
    assert (found.not_before, found.not_after) == (NOT_BEFORE, NOT_AFTER)


def test_a_certificate_may_have_no_user_name() -> None:
    assert read_certificate(issue([node_id(1)], None), OVERLAY).user_name is None


def test_the_subject_is_empty_and_so_the_alternative_name_is_critical() -> None:
    for der in (issue([node_id(1)]), self_signed()):
        certificate = load_certificate(der)
        assert certificate.subject == x509.Name([])
        assert certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).critical


@pytest.mark.parametrize(
    "names",
    [
        [],
        [x509.RFC822Name(ALICE)],  # no Node-ID
        [_URI, _URI],
        [_URI, x509.RFC822Name(ALICE), x509.RFC822Name("bob@example.org")],
        [_URI, x509.RFC822Name("no-at-sign")],
        [_URI, x509.RFC822Name("al\0ice@example.org")],
        [_URI, x509.DNSName("example.org")],
        [_URI, x509.DirectoryName(x509.Name([]))],
        [_URI, x509.UniformResourceIdentifier("https://example.org/")],
        [_URI, x509.UniformResourceIdentifier(node_id_uri(node_id(8), "other.example.org"))],
        [x509.UniformResourceIdentifier(node_id_uri(node_id(i + 1), OVERLAY)) for i in range(MAX_NODE_IDS + 1)],
    ],
)
def test_a_certificate_with_other_identities_than_node_ids_and_one_user_name_is_refused(
    names: list[x509.GeneralName],
) -> None:
    with pytest.raises(SecurityError):
        read_certificate(_raw(names), OVERLAY)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ed25519.Ed25519PrivateKey.generate(),
        lambda: rsa.generate_private_key(65537, 1024),
        lambda: ec.generate_private_key(ec.SECP256K1()),
        lambda: ec.generate_private_key(ec.SECP224R1()),
    ],
)
def test_a_key_that_is_too_weak_or_of_another_kind_is_refused(make: object) -> None:
    with pytest.raises(SecurityError):
        read_certificate(_raw([_URI], make().public_key()), OVERLAY)  # type: ignore[operator]


def test_an_rsa_key_with_an_exponent_as_long_as_its_modulus_is_refused() -> None:
    numbers = rsa.RSAPublicNumbers((1 << 2000) + 1, key("rsa", "rsa").public_key().public_numbers().n)  # type: ignore[union-attr]
    with pytest.raises(SecurityError):
        read_certificate(_raw([_URI], numbers.public_key()), OVERLAY)


@given(st.binary(max_size=80))
def test_any_octets_are_no_certificate(octets: bytes) -> None:
    with pytest.raises(SecurityError):
        read_certificate(octets, OVERLAY)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_certificate_with_one_octet_changed_is_refused_or_read_without_another_error(at: int, change: int) -> None:
    octets = bytearray(_GOOD)
    octets[at % len(octets)] ^= change
    try:
        _check(bytes(octets))
    except SecurityError:
        return
    raise AssertionError("its signature still holds")


_GOOD = issue([node_id(1)])


def test_a_certificate_cut_short_anywhere_is_refused() -> None:
    for stop in range(len(_GOOD)):
        with pytest.raises(SecurityError):
            read_certificate(_GOOD[:stop], OVERLAY)


def test_the_public_key_info_is_that_of_the_certificate() -> None:
    for key_type in ("p256", "rsa"):
        der = self_signed(key_type, key_type=key_type)  # type: ignore[arg-type]
        assert read_certificate(der, OVERLAY).public_key_info == public_key_info(key(key_type, key_type))  # type: ignore[arg-type]


def test_a_signer_is_named_by_the_certificate_alone_or_with_the_node_id_before_it() -> None:
    single = read_certificate(issue([node_id(1)]), OVERLAY)
    assert single.signer(HashAlgorithm.SHA256, hashlib.sha256(single.der).digest()) == node_id(1)
    assert single.signer(HashAlgorithm.SHA256, hashlib.sha256(node_id(1) + single.der).digest()) is None
    several = read_certificate(issue([node_id(1), node_id(2)]), OVERLAY)
    assert several.signer(HashAlgorithm.SHA512, hashlib.sha512(node_id(2) + several.der).digest()) == node_id(2)
    assert several.signer(HashAlgorithm.SHA256, hashlib.sha256(several.der).digest()) is None


def test_the_cache_keeps_the_certificates_read_last() -> None:
    cache = CertificateCache(OVERLAY, limit=2)
    first, second, third = (issue([node_id(number)]) for number in (1, 2, 3))
    kept = cache.read(first)
    cache.read(second)
    assert cache.read(first) is kept
    cache.read(third)
    assert len(cache) == 2
    assert cache.read(first) is kept


def test_the_cache_keeps_nothing_that_is_no_certificate() -> None:
    cache = CertificateCache(OVERLAY)
    for _ in range(3):
        with pytest.raises(SecurityError):
            cache.read(b"nothing")
    assert len(cache) == 0


# Self-signed.


@pytest.mark.parametrize("digest", ["sha1", "sha256"])
def test_one_self_signed_node_id_is_the_digest_of_the_key(digest: str) -> None:
    found = read_certificate(self_signed(digest=digest), OVERLAY)
    assert found.node_ids == (hashlib.new(digest, public_key_info(key("node"))).digest()[:16],)
    _check(found.der, Trust(OVERLAY, self_signed_digest=digest))


def test_several_self_signed_node_ids_are_digests_of_their_index_and_the_key() -> None:
    info = public_key_info(key("node"))
    expected = tuple(hashlib.sha256(index.to_bytes(4, "big") + info).digest()[:16] for index in (1, 2, 3))
    assert read_certificate(self_signed(count=3), OVERLAY).node_ids == expected
    _check(self_signed(count=3), _OPEN)


def test_longer_node_ids_take_more_of_the_digest() -> None:
    assert self_signed_node_ids(b"key", "sha1", length=20) == (hashlib.sha1(b"key").digest(),)


def test_a_self_signed_certificate_with_a_stolen_node_id_is_refused() -> None:
    victim = read_certificate(self_signed("victim"), OVERLAY).node_ids[0]
    thief = _raw([x509.UniformResourceIdentifier(node_id_uri(victim, OVERLAY))])
    with pytest.raises(SecurityError, match="not those of its key"):
        _check(thief, _OPEN)


def test_a_self_signed_certificate_with_a_stolen_node_id_beside_its_own_is_refused() -> None:
    own = self_signed_node_ids(public_key_info(key("raw")), "sha256", 2)
    names = [x509.UniformResourceIdentifier(node_id_uri(each, OVERLAY)) for each in (own[0], node_id(5))]
    with pytest.raises(SecurityError, match="not those of its key"):
        _check(_raw(names), _OPEN)


def test_a_self_signed_certificate_made_with_the_other_digest_is_refused() -> None:
    with pytest.raises(SecurityError):
        _check(self_signed(digest="sha1"), _OPEN)


def test_a_self_signed_certificate_is_refused_where_they_are_not_permitted() -> None:
    with pytest.raises(SecurityError, match="not permit"):
        _check(self_signed())


def test_a_self_signed_certificate_whose_signature_fails_is_refused() -> None:
    der = self_signed()
    with pytest.raises(SecurityError):
        _check(der[:-1] + bytes([der[-1] ^ 1]), _OPEN)


def test_a_certificate_that_another_key_has_signed_is_not_self_signed() -> None:
    info = key("victim").public_key()
    stolen = self_signed_node_ids(public_key_info(key("victim")), "sha256")[0]
    forged = _raw([x509.UniformResourceIdentifier(node_id_uri(stolen, OVERLAY))], info)
    with pytest.raises(SecurityError):
        _check(forged, _OPEN)


# Paths to a root.


def test_a_certificate_that_a_root_has_issued_holds() -> None:
    _check(issue([node_id(1)]))


def test_a_certificate_of_another_root_is_refused() -> None:
    with pytest.raises(SecurityError, match="no path"):
        _check(issue([node_id(1)], by=authority("other")))


@pytest.mark.parametrize("wall", [NOT_BEFORE - 1, NOT_AFTER + 1])
def test_a_certificate_holds_only_within_its_validity(wall: float) -> None:
    with pytest.raises(SecurityError, match="expired"):
        _check(issue([node_id(1)]), wall=wall)


def test_a_certificate_that_was_valid_once_is_checked_against_the_time_again() -> None:
    paths, certificate = Paths(_ENROLLED), read_certificate(issue([node_id(1)]), OVERLAY)
    paths.check(certificate, (), NOW)
    with pytest.raises(SecurityError, match="expired"):
        paths.check(certificate, (), NOT_AFTER + 1)


def test_a_certificate_falls_with_a_root_that_has_expired() -> None:
    short = Authority.root(key("short"), not_before=NOT_BEFORE, not_after=NOW + 10, random_bytes=random_bytes)
    trust = Trust(OVERLAY, root_certificates=(short.certificate,))
    paths, certificate = Paths(trust), read_certificate(issue([node_id(1)], by=short), OVERLAY)
    paths.check(certificate, (), NOW)
    with pytest.raises(SecurityError):
        paths.check(certificate, (), NOW + 11)


def test_a_bad_node_is_refused_with_every_certificate_that_has_its_node_id() -> None:
    trust = Trust(OVERLAY, root_certificates=_ENROLLED.root_certificates, bad_nodes=frozenset({node_id(2)}))
    _check(issue([node_id(1)]), trust)
    for node_ids in ([node_id(2)], [node_id(1), node_id(2)]):
        with pytest.raises(SecurityError, match="bad-node"):
            _check(issue(node_ids), trust)


def test_a_path_leads_through_the_certificates_that_came_along() -> None:
    middle = authority().subordinate(
        key("middle"), "middle", not_before=NOT_BEFORE, not_after=NOT_AFTER, random_bytes=random_bytes
    )
    der = issue([node_id(1)], by=middle)
    _check(der, others=(b"no certificate", self_signed(), middle.certificate))
    with pytest.raises(SecurityError, match="no path"):
        _check(der)


def test_a_node_may_not_issue_certificates() -> None:
    """PKIX BasicConstraints: the path would else lead from any node's certificate to the root."""
    fake = Authority(key("node"), issue([node_id(1)]))
    named = Authority.root(key("node"), not_before=NOT_BEFORE, not_after=NOT_AFTER, random_bytes=random_bytes)
    for forger in (fake, named):
        der = issue([node_id(9)], by=forger, name="thief")
        with pytest.raises(SecurityError):
            _check(der, others=(forger.certificate, issue([node_id(1)])))


def test_an_authority_that_may_issue_nodes_only_may_not_issue_another_authority() -> None:
    window = {"not_before": NOT_BEFORE, "not_after": NOT_AFTER}
    middle = authority().subordinate(key("middle"), "middle", **window, random_bytes=random_bytes)
    lower = middle.subordinate(key("lower"), "lower", **window, random_bytes=random_bytes)
    der = issue([node_id(1)], by=lower)
    with pytest.raises(SecurityError, match="no path"):
        _check(der, others=(lower.certificate, middle.certificate))


def test_a_loop_of_authorities_ends_without_a_path() -> None:
    window = {"not_before": NOT_BEFORE, "not_after": NOT_AFTER}
    pair = [Authority.root(key(each), **window, random_bytes=random_bytes, name=_name(each)) for each in ("a", "b")]
    crossed = [
        one.subordinate(other.key, each, **window, random_bytes=random_bytes)
        for one, other, each in ((pair[0], pair[1], "b"), (pair[1], pair[0], "a"))
    ]
    der = issue([node_id(1)], by=pair[0])
    with pytest.raises(SecurityError, match="no path"):
        _check(der, others=tuple(each.certificate for each in crossed))
    assert MAX_PATH < 8


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common)])


def test_many_authorities_of_one_name_cost_a_limited_number_of_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    window = {"not_before": NOT_BEFORE, "not_after": NOT_AFTER}
    others = tuple(Authority.root(key("flood"), **window, random_bytes=random_bytes).certificate for _ in range(60))
    calls = itertools.count()

    def counted(child: x509.Certificate, issuer: x509.Certificate) -> bool:
        next(calls)
        return False

    monkeypatch.setattr("reload._chain._is_issued_by", counted)
    with pytest.raises(SecurityError):
        _check(issue([node_id(1)], by=authority("other")), others=others)
    assert next(calls) <= 17


def test_a_critical_extension_that_is_not_known_makes_a_certificate_invalid() -> None:
    own = self_signed_node_ids(public_key_info(key("raw")), "sha256")[0]
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(node_id_uri(own, OVERLAY))]
    _check(_raw(names), _OPEN)
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\0")
    with pytest.raises(SecurityError, match="critical"):
        _check(_raw(names, unknown=unknown), _OPEN)


def test_a_key_that_is_not_for_signatures_signs_nothing() -> None:
    own = self_signed_node_ids(public_key_info(key("raw")), "sha256")[0]
    usage = x509.KeyUsage(False, False, True, False, False, False, False, False, False)
    with pytest.raises(SecurityError, match="not for signatures"):
        _check(_raw([x509.UniformResourceIdentifier(node_id_uri(own, OVERLAY))], usage=usage), _OPEN)


def test_generated_keys_are_of_the_two_types() -> None:
    assert isinstance(generate_key("p256"), ec.EllipticCurvePrivateKey)
    assert isinstance(key("rsa", "rsa"), rsa.RSAPrivateKey)

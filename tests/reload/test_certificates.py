"""Making keys, certificates and certificate signing requests."""

import itertools

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st
from reload_identities import ALICE, NOT_AFTER, NOT_BEFORE, OVERLAY, authority, issue, key, node_id

from reload.certificates import make_self_signed, make_signing_request, random_node_id, read_signing_request
from reload.errors import SecurityError
from reload.identity import load_certificate, read_certificate


@pytest.mark.parametrize("length", [16, 20])
def test_a_random_node_id_is_neither_all_0s_nor_all_1s(length: int) -> None:
    source = itertools.chain([b"\0" * length, b"\xff" * length], itertools.repeat(b"\1" * length))
    assert random_node_id(lambda size: next(source), length=length) == b"\1" * length


def test_a_random_node_id_takes_all_its_octets_from_the_source() -> None:
    asked: list[int] = []
    random_node_id(lambda size: asked.append(size) or bytes(range(1, size + 1)))  # type: ignore[func-returns-value]
    assert asked == [16]


def test_an_issued_certificate_has_no_subject_and_no_other_names() -> None:
    certificate = load_certificate(issue([node_id(1), node_id(2)]))
    assert certificate.subject == x509.Name([])
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [type(name) for name in names] == [x509.RFC822Name] + [x509.UniformResourceIdentifier] * 2


def test_a_serial_number_is_positive_whatever_the_source_gives() -> None:
    for octet in (b"\0", b"\xff"):
        der = make_self_signed(
            key("node"),
            OVERLAY,
            not_before=NOT_BEFORE,
            not_after=NOT_AFTER,
            random_bytes=lambda size: octet * size,  # noqa: B023
        )
        assert load_certificate(der).serial_number > 0


def test_the_same_source_gives_the_same_certificate() -> None:
    for name in ("p256", "rsa"):
        made = {
            make_self_signed(
                key(name, name),  # type: ignore[arg-type]
                OVERLAY,
                ALICE,
                not_before=NOT_BEFORE,
                not_after=NOT_AFTER,
                random_bytes=lambda size: b"\7" * size,
            )
            for _ in range(2)
        }
        assert len(made) == 1


@pytest.mark.parametrize("user_name", [ALICE, None])
def test_a_signing_request_asks_for_a_user_name_and_has_the_key(user_name: str | None) -> None:
    request = read_signing_request(make_signing_request(key("node"), user_name))
    assert request.user_name == user_name
    assert request.public_key == key("node").public_key()


def test_a_certificate_for_a_signing_request_is_the_requesters() -> None:
    request = read_signing_request(make_signing_request(key("node"), ALICE))
    der = authority().issue(
        request.public_key,
        OVERLAY,
        [node_id(4)],
        request.user_name,
        not_before=NOT_BEFORE,
        not_after=NOT_AFTER,
        random_bytes=lambda size: b"\1" * size,
    )
    found = read_certificate(der, OVERLAY)
    assert (found.node_ids, found.user_name, found.public_key) == ((node_id(4),), ALICE, key("node").public_key())


def test_node_ids_that_a_request_wishes_for_are_left_out() -> None:
    names = [x509.UniformResourceIdentifier("reload://0110" + "ab" * 16 + f"@{OVERLAY}/")]
    builder = x509.CertificateSigningRequestBuilder(x509.Name([]))
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
    own = key("node")
    der = builder.sign(own, hashes.SHA256()).public_bytes(Encoding.DER)
    assert read_signing_request(der).user_name is None


def test_a_request_with_two_names_or_another_key_is_refused() -> None:
    builder = x509.CertificateSigningRequestBuilder(x509.Name([]))
    names = x509.SubjectAlternativeName([x509.RFC822Name(ALICE), x509.RFC822Name("bob@example.org")])
    two = builder.add_extension(names, critical=True).sign(key("node"), hashes.SHA256())
    other = builder.sign(ed25519.Ed25519PrivateKey.generate(), None)
    for request in (two, other):
        with pytest.raises(SecurityError):
            read_signing_request(request.public_bytes(Encoding.DER))


_REQUEST = make_signing_request(key("node"), ALICE)


@given(st.integers(0, len(_REQUEST) - 1), st.integers(1, 255))
def test_a_request_with_one_octet_changed_is_refused(at: int, change: int) -> None:
    octets = bytearray(_REQUEST)
    octets[at] ^= change
    with pytest.raises(SecurityError):
        read_signing_request(bytes(octets))


@given(st.binary(max_size=60))
def test_any_octets_are_no_request(octets: bytes) -> None:
    with pytest.raises(SecurityError):
        read_signing_request(octets)

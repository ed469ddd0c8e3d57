"""Is a certificate to be trusted? Paths to a root-cert, and self-signed ones (RFC 6940 sections 11.3 and 11.3.1)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence

import attrs
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from reload.errors import SecurityError
from reload.identity import NodeCertificate, load_certificate, self_signed_node_ids
from reload.security_block import X509, GenericCertificate

MAX_PATH = 4
"""Certificates between a node's and a root-cert's."""
MAX_CHECKS = 16
"""Signatures on certificates that one search for a path verifies: many issuers of one name cost nobody more."""
MAX_PATHS = 1024
"""Certificates whose path is remembered, as many as `CertificateCache` holds."""
CERTIFICATE_HASHES = frozenset({"sha256", "sha384", "sha512"})
"""Hashes of signatures on certificates: those of MD5 and SHA-1 can be forged."""

_KNOWN_CRITICAL = frozenset(
    {
        x509.SubjectAlternativeName.oid,
        x509.BasicConstraints.oid,
        x509.KeyUsage.oid,
        x509.ExtendedKeyUsage.oid,
    }
)


@attrs.frozen
class Trust:
    """Whom an overlay trusts, as its configuration says (section 11.1).

    `root_certificates` are DER. `self_signed_digest` is the digest for Node-IDs where self-signed certificates are
    permitted, and None where they are not. Certificates with one of `bad_nodes` are revoked.
    """

    overlay: str
    node_id_length: int = 16
    root_certificates: tuple[bytes, ...] = ()
    self_signed_digest: str | None = None
    bad_nodes: frozenset[bytes] = frozenset()


@attrs.frozen
class _Path:
    """From when to when it holds, and the certificates on it but its ends, DER, from below."""

    start: float
    end: float
    issuers: tuple[bytes, ...] = ()


class Paths:
    """Checks certificates against `trust`; of those that held, it remembers for how long their path does."""

    def __init__(self, trust: Trust) -> None:
        self._trust = trust
        self._roots = tuple(load_certificate(der) for der in trust.root_certificates)
        self._held: OrderedDict[bytes, _Path] = OrderedDict()

    def check(
        self, certificate: NodeCertificate, others: Sequence[GenericCertificate], wall: float
    ) -> tuple[bytes, ...]:
        """The certificates between this one and a root-cert, DER, from below; `others` may hold them.

        Raises SecurityError unless it is valid at `wall`.
        """
        if not self._trust.bad_nodes.isdisjoint(certificate.node_ids):
            raise SecurityError("certificate: one of its Node-IDs is a bad-node")
        if not certificate.not_before <= wall <= certificate.not_after:
            raise SecurityError("certificate: expired, or not yet valid")
        path = self._held.get(certificate.der)
        if path is None or not path.start <= wall <= path.end:
            path = self._held[certificate.der] = self._find(certificate, others, wall)
        self._held.move_to_end(certificate.der)
        if len(self._held) > MAX_PATHS:
            self._held.popitem(last=False)
        return path.issuers

    def _find(self, certificate: NodeCertificate, others: Sequence[GenericCertificate], wall: float) -> _Path:
        """The path to a root-cert, or that of a certificate that needs none."""
        _check_usage(certificate.x509, issuing=None)
        own = _Path(certificate.not_before, certificate.not_after)
        if certificate.x509 in self._roots:
            return own
        if certificate.x509.issuer == certificate.x509.subject and _is_issued_by(certificate.x509, certificate.x509):
            self._check_self_signed(certificate)
            return own
        budget = [MAX_CHECKS]
        intermediates = [other.certificate for other in others if other.type == X509]
        path = self._path(certificate.x509, intermediates, wall, 0, budget)
        if path is None:
            raise SecurityError("certificate: no path to a root-cert of the overlay")
        starts = [own.start, *(_start(issuer) for issuer in path)]
        ends = [own.end, *(_end(issuer) for issuer in path)]
        return _Path(max(starts), min(ends), tuple(issuer.public_bytes(Encoding.DER) for issuer in path[:-1]))

    def _check_self_signed(self, certificate: NodeCertificate) -> None:
        digest = self._trust.self_signed_digest
        if digest is None:
            raise SecurityError("certificate: self-signed, which the overlay does not permit")
        due = self_signed_node_ids(
            certificate.public_key_info, digest, len(certificate.node_ids), length=self._trust.node_id_length
        )
        if sorted(due) != sorted(certificate.node_ids):
            raise SecurityError("certificate: self-signed, and its Node-IDs are not those of its key")

    def _path(
        self, child: x509.Certificate, others: list[bytes], wall: float, depth: int, budget: list[int]
    ) -> list[x509.Certificate] | None:
        """The issuers of `child` up to a root-cert, searched depth first; `depth` of them are below."""
        for root in self._roots:
            if _may_issue(root, child, wall, depth, budget):
                return [root]
        if depth == MAX_PATH:
            return None
        for issuer in _with_name(others, child.issuer):
            if _may_issue(issuer, child, wall, depth, budget):
                above = self._path(issuer, others, wall, depth + 1, budget)
                if above is not None:
                    return [issuer, *above]
        return None


def _with_name(others: Iterable[bytes], name: x509.Name) -> Iterable[x509.Certificate]:
    for der in others:
        try:
            found = load_certificate(der)
        except SecurityError:
            continue
        if found.subject == name:
            yield found


def _may_issue(issuer: x509.Certificate, child: x509.Certificate, wall: float, depth: int, budget: list[int]) -> bool:
    """Has `issuer`, a valid authority with at most `depth` certificates of authorities below it, signed `child`?"""
    if issuer.subject != child.issuer or not _start(issuer) <= wall <= _end(issuer):
        return False
    try:
        _check_usage(issuer, issuing=depth)
    except SecurityError:
        return False
    budget[0] -= 1
    return budget[0] >= 0 and _is_issued_by(child, issuer)


def _is_issued_by(child: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        algorithm = child.signature_hash_algorithm
        if algorithm is None or algorithm.name not in CERTIFICATE_HASHES:
            return False
        child.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _check_usage(certificate: x509.Certificate, *, issuing: int | None) -> None:
    """May it sign messages, or, with so many authorities below it, certificates (RFC 5280 section 4.2.1)?"""
    basic: x509.BasicConstraints | None = None
    usage: x509.KeyUsage | None = None
    for extension in certificate.extensions:
        if extension.critical and extension.oid not in _KNOWN_CRITICAL:
            raise SecurityError(f"certificate: critical extension {extension.oid.dotted_string} is not known")
        match extension.value:
            case x509.BasicConstraints():
                basic = extension.value
            case x509.KeyUsage():
                usage = extension.value
    if issuing is None:
        if usage is not None and not usage.digital_signature:
            raise SecurityError("certificate: its key is not for signatures")
        return
    if basic is None or not basic.ca or (basic.path_length is not None and basic.path_length < issuing):
        raise SecurityError("certificate: of no authority that may issue this one")
    if usage is not None and not usage.key_cert_sign:
        raise SecurityError("certificate: its key is not for certificates")


def _start(certificate: x509.Certificate) -> float:
    return certificate.not_valid_before_utc.timestamp()


def _end(certificate: x509.Certificate) -> float:
    return certificate.not_valid_after_utc.timestamp()

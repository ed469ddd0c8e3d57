"""Keys and certificates of a swarm's members in files, in PEM as OpenSSL has them (RFC 7574 section 12.2.2)."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import attrs
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from cryptography.x509 import InvalidVersion, load_pem_x509_certificate

from interop._whole_files import write_private
from ppsp.errors import MembershipError
from ppsp.membership import MembershipIssuer, MembershipVerifier

__all__ = ["Authority", "MembershipFileError", "make_issuer", "read_authority", "read_certificate", "read_issuer"]

_MAX_FILE = 65_536


class MembershipFileError(Exception):
    """What is wrong with a file, in one line that names it."""


@attrs.frozen
class Authority:
    """Who issues a swarm's certificates: the public key, as `SwarmMetadata` has it; with the private one, `issuer`."""

    public_key: bytes
    issuer: MembershipIssuer | None = None


def make_issuer(path: Path) -> MembershipIssuer:
    """Keep a new private key in a file for its owner only, which appears complete or not at all.

    Raises MembershipFileError, also when the file is there.
    """
    issuer = MembershipIssuer.generate(secrets.token_bytes)
    try:
        write_private(path, issuer.pem)
    except OSError as exc:
        raise MembershipFileError(f"{path}: {exc.strerror or exc}") from exc
    return issuer


def read_issuer(path: Path) -> MembershipIssuer:
    """The private key in a file. Raises MembershipFileError, also when others may read it."""
    authority = read_authority(path)
    if authority.issuer is None:
        raise MembershipFileError(f"{path}: a public key issues nothing, the private one is due")
    return authority.issuer


def read_authority(path: Path) -> Authority:
    """The public key in a file, or the private one. Raises MembershipFileError, also when others may read that."""
    octets, mode = _read(path)
    try:
        if b"PRIVATE KEY-----" in octets:
            if mode & 0o077:
                raise MembershipFileError(f"{path}: others may read this private key (chmod 600 it)")
            issuer = MembershipIssuer.from_pem(octets, secrets.token_bytes)
            return Authority(issuer.public_key, issuer)
        public = load_pem_public_key(octets).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        MembershipVerifier(public)
        return Authority(public)
    except (MembershipError, ValueError, UnsupportedAlgorithm) as exc:
        raise MembershipFileError(f"{path}: {exc}") from exc


def read_certificate(path: Path) -> bytes:
    """The certificate in a file, in DER as peers send it. Raises MembershipFileError when there is none."""
    octets, _ = _read(path)
    try:
        return load_pem_x509_certificate(octets).public_bytes(Encoding.DER)
    except (ValueError, InvalidVersion) as exc:
        raise MembershipFileError(f"{path}: no certificate in PEM: {exc}") from exc


def _read(path: Path) -> tuple[bytes, int]:
    """The octets of a small file, and its mode."""
    try:
        with path.open("rb") as file:
            return file.read(_MAX_FILE), os.fstat(file.fileno()).st_mode
    except OSError as exc:
        raise MembershipFileError(f"{path}: {exc.strerror or exc}") from exc

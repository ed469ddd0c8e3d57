"""The two servers of the scenario: `ietf-p2p decade serve` with TLS, for the accounts of two applications."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import os
import secrets
from pathlib import Path

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from decade.cose import Ed25519SigningKey
from decade.settings import Extension
from interop.decade_figure7._processes import OURS, Program, Programs

ACCOUNT, APP, OTHER = "alice", "films", "bob"
"""The source's account and its application; and somebody else's account."""
SHARES = {ACCOUNT: 4, OTHER: 1}
"""Their weights."""
EXTENSIONS = (Extension.PULL, Extension.PUSH, Extension.JOINED, Extension.DT)
_LIVES = datetime.timedelta(days=1)


def make_key() -> Ed25519SigningKey:
    """A new key."""
    return Ed25519SigningKey(secrets.token_bytes(32))


@attrs.frozen
class Keys:
    """Who mints tokens: the account of the source, its application, and the other account."""

    account: Ed25519SigningKey = attrs.field(factory=make_key)
    app: Ed25519SigningKey = attrs.field(factory=make_key)
    other: Ed25519SigningKey = attrs.field(factory=make_key)


@attrs.frozen
class Site:
    """A server that runs, and its identifier."""

    program: Program
    origin: str


class Servers:
    """Starts servers with a certificate that is made for them. `authority`: what clients verify it with."""

    def __init__(self, programs: Programs, folder: Path, keys: Keys) -> None:
        self._programs = programs
        self._folder = folder
        self._keys = keys
        self.authority = folder / "server.pem"
        self._key = folder / "server.key"
        _certify(self.authority, self._key)

    async def start(self, name: str, *, egress: int) -> Site:
        """`egress`: bit/s that it sends at most."""
        config = self._folder / f"{name}.toml"
        config.write_text(self._config(name, egress))
        command = (*OURS, "decade", "serve", config, "--json")
        program = await self._programs.start(name, command)
        return Site(program, (await program.event("serving"))["server"])

    def _config(self, name: str, egress: int) -> str:
        return (
            f'listen = "127.0.0.1:0"\nroot = "{name}"\negress-bps = {egress}\n'
            f"extensions = {list(map(str, EXTENSIONS))}\n"
            f'[tls]\ncertificate = "{self.authority.name}"\nkey = "{self._key.name}"\n'
            f'[transfers]\nnetworks = ["127.0.0.0/8"]\nca = "{self.authority.name}"\n'
            f"[accounts.{ACCOUNT}]\nweight = {SHARES[ACCOUNT]}\n"
            f'[accounts.{ACCOUNT}.keys.account]\npublic = "{_public(self._keys.account)}"\n'
            f"[accounts.{ACCOUNT}.apps.{APP}]\n"
            f'[accounts.{ACCOUNT}.apps.{APP}.keys.app]\npublic = "{_public(self._keys.app)}"\n'
            f"[accounts.{OTHER}]\nweight = {SHARES[OTHER]}\n"
            f'[accounts.{OTHER}.keys.other]\npublic = "{_public(self._keys.other)}"\n'
        )


def _public(key: Ed25519SigningKey) -> str:
    return base64.urlsafe_b64encode(key.public.octets).rstrip(b"=").decode()


def _certify(certificate: Path, file: Path) -> None:
    """A certificate for 127.0.0.1, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "DECADE demo")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - _LIVES, now + _LIVES)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate.write_bytes(made.public_bytes(Encoding.PEM))
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

"""Keys and certificates that cannot be used: a mistake is one line."""

import errno
import ssl
import time
from pathlib import Path

import pytest
from pex_swarms import openssl

from interop import _whole_files
from interop.__main__ import main as command_line
from interop.cli._errors import MistakeError
from interop.cli._pex import Pex
from interop.membership_keys import MembershipFileError, make_issuer, read_authority, read_certificate, read_issuer
from ppsp import SwarmMetadata, SwarmUri
from ppsp.membership import MembershipVerifier


def test_keys_and_certificates_that_cannot_be_used_are_refused_in_one_line(tmp_path):
    issuer = make_issuer(tmp_path / "ca.pem")
    assert (tmp_path / "ca.pem").stat().st_mode & 0o777 == 0o600
    assert read_issuer(tmp_path / "ca.pem").public_key == issuer.public_key
    with pytest.raises(MembershipFileError, match="File exists"):
        make_issuer(tmp_path / "ca.pem")
    openssl(tmp_path, "pkey", "-in", "ca.pem", "-pubout", "-out", "ca.pub")
    with pytest.raises(MembershipFileError, match="the private one is due"):
        read_issuer(tmp_path / "ca.pub")
    for mode in (0o640, 0o604):
        (tmp_path / "ca.pem").chmod(mode)
        with pytest.raises(MembershipFileError, match="others may read"):
            read_authority(tmp_path / "ca.pem")
    openssl(tmp_path, "genpkey", "-algorithm", "ED25519", "-out", "ed.pem")
    openssl(tmp_path, "pkey", "-in", "ed.pem", "-pubout", "-out", "ed.pub")
    (tmp_path / "none").write_bytes(b"nothing")
    for name in ("ed.pem", "ed.pub", "none", "missing"):
        with pytest.raises(MembershipFileError, match=name):
            read_authority(tmp_path / name)
    for name in ("none", "ca.pub", "missing"):
        with pytest.raises(MembershipFileError, match=name):
            read_certificate(tmp_path / name)


@pytest.fixture(scope="module")
def mistakes(tmp_path_factory):
    """A folder with keys, certificates and URIs that do not fit each other."""
    folder: Path = tmp_path_factory.mktemp("mistakes")
    issuer, other = make_issuer(folder / "ca.pem"), make_issuer(folder / "other.pem")
    certificates = {
        "good": issuer.issue(bytes(32), "203.0.113.5", 6778, time.time()),
        "expired": issuer.issue(bytes(32), "203.0.113.5", 6778, time.time() - 200_000),
        "elsewhere": issuer.issue(bytes([1] * 32), "203.0.113.5", 6778, time.time()),
        "stranger": other.issue(bytes(32), "203.0.113.5", 6778, time.time()),
    }
    for name, certificate in certificates.items():
        (folder / f"{name}.der").write_bytes(certificate)
        openssl(folder, "x509", "-inform", "DER", "-in", f"{name}.der", "-out", f"{name}.pem")
    (folder / "film").write_bytes(b"film")
    return folder, str(SwarmUri(SwarmMetadata(bytes(32), membership_key=issuer.public_key), name="film"))


PLAIN = str(SwarmUri(SwarmMetadata(bytes(32))))
FETCH = ("--peer", "127.0.0.1:9", "-o", "copy")


def test_of_several_swarms_one_may_have_its_certificate_while_that_of_another_is_to_come(mistakes):
    folder, uri = mistakes
    metadata = SwarmUri.parse(uri).metadata
    files = (folder / "elsewhere.pem", folder / "to-come.pem", folder / ("x" * 5000))
    assert Pex(False, files, None).exchange(metadata).verifier is not None
    with pytest.raises(MistakeError, match="of another swarm"):
        Pex(False, files[:1], None).exchange(metadata)


@pytest.mark.parametrize("kind", ["weak key", "version 8"])
def test_what_the_library_does_not_support_is_one_line_too(mistakes, kind):
    folder, _ = mistakes
    if kind == "weak key":
        openssl(folder, "ecparam", "-name", "secp112r1", "-genkey", "-noout", "-out", "weak.key")
        openssl(folder, "pkey", "-in", "weak.key", "-pubout", "-out", "weak.pub")
        with pytest.raises(MembershipFileError, match=r"weak\.pub: .*not supported"):
            read_authority(folder / "weak.pub")
    else:
        octets = (folder / "good.der").read_bytes().replace(bytes.fromhex("a003020102"), bytes.fromhex("a003020107"), 1)
        (folder / "odd.pem").write_text(ssl.DER_cert_to_PEM_cert(octets))
        with pytest.raises(MembershipFileError, match=r"odd\.pem: .*version"):
            read_certificate(folder / "odd.pem")


def test_a_key_that_cannot_be_written_whole_is_not_there(tmp_path, monkeypatch):
    """A file with a part of a key would be in the way of the next try."""

    def full(fd):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(_whole_files.os, "fsync", full)
    with pytest.raises(MembershipFileError, match="No space left"):
        make_issuer(tmp_path / "ca.pem")
    assert list(tmp_path.iterdir()) == []


def test_a_certificate_is_not_written_over_the_key_and_replaces_an_older_one(mistakes, monkeypatch, capsys):
    folder, uri = mistakes
    monkeypatch.chdir(folder)
    words = ["pex", "issue", "ca.pem", uri, "[::ffff:203.0.113.5]:77", "--unchecked", "-o"]
    before = (folder / "ca.pem").read_bytes()
    assert command_line([*words, "../" + folder.name + "/ca.pem"]) == 2
    assert (folder / "ca.pem").read_bytes() == before
    (folder / "older.pem").write_text("older")
    assert command_line([*words, "older.pem"]) == 0
    assert "203.0.113.5:77 is a member for 30 days" in capsys.readouterr().err
    metadata = SwarmUri.parse(uri).metadata
    octets = read_certificate(folder / "older.pem")
    where = MembershipVerifier(metadata.membership_key).check(octets, metadata.swarm_id, time.time())
    assert where == ("203.0.113.5", 77)
    assert (folder / "older.pem").stat().st_mode & 0o777 == 0o644
    assert [path.name for path in folder.iterdir() if path.name.endswith(".new")] == []


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["fetch", PLAIN, *FETCH, "--pex-certificate", "good.pem"], "names no issuer"),
        (["fetch", "URI", *FETCH, "--pex-certificate", "expired.pem"], "the membership is over"),
        (["fetch", "URI", *FETCH, "--pex-certificate", "elsewhere.pem"], "of another swarm"),
        (["play", "URI", *FETCH, "--pex-certificate", "stranger.pem"], "not of the swarm's issuer"),
        (["fetch", "URI", *FETCH, "--pex-certificate", "film"], "no certificate in PEM"),
        (["fetch", f"{PLAIN}&x.ca=AAAA", *FETCH, "--pex"], "no public key"),
        (["seed", "film", "--pex-ca", "film"], "film"),
        (["seed", "film", "--pex-ca", "ca.pem", "--pex-certificate", "good.pem"], "of another swarm"),
        (["live", "film", "--key", "key", "--rate", "1M", "--pex-certificate", "good.pem"], "names no issuer"),
        (["pex", "key", "film"], "film"),
        (["pex", "issue", "other.pem", "URI", "203.0.113.5:1"], "names another issuer than other.pem"),
        (["pex", "issue", "ca.pem", PLAIN, "203.0.113.5:1"], "names no issuer"),
        (["pex", "issue", "ca.pem", "URI", "a.name:1"], "a.name is a name"),
        (["pex", "issue", "ca.pem", "URI", "203.0.113.5:0", "--unchecked"], "no peer has the port 0"),
        (["pex", "issue", "good.pem", "URI", "203.0.113.5:1"], "good.pem"),
        # Told before a peer is waited for, which could not answer.
        (["pex", "issue", "ca.pem", "URI", "203.0.113.5:0"], "no peer has the port 0"),
        (["pex", "issue", "ca.pem", "URI", "[fe80::1%eth0]:1"], "one machine's interface"),
        (["pex", "key", "x" * 5000], "File name too long"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else value[0],
)
def test_a_mistake_is_one_line(mistakes, monkeypatch, capsys, words, reason):
    folder, uri = mistakes
    monkeypatch.chdir(folder)
    status = command_line([uri if word == "URI" else word for word in words])
    out, err = capsys.readouterr()
    assert (status, out) == (2, "")
    assert reason in err
    assert err.splitlines()[-1].startswith("ietf-p2p: ")

"""`ietf-p2p alto serve` by TLS: certificates of the server, which are renewed while it runs, and those of clients."""

import shutil
import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from alto_serve import Served, serving
from alto_serving import Certificates, curl

from alto import media
from interop.alto_sources import SAMPLE

ASKED = '{"cost-type": {"cost-mode": "array", "cost-metric": "ane-path"}}'
POST = ("-H", f"Content-Type: {media.COST_MAP_FILTER}", "--data", ASKED)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def folder(tmp_path: Path, authority: Certificates) -> Path:
    """A configuration with TLS."""
    folder = tmp_path / "sample"
    shutil.copytree(SAMPLE, folder)
    certificate, key = authority.sign("server", "/CN=server", address="127.0.0.1")
    shutil.copy(certificate, folder / "server.pem")
    shutil.copy(key, folder / "server.key")
    shutil.copy(authority.authority, folder / "clients.pem")
    config = folder / "alto.toml"
    text = config.read_text()
    for line in ("[tls]", 'certificate = "server.pem"', 'key = "server.key"', 'client-ca = "clients.pem"'):
        assert f"# {line}" in text
        text = text.replace(f"# {line}", line)
    config.write_text(text)
    return folder


@pytest.fixture
def served(folder: Path) -> Iterator[Served]:
    with serving("--config", folder / "alto.toml") as served:
        yield served


def statuses(*words: str | Path) -> list[bytes]:
    """The statuses of all answers that curl gets on its way to the last."""
    output = curl("-i", *words).stdout
    return [line.split()[1] for line in output.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]


def test_curl_is_known_by_its_certificate_or_by_digest_or_not_at_all(served, authority):
    """RFC 7285 section 8.3.5"""
    assert served.url.startswith("https://")
    trust = ("--cacert", authority.authority)
    url = f"{served.url}network-pv"
    assert curl(f"{served.url}network").returncode == 60, "nobody known to the system has signed it"
    assert statuses(*trust, f"{served.url}network") == [b"200"]
    assert statuses(*trust, *POST, url) == [b"401"]
    certificate, key = authority.sign("ann", "/O=Example/CN=ann")
    assert statuses(*trust, "--cert", certificate, "--key", key, *POST, url) == [b"200"]
    assert statuses(*trust, "--digest", "-u", "guest:guest", *POST, url) == [b"401", b"200"]
    assert statuses(*trust, "--digest", "-u", "guest:wrong", *POST, url) == [b"401", b"401"]


def test_a_certificate_of_somebody_else_is_none(served, authority, tmp_path):
    other = Certificates(tmp_path / "other", "Other CA")
    certificate, key = other.sign("eve", "/CN=eve")
    assert statuses("--cacert", authority.authority, "--cert", certificate, "--key", key, *POST, served.url) == []


def test_a_new_certificate_is_used_while_it_runs(served, folder, authority):
    def serial() -> str:
        context = ssl.create_default_context(cafile=authority.authority)
        with httpx.Client(verify=context) as client, client.stream("GET", f"{served.url}network") as response:
            tls = response.extensions["network_stream"].get_extra_info("ssl_object")
            return str(tls.getpeercert()["serialNumber"])

    before = serial()
    (folder / "server.pem").write_text("broken")
    assert str(folder / "server.pem") in served.said("not reloaded")
    assert serial() == before
    certificate, key = authority.sign("server", "/CN=server", address="127.0.0.1")
    shutil.copy(key, folder / "server.key")
    shutil.copy(certificate, folder / "server.pem")
    assert served.said("reloaded: ") == "reloaded: certificate"
    assert serial() != before


def test_a_client_certificate_alone_can_be_what_is_asked_for(folder, authority):
    words = ("--tls-certificate", folder / "server.pem", "--tls-key", folder / "server.key")
    config = folder / "alto.toml"
    config.write_text(config.read_text().replace("[users]\nfile", "[other]\nfile").partition("[other]")[0])
    with serving("--config", config, *words, "--client-ca", folder / "clients.pem") as served:
        trust = ("--cacert", authority.authority)
        assert statuses(*trust, *POST, f"{served.url}network-pv") == [b"403"]
        certificate, key = authority.sign("bob", "/CN=bob")
        assert statuses(*trust, "--cert", certificate, "--key", key, *POST, f"{served.url}network-pv") == [b"200"]


def test_a_whole_server_can_be_private(folder):
    config = folder / "alto.toml"
    config.write_text(config.read_text().partition("[tls]")[0].replace("# private = true  ", "private = true  "))
    with serving("--config", config) as served:
        assert statuses(served.url) == [b"401"]
        assert statuses("--digest", "-u", "guest:guest", served.url) == [b"401", b"200"]

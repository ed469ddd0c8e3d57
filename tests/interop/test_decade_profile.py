"""Rules of PROFILE.md that no vector can show: on the disk and on the line, how MACs are compared, what clients ask."""

import hmac
import shutil
import ssl
from pathlib import Path

import httpx
import pytest
from alto_serving import Certificates
from decade_serve import make_key, processing
from decade_server import ACCOUNT, HELLO, KEYS, NOW, OCTETS, PEER, SERVER, bearer, token
from decade_tokens import MAC

from decade.client import Buffer, fetch
from decade.http import Request, Response
from decade.messages import MEDIA_TYPE, ResourcePolicy, Revocation, encode_message
from decade.names import NiUri
from decade.settings import Settings
from decade.waiting import settle
from interop.decade_store import DurableServer, open_server


def opened(root: Path) -> DurableServer:
    """A server with all its state in a directory."""
    return open_server(root, Settings(server=SERVER), KEYS.get, {(ACCOUNT,): ResourcePolicy(weight=1)}, epoch=NOW)


def status(durable: DurableServer, method: str, target: str, key: bytes, body: bytes = b"") -> int:
    """That of the answer to a request."""
    headers = (*bearer(key), ("Content-Length", str(len(body))), ("Content-Type", MEDIA_TYPE))
    answer = settle(durable.server.handle(Request(method, target, headers), PEER, 1.0), 1.0)
    if not isinstance(answer, Response):
        answer = answer.feed(body, 1.0) or settle(answer.finish(1.0), 1.0)
    elif not isinstance(answer.body, bytes):
        answer.body.close(1.0)
    return answer.status


def test_a_revocation_is_in_the_files_when_it_is_answered(tmp_path: Path) -> None:
    durable = opened(tmp_path / "store")
    reader, revoker = token(cti=b"r" * 16), token()
    assert status(durable, "PUT", HELLO.path, token(), OCTETS) == 201
    assert status(durable, "GET", HELLO.path, reader) == 200
    body = encode_message(Revocation(cti=(b"r" * 16,)))
    assert status(durable, "POST", "/decade/v1/revocations", revoker, body) == 204
    # What is there now is what there is after a crash: nothing is closed.
    shutil.copytree(tmp_path / "store", tmp_path / "copy")
    durable.close()
    crashed = opened(tmp_path / "copy")
    assert status(crashed, "GET", HELLO.path, reader) == 401
    assert status(crashed, "GET", HELLO.path, token()) == 200
    crashed.close()


def test_a_mac_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    right = MAC.sign(b"octets")

    def compare(one: bytes, other: bytes) -> bool:
        compared.append({one, other})
        return one == other

    monkeypatch.setattr(hmac, "compare_digest", compare)
    verified = [MAC.verify(b"octets", shown) for shown in (right, bytes(32))]
    assert verified == [True, False]
    assert compared == [{right}, {right, bytes(32)}]


def test_a_client_asks_for_no_content_coding() -> None:
    step = next(fetch(NiUri(HELLO), [SERVER], Buffer()))
    assert step.request.header("Accept-Encoding") == "identity"


def test_tokens_travel_over_tls_1_3_alone(tmp_path: Path) -> None:
    authority = Certificates(tmp_path / "ca")
    certificate, key = authority.sign("server", "/CN=server", address="127.0.0.1")
    make_key(tmp_path / "alice.pem")
    words = ("--listen", "127.0.0.1:0", "--account", "alice", "--key", tmp_path / "alice.pem")
    with processing(*words, "--tls-certificate", certificate, "--tls-key", key) as served:
        context = ssl.create_default_context(cafile=authority.authority)
        info = httpx.get(f"{served.url}/.well-known/decade", verify=context)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{served.url}/.well-known/decade", verify=context)
    assert info.status_code == 200

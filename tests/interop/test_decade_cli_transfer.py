"""`ietf-p2p decade transfer` at a server that says how far it is, and commands that are interrupted."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys

import pytest
from alto_serving import Certificates
from decade_client_served import said, saying
from decade_server import HELLO, OCTETS

from decade.client_exchange import Credential, unverified_claims
from decade.messages import (
    Direction,
    Item,
    ObjectInfo,
    ObjectState,
    TransferState,
    TransferStatus,
    decode_message,
    encode_message,
)
from decade.names import name_of
from decade.settings import Settings
from interop.__main__ import main

ID = bytes(range(16))
LARGE = bytes(range(256)) * 1200
REMOTE = "https://sa.example"
TYPE = "Content-Type: application/vnd.decade+cbor"


@pytest.fixture
def key(tmp_path):
    file = tmp_path / "alice.pem"
    main(["decade", "key", str(file)])
    return file


class Scripted:
    """A server: its info, then these messages, whatever it is asked. `bodies`: what it was sent."""

    def __init__(self, *messages):
        self.messages = list(messages)
        self.heads, self.bodies = [], []

    async def answer(self, reader, writer):
        head = self.heads[-1].decode()
        length = next((int(line[15:]) for line in head.lower().split("\r\n") if line.startswith("content-length")), 0)
        self.bodies.append(await reader.readexactly(length))
        if "/.well-known/decade" in head:
            octets = encode_message(Settings(server=self.origin).info)
        else:
            octets = encode_message(self.messages.pop(0)) if self.messages else b""
        writer.write(said(octets, "200 OK", TYPE) if octets else NO_CONTENT)
        await writer.drain()


NO_CONTENT = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"


def run(scripted, key, *words):
    """The exit status, stdout and stderr of a command."""

    async def work():
        async with saying(scripted.answer, heads=scripted.heads) as scripted.origin:
            command = [sys.executable, "-m", "interop", "decade", *words, "--server", scripted.origin]
            environment = {**os.environ, "DECADE_KEY": str(key)}
            process = await asyncio.create_subprocess_exec(*command, stdout=-1, stderr=-1, env=environment)
            out, err = await process.communicate()
            return process.returncode, out.decode(), err.decode()

    return asyncio.run(work())


def status(state, done=0, error=None):
    return TransferStatus(
        id=ID, state=state, items=(Item(name=HELLO, state=state, octets=done, error=error),), done=done
    )


def test_a_pull_is_ordered_and_followed_to_its_end(key):
    scripted = Scripted(status(TransferState.QUEUED), status(TransferState.RUNNING, 5), status(TransferState.DONE, 12))
    result = run(scripted, key, "transfer", "pull", HELLO.ni(), "--from", REMOTE, "--expires", "1h")
    assert result == (0, f"{ID.hex()}  done\n", "")
    request = decode_message(scripted.bodies[1])
    assert (request.direction, request.objects) == (Direction.PULL, (HELLO,))
    assert request.remote.object_template == f"{REMOTE}/.well-known/ni/{{alg}}/{{val}}"
    assert request.attrs.expires > 0
    assert len(request.idempotency_key) == 16
    claims = unverified_claims(request.token)
    assert Credential.of(request.token).audience == (REMOTE,)
    assert claims[4] - claims[6] == 600


def test_a_push_takes_a_token_for_what_the_objects_have(key):
    info = ObjectInfo(name=HELLO, size=12, created=1, expires=None, state=ObjectState.STORED)
    scripted = Scripted(info, status(TransferState.QUEUED))
    code, out, err = run(scripted, key, "transfer", "push", HELLO.ni(), "--to", REMOTE, "--detach", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["id"] == ID.hex()
    request = decode_message(scripted.bodies[2])
    assert request.direction == Direction.PUSH
    assert unverified_claims(request.token)[-70690] == {3: 24, 6: 12}


def test_a_transfer_that_fails_says_why_in_one_line(key):
    scripted = Scripted(status(TransferState.FAILED, error=27))
    code, out, err = run(scripted, key, "transfer", "status", ID.hex())
    assert (code, out) == (1, f"{ID.hex()}  failed\n")
    assert err == f"ietf-p2p: {scripted.origin}: remote-mismatch\n"


def test_a_transfer_is_cancelled(key):
    scripted = Scripted()
    result = run(scripted, key, "transfer", "cancel", ID.hex())
    assert result == (0, "", "")
    assert scripted.heads[1].startswith(f"DELETE /decade/v1/transfers/{ID.hex()} ".encode())


@contextlib.contextmanager
def two_servers(directory):
    """Two servers of `decade serve` with TLS and transfers, for one account: their origins."""
    authority = Certificates(directory / "ca")
    certificate, key = authority.sign("server", "/CN=server", address="127.0.0.1")
    config = directory / "decade.toml"
    config.write_text(
        'listen = "127.0.0.1:0"\nextensions = ["pull", "push"]\n'
        f'[tls]\ncertificate = "{certificate}"\nkey = "{key}"\n'
        f'[transfers]\nnetworks = ["127.0.0.0/8"]\nca = "{authority.authority}"\n'
        f'[accounts.alice]\nstorage = "1MB"\n[accounts.alice.keys.k]\nfile = "{directory / "alice.pem"}"\n'
    )
    command = [sys.executable, "-m", "interop", "decade", "serve", str(config), "--json"]
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE)) for _ in range(2)]
        for server in servers:
            stack.callback(server.send_signal, signal.SIGTERM)
        yield authority.authority, *(json.loads(server.stdout.readline())["server"] for server in servers)


def test_servers_give_objects_to_one_another(key, tmp_path, capfd):
    (tmp_path / "hello").write_bytes(OCTETS)
    (tmp_path / "large").write_bytes(LARGE)

    def good(*words):
        capfd.readouterr()
        status = main(["decade", *words, "--key", str(key), "--cacert", str(ca)])
        out, err = capfd.readouterr()
        assert status == 0, err
        return out.strip()

    with two_servers(tmp_path) as (ca, one, two):
        name = good("put", str(tmp_path / "hello"), "--server", one)
        told = good("transfer", "pull", name, "--server", two, "--from", one, "--expires", "1h")
        assert told.endswith("  done")
        assert good("get", HELLO.ni(), "--server", two) == OCTETS.decode()
        identifier = told.partition(" ")[0]
        assert good("transfer", "status", identifier, "--detach", "--server", two).endswith("  done")
        name = good("put", str(tmp_path / "large"), "--server", one)
        assert good("transfer", "push", name, "--server", one, "--to", two).endswith("  done")
        good("get", name_of(LARGE).ni(), "--server", two, "-o", str(tmp_path / "copy"))
        assert (tmp_path / "copy").read_bytes() == LARGE
        words = ("--server", two, "--from", one, "--key", str(key), "--cacert", str(ca))
        status = main(["decade", "transfer", "pull", name_of(b"nobody has this").ni(), *words])
        _, err = capfd.readouterr()
        assert (status, err) == (1, f"ietf-p2p: {two}: remote-refused\n")


def test_who_lies_is_told_though_another_one_has_the_object(tmp_path):
    async def work():
        async with saying(said(b"Hello world!")) as liar, saying(said(b"Hello World!")) as honest:
            words = ["get", HELLO.ni(), "--server", liar, "--server", honest]
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "interop", "decade", *words, stdout=-1, stderr=-1
            )
            return liar, await process.communicate()

    liar, (out, err) = asyncio.run(work())
    assert (out, err.decode()) == (b"Hello World!", f"{liar} sends something else than it is asked for\n")


def test_a_fetch_that_is_interrupted_leaves_nothing(tmp_path):
    asked = asyncio.Event()

    async def half(reader, writer):
        writer.write(said(b"Hello", length=12))
        await writer.drain()
        asked.set()
        await reader.read()

    async def work():
        async with saying(half) as origin:
            command = [sys.executable, "-m", "interop", "decade", "get", f"{origin}{HELLO.path}", "-o", "hello"]
            process = await asyncio.create_subprocess_exec(*command, stdout=-1, stderr=-1, cwd=tmp_path)
            await asked.wait()
            process.send_signal(signal.SIGINT)
            out, err = await process.communicate()
            return process.returncode, out, err

    code, out, err = asyncio.run(work())
    assert (code, out, err.strip()) == (130, b"", b"")
    assert list(tmp_path.iterdir()) == []

"""interop.alto_stun against real STUN servers of two families, and against answers that are none."""

import asyncio
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from aioice import stun
from alto_dns import free_port
from alto_serving import wait_until

from alto.client.errors import UnreachableError
from alto.errors import DecodeError
from interop.alto_stun import public_address

_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"


@contextmanager
def server(log: Path, *command: object, address: str, port: int) -> Iterator[tuple[str, int]]:
    """A STUN server that runs, once it has answered."""
    program = shutil.which(str(command[0]), path=_PATH)
    if program is None:
        pytest.fail(f"needs {command[0]}: the Debian packages coturn and stun-server")
    with log.open("wb") as output:
        process = subprocess.Popen([program, *map(str, command[1:])], stdout=output, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: process.poll() is not None or _answers(address, port))
        assert process.poll() is None, log.read_text()
        yield address, port
    finally:
        process.kill()
        process.wait()


def _answers(address: str, port: int) -> bool:
    try:
        return asyncio.run(public_address((address, port), patience=0.3)) != ""
    except (UnreachableError, DecodeError):
        return False


@pytest.mark.parametrize(("address", "typed"), [("127.0.0.1", "ipv4:127.0.0.1"), ("::1", "ipv6:::1")])
def test_coturn_tells_our_address(tmp_path: Path, address: str, typed: str) -> None:
    """RFC 7285 section 13.3"""
    port = free_port()
    words = ["-S", "--no-tls", "--no-dtls", "--no-cli", "--log-file=stdout", f"--pidfile={tmp_path / 'pid'}"]
    command = ["turnserver", f"--listening-ip={address}", f"--listening-port={port}", *words]
    with server(tmp_path / "log", *command, address=address, port=port) as found:
        assert asyncio.run(public_address(found)) == typed


def test_a_server_of_the_first_stun_rfc_tells_our_address(tmp_path: Path) -> None:
    """Vovida's server, which is as old as RFC 3489 and has XOR-MAPPED-ADDRESS."""
    port, other = free_port(), free_port()
    command = ["stund", "-h", "127.0.0.1", "-p", port, "-a", "127.0.0.2", "-o", other]
    with server(tmp_path / "log", *command, address="127.0.0.1", port=port) as found:
        assert asyncio.run(public_address(found, family=4)) == "ipv4:127.0.0.1"


@contextmanager
def answering(answer: Callable[[stun.Message], list[bytes]]) -> Iterator[tuple[str, int]]:
    """A UDP server of our own, for what no real server sends."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))

        def run() -> None:
            while True:
                data, peer = sock.recvfrom(2048)
                if data == b"end":
                    return
                for each in answer(stun.parse_message(data)):
                    sock.sendto(each, peer)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield sock.getsockname()
        finally:
            sock.sendto(b"end", sock.getsockname())
            thread.join()


def response(request: stun.Message, kind: stun.Class = stun.Class.RESPONSE, **attributes: object) -> bytes:
    named = {name.replace("_", "-"): value for name, value in attributes.items()}
    return bytes(stun.Message(request.message_method, kind, request.transaction_id, named))


def test_what_is_asked_is_a_binding_request() -> None:
    """RFC 7285 section 13.3: the host MUST use the "Binding Request" message."""
    asked: list[stun.Message] = []

    def answer(request: stun.Message) -> list[bytes]:
        asked.append(request)
        return [response(request, XOR_MAPPED_ADDRESS=("192.0.2.9", 5))]

    with answering(answer) as found:
        assert asyncio.run(public_address(found)) == "ipv4:192.0.2.9"
    assert [(each.message_method, each.message_class) for each in asked] == [(stun.Method.BINDING, stun.Class.REQUEST)]


def test_only_the_xor_mapped_address_counts() -> None:
    """RFC 7285 section 13.3: not MAPPED-ADDRESS, which a NAT may have rewritten."""
    both = {"MAPPED_ADDRESS": ("10.0.0.1", 5), "XOR_MAPPED_ADDRESS": ("2001:db8::7", 5)}
    with answering(lambda request: [response(request, **both)]) as found:
        assert asyncio.run(public_address(found)) == "ipv6:2001:db8::7"
    with (
        answering(lambda request: [response(request, MAPPED_ADDRESS=("192.0.2.9", 5))]) as found,
        pytest.raises(DecodeError, match="no XOR-MAPPED-ADDRESS"),
    ):
        asyncio.run(public_address(found))


def test_what_is_no_answer_to_our_request_does_not_count() -> None:
    def answer(request: stun.Message) -> list[bytes]:
        other = stun.Message(request.message_method, stun.Class.RESPONSE)
        good = response(request, XOR_MAPPED_ADDRESS=("192.0.2.9", 5))
        forged = response(other, XOR_MAPPED_ADDRESS=("192.0.2.66", 5))
        broken = good[:2] + b"\x00\x0c" + good[4:]
        return [b"", b"\xff" * 30, forged, broken, good[:-4], bytes(request), good]

    with answering(answer) as found:
        assert asyncio.run(public_address(found)) == "ipv4:192.0.2.9"


def test_a_server_that_refuses_is_named() -> None:
    with (
        answering(lambda request: [response(request, stun.Class.ERROR, ERROR_CODE=(400, "no"))]) as found,
        pytest.raises(DecodeError, match="refuses"),
    ):
        asyncio.run(public_address(found))


def test_a_lost_request_is_sent_again() -> None:
    asked: list[bytes] = []

    def answer(request: stun.Message) -> list[bytes]:
        asked.append(bytes(request))
        return [response(request, XOR_MAPPED_ADDRESS=("192.0.2.9", 5))] if len(asked) > 1 else []

    with answering(answer) as found:
        assert asyncio.run(public_address(found)) == "ipv4:192.0.2.9"
    assert asked[0] == asked[1]


def test_nobody_there_is_told() -> None:
    with answering(lambda request: []) as found, pytest.raises(UnreachableError, match="does not answer"):
        asyncio.run(public_address(found, patience=0.05))
    with pytest.raises(UnreachableError, match="cannot be reached"):
        asyncio.run(public_address(("127.0.0.1", free_port())))
    with pytest.raises(UnreachableError, match="cannot be reached"):
        asyncio.run(public_address(("a" * 64 + ".example", 3478)))

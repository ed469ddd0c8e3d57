"""Addresses that a server of DECADE may not be sent to, however they are spelled."""

import asyncio
import socket
import threading
from ipaddress import ip_address, ip_network

import pytest
from decade_orders import ended, order
from decade_server import OCTETS
from decade_two import Certificates, Liar, Names, Site, says

from decade.errors import ErrorCode
from interop.decade_addresses import LOOKUPS, AddressPolicy, CheckedBackend, ForbiddenAddressError, resolve


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("certificates"))


FORBIDDEN = [
    "127.0.0.1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "255.255.255.255",
    "240.0.0.1",
    "192.0.2.1",
    "192.88.99.1",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "::127.0.0.1",
    "fe80::1",
    "fc00::1",
    "fd12:3456::1",
    "ff02::1",
    "fec0::1",
    "2002:7f00:1::",
    "2001:0:7f00:1::",
    "64:ff9b::7f00:1",
    "64:ff9b:1::a00:1",
    "2001:db8::1",
]


@pytest.mark.parametrize("address", FORBIDDEN)
def test_addresses_that_are_not_global_are_not_connected_to(address):
    assert not AddressPolicy().permits(ip_address(address))
    network = ip_network(f"{address}/{32 if '.' in address and ':' not in address else 128}")
    assert AddressPolicy(networks=(network,)).permits(ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111"])
def test_global_addresses_are(address):
    assert AddressPolicy().permits(ip_address(address))


@pytest.fixture(scope="module")
def strict(certificates):
    """A site that asks global addresses alone."""
    names = Names(internal_test=[("10.0.0.1",)], mixed_test=[("8.8.8.8", "127.0.0.1")])
    made = Site(certificates.authority, policy=AddressPolicy(), names=names)
    yield made
    made.close()


@pytest.fixture(scope="module")
def listening(certificates):
    made = Liar(certificates, says(("200 OK", "Content-Length: 12"), OCTETS))
    yield made
    made.close()


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254", "internal.test", "mixed.test"]
)
def test_a_host_with_such_an_address_is_not_asked(strict, listening, host):
    status = ended(order(strict, f"https://{host}:{listening.port}"))
    assert status.items[0].error == ErrorCode.REMOTE_UNREACHABLE
    assert listening.heads == []


@pytest.mark.parametrize(
    "host",
    ["localhost", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "0", "[::1]", "::ffff:127.0.0.1", "fe80::1%lo"],
)
def test_this_machine_is_not_connected_to_however_it_is_spelled(host):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connected = CheckedBackend(AddressPolicy()).connect_tcp(host, listener.getsockname()[1], 1.0)
        with pytest.raises(ForbiddenAddressError):
            asyncio.run(connected)


def test_name_servers_that_do_not_answer_keep_nobody_else_waiting(monkeypatch):
    look_up, answers = socket.getaddrinfo, threading.Event()

    def silent(host, *rest, **named):
        if host == "silent.test":
            answers.wait()
            raise socket.gaierror
        return look_up(host, *rest, **named)

    monkeypatch.setattr(socket, "getaddrinfo", silent)

    async def work():
        silent = [asyncio.create_task(resolve("silent.test", 443)) for _ in range(LOOKUPS - 1)]
        await asyncio.sleep(0)
        try:
            found = await asyncio.wait_for(resolve("127.0.0.1", 443), 60)
            elsewhere = await asyncio.wait_for(asyncio.to_thread(int), 60)
        finally:
            answers.set()
        await asyncio.gather(*silent, return_exceptions=True)
        return list(map(str, found)), elsewhere

    assert asyncio.run(work()) == (["127.0.0.1"], 0)

"""Peers as STUN servers (RFC 6940 section 6.5.1.4)."""

from reload.addresses import IPV4, IpAddressPort, IPv4AddrPort
from reload.stun_servers import MAX_SERVERS, StunServers


def address(last: int, port: int = 3478, net: int = 2) -> IpAddressPort:
    return IpAddressPort(IPV4, IPv4AddrPort(bytes((192, 0, net, last)), port))


def peer(number: int) -> bytes:
    return bytes([number]) * 16


def test_of_the_peers_that_show_the_same_address_one_is_used() -> None:
    servers = StunServers()
    for number in (1, 2):
        servers.learn(peer(number), address(number), address(100, 5000 + number))
    servers.learn(peer(3), address(3), address(101))
    assert servers.servers() == (address(1), address(3))


def test_a_peer_that_is_lost_is_replaced_from_its_group_and_a_group_without_peers_is_none() -> None:
    servers = StunServers()
    for number in (1, 2):
        servers.learn(peer(number), address(number), address(100))
    servers.learn(peer(3), address(3), address(101))
    servers.lost(peer(1))
    servers.lost(peer(1))
    assert servers.servers() == (address(2), address(3))
    servers.lost(peer(2))
    assert servers.servers() == (address(3),)


def test_a_peer_that_shows_another_address_later_changes_its_group() -> None:
    servers = StunServers()
    servers.learn(peer(1), address(1), address(100))
    servers.learn(peer(2), address(2), address(100))
    servers.learn(peer(1), address(1), address(101))
    assert servers.servers() == (address(2), address(1))


def test_however_many_addresses_are_told_no_more_than_some_servers_are_used() -> None:
    servers = StunServers()
    for number in range(40):
        servers.learn(peer(number), address(number), address(number, net=3))
    servers.learn(peer(99), address(99), IpAddressPort(9, b"an address of the future"))
    assert len(servers.servers()) == MAX_SERVERS

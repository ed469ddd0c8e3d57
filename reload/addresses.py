"""Addresses and ports (RFC 6940 section 6.3.1.1)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from reload._presentation import structure
from reload._specs import fixed, select, u8, u16

IPV4, IPV6 = 1, 2


@structure
class IPv4AddrPort:
    """An IPv4 address, four octets, and a port."""

    addr: bytes = fixed(4)
    port: int = u16()


@structure
class IPv6AddrPort:
    """An IPv6 address, sixteen octets, and a port."""

    addr: bytes = fixed(16)
    port: int = u16()


@structure
class IpAddressPort:
    """An address of any type; of an unknown type the octets."""

    type: int = u8()
    addr_port: IPv4AddrPort | IPv6AddrPort | bytes = select(
        "type", {IPV4: IPv4AddrPort, IPV6: IPv6AddrPort}, length=1, extensible=True
    )


def ip_of(address: IpAddressPort) -> IPv4Address | IPv6Address | None:
    """The address without the port, that of IPv4 where IPv6 maps it; None of an unknown type."""
    match address.addr_port:
        case IPv4AddrPort(addr):
            return IPv4Address(addr)
        case IPv6AddrPort(addr):
            ip = IPv6Address(addr)
            return ip.ipv4_mapped or ip
    return None

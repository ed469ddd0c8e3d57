"""Which candidates an Attach may carry, and which of them are of use (RFC 6940 sections 6.5.1.1, 6.5.1.5 and 6.6.5)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

from reload.addresses import IPv4AddrPort, IPv6AddrPort
from reload.configuration import Configuration
from reload.contents import ErrorCode
from reload.errors import StateError
from reload.events import Candidates
from reload.methods import CandType, IceCandidate, IceExtension, OverlayLinkType

MAX_CANDIDATES = 32
"""Candidates of one side. ICE checks 100 pairs at most (RFC 5245 section 5.7.3): more would not be looked at."""
DISCARD = 9
"""The port of an active candidate, which nobody can connect to (RFC 6544 section 4.5)."""
ACTIVE_CANDIDATE = IceExtension(b"tcptype", b"active")
"""Marks a candidate of a stream that only connects, and is not connected to (RFC 6544 section 4.5)."""

_ICE = frozenset({OverlayLinkType.DTLS_UDP_SR})
_NO_ICE = frozenset({OverlayLinkType.DTLS_UDP_SR_NO_ICE, OverlayLinkType.TLS_TCP_FH_NO_ICE})
_ICE_CHARS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
_UFRAG, _PASSWORD = range(4, 256), range(22, 256)


class CandidatesRefusedError(Exception):
    """What is wrong with the other side's candidates, and the error to answer."""

    def __init__(self, error_code: ErrorCode, reason: str) -> None:
        super().__init__(reason)
        self.error_code = error_code


def permitted_links(configuration: Configuration) -> frozenset[OverlayLinkType]:
    """The overlay link types of this overlay, which "MUST be either all ICE or all No-ICE" (section 6.5.1.5)."""
    if "TLS" not in configuration.overlay_link_protocols:
        return frozenset()
    return _NO_ICE if configuration.no_ice else _ICE


def check_own(local: Candidates, configuration: Configuration) -> None:
    """Raises StateError for candidates that this node must not send."""
    permitted = permitted_links(configuration)
    if not 0 < len(local.candidates) <= MAX_CANDIDATES:
        raise StateError(f"{len(local.candidates)} candidates, from 1 to {MAX_CANDIDATES} are due")
    for candidate in local.candidates:
        if candidate.overlay_link not in permitted:
            raise StateError(f"this overlay has no links of type {candidate.overlay_link}")
        if candidate.type not in (CandType.HOST, CandType.SRFLX, CandType.RELAY):
            raise StateError(f"candidates have no type {candidate.type} here")
        if (candidate.rel_addr_port is None) != (candidate.type == CandType.HOST):
            raise StateError("a candidate has a related address unless it is of a host")
    if not configuration.no_ice and not _has_credentials(local):
        raise StateError("ICE needs a ufrag from 4 and a password from 22 ice-chars")
    if _lacks_passive(local.candidates):
        raise StateError("TLS/TCP with FH, No-ICE: a passive candidate is due (section 6.6.5)")


def examine(remote: Candidates, configuration: Configuration) -> Candidates:
    """The other side's, without the candidates that no link can be made to.

    Raises CandidatesRefusedError when nothing is left, or they must not stand together.
    """
    offered = remote.candidates
    if len(offered) > MAX_CANDIDATES:
        raise CandidatesRefusedError(ErrorCode.INVALID_MESSAGE, f"{len(offered)} candidates")
    kinds = {candidate.overlay_link for candidate in offered}
    if kinds & _ICE and kinds & _NO_ICE:
        raise CandidatesRefusedError(ErrorCode.INVALID_MESSAGE, "candidates with and without ICE")
    if _lacks_passive(offered):
        raise CandidatesRefusedError(ErrorCode.INVALID_MESSAGE, "TLS/TCP without a passive candidate")
    permitted = permitted_links(configuration)
    if offered and not kinds & permitted:
        raise CandidatesRefusedError(ErrorCode.INCOMPATIBLE_WITH_OVERLAY, "overlay link types of another overlay")
    usable = tuple(
        candidate for candidate in offered if candidate.overlay_link in permitted and _is_reachable(candidate)
    )
    if not usable:
        raise CandidatesRefusedError(ErrorCode.INVALID_MESSAGE, "no candidate that can be used")
    if not configuration.no_ice and not _has_credentials(remote):
        raise CandidatesRefusedError(ErrorCode.INVALID_MESSAGE, "ufrag or password is none of ICE")
    return Candidates(remote.ufrag, remote.password, usable)


def _has_credentials(side: Candidates) -> bool:
    """Whether ufrag and password are those of RFC 5245 section 15.4, as far as their lengths have room here."""
    lengths = len(side.ufrag) in _UFRAG and len(side.password) in _PASSWORD
    return lengths and _ICE_CHARS.issuperset(side.ufrag) and _ICE_CHARS.issuperset(side.password)


def _lacks_passive(candidates: tuple[IceCandidate, ...]) -> bool:
    streams = [each for each in candidates if each.overlay_link == OverlayLinkType.TLS_TCP_FH_NO_ICE]
    return bool(streams) and all(ACTIVE_CANDIDATE in each.extensions or _port(each) in (0, DISCARD) for each in streams)


def _port(candidate: IceCandidate) -> int:
    address = candidate.addr_port.addr_port
    return address.port if isinstance(address, IPv4AddrPort | IPv6AddrPort) else 0


def _is_reachable(candidate: IceCandidate) -> bool:
    """Whether its address is one of a single host, and of a type that is known."""
    address = candidate.addr_port.addr_port
    if not isinstance(address, IPv4AddrPort | IPv6AddrPort):
        return False
    ip: IPv4Address | IPv6Address = ip_address(address.addr)
    return not (ip.is_multicast or ip.is_unspecified or address.addr == b"\xff" * 4 or address.port == 0)

"""What Attach and AppAttach carry, and which of it is of use (RFC 6940 sections 6.5.1.1, 6.5.1.5, 6.5.2 and 6.6.5)."""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import IPv4Address
from typing import Any

from reload.addresses import IpAddressPort, IPv4AddrPort, IPv6AddrPort, ip_of
from reload.configuration import Configuration
from reload.contents import ErrorCode
from reload.errors import StateError
from reload.events import Candidates
from reload.methods import AppAttachReq, AttachReqAns, CandType, IceCandidate, IceExtension, OverlayLinkType

MAX_CANDIDATES = 32
"""Candidates of one side. ICE checks 100 pairs at most (RFC 5245 section 5.7.3): more would not be looked at."""
DISCARD = 9
"""The port of an active candidate, which nobody can connect to (RFC 6544 section 4.5)."""
ACTIVE_CANDIDATE = IceExtension(b"tcptype", b"active")
"""Marks a candidate of a stream that only connects, and is not connected to (RFC 6544 section 4.5)."""

# Whoever asks is passive, whoever answers active (section 6.5.1.1). Section 6.5.2.1 lets an AppAttach say actpass, too:
# the answerer, who chooses then (RFC 4145 section 4.1), is active all the same.
PASSIVE, ACTIVE = b"passive", b"active"
_OFFERED, _OFFERED_BY_APPLICATION = (PASSIVE,), (PASSIVE, b"actpass")

_ICE = frozenset(link for link in OverlayLinkType if link.is_ice)
_NO_ICE = frozenset(OverlayLinkType) - _ICE
_ICE_CHARS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
_UFRAG, _PASSWORD = range(4, 256), range(22, 256)
_BROADCAST = IPv4Address("255.255.255.255")


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
        candidate for candidate in offered if candidate.overlay_link in permitted and is_reachable(candidate.addr_port)
    )
    if not usable:
        raise CandidatesRefusedError(ErrorCode.INVALID_MESSAGE, "no candidate that can be used")
    if not configuration.no_ice and not _has_credentials(remote):
        raise CandidatesRefusedError(ErrorCode.INVALID_MESSAGE, "ufrag or password is none of ICE")
    return Candidates(remote.ufrag, remote.password, usable)


def attach_body(
    local: Candidates, role: bytes, application: int | None, *, send_update: bool
) -> AttachReqAns | AppAttachReq:
    """The body of an Attach, or with an application that of an AppAttach, which asks for no Update; and of answers."""
    if application is not None:
        return AppAttachReq(local.ufrag, local.password, application, role, local.candidates)
    return AttachReqAns(local.ufrag, local.password, role, local.candidates, send_update)


def read_offer(body: AttachReqAns | AppAttachReq, application: int | None, configuration: Configuration) -> Candidates:
    """The candidates of a request. Raises CandidatesRefusedError."""
    return _read(body, application, _OFFERED if application is None else _OFFERED_BY_APPLICATION, configuration)


def read_answer(body: Any, application: int | None, configuration: Configuration) -> Candidates:
    """The candidates of an answer, whatever it is. Raises CandidatesRefusedError."""
    return _read(body, application, (ACTIVE,), configuration)


def _read(body: Any, application: int | None, roles: Collection[bytes], configuration: Configuration) -> Candidates:
    if not isinstance(body, AttachReqAns if application is None else AppAttachReq):
        raise CandidatesRefusedError(ErrorCode.INVALID_MESSAGE, "it is no answer to the request")
    if body.role not in roles:
        raise CandidatesRefusedError(ErrorCode.INVALID_MESSAGE, f"role {body.role!r:.20}")
    if isinstance(body, AppAttachReq) and body.application != application:
        raise CandidatesRefusedError(ErrorCode.INVALID_MESSAGE, f"application {body.application}")
    return examine(Candidates(body.ufrag, body.password, body.candidates), configuration)


def _has_credentials(side: Candidates) -> bool:
    """Whether ufrag and password are those of RFC 5245 section 15.4, as far as their lengths have room here."""
    lengths = len(side.ufrag) in _UFRAG and len(side.password) in _PASSWORD
    return lengths and _ICE_CHARS.issuperset(side.ufrag) and _ICE_CHARS.issuperset(side.password)


def _lacks_passive(candidates: tuple[IceCandidate, ...]) -> bool:
    streams = [each for each in candidates if each.overlay_link == OverlayLinkType.TLS_TCP_FH_NO_ICE]
    return bool(streams) and all(
        ACTIVE_CANDIDATE in each.extensions or _port(each.addr_port) in (0, DISCARD) for each in streams
    )


def _port(address: IpAddressPort) -> int:
    where = address.addr_port
    return where.port if isinstance(where, IPv4AddrPort | IPv6AddrPort) else 0


def is_reachable(address: IpAddressPort) -> bool:
    """Whether an address can be that of a single host, and is of a type that is known."""
    ip = ip_of(address)
    return not (ip is None or ip.is_multicast or ip.is_unspecified or ip == _BROADCAST or _port(address) == 0)

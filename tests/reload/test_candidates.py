"""Which candidates an Attach may carry (RFC 6940 sections 6.5.1.1, 6.5.1.5, 6.6.5, trap T14)."""

import attrs
import pytest

from reload._presentation import decode, encode
from reload.addresses import IpAddressPort, IPv4AddrPort, IPv6AddrPort
from reload.candidates import ACTIVE_CANDIDATE, MAX_CANDIDATES, CandidatesRefusedError, check_own, examine
from reload.configuration import Configuration
from reload.contents import ErrorCode
from reload.errors import DecodeError, StateError
from reload.events import Candidates
from reload.methods import AttachReqAns, CandType, IceCandidate, OverlayLinkType

ICE = Configuration("overlay.example.org", 1, 1e12)
NO_ICE = attrs.evolve(ICE, no_ice=True)
ADDRESS = IpAddressPort(1, IPv4AddrPort(b"\xc0\x00\x02\x01", 6084))
UFRAG, PASSWORD = b"Ufr+", b"0123456789abcdefghij/+"


def candidate(link: int = 1, address: IpAddressPort = ADDRESS, **kwargs: object) -> IceCandidate:
    return IceCandidate(address, link, b"1", 2130706431, CandType.HOST, **kwargs)  # type: ignore[arg-type]


def side(*candidates: IceCandidate, ufrag: bytes = UFRAG, password: bytes = PASSWORD) -> Candidates:
    return Candidates(ufrag, password, candidates)


TCP, UDP = OverlayLinkType.TLS_TCP_FH_NO_ICE, OverlayLinkType.DTLS_UDP_SR_NO_ICE


def test_what_an_overlay_permits_is_sent_and_taken() -> None:
    for configuration, links in ((ICE, (1, 1)), (NO_ICE, (3, 4))):
        both = side(*map(candidate, links))
        check_own(both, configuration)
        assert examine(both, configuration) == both


@pytest.mark.parametrize(
    ("configuration", "local"),
    [
        (ICE, side()),
        (ICE, side(*[candidate()] * (MAX_CANDIDATES + 1))),
        (ICE, side(candidate(), candidate(UDP))),
        (ICE, side(candidate(UDP))),
        (NO_ICE, side(candidate(1))),
        (NO_ICE, side(candidate(5))),
        (attrs.evolve(ICE, overlay_link_protocols=("SCTP",)), side(candidate())),
        (ICE, side(attrs.evolve(candidate(), type=3))),
        (ICE, side(attrs.evolve(candidate(), type=CandType.SRFLX))),
        (ICE, side(attrs.evolve(candidate(), rel_addr_port=ADDRESS))),
        (ICE, side(candidate(), ufrag=b"abc")),
        (ICE, side(candidate(), password=b"a" * 21)),
        (ICE, side(candidate(), password=b"a" * 21 + b"\n")),
        (NO_ICE, side(candidate(TCP, extensions=(ACTIVE_CANDIDATE,)))),
        (NO_ICE, side(candidate(UDP), candidate(TCP, IpAddressPort(1, IPv4AddrPort(b"\x01" * 4, 9))))),
    ],
)
def test_candidates_that_must_not_be_sent_are_refused(configuration: Configuration, local: Candidates) -> None:
    with pytest.raises(StateError):
        check_own(local, configuration)


@pytest.mark.parametrize(
    ("configuration", "remote", "error"),
    [
        (ICE, side(), ErrorCode.INVALID_MESSAGE),
        (ICE, side(*[candidate()] * (MAX_CANDIDATES + 1)), ErrorCode.INVALID_MESSAGE),
        (ICE, side(candidate(), candidate(UDP)), ErrorCode.INVALID_MESSAGE),
        (NO_ICE, side(candidate(), candidate(TCP)), ErrorCode.INVALID_MESSAGE),
        (ICE, side(candidate(UDP)), ErrorCode.INCOMPATIBLE_WITH_OVERLAY),
        (NO_ICE, side(candidate()), ErrorCode.INCOMPATIBLE_WITH_OVERLAY),
        (NO_ICE, side(candidate(77)), ErrorCode.INCOMPATIBLE_WITH_OVERLAY),
        (ICE, side(candidate(), ufrag=b""), ErrorCode.INVALID_MESSAGE),
        (NO_ICE, side(candidate(TCP, extensions=(ACTIVE_CANDIDATE,))), ErrorCode.INVALID_MESSAGE),
    ],
)
def test_candidates_that_no_link_can_come_of_are_refused(
    configuration: Configuration, remote: Candidates, error: ErrorCode
) -> None:
    with pytest.raises(CandidatesRefusedError) as caught:
        examine(remote, configuration)
    assert caught.value.error_code == error


@pytest.mark.parametrize(
    "address",
    [
        IpAddressPort(1, IPv4AddrPort(b"\xe0\x00\x00\x01", 6084)),
        IpAddressPort(1, IPv4AddrPort(b"\xff\xff\xff\xff", 6084)),
        IpAddressPort(1, IPv4AddrPort(b"\x00\x00\x00\x00", 6084)),
        IpAddressPort(1, IPv4AddrPort(b"\xc0\x00\x02\x01", 0)),
        IpAddressPort(2, IPv6AddrPort(b"\xff\x02" + bytes(13) + b"\x01", 6084)),
        *(
            IpAddressPort(2, IPv6AddrPort(bytes(10) + b"\xff\xff" + ip, 6084))
            for ip in (b"\xe0\0\0\1", b"\xff" * 4, bytes(4))
        ),
        IpAddressPort(7, b"an address of the future"),
    ],
)
def test_candidates_that_are_not_one_host_s_are_left_out(address: IpAddressPort) -> None:
    usable = candidate()
    assert examine(side(candidate(1, address), usable), ICE).candidates == (usable,)
    with pytest.raises(CandidatesRefusedError):
        examine(side(candidate(1, address)), ICE)


def test_candidates_of_link_types_to_come_are_left_out() -> None:
    assert examine(side(candidate(77), candidate(UDP)), NO_ICE).candidates == (candidate(UDP),)


def test_an_active_candidate_beside_a_passive_one_is_fine() -> None:
    both = side(candidate(TCP, extensions=(ACTIVE_CANDIDATE,)), candidate(TCP))
    check_own(both, NO_ICE)
    assert examine(both, NO_ICE) == both


def test_a_peer_reflexive_candidate_is_no_part_of_an_attach() -> None:
    octets = bytearray(encode(AttachReqAns(UFRAG, PASSWORD, b"passive", (candidate(),))))
    at = octets.index((2130706431).to_bytes(4, "big")) + 4
    octets[at] = 3
    with pytest.raises(DecodeError):
        decode(AttachReqAns, bytes(octets))

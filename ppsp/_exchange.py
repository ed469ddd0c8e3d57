"""Peer address exchange in one swarm: who is asked, what is answered, what is believed (RFC 7574 section 3.10)."""

import ipaddress
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import attrs

from ppsp import _limits
from ppsp._events import EventQueue
from ppsp.constants import MessageType
from ppsp.errors import MembershipError, StateError
from ppsp.events import PeerFound
from ppsp.messages import PexReq, PexResCert, PexResV4, PexResV6
from ppsp.metadata import SwarmMetadata
from ppsp.pex import PeerExchange
from ppsp.ports import Address
from ppsp.stats import ExchangeStats

if TYPE_CHECKING:
    from ppsp._channel import Channel

_Ip: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
_T = TypeVar("_T")

# Section 8.13 by its references (RFC 1918, 4193, 4291), what was site-local before (RFC 3879), and the shared space
# behind the NATs of carriers (RFC 6598).
_INTERNAL = tuple(
    ipaddress.ip_network(text)
    for text in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "169.254.0.0/16",
        "100.64.0.0/10",
        "fc00::/7",
        "fe80::/10",
        "fec0::/10",
    )
)
_NOWHERE, _LOOPBACK, _INSIDE, _PUBLIC = range(4)


@attrs.define
class _Talk:
    """What was said about other peers on one channel."""

    asked_at: float = -math.inf
    answered_at: float = -math.inf
    addresses_left: int = 0
    certificates_left: int = 0
    certificate: bytes | None = None
    # Peers it named that did not answer, since one of them did.
    vain: int = 0
    # Which part of those that we know it is told of next.
    turn: int = 0


class Exchange:
    """Tells and hears of peers. Times are float seconds; `epoch` is the Unix time at 0."""

    def __init__(self, settings: PeerExchange, metadata: SwarmMetadata, events: EventQueue, epoch: float) -> None:
        """Raises StateError for plain addresses in a swarm whose metadata ask for certificates."""
        if settings.addresses and metadata.membership_key is not None:
            raise StateError("peers of this swarm are named by membership certificates, not by plain addresses")
        self.messages = settings.messages
        self._settings = settings
        self._swarm_id = metadata.swarm_id
        self._events = events
        self._epoch = epoch
        self._talks: dict[Channel, _Talk] = {}
        self._asked = self._told = self._answered = self._named = self._refused = 0

    @property
    def stats(self) -> ExchangeStats:
        """How much was asked, told and refused."""
        return ExchangeStats(self._asked, self._told, self._answered, self._named, self._refused)

    def certify(self, certificate: bytes) -> None:
        """Pass on this certificate as our own. Raises StateError where no certificates are exchanged."""
        if self._settings.verifier is None:
            raise StateError("peers of this swarm exchange no membership certificates")
        self._settings = attrs.evolve(self._settings, certificate=certificate)

    def _talk(self, channel: "Channel") -> _Talk:
        talk = self._talks.get(channel)
        if talk is None:
            talk = self._talks[channel] = _Talk()
        return talk

    def forget(self, channel: "Channel") -> None:
        """The channel is closed."""
        self._talks.pop(channel, None)
        if not channel.remote_id:
            for namer in self._namers(channel):
                namer.vain += 1

    def _namers(self, channel: "Channel") -> list[_Talk]:
        """What was said by who named the peer of the channel."""
        source = channel.found_by
        return [] if source is None else [talk for other, talk in self._talks.items() if other.address == source]

    def ask(self, channel: "Channel", now: float, *, complete: bool) -> None:
        """Ask the peer for others, if we take any and have not asked it just now.

        Who is `complete` needs none, but certificates, which it can pass on.
        """
        if not self.messages or not channel.understands(MessageType.PEX_REQ):
            return
        if complete and self._settings.verifier is None:
            return
        talk = self._talk(channel)
        is_lonely = len(self._talks) < _limits.PEX_COMPANY
        if now >= talk.asked_at + (_limits.PEX_LONELY_SECONDS if is_lonely else _limits.PEX_ASK_SECONDS):
            if talk.asked_at == -math.inf:
                for namer in self._namers(channel):
                    namer.vain = 0
            talk.asked_at = now
            self._asked += 1
            talk.addresses_left = _limits.MAX_PEX_ANSWER
            talk.certificates_left = _limits.MAX_PEX_CERTIFICATES + 1
            channel.send([PexReq()])

    def asked(self, channel: "Channel", others: Iterable["Channel"], now: float) -> None:
        """The peer asks for others: name those of the channels `others` that are open and were heard of lately."""
        talk = self._talk(channel)
        if not self.messages or now < talk.answered_at + _limits.PEX_ANSWER_SECONDS:
            self._refused += 1
            return
        # Who is asked often, or by many, tells of all: others each time, and each asker begins with others.
        talk.turn = self._answered if talk.answered_at == -math.inf else talk.turn + 1
        talk.answered_at = now
        self._answered += 1
        fresh = [
            other
            for other in others
            if other.is_open
            and other.address != channel.address
            and now - other.last_received <= _limits.PEX_FRESH_SECONDS
        ]
        asker = _ip_of(channel.address)
        if asker is None:
            return
        if self._settings.addresses:
            self._name_addresses(channel, asker, fresh)
        if self._settings.verifier is not None and channel.understands(MessageType.PEX_RESCERT):
            self._name_members(channel, asker, fresh, now)

    def _name_addresses(self, channel: "Channel", asker: _Ip, others: list["Channel"]) -> None:
        named = [(ip, _port_of(other.address)) for other in others if (ip := _ip_of(other.address)) is not None]
        taken = {4: channel.understands(MessageType.PEX_RESV4), 6: channel.understands(MessageType.PEX_RESV6)}
        named = [(ip, port) for ip, port in named if port and taken[ip.version] and _may_tell(asker, ip)]
        for ip, port in _part(named, self._talk(channel).turn, _limits.MAX_PEX_ANSWER):
            kind = PexResV4 if ip.version == 4 else PexResV6
            channel.send([kind(ip.packed, port)])
            self._named += 1

    def _name_members(self, channel: "Channel", asker: _Ip, others: list["Channel"], now: float) -> None:
        own = self._settings.certificate
        if own is not None and (member := self._member(own, now)) is not None and _may_tell(asker, member[0]):
            self._pass_on(channel, own)
        # These are of the addresses of their channels.
        heard = [other for other in others if (ip := _ip_of(other.address)) is not None and _may_tell(asker, ip)]
        talks = [
            talk for other in heard if (talk := self._talks.get(other)) is not None and talk.certificate is not None
        ]
        for talk in _part(talks, self._talk(channel).turn, _limits.MAX_PEX_CERTIFICATES):
            assert talk.certificate is not None
            if self._member(talk.certificate, now) is None:
                talk.certificate = None  # it is over: the peer would discard the others of the answer
            else:
                self._pass_on(channel, talk.certificate)

    def _pass_on(self, channel: "Channel", certificate: bytes) -> None:
        channel.send_apart(PexResCert(certificate))
        self._named += 1

    def told(self, channel: "Channel", message: PexResV4 | PexResV6 | PexResCert, now: float) -> None:
        """The peer names another one. What was not asked for, or is too much, is passed over."""
        talk = self._talk(channel)
        if isinstance(message, PexResCert):
            self._told_member(channel, talk, message.certificate, now)
        elif self._settings.addresses and talk.addresses_left and talk.vain < _limits.MAX_PEX_VAIN:
            talk.addresses_left -= 1
            self._found(channel, _plain(ipaddress.ip_address(message.address)), message.port)
        else:
            self._refused += 1

    def _told_member(self, channel: "Channel", talk: _Talk, certificate: bytes, now: float) -> None:
        if self._settings.verifier is None or not talk.certificates_left:
            self._refused += 1
            return
        talk.certificates_left -= 1
        member = self._member(certificate, now)
        if member is None:
            self._refused += 1
            talk.certificates_left = 0  # "discard the rest if they are defective" (section 12.2.2)
            return
        ip, port = member
        if (ip, port) == (_ip_of(channel.address), _port_of(channel.address)):
            talk.certificate = certificate
        else:
            self._found(channel, ip, port)

    def _member(self, certificate: bytes, now: float) -> tuple[_Ip, int] | None:
        """Whom a certificate is of; None when it proves nothing, or nothing any more."""
        verifier = self._settings.verifier
        assert verifier is not None
        try:
            host, port = verifier.check(certificate, self._swarm_id, now + self._epoch)
        except MembershipError:
            return None
        return _plain(ipaddress.ip_address(host)), port

    def _found(self, channel: "Channel", ip: _Ip, port: int) -> None:
        source = _ip_of(channel.address)
        if port and source is not None and _may_tell(source, ip):
            self._told += 1
            self._events.put_peer(PeerFound(self._swarm_id, str(ip), port, channel.address))
        else:
            self._refused += 1


def _ip_of(address: Address) -> _Ip | None:
    """The IP address in a transport address, IPv4 where IPv6 only wraps it; None where there is none."""
    if not (isinstance(address, tuple) and len(address) >= 2 and isinstance(address[0], str)):
        return None
    try:
        ip = ipaddress.ip_address(address[0])
    except ValueError:
        return None
    return _plain(ip)


def _plain(ip: _Ip) -> _Ip:
    """The address, IPv4 where IPv6 only wraps it: 10.0.0.1 is inside however it is written."""
    return (ip.ipv4_mapped or ip) if ip.version == 6 else ip


def _part(found: list[_T], turn: int, size: int) -> list[_T]:
    """So many of them; in each turn those that follow."""
    at = turn * size % len(found) if found else 0
    return (found[at:] + found[:at])[:size]


def _port_of(address: Address) -> int:
    port = address[1] if isinstance(address, tuple) else 0
    return port if isinstance(port, int) else 0


def _scope(ip: _Ip) -> int:
    # Reserved IPv6 has IPv4 addresses in it, too (::/96, 64:ff9b::/96), which each host maps in its own way.
    if ip.is_unspecified or ip.is_multicast or (ip.version == 4 and ip.packed[0] == 0):
        return _NOWHERE
    if ip.is_reserved and not ip.is_loopback:
        return _NOWHERE
    if ip.is_loopback:
        return _LOOPBACK
    return _INSIDE if any(ip in network for network in _INTERNAL) else _PUBLIC


def _may_tell(there: _Ip, ip: _Ip) -> bool:
    """Whether an address is one for a peer at `there` to hear of, or to name: nobody outside knows what is inside.

    "If a PEX_REQ message does not originate from a private, unique-local, link-local, or multicast address, then the
    PEX_RES* messages sent in reply MUST NOT contain such addresses" (section 8.13). What is answered to us otherwise
    would make us knock at doors inside our own network.
    """
    scope = _scope(ip)
    # Who comes from a reserved address, such as that of a translator (64:ff9b::/96), comes from outside.
    return scope is not _NOWHERE and scope >= (_scope(there) or _PUBLIC)

"""Finding a server of DECADE (RFC 7069 section 5.6): by what is configured, by DNS, by ALTO, by RELOAD.

A plan: a generator that yields questions and is sent the answers; `interop.decade_discovery` runs it. Wherever a server
was named, it is one only if its /.well-known/decade says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterator, Sequence
from enum import StrEnum
from typing import Any, TypeAlias

import attrs

from decade.errors import DecadeError, DecodeError
from decade.http import Request, Response
from decade.messages import MEDIA_TYPE, VERSION, ServerInfo, decode_message

INFO_PATH = "/.well-known/decade"
SERVICE = "_decade._tcp"
"""The service of DNS-SD (RFC 6763 section 7)."""
PROPERTY = "priv:decade-server"
"""The endpoint property of ALTO whose value is an origin, or several with spaces between (RFC 7285 section 10.8.2)."""
NAMESPACE = "decade"
"""The namespace of ReDiR in which servers register (RFC 7374)."""
MAX_INSTANCES = 8
"""Instances of the service in one domain that are looked up: a zone made in bad faith would have us ask for ever."""
MAX_SERVERS = 16
"""Servers of one source that are asked who they are."""

_LABEL = "[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_ORIGIN = re.compile(rf"https://(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:.]{{2,45}}\])(?::([1-9][0-9]{{0,4}}))?")
_VERSIONS = re.compile(rb"v=(.*)", re.IGNORECASE | re.DOTALL)


class Source(StrEnum):
    """Where a server was named."""

    CONFIGURED = "configured"
    DNS_SD = "dns-sd"
    ALTO = "alto"
    RELOAD = "reload"


@attrs.frozen
class Configured:
    """Origins that the user gives; they may be of http, for a server on the same host."""

    origins: tuple[str, ...]


@attrs.frozen
class DnsSd:
    """A domain, such as that of the access network."""

    domain: str


@attrs.frozen
class AltoProperty:
    """The property PROPERTY of this host's address, at the ALTO server of its network."""


@attrs.frozen
class Redir:
    """The servers registered below NAMESPACE in an overlay."""


Place: TypeAlias = Configured | DnsSd | AltoProperty | Redir


class RecordKind(StrEnum):
    """A type of records of the DNS."""

    PTR = "PTR"
    SRV = "SRV"
    TXT = "TXT"


@attrs.frozen
class DnsQuestion:
    """Ask the DNS. The answer: names for PTR, `Srv` for SRV, for TXT the strings of the first record; () for none."""

    name: str
    kind: RecordKind


@attrs.frozen
class Srv:
    """Where an instance is (RFC 2782)."""

    priority: int
    weight: int
    port: int
    target: str


@attrs.frozen
class NamedQuestion:
    """Ask ALTO for PROPERTY, or RELOAD for NAMESPACE. The answer: the origins, () for none."""

    source: Source


Step: TypeAlias = DnsQuestion | NamedQuestion | Request
"""A `Request` is answered by a `Response`, or by None when nobody answers; no redirect is followed."""
_Steps: TypeAlias = Generator[Step, Any, Any]


@attrs.frozen
class Found:
    """A server: what it says of itself, and where it was named. Its identifier is `info.server`."""

    info: ServerInfo
    source: Source


class NoServerError(DecadeError):
    """No server was found; `reasons` says why each that was named is none."""

    def __init__(self, reasons: Sequence[str]) -> None:
        """In the order in which they were tried."""
        super().__init__("; ".join(reasons) or "no server is named anywhere")
        self.reasons = tuple(reasons)


def discover(places: Sequence[Place], random_bytes: Callable[[int], bytes]) -> Generator[Step, Any, tuple[Found, ...]]:
    """The servers of the first of these places that names any, in the order in which to use them.

    `random_bytes` is for the weights of SRV records. Raises NoServerError.
    """
    reasons: list[str] = []
    for place in places:
        match place:
            case Configured(origins):
                named, source = list(origins), Source.CONFIGURED
            case DnsSd(domain):
                named, source = (yield from _browse(domain, random_bytes)), Source.DNS_SD
            case AltoProperty():
                named, source = (yield from _named(Source.ALTO)), Source.ALTO
            case Redir():
                named, source = (yield from _named(Source.RELOAD)), Source.RELOAD
        found: dict[str, Found] = {}
        for origin in list(dict.fromkeys(named))[:MAX_SERVERS]:
            answer = yield from _verify(origin)
            if isinstance(answer, str):
                reasons.append(f"{source}: {origin}: {answer}")
            else:
                found.setdefault(answer.server, Found(answer, source))
        if found:
            return tuple(found.values())
        if not named:
            reasons.append(f"{source}: no server is named")
    raise NoServerError(reasons)


def _named(source: Source) -> _Steps:
    values = yield NamedQuestion(source)
    return [origin for value in values for origin in value.split() if _is_origin(origin)]


def _is_origin(text: str) -> bool:
    found = _ORIGIN.fullmatch(text)
    return found is not None and int(found[1] or 1) < 65536


def _browse(domain: str, random_bytes: Callable[[int], bytes]) -> _Steps:
    """RFC 6763: the instances of the service in a domain, what each says of itself, and where it is."""
    instances = yield DnsQuestion(f"{SERVICE}.{domain.rstrip('.')}.", RecordKind.PTR)
    named: list[str] = []
    for instance in sorted({name for name in instances if f".{SERVICE}." in name.lower()})[:MAX_INSTANCES]:
        strings = yield DnsQuestion(instance, RecordKind.TXT)
        if not _speaks(strings):
            continue
        records = yield DnsQuestion(instance, RecordKind.SRV)
        named += [origin for record in _ordered(records, random_bytes) if (origin := _origin(record)) is not None]
    return named


def _speaks(strings: Sequence[bytes]) -> bool:
    """Whether a TXT record allows for our version: its key "v" lists versions, with commas; without it any may be.

    Of a key that is there twice only the first counts (RFC 6763 section 6.4).
    """
    versions = next((found[1] for string in strings if (found := _VERSIONS.fullmatch(string))), None)
    return versions is None or str(VERSION).encode() in [version.strip() for version in versions.split(b",")]


def _ordered(records: Sequence[Srv], random_bytes: Callable[[int], bytes]) -> Iterator[Srv]:
    """By priority, and by chance according to the weights among those of one priority (RFC 2782)."""
    left = sorted(records, key=lambda record: (record.priority, record.weight, record.target, record.port))[
        :MAX_SERVERS
    ]
    while left:
        group = [record for record in left if record.priority == left[0].priority]
        at = int.from_bytes(random_bytes(4)) % (sum(record.weight for record in group) + 1)
        chosen = group[-1]
        for record in group:
            at -= record.weight
            if at <= 0:
                chosen = record
                break
        left.remove(chosen)
        yield chosen


def _origin(record: Srv) -> str | None:
    """The origin of a record, None if it says that there is no service, or what is no host."""
    port = "" if record.port == 443 else f":{record.port}"
    origin = f"https://{record.target.rstrip('.').lower()}{port}"
    return origin if _is_origin(origin) else None


def _verify(origin: str) -> _Steps:
    """What the server at an origin says of itself, or why it is none.

    A token names its server by the identifier: where that is another origin, that one has to say the same.
    """
    answer = yield from _ask(origin)
    if isinstance(answer, ServerInfo) and answer.server != origin:
        if not _is_origin(answer.server):
            return f"calls itself {answer.server!r:.80}"
        identifier = answer.server
        answer = yield from _ask(identifier)
        if isinstance(answer, ServerInfo) and answer.server != identifier:
            return f"calls itself {identifier}, which calls itself {answer.server!r:.80}"
    return answer


def _ask(origin: str) -> _Steps:
    response: Response | None = yield Request("GET", origin + INFO_PATH, (("Accept", MEDIA_TYPE),))
    if response is None:
        return "does not answer"
    if response.status != 200 or response.header("Content-Type") != MEDIA_TYPE or not isinstance(response.body, bytes):
        return f"is no server of DECADE: it answers {response.status}"
    try:
        info = decode_message(response.body)
    except DecodeError as exc:
        return f"is no server of DECADE: {exc}"
    if not isinstance(info, ServerInfo) or VERSION not in info.versions:
        return f"does not speak version {VERSION}"
    return info

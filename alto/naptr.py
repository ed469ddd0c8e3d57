"""U-NAPTR: from a domain name to the URIs of a service, as a plan of DNS questions (RFC 4848, RFC 3958, RFC 3403)."""

import re
from collections.abc import Generator
from enum import StrEnum
from typing import TypeAlias, TypeVar

from attrs import frozen

from alto.errors import ConfigurationError

MAX_QUESTIONS = 12
"""Questions that one lookup leads to. Records without a flag point at more records; a zone made in bad faith would
have us ask for ever, or ask others on its behalf."""
MAX_RECORDS = 100
"""Records of one answer that are looked at, the most preferred: a 64 KiB answer holds well over a thousand."""

_TAG = re.compile(r"[A-Za-z][A-Za-z0-9+\-.]{0,31}")
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+\-.]*:(?:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})+")
# No user information: RFC 9110 section 4.2.4 has it treated as an error in a URI from an untrusted source.
_HTTP = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9\-._~%!$&'()*+,;=]+)(?::[0-9]{1,5})?(?:[/?#].*)?")


class Status(StrEnum):
    """How a DNS lookup ended."""

    ANSWERED = "answered"
    """The name is there, with or without records."""
    NXDOMAIN = "nxdomain"
    SERVFAIL = "servfail"
    """The server failed or refused. A resolver that validates says this of records with a false signature."""
    TIMEOUT = "timeout"

    @property
    def is_temporary(self) -> bool:
        """Another attempt may end otherwise."""
        return self in (Status.SERVFAIL, Status.TIMEOUT)


RETRY_AFTER = {Status.TIMEOUT: 2.0, Status.SERVFAIL: 5.0, Status.NXDOMAIN: 900.0, Status.ANSWERED: 900.0}
"""Seconds before a failed lookup may be repeated (RFC 7286 section 3.2): a lost datagram is soon made good, a resolver
keeps a failure for a while (RFC 9520), and what is not there was put there by nobody, unless the zone has a negative
time to live (RFC 2308)."""

MIN_ABSENCE, MAX_ABSENCE = 5.0, 10_800.0
"""Bounds of what a zone may say of that: 0 would have clients ask without a pause, a day or a century never again.
RFC 2308 section 5 has up to three hours."""


@frozen
class Naptr:
    """A NAPTR record (RFC 3403 section 4.1); an empty or root `replacement` is none."""

    order: int
    preference: int
    flags: str
    service: str
    regexp: str
    replacement: str


@frozen
class Question:
    """Ask the DNS for the NAPTR records of `name`, after `delay` seconds."""

    name: str
    """Fully qualified, with the dot at its end."""
    delay: float = 0.0


@frozen
class DnsAnswer:
    """What the DNS said."""

    status: Status
    records: tuple[Naptr, ...] = ()
    is_authenticated: bool = False
    """DNSSEC has proven it, to a resolver that is trusted and reached over a path that is."""
    negative_ttl: float | None = None
    """Seconds for which the absence holds (RFC 2308); None where the answer did not say."""


_T = TypeVar("_T")
Plan: TypeAlias = Generator[Question, DnsAnswer, _T]
"""Yields questions, is sent the answers, and returns the result."""


@frozen
class Found:
    """A URI, and the record that has it."""

    uri: str
    order: int
    preference: int
    name: str
    """The domain name of the record."""
    is_authenticated: bool
    """Each answer on the way to it was."""


@frozen
class Lookup:
    """How a U-NAPTR lookup went. `uris` are in the order in which they are to be tried."""

    name: str
    status: Status
    uris: tuple[Found, ...] = ()
    ignored: tuple[str, ...] = ()
    """Why which records did not count, for a person."""
    negative_ttl: float | None = None

    @property
    def retry_after(self) -> float | None:
        """The seconds to wait before the lookup is repeated; None where it found something."""
        if self.uris:
            return None
        if self.status.is_temporary or self.negative_ttl is None:
            return RETRY_AFTER[self.status]
        return min(max(self.negative_ttl, MIN_ABSENCE), MAX_ABSENCE)


def parse_service(text: str) -> tuple[str, tuple[str, ...]]:
    """Application service and protocols of a service parameter, in lower case (RFC 4848 section 4.5).

    Raises ValueError.
    """
    service, *protocols = text.lower().split(":")
    for tag in [*([service] if service else []), *protocols]:
        if _TAG.fullmatch(tag) is None:
            raise ValueError(f"{text!r:.80} is no U-NAPTR service parameter: {tag!r:.40} is no tag")
    return service, tuple(protocols)


def absolute_name(text: str) -> str:
    """A domain name with the dot at its end. Raises ConfigurationError for what is none."""
    name = text.removesuffix(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise ConfigurationError(f"{text!r:.80} is no domain name")
    return name + "."


def parse_regexp(text: str) -> str | None:
    """The URI in a regular expression of the one form that RFC 4848 section 2.2 permits; None for any other."""
    if len(text) < 6 or not text.startswith("!.*!") or not text.endswith("!"):
        return None
    uri = text[4:-1]
    return uri if _URI.fullmatch(uri) else None


def look_up(name: str, service: str, *, require_dnssec: bool = False, delay: float = 0.0) -> Plan[Lookup]:
    """Find the URIs of `service` at `name`, each protocol in `service` to its end before the next (RFC 3958 2.2.5).

    All matching records count, by order and then preference: RFC 3958 section 2.2.4 has a client go on with the next
    where a server does not answer. With `require_dnssec` only what DNSSEC has proven counts. `delay` is that of the
    first question. Raises ConfigurationError for a name or service that is none.
    """
    try:
        application, protocols = parse_service(service)
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
    lookup = _Lookup(require_dnssec, delay)
    first = absolute_name(name)
    uris: list[Found] = []
    for protocol in protocols or (None,):
        uris += yield from lookup.follow(first, application, protocol, True, set())
    answers = lookup.answers
    begin = answers[first.lower()]
    failures = [answer.status for answer in answers.values() if answer.status.is_temporary]
    status = Status.ANSWERED if uris else (failures or [begin.status])[0]
    unique = {found.uri: found for found in reversed(uris)}
    kept = tuple(found for found in uris if unique[found.uri] is found)
    return Lookup(first, status, kept, tuple(dict.fromkeys(lookup.ignored)), begin.negative_ttl)


class _Lookup:
    """One lookup under way: what was asked, and what was left out."""

    def __init__(self, require_dnssec: bool, delay: float) -> None:
        self.answers: dict[str, DnsAnswer] = {}
        self.ignored: list[str] = []
        self._require_dnssec = require_dnssec
        self._delay = delay

    def follow(
        self, name: str, application: str, protocol: str | None, is_proven: bool, followed: set[str]
    ) -> Plan[list[Found]]:
        """The URIs that the records of `name` lead to; `followed` are the names that were, each of them once."""
        key = name.lower()
        if key in followed:
            self.ignored.append(f"{name}: records without a flag lead here more than once, perhaps in a loop")
            return []
        followed.add(key)
        if key not in self.answers:
            if len(self.answers) == MAX_QUESTIONS:
                self.ignored.append(f"{name}: not asked, after {MAX_QUESTIONS} questions")
                return []
            self.answers[key] = yield Question(name, self._delay)
            self._delay = 0.0
        answer = self.answers[key]
        is_proven = is_proven and answer.is_authenticated
        if self._require_dnssec and not is_proven:
            self.ignored.append(f"{name}: the answer is not proven by DNSSEC")
            return []
        found: list[Found] = []
        for record in sorted(answer.records, key=lambda record: (record.order, record.preference))[:MAX_RECORDS]:
            target = self._read(name, record, application, protocol)
            if target is None:
                continue
            if record.flags:
                found.append(Found(target, record.order, record.preference, name, is_proven))
            else:
                found += yield from self.follow(target, application, protocol, is_proven, followed)
        return found

    def _read(self, name: str, record: Naptr, application: str, protocol: str | None) -> str | None:
        """The URI of a record that matches, or the next name where it has no flag; None where it does not count."""
        try:
            service, protocols = parse_service(record.service)
        except ValueError as error:
            self.ignored.append(f"{name}: {error}")
            return None
        if service != application or (protocol is not None and protocol not in protocols):
            return None
        target, reason = _target(record, service, protocols if protocol is None else (protocol,))
        if reason:
            self.ignored.append(f"{name}: {record.order} {record.preference} {record.service!r:.40}: {reason}")
        return target


def _target(record: Naptr, service: str, protocols: tuple[str, ...]) -> tuple[str | None, str]:
    """What a matching record leads to, or why nowhere."""
    has_replacement = record.replacement not in ("", ".")
    flag = record.flags.lower()
    if flag == "":
        if record.regexp or not has_replacement:
            return None, "without a flag it needs a replacement and no regular expression"
        try:
            return absolute_name(record.replacement), ""
        except ConfigurationError as error:
            return None, str(error)
    if flag != "u":
        return None, f"the flag {record.flags!r:.20} leads to no URI"
    uri = parse_regexp(record.regexp)
    if uri is None or has_replacement:
        return None, f"{record.regexp!r:.80} is no replacement by a URI (RFC 4848 section 2.2)"
    scheme, _, rest = uri.partition(":")
    if {"http", "https"} & set(protocols):
        # The two that RFC 7286 section 3.2 has. An `ALTO:https` that leads to http: would take the TLS away.
        if scheme.lower() not in protocols:
            return None, f"{uri!r:.80} is not of the protocol {' or '.join(protocols)}"
        if not rest.startswith("//") or _HTTP.fullmatch(rest[2:]) is None:
            return None, f"{uri!r:.80} names no host"
    return uri, ""

"""ALTO server discovery over the real DNS: runs the plans of `alto.discovery` with dnspython.

DNSSEC is left to a resolver that validates, as RFC 8686 section 6.1 allows: the question carries the AD and DO bits,
and the AD bit of the answer counts where the resolver can be trusted and nobody sits in between.
"""

import asyncio
import ipaddress
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import dns.asyncresolver
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rdatatype
import dns.resolver
from dns.rdtypes.IN.NAPTR import NAPTR

from alto.discovery import SERVICE, Discovery, discover_cross_domain, discover_domains
from alto.errors import ConfigurationError
from alto.naptr import DnsAnswer, Naptr, Plan, Question, Status

_T = TypeVar("_T")

RESOLV_CONF = Path("/etc/resolv.conf")
# Room for an answer in one datagram on any path (dnsflagday.net/2020); what does not fit comes over TCP.
_PAYLOAD = 1232


class DnsResolver:
    """Asks the DNS for NAPTR records: the resolvers of /etc/resolv.conf, or those given.

    `trust_ad` says whether to believe the AD bit; None believes it where all resolvers are on this host, or
    resolv.conf has `options trust-ad`. Raises ConfigurationError where there is no resolver to ask.
    """

    def __init__(
        self,
        nameservers: Sequence[str] | None = None,
        *,
        port: int = 53,
        timeout: float = 5.0,
        trust_ad: bool | None = None,
    ) -> None:
        try:
            self._resolver = dns.asyncresolver.Resolver(configure=nameservers is None)
            if nameservers is not None:
                self._resolver.nameservers = list(nameservers)
                self._resolver.port = port
        except (dns.exception.DNSException, OSError, ValueError) as error:
            raise ConfigurationError(f"no DNS resolver to ask: {error}") from error
        self._resolver.flags = dns.flags.RD | dns.flags.AD
        self._resolver.use_edns(0, dns.flags.DO, _PAYLOAD)
        self._timeout = timeout
        if trust_ad is None:
            trust_ad = all(_is_loopback(str(server)) for server in self._resolver.nameservers) or (
                nameservers is None and "trust-ad" in _options(RESOLV_CONF, "options")
            )
        self._trust_ad = trust_ad

    async def ask(self, question: Question) -> DnsAnswer:
        """The answer to a question, after its delay; what goes wrong is in its status."""
        if question.delay:
            await asyncio.sleep(question.delay)
        try:
            answer = await self._resolver.resolve(
                question.name, "NAPTR", raise_on_no_answer=False, search=False, lifetime=self._timeout
            )
        except dns.resolver.NXDOMAIN as error:
            responses = list(error.responses().values())  # type: ignore[no-untyped-call]
            return self._negative(Status.NXDOMAIN, responses[0] if responses else None)
        except dns.exception.Timeout:
            return DnsAnswer(Status.TIMEOUT)
        except (dns.exception.DNSException, OSError, ValueError):
            return DnsAnswer(Status.SERVFAIL)
        if answer.rrset is None:
            return self._negative(Status.ANSWERED, answer.response)
        records = tuple(_record(rdata) for rdata in answer.rrset if isinstance(rdata, NAPTR))
        return DnsAnswer(Status.ANSWERED, records, self._ad(answer.response))

    def _negative(self, status: Status, response: dns.message.Message | None) -> DnsAnswer:
        ttl: float | None = None
        for rrset in response.authority if response is not None else ():
            if rrset.rdtype == dns.rdatatype.SOA:
                ttl = float(min(rrset.ttl, rrset[0].minimum))  # RFC 2308 section 5
        return DnsAnswer(status, is_authenticated=self._ad(response), negative_ttl=ttl)

    def _ad(self, response: dns.message.Message | None) -> bool:
        return self._trust_ad and response is not None and bool(response.flags & dns.flags.AD)


async def run(plan: Plan[_T], resolver: DnsResolver) -> _T:
    """The result of a plan. Raises what the plan raises, which is ConfigurationError."""
    try:
        question = next(plan)
        while True:
            question = plan.send(await resolver.ask(question))
    except StopIteration as stop:
        result: _T = stop.value
        return result
    finally:
        plan.close()


async def discover(
    subject: str | None = None,
    service: str = SERVICE,
    *,
    resolver: DnsResolver | None = None,
    retries: int = 1,
    require_dnssec: bool = False,
) -> Discovery:
    """The IRDs for an address or prefix (RFC 8686), for a domain (RFC 7286), or for the domains of this host.

    Raises ConfigurationError for a subject that is none of these, and where this host has no domain.
    """
    resolver = resolver if resolver is not None else DnsResolver()
    plan: Plan[Discovery]
    if subject is None:
        domains = search_domains()
        if not domains:
            raise ConfigurationError(f"{RESOLV_CONF} names no domain to look in: give a domain, address or prefix")
        plan = discover_domains(domains, service, retries=retries, require_dnssec=require_dnssec)
    elif _is_address(subject):
        plan = discover_cross_domain(subject, service, retries=retries, require_dnssec=require_dnssec)
    else:
        plan = discover_domains([_ascii(subject)], service, retries=retries, require_dnssec=require_dnssec)
    return await run(plan, resolver)


def search_domains(path: Path = RESOLV_CONF) -> tuple[str, ...]:
    """The domains of this host: what DHCP or the user had written into resolv.conf; the root is none."""
    names = _options(path, "search") or _options(path, "domain")
    return tuple(name.removesuffix(".") for name in names if name != ".")


def _options(path: Path, keyword: str) -> tuple[str, ...]:
    """The words behind a keyword of resolv.conf, whose last line counts; a file that is not there has none."""
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return ()
    found = [words[1:] for words in (line.split() for line in lines) if words and words[0] == keyword]
    return tuple(found[-1]) if found else ()


def _record(rdata: NAPTR) -> Naptr:
    flags, service, regexp = (bytes(text).decode("latin-1") for text in (rdata.flags, rdata.service, rdata.regexp))
    return Naptr(rdata.order, rdata.preference, flags, service, regexp, rdata.replacement.to_text())


def _is_loopback(server: str) -> bool:
    try:
        return ipaddress.ip_address(server.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _is_address(subject: str) -> bool:
    """An address or prefix, or something that was meant as one: no domain has a colon, a slash or digits at its end."""
    return ":" in subject or "/" in subject or subject.rpartition(".")[2].isdigit()


def _ascii(domain: str) -> str:
    """The domain as the DNS has it (IDNA). Raises ConfigurationError."""
    if domain.isascii():
        return domain
    try:
        return dns.name.from_text(domain, idna_codec=dns.name.IDNA_2003).to_text()
    except dns.exception.DNSException as error:
        raise ConfigurationError(f"{domain!r:.80} is no domain name: {error}") from error

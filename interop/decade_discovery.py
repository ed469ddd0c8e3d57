"""Finding a server of DECADE over the real DNS and HTTP: runs the plan of `decade.discovery` with dnspython and httpx.

The DNS is believed as a browser believes it: that the host is who the DNS says is up to its certificate.
"""

from __future__ import annotations

import asyncio
import secrets
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeAlias

import dns.asyncresolver
import dns.exception
import httpx
from dns.rdatatype import RdataType

from alto.errors import AltoError
from decade.cbor import MAX_MESSAGE
from decade.discovery import (
    PROPERTY,
    DnsQuestion,
    Found,
    NamedQuestion,
    NoServerError,
    Place,
    RecordKind,
    Source,
    Srv,
    Step,
    discover,
)
from decade.http import Request, Response
from interop.alto_client import AltoClient
from reload.usages.redir import Lookup

TIMEOUT = 5.0
"""Seconds for one question, of whatever kind: a server that is slower than that to say who it is, is none to use."""

REDIR_TYPE = 0xDE
"""The type of extension of a ReDiR record whose value is the origin of the provider, in UTF-8. It is not registered."""

Naming: TypeAlias = Callable[[], Awaitable[Sequence[str]]]
"""What answers a `NamedQuestion`: origins, in the order in which to try them."""
_NOBODY: Mapping[Source, Naming] = MappingProxyType({})


class DnsLookup:
    """Asks the DNS: the resolvers of this host, or those given. Raises NoServerError where there is none to ask."""

    def __init__(self, nameservers: Sequence[str] | None = None, *, port: int = 53) -> None:
        try:
            self._resolver = dns.asyncresolver.Resolver(configure=nameservers is None)
            if nameservers is not None:
                self._resolver.nameservers = list(nameservers)
                self._resolver.port = port
        except (dns.exception.DNSException, OSError, ValueError) as error:
            raise NoServerError([f"no DNS resolver to ask: {error}"]) from error

    async def ask(self, question: DnsQuestion) -> tuple[Any, ...]:
        """What the plan wants to know; nothing when the DNS does not say."""
        try:
            answer = await self._resolver.resolve(
                question.name, question.kind.value, raise_on_no_answer=False, search=False, lifetime=TIMEOUT
            )
        except (dns.exception.DNSException, OSError, ValueError):
            return ()
        records = list(answer.rrset or ())
        match question.kind:
            case RecordKind.PTR:
                return tuple(record.target.to_text() for record in records if record.rdtype == RdataType.PTR)
            case RecordKind.SRV:
                return tuple(
                    Srv(record.priority, record.weight, record.port, record.target.to_text()) for record in records
                )
            case RecordKind.TXT:
                return tuple(records[0].strings) if records else ()


async def find(
    places: Sequence[Place],
    *,
    lookup: DnsLookup | None = None,
    client: httpx.AsyncClient | None = None,
    verify: ssl.SSLContext | bool = True,
    naming: Mapping[Source, Naming] = _NOBODY,
    random_bytes: Callable[[int], bytes] = secrets.token_bytes,
) -> tuple[Found, ...]:
    """The servers of the first of these places that has any. Raises NoServerError.

    `naming`: who answers for ALTO (`alto_naming`) and for RELOAD. `client`: who asks the servers; without one,
    `verify` has what they are verified with, and no proxies are used.
    """
    plan = discover(places, random_bytes)
    ask = _Asker(lookup, client or httpx.AsyncClient(verify=verify, trust_env=False), naming)
    try:
        step = next(plan)
        while True:
            step = plan.send(await ask(step))
    except StopIteration as end:
        found: tuple[Found, ...] = end.value
        return found
    finally:
        if client is None:
            await ask.client.aclose()


class _Asker:
    """Answers the questions of a plan."""

    def __init__(self, lookup: DnsLookup | None, client: httpx.AsyncClient, naming: Mapping[Source, Naming]) -> None:
        self._lookup = lookup
        self.client = client
        self._naming = naming

    async def __call__(self, step: Step) -> Any:
        match step:
            case DnsQuestion():
                if self._lookup is None:
                    self._lookup = DnsLookup()
                return await self._lookup.ask(step)
            case NamedQuestion(source):
                named = self._naming.get(source)
                return () if named is None else tuple(await named())
            case Request():
                return await self._fetch(step)

    async def _fetch(self, request: Request) -> Response | None:
        try:
            async with asyncio.timeout(TIMEOUT):
                headers = [*request.headers, ("Accept-Encoding", "identity")]
                async with self.client.stream(request.method, request.target, headers=headers) as answer:
                    octets = bytearray()
                    # As they were sent: what is compressed could be much larger than it looks.
                    async for part in answer.aiter_raw():
                        octets += part
                        if len(octets) > MAX_MESSAGE:
                            return None
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError):
            return None
        return Response(answer.status_code, tuple(answer.headers.multi_items()), bytes(octets))


def alto_naming(directory: str, address: str) -> Naming:
    """What the ALTO server with this directory says of an address: the origins in the property PROPERTY."""
    kind = "ipv6" if ":" in address else "ipv4"
    endpoint = f"{kind}:{address}"

    async def ask() -> Sequence[str]:
        try:
            async with AltoClient(directory) as alto:
                found = await alto.endpoint_properties([endpoint], [PROPERTY])
        except AltoError:
            return ()
        value = found.value.get(endpoint, PROPERTY)
        return (value,) if isinstance(value, str) else ()

    return ask


def redir_naming(look_up: Callable[[], Awaitable[Lookup]]) -> Naming:
    """What a lookup in the ReDiR tree of `decade.discovery.NAMESPACE` says: the origin in the record of the provider.

    A server registers by `ServiceProvider(tree, node_id, extension_type=REDIR_TYPE, extension=origin.encode())`.
    """

    async def ask() -> Sequence[str]:
        provider = (await look_up()).provider
        if provider is None or provider.record.type != REDIR_TYPE:
            return ()
        return (provider.record.extension.decode("utf-8", "replace"),)

    return ask

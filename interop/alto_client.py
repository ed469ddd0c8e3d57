"""An ALTO client over HTTP: `httpx` carries the plans of `alto.client.Client`.

async with AltoClient("https://alto.example.com/directory") as alto:
    for peer in await alto.rank("192.0.2.7", ["198.51.100.1", "203.0.113.9"]):
        print(peer.endpoint, peer.cost)
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import TracebackType
from typing import Any, Generic, TypeVar

import httpx

from alto._json import Json
from alto.auth import DigestClient
from alto.cdni import CdniAdvertisement, CdniCapability
from alto.client.client import Client
from alto.client.costs import ROUTING_COST, RankedPeer
from alto.client.errors import UnreachableError, retry_delay
from alto.client.fetch import MAX_BODY, MAX_CHALLENGES, Plan
from alto.client.reading import Result
from alto.closure import Closure
from alto.costresult import ReceivedCosts
from alto.endpointproperty import EndpointProperties
from alto.errors import AltoError, DecodeError
from alto.findings import Finding
from alto.http import Headers, Request, Response
from alto.networkmap import ParsedNetworkMap
from alto.pathvector import PathVector
from alto.propertymap import ParsedPropertyMap
from alto.types import CostType
from interop.alto_watch import Update, watch

_T = TypeVar("_T")

TIMEOUT = 10.0
"""Seconds to connect, and without a single octet while an answer is awaited or read."""
DEADLINE = 120.0
"""Seconds for an exchange: a body of MAX_BODY at 10 Mbit/s. It ends what comes drop by drop."""
MAX_WAIT = 5.0
"""Seconds that an overloaded server can have a request wait by its Retry-After before it counts as refused."""
LARGE = 65536
"""Octets of a body from which on it is parsed in a thread, so that the event loop goes on."""

_OVERLOAD = (429, 503)


class AltoClient:
    """The ALTO server with this Root IRD. `async with AltoClient(url) as alto`, or `await alto.aclose()` at the end.

    A strict client raises alto.DecodeError where the server breaks a MUST; a lenient one makes the best of it. Either
    way `findings` has the deviations so far. `auth` is a user and password for HTTP Digest, `cert` the file of a
    client certificate or a pair of files, its key the second; both go to the origin of `url` only, the certificate to
    whoever asks for it. Cookies are dropped and proxies are not used: both would tell more or less than the client's
    address (RFC 7285 section 15.4.2), by which a server answers.

    What the methods raise is what the plans of `alto.client.Client` raise.
    """

    def __init__(
        self,
        url: str,
        *,
        strict: bool = True,
        auth: tuple[str, str] | None = None,
        verify: ssl.SSLContext | bool = True,
        cert: str | tuple[str, str] | None = None,
        timeout: float = TIMEOUT,
        max_body: int = MAX_BODY,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        credentials = DigestClient(url, *auth) if auth is not None else None
        self.client = Client(url, strict=strict, credentials=credentials, max_body=max_body, wall=time.time)
        self.can_stream = True
        """Whether answers come in pieces as they are sent; httpx's ASGI transport waits for the end of them."""
        self._max_body = max_body
        self._timeout = timeout
        self._http = httpx.AsyncClient(
            verify=_context(verify, cert),
            transport=transport,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            headers={"User-Agent": "ietf-p2p"},
            trust_env=False,
        )
        # Plans share what the client keeps; one of them at a time may be at work in a thread.
        self._working = asyncio.Lock()

    @classmethod
    def over(
        cls,
        app: Callable[..., Awaitable[None]],
        url: str = "http://alto.invalid/",
        *,
        strict: bool = True,
        auth: tuple[str, str] | None = None,
    ) -> AltoClient:
        """A client of an ASGI application in this process, whose Root IRD is at `url`. It can watch by TIPS only."""
        alto = cls(url, strict=strict, auth=auth, transport=httpx.ASGITransport(app=app))
        alto.can_stream = False
        return alto

    async def __aenter__(self) -> AltoClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Where the server has deviated from the RFCs so far."""
        return self.client.findings

    async def run(self, plan: Plan[_T], *, silence: float | None = None) -> _T:
        """Carry a plan to its end. A server may be silent for `silence` seconds; a long poll wants more than others."""
        step: Request | _Done[_T] = await self._step(plan.send, None)
        while isinstance(step, Request):
            try:
                response = await self._exchange(step, self._timeout if silence is None else silence)
            except AltoError as error:
                step = await self._step(plan.throw, error)
            else:
                if len(response.body) < LARGE:
                    step = await self._step(plan.send, response)
                else:
                    step = await self._step(plan.send, response, in_thread=True)
        return step.value

    async def _step(self, resume: Callable[[Any], Request], value: Any, *, in_thread: bool = False) -> Any:
        async with self._working:
            if in_thread:
                return await asyncio.to_thread(_advance, resume, value)
            return _advance(resume, value)

    async def _exchange(self, request: Request, silence: float) -> Response:
        """An answer, after waits where the server asks for them. Raises UnreachableError, DecodeError."""
        patience = MAX_WAIT
        while True:
            response = await self._send(request, silence)
            delay = retry_delay(response.header("retry-after"), time.time()) if response.status in _OVERLOAD else None
            if delay is None or delay > patience:
                return response
            # At least a little, so that a server that says 0 is not asked in a tight loop.
            patience -= max(delay, 0.5)
            await asyncio.sleep(delay)

    @contextlib.asynccontextmanager
    async def open(self, request: Request, *, silence: float) -> AsyncIterator[tuple[Response, AsyncIterator[bytes]]]:
        """Send a request whose answer goes on, with the client's credentials: its head, and the octets as they come.

        A response of another status than 200 has its body and no octets to come. Raises UnreachableError, also from
        among the octets, after `silence` seconds without any.
        """
        credentials = self.client.session.credentials
        request = request if credentials is None else credentials.authorize(request)
        for _ in range(MAX_CHALLENGES + 1):
            async with self._stream(request, silence) as stream:
                body = b"" if stream.status_code == 200 else await self._body(stream, request)
                response = Response(stream.status_code, _fields(stream), body)
                answer = credentials.answer(request, response) if credentials is not None else None
                if answer is None:
                    yield response, stream.aiter_bytes()
                    return
            request = answer
        raise UnreachableError(f"{request.target:.200}: one challenge after the other")

    @contextlib.asynccontextmanager
    async def _stream(self, request: Request, silence: float) -> AsyncIterator[httpx.Response]:
        headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in request.headers]
        timeout = httpx.Timeout(silence, connect=self._timeout)
        try:
            async with self._http.stream(
                request.method, request.target, headers=headers, content=request.body or None, timeout=timeout
            ) as stream:
                yield stream
        # UnicodeError: a host that begins like an international name and is none, such as `xn--a`.
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, UnicodeError) as error:
            raise UnreachableError(f"{request.target:.200}: {str(error) or type(error).__name__:.200}") from error

    async def _send(self, request: Request, silence: float) -> Response:
        try:
            async with asyncio.timeout(DEADLINE + silence), self._stream(request, silence) as stream:
                return Response(stream.status_code, _fields(stream), await self._body(stream, request))
        except TimeoutError as error:
            raise UnreachableError(f"{request.target:.200}: no answer in time") from error

    async def _body(self, stream: httpx.Response, request: Request) -> bytes:
        body = bytearray()
        async for chunk in stream.aiter_bytes():
            body += chunk
            if len(body) > self._max_body:
                raise DecodeError(f"{request.target:.200}: a body of more than {self._max_body} octets")
        return bytes(body)

    async def directory(self, *, refresh: bool = False) -> Closure:
        """All resources of the server, from its Root IRD and those that it leads to."""
        return await self.run(self.client.directory(refresh=refresh))

    async def network_map(self, resource_id: str | None = None) -> Result[ParsedNetworkMap]:
        """A whole network map, the default one where no ID is given. Asked for again, it is only validated."""
        return await self.run(self.client.network_map(resource_id))

    async def pid(self, address: str, *, network_map: str | None = None) -> str | None:
        """The PID of an address, such as `192.0.2.1` or `ipv4:192.0.2.1`, in a network map; None for no PID.

        Raises ValueError for what is no address.
        """
        return (await self.network_map(network_map)).value.network_map.pid_of(address)

    async def pids(self, addresses: Sequence[str], *, network_map: str | None = None) -> list[str | None]:
        """The PIDs of many addresses. Raises ValueError."""
        return (await self.network_map(network_map)).value.network_map.pids_of(addresses)

    async def cost_map(
        self, cost_type: CostType = ROUTING_COST, *, network_map: str | None = None
    ) -> Result[ReceivedCosts]:
        """All costs of a type between the PIDs of a network map, the default one where no ID is given."""
        return await self.run(self.client.cost_map(cost_type, network_map=network_map))

    async def costs(
        self,
        sources: Sequence[str],
        destinations: Sequence[str],
        cost_type: CostType = ROUTING_COST,
        *,
        private: bool = False,
    ) -> Result[ReceivedCosts]:
        """Costs between addresses, `192.0.2.1` or `ipv4:192.0.2.1`; no sources are this client as the server sees it.

        From an endpoint cost service, else looked up here in the maps; `private` keeps to the maps, so that the server
        does not learn the addresses.
        """
        return await self.run(self.client.costs(sources, destinations, cost_type, private=private))

    async def rank(
        self, source: str | None, peers: Sequence[str], *, metric: str = "routingcost", private: bool = False
    ) -> tuple[RankedPeer, ...]:
        """The peers as `source` should prefer them, the best first; None is this client as the server sees it.

        Those that the server knows no cost of come last. `private` as in `costs`.
        """
        return (await self.run(self.client.rank(source, peers, metric=metric, private=private))).peers

    async def endpoint_properties(
        self, endpoints: Sequence[str], properties: Sequence[str] | None = None
    ) -> Result[EndpointProperties]:
        """Properties of endpoints such as `ipv4:192.0.2.1` (RFC 7285 section 11.4)."""
        return await self.run(self.client.endpoint_properties(endpoints, properties))

    async def properties(
        self, entities: Sequence[str], properties: Sequence[str] | None = None
    ) -> Result[ParsedPropertyMap]:
        """Properties of entities such as `ipv4:192.0.2.0/24` (RFC 9240); all of them where none are named."""
        return await self.run(self.client.properties(entities, properties))

    async def path_vector(
        self,
        sources: Sequence[str],
        destinations: Sequence[str],
        property_names: Sequence[str] | None = None,
        *,
        between: str = "endpoints",
    ) -> Result[PathVector]:
        """The elements that traffic goes through `between` "endpoints" or "pids", with properties (RFC 9275)."""
        return await self.run(self.client.path_vector(sources, destinations, property_names, between=between))

    async def cdni(self, capabilities: Sequence[CdniCapability] = ()) -> Result[CdniAdvertisement]:
        """A CDNI advertisement, of those capabilities only where some are given (RFC 9241)."""
        return await self.run(self.client.cdni(capabilities))

    def watch(self, *resource_ids: str, inputs: Mapping[str, Json] | None = None) -> AsyncGenerator[Update, None]:
        """The documents of these resources, now and whenever they change: `async for update in alto.watch("map")`.

        `inputs` is what resources that take input are asked, by ID. Several resources come by one update stream; one
        may come by TIPS as well. After a ResourceInvalidated its document must not be used until the next
        ResourceUpdated. Lost connections are opened again, without end.
        """
        return watch(self, resource_ids, inputs or {})


class _Done(Generic[_T]):
    """The value of a plan that has come to its end."""

    def __init__(self, value: _T) -> None:
        self.value = value


def _advance(resume: Callable[[Any], Request], value: Any) -> Request | _Done[Any]:
    """The next request of a plan, or its end: no future can carry a StopIteration."""
    try:
        return resume(value)
    except StopIteration as stop:
        return _Done(stop.value)


def _fields(stream: httpx.Response) -> Headers:
    return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in stream.headers.raw)


def _context(verify: ssl.SSLContext | bool, cert: str | tuple[str, str] | None) -> ssl.SSLContext | bool:
    """What httpx verifies servers with, and proves to them who this client is."""
    if cert is None:
        return verify
    context = verify if isinstance(verify, ssl.SSLContext) else ssl.create_default_context()
    if verify is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if isinstance(cert, str):
        context.load_cert_chain(cert)
    else:
        context.load_cert_chain(*cert)
    return context

"""A peer at its tracker over HTTP: `httpx` carries what `ppsp.tracker.TrackerClient` has to say.

The session lives on while the tracker is out of reach, and registers again when it is back.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
import time
from collections.abc import Callable, Sequence
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ssl import SSLContext
from types import TracebackType
from typing import TypeAlias

import httpx

from interop._nat_checks import priority
from ppsp.tracker import (
    MAX_RESPONSE,
    AddressSeen,
    AddressType,
    ClientTiming,
    ErrorCode,
    Event,
    Joined,
    Left,
    PeerAddr,
    PeerMode,
    PeerNum,
    PeersFound,
    Refused,
    Request,
    RequestLost,
    Response,
    StreamStats,
    TrackerClient,
)

Address: TypeAlias = tuple[str, int]
OnPeers: TypeAlias = Callable[[bytes, list[Address]], None]
OnCandidates: TypeAlias = Callable[[bytes, dict[str, list[PeerAddr]]], None]

REQUEST_TIMEOUT = 10.0
"""Seconds for one exchange; a tracker that takes longer is out of reach."""
LEAVE_TIMEOUT = 3.0
"""Seconds that leaving may take when the session is closed: a tracker that hears nothing forgets us by itself."""

logger = logging.getLogger(__name__)


class TrackerError(Exception):
    """The tracker cannot be reached, or refuses; the text says why, in one line."""


class TrackerSession:
    """One peer's registration at one tracker; `await open`, verbs, `await close`, or `async with await open(...)`.

    Swarm IDs are those of PPSPP, and go to the tracker in hexadecimal.
    """

    def __init__(
        self,
        client: TrackerClient,
        http: httpx.AsyncClient,
        on_peers: OnPeers | None,
        on_candidates: OnCandidates | None,
        hosts: list[PeerAddr],
    ) -> None:
        self._client = client
        self._http = http
        self._on_peers = on_peers
        self._on_candidates = on_candidates
        self._hosts = hosts
        self._news = asyncio.Event()
        self._changed = asyncio.Condition()
        self.trouble: str | None = None
        """Why the last request failed, in one line; None when it did not."""
        self.public_address: Address | None = None
        """The address that the tracker sees our requests come from."""
        self._task = asyncio.create_task(self._run(), name=f"tracker {client.tracker}")

    @classmethod
    async def open(
        cls,
        tracker: str,
        peer_id: str,
        *,
        listens_on: Sequence[Address] = (),
        candidates: Sequence[PeerAddr] = (),
        peer_num: PeerNum | None = None,
        seeks_as_seeder: bool = False,
        on_peers: OnPeers | None = None,
        on_candidates: OnCandidates | None = None,
        timing: ClientTiming | None = None,
        insecure: bool = False,
        verify: SSLContext | bool = True,
        auth: httpx.Auth | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> TrackerSession:
        """A session with the tracker at this http or https URI; nothing is asked before `join`.

        `listens_on` is where this peer receives datagrams: IP addresses and ports, as a socket gives them. An address
        like 0.0.0.0 becomes the one that this machine has on the way to the tracker. `on_peers(swarm_id, addresses)` is
        called with every list of peers: the best address of each, of a family that we listen on; `on_candidates` with
        all the addresses of each peer ID. `candidates` are addresses that servers of STUN and TURN have given us, see
        `announce`; `peer_num` and `seeks_as_seeder` are those of `ppsp.tracker.TrackerClient`. Raises TrackerError for
        a URI that is none, whose host is not known, or that `parse_tracker` refuses unless `insecure`. Redirects are
        not followed, so that https stays https.
        """
        url = parse_tracker(tracker, insecure=insecure)
        addresses = [await _reachable(url, address) for address in listens_on]
        hosts = [
            PeerAddr(host, port, priority(AddressType.HOST, 65_535 - order), peer_protocol="PPSP-PP")
            for order, (host, port) in enumerate(addresses)
        ]
        http = httpx.AsyncClient(
            timeout=REQUEST_TIMEOUT,
            verify=verify,
            auth=auth,
            transport=transport,
            # A tracker could recognize us by its cookies (RFC 7846 section 6.5); a proxy would lend us its address.
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            trust_env=False,
            follow_redirects=False,
        )
        client = TrackerClient(
            peer_id,
            tracker,
            peer_addr=_distinct(hosts, candidates),
            peer_num=peer_num,
            seeks_as_seeder=seeks_as_seeder,
            timing=timing,
        )
        return cls(client, http, on_peers, on_candidates, hosts)

    def join(self, swarm_id: bytes, peer_mode: PeerMode) -> None:
        """Be in the swarm in this mode, or change to it."""
        self._client.join(swarm_id.hex(), peer_mode)
        self._news.set()

    def leave(self, swarm_id: bytes) -> None:
        """Leave the swarm. Raises StateError when it was never joined."""
        self._client.leave(swarm_id.hex())
        self._news.set()

    def announce(self, candidates: Sequence[PeerAddr]) -> None:
        """Be at these addresses too, instead of those announced before; what `listens_on` said stays."""
        self._client.announce(_distinct(self._hosts, candidates))
        self._news.set()

    def find(self, swarm_id: bytes) -> None:
        """Ask for peers now. Raises StateError when the swarm was never joined."""
        self._client.find(swarm_id.hex())
        self._news.set()

    def report(
        self,
        swarm_id: bytes,
        *,
        uploaded_bytes: int,
        downloaded_bytes: int,
        available_bandwidth: int = 0,
        concurrent_links: int = 0,
    ) -> None:
        """What the next STAT_REPORT says about the swarm. Raises StateError when it was never joined."""
        self._client.report(
            StreamStats(swarm_id.hex(), uploaded_bytes, downloaded_bytes, available_bandwidth, concurrent_links)
        )

    async def joined(self, swarm_id: bytes, within: float = REQUEST_TIMEOUT) -> None:
        """Wait until the tracker has us in the swarm.

        Raises TrackerError when it is in trouble, and after `within` seconds; the session goes on trying.
        """
        key = swarm_id.hex()
        try:
            async with asyncio.timeout(within), self._changed:
                await self._changed.wait_for(lambda: self._client.peer_mode(key) or self.trouble)
        except TimeoutError:
            raise TrackerError(f"no answer from {self._client.tracker} within {within:g} s") from None
        if self._client.peer_mode(key) is None:
            raise TrackerError(self.trouble)

    async def close(self) -> None:
        """Leave every swarm, as far as the tracker can be reached at once, and end the session."""
        self.trouble = None
        self._client.leave_all()
        self._news.set()
        try:
            async with asyncio.timeout(LEAVE_TIMEOUT), self._changed:
                await self._changed.wait_for(lambda: self._client.is_idle or self.trouble)
        except TimeoutError:
            logger.info("%s was not told that we leave", self._client.tracker)
        finally:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            await self._http.aclose()

    async def __aenter__(self) -> TrackerSession:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _run(self) -> None:
        while True:
            self._news.clear()
            request = self._client.next_request(time.monotonic())
            if request is None:
                await self._pause()
                continue
            try:
                response = await self._exchange(request)
            except (httpx.HTTPError, httpx.StreamError, OSError) as error:
                reason = f"{self._client.tracker} is out of reach: {_words(error)}"
                self._client.request_failed(reason, time.monotonic())
            else:
                self.trouble = None
                self._client.receive_response(response, time.monotonic())
            await self._tell()

    async def _pause(self) -> None:
        """Wait for a verb, or for the client's time."""
        deadline = self._client.get_timer()
        pause = None if deadline is None else max(0.0, deadline - time.monotonic())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._news.wait()

    async def _exchange(self, request: Request) -> Response:
        headers = [*request.headers, ("Accept-Encoding", "identity")]
        async with (
            asyncio.timeout(REQUEST_TIMEOUT),
            self._http.stream(request.method, request.target, headers=headers, content=request.body) as answer,
        ):
            body = bytearray()
            async for part in answer.aiter_raw():
                body += part
                if len(body) > MAX_RESPONSE:
                    raise httpx.DecodingError("the response is too long")
            return Response(answer.status_code, tuple(answer.headers.multi_items()), bytes(body))

    async def _tell(self) -> None:
        while (event := self._client.next_event()) is not None:
            self._note(event)
        async with self._changed:
            self._changed.notify_all()

    def _note(self, event: Event) -> None:
        match event:
            case PeersFound():
                self._introduce(event)
            case AddressSeen():
                self.public_address = (event.peer_addr.address, event.peer_addr.port)
            case Refused():
                self._has_trouble(f"{self._client.tracker} refuses: {_error_name(event.error_code)}")
            case RequestLost():
                self._has_trouble(event.reason)
            case Joined() | Left():
                logger.info("%s: %s", self._client.tracker, event)

    def _introduce(self, found: PeersFound) -> None:
        # From elsewhere such an address would have us send to the services of this machine (RFC 8445 section 5.1.1.1).
        is_here = not self._hosts or any(host.is_loopback for host in self._hosts)
        every: dict[str, list[PeerAddr]] = {}
        for peer in sorted(found.peers, key=lambda peer: -peer.peer_addr.priority):
            if is_here or not peer.peer_addr.is_loopback:
                every.setdefault(peer.peer_id, []).append(peer.peer_addr)
        swarm_id = bytes.fromhex(found.swarm_id)
        try:
            if self._on_candidates is not None:
                self._on_candidates(swarm_id, every)
            if self._on_peers is not None:
                self._on_peers(swarm_id, self._best(every))
        except Exception:
            logger.exception("what is to be told of peers failed")

    def _best(self, every: dict[str, list[PeerAddr]]) -> list[Address]:
        families = {host.address_type for host in self._hosts}
        found: dict[Address, None] = {}
        for addresses in every.values():
            usable = [one for one in addresses if not families or one.address_type in families]
            found.update({(one.address, one.port): None for one in usable[:1]})
        return list(found)

    def _has_trouble(self, what: str) -> None:
        logger.info("%s", what)
        self.trouble = what


def _distinct(hosts: Sequence[PeerAddr], candidates: Sequence[PeerAddr]) -> list[PeerAddr]:
    """Without a NAT a server sees us where we are."""
    known = {(host.address, host.port) for host in hosts}
    return [*hosts, *(one for one in candidates if (one.address, one.port) not in known)]


def _error_name(code: int) -> str:
    try:
        name = ErrorCode(code).name.replace("_", " ").capitalize()
    except ValueError:
        name = "unknown error"
    return f"{name} (error {code:02d})" if code else "not in this swarm"


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__


def parse_tracker(tracker: str, *, insecure: bool = False) -> httpx.URL:
    """The URI of a tracker: https, and http on this machine alone (RFC 7846 section 6.1) unless `insecure`.

    Raises TrackerError.
    """
    try:
        url = httpx.URL(tracker)
        url.host.encode("idna")  # as the resolver does, whose error is no OSError
    except (httpx.InvalidURL, UnicodeError) as error:
        raise TrackerError(f"tracker {tracker!r}: {error}") from error
    if url.scheme not in ("http", "https") or not url.host or not 0 < (url.port or 443) < 2**16:
        raise TrackerError(f"tracker {tracker!r}: not an http or https URI")
    if url.scheme == "http" and not insecure and not _is_here(url.host):
        raise TrackerError(
            f"tracker {tracker!r}: over plain HTTP everybody on the way can read and change what is said: "
            "take https://, or allow it with --insecure-tracker (insecure=True)"
        )
    return url


def _is_here(host: str) -> bool:
    """Whether the host is this machine, by its text alone: an answer of DNS could be anybody's."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def _reachable(url: httpx.URL, address: Address) -> Address:
    """`address` without its zone, or where it is "any address" the one of this machine on the way to the tracker."""
    host, port = address[0].partition("%")[0], address[1]
    if not ipaddress.ip_address(host).is_unspecified:
        return host, port
    # A socket on `::` hears IPv4 too, so the way to the tracker decides.
    family = socket.AF_UNSPEC if ":" in host else socket.AF_INET
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            url.host, url.port or 443, family=family, type=socket.SOCK_DGRAM
        )
        with socket.socket(found[0][0], socket.SOCK_DGRAM) as probe:
            probe.connect(found[0][4])  # sends nothing: it only asks the routing table
            local: str = probe.getsockname()[0].partition("%")[0]
    except OSError as error:
        raise TrackerError(f"tracker {url}: no way to {url.host}: {error.strerror or error}") from error
    return local, port

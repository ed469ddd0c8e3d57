"""What a node itself answers: Ping, Probe and the storage messages (RFC 6940 sections 6.4.2.5, 6.5.3 and 7.4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from reload.contents import ErrorCode, ErrorResponse, MessageCode, MessageExtension
from reload.context import Context
from reload.exchange import Answer, Reply, Request
from reload.methods import PingAns, ProbeAns, ProbeInformation, ProbeInformationType
from reload.node_ports import Service
from reload.replication import Keeper
from reload.responding import Handler
from reload.storage import Storage, StoreAccepted
from reload.topology import Topology

_MAX_U32 = 0xFFFFFFFF


@runtime_checkable
class ProbeExtender(Protocol):
    """A topology that adds message extensions to the answers to Probes, as CHORD-SELF-TUNING does (RFC 7363)."""

    def probe_extensions(self, request: Request, now: float) -> tuple[MessageExtension, ...]:
        """What to add to the answer to this Probe; what came with it is the topology's to use."""
        ...


class Basics:
    """Answers Pings and Probes."""

    def __init__(
        self,
        context: Context,
        topology: Topology,
        services: Sequence[Service],
        *,
        num_resources: Callable[[], int],
    ) -> None:
        self._context = context
        self._topology = topology
        self._services = services
        self._num_resources = num_resources

    @property
    def handlers(self) -> dict[int, Handler]:
        """By message code."""
        return {MessageCode.PING_REQ: self.on_ping, MessageCode.PROBE_REQ: self.on_probe}

    def on_ping(self, request: Request, now: float) -> Reply:
        """Answer a Ping (section 6.5.3)."""
        extensions: tuple[MessageExtension, ...] = ()
        if request.extensions:
            for service in self._services:
                more = service.extend_ping(request, now)
                if isinstance(more, ErrorResponse):
                    return more
                extensions += more
        response_id = int.from_bytes(self._context.random_bytes(8), "big")
        return Answer(PingAns(response_id, self._context.milliseconds(now)), extensions)

    def on_probe(self, request: Request, now: float) -> Reply:
        """Answer a Probe with what is known of what it asks for, in its order (section 6.4.2.5.2)."""
        known: dict[int, Callable[[], int]] = {
            ProbeInformationType.RESPONSIBLE_SET: self._topology.responsible_ppb,
            ProbeInformationType.NUM_RESOURCES: self._num_resources,
            ProbeInformationType.UPTIME: lambda: self._context.uptime(now),
        }
        info = tuple(
            ProbeInformation(asked, min(known[asked](), _MAX_U32))
            for asked in request.body.requested_info
            if asked in known
        )
        extensions: tuple[MessageExtension, ...] = ()
        if isinstance(self._topology, ProbeExtender):
            extensions = self._topology.probe_extensions(request, now)
        return Answer(ProbeAns(info), extensions)


class StorageService:
    """Answers Store, Fetch, Stat and Find."""

    def __init__(self, context: Context, storage: Storage, keeper: Keeper) -> None:
        self._context = context
        self._storage = storage
        self._keeper = keeper

    @property
    def handlers(self) -> dict[int, Handler]:
        """By message code."""
        return {
            MessageCode.STORE_REQ: self.on_store,
            MessageCode.FETCH_REQ: lambda request, now: self._storage.fetch(request.body, now),
            MessageCode.STAT_REQ: lambda request, now: self._storage.stat(request.body, now),
            MessageCode.FIND_REQ: lambda request, now: self._storage.find(request.body, now),
        }

    def on_store(self, request: Request, now: float) -> Reply:
        """Store, and have what has changed go to whom else it is for."""
        outcome = self._storage.store(
            request.body,
            signer=request.identity,
            certificates=request.certificates,
            verifier=self._context.in_force.verifier,
            now=now,
        )
        source = request.identity.node_id if request.body.replica_number else None
        if not isinstance(outcome, StoreAccepted):
            if source is not None and outcome.error_code == ErrorCode.FORBIDDEN:
                self._keeper.on_refused(request.body, source, now)
            return outcome
        self._keeper.on_stored(request.body, outcome.changed, source, now)
        return outcome.answer

"""The parts of a node, made and connected with each other."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

import attrs

from reload.attaching import Attaching
from reload.chord import ChordReload
from reload.configuration import CHORD_RELOAD, CHORD_SELF_TUNING, Configuration
from reload.configuring import Configuring
from reload.connections import ConnectionTable
from reload.contents import ExtensionType, MessageCode
from reload.context import Context
from reload.direct_responses import DirectResponses
from reload.errors import StateError
from reload.events import Completed, Event
from reload.handlers import Basics, ProbeExtender, StorageService
from reload.header import OptionType
from reload.inside import Inside
from reload.links import Links
from reload.node_ports import Service, Transit
from reload.receiving import Receiver
from reload.replication import Keeper
from reload.requesting import Requester
from reload.responding import Handler, Responder
from reload.response_routes import ResponseRoute
from reload.response_routing import RouteChooser
from reload.running import Running
from reload.self_tuning import SelfTuningChord
from reload.sending import Sender, Tasks
from reload.storage import Storage
from reload.topology import MakeTopology, Topology
from reload.traffic import Traffic
from reload.via_lists import ViaLists

_OF_TOPOLOGY = (MessageCode.JOIN_REQ, MessageCode.LEAVE_REQ, MessageCode.UPDATE_REQ, MessageCode.ROUTE_QUERY_REQ)
_OF_ATTACHES = (MessageCode.ATTACH_REQ, MessageCode.APP_ATTACH_REQ)


class Parts:
    """What a node owns. `tasks` and `events` are what the parts have put off, and what they tell."""

    def __init__(
        self,
        context: Context,
        make_topology: MakeTopology,
        services: Sequence[Service],
        *,
        applications: Iterable[int],
        via_lists: ViaLists,
        response_routes: Sequence[ResponseRoute],
        max_response_length: int,
    ) -> None:
        self.context = context
        self.tasks: Tasks = deque()
        self.events: deque[Event] = deque()
        emit = self.events.append
        connections = self.connections = ConnectionTable()
        sender = self.sender = Sender(context, connections, via_lists)
        self.routes = RouteChooser(context, connections, response_routes)
        self.direct = DirectResponses(context, connections, sender, emit)
        requester = self.requester = Requester(
            context, sender, self.tasks, self.routes, max_response_length=max_response_length
        )
        responder = self.responder = Responder(context, connections, sender, self.direct)
        self.receiver = Receiver(context, connections, sender, requester, responder)
        self.running = Running(
            context, requester, self.tasks, lambda number, result, now: emit(Completed(number, result))
        )
        self.configuring = Configuring(context, connections, requester, emit)
        self.inside = Inside(context, connections, sender, requester, responder, emit)
        self.attaching = Attaching(
            context,
            requester,
            responder,
            self.tasks,
            applications=applications,
            emit=emit,
            on_ended=self.inside.on_attach_ended,
        )
        self.topology: Topology = make_topology(self.inside, context.started)
        self._store()
        self._connect()
        self._serve(services)

    def _store(self) -> None:
        """Hold values, or go on with those of a snapshot. Raises DecodeError."""
        context, topology = self.context, self.topology
        settings = context.storage_settings
        self.storage = Storage(
            context.in_force.kinds,
            topology,
            epoch=context.epoch,
            node_id_length=context.node_id_length,
            policies=settings.policies_with(context.configuration),
            checks=settings.checks_with(context.configuration),
            hidden_kinds=settings.hidden_kinds,
            quotas=settings.quotas,
        )
        if settings.snapshot is not None:
            self.storage.restore(settings.snapshot, context.started)
            self.storage.drop_invalid(context.in_force.verifier, context.started)
            context.storage_settings = attrs.evolve(settings, snapshot=None)
        self.keeper = Keeper(self.storage, topology, self.inside, self.running.reader, context.signer)

    def _connect(self) -> None:
        """Have the parts know of each other."""
        inside, topology = self.inside, self.topology
        self.links = Links(
            self.context, self.connections, self.attaching, self.direct, topology, self.keeper, self.events.append
        )
        self.receiver.on_named = self.links.named
        inside.topology, inside.attaching, inside.links = topology, self.attaching, self.links
        inside.values, inside.mover = self.storage, self.keeper
        self.sender.hops, self.sender.first_hop = topology, inside.first_hop
        self.requester.deliver = self.responder.on_own
        self.requester.is_plausible_responder = topology.is_plausible_responder
        self.requester.on_error = self.configuring.on_error
        self.responder.on_reply = self.requester.on_reply
        self.responder.on_old_configuration = self.configuring.on_old_request
        self.timed = (
            self.requester,
            self.receiver,
            self.attaching,
            self.direct,
            self.links,
            topology,
            self.storage,
            self.keeper,
            self.configuring,
        )

    def _serve(self, services: Sequence[Service]) -> None:
        """Have every request answered by whose it is."""
        context, topology, inside = self.context, self.topology, self.inside
        handlers: dict[int, Handler] = {
            **dict.fromkeys(_OF_TOPOLOGY, topology.on_request),
            **dict.fromkeys(_OF_ATTACHES, self.attaching.on_request),
            MessageCode.CONFIG_UPDATE_REQ: self.configuring.on_request,
            **Basics(context, topology, services, num_resources=self.storage.num_resources).handlers,
            **StorageService(context, self.storage, self.keeper).handlers,
        }
        transits: dict[int, list[Transit]] = {}
        extension_types: set[int] = {ExtensionType.SELF_TUNING_DATA} if isinstance(topology, ProbeExtender) else set()
        for service in services:
            service.bind(inside)
            extension_types |= service.extension_types
            handlers.update(dict.fromkeys(service.message_codes, service.on_request))
            if isinstance(service, Transit):
                inside.traffic = inside.traffic or Traffic(context.started)
                for code in service.transit_codes:
                    transits.setdefault(code, []).append(service)
        self.responder.handlers, self.responder.extension_types = handlers, frozenset(extension_types)
        self.responder.option_types = self.receiver.option_types = frozenset({OptionType.EXTENSIVE_ROUTING_MODE})
        self.receiver.transits = transits


def default_topology(configuration: Configuration) -> MakeTopology:
    """The plug-in that a configuration names. Raises StateError for one that is not here."""
    if configuration.topology_plugin == CHORD_RELOAD:
        return ChordReload
    if configuration.topology_plugin == CHORD_SELF_TUNING:
        return SelfTuningChord
    raise StateError(f"the topology {configuration.topology_plugin!r} is not known")

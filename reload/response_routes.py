"""The forwarding option by which a request asks for DRR or RPR (RFC 7263 section 5.2, RFC 7264 section 5.2)."""

from __future__ import annotations

import attrs

from reload._presentation import decode, encode
from reload.addresses import IpAddressPort
from reload.destinations import Destination, NodeDestination
from reload.errors import DecodeError
from reload.extensions import ExtensiveRoutingModeOption, RouteMode
from reload.header import ForwardingHeader, ForwardingOption, OptionFlag, OptionType
from reload.methods import OverlayLinkType

_DUE = {RouteMode.DRR: 1, RouteMode.RPR: 2}
"""How many destinations the option has."""


@attrs.frozen
class ResponseRoute:
    """Where responses can be sent to: an address of this node (DRR), or of its `relay`, a connected node (RPR)."""

    overlay_link: OverlayLinkType
    address: IpAddressPort
    relay: bytes | None = None

    @property
    def mode(self) -> RouteMode:
        """What it is good for."""
        return RouteMode.DRR if self.relay is None else RouteMode.RPR

    def option(self, node_id: bytes) -> ForwardingOption:
        """As a request of this node carries it (RFC 7263 section 5.3.1, RFC 7264 section 5.3.1)."""
        destinations = tuple(NodeDestination(each) for each in (self.relay, node_id) if each is not None)
        value = ExtensiveRoutingModeOption(self.mode, self.overlay_link, self.address, destinations)
        octets = encode(value, node_id_length=len(node_id))
        return ForwardingOption(OptionType.EXTENSIVE_ROUTING_MODE, OptionFlag.IGNORE_STATE_KEEPING, octets)


@attrs.frozen
class Wanted:
    """What the option of a request asks for: to send the response to `destinations[0]`, at an address."""

    overlay_link: int
    address: IpAddressPort
    destinations: tuple[Destination, ...]
    target: bytes


def read_route(header: ForwardingHeader, requester: bytes) -> Wanted | None:
    """What a request asks for, None for SRR. Raises DecodeError for what is to be answered with an error.

    The option is not signed: it must name the requester, whose certificate shows the rest on the connection.
    """
    for option in header.options:
        if option.type == OptionType.EXTENSIVE_ROUTING_MODE:
            value = decode(ExtensiveRoutingModeOption, option.value, node_id_length=len(requester))
            destinations = value.destinations
            if value.routemode not in (RouteMode.DRR, RouteMode.RPR):
                raise DecodeError(f"ExtensiveRoutingModeOption.routemode: {value.routemode} is not known")
            due = _DUE[RouteMode(value.routemode)]
            nodes = [each.node_id for each in destinations if isinstance(each, NodeDestination)]
            if len(destinations) != due or len(nodes) != due:
                raise DecodeError(f"ExtensiveRoutingModeOption.destinations: {due} of type node are due")
            if nodes[-1] != requester:
                raise DecodeError("ExtensiveRoutingModeOption.destinations: not the node that has sent this")
            return Wanted(value.transport, value.ipaddressport, destinations, nodes[0])
    return None

"""A network as a graph: nodes with PIDs, links with a bandwidth. Its shortest paths give path vectors and costs.

It comes from JSON or CSV (`topology_from_json`, `topology_from_csv`) and stands in for what a real operator has in a
controller. For each request it merges what every flow asked about goes through alike into one abstract network
element, so that a client sees the bottlenecks that matter to it and not the links (RFC 9275 sections 5.1.2 and 11).
"""

from __future__ import annotations

import hashlib
import heapq
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType

from attrs import evolve, field, frozen

from alto._json import Json, canonical
from alto.costs import CostMatrix
from alto.errors import ConfigurationError
from alto.networkmap import NetworkMap
from alto.paths import MAX_RESERVABLE_BANDWIDTH, PERSISTENT_ENTITY_ID, AbstractNetworkElement, Path, Paths

MAX_KEPT = 500_000
"""Nodes of all shortest path trees that are kept, some 50 MB. There is a tree for each node that traffic starts from,
and clients choose the sources: up to 700 nodes none is made twice."""


@frozen
class Node:
    """A part of the network: a router, a data centre, a whole subnetwork."""

    name: str
    max_reservable_bandwidth: float | None = None
    """Bits a second that can be reserved inside it; None where it never is the bottleneck."""
    persistent_entity_id: str | None = None
    """`PROPMAP.ane:NAME`, if clients may know it for longer."""


@frozen
class Link:
    """A link in one direction."""

    source: str
    destination: str
    max_reservable_bandwidth: float | None = None
    """Bits a second."""
    weight: float = 1.0
    """What it adds to a path; the least sum is the path that is taken."""


@frozen
class Topology:
    """A network. It never changes: `evolve` or build another one.

    `pids` are the prefixes of each PID, and `attachments` the node that each PID is at. A PID of `pids` that has no
    node has no paths. Raises ConfigurationError for nodes that are not there, and weights below 0.
    """

    nodes: Mapping[str, Node]
    links: tuple[Link, ...]
    attachments: Mapping[str, str]
    pids: Mapping[str, Mapping[str, Sequence[str]]]
    default_pid: str | None = None
    """The PID of every address that is in no other."""
    _out: Mapping[str, tuple[Link, ...]] = field(init=False, repr=False, eq=False)
    _inside: Mapping[str, tuple[AbstractNetworkElement, ...]] = field(init=False, repr=False, eq=False)
    _on: Mapping[int, AbstractNetworkElement] = field(init=False, repr=False, eq=False)
    _trees: dict[str, dict[str, Link]] = field(init=False, repr=False, eq=False, factory=dict)
    _tag: str = field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        out: dict[str, list[Link]] = {name: [] for name in self.nodes}
        for link in self.links:
            for name in (link.source, link.destination):
                if name not in self.nodes:
                    raise ConfigurationError(f"a link to {name!r:.80}, which is no node")
            if not 0 <= link.weight < math.inf:
                raise ConfigurationError(
                    f"the weight {link.weight} from {link.source!r:.80} to {link.destination!r:.80}"
                )
            out[link.source].append(link)
        for pid, name in self.attachments.items():
            if name not in self.nodes:
                raise ConfigurationError(f"the PID {pid!r:.80} is at {name!r:.80}, which is no node")
        things: list[Node | Link] = [*self.nodes.values(), *self.links]
        for bandwidth in (thing.max_reservable_bandwidth for thing in things):
            if bandwidth is not None and not 0 <= bandwidth < math.inf:
                raise ConfigurationError(f"a bandwidth of {bandwidth} bits a second")
        object.__setattr__(self, "_out", MappingProxyType({name: tuple(links) for name, links in out.items()}))
        # Elements are made once: a path is many of them, an answer many paths.
        object.__setattr__(
            self, "_inside", MappingProxyType({name: _inside_of(node) for name, node in self.nodes.items()})
        )
        object.__setattr__(self, "_on", MappingProxyType({id(link): _on_link(link) for link in self.links}))
        content = [repr(sorted(self.nodes.items())), repr(self.links), repr(sorted(self.attachments.items()))]
        object.__setattr__(self, "_tag", hashlib.sha256(canonical(content)).hexdigest()[:40])

    @property
    def version(self) -> object:
        """Differs whenever the paths do."""
        return self._tag

    def network_map(self) -> NetworkMap:
        """The PIDs and their prefixes. Raises ConfigurationError."""
        return NetworkMap(self.pids, default_pid=self.default_pid)

    def costs(self, *, hops: bool = False) -> CostMatrix:
        """The cost between any two PIDs at nodes: the sum of the weights on the path, or its number of links."""
        names = list(self.attachments)
        rows: list[list[float | None]] = []
        for source in names:
            found = (self._links(self.attachments[source], self.attachments[name]) for name in names)
            rows.append(
                [None if links is None else sum(1.0 if hops else link.weight for link in links) for links in found]
            )
        return CostMatrix(names, names, rows)

    def paths(self, sources: Sequence[str], destinations: Sequence[str], property_names: Collection[str]) -> Paths:
        """The paths between PIDs, through as few elements as describe what these pairs share."""
        at = self.attachments
        raw = [[self._path(at.get(source), at.get(name)) for name in destinations] for source in sources]
        return _merged(raw, property_names)

    def _path(self, source: str | None, destination: str | None) -> Path | None:
        if source is None or destination is None:
            return None
        links = self._links(source, destination)
        if links is None:
            return None
        path = [*self._inside[source]]
        for link in links:
            path += [self._on[id(link)], *self._inside[link.destination]]
        return path

    def _links(self, source: str, destination: str) -> list[Link] | None:
        """The links of the shortest path; None where there is no path."""
        if source == destination:
            return []
        tree = self._tree(source)
        links: list[Link] = []
        at = destination
        while at != source:
            if at not in tree:
                return None
            links.append(tree[at])
            at = tree[at].source
        return links[::-1]

    def _tree(self, source: str) -> dict[str, Link]:
        """The last link of the shortest path to each node, by Dijkstra's algorithm; of equal paths the first found."""
        if source in self._trees:
            return self._trees[source]
        distance = {source: 0.0}
        tree: dict[str, Link] = {}
        done: set[str] = set()
        queue = [(0.0, source)]
        while queue:
            so_far, name = heapq.heappop(queue)
            if name in done:
                continue
            done.add(name)
            for link in self._out[name]:
                total = so_far + link.weight
                if total < distance.get(link.destination, math.inf):
                    distance[link.destination] = total
                    tree[link.destination] = link
                    heapq.heappush(queue, (total, link.destination))
        while self._trees and (len(self._trees) + 1) * len(self.nodes) > MAX_KEPT:
            del self._trees[next(iter(self._trees))]
        self._trees[source] = tree
        return tree


@frozen
class EndpointPaths:
    """The paths of a topology between endpoint addresses, which belong to PIDs by its network map."""

    topology: Topology
    _network_map: NetworkMap = field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "_network_map", self.topology.network_map())

    @property
    def version(self) -> object:
        """Differs whenever the paths do."""
        return self.topology.version, self._network_map.tag

    def paths(self, sources: Sequence[str], destinations: Sequence[str], property_names: Collection[str]) -> Paths:
        """The paths between typed endpoint addresses; there is none between addresses of two families."""
        from_pids, to_pids = (self._network_map.pids_of(names) for names in (sources, destinations))
        at = self.topology.attachments
        raw = [
            [
                self.topology._path(at.get(source or ""), at.get(name or "")) if endpoint[:5] == other[:5] else None
                for other, name in zip(destinations, to_pids, strict=True)
            ]
            for endpoint, source in zip(sources, from_pids, strict=True)
        ]
        return _merged(raw, property_names)


def _inside_of(node: Node) -> tuple[AbstractNetworkElement, ...]:
    if node.max_reservable_bandwidth is None and node.persistent_entity_id is None:
        return ()
    return (_element(f"node {node.name}", node.max_reservable_bandwidth, node.persistent_entity_id),)


def _on_link(link: Link) -> AbstractNetworkElement:
    return _element(f"link {link.source}>{link.destination}", link.max_reservable_bandwidth, None)


def _element(key: str, bandwidth: float | None, persistent_id: str | None) -> AbstractNetworkElement:
    properties: dict[str, Json] = {}
    if bandwidth is not None:
        properties[MAX_RESERVABLE_BANDWIDTH] = int(bandwidth) if bandwidth == int(bandwidth) else bandwidth
    if persistent_id is not None:
        properties[PERSISTENT_ENTITY_ID] = persistent_id
    return AbstractNetworkElement(key, properties)


def _merged(raw: Sequence[Sequence[Path | None]], property_names: Collection[str]) -> Paths:
    """The same paths with all elements that the very same pairs go through as one.

    It has the least bandwidth of them, so that what the flows can have together stays as it was, and stands where the
    first of them stood. Elements with persistent IDs are not merged with each other, if these IDs are asked for.
    """
    pairs: dict[str, list[int]] = {}
    elements: dict[str, AbstractNetworkElement] = {}
    flat = [path for row in raw for path in row]
    for index, path in enumerate(flat):
        for element in path or ():
            at = pairs.setdefault(element.key, [])
            if not at or at[-1] != index:
                at.append(index)
            elements[element.key] = element
    groups: dict[tuple[int, ...], list[AbstractNetworkElement]] = {}
    for key, at in pairs.items():
        groups.setdefault(tuple(at), []).append(elements[key])
    names_persistent = PERSISTENT_ENTITY_ID in property_names
    merged = {
        member.key: one
        for group in groups.values()
        for members in (_split(group) if names_persistent else [group])
        for one in (_one(members),)
        for member in members
    }
    # A dict keeps the first place of each.
    return [
        [None if path is None else list({(one := merged[e.key]).key: one for e in path}.values()) for path in row]
        for row in raw
    ]


def _split(group: Iterable[AbstractNetworkElement]) -> list[list[AbstractNetworkElement]]:
    """Groups with one persistent ID each; those without one are with the first."""
    split: dict[Json, list[AbstractNetworkElement]] = {}
    rest: list[AbstractNetworkElement] = []
    for element in group:
        persistent_id = element.properties.get(PERSISTENT_ENTITY_ID)
        (rest if persistent_id is None else split.setdefault(persistent_id, [])).append(element)
    if not split:
        return [rest]
    first, *others = split.values()
    return [first + rest, *others]


def _one(members: Sequence[AbstractNetworkElement]) -> AbstractNetworkElement:
    if len(members) == 1:
        return members[0]
    bandwidths = [
        member.properties[MAX_RESERVABLE_BANDWIDTH]
        for member in members
        if MAX_RESERVABLE_BANDWIDTH in member.properties
    ]
    properties = {name: value for member in members for name, value in member.properties.items()}
    if bandwidths:
        properties[MAX_RESERVABLE_BANDWIDTH] = min(bandwidths)
    return evolve(
        members[0], key=canonical(sorted(member.key for member in members)).decode("ascii"), properties=properties
    )

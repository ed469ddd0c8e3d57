"""CDNI advertisements of a server: whole, filtered by capabilities, and seen from the footprints (RFC 9241)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from alto import media, params
from alto._json import Json, canonical
from alto.address import BITS
from alto.cdni import ALTO_PID, FOOTPRINT_DOMAINS, Advertisement, CdniCapability
from alto.directory import Directory, Document, Query
from alto.entities import DOMAIN_TYPES, Key, parse_key
from alto.errors import ConfigurationError, ErrorCode, RequestError
from alto.networkmap import NetworkMap, NetworkMapResource
from alto.types import CostType, VTag
from alto.vtags import content_tag

MAX_CAPABILITIES = 256
"""Capabilities of one request: the registry of RFC 8008 has a dozen types, and each is compared with all there are."""

_NO_COST_TYPES: Mapping[str, CostType] = MappingProxyType({})


class CdniResource:
    """A CDNI advertisement (section 3). `network_map` is the ID of the map whose PIDs are footprints.

    The upstream CDN has to be authenticated (section 8): `is_private` is False only where something else sees to that.
    Raises ConfigurationError for a value that does not go with its type, and for PIDs without a network map.
    """

    media_type = media.CDNI
    accepts = None
    cost_types = _NO_COST_TYPES

    def __init__(
        self,
        id: str,  # noqa: A002
        advertisements: Iterable[Advertisement],
        *,
        network_map: str | None = None,
        is_private: bool = True,
    ) -> None:
        self.id = id
        self.advertisements = tuple(advertisements)
        self.network_map = network_map
        self.is_private = is_private
        self.uses = () if network_map is None else (network_map,)
        for advertisement in self.advertisements:
            _check(advertisement, network_map)
        listed = [advertisement.to_json() for advertisement in self.advertisements]
        self._tag = content_tag(listed)
        self._parts = [advertisement.capability.parts for advertisement in self.advertisements]

    def capabilities(self, directory: Directory) -> dict[str, Json]:
        """None (section 3.4). Raises ConfigurationError where the network map is none, or private and this is not."""
        for used in self.uses:
            if directory.find(used, NetworkMapResource).is_private and not self.is_private:
                raise ConfigurationError(f"{self.id!r} would tell everybody what is in the private {used!r}")
        return {}

    def depends_on(self, directory: Directory) -> tuple[object, ...]:
        """Its version."""
        return (self.version(directory),)

    def version(self, directory: Directory) -> VTag:
        """The version. The same advertisement is another one where its PIDs are those of another network map."""
        if not self.uses:
            return VTag(self.id, self._tag)
        return VTag(self.id, content_tag(self._tag, *(vtag.to_json() for vtag in _network_maps(self, directory))))

    def answer(self, query: Query) -> Document:
        """The whole advertisement (section 3.6)."""
        return self.document(query.directory, self.advertisements)

    def document(self, directory: Directory, advertisements: Iterable[Advertisement]) -> Document:
        """The answer with these of its advertisements."""
        vtag = self.version(directory)
        meta: dict[str, Json] = {"vtag": vtag.to_json()}
        if self.network_map is not None:
            meta["dependent-vtags"] = [vtag.to_json() for vtag in _network_maps(self, directory)]
        listed = [advertisement.to_json() for advertisement in advertisements]
        tree = {"meta": meta, "cdni-advertisement": {"capabilities-with-footprints": listed}}
        return Document(self.media_type, tree, vtag=vtag)

    def matching(self, asked: Iterable[CdniCapability]) -> list[Advertisement]:
        """Those of the advertisements that have one of these capabilities (section 5.6)."""
        wanted = [capability.parts for capability in asked]
        pairs = zip(self.advertisements, self._parts, strict=True)
        return [advertisement for advertisement, parts in pairs if any(part <= parts for part in wanted)]


class FilteredCdniResource:
    """A CDNI advertisement of which clients choose the capabilities (section 5); `cdni` is the ID of the whole."""

    media_type = media.CDNI
    accepts = media.CDNI_FILTER
    cost_types = _NO_COST_TYPES

    def __init__(
        self,
        id: str,  # noqa: A002
        cdni: str,
        *,
        network_map: str | None = None,
        is_private: bool = True,
    ) -> None:
        self.id = id
        self.cdni = cdni
        self.is_private = is_private
        # The same rules as for the whole (section 5.5), which is itself no dependency: the IRD of 3.7.1 lists none.
        self.uses = () if network_map is None else (network_map,)

    def capabilities(self, directory: Directory) -> dict[str, Json]:
        """None (section 5.4). Raises ConfigurationError where the whole is missing or uses another network map."""
        self._whole(directory)
        return {}

    def depends_on(self, directory: Directory) -> tuple[object, ...]:
        """The tags of the whole and of its network map."""
        return self._whole(directory).depends_on(directory)

    def answer(self, query: Query) -> Document:
        """What of the advertisement has one of the capabilities; all of it where none are named (section 5.6)."""
        whole = self._whole(query.directory)
        asked = read_filter(query.input)
        return whole.document(query.directory, whole.matching(asked) if asked else whole.advertisements)

    def _whole(self, directory: Directory) -> CdniResource:
        whole = directory.find(self.cdni, CdniResource)
        if whole.uses != self.uses:
            raise ConfigurationError(f"{self.id!r} has to use the network map that {self.cdni!r} uses")
        if whole.is_private and not self.is_private:
            raise ConfigurationError(f"{self.id!r} would tell everybody what is in the private {self.cdni!r}")
        return whole


def _check(advertisement: Advertisement, network_map: str | None) -> None:
    capability = advertisement.capability
    if not capability.is_consistent:
        raise ConfigurationError(f"the capability value does not go with {capability.capability_type!r}")
    if network_map is None and any(footprint.footprint_type == ALTO_PID for footprint in advertisement.footprints):
        raise ConfigurationError("altopid footprints need a network map (RFC 9241 section 4.1)")


def _network_maps(resource: CdniResource, directory: Directory) -> list[VTag]:
    return [directory.find(used, NetworkMapResource).vtag for used in resource.uses]


def read_filter(tree: Json) -> list[CdniCapability]:
    """The capabilities that are asked, each once. Raises RequestError (section 5.6)."""
    field = "cdni-capabilities"
    asked: dict[bytes, CdniCapability] = {}
    for element in params.elements(params.fields(tree), field, dict):
        for name in ("capability-type", "capability-value"):
            if name not in element:
                raise RequestError(ErrorCode.MISSING_FIELD, field=f"{field}/{name}")
        kind, value = element["capability-type"], element["capability-value"]
        if kind is not None and not isinstance(kind, str):
            raise params.wrong_type(f"{field}/capability-type")
        if kind is None or value is None or not CdniCapability(kind, value).is_consistent:
            raise params.bad_value(field, element)
        asked[canonical([kind, value])] = CdniCapability(kind, value)
        if len(asked) > MAX_CAPABILITIES:
            raise params.bad_value(field, f"more than {MAX_CAPABILITIES} capabilities")
    return list(asked.values())


def footprint_capabilities(
    advertisements: Sequence[Advertisement], domain_type: str, network_map: NetworkMap | None = None
) -> Iterator[tuple[Key, list[Json]]]:
    """The property `cdni-capabilities` of every entity of a domain type that footprints name (section 6.2.2).

    The footprints of one advertisement are alternatives. A prefix has the capabilities of all footprints around it, as
    a longer prefix hides what a shorter one has; those of global advertisements are everyone's, for addresses those of
    0.0.0.0/0 and ::/0. PIDs as footprints count for the addresses in them.
    """
    values = _Values(advertisements)
    everywhere = {at for at, advertisement in enumerate(advertisements) if advertisement.is_global}
    named = _by_footprint(advertisements, domain_type)
    kind = DOMAIN_TYPES[domain_type]
    if kind.family is None:
        everyone = network_map.names if network_map is not None and domain_type == "pid" and everywhere else ()
        for name in dict.fromkeys([*named, *everyone]):
            yield name, values.at(named.get(name, set()) | everywhere)
        return
    pids = _by_footprint(advertisements, "pid") if network_map is not None else {}
    mapped: dict[Key, str] = {}
    if network_map is not None and pids:
        names = network_map.names
        mapped = {(m.value, m.length): names[m.index] for m in network_map.table.prefixes(kind.family)}
    prefixes = [key for key in {*named, *mapped, *([(0, 0)] if everywhere else [])} if not isinstance(key, str)]
    # What holds at each prefix around the present one: by footprints of addresses, and by the PID.
    around: list[tuple[tuple[int, int], set[int], set[int]]] = []
    for key in sorted(prefixes):
        while around and not _contains(around[-1][0], key, BITS[kind.family]):
            around.pop()
        _, by_address, by_pid = around[-1] if around else (key, everywhere, set())
        by_address = by_address | named.get(key, set())
        if key in mapped:
            by_pid = pids.get(mapped[key], set())
        if by_address or by_pid or around:
            yield key, values.at(by_address | by_pid)
            around.append((key, by_address, by_pid))


def _by_footprint(advertisements: Sequence[Advertisement], domain_type: str) -> dict[Key, set[int]]:
    """For each entity that is a footprint, the places of the advertisements that name it."""
    found: dict[Key, set[int]] = {}
    for at, advertisement in enumerate(advertisements):
        for footprint in advertisement.footprints:
            if FOOTPRINT_DOMAINS.get(footprint.footprint_type) == domain_type:
                for value in footprint.footprint_value:
                    found.setdefault(parse_key(domain_type, value), set()).add(at)
    return found


def _contains(outer: tuple[int, int], inner: tuple[int, int], bits: int) -> bool:
    return outer[1] <= inner[1] and outer[0] >> bits - outer[1] == inner[0] >> bits - outer[1]


class _Values:
    """The values of `cdni-capabilities`, by the places of the advertisements in them; each is made once."""

    def __init__(self, advertisements: Iterable[Advertisement]) -> None:
        self._listed = [advertisement.capability.to_json() for advertisement in advertisements]
        self._made: dict[frozenset[int], list[Json]] = {}

    def at(self, places: set[int]) -> list[Json]:
        key = frozenset(places)
        if key not in self._made:
            self._made[key] = list({canonical(self._listed[at]): self._listed[at] for at in sorted(places)}.values())
        return self._made[key]

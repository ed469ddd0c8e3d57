"""Network maps: PIDs and the addresses in them (RFC 7285 sections 11.2.1, 11.2.2 and 11.3.1).

A `NetworkMap` is a whole map, and finds the PID of an address. What a server has filtered is a `FilteredNetworkMap`,
which finds none: the longest matching prefix may be one of those that were left out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from attrs import frozen

from alto import media
from alto._json import Json, canonical
from alto._pids import Groups, PidReader, Pids
from alto.address import FAMILIES, is_address_type, parse_address, parse_endpoint
from alto.directory import Document
from alto.errors import ConfigurationError, DecodeError
from alto.findings import Findings
from alto.params import bad_value, elements, fields, optional_elements
from alto.types import CostType, VTag, is_pid_name
from alto.vtags import parse_meta, parse_own_vtag

if TYPE_CHECKING:
    from alto.directory import Directory, Query
    from alto.lpm import PrefixTable

_NO_COST_TYPES: Mapping[str, CostType] = MappingProxyType({})
_TYPED = ("ipv4:", "ipv6:")


@frozen
class Location:
    """Where an address is: its PID, and the longest prefix that contains it."""

    pid: str
    prefix: str


class NetworkMap:
    """A whole network map. It never changes.

    `pids` are the PIDs in the order that the map keeps, and the prefixes of each by address type. To `default_pid`, if
    it is given, 0.0.0.0/0 and ::/0 are added where addresses of that family would be in no PID.

    Raises ConfigurationError for a map that no server may serve: a name against the syntax, an address type that is
    not registered, what is no prefix, a prefix with host bits or in two PIDs, addresses of a family in no PID.
    """

    __slots__ = ("_groups", "_names", "_tag", "pids", "table")

    pids: Pids
    """The prefixes of each PID by address type, in the spelling of RFC 5952."""
    table: PrefixTable
    """The prefixes, each with the place of its PID in `names`."""

    def __init__(self, pids: Mapping[str, Mapping[str, Sequence[str]]], *, default_pid: str | None = None) -> None:
        reader = PidReader(Findings(strict=True))
        try:
            for name, group in pids.items():
                reader.read(name, {kind: _listed(prefixes) for kind, prefixes in group.items()}, name)
            if default_pid is not None:
                reader.complete(default_pid)
            reader.check_complete("network-map")
        except DecodeError as error:
            raise ConfigurationError(str(error)) from error
        if reader.unknown_types:
            unknown = next(iter(reader.unknown_types))
            raise ConfigurationError(f"the address type {unknown!r} is not registered; ipv4 and ipv6 are")
        self._adopt(reader)

    @classmethod
    def _read(cls, reader: PidReader) -> NetworkMap:
        network_map = cls.__new__(cls)
        network_map._adopt(reader)
        return network_map

    def _adopt(self, reader: PidReader) -> None:
        self._groups = reader.groups
        self._names = tuple(reader.groups)
        self._tag: str | None = None
        self.pids = _frozen(reader.groups)
        self.table = reader.table()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the PIDs, in order."""
        return self._names

    @property
    def tag(self) -> str:
        """The first 40 hexadecimal digits of SHA-256 over what the map says; the order in which it does not count."""
        if self._tag is None:
            content = {
                name: {kind: sorted(prefixes) for kind, prefixes in group.items()}
                for name, group in self._groups.items()
            }
            self._tag = hashlib.sha256(canonical(content)).hexdigest()[:40]
        return self._tag

    def pid_of(self, address: str) -> str | None:
        """The PID of an address, `ipv4:192.0.2.1` or `192.0.2.1`, by longest prefix match (section 11.2.2).

        None where no prefix contains it, which can only be so for a family that the map does not contain, or in a map
        that a lenient reader has let through. Raises ValueError where `address` is none.
        """
        index = self.table.lookup(*_parse(address))
        return None if index is None else self._names[index]

    def pids_of(self, addresses: Sequence[str]) -> list[str | None]:
        """Like `pid_of` of each, which is faster by the thousand. Raises ValueError."""
        names = (*self._names, None)
        kinds = {address[:5] for address in addresses if address.startswith(_TYPED)}
        if not kinds:
            indices = self.table.lookup_many(addresses)
        elif len(kinds) == 1 and all(address.startswith(_TYPED) for address in addresses):
            family = FAMILIES[kinds.pop()[:4]]
            indices = self.table.lookup_texts(family, [address[5:] for address in addresses])
        else:
            indices = self.table.lookup_each([_parse(address) for address in addresses])
        return [names[-1 if index is None else index] for index in indices]

    def locate(self, address: str) -> Location | None:
        """The PID of an address together with the prefix that decides. Raises ValueError."""
        match = self.table.match(*_parse(address))
        return None if match is None else Location(self._names[match.index], match.prefix)

    def to_json(self) -> Groups:
        """The NetworkMapData object. It is shared: whoever changes it changes it for all."""
        return self._groups

    def select(self, pids: Iterable[str], address_types: Iterable[str] = ()) -> Groups:
        """Those of the PIDs that the map has, with their prefixes of the types named; nothing named stands for all.

        Where only unknown names are asked for, nothing is left (section 11.3.1.6).
        """
        wanted, kinds = dict.fromkeys(pids), frozenset(address_types)
        groups = {name: self._groups[name] for name in wanted if name in self._groups} if wanted else self._groups
        if not kinds:
            return groups
        return {
            name: {kind: prefixes for kind, prefixes in group.items() if kind in kinds}
            for name, group in groups.items()
        }


@frozen
class FilteredNetworkMap:
    """Some PIDs of a network map, perhaps without some address types: enough to list them, not to map addresses."""

    pids: Pids


@frozen
class ParsedNetworkMap:
    """A network map that a server sent; `vtag` is None only where a lenient reader found none."""

    vtag: VTag | None
    network_map: NetworkMap


@frozen
class ParsedFilteredNetworkMap:
    """A filtered network map that a server sent, and the version of the whole that it is from."""

    vtag: VTag | None
    network_map: FilteredNetworkMap


def parse_network_map(tree: Json, findings: Findings) -> ParsedNetworkMap:
    """Read the response of a network map (section 11.2.1).

    Address types that are not known here are kept and play no part in lookups. Raises DecodeError at the first broken
    MUST when `findings` is strict, and where there is no network map at all.
    """
    vtag, reader = _parse_response(tree, findings)
    reader.check_complete("network-map")
    return ParsedNetworkMap(vtag, NetworkMap._read(reader))


def parse_filtered_network_map(tree: Json, findings: Findings, asked: Json = None) -> ParsedFilteredNetworkMap:
    """Read the response of a filtered network map (section 11.3.1).

    `asked` is what was posted: then the answer must not hold more than that. Raises DecodeError as `parse_network_map`.
    """
    vtag, reader = _parse_response(tree, findings)
    if asked is not None:
        _check_selection(reader.groups, asked, findings)
    return ParsedFilteredNetworkMap(vtag, FilteredNetworkMap(_frozen(reader.groups)))


def network_map_filter(pids: Collection[str] = (), address_types: Collection[str] | None = None) -> dict[str, Json]:
    """The body that asks for these PIDs and address types; none of them stands for all (section 11.3.1.3).

    Raises ConfigurationError for a name against the syntax.
    """
    for name in pids:
        if not is_pid_name(name):
            raise ConfigurationError(f"{name!r} is no PID name: 1 to 64 of A-Z a-z 0-9 - : @ _")
    for kind in address_types or ():
        if not is_address_type(kind):
            raise ConfigurationError(f"{kind!r} is no address type: letters and digits only")
    tree: dict[str, Json] = {"pids": [*pids]}
    if address_types is not None:
        tree["address-types"] = [*address_types]
    return tree


class NetworkMapResource:
    """A network map of a server (section 11.2.1)."""

    media_type = media.NETWORK_MAP
    accepts = None
    uses = ()
    cost_types = _NO_COST_TYPES

    def __init__(self, id: str, network_map: NetworkMap, *, is_private: bool = False) -> None:  # noqa: A002
        self.id = id
        self.network_map = network_map
        self.is_private = is_private
        self.vtag = VTag(id, network_map.tag)
        tree = {"meta": {"vtag": self.vtag.to_json()}, "network-map": network_map.to_json()}
        self._document = Document(self.media_type, tree, vtag=self.vtag)

    def capabilities(self, directory: Directory) -> dict[str, Json]:
        """None (section 11.2.1.4)."""
        return {}

    def depends_on(self, directory: Directory) -> tuple[object, ...]:
        """Its own tag."""
        return (self.vtag,)

    def answer(self, query: Query) -> Document:
        """The whole map, always the same document."""
        return self._document


class FilteredNetworkMapResource:
    """A network map of which clients choose the PIDs and address types (section 11.3.1).

    `network_map` is the ID of the whole. Where that is private this has to be private as well: otherwise it raises
    ConfigurationError as soon as its directory is served.
    """

    media_type = media.NETWORK_MAP
    accepts = media.NETWORK_MAP_FILTER
    cost_types = _NO_COST_TYPES

    def __init__(self, id: str, network_map: str, *, is_private: bool = False) -> None:  # noqa: A002
        self.id = id
        self.network_map = network_map
        self.is_private = is_private
        self.uses = (network_map,)

    def capabilities(self, directory: Directory) -> dict[str, Json]:
        """None (section 11.3.1.4)."""
        self._whole(directory)
        return {}

    def depends_on(self, directory: Directory) -> tuple[object, ...]:
        """The tag of the whole map."""
        return (self._whole(directory).vtag,)

    def answer(self, query: Query) -> Document:
        """What is left of the map, under the version tag of the whole. Raises RequestError."""
        whole = self._whole(query.directory)
        asked = fields(query.input)
        pids = elements(asked, "pids", str)
        address_types = optional_elements(asked, "address-types", str) or []
        for field, names, is_name in (("pids", pids, is_pid_name), ("address-types", address_types, is_address_type)):
            for name in names:
                if not is_name(name):
                    raise bad_value(field, name)
        groups = whole.network_map.select(pids, address_types)
        tree = {"meta": {"vtag": whole.vtag.to_json()}, "network-map": groups}
        return Document(self.media_type, tree, vtag=whole.vtag)

    def _whole(self, directory: Directory) -> NetworkMapResource:
        whole = directory.find(self.network_map, NetworkMapResource)
        if whole.is_private and not self.is_private:
            raise ConfigurationError(f"{self.id!r} would show everybody the private map {whole.id!r}")
        return whole


def _parse(address: str) -> tuple[int, int]:
    return parse_endpoint(address) if address.startswith(_TYPED) else parse_address(address)


def _listed(prefixes: Sequence[str]) -> Json:
    return prefixes if isinstance(prefixes, str) else [*prefixes]


def _frozen(groups: Groups) -> Pids:
    return MappingProxyType(
        {
            name: MappingProxyType({kind: tuple(prefixes) for kind, prefixes in group.items()})
            for name, group in groups.items()
        }
    )


def _parse_response(tree: Json, findings: Findings) -> tuple[VTag | None, PidReader]:
    vtag = parse_own_vtag(parse_meta(tree, findings), findings, "11.2.1.6")
    pids = findings.member(tree, "network-map", dict, "", 7285, "11.2.1.6")
    if pids is None:
        raise DecodeError("network-map: there is none (RFC 7285 section 11.2.1.6)")
    reader = PidReader(findings)
    for name, group in pids.items():
        reader.read(name, group, f"network-map/{name}")
    return vtag, reader


def _check_selection(groups: Groups, asked: Json, findings: Findings) -> None:
    pids, kinds = frozenset(asked["pids"]), frozenset(asked.get("address-types") or ())
    for name, group in groups.items():
        path = f"network-map/{name}"
        if pids and name not in pids:
            findings.must(path, "a PID that was not asked for", 7285, "11.3.1.6")
        for kind in group:
            if kinds and kind not in kinds:
                findings.must(f"{path}/{kind}", "an address type that was not asked for", 7285, "11.3.1.6")

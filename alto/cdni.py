"""CDNI advertisements: what a downstream CDN can do, and for whom (RFC 9241, with the objects of RFC 8008)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from attrs import field, frozen

from alto._json import Json, canonical
from alto.entities import parse_key
from alto.errors import ConfigurationError, DecodeError
from alto.findings import Findings, join, shown
from alto.ird import ResourceEntry
from alto.types import VTag, is_pid_name
from alto.vtags import parse_dependent_vtags, parse_meta, parse_own_vtag

ALTO_PID = "altopid"
"""The footprint type whose values are PIDs of the network map that the advertisement uses (section 4.1)."""

FOOTPRINT_DOMAINS: Mapping[str, str] = MappingProxyType(
    {"ipv4cidr": "ipv4", "ipv6cidr": "ipv6", "asn": "asn", "countrycode": "countrycode", ALTO_PID: "pid"}
)
"""The entity domain type that stands for each footprint type (section 6.1)."""

# The one mandatory member of each capability value (RFC 8008 sections 5.3 to 5.7).
_MANDATORY: Mapping[str, str] = MappingProxyType(
    {
        "FCI.DeliveryProtocol": "delivery-protocols",
        "FCI.AcquisitionProtocol": "acquisition-protocols",
        "FCI.RedirectionMode": "redirection-modes",
        "FCI.Logging": "record-type",
        "FCI.Metadata": "metadata",
    }
)
# The types of which RFC 9241 itself shows the value: an object, whose mandatory member is an array of strings.
_SHOWN = ("FCI.DeliveryProtocol", "FCI.AcquisitionProtocol")
_CIDR = re.compile(r"[^/]+/[0-9]{1,3}")


@frozen
class CdniCapability:
    """A capability (section 5.3): two are equal when their JSON values are."""

    capability_type: str
    capability_value: Json = field(eq=canonical, hash=False)

    def to_json(self) -> dict[str, Json]:
        """The object CDNICapability."""
        return {"capability-type": self.capability_type, "capability-value": self.capability_value}

    @property
    def is_consistent(self) -> bool:
        """Whether the value can be one of its type. Of most types no more is known than that it is not null."""
        value = self.capability_value
        if self.capability_type not in _SHOWN:
            return value is not None
        listed = value.get(_MANDATORY[self.capability_type]) if isinstance(value, dict) else None
        return isinstance(listed, list) and all(isinstance(element, str) for element in listed)

    @property
    def parts(self) -> frozenset[tuple[str, ...]]:
        """What it is made of: one capability is in another when its parts are (section 5.6).

        An array is its elements in whatever order. Only mandatory members count; where none is known, all do.
        """
        value = self.capability_value
        member = _MANDATORY.get(self.capability_type)
        if isinstance(value, dict) and member in value:
            value = {member: value[member]}
        return frozenset((self.capability_type, *part) for part in [(), *_parts(value, ())])


def _parts(value: Json, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _parts(inner, (*path, name))
    elif isinstance(value, list):
        for element in value:
            yield (*path, "element", canonical(element).decode())
    else:
        yield (*path, "value", canonical(value).decode())


def _strings(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(values)


@frozen
class Footprint:
    """Where a capability holds: some values of one type. Raises ConfigurationError for values that are none."""

    footprint_type: str
    footprint_value: tuple[str, ...] = field(converter=_strings)

    def __attrs_post_init__(self) -> None:
        if not self.footprint_value:
            raise ConfigurationError("a footprint needs a value")
        for value in self.footprint_value:
            wrong = _fault_of(self.footprint_type, value)
            if wrong is not None:
                raise ConfigurationError(wrong)

    def to_json(self) -> dict[str, Json]:
        """The object Footprint."""
        return {"footprint-type": self.footprint_type, "footprint-value": list(self.footprint_value)}


def _fault_of(footprint_type: str, value: str) -> str | None:
    """What is wrong with a footprint value; nothing is known of types that are not registered here."""
    domain = FOOTPRINT_DOMAINS.get(footprint_type)
    if domain is None:
        return None
    if domain == "pid":
        return None if is_pid_name(value) else f"{value!r:.80} is no PID name"
    if domain in ("ipv4", "ipv6") and not _CIDR.fullmatch(value):
        return f"{value!r:.80} is no {footprint_type}: an address, / and a length are due"
    try:
        parse_key(domain, value)
    except ValueError as error:
        return str(error)
    return None


@frozen
class Advertisement:
    """A BaseAdvertisementObject (RFC 8008 section 5.1): a capability and its footprints; none means everywhere."""

    capability: CdniCapability
    footprints: tuple[Footprint, ...] = ()

    @property
    def is_global(self) -> bool:
        """Whether it holds for any request (section 3.6)."""
        return not self.footprints

    def to_json(self) -> dict[str, Json]:
        """The object BaseAdvertisementObject."""
        tree = self.capability.to_json()
        if self.footprints:
            tree["footprints"] = [footprint.to_json() for footprint in self.footprints]
        return tree


@frozen
class CdniAdvertisement:
    """A CDNI advertisement as a server sent it (section 3.6)."""

    vtag: VTag | None
    dependent_vtags: tuple[VTag, ...]
    advertisements: tuple[Advertisement, ...]


def parse_cdni(tree: Json, findings: Findings, entry: ResourceEntry | None = None) -> CdniAdvertisement:
    """Read a CDNI advertisement, whole or filtered (sections 3.6, 4.1 and 5.6); `entry` is its entry in the IRD.

    Raises DecodeError where there are no `capabilities-with-footprints`; else what `findings` raise.
    """
    meta = parse_meta(tree, findings)
    data = findings.member(tree, "cdni-advertisement", dict, "", 9241, "3.6")
    path = "cdni-advertisement/capabilities-with-footprints"
    listed = findings.member(data or {}, "capabilities-with-footprints", list, "cdni-advertisement", 9241, "3.6")
    if listed is None:
        raise DecodeError(f"{path}: a CDNI advertisement needs this array (RFC 9241 section 3.6)")
    vtag = parse_own_vtag(meta, findings, "3.6", rfc=9241)
    dependent: tuple[VTag, ...] = ()
    if "dependent-vtags" in meta:
        dependent = parse_dependent_vtags(meta, findings, "3.6", rfc=9241) or ()
    parsed = [_parse_advertisement(element, findings, path) for element in listed]
    advertisements = tuple(advertisement for advertisement in parsed if advertisement is not None)
    named = {vtag.resource_id for vtag in dependent}
    for used in entry.uses if entry is not None else ():
        if used not in named:
            findings.must("meta/dependent-vtags", f"the version of {used!r} is missing", 9241, "3.6")
    has_pids = any(
        footprint.footprint_type == ALTO_PID
        for advertisement in advertisements
        for footprint in advertisement.footprints
    )
    if has_pids and not named:
        findings.must("meta/dependent-vtags", "altopid footprints need the version of their network map", 9241, "4.1")
    if has_pids and entry is not None and not entry.uses:
        findings.must(path, "altopid footprints, but `uses` has no network map", 9241, "4.1")
    return CdniAdvertisement(vtag, dependent, advertisements)


def check_capability(tree: Json, findings: Findings, path: str, section: str = "3.6") -> CdniCapability | None:
    """The CDNICapability at `path`, by the clause given; None where it is none."""
    if not findings.is_a(tree, dict, path, 9241, section):
        return None
    kind = findings.member(tree, "capability-type", str, path, 9241, section)
    value = tree.get("capability-value")
    if value is None:
        findings.must(join(path, "capability-value"), "missing", 9241, section)
    if kind is None or value is None:
        return None
    capability = CdniCapability(kind, value)
    if not capability.is_consistent:
        text = f"{kind} is to have an array of strings {_MANDATORY[kind]}"
        findings.should(join(path, "capability-value"), text, 9241, section)
    return capability


def _parse_advertisement(tree: Json, findings: Findings, path: str) -> Advertisement | None:
    capability = check_capability(tree, findings, path)
    if capability is None:
        return None
    listed = tree.get("footprints")
    if listed is None:
        return Advertisement(capability)
    inner = join(path, "footprints")
    if not findings.is_a(listed, list, inner, 9241, "3.6"):
        return None
    parsed = [_parse_footprint(element, findings, inner) for element in listed]
    # What is there twice counts once (section 3.6).
    footprints = tuple(dict.fromkeys(footprint for footprint in parsed if footprint is not None))
    if listed and not footprints:
        return None  # of no use, and by no means everywhere
    return Advertisement(capability, footprints)


def _parse_footprint(tree: Json, findings: Findings, path: str) -> Footprint | None:
    if not findings.is_a(tree, dict, path, 9241, "3.6"):
        return None
    kind = findings.member(tree, "footprint-type", str, path, 9241, "3.6")
    values = findings.member(tree, "footprint-value", list, path, 9241, "3.6")
    if kind is None or values is None:
        return None
    inner = join(path, "footprint-value")
    kept: list[str] = []
    for value in values:
        if not isinstance(value, str):
            findings.must(inner, f"a string is due, not {shown(value)}", 9241, "3.6")
            continue
        wrong = _fault_of(kind, value)
        if wrong is None:
            kept.append(value)
        else:
            findings.must(inner, wrong, 9241, "4.1" if kind == ALTO_PID else "3.6")
    if not values:
        findings.must(inner, "at least one value is due", 9241, "3.6")
    return Footprint(kind, tuple(kept)) if kept else None


def cdni_filter(capabilities: Iterable[CdniCapability]) -> dict[str, Json]:
    """What to post to a filtered CDNI advertisement (section 5.3); no capabilities ask for all of it.

    Raises ConfigurationError for a value that does not go with its type, which the server has to refuse.
    """
    asked: list[CdniCapability] = []
    for capability in capabilities:
        if not capability.is_consistent:
            raise ConfigurationError(f"the value does not go with {capability.capability_type!r:.80}")
        if capability not in asked:
            asked.append(capability)
    return {"cdni-capabilities": [capability.to_json() for capability in asked]}

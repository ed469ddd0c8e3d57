"""The Configuration Document (RFC 6940 section 11.1): read, with its defaults and checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import attrs

from reload import _configuration_values as values
from reload._chain import Trust
from reload._xml import Element, read_xml
from reload.errors import DecodeError, EncodeError, SecurityError
from reload.identity import DIGESTS, load_certificate
from reload.kind_blocks import BASE, KindBlock, extension, kind_block
from reload.kinds import Extension
from reload.naming import overlay_hash

CHORD = "urn:ietf:params:xml:ns:p2p:config-chord"
CHORD_RELOAD = "CHORD-RELOAD"
CHORD_SELF_TUNING = "CHORD-SELF-TUNING"
SEQUENCES = 65535
"""configuration_sequence counts modulo this: 65535 itself is not one (section 6.3.2.1)."""
DEFAULT_PORT = 6084
MAX_SIGNATURES = 8
"""Signatures of one configuration that are looked at."""

_MAX_INT = 0x7FFFFFFF
_CHORD_NODE_ID_LENGTH = 16


@attrs.frozen
class BootstrapNode:
    """Where a node of the overlay can be reached."""

    address: str
    port: int = DEFAULT_PORT


@attrs.frozen
class Configuration:
    """What a configuration element says, with the defaults for what it leaves out.

    `sequence` is 0 to 65534, `expiration` a Unix time, `overlay_reliability_timer` in milliseconds, the chord intervals
    in seconds, `max_message_size` in octets; certificates are DER. `octets` are those of the element, `document` those
    that it came in, `signatures` the SecurityBlocks behind it, encoded: none of it is verified by reading.
    `remarks` are for the operator: what was read, but can hardly be meant.
    """

    instance_name: str
    sequence: int
    expiration: float
    topology_plugin: str = CHORD_RELOAD
    node_id_length: int = 16
    root_certificates: tuple[bytes, ...] = attrs.field(default=(), repr=False)
    enrollment_servers: tuple[str, ...] = ()
    self_signed_permitted: bool = False
    self_signed_digest: str = "sha1"
    bootstrap_nodes: tuple[BootstrapNode, ...] = ()
    turn_density: int = 1
    clients_permitted: bool = True
    no_ice: bool = False
    chord_update_interval: int = 600
    chord_ping_interval: int = 3600
    chord_reactive: bool = True
    shared_secret: str | None = attrs.field(default=None, repr=False)
    max_message_size: int = 5000
    initial_ttl: int = 100
    overlay_reliability_timer: int = 3000
    overlay_link_protocols: tuple[str, ...] = ("TLS",)
    configuration_signers: tuple[bytes, ...] = ()
    kind_signers: tuple[bytes, ...] = ()
    bad_nodes: tuple[bytes, ...] = ()
    mandatory_extensions: tuple[str, ...] = ()
    kind_blocks: tuple[KindBlock, ...] = ()
    extensions: tuple[Extension, ...] = ()
    octets: bytes = attrs.field(default=b"", repr=False, eq=False)
    document: bytes = attrs.field(default=b"", repr=False, eq=False)
    signatures: tuple[bytes, ...] = attrs.field(default=(), repr=False, eq=False)
    remarks: tuple[str, ...] = attrs.field(default=(), eq=False)

    @property
    def trust(self) -> Trust:
        """Whom this overlay trusts."""
        return Trust(
            self.instance_name,
            self.node_id_length,
            self.root_certificates,
            self.self_signed_digest if self.self_signed_permitted else None,
            frozenset(self.bad_nodes),
        )

    def is_expired(self, wall: float) -> bool:
        """Whether it is no longer valid at the Unix time `wall`."""
        return wall >= self.expiration

    def refresh_at(self, wall: float, random_bytes: Callable[[int], bytes]) -> float:
        """When to retrieve a new copy: a time by chance in the second half of what is left; now, if nothing is."""
        left = max(self.expiration - wall, 0.0)
        return wall + left * (0.5 + int.from_bytes(random_bytes(4), "big") / (1 << 33))


# Elements that may stand once: the field, and how its text is read.
_ONCE: Mapping[tuple[str, str], tuple[str, Callable[[str], Any]]] = MappingProxyType(
    {
        (BASE, "topology-plugin"): ("topology_plugin", values.string),
        (BASE, "topology-plug-in"): ("topology_plugin", values.string),  # as the text of section 11.1 has it
        (BASE, "node-id-length"): ("node_id_length", values.integer(16, 20)),
        (BASE, "turn-density"): ("turn_density", values.integer(0, 255)),
        (BASE, "clients-permitted"): ("clients_permitted", values.boolean),
        (BASE, "no-ice"): ("no_ice", values.boolean),
        (BASE, "shared-secret"): ("shared_secret", values.string),
        (BASE, "max-message-size"): ("max_message_size", values.integer(1, 0xFFFFFFFF)),
        (BASE, "initial-ttl"): ("initial_ttl", values.integer(1, 255)),
        (BASE, "overlay-reliability-timer"): ("overlay_reliability_timer", values.integer(200, _MAX_INT)),
        (CHORD, "chord-update-interval"): ("chord_update_interval", values.integer(1, _MAX_INT)),
        (CHORD, "chord-ping-interval"): ("chord_ping_interval", values.integer(1, _MAX_INT)),
        (CHORD, "chord-reactive"): ("chord_reactive", values.boolean),
    }
)
# Elements that may stand any number of times.
_MANY: Mapping[str, tuple[str, Callable[[str], Any]]] = MappingProxyType(
    {
        "root-cert": ("root_certificates", values.octets),
        "overlay-link-protocol": ("overlay_link_protocols", values.string),
        "configuration-signer": ("configuration_signers", values.node_id),
        "kind-signer": ("kind_signers", values.node_id),
        "bad-node": ("bad_nodes", values.node_id),
        "mandatory-extension": ("mandatory_extensions", values.string),
    }
)


def read_configuration(document: bytes, overlay: str) -> Configuration:
    """The configuration of `overlay` in a document that may hold several.

    Raises DecodeError: the document or this configuration is malformed, or there is none of that name.
    """
    root = read_xml(document)
    if (root.namespace, root.name) != (BASE, "overlay"):
        raise DecodeError(f"Configuration Document: its root is {root.name!r:.40}, not an overlay of {BASE}")
    found: list[tuple[Element, list[str]]] = []
    signatures: list[str] = []
    for child in root.children:
        if (child.namespace, child.name) == (BASE, "configuration"):
            signatures = []
            if child.attributes.get("instance-name", "").lower() == overlay.lower():
                found.append((child, signatures))
        elif (child.namespace, child.name) == (BASE, "signature") and len(signatures) < MAX_SIGNATURES:
            signatures.append(child.text)
    if len(found) != 1:
        raise DecodeError(f"Configuration Document: {len(found)} configurations of {overlay!r:.80}, one is due")
    element, signatures = found[0]
    try:
        return _Reader(document).read(element, tuple(map(values.octets, signatures)))
    except DecodeError as exc:
        raise DecodeError(f"Configuration Document of {overlay!r:.80}: {exc}") from exc


class _Reader:
    """Reads one configuration element."""

    def __init__(self, document: bytes) -> None:
        self._document = document
        self._once: dict[str, Any] = {}
        self._many: dict[str, list[Any]] = {}
        self._remarks: list[str] = []

    def read(self, element: Element, signatures: tuple[bytes, ...]) -> Configuration:
        """The configuration. Raises DecodeError."""
        for child in element.children:
            try:
                self._child(child)
            except DecodeError as exc:
                raise DecodeError(f"{child.name:.40}: {exc}") from exc
        self._once |= _attributes(element)
        self._once |= {field: tuple(several) for field, several in self._many.items()}
        self._once["octets"] = self._document[element.start : element.stop]
        found = Configuration(**self._once, document=self._document, signatures=signatures)
        _check(found)
        found = attrs.evolve(found, root_certificates=self._roots(found.root_certificates))
        self._look(found)
        return attrs.evolve(found, remarks=tuple(self._remarks))

    def _child(self, child: Element) -> None:
        once = _ONCE.get((child.namespace, child.name))
        if once is not None:
            self._set(once[0], once[1](child.text))
        elif child.namespace not in (BASE, CHORD):
            self._add("extensions", extension(child))
        elif child.namespace == BASE and child.name in _MANY:
            field, read = _MANY[child.name]
            self._add(field, read(child.text))
        else:
            self._structured(child)

    def _structured(self, child: Element) -> None:
        match child.name:
            case "enrollment-server":
                # "in a url element", says the text; the sample and the schema have the bare text.
                inner = [each.text for each in child.children if (each.namespace, each.name) == (BASE, "url")]
                for url in inner or [child.text]:
                    self._add("enrollment_servers", values.https_url(url))
            case "self-signed-permitted":
                permitted, digest = values.boolean(child.text), child.attributes.get("digest")
                if permitted and digest not in DIGESTS:
                    raise DecodeError(f"digest {digest!r:.40} is neither sha1 nor sha256")
                self._set("self_signed_permitted", permitted)
                if digest in DIGESTS:
                    self._set("self_signed_digest", digest)
            case "bootstrap-node":
                address = values.ip_address(child.attributes.get("address", "").strip())
                port = child.attributes.get("port", str(DEFAULT_PORT)).strip()
                self._add("bootstrap_nodes", BootstrapNode(address, values.integer(1, 0xFFFF)(port)))
            case "required-kinds":
                for block in child.children:
                    if (block.namespace, block.name) == (BASE, "kind-block"):
                        self._add("kind_blocks", kind_block(block, self._document))
            case _:
                self._remarks.append(f"{child.name:.40}: no element of RFC 6940")

    def _set(self, field: str, value: Any) -> None:
        if field in self._once:
            raise DecodeError("it may stand there once only")
        self._once[field] = value

    def _add(self, field: str, value: Any) -> None:
        self._many.setdefault(field, []).append(value)

    def _roots(self, certificates: tuple[bytes, ...]) -> tuple[bytes, ...]:
        """Those that are certificates: with another, nothing could be verified, so that it does no harm."""
        usable = []
        for number, der in enumerate(certificates, 1):
            try:
                load_certificate(der)
            except SecurityError as exc:
                self._remarks.append(f"root-cert {number} is not used: {exc}")
            else:
                usable.append(der)
        return tuple(usable)

    def _look(self, found: Configuration) -> None:
        """Notice Node-IDs that no node can have."""
        for field in ("configuration_signers", "kind_signers", "bad_nodes"):
            for node_id in getattr(found, field):
                if len(node_id) != found.node_id_length:
                    self._remarks.append(f"{field}: {node_id.hex()} has {len(node_id)} octets, so it is nobody's")


def _attributes(element: Element) -> dict[str, Any]:
    """instance-name, sequence and expiration. Raises DecodeError."""
    attributes = element.attributes
    missing = [name for name in ("sequence", "expiration") if name not in attributes]
    if missing:
        raise DecodeError(f"{', '.join(missing)} missing")
    name = attributes["instance-name"]
    try:
        overlay_hash(name)
    except EncodeError as exc:
        raise DecodeError(f"instance-name: {exc}") from exc
    return {
        "instance_name": name,
        "sequence": values.integer(0, SEQUENCES - 1)(attributes["sequence"].strip()),
        "expiration": values.utc(attributes["expiration"].strip()),
    }


def _check(found: Configuration) -> None:
    """What only the elements together show. Raises DecodeError."""
    if not found.root_certificates and not found.self_signed_permitted:
        raise DecodeError("neither a root-cert nor self-signed certificates: nobody could be trusted")
    chord = found.topology_plugin in (CHORD_RELOAD, CHORD_SELF_TUNING)
    if chord and found.node_id_length != _CHORD_NODE_ID_LENGTH:
        raise DecodeError(
            f"node-id-length {found.node_id_length} with {found.topology_plugin}, whose ring is that of 16 octets"
        )
    numbers = [block.kind.id for block in found.kind_blocks if block.kind is not None]
    if len(set(numbers)) != len(numbers):
        raise DecodeError("required-kinds: a Kind is defined twice")

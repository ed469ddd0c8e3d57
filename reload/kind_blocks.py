"""Kinds as a configuration defines them, and their signatures (RFC 6940 section 11.1, kind-block)."""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterable, Mapping
from xml.sax.saxutils import quoteattr

import attrs

from reload import _configuration_values as values
from reload._presentation import decode
from reload._xml import Element, read_xml
from reload.errors import DecodeError, SecurityError
from reload.kinds import REGISTERED, AccessControl, Extension, Kind
from reload.ports import Verifier
from reload.security_block import SecurityBlock
from reload.storage_messages import DataModel

BASE = "urn:ietf:params:xml:ns:p2p:config-base"
MAX_NODE_MULTIPLE = 255
"""i of NODE-MULTIPLE is hashed as one octet, and every Store tries them all."""
_MAX_INT = 0x7FFFFFFF

_BY_ID = {kind.id: kind for kind in REGISTERED.values()}
_REQUIRED = ("max-count", "data-model", "max-size", "access-control")


@attrs.frozen
class KindBlock:
    """The definition of a Kind as it came; nothing in it counts before `accept_kind`.

    `kind` is None when this node cannot support the Kind, and `obstacle` says why. `signed` are the octets of the kind
    element, `signature` those of a SecurityBlock, empty without one.
    """

    label: str
    kind: Kind | None
    signed: bytes = attrs.field(repr=False)
    signature: bytes = attrs.field(repr=False)
    obstacle: str = ""


def read_kind_blocks(description: bytes) -> tuple[KindBlock, ...]:
    """The kind-block elements of one KindDescription, in the namespace config-base (section 6.5.4.1).

    Raises DecodeError.
    """
    document = f'<kinds xmlns="{BASE}">'.encode() + description + b"</kinds>"
    root = read_xml(document)
    blocks = [child for child in root.children if (child.namespace, child.name) == (BASE, "kind-block")]
    if not blocks or len(blocks) != len(root.children):
        raise DecodeError("ConfigUpdate: not one or more kind-block elements")
    return tuple(kind_block(block, document) for block in blocks)


def kind_block(block: Element, document: bytes) -> KindBlock:
    """The kind-block `block` of a document. Raises DecodeError."""
    parts: dict[str, list[Element]] = {"kind": [], "kind-signature": []}
    for child in block.children:
        if child.namespace == BASE and child.name in parts:
            parts[child.name].append(child)
    if len(parts["kind"]) != 1 or len(parts["kind-signature"]) > 1:
        raise DecodeError("kind-block: one kind and one kind-signature are due")
    element = parts["kind"][0]
    signature = values.octets(parts["kind-signature"][0].text) if parts["kind-signature"] else b""
    signed = document[element.start : element.stop]
    label = element.attributes.get("name") or element.attributes.get("id") or ""
    try:
        kind, obstacle = _kind(element)
    except DecodeError as exc:
        raise DecodeError(f"kind {label!r:.40}: {exc}") from exc
    if kind is not None:
        kind = attrs.evolve(kind, block=compose_block(signed, signature, element.prefixes))
    return KindBlock(label, kind, signed, signature, obstacle)


def compose_block(signed: bytes, signature: bytes, prefixes: Mapping[str, str]) -> bytes:
    """A kind-block that can stand alone: it declares the namespaces that the octets of the kind element rely on."""
    default = prefixes.get("", "")
    own = ""
    if default != BASE:
        # The octets of the kind element rely on another default: kind-block gets a prefix that they do not use.
        own = next(each for each in (f"k{number}" for number in range(len(prefixes) + 1)) if each not in prefixes)
    declared = {**prefixes, "": default, own: BASE}
    names = "".join(
        f" xmlns{':' if prefix else ''}{prefix}={quoteattr(uri)}" for prefix, uri in declared.items() if prefix != "xml"
    )
    mark = f"{own}:" if own else ""
    tail = f"<{mark}kind-signature>{base64.b64encode(signature).decode()}</{mark}kind-signature></{mark}kind-block>"
    return f"<{mark}kind-block{names}>".encode() + signed + tail.encode()


def _kind(element: Element) -> tuple[Kind | None, str]:
    """The Kind of a kind element, or None and why there is none."""
    found: dict[str, str] = {}
    for child in element.children:
        if child.namespace == BASE:
            if child.name in found:
                raise DecodeError(f"{child.name} stands there twice")
            found[child.name] = child.text
    missing = [name for name in _REQUIRED if name not in found]
    if missing:
        raise DecodeError(f"{', '.join(missing)} missing")
    count = values.integer(1, _MAX_INT)(found["max-count"])
    size = values.integer(0, _MAX_INT)(found["max-size"])
    extensions = tuple(extension(child) for child in element.children if child.namespace != BASE)
    name, number = element.attributes.get("name"), element.attributes.get("id")
    if (name is None) == (number is None):
        raise DecodeError("either a name or an id is due")
    if name is not None:
        registered = REGISTERED.get(name)
        if registered is None:
            return None, f"the Kind {name!r:.60} is not known"
    else:
        registered = _BY_ID.get(values.integer(1, 0xFFFFFFFE)(number or ""))
    if registered is not None:
        # The registered data model and policy hold, whatever is written here (section 11.1).
        return attrs.evolve(registered, max_count=count, max_size=size, extensions=extensions), ""
    return _private_kind(int(number or 0), count, size, found, extensions)


def _private_kind(
    kind_id: int, count: int, size: int, found: Mapping[str, str], extensions: tuple[Extension, ...]
) -> tuple[Kind | None, str]:
    try:
        model = DataModel(found["data-model"].lower())
        policy = AccessControl(found["access-control"].upper())
    except ValueError as exc:
        return None, f"Kind {kind_id}: {exc}"
    multiple = 0
    if policy is AccessControl.NODE_MULTIPLE:
        if "max-node-multiple" not in found:
            raise DecodeError("max-node-multiple missing, which NODE-MULTIPLE needs")
        multiple = values.integer(1, MAX_NODE_MULTIPLE)(found["max-node-multiple"])
    if policy is AccessControl.USER_NODE_MATCH and model is not DataModel.DICTIONARY:
        raise DecodeError("USER-NODE-MATCH is for dictionaries only")
    return Kind(kind_id, model, policy, count, size, multiple, extensions=extensions), ""


def extension(element: Element) -> Extension:
    """An element of a foreign namespace, with all that is in it."""
    return Extension(
        element.namespace,
        element.name,
        element.attributes,
        element.text,
        tuple(extension(child) for child in element.children),
    )


def accept_kind(block: KindBlock, verifier: Verifier, kind_signers: Collection[bytes], wall: float) -> Kind:
    """The Kind of a block whose signature is that of a kind-signer. Raises SecurityError.

    Also for a Kind that this node cannot support.
    """
    signer = accept_signature(block.signed, (block.signature,), verifier, kind_signers, wall)
    if block.kind is None:
        raise SecurityError(f"kind {block.label!r:.40}: {block.obstacle}")
    return attrs.evolve(block.kind, signer=signer)


def accept_signature(
    signed: bytes, signatures: Iterable[bytes], verifier: Verifier, signers: Collection[bytes], wall: float
) -> bytes:
    """Which of `signers`, Node-IDs, has signed these octets of a document. Raises SecurityError: none of them.

    A document is signed as it stands: unlike in messages and values, no SignerIdentity follows the octets, as section
    11.1 takes "a binary blob".
    """
    problem = "there is no signature"
    for signature in signatures:
        try:
            block = decode(SecurityBlock, signature)
            identity = verifier.verify(block.signature, signed, block.certificates, wall, covers_identity=False)
        except (DecodeError, SecurityError) as exc:
            problem = str(exc)
            continue
        if identity.node_id in signers:
            return identity.node_id
        problem = f"Node-ID {identity.node_id.hex()} may not sign it"
    raise SecurityError(f"signature of a document: {problem}")

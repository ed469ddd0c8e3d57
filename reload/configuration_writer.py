"""Writing Configuration Documents, signed, in the form of RFC 6940 section 11.1's example."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from xml.sax.saxutils import escape, quoteattr

from reload._configuration_values import utc_text
from reload._presentation import encode
from reload.configuration import CHORD, Configuration
from reload.kind_blocks import BASE, compose_block
from reload.kinds import Extension, Kind
from reload.ports import Signer
from reload.security_block import SecurityBlock

_HEAD = f'<?xml version="1.0" encoding="UTF-8"?>\n<overlay xmlns="{BASE}"\n    xmlns:chord="{CHORD}">\n'


def write_document(
    configuration: Configuration,
    kinds: Iterable[Kind] = (),
    *,
    signers: Iterable[Signer] = (),
    kind_signer: Signer | None = None,
) -> bytes:
    """A Configuration Document with one configuration, which requires `kinds`.

    It is signed by each of `signers`, its Kinds by `kind_signer`: the first configuration of an overlay needs no
    signature, and every later one that of a configuration-signer of the one before. The `kind_blocks`, `octets`,
    `document` and `signatures` of `configuration` are not used: what was read is written anew.
    """
    body = "".join(f"    {line}\n" for line in _lines(configuration))
    blocks = "".join(f"      {write_kind_block(kind, kind_signer).decode()}\n" for kind in kinds)
    if blocks:
        body += f"    <required-kinds>\n{blocks}    </required-kinds>\n"
    head = (
        f"<configuration instance-name={quoteattr(configuration.instance_name)}"
        f' sequence="{configuration.sequence}" expiration="{utc_text(configuration.expiration)}">\n'
    )
    signed = f"{head}{body}  </configuration>".encode()
    signatures = "".join(f"  <signature>{_signature(signed, signer)}</signature>\n" for signer in signers)
    return f"{_HEAD}  ".encode() + signed + f"\n{signatures}</overlay>\n".encode()


def write_kind_block(kind: Kind, signer: Signer | None = None) -> bytes:
    """A kind-block that can stand alone, as in a ConfigUpdate. Without a signer nobody accepts it."""
    name = f"name={quoteattr(kind.name)}" if kind.name is not None else f'id="{kind.id}"'
    lines = [
        f"<kind {name}>",
        f"<data-model>{kind.data_model.upper()}</data-model>",
        f"<access-control>{kind.access_control}</access-control>",
        *([f"<max-node-multiple>{kind.max_node_multiple}</max-node-multiple>"] if kind.max_node_multiple else []),
        f"<max-count>{kind.max_count}</max-count>",
        f"<max-size>{kind.max_size}</max-size>",
        *(_extension(element) for element in kind.extensions),
        "</kind>",
    ]
    signed = "".join(lines).encode()
    signature = _block(signed, signer) if signer is not None else b""
    return compose_block(signed, signature, {"": BASE})


def _signature(signed: bytes, signer: Signer) -> str:
    return base64.b64encode(_block(signed, signer)).decode()


def _block(signed: bytes, signer: Signer) -> bytes:
    return encode(SecurityBlock(signer.certificates, signer.sign(signed, covers_identity=False)))


def _lines(configuration: Configuration) -> Iterator[str]:
    """The elements, those with their default too: a document says all that holds."""
    yield _element("topology-plugin", configuration.topology_plugin)
    yield _element("node-id-length", configuration.node_id_length)
    for der in configuration.root_certificates:
        yield _element("root-cert", base64.b64encode(der).decode())
    for url in configuration.enrollment_servers:
        yield _element("enrollment-server", url)
    permitted = str(configuration.self_signed_permitted).lower()
    yield f'<self-signed-permitted digest="{configuration.self_signed_digest}">{permitted}</self-signed-permitted>'
    for node in configuration.bootstrap_nodes:
        yield f'<bootstrap-node address={quoteattr(node.address)} port="{node.port}"/>'
    yield _element("turn-density", configuration.turn_density)
    yield _element("clients-permitted", configuration.clients_permitted)
    yield _element("no-ice", configuration.no_ice)
    yield _element("chord:chord-update-interval", configuration.chord_update_interval)
    yield _element("chord:chord-ping-interval", configuration.chord_ping_interval)
    yield _element("chord:chord-reactive", configuration.chord_reactive)
    if configuration.shared_secret is not None:
        yield _element("shared-secret", configuration.shared_secret)
    yield _element("max-message-size", configuration.max_message_size)
    yield _element("initial-ttl", configuration.initial_ttl)
    yield _element("overlay-reliability-timer", configuration.overlay_reliability_timer)
    for protocol in configuration.overlay_link_protocols:
        yield _element("overlay-link-protocol", protocol)
    for name, node_ids in (
        ("configuration-signer", configuration.configuration_signers),
        ("kind-signer", configuration.kind_signers),
        ("bad-node", configuration.bad_nodes),
    ):
        for node_id in node_ids:
            yield _element(name, node_id.hex())
    for element in configuration.extensions:
        yield _extension(element)
    for namespace in configuration.mandatory_extensions:
        yield _element("mandatory-extension", namespace)


def _element(name: str, value: str | int | bool) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"<{name}>{escape(text)}</{name}>"


def _extension(element: Extension) -> str:
    """An element of another namespace, which it declares itself. Attributes of a namespace are left out."""
    attributes = "".join(f" {name}={quoteattr(value)}" for name, value in element.attributes.items() if " " not in name)
    inner = escape(element.text) + "".join(_extension(child) for child in element.children)
    return f"<{element.name} xmlns={quoteattr(element.namespace)}{attributes}>{inner}</{element.name}>"

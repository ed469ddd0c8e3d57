"""RELOAD, the P2PSIP overlay and DHT (RFC 6940 and its extensions): messages, identities, configuration, sans-IO.

Names are imported when they are first used: who only reads messages needs no cryptography.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reload._chain import Trust
    from reload._presentation import decode, encode
    from reload.addresses import IpAddressPort, IPv4AddrPort, IPv6AddrPort
    from reload.certificates import Authority, generate_key, make_self_signed, random_node_id
    from reload.configuration import Configuration, read_configuration
    from reload.configuration_update import InForce, decide_document, decide_update, put_in_force
    from reload.contents import ErrorCode, ErrorResponse, MessageCode, MessageContents, MessageExtension
    from reload.destinations import NodeDestination, OpaqueDestination, ResourceDestination, UnknownDestination
    from reload.errors import DecodeError, EncodeError, ReloadError, SecurityError, StateError
    from reload.forwarding import forward, fragment
    from reload.framing import AckFrame, DataFrame, ReceivedMask, decode_frame, encode_frame
    from reload.header import ForwardingHeader, ForwardingOption, decode_header, encode_header
    from reload.identity import read_certificate
    from reload.kinds import AccessControl, Kind, KindTable
    from reload.message import Message, decode_body, decode_message, encode_message
    from reload.naming import overlay_hash, resource_id, wildcard
    from reload.ports import Identity, Signer, Verifier
    from reload.reassembly import Reassembler
    from reload.signing import KeySigner, OverlayVerifier, encode_signed, sign_message, verify_message

__all__ = [
    "AccessControl",
    "AckFrame",
    "Authority",
    "Configuration",
    "DataFrame",
    "DecodeError",
    "EncodeError",
    "ErrorCode",
    "ErrorResponse",
    "ForwardingHeader",
    "ForwardingOption",
    "IPv4AddrPort",
    "IPv6AddrPort",
    "Identity",
    "InForce",
    "IpAddressPort",
    "KeySigner",
    "Kind",
    "KindTable",
    "Message",
    "MessageCode",
    "MessageContents",
    "MessageExtension",
    "NodeDestination",
    "OpaqueDestination",
    "OverlayVerifier",
    "Reassembler",
    "ReceivedMask",
    "ReloadError",
    "ResourceDestination",
    "SecurityError",
    "Signer",
    "StateError",
    "Trust",
    "UnknownDestination",
    "Verifier",
    "decide_document",
    "decide_update",
    "decode",
    "decode_body",
    "decode_frame",
    "decode_header",
    "decode_message",
    "encode",
    "encode_frame",
    "encode_header",
    "encode_message",
    "encode_signed",
    "forward",
    "fragment",
    "generate_key",
    "make_self_signed",
    "overlay_hash",
    "put_in_force",
    "random_node_id",
    "read_certificate",
    "read_configuration",
    "resource_id",
    "sign_message",
    "verify_message",
    "wildcard",
]

_MODULES = {
    "_chain": "Trust",
    "_presentation": "decode encode",
    "addresses": "IpAddressPort IPv4AddrPort IPv6AddrPort",
    "certificates": "Authority generate_key make_self_signed random_node_id",
    "configuration": "Configuration read_configuration",
    "configuration_update": "InForce decide_document decide_update put_in_force",
    "contents": "ErrorCode ErrorResponse MessageCode MessageContents MessageExtension",
    "destinations": "NodeDestination OpaqueDestination ResourceDestination UnknownDestination",
    "errors": "DecodeError EncodeError ReloadError SecurityError StateError",
    "forwarding": "forward fragment",
    "framing": "AckFrame DataFrame ReceivedMask decode_frame encode_frame",
    "header": "ForwardingHeader ForwardingOption decode_header encode_header",
    "identity": "read_certificate",
    "kinds": "AccessControl Kind KindTable",
    "message": "Message decode_body decode_message encode_message",
    "naming": "overlay_hash resource_id wildcard",
    "ports": "Identity Signer Verifier",
    "reassembly": "Reassembler",
    "signing": "KeySigner OverlayVerifier encode_signed sign_message verify_message",
}
_MODULE_OF = {name: f"reload.{module}" for module, names in _MODULES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'reload' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_MODULE_OF[name]), name)
    return value

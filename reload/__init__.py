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
    from reload.chord import ChordReload
    from reload.client import ClientTopology
    from reload.configuration import Configuration, read_configuration
    from reload.configuration_update import InForce, decide_document, decide_update, put_in_force
    from reload.contents import ErrorCode, ErrorResponse, MessageCode, MessageContents, MessageExtension
    from reload.destinations import NodeDestination, OpaqueDestination, ResourceDestination, UnknownDestination
    from reload.errors import DecodeError, EncodeError, ReloadError, SecurityError, StateError
    from reload.events import (
        Candidates,
        CandidatesWanted,
        Completed,
        Connected,
        ConnectionAbandoned,
        ConnectionWanted,
        Disconnected,
        Event,
        LinkUnwanted,
        MessageDropped,
        Role,
    )
    from reload.exchange import Answer, Failure, Link, Request, Response
    from reload.forwarding import forward, fragment
    from reload.framed_stream import FramedStream
    from reload.framing import AckFrame, DataFrame, ReceivedMask, decode_frame, encode_frame
    from reload.header import ForwardingHeader, ForwardingOption, decode_header, encode_header
    from reload.identity import read_certificate
    from reload.kinds import AccessControl, Kind, KindTable
    from reload.message import Message, decode_body, decode_message, encode_message
    from reload.naming import overlay_hash, resource_id, wildcard
    from reload.node import Node
    from reload.node_ports import Host, Service, Transit
    from reload.operations import (
        Failed,
        Fetch,
        Fetched,
        Find,
        Found,
        Metadata,
        NewValue,
        Plan,
        Send,
        Stat,
        Store,
        Stored,
        StoredValue,
        Wanted,
    )
    from reload.ports import Identity, Signer, Verifier
    from reload.quotas import Quotas
    from reload.reassembly import Reassembler
    from reload.self_tuning import SelfTuningChord
    from reload.signing import KeySigner, OverlayVerifier, encode_signed, sign_message, verify_message
    from reload.simple_reliability import SimpleReliability
    from reload.storage import Storage
    from reload.storage_messages import (
        ArrayEntry,
        ArrayRange,
        ArraySpecifier,
        DataModel,
        DataValue,
        DictionaryEntry,
        DictionarySpecifier,
        SingleSpecifier,
    )
    from reload.storage_settings import StorageSettings
    from reload.topology import Joined, JoinFailed, Left, MakeTopology, Overlay, Placement, Topology

__all__ = [
    "AccessControl",
    "AckFrame",
    "Answer",
    "ArrayEntry",
    "ArrayRange",
    "ArraySpecifier",
    "Authority",
    "Candidates",
    "CandidatesWanted",
    "ChordReload",
    "ClientTopology",
    "Completed",
    "Configuration",
    "Connected",
    "ConnectionAbandoned",
    "ConnectionWanted",
    "DataFrame",
    "DataModel",
    "DataValue",
    "DecodeError",
    "DictionaryEntry",
    "DictionarySpecifier",
    "Disconnected",
    "EncodeError",
    "ErrorCode",
    "ErrorResponse",
    "Event",
    "Failed",
    "Failure",
    "Fetch",
    "Fetched",
    "Find",
    "ForwardingHeader",
    "ForwardingOption",
    "Found",
    "FramedStream",
    "Host",
    "IPv4AddrPort",
    "IPv6AddrPort",
    "Identity",
    "InForce",
    "IpAddressPort",
    "JoinFailed",
    "Joined",
    "KeySigner",
    "Kind",
    "KindTable",
    "Left",
    "Link",
    "LinkUnwanted",
    "MakeTopology",
    "Message",
    "MessageCode",
    "MessageContents",
    "MessageDropped",
    "MessageExtension",
    "Metadata",
    "NewValue",
    "Node",
    "NodeDestination",
    "OpaqueDestination",
    "Overlay",
    "OverlayVerifier",
    "Placement",
    "Plan",
    "Quotas",
    "Reassembler",
    "ReceivedMask",
    "ReloadError",
    "Request",
    "ResourceDestination",
    "Response",
    "Role",
    "SecurityError",
    "SelfTuningChord",
    "Send",
    "Service",
    "Signer",
    "SimpleReliability",
    "SingleSpecifier",
    "Stat",
    "StateError",
    "Storage",
    "StorageSettings",
    "Store",
    "Stored",
    "StoredValue",
    "Topology",
    "Transit",
    "Trust",
    "UnknownDestination",
    "Verifier",
    "Wanted",
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
    "chord": "ChordReload",
    "client": "ClientTopology",
    "configuration": "Configuration read_configuration",
    "configuration_update": "InForce decide_document decide_update put_in_force",
    "contents": "ErrorCode ErrorResponse MessageCode MessageContents MessageExtension",
    "destinations": "NodeDestination OpaqueDestination ResourceDestination UnknownDestination",
    "errors": "DecodeError EncodeError ReloadError SecurityError StateError",
    "events": (
        "Candidates CandidatesWanted Completed Connected ConnectionAbandoned ConnectionWanted "
        "Disconnected Event LinkUnwanted MessageDropped Role"
    ),
    "exchange": "Answer Failure Link Request Response",
    "forwarding": "forward fragment",
    "framed_stream": "FramedStream",
    "framing": "AckFrame DataFrame ReceivedMask decode_frame encode_frame",
    "header": "ForwardingHeader ForwardingOption decode_header encode_header",
    "identity": "read_certificate",
    "kinds": "AccessControl Kind KindTable",
    "message": "Message decode_body decode_message encode_message",
    "naming": "overlay_hash resource_id wildcard",
    "node": "Node",
    "node_ports": "Host Service Transit",
    "operations": "Failed Fetch Fetched Find Found Metadata NewValue Plan Send Stat Store Stored StoredValue Wanted",
    "ports": "Identity Signer Verifier",
    "quotas": "Quotas",
    "reassembly": "Reassembler",
    "self_tuning": "SelfTuningChord",
    "signing": "KeySigner OverlayVerifier encode_signed sign_message verify_message",
    "simple_reliability": "SimpleReliability",
    "storage": "Storage",
    "storage_messages": (
        "ArrayEntry ArrayRange ArraySpecifier DataModel DataValue DictionaryEntry DictionarySpecifier SingleSpecifier"
    ),
    "storage_settings": "StorageSettings",
    "topology": "JoinFailed Joined Left MakeTopology Overlay Placement Topology",
}
_MODULE_OF = {name: f"reload.{module}" for module, names in _MODULES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'reload' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_MODULE_OF[name]), name)
    return value

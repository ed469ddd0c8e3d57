"""The calls of the topic security: certificates, signatures and configurations."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from reload._chain import Trust
from reload._presentation import encode
from reload.configuration import read_configuration
from reload.configuration_update import Refused, decide_document, is_newer, put_in_force
from reload.errors import SecurityError
from reload.identity import read_certificate, self_signed_node_ids
from reload.message import decode_message
from reload.ports import Identity
from reload.security_block import HashAlgorithm
from reload.signing import OverlayVerifier, data_input, message_input, signer_identity, value_octets, verify_message
from reload.storage_messages import ArrayEntry, DataValue, DictionaryEntry, StoredDataValue

_Json = dict[str, Any]


def _message_signature_input(args: _Json) -> str:
    octets = message_input(args["overlay"], int(args["transaction_id"], 16), bytes.fromhex(args["contents"]))
    return octets.hex() + str(args["signer_identity"])


def _data_signature_input(args: _Json) -> str:
    entry = args["entry"]
    plain = DataValue(entry["exists"], bytes.fromhex(entry["value"]))
    value: StoredDataValue = plain
    match args["data_model"]:
        case "array":
            value = ArrayEntry(entry["index"], plain)
        case "dictionary":
            value = DictionaryEntry(bytes.fromhex(entry["key"]), plain)
    octets = data_input(bytes.fromhex(args["resource_id"]), args["kind"], args["storage_time"], value_octets(value))
    return octets.hex() + str(args["signer_identity"])


def _signer_identity(args: _Json) -> str:
    certificate = read_certificate(bytes.fromhex(args["certificate"]), args["overlay"])
    return encode(signer_identity(certificate, bytes.fromhex(args["node_id"]), HashAlgorithm(args["hash_alg"]))).hex()


def _self_signed_node_ids(args: _Json) -> list[str]:
    info = bytes.fromhex(args["public_key_info"])
    found = self_signed_node_ids(info, args["digest"], args["count"], length=args["node_id_length"])
    return [node_id.hex() for node_id in found]


def _certificate_identity(args: _Json) -> _Json:
    der = bytes.fromhex(args["certificate"])
    found = read_certificate(der, args["overlay"], node_id_length=args.get("node_id_length", 16))
    return {"node_ids": [node_id.hex() for node_id in found.node_ids]} | _user(found.user_name)


def _user(name: str | None) -> _Json:
    return {} if name is None else {"user_name": name}


def _configuration_is_newer(args: _Json) -> bool:
    return is_newer(args["sequence"], args["than"])


def _verify_message(args: _Json) -> _Json:
    trust = Trust(
        args["overlay"],
        root_certificates=tuple(map(bytes.fromhex, args.get("root_certificates", ()))),
        self_signed_digest=args.get("self_signed_digest"),
        bad_nodes=frozenset(map(bytes.fromhex, args.get("bad_nodes", ()))),
    )
    found: Identity = verify_message(decode_message(bytes.fromhex(args["wire"])), OverlayVerifier(trust), args["wall"])
    return {"node_id": found.node_id.hex()} | _user(found.user_name)


def _signed_octets(args: _Json) -> _Json:
    found = read_configuration(bytes.fromhex(args["document"]), args["overlay"])
    return {"configuration": found.octets.hex(), "kinds": [block.signed.hex() for block in found.kind_blocks]}


def _configuration_update(args: _Json) -> _Json:
    first = put_in_force(read_configuration(bytes.fromhex(args["current"]), args["overlay"]), args["wall"])
    decided = decide_document(first, bytes.fromhex(args["update"]), args["wall"])
    if isinstance(decided, Refused):
        raise SecurityError(decided.reason)
    return {"sequence": decided.in_force.configuration.sequence}


CALLS: Mapping[str, Callable[[_Json], Any]] = MappingProxyType(
    {
        "message-signature-input": _message_signature_input,
        "data-signature-input": _data_signature_input,
        "signer-identity": _signer_identity,
        "self-signed-node-ids": _self_signed_node_ids,
        "certificate-identity": _certificate_identity,
        "configuration-is-newer": _configuration_is_newer,
        "verify-message": _verify_message,
        "signed-octets": _signed_octets,
        "configuration-update": _configuration_update,
    }
)

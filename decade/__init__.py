"""DECADE, in-network storage (RFC 7069), as a profile over HTTP, CBOR and signed tokens, sans-IO.

Names are imported when they are first used: who only names objects needs no cryptography.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from decade.attenuation import attenuates
    from decade.claims import Claims
    from decade.client import Fetched, delete, fetch, put
    from decade.client_exchange import Credential, FailedError, Failure, Plan, UnreachableError
    from decade.cose import Ed25519Key, Ed25519SigningKey, Es256Key, Es256SigningKey, HmacKey
    from decade.data_index import DataIndex
    from decade.discovery import discover
    from decade.errors import (
        DecadeError,
        DecodeError,
        Dimension,
        EncodeError,
        ErrorCode,
        RefusedError,
        StateError,
        StoreError,
    )
    from decade.http import Download, Request, Response, Upload
    from decade.issuer import Issuer
    from decade.ledger import MemoryLedger, MemoryPolicies, MemoryQuotas
    from decade.messages import (
        AccessLog,
        AttrPatch,
        Challenge,
        ChallengeRequest,
        Claim,
        DistributionLog,
        Limits,
        Message,
        ObjectInfo,
        ObjectList,
        Remote,
        ResourcePolicy,
        Revocation,
        ServerInfo,
        Status,
        StoredAttrs,
        TokenRequest,
        TokenResponse,
        TransferRequest,
        TransferStatus,
        decode_message,
        encode_message,
    )
    from decade.names import Digest, Name, NiUri, name_of, read_binary, read_ni, read_nih, read_path
    from decade.policy import PolicyTree
    from decade.ports import Connections, Ledger, ObjectStore, Policies, PutPolicy, Quotas, Row
    from decade.problem import Problem, decode_problem
    from decade.recovery import recover
    from decade.scheduler import Grant, Scheduler, Terms
    from decade.scope import Everything, Object, Operation, Scope, TokenPolicy
    from decade.server import Server
    from decade.settings import Extension, Settings
    from decade.store import MemoryStore
    from decade.tokens import RegisteredKey, TokenFeature, VerifiedToken, delegate, mint, verify
    from decade.values import BitRate, Priority, SignedName, Weight
    from decade.waiting import Waiting, settle

__all__ = [
    "AccessLog",
    "AttrPatch",
    "BitRate",
    "Challenge",
    "ChallengeRequest",
    "Claim",
    "Claims",
    "Connections",
    "Credential",
    "DataIndex",
    "DecadeError",
    "DecodeError",
    "Digest",
    "Dimension",
    "DistributionLog",
    "Download",
    "Ed25519Key",
    "Ed25519SigningKey",
    "EncodeError",
    "ErrorCode",
    "Es256Key",
    "Es256SigningKey",
    "Everything",
    "Extension",
    "FailedError",
    "Failure",
    "Fetched",
    "Grant",
    "HmacKey",
    "Issuer",
    "Ledger",
    "Limits",
    "MemoryLedger",
    "MemoryPolicies",
    "MemoryQuotas",
    "MemoryStore",
    "Message",
    "Name",
    "NiUri",
    "Object",
    "ObjectInfo",
    "ObjectList",
    "ObjectStore",
    "Operation",
    "Plan",
    "Policies",
    "PolicyTree",
    "Priority",
    "Problem",
    "PutPolicy",
    "Quotas",
    "RefusedError",
    "RegisteredKey",
    "Remote",
    "Request",
    "ResourcePolicy",
    "Response",
    "Revocation",
    "Row",
    "Scheduler",
    "Scope",
    "Server",
    "ServerInfo",
    "Settings",
    "SignedName",
    "StateError",
    "Status",
    "StoreError",
    "StoredAttrs",
    "Terms",
    "TokenFeature",
    "TokenPolicy",
    "TokenRequest",
    "TokenResponse",
    "TransferRequest",
    "TransferStatus",
    "UnreachableError",
    "Upload",
    "VerifiedToken",
    "Waiting",
    "Weight",
    "attenuates",
    "decode_message",
    "decode_problem",
    "delegate",
    "delete",
    "discover",
    "encode_message",
    "fetch",
    "mint",
    "name_of",
    "put",
    "read_binary",
    "read_ni",
    "read_nih",
    "read_path",
    "recover",
    "settle",
    "verify",
]

_MODULES = {
    "attenuation": "attenuates",
    "claims": "Claims",
    "client": "Fetched delete fetch put",
    "client_exchange": "Credential FailedError Failure Plan UnreachableError",
    "cose": "Ed25519Key Ed25519SigningKey Es256Key Es256SigningKey HmacKey",
    "data_index": "DataIndex",
    "discovery": "discover",
    "errors": "DecadeError DecodeError Dimension EncodeError ErrorCode RefusedError StateError StoreError",
    "http": "Download Request Response Upload",
    "issuer": "Issuer",
    "ledger": "MemoryLedger MemoryPolicies MemoryQuotas",
    "messages": (
        "AccessLog AttrPatch Challenge ChallengeRequest Claim DistributionLog Limits Message ObjectInfo "
        "ObjectList Remote ResourcePolicy Revocation ServerInfo Status StoredAttrs TokenRequest "
        "TokenResponse TransferRequest TransferStatus decode_message encode_message"
    ),
    "names": "Digest Name NiUri name_of read_binary read_ni read_nih read_path",
    "policy": "PolicyTree",
    "ports": "Connections Ledger ObjectStore Policies PutPolicy Quotas Row",
    "problem": "Problem decode_problem",
    "recovery": "recover",
    "scheduler": "Grant Scheduler Terms",
    "scope": "Everything Object Operation Scope TokenPolicy",
    "server": "Server",
    "settings": "Extension Settings",
    "store": "MemoryStore",
    "tokens": "RegisteredKey TokenFeature VerifiedToken delegate mint verify",
    "values": "BitRate Priority SignedName Weight",
    "waiting": "Waiting settle",
}
_MODULE_OF = {name: f"decade.{module}" for module, names in _MODULES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'decade' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_MODULE_OF[name]), name)
    return value

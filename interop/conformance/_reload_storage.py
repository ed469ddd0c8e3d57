"""The call of the topic storage-peer: what a storing peer answers, request by request."""

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any

from reload._chain import Trust
from reload._presentation import decode
from reload.contents import ErrorCode, ErrorResponse, UnknownKinds
from reload.exchange import Answer
from reload.kinds import AccessControl, Kind, KindTable
from reload.security_block import X509, GenericCertificate
from reload.signing import OverlayVerifier
from reload.storage import Storage, StoreAccepted
from reload.storage_messages import (
    DataModel,
    FetchReq,
    FindReq,
    StoredDataSpecifier,
    StoreKindData,
    StoreReq,
)

_Json = dict[str, Any]


class _Where:
    """A placement that says what a step says."""

    def __init__(self) -> None:
        self.responsible = True
        self.sender: bytes | None = None

    def is_responsible(self, resource_id: bytes) -> bool:
        return self.responsible

    def owner(self, resource_id: bytes) -> bytes | None:
        return None

    def replica_peers(self, resource_id: bytes) -> tuple[bytes, ...]:
        return ()

    def accepts_replica(self, senders: Collection[bytes], resource_id: bytes, replica_number: int) -> bool:
        return self.sender in senders

    def keeps(self, resource_id: bytes) -> bool:
        return True


class _Peer:
    """A storage with the certificates that everybody has."""

    def __init__(self, args: _Json) -> None:
        roots = tuple(map(bytes.fromhex, args["root_certificates"]))
        self._verifier = OverlayVerifier(Trust(args["overlay"], root_certificates=roots))
        self._wall = args["wall"]
        self._certificates = [GenericCertificate(X509, bytes.fromhex(each)) for each in args["certificates"]]
        self._where = _Where()
        self._kinds = KindTable(map(_kind, args["kinds"]))
        self._storage = Storage(self._kinds, self._where, epoch=self._wall)

    def step(self, step: _Json) -> _Json:
        """The outcome of one request."""
        self._where.responsible = step.get("responsible", True)
        sender = step.get("replicas_from")
        self._where.sender = None if sender is None else self._identity(sender).node_id
        now = step["at"] / 1e6
        match step:
            case {"store": body}:
                before = [self._generation(body, kind, now) for kind in step.get("rises", ())]
                outcome = self._store(body, step["signer"], now)
                after = [self._generation(body, kind, now) for kind in step.get("rises", ())]
                rises = [one < other for one, other in zip(before, after, strict=True)]
                return outcome | ({"rises": rises} if rises else {})
            case {"fetch": body}:
                return self._values(self._storage.fetch(self._fetch_req(body, now), now))
            case {"stat": body}:
                return self._values(self._storage.stat(self._fetch_req(body, now), now))
        body = step["find"]
        reply = self._storage.find(FindReq(bytes.fromhex(body["resource"]), tuple(body["kinds"])), now)
        if isinstance(reply, ErrorResponse):
            return _error(reply)
        return {"closest": [result.closest.hex() for result in reply.body.results]}

    def _store(self, body: _Json, signer: int, now: float) -> _Json:
        data = tuple(
            StoreKindData(
                each["kind"], self._counter(body, each, now), tuple(bytes.fromhex(value) for value in each["values"])
            )
            for each in body["kind_data"]
        )
        outcome = self._storage.store(
            StoreReq(bytes.fromhex(body["resource"]), body.get("replica_number", 0), data),
            signer=self._identity(signer),
            certificates=self._certificates,
            verifier=self._verifier,
            now=now,
        )
        return {"stored": True} if isinstance(outcome, StoreAccepted) else _error(outcome)

    def _identity(self, number: int) -> Any:
        return self._verifier.identify(self._certificates[number].certificate, self._certificates, self._wall)

    def _fetch_req(self, body: _Json, now: float) -> FetchReq:
        specifiers = tuple(
            StoredDataSpecifier(
                each["kind"], self._counter(body, each, now), bytes.fromhex(each.get("model_specifier", ""))
            )
            for each in body["specifiers"]
        )
        return FetchReq(bytes.fromhex(body["resource"]), specifiers)

    def _counter(self, body: _Json, named: _Json, now: float) -> int:
        """A generation counter is written as a number, or by what it is to the current one."""
        wanted = named.get("generation", 0)
        if isinstance(wanted, int):
            return wanted
        # The one behind must not be 0, which has a meaning of its own.
        return self._generation(body, named["kind"], now) + {"current": 0, "behind": -1, "ahead": 1}[wanted]

    def _generation(self, body: _Json, kind: int, now: float) -> int:
        specifier = b"" if self._kinds[kind].data_model is DataModel.SINGLE else b"\0\0"
        request = FetchReq(bytes.fromhex(body["resource"]), (StoredDataSpecifier(kind, 0, specifier),))
        reply = self._storage.fetch(request, now)
        assert isinstance(reply, Answer)
        counter: int = reply.body.kind_responses[0].generation
        return counter

    def _values(self, reply: Answer | ErrorResponse) -> _Json:
        if isinstance(reply, ErrorResponse):
            return _error(reply)
        return {"values": [[value.hex() for value in each.values] for each in reply.body.kind_responses]}


def _error(error: ErrorResponse) -> _Json:
    found: _Json = {"error": int(error.error_code)}
    if error.error_code == ErrorCode.UNKNOWN_KIND:
        found["unknown_kinds"] = list(decode(UnknownKinds, error.error_info).unknown_kinds)
    return found


def _kind(json: _Json) -> Kind:
    return Kind(
        json["id"],
        DataModel(json["data_model"]),
        AccessControl(json["access_control"]),
        json["max_count"],
        json["max_size"],
        json.get("max_node_multiple", 0),
    )


def _storage(args: _Json) -> list[_Json]:
    peer = _Peer(args)
    return [peer.step(step) for step in args["steps"]]


CALLS: Mapping[str, Callable[[_Json], Any]] = MappingProxyType({"storage": _storage})

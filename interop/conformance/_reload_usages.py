"""The calls of the topic usages: ReDiR, TURN servers, and the names of SIP."""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

from interop._reload_values import destination_from_json, destination_to_json
from reload.configuration_extensions import DomainRestrictions
from reload.kinds import REDIR
from reload.operations import Fetch, Fetched, KindValues, Plan, Result, Store, Stored, StoredValue
from reload.ports import Identity
from reload.reading import NO_SIGNATURE
from reload.storage_messages import DataValue, DictionaryEntry, StoredDictionaryEntry
from reload.usages.redir import ServiceProvider, look_up
from reload.usages.redir_tree import RedirTree, interval_of, may_store, redir_resource_id
from reload.usages.sip_names import Domains, Gruu, read_aor, read_gruu, write_gruu
from reload.usages.turn import turn_resource_id

_Json = dict[str, Any]


class _Dictionaries:
    """What is stored, of the Kind REDIR, in a DHT where everything arrives."""

    def __init__(self) -> None:
        self.held: dict[bytes, dict[bytes, StoredValue]] = {}
        self.fetched: list[bytes] = []

    def run(self, plan: Plan[Any], node_id: bytes) -> Any:
        result: Any = None
        while True:
            try:
                operation = plan.send(result)
            except StopIteration as done:
                return done.value
            assert isinstance(operation, Store | Fetch)
            result = self._perform(operation, node_id)

    def _perform(self, operation: Store | Fetch, node_id: bytes) -> Result:
        entries = self.held.setdefault(operation.resource_id, {})
        if isinstance(operation, Fetch):
            self.fetched.append(operation.resource_id)
            return Fetched({REDIR.id: KindValues(REDIR.id, 1, tuple(entries.values()))})
        for new in operation.values:
            assert isinstance(new.value, DictionaryEntry)
            signer = Identity(node_id, (node_id,), None, b"")
            entries[new.value.key] = StoredValue(
                StoredDictionaryEntry(0, new.lifetime, new.value, NO_SIGNATURE), signer
            )
        return Stored({REDIR.id: 1}, {})


def _tree_node(args: _Json) -> _Json:
    factor = args["branching_factor"]
    node, interval = divmod(interval_of(bytes.fromhex(args["node_id"]), args["level"], factor), factor)
    return {"node": node, "interval": interval}


def _registered(args: _Json) -> tuple[RedirTree, _Dictionaries]:
    tree = RedirTree(args["namespace"], args["branching_factor"])
    dictionaries = _Dictionaries()
    for node_id in map(bytes.fromhex, args["providers"]):
        dictionaries.run(ServiceProvider(tree, node_id).store(), node_id)
    return tree, dictionaries


def _names(tree: RedirTree, node_ids: Iterable[bytes]) -> dict[bytes, tuple[int, int]]:
    """Level and number of the tree nodes that these Node-IDs can be in, by Resource-ID."""
    return {
        tree.resource_id(level, node_id): (level, tree.node(level, node_id))
        for node_id in node_ids
        for level in range(tree.deepest_level + 1)
    }


def _redir_tree(args: _Json) -> list[_Json]:
    tree, dictionaries = _registered(args)
    names = _names(tree, map(bytes.fromhex, args["providers"]))
    found = sorted((names[at], sorted(key.hex() for key in of)) for at, of in dictionaries.held.items() if of)
    return [{"level": level, "node": node, "node_ids": keys} for (level, node), keys in found]


def _redir_lookup(args: _Json) -> _Json:
    tree, dictionaries = _registered(args)
    key = bytes.fromhex(args["key"])
    dictionaries.fetched.clear()
    found = dictionaries.run(look_up(tree, key, args["start"], bytes), key)
    names = _names(tree, [key])
    fetched = [list(names[at]) for at in dictionaries.fetched]
    return {"fetched": fetched} | ({} if found.provider is None else {"node_id": found.provider.node_id.hex()})


def _redir_may_store(args: _Json) -> bool:
    value = DataValue(args["exists"], bytes.fromhex(args["value"]))
    entry = DictionaryEntry(bytes.fromhex(args["key"]), value)
    signer, at = bytes.fromhex(args["signer"]), bytes.fromhex(args["resource_id"])
    return may_store(entry, at, signer, args["branching_factor"])


def _write_gruu(args: _Json) -> str:
    destination_list = tuple(map(destination_from_json, args["destination_list"]))
    return write_gruu(Gruu(args["aor"], destination_list), node_id_length=args.get("node_id_length", 16))


def _read_gruu(args: _Json) -> _Json:
    found = read_gruu(args["uri"], node_id_length=args.get("node_id_length", 16))
    if found is None:
        return {}
    return {"aor": found.aor, "destination_list": list(map(destination_to_json, found.destination_list))}


def _accepts_domain(args: _Json) -> bool:
    restrictions = DomainRestrictions(args["enable"], tuple(args.get("patterns", ()))) if "enable" in args else None
    return Domains(args["overlay"], restrictions).accept(args["aor"])


CALLS: Mapping[str, Callable[[_Json], Any]] = MappingProxyType(
    {
        "redir-resource-id": lambda args: redir_resource_id(
            args["namespace"].encode(), args["level"], args["node"]
        ).hex(),
        "redir-tree-node": _tree_node,
        "redir-tree": _redir_tree,
        "redir-lookup": _redir_lookup,
        "redir-may-store": _redir_may_store,
        "turn-resource-id": lambda args: turn_resource_id(bytes.fromhex(args["node_id"]), args["iteration"]).hex(),
        "sip-aor": lambda args: read_aor(args["uri"]),
        "write-gruu": _write_gruu,
        "read-gruu": _read_gruu,
        "sip-accepts": _accepts_domain,
    }
)

"""Reads what an update stream service sends and keeps the documents, as plainly as can be."""

import json
from typing import Any

from alto import media
from alto.patch import json_patch, merge_patch
from alto.sse import COMMENT, EventStreamReader, ServerSentEvent

_Json = dict[str, Any]
_MEMBERS = ("network-map", "cost-map")


class Reader:
    """One stream, as its client sees it."""

    def __init__(self) -> None:
        self.documents: _Json = {}
        """By substream; those that the client had from the start too."""
        self.control = ""
        """What stands behind the service's URI in the control URI."""

    def read(self, octets: bytes) -> _Json:
        """What the octets of one step say."""
        reader = EventStreamReader()
        reader.receive_data(octets, 0.0)
        seen: _Json = {"kinds": [], "order": [], "started": [], "stopped": [], "comment": COMMENT in octets[:3]}
        while isinstance(event := reader.next_event(), ServerSentEvent):
            kind, comma, name = event.event.rpartition(",")
            value = json.loads(event.data)
            if not comma:
                self._control(value, seen)
                continue
            self._take(kind, name, value)
            seen["kinds"].append("incremental" if kind in (media.MERGE_PATCH, media.JSON_PATCH) else "full")
            seen["order"].append(name)
        seen["data"] = {name: self._data(name) for name in sorted(self.documents)}
        seen["consistent"] = self._is_consistent()
        return seen

    def _control(self, value: _Json, seen: _Json) -> None:
        seen["kinds"].append("control")
        if "control-uri" in value:
            self.control = "/" + value["control-uri"].rpartition("/")[2]
        seen["started"] += value.get("started", [])
        seen["stopped"] += value.get("stopped", [])

    def _take(self, kind: str, name: str, value: Any) -> None:
        if kind == media.MERGE_PATCH:
            value = merge_patch(self.documents[name], value)
        elif kind == media.JSON_PATCH:
            value = json_patch(self.documents[name], value)
        self.documents[name] = value

    def _data(self, name: str) -> Any:
        return next((self.documents[name][member] for member in _MEMBERS if member in self.documents[name]), None)

    def _is_consistent(self) -> bool:
        """Whether every document is based on the versions that the others have."""
        metas = [document["meta"] for document in self.documents.values()]
        tags = {meta["vtag"]["resource-id"]: meta["vtag"]["tag"] for meta in metas if "vtag" in meta}
        based = [vtag for meta in metas for vtag in meta.get("dependent-vtags", [])]
        return all(tags.get(vtag["resource-id"], vtag["tag"]) == vtag["tag"] for vtag in based)

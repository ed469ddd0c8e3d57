"""Our patches, server-sent events and update streams (RFC 7396, 6902, 8895) as an implementation under test."""

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from alto import media
from alto._json import dumps
from alto._serving_answers import error_response
from alto.costmap import CostMapResource
from alto.costs import CostMatrix
from alto.directory import Directory, Query, RequestContext
from alto.errors import RequestError
from alto.http import Request, Response
from alto.networkmap import FilteredNetworkMapResource, NetworkMap, NetworkMapResource
from alto.patch import InexpressibleError, json_equal, json_patch, merge_diff, merge_patch
from alto.ports import Resource
from alto.sse import EventStreamReader, ServerSentEvent, encode_json
from alto.types import CostType
from alto.updates import UpdateStreamService
from alto.updates_client import (
    StreamBroken,
    StreamEnded,
    StreamOpened,
    Subscription,
    SubstreamsStarted,
    SubstreamsStopped,
    UpdateStreamClient,
)
from interop.conformance._alto_updates_reader import Reader

_Json = dict[str, Any]
_BASE = "https://alto.example.com/"
_URI = f"{_BASE}updates"
_PARAMS = (("Content-Type", media.UPDATE_STREAM_PARAMS),)


def _expressible(args: _Json) -> bool:
    try:
        merge_diff(args["old"], args["new"])
    except InexpressibleError:
        return False
    return True


def _event_stream(args: _Json) -> list[_Json]:
    reader = EventStreamReader()
    for chunk in args["chunks"]:
        reader.receive_data(bytes.fromhex(chunk), 0.0)
    found = []
    while isinstance(event := reader.next_event(), ServerSentEvent):
        found.append({"event": event.event, "data": event.data.decode("utf-8", "replace")})
    return found


def _data_lines(args: _Json) -> _Json:
    """What becomes of a JSON text that is sent as an event: its value, and whether its lines are short."""
    encoded = encode_json(args["text"].encode())
    reader = EventStreamReader()
    reader.receive_data(encoded, 0.0)
    event = reader.next_event()
    if not isinstance(event, ServerSentEvent):
        raise ValueError("no event came out")
    return {"value": json.loads(event.data), "fits": max(map(len, encoded.split(b"\n"))) <= args["limit"]}


def _subscription(tree: _Json) -> Subscription:
    known = {name.replace("-", "_"): value for name, value in tree.items()}
    for name in ("uses", "patch_types"):
        if name in known:
            known[name] = tuple(known[name])
    return Subscription(**known)


def _request(args: _Json) -> Any:
    """The body with which a client asks for these substreams."""
    add = {name: _subscription(tree) for name, tree in args["substreams"].items()}
    return json.loads(UpdateStreamClient(_URI, add).request.body)


CALLS: Mapping[str, Callable[[_Json], Any]] = MappingProxyType(
    {
        "merge-patch": lambda args: merge_patch(args["target"], args["patch"]),
        "merge-patch-can-say": _expressible,
        "json-patch": lambda args: json_patch(args["document"], args["patch"]),
        "json-equal": lambda args: json_equal(args["one"], args["other"]),
        "event-stream": _event_stream,
        "event-data": _data_lines,
        "update-stream-request": _request,
    }
)


class _ServerTrace:
    """The machine `update-stream`: a service with network and cost maps, and one stream after another."""

    def __init__(self, params: _Json) -> None:
        resources: list[Resource] = [_network(name, pids) for name, pids in params["network_maps"].items()]
        resources += [FilteredNetworkMapResource(name, used) for name, used in params.get("filtered", {}).items()]
        resources += [_costs(name, entry) for name, entry in params.get("cost_maps", {}).items()]
        self._service = UpdateStreamService(
            "updates",
            params.get("uses", [resource.id for resource in resources]),
            incremental_change_media_types=params.get("patch_types"),
        )
        self._directory = Directory(resources, services=[self._service])
        self._reader = Reader()
        self._stream: Any = None

    def step(self, step: _Json) -> _Json:
        ((verb, args),) = step["do"].items()
        now = step["at"] / 1e6
        self._service.handle_timer(now)
        observed: _Json = {"status": None, "error": None}
        if verb == "open":
            observed = self._open(args["body"], args.get("current", []), now)
        elif verb == "control":
            observed = self._post(self._reader.control, args["body"], now)
        elif verb == "replace":
            self._replace(args, now)
        elif verb == "hang-up":
            self._stream.disconnect(now)
        elif verb != "wait":
            raise LookupError(f"an update stream has no verb {verb!r}")
        octets = b""
        while self._stream is not None and (piece := self._stream.data_to_send(now)):
            octets += piece
        observed |= self._reader.read(octets)
        observed["finished"] = self._stream is not None and self._stream.is_finished
        return {name: observed[name] for name in step["observe"]}

    def _open(self, body: Any, current: list[str], now: float) -> _Json:
        self._reader = Reader()
        query = Query(RequestContext(self._directory, base_uri=_BASE), random_bytes=bytes)
        body = json.loads(json.dumps(body))
        for name in current:
            resource = self._directory.resources[body["add"][name]["resource-id"]]
            document = json.loads(resource.answer(query).body)
            body["add"][name]["tag"] = document["meta"]["vtag"]["tag"]
            self._reader.documents[name] = document
        return self._post("", body, now)

    def _post(self, tail: str, body: Any, now: float) -> _Json:
        octets = body.encode() if isinstance(body, str) else dumps(body)
        request = Request("POST", f"/updates{tail}", _PARAMS, octets)
        context = RequestContext(self._directory, "ipv4:192.0.2.1", _BASE)
        answer: Any
        try:
            answer = self._service.handle(request, tail, context, now)
        except RequestError as error:
            answer = error_response(error)
        if not isinstance(answer, Response):
            self._stream = answer
            return {"status": 200, "error": None}
        meta = json.loads(answer.body)["meta"] if answer.header("Content-Type") == media.ERROR else None
        return {"status": answer.status, "error": meta}

    def _replace(self, args: _Json, now: float) -> None:
        made: list[Resource] = [_network(name, pids) for name, pids in args.get("network_maps", {}).items()]
        made += [_costs(name, entry) for name, entry in args.get("cost_maps", {}).items()]
        self._directory = self._directory.replacing(*made)
        self._service.changed(self._directory, now)


def _network(name: str, pids: _Json) -> NetworkMapResource:
    return NetworkMapResource(name, NetworkMap(pids))


def _costs(name: str, entry: _Json) -> CostMapResource:
    kind = CostType("numerical", "routingcost")
    return CostMapResource(name, entry["network_map"], "num", kind, CostMatrix.from_mapping(entry["costs"]))


class _ClientTrace:
    """The machine `update-stream-client`: a lenient client that is fed a response."""

    def __init__(self, params: _Json) -> None:
        self._names = list(params["substreams"])
        add = {name: _subscription(tree) for name, tree in params["substreams"].items()}
        self._client = UpdateStreamClient(params.get("uri", _URI), add)
        self._client.receive_response(Response(200, (("Content-Type", media.EVENT_STREAM),)), 0.0)
        self._seen: _Json = {"control_uri": None, "started": [], "stopped": [], "broken": False, "ended": None}

    def step(self, step: _Json) -> _Json:
        ((verb, args),) = step["do"].items()
        now = step["at"] / 1e6
        if verb == "event":
            data = args["data"] if isinstance(args["data"], str) else json.dumps(args["data"])
            lines = "".join(f"data: {line}\n" for line in data.split("\n"))
            self._client.receive_data(f"event: {args['event']}\n{lines}\n".encode(), now)
        elif verb == "data":
            self._client.receive_data(args["text"].encode(), now)
        elif verb == "end":
            self._client.receive_eof(now)
        else:
            raise LookupError(f"an update stream client has no verb {verb!r}")
        self._look()
        documents = {name: self._client.document(name) for name in self._names}
        self._seen["usable"] = {
            name: document.tree if document.tree is not None else dict(document.parts)
            for name, document in documents.items()
            if document is not None
        }
        return {name: self._seen[name] for name in step["observe"]}

    def _look(self) -> None:
        seen = self._seen
        while (event := self._client.next_event()) is not None:
            match event:
                case StreamOpened(uri):
                    seen["control_uri"] = uri
                case SubstreamsStarted(names):
                    seen["started"] = sorted({*seen["started"], *names})
                case SubstreamsStopped(names):
                    seen["stopped"] = sorted({*seen["stopped"], *names})
                case StreamBroken():
                    seen["broken"] = True
                case StreamEnded(is_complete):
                    seen["ended"] = "complete" if is_complete else "cut off"


def trace(steps: list[_Json], params: _Json) -> list[_Json]:
    """Run the steps of a trace of the machine `update-stream` or `update-stream-client`."""
    machine = _ServerTrace(params) if params["machine"] == "update-stream" else _ClientTrace(params)
    return [machine.step(step) for step in steps]

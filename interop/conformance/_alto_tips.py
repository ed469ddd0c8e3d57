"""Our TIPS (RFC 9569) as an implementation that answers conformance requests."""

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from attrs import frozen

from alto import media
from alto._json import loads
from alto._serving_answers import error_response
from alto.directory import Directory, Document, Query, RequestContext
from alto.errors import RequestError
from alto.findings import Findings
from alto.http import Request, Response
from alto.patch import json_patch, merge_patch
from alto.tips import TipsService
from alto.tips_graph import cheapest_edge
from alto.tips_messages import UpdatesGraphSummary, parse_next_edge, parse_tips_view, read_tips_request
from alto.types import CostType, VTag

_Json = dict[str, Any]
_BASE = "https://alto.example.com/"


def _request(args: _Json) -> Any:
    return read_tips_request(_json(args["body"])).to_json()


def _request_error(args: _Json) -> Any:
    """The `meta` of the error response that a request is refused with."""
    try:
        read_tips_request(_json(args["body"]))
    except RequestError as error:
        return json.loads(error_response(error).body)["meta"]
    raise ValueError("the request is in order")


def _view(args: _Json) -> Any:
    return parse_tips_view(_json(args["body"]), Findings()).to_json()


def _next_edge(args: _Json) -> Any:
    return parse_next_edge(_json(args["body"]), Findings()).to_json()


def _cheapest_edge(args: _Json) -> Any:
    costs = {(i, j): cost for i, j, cost in args["edges"]}
    edge = cheapest_edge(costs, args["sources"], args["end"])
    return None if edge is None else list(edge)


CALLS: Mapping[str, Callable[[_Json], Any]] = MappingProxyType(
    {
        "tips-request": _request,
        "tips-request-error": _request_error,
        "tips-view": _view,
        "tips-next-edge": _next_edge,
        "tips-cheapest-edge": _cheapest_edge,
    }
)


def _json(body: Any) -> Any:
    """A body is given as its text, or as the JSON value."""
    return loads(body.encode()) if isinstance(body, str) else body


@frozen
class _Map:
    """A cost map with the tag and the data of the trace."""

    id: str
    tag: str
    data: Any
    media_type = media.COST_MAP
    accepts = None
    uses = ()
    is_private = False
    cost_types: Mapping[str, CostType] = MappingProxyType({})

    def capabilities(self, directory: Directory) -> _Json:
        return {}

    def depends_on(self, directory: Directory) -> tuple[object, ...]:
        return (self.tag, json.dumps(self.data))

    def answer(self, query: Query) -> Document:
        vtag = VTag(self.id, self.tag)
        return Document(self.media_type, {"meta": {"vtag": vtag.to_json()}, "cost-map": self.data}, vtag=vtag)


class _Trace:
    def __init__(self, params: _Json) -> None:
        first = params["resource"]
        self._service = TipsService(
            "tips", [first["id"]], incremental_change_media_types={first["id"]: params["patch_types"]}
        )
        self._directory = Directory([_Map(first["id"], first["tag"], first["data"])], services=[self._service])
        self._view = ""
        self._documents: dict[int, Any] = {0: None}

    def step(self, step: _Json) -> _Json:
        ((verb, args),) = step["do"].items()
        now = step["at"] / 1e6
        observed: _Json = {}
        if verb == "replace":
            (before,) = self._directory.resources.values()
            self._directory = self._directory.replacing(_Map(before.id, args["tag"], args["data"]))
            self._service.changed(self._directory, now)
        elif verb == "open":
            observed = self._summary(self._ask("POST", "", args, now))
        elif verb == "next-edge":
            observed = self._summary(self._ask("POST", f"{self._view}/ug", args, now))
        elif verb == "pull":
            answer = self._ask("GET", f"{self._view}/ug/{args['i']}/{args['j']}", args.get("accept"), now)
            observed = {"status": None} if answer is None else self._item(answer, args)
        else:
            raise LookupError(f"TIPS has no verb {verb!r}")
        observed["answered"] = []
        while (poll := self._service.next_ready()) is not None:
            observed["answered"].append(poll.response.status if poll.response is not None else None)
        return {name: observed.get(name) for name in step["observe"]}

    def _ask(self, method: str, tail: str, args: Any, now: float) -> Response | None:
        body = json.dumps(args).encode() if method == "POST" else b""
        headers = (("Content-Type", media.TIPS_PARAMS),) if method == "POST" else (("Accept", args or "*/*"),)
        context = RequestContext(self._directory, "ipv4:192.0.2.1", _BASE)
        try:
            answer = self._service.handle(Request(method, f"/tips{tail}", headers, body), tail, context, now)
        except RequestError as error:
            return error_response(error)
        return answer if isinstance(answer, Response) else None

    def _summary(self, answer: Response | None) -> _Json:
        if answer is None or answer.status != 200:
            return {"status": answer.status if answer is not None else None}
        tree = json.loads(answer.body)
        if "tips-view-uri" in tree:
            self._view = tree["tips-view-uri"].removeprefix(f"{_BASE}tips")
        summary: UpdatesGraphSummary = parse_next_edge(tree, Findings())
        return {
            "status": answer.status,
            "content_type": answer.header("Content-Type"),
            "start_seq": summary.start_seq,
            "end_seq": summary.end_seq,
            "edge": [summary.seq_i, summary.seq_j],
        }

    def _item(self, answer: Response, args: _Json) -> _Json:
        observed: _Json = {"status": answer.status, "content_type": answer.header("Content-Type")}
        if answer.status == 200:
            tree, before = json.loads(answer.body), self._documents[args["i"]]
            match observed["content_type"]:
                case media.MERGE_PATCH:
                    tree = merge_patch(before, tree)
                case media.JSON_PATCH:
                    tree = json_patch(before, tree)
            self._documents[args["j"]] = tree
            observed["data"] = tree["cost-map"]
        return observed


def trace(steps: list[_Json], params: _Json) -> list[_Json]:
    """Run the steps of a trace of the machine `tips` against our service."""
    machine = _Trace(params)
    return [machine.step(step) for step in steps]

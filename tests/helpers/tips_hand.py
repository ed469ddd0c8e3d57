"""A TIPS client driven by hand: what it asks, and responses made for it."""

import json

from tips_bench import BASE

from alto import media
from alto.client.errors import ServerError
from alto.client.fetch import Session
from alto.http import Response
from alto.ird import ResourceEntry
from alto.tips_client import TipsClient

BOTH = f"{media.MERGE_PATCH},{media.JSON_PATCH}"
VIEW = "https://alto.example.com/tips/2718281828"


def service_entry(patches=BOTH):
    return ResourceEntry(
        "tips",
        BASE + "tips",
        media.TIPS,
        media.TIPS_PARAMS,
        {"incremental-change-media-types": dict.fromkeys(("costs", "filtered"), patches)},
        ("costs", "filtered"),
    )


COSTS = ResourceEntry("costs", BASE + "costs", media.COST_MAP)
FILTERED = ResourceEntry("filtered", BASE + "filtered", media.COST_MAP, media.COST_MAP_FILTER)


def client(resource=COSTS, params=None, *, patches=BOTH, max_body=10_000_000, **more):
    return TipsClient(Session(max_body=max_body), service_entry(patches), resource, params, **more)


def run(plan, answer):
    """Run a plan to its end; `answer` gives the response to a request, or an exception to throw."""
    try:
        request = next(plan)
        while True:
            response = answer(request)
            request = plan.throw(response) if isinstance(response, Exception) else plan.send(response)
    except StopIteration as stop:
        return stop.value


def follow_reason(status):
    class AnyReason:
        def __eq__(self, other):
            return isinstance(other, ServerError) and other.status == status

        __hash__ = None

    return AnyReason()


def opened(uri=VIEW, start=101, end=106, i=0, j=105):
    edge = {"seq-i": i, "seq-j": j}
    graph = {"start-seq": start, "end-seq": end, "start-edge-rec": edge}
    tree = {"tips-view-uri": uri, "tips-view-summary": {"updates-graph-summary": graph}}
    return Response(200, (("Content-Type", media.TIPS),), json.dumps(tree).encode())


def next_edge(start=101, end=106, i=0, j=105):
    tree = json.loads(opened(start=start, end=end, i=i, j=j).body)
    del tree["tips-view-uri"]
    return Response(200, (("Content-Type", media.MERGE_PATCH),), json.dumps(tree).encode())


def item(tree, kind=media.COST_MAP):
    return Response(200, (("Content-Type", kind),), json.dumps(tree).encode())


def error(status, *headers):
    return Response(status, (("Content-Type", media.ERROR), *headers), b'{"meta":{"code":"E_INVALID_FIELD_VALUE"}}')


def play(tips, *responses, wall=0.0):
    """One step with these responses; what it was, and what was asked."""
    asked, waiting = [], list(responses)

    def answer(request):
        asked.append((request.method, request.target))
        return waiting.pop(0)

    result = run(tips.advance(wall), answer)
    assert not waiting
    return result, asked


def followed(i=0, j=105, tag=None, **more):
    tips = client(**more)
    meta = {} if tag is None else {"vtag": {"resource-id": "costs", "tag": tag}}
    play(tips, opened(i=i, j=j), item({"meta": meta, "cost-map": {"a": {"a": 1, "b": 2}}}))
    return tips

"""What the tests of TIPS share: resources of the simplest kind, and a service with a clock of its own."""

import json
from itertools import count

from attrs import evolve, field, frozen

from alto import media
from alto._serving_answers import error_response
from alto.directory import Directory, Document, RequestContext
from alto.errors import ErrorCode, RequestError
from alto.http import Request, Response
from alto.tips import TipsService
from alto.types import VTag

BASE = "https://alto.example.com/"


def large(**changes):
    """A cost map of 64 costs, with changed rows."""
    return {f"PID{n}": {f"PID{m}": n * m for m in range(8)} for n in range(8)} | changes


@frozen
class Costs:
    """A cost map that one GETs; its tag is `tag`, and `version` if there is none."""

    id: str
    content: object
    tag: str | None = None
    uses: tuple = ()
    is_private: bool = False
    version: int = field(factory=count().__next__)
    media_type = media.COST_MAP
    accepts = None
    cost_types = {}  # noqa: RUF012

    def capabilities(self, directory):
        return {}

    def depends_on(self, directory):
        return (self.version,)

    def answer(self, query):
        meta = {} if self.tag is None else {"vtag": {"resource-id": self.id, "tag": self.tag}}
        vtag = None if self.tag is None else VTag(self.id, self.tag)
        return Document(self.media_type, {"meta": meta, "cost-map": self.content}, vtag=vtag)


@frozen
class Filtered(Costs):
    """A cost map of which one asks for some rows, `{"rows": [...]}`; for `{"mine": true}` it says who asks."""

    accepts = media.COST_MAP_FILTER

    def answer(self, query):
        if not isinstance(query.input, dict):
            raise RequestError(ErrorCode.INVALID_FIELD_TYPE)
        if query.input.get("mine"):
            return Document(self.media_type, {"meta": {}, "cost-map": {query.context.client: self.content}})
        if "rows" not in query.input:
            raise RequestError(ErrorCode.MISSING_FIELD, field="rows")
        rows = {name: row for name, row in self.content.items() if name in query.input["rows"]}
        return Document(self.media_type, {"meta": {}, "cost-map": rows})


class Bench:
    """A TIPS service and what it is asked."""

    def __init__(self, *resources, **settings):
        given = resources or (Costs("costs", large(), "one"), Filtered("filtered", large()))
        self.now = 1000.0
        numbers = count()
        self.service = TipsService(
            "tips",
            [resource.id for resource in given],
            random_bytes=lambda size: next(numbers).to_bytes(size, "big"),
            **settings,
        )
        self.directory = Directory(given, services=[self.service])

    def ask(self, method, target, body=None, *, headers=None, client="ipv4:192.0.2.1", user=None):
        """What a request to a path or URI of the service is answered."""
        path = target.removeprefix(BASE).removeprefix("tips")
        if headers is None:
            headers = {"Content-Type": media.TIPS_PARAMS} if method == "POST" else {}
        octets = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        request = Request(method, "/tips" + path, tuple(headers.items()), octets)
        context = RequestContext(self.directory, client, BASE, user, 1.7e9 + self.now)
        try:
            return self.service.handle(request, path, context, self.now)
        except RequestError as error:
            return error_response(error)

    def open(self, resource_id="costs", **members):
        """Open a view: its URI and the summary of its graph."""
        who = {name: members.pop(name) for name in ("client", "user") if name in members}
        answer = self.ask("POST", "", {"resource-id": resource_id, **members}, **who)
        assert answer.status == 200, answer
        tree = json.loads(answer.body)
        return tree["tips-view-uri"], tree["tips-view-summary"]["updates-graph-summary"]

    def pull(self, view, i, j, **more):
        """What an edge is answered: a response, or a poll that waits."""
        return self.ask("GET", f"{view}/ug/{i}/{j}", **more)

    def next_edge(self, view, **members):
        """What a request for a next edge is answered."""
        return self.ask("POST", f"{view}/ug", {"resource-id": "costs", **members})

    def replace(self, *resources):
        """Other data."""
        self.directory = self.directory.replacing(*resources)
        self.service.changed(self.directory, self.now)

    def change(self, resource_id="costs", tag=None, **rows):
        """Change rows of a cost map."""
        before = self.directory.resources[resource_id]
        self.replace(
            evolve(before, content=before.content | rows, tag=tag or before.tag, version=before.version + 1_000_000)
        )

    def ready(self):
        """The polls that were answered since the last call."""
        found = []
        while (poll := self.service.next_ready()) is not None:
            found.append(poll)
        return found

    def wait(self, seconds):
        """Let time pass, with every timer handled when it is due."""
        end = self.now + seconds
        while (due := self.service.get_timer()) is not None and due <= end:
            self.now = max(self.now, due)
            self.service.handle_timer(self.now)
        self.now = end


def code_of(response: Response) -> dict:
    """The `meta` of an ALTO error response."""
    assert media.is_media_type(response.header("content-type"), media.ERROR)
    return json.loads(response.body)["meta"]

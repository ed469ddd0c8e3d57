"""Resources of one line each, to serve in tests of the server itself."""

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from alto.directory import Directory, Document, Query, RequestContext
from alto.errors import ErrorCode, RequestError
from alto.http import Answer, Headers, Pending, Request, Response, Stream
from alto.params import fields, required
from alto.types import CostType

MAP = "application/alto-networkmap+json"
COST = "application/alto-endpointcost+json"
PARAMS = "application/alto-endpointcostparams+json"


@frozen
class Data:
    """A resource that one GETs."""

    id: str
    data: Any = None
    media_type: str = MAP
    uses: tuple[str, ...] = ()
    is_private: bool = False
    cost_types: Mapping[str, CostType] = field(factory=dict)
    asked: list[Query] = field(factory=list, eq=False)
    accepts: str | None = None

    def capabilities(self, directory: Directory) -> dict[str, Any]:
        return {"cost-type-names": list(self.cost_types)} if self.cost_types else {}

    def depends_on(self, directory: Directory) -> tuple[object, ...]:
        return (self.data, *(directory.find(used, Data).data for used in self.uses))

    def answer(self, query: Query) -> Document:
        self.asked.append(query)
        used = {name: query.directory.find(name, Data).data for name in self.uses}
        return Document(self.media_type, {"meta": {}, "data": self.data, **used})


@frozen
class Echo:
    """A resource that one POSTs to: `{"say": text}` comes back with who has asked."""

    id: str = "echo"
    is_private: bool = False
    media_type: str = COST
    accepts: str | None = PARAMS
    uses: tuple[str, ...] = ()
    cost_types: Mapping[str, CostType] = field(factory=dict)
    asked: list[Query] = field(factory=list, eq=False)

    def capabilities(self, directory: Directory) -> dict[str, Any]:
        return {}

    def depends_on(self, directory: Directory) -> tuple[object, ...]:
        return ()

    def answer(self, query: Query) -> Document:
        self.asked.append(query)
        text = required(fields(query.input), "say", str)
        if text == "crash":
            raise ZeroDivisionError("the secret of the resource")
        if text == "refuse":
            raise RequestError(ErrorCode.INVALID_FIELD_VALUE, field="say", value=text)
        return Document(self.media_type, {"meta": {}, "said": text, "by": query.context.user})


class Feed:
    """A stream that is written to from outside."""

    status = 200
    headers: Headers = (("Content-Type", "text/event-stream"), ("Cache-Control", "no-store"))

    def __init__(self, service: "Streams") -> None:
        self.service = service
        self.waiting = b""
        self.is_finished = False

    def data_to_send(self, now: float) -> bytes:
        data, self.waiting = self.waiting, b""
        return data

    def disconnect(self, now: float) -> None:
        self.service.feeds.discard(self)


class Poll:
    """A long poll that `Streams.changed` answers."""

    def __init__(self, service: "Streams") -> None:
        self.service = service
        self.response: Response | None = None

    def disconnect(self, now: float) -> None:
        self.service.polls.discard(self)


class Streams:
    """A service whose streams and long polls say the data of the resource `map` whenever it changes.

    POST opens a stream, GET /poll is a long poll, GET /big an answer at once, DELETE /all ends every stream, and
    POST /tick asks for the timer, which says `tick`.
    """

    id = "updates"
    media_type = "text/event-stream"
    accepts: str | None = "application/alto-updatestreamparams+json"
    uses: tuple[str, ...] = ("map",)

    def __init__(self, *, is_private: bool = False) -> None:
        self.is_private = is_private
        self.feeds: set[Feed] = set()
        self.polls: set[Poll] = set()
        self.ready: list[Stream | Pending] = []
        self.timer: float | None = None
        self.users: list[str | None] = []
        self.base_uris: list[str] = []

    def capabilities(self, directory: Directory) -> dict[str, Any]:
        return {"support-stream-control": False}

    def handle(self, request: Request, tail: str, context: RequestContext, now: float) -> Answer:
        self.users.append(context.user)
        self.base_uris.append(context.base_uri)
        match request.method, tail:
            case "POST", "":
                feed = Feed(self)
                feed.waiting = b"hello\n"
                self.feeds.add(feed)
                return feed
            case "GET", "/poll":
                poll = Poll(self)
                self.polls.add(poll)
                return poll
            case "GET", "/big":
                return Response(200, (("Content-Type", MAP), ("Cache-Control", "public, max-age=9")), b" " * 5000)
            case "DELETE", "/all":
                for feed in self.feeds:
                    feed.waiting, feed.is_finished = b"bye\n", True
                    self.ready.append(feed)
                return Response(204)
            case "POST", "/tick":
                self.timer = now + 0.02
                return Response(202)
        raise RequestError(ErrorCode.INVALID_FIELD_VALUE, field="tail", value=tail, status=404)

    def find_ahead(self, directory: Directory) -> None:
        pass

    def changed(self, directory: Directory, now: float) -> None:
        text = str(directory.find("map", Data).data)
        for feed in self.feeds:
            feed.waiting += f"{text}\n".encode()
            self.ready.append(feed)
        for poll in self.polls:
            poll.response = Response(200, (("Content-Type", MAP),), text.encode())
            self.ready.append(poll)

    def next_ready(self) -> Stream | Pending | None:
        return self.ready.pop() if self.ready else None

    def close(self, description: str) -> None:
        for feed in self.feeds:
            feed.waiting, feed.is_finished = f"{description}\n".encode(), True
            self.ready.append(feed)

    def get_timer(self) -> float | None:
        return self.timer

    def handle_timer(self, now: float) -> None:
        if self.timer is not None and now >= self.timer:
            self.timer = None
            for feed in self.feeds:
                feed.waiting += b"tick\n"
                self.ready.append(feed)

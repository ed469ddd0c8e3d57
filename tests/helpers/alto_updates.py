"""Resources that change, and the two ends of an update stream, for tests of RFC 8895."""

import json
import zlib
from collections.abc import Callable, Mapping
from typing import Any

from attrs import evolve, field, frozen

from alto import media
from alto._json import canonical, dumps
from alto.directory import Directory, Document, Query, RequestContext
from alto.errors import ErrorCode, RequestError
from alto.http import Request, Response, Stream
from alto.params import fields, required
from alto.sse import EventStreamReader, ServerSentEvent
from alto.types import CostType, VTag
from alto.updates import UpdateStreamService


def tag_of(*values: Any) -> str:
    """A tag that differs where values do, and can be read in a failure."""
    return f"{zlib.crc32(canonical(values)):08x}"


@frozen
class Map:
    """A GET-mode resource whose answer is what it is given, with a version tag and those of the maps it uses."""

    id: str
    data: Any
    media_type: str = media.NETWORK_MAP
    uses: tuple[str, ...] = ()
    is_private: bool = False
    accepts: str | None = None
    cost_types: Mapping[str, CostType] = field(factory=dict)
    asked: list[Query] = field(factory=list, eq=False)
    is_gone: bool = False

    def capabilities(self, directory: Directory) -> dict[str, Any]:
        return {}

    def depends_on(self, directory: Directory) -> tuple[object, ...]:
        return (self.is_gone, self.version(directory))

    def version(self, directory: Directory, *above: str) -> str:
        """The tag: another one whenever the data, or a map that it uses, is another."""
        used = [name for name in self.uses if name not in above]
        tags = [directory.find(name, Map).version(directory, *above, self.id) for name in used]
        return tag_of(self.data, *tags)

    @property
    def tag(self) -> str:
        """The tag of a map that uses none."""
        return tag_of(self.data)

    def answer(self, query: Query) -> Document:
        self.asked.append(query)
        if self.is_gone:
            raise RequestError(ErrorCode.INVALID_FIELD_VALUE, field="x", value="gone")
        meta: dict[str, Any] = {}
        if self.uses:
            used = [query.directory.find(name, Map) for name in self.uses]
            meta["dependent-vtags"] = [VTag(each.id, each.version(query.directory)).to_json() for each in used]
        vtag = VTag(self.id, self.version(query.directory))
        return Document(self.media_type, {"meta": {**meta, "vtag": vtag.to_json()}, "data": self.data}, vtag=vtag)


WIDE = {str(at): at for at in range(60)}
"""So much that a change of one member is shorter than the whole."""


def net(**changes: Any) -> Map:
    """A network map of sorts."""
    return Map("net", {**WIDE, **changes})


def cost(**changes: Any) -> Map:
    """A cost map of sorts, that uses it."""
    return Map("cost", {**WIDE, **changes}, media.COST_MAP, ("net",))


@frozen
class Picked:
    """A POST-mode resource: `{"names": [...]}` picks members of its data; without `names` the client's address."""

    id: str
    data: Mapping[str, Any]
    media_type: str = media.ENDPOINT_PROPERTIES
    accepts: str | None = media.ENDPOINT_PROPERTY_PARAMS
    uses: tuple[str, ...] = ()
    is_private: bool = False
    cost_types: Mapping[str, CostType] = field(factory=dict)
    asked: list[Query] = field(factory=list, eq=False)

    def capabilities(self, directory: Directory) -> dict[str, Any]:
        return {}

    def depends_on(self, directory: Directory) -> tuple[object, ...]:
        return (tag_of(self.data),)

    def answer(self, query: Query) -> Document:
        self.asked.append(query)
        names = required(fields(query.input), "names", list)
        if not names:
            names = [query.context.client]
        return Document(self.media_type, {"meta": {}, "data": {name: self.data.get(name, "-") for name in names}})


@frozen
class Parts:
    """A POST-mode resource that answers in parts, with a name made by chance in each."""

    id: str
    parts: Mapping[str, Any]
    media_type: str = f"multipart/related;type={media.ENDPOINT_COST}"
    accepts: str | None = media.ENDPOINT_COST_PARAMS
    uses: tuple[str, ...] = ()
    is_private: bool = False
    cost_types: Mapping[str, CostType] = field(factory=dict)

    def capabilities(self, directory: Directory) -> dict[str, Any]:
        return {}

    def depends_on(self, directory: Directory) -> tuple[object, ...]:
        return (tag_of(self.parts),)

    def answer(self, query: Query) -> Document:
        boundary = query.random_bytes(4).hex()
        kinds = dict(zip(self.parts, (media.ENDPOINT_COST, media.PROPERTY_MAP), strict=False))
        parts = {name: Document(kinds[name], {"name": boundary, "data": data}) for name, data in self.parts.items()}
        lines = [
            f"--{boundary}\r\nContent-Type: {part.media_type}\r\nContent-ID: <{name}>\r\n\r\n{part.body.decode()}\r\n"
            for name, part in parts.items()
        ]
        body = "".join([*lines, f"--{boundary}--\r\n"]).encode()
        kind = f"multipart/related;boundary={boundary};type={media.ENDPOINT_COST}"
        return Document(kind, body=body, parts=parts)


def counting() -> Callable[[int], bytes]:
    """A source of chance that is the same each time."""
    count = 0

    def random_bytes(length: int) -> bytes:
        nonlocal count
        count += 1
        return count.to_bytes(length, "big")

    return random_bytes


class Server:
    """A directory and the update stream service in it, as an ALTO server drives them."""

    def __init__(self, *resources: Any, base_uri: str = "https://alto.example.com/", **options: Any) -> None:
        names = options.pop("uses", [resource.id for resource in resources])
        self.service = UpdateStreamService(
            "updates", names, random_bytes=options.pop("random_bytes", counting()), **options
        )
        self.directory = Directory(resources, services=[self.service])
        self.base_uri = base_uri
        self.now = 0.0

    def post(
        self, tail: str, body: Any, *, client: str = "ipv4:192.0.2.1", user: str | None = None, **changes: Any
    ) -> Any:
        """What the service answers; a RequestError is raised."""
        octets = body if isinstance(body, bytes) else dumps(body)
        request = Request("POST", f"/updates{tail}", (("Content-Type", media.UPDATE_STREAM_PARAMS),), octets)
        context = RequestContext(self.directory, client, self.base_uri, user)
        return self.service.handle(evolve(request, **changes), tail, context, self.now)

    def open(self, **add: Any) -> Stream:
        """A stream of these substreams: resource IDs, or what is sent."""
        entries = {name: entry if isinstance(entry, dict) else {"resource-id": entry} for name, entry in add.items()}
        answer = self.post("", {"add": entries})
        assert not isinstance(answer, Response), answer
        return answer

    def query(self, given: Any) -> Query:
        """What a resource would be asked directly."""
        context = RequestContext(self.directory, "ipv4:192.0.2.1", self.base_uri)
        return Query(context, given, random_bytes=counting())

    def replace(self, *resources: Any) -> None:
        self.directory = self.directory.replacing(*resources)
        self.service.changed(self.directory, self.now)

    def sent(self, stream: Stream) -> bytes:
        """Everything that the stream has to send."""
        pieces = []
        while piece := stream.data_to_send(self.now):
            pieces.append(piece)
        return b"".join(pieces)

    def events(self, stream: Stream) -> list[tuple[str, Any]]:
        """The events that the stream has to send: names, and JSON values or octets."""
        return [(event.event, value_of(event)) for event in read_events(self.sent(stream))]

    def ready(self) -> list[Any]:
        found = []
        while (stream := self.service.next_ready()) is not None:
            found.append(stream)
        return found


def read_events(octets: bytes) -> list[ServerSentEvent]:
    reader = EventStreamReader()
    reader.receive_data(octets, 0.0)
    found = []
    while isinstance(event := reader.next_event(), ServerSentEvent):
        found.append(event)
    return found


def value_of(event: ServerSentEvent) -> Any:

    return event.data if event.event.startswith("multipart/") else json.loads(event.data)


def control_path(events: list[tuple[str, Any]]) -> str:
    """What stands behind the service's URI in the control URI of a stream's first event."""
    return "/" + events[0][1]["control-uri"].rpartition("/")[2]

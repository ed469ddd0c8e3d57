"""The update stream service and its client against each other: any changes, any pieces, any loss of the connection."""

import hashlib
import itertools
from collections.abc import Callable
from typing import Any

from alto_updates import Map, Parts, Picked, Server
from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st

from alto import media
from alto._json import loads
from alto.findings import Findings
from alto.http import Request, Response, Stream
from alto.updates import KEEP_ALIVE
from alto.updates_client import (
    ControlRefused,
    Event,
    ResourceInvalidated,
    ResourceUpdated,
    StreamBroken,
    Subscription,
    SubstreamsStopped,
    UpdateStreamClient,
)

values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.floats(-1, 1) | st.text('a\n"\\,:é', max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(st.sampled_from("abcdef"), values, max_size=5).map(
    lambda value: {**value, "wide": list(range(40))}
)

SUBSCRIPTIONS = {
    "n": Subscription("net", media_type=media.NETWORK_MAP),
    "c": Subscription("cost", media_type=media.COST_MAP, uses=("net",)),
    "f": Subscription("far", media_type=media.COST_MAP, uses=("cost",), incremental_changes=False),
    "p": Subscription("props", {"names": ["a", "b"]}),
    "m": Subscription("pv", {}),
}


def resources(net: Any, cost: Any, far: Any, props: Any, parts: Any) -> list[Any]:
    return [
        Map("net", net),
        Map("cost", cost, media.COST_MAP, ("net",)),
        Map("far", far, media.COST_MAP, ("cost",)),
        Picked("props", props),
        Parts("pv", {"one@x": parts, "two@x": props}),
    ]


@define
class Link:
    """A stream between the two, cut into pieces whose sizes follow one another."""

    server: Server
    sizes: Callable[[], int]
    client: UpdateStreamClient = field(init=False)
    stream: Stream = field(init=False)
    on_the_way: bytes = b""
    exposed: dict[str, ResourceUpdated] = field(factory=dict)

    def open(self, add: dict[str, Subscription], *, strict: bool = True) -> None:
        self.client = UpdateStreamClient(f"{self.server.base_uri}updates", add, findings=Findings(strict=strict))
        self.stream = self.ask(self.client.request)
        self.on_the_way = b""
        self.exposed = {name: held for name in add if (held := self.client.document(name)) is not None}
        self.client.receive_response(Response(200, tuple(self.stream.headers)), self.server.now)

    def ask(self, request: Request) -> Any:
        tail = request.target.removeprefix(f"{self.server.base_uri}updates")
        return self.server.post(tail, request.body, headers=request.headers)

    def carry(self, pieces: int) -> None:
        """Let some of what the server sends arrive."""
        for _ in range(pieces):
            self.on_the_way = self.on_the_way or self.stream.data_to_send(self.server.now)
            if not self.on_the_way:
                return
            size = self.sizes()
            piece, self.on_the_way = self.on_the_way[:size], self.on_the_way[size:]
            self.client.receive_data(piece, self.server.now)
            self.look()

    def look(self) -> None:
        while (event := self.client.next_event()) is not None:
            self.note(event)
        self.check()

    def note(self, event: Event) -> None:
        assert not isinstance(event, StreamBroken | ControlRefused), event
        if isinstance(event, ResourceUpdated):
            self.exposed[event.substream_id] = event
        elif isinstance(event, ResourceInvalidated):
            del self.exposed[event.substream_id]
        elif isinstance(event, SubstreamsStopped):
            for name in event.substream_ids:
                self.exposed.pop(name, None)

    def check(self) -> None:
        """No document that is exposed is based on another version than the one exposed of what it depends on."""
        tags = {each.vtag.resource_id: each.vtag.tag for each in self.exposed.values() if each.vtag is not None}
        for name, shown in self.exposed.items():
            held = self.client.document(name)
            assert held is not None
            assert held.tree == shown.tree
            for vtag in (shown.tree or {}).get("meta", {}).get("dependent-vtags", []):
                assert tags.get(vtag["resource-id"], vtag["tag"]) == vtag["tag"]

    def settle(self) -> None:
        self.carry(10**6)

    def is_up_to_date(self, names: set[str]) -> None:
        """Every document is what the server answers now."""
        directory = self.server.directory
        assert set(self.exposed) == names
        for name, shown in self.exposed.items():
            asked = SUBSCRIPTIONS[name.rstrip("0123456789")]
            query = self.server.query(asked.input)
            document = directory.resources[asked.resource_id].answer(query)
            if document.parts:
                assert {key: part["data"] for key, part in shown.parts.items()} == {
                    key: part.tree["data"] for key, part in document.parts.items()
                }
            else:
                assert shown.tree == loads(document.body)


changes = st.tuples(st.sampled_from(["net", "cost", "far", "props", "pv"]), objects)
verbs = st.one_of(
    st.tuples(st.just("change"), st.lists(changes, min_size=1, max_size=3)),
    st.tuples(st.just("carry"), st.integers(1, 40)),
    st.tuples(st.just("lose"), st.booleans()),
    st.tuples(st.just("remove"), st.sampled_from("ncfpm")),
    st.tuples(st.just("add"), st.sampled_from("ncfpm")),
    st.tuples(st.just("wait"), st.floats(1, 40)),
)


def replaced(server: Server, which: str, data: Any) -> Any:
    old = server.directory.resources[which]
    if isinstance(old, Map):
        return Map(old.id, data, old.media_type, old.uses)
    if isinstance(old, Parts):
        return Parts(old.id, {"one@x": data, "two@x": old.parts["two@x"]})
    return Picked(old.id, data)


@settings(max_examples=60)
@given(
    st.lists(verbs, max_size=14),
    st.lists(st.integers(1, 400), min_size=1, max_size=5),
    st.tuples(objects, objects, objects, objects, objects),
)
def test_whatever_changes_the_client_ends_with_what_the_server_has(
    script: list[tuple[str, Any]], sizes: list[int], start: tuple[Any, ...]
) -> None:
    server = Server(*resources(*start))
    cycle = itertools.cycle(sizes)
    link = Link(server, lambda: next(cycle))
    names = set("ncfpm")
    link.open(dict(SUBSCRIPTIONS))
    fresh = itertools.count()
    for verb, value in script:
        if verb == "change":
            server.replace(*{which: replaced(server, which, data) for which, data in value}.values())
        elif verb == "carry":
            link.carry(value)
        elif verb == "wait":
            server.now += value
            server.service.handle_timer(server.now)
            if link.stream.is_finished:
                names = reopen(link, names)
        elif verb == "lose":
            link.stream.disconnect(server.now)
            names = reopen(link, names)
        else:
            link.carry(3)
            names = control(link, verb, value, names, fresh)
    link.settle()
    link.is_up_to_date(names)


def reopen(link: Link, names: set[str]) -> set[str]:
    link.client.receive_eof(link.server.now)
    again = {name: asked for name, asked in link.client.resumption().items() if name in names}
    link.open(again)
    return set(again)


def control(link: Link, verb: str, name: str, names: set[str], fresh: Any) -> set[str]:
    """Add or remove a substream, if there is a control URI by now and something would be left."""
    if link.client.control_uri is None:
        return names
    if verb == "remove":
        if name not in names or len(names) == 1:
            return names
        assert link.ask(link.client.remove([name]).request).status == 204
        link.settle()
        return names - {name}
    added = f"{name}{next(fresh)}"
    asked = link.client.add({added: SUBSCRIPTIONS[name]})
    answer = link.ask(asked.request)
    link.client.receive_control_response(asked, answer)
    return names | {added}


@given(
    st.lists(st.tuples(changes, st.integers(0, 2)), max_size=12), st.tuples(objects, objects, objects, objects, objects)
)
def test_two_streams_read_at_different_times_have_the_same_net_updates(
    script: list[tuple[tuple[str, Any], int]], start: tuple[Any, ...]
) -> None:
    """RFC 8895 section 6.7.2."""
    server = Server(*resources(*start))
    links = [Link(server, lambda: 100), Link(server, lambda: 7)]
    for link in links:
        link.open(dict(SUBSCRIPTIONS))
    for (which, data), reader in script:
        server.replace(replaced(server, which, data))
        if reader < len(links):
            links[reader].settle()
    for link in links:
        link.settle()
        link.is_up_to_date(set("ncfpm"))
    assert [link.exposed["m"].parts for link in links] == [links[0].exposed["m"].parts] * 2


@given(st.lists(changes, max_size=6), st.tuples(objects, objects, objects, objects, objects))
def test_the_same_run_twice_sends_the_same_octets(script: list[tuple[str, Any]], start: tuple[Any, ...]) -> None:
    def run() -> str:
        server = Server(*resources(*start))
        link = Link(server, lambda: 1000)
        link.open(dict(SUBSCRIPTIONS))
        digest = hashlib.sha256(server.sent(link.stream))
        for which, data in script:
            server.replace(replaced(server, which, data))
            server.now += KEEP_ALIVE
            server.service.handle_timer(server.now)
            digest.update(server.sent(link.stream))
        return digest.hexdigest()

    assert run() == run()

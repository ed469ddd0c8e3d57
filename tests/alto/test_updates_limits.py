"""alto/updates.py: what a service holds and does at a time, clients that are slow or gone, and time that passes."""

from typing import Any

import pytest
from alto_updates import WIDE, Map, Picked, Server, control_path, cost, net, read_events
from attrs import frozen

from alto import _updates_stream, media, updates
from alto._updates_feed import MAX_STEPS
from alto._updates_stream import MAX_PIECE
from alto.directory import Directory, Document, Query
from alto.http import Response
from alto.patch import merge_patch
from alto.sse import COMMENT
from alto.updates import KEEP_ALIVE, STALL, UpdateLimits

CONTROL = media.UPDATE_STREAM_CONTROL


def test_long_maps_are_sent_in_short_lines_and_pieces() -> None:
    """Section 9.5."""
    server = Server(Map("net", {f"PID{at}": [f"10.{at}.{n}.0/24" for n in range(200)] for at in range(200)}))
    stream = server.open(n="net")
    pieces = []
    while piece := stream.data_to_send(0.0):
        pieces.append(piece)
    assert len(pieces) > 2
    assert max(map(len, pieces)) <= MAX_PIECE
    assert max(map(len, b"".join(pieces).split(b"\n"))) < 5000


def test_a_slow_client_is_sent_the_steps_it_missed_and_after_many_the_whole() -> None:
    server = Server(net())
    slow, slower = server.open(n="net"), server.open(n="net")
    tree = server.events(slow)[1][1]
    server.sent(slower)
    for at in range(MAX_STEPS + 1):
        server.replace(net(a=at))
        if at:
            server.sent(server.open(n="net"))  # somebody has to look for there to be a version
        else:
            for name, change in server.events(slow):
                assert name == "application/merge-patch+json,n"
                tree = merge_patch(tree, change)
    assert [name for name, _ in server.events(slower)] == [f"{media.NETWORK_MAP},n"]
    found = server.events(slow)
    assert len(found) == MAX_STEPS
    for _, change in found:
        tree = merge_patch(tree, change)
    assert tree["data"] == net(a=MAX_STEPS).data


def test_missed_steps_of_resources_that_depend_on_each_other_are_sent_moment_by_moment() -> None:
    """So that a client has documents that belong together as soon as it can (section 9.2)."""
    server = Server(net(), cost())
    slow, fast = (server.open(n="net", c="cost") for _ in range(2))
    server.sent(slow)
    server.sent(fast)
    for at in (1, 2):
        server.replace(net(a=at), cost(a=at))
        server.sent(fast)
    assert [name.rpartition(",")[2] for name, _ in server.events(slow)] == ["n", "c", "n", "c"]


def test_a_step_that_was_made_for_another_stream_comes_after_what_it_is_based_on() -> None:
    """Section 6.7.1: whoever reads the costs first must not leave others with costs of a map that they never get."""
    server = Server(net(), cost())
    both, costs_only = server.open(n="net", c="cost"), server.open(c="cost")
    server.sent(both)
    server.sent(costs_only)
    server.replace(net(a=1))
    server.sent(costs_only)
    server.replace(net(a=2))
    based, versions = [], [net().tag]
    for name, change in server.events(both):
        if name.endswith(",n"):
            versions.append(change["meta"]["vtag"]["tag"])
        else:
            based.append(change["meta"]["dependent-vtags"][0]["tag"] == versions[-1])
    assert based == [True] * len(based)
    assert versions[-1] == net(a=2).tag


def test_missed_steps_that_are_longer_together_than_the_whole_are_sent_as_the_whole() -> None:
    server = Server(net())
    slow, fast = server.open(n="net"), server.open(n="net")
    server.sent(slow)
    server.sent(fast)
    for turn in range(1, 4):
        server.replace(net(**{str(at): at + 1000 * turn for at in range(40)}))
        assert server.events(fast)[0][0] == "application/merge-patch+json,n"
    assert [name for name, _ in server.events(slow)] == [f"{media.NETWORK_MAP},n"]


def test_changes_that_nobody_has_taken_yet_become_one() -> None:
    server = Server(net())
    stream = server.open(n="net")
    server.sent(stream)
    for at in range(100):
        server.replace(net(a=at))
    assert server.ready() == [stream]
    ((_, change),) = server.events(stream)
    assert change["data"] == {"a": 99}


@frozen
class Stamped(Map):
    """A map that its resource cannot tell from another one."""

    stamp: int = 0

    def depends_on(self, directory: Directory) -> tuple[object, ...]:
        return (self.stamp, self.version(directory))


def test_versions_that_differ_in_nothing_a_client_could_see_are_none() -> None:
    """Section 6.6. They would push the steps out that slow clients still need."""
    server = Server(Stamped("net", WIDE))
    slow, fast = server.open(n="net"), server.open(n="net")
    server.sent(slow)
    server.sent(fast)
    for stamp in range(2 * MAX_STEPS):
        server.replace(Stamped("net", {**WIDE, "a": 1}, stamp=stamp))
        assert bool(server.sent(fast)) is not bool(stamp)
    assert [name for name, _ in server.events(slow)] == ["application/merge-patch+json,n"]


def test_what_others_are_about_asks_nothing_anew() -> None:
    held = net()
    server = Server(held, Map("other", 1))
    stream = server.open(n="net")
    server.sent(stream)
    asked = len(held.asked)
    server.replace(Map("other", 2))
    assert server.ready() == []
    assert server.sent(stream) == b""
    assert len(held.asked) == asked


def test_a_silent_stream_sends_a_comment_every_fifteen_seconds() -> None:
    """Section 6.8."""
    server = Server(net())
    stream = server.open(n="net")
    server.sent(stream)
    for _ in range(3):
        server.now += KEEP_ALIVE
        assert server.service.get_timer() == server.now
        server.service.handle_timer(server.now - 0.1)
        assert server.ready() == []
        server.service.handle_timer(server.now)
        assert server.ready() == [stream]
        assert server.sent(stream) == COMMENT
    server.now += KEEP_ALIVE - 1
    server.replace(net(a=1))
    server.sent(stream)
    server.service.handle_timer(server.now + 2)
    assert server.sent(stream) == b""


def test_a_stream_that_nobody_reads_is_cut_off() -> None:
    server = Server(net())
    stream = server.open(n="net")
    path = control_path(server.events(stream))
    server.now = STALL
    server.service.handle_timer(server.now)
    assert stream in server.ready()
    assert stream.is_finished
    assert server.sent(stream) == b""
    assert server.post(path, {"remove": []}).status == 404
    assert server.service.get_timer() is None


def test_a_client_that_has_gone_leaves_nothing_behind() -> None:
    """Trap 28."""
    server = Server(net(), Picked("props", {"a": "1"}))
    stream = server.open(n="net", p={"resource-id": "props", "input": {"names": ["a"]}})
    stream.disconnect(0.0)
    stream.disconnect(1.0)
    service = server.service
    assert (service._feeds, service._streams, service._octets, service.get_timer()) == ({}, {}, 0, None)
    assert stream.is_finished
    assert stream.data_to_send(2.0) == b""


def test_too_many_streams_substreams_and_octets_are_refused_for_a_while() -> None:
    """Section 10.1."""
    limits = UpdateLimits(streams=2, substreams=2, octets=300)
    server = Server(Picked("props", {"a": "x" * 100, "b": "x" * 150, "c": "x" * 400}), limits=limits)

    def ask(*names: str) -> Any:
        add = {f"s{at}": {"resource-id": "props", "input": {"names": [name]}} for at, name in enumerate(names)}
        answer = server.post("", {"add": add})
        if isinstance(answer, Response):
            assert answer.status == 503
            assert int(answer.header("Retry-After") or "") > 0
            return None
        return answer

    assert ask("a", "b", "c") is None
    assert ask("a", "a", "a") is None
    assert ask("c") is None
    assert ask("a", "b") is None
    assert server.service._feeds == {}
    first = ask("a", "a")
    assert first is not None
    assert ask("b") is None
    assert ask("a") is not None
    assert ask("a") is None
    first.disconnect(0.0)
    assert ask("a") is not None


def test_a_resource_that_can_no_longer_be_asked_stops_its_substreams() -> None:
    """Section 5.3: `stopped`, with a description."""
    server = Server(net(), Map("other", WIDE))
    both, one = server.open(n="net", o="other"), server.open(n="net")
    server.sent(both)
    path = control_path(server.events(one))
    server.replace(Map("net", WIDE, is_gone=True))
    assert set(server.ready()) >= {both, one}
    for stream in (both, one):
        ((name, value),) = server.events(stream)
        assert (name, value["stopped"]) == (CONTROL, ["n"])
        assert "gone" in value["description"]
    assert (both.is_finished, one.is_finished) == (False, True)
    assert server.post(path, {"remove": []}).status == 404
    server.replace(Map("other", {**WIDE, "a": 1}))
    assert len(server.events(both)) == 1


@frozen
class Nosy(Map):
    """A map that looks at who asks."""

    def answer(self, query: Query) -> Document:
        return Map(self.id, {**self.data, "for": query.context.client}).answer(query)


@pytest.mark.parametrize("after", [Nosy("net", {**WIDE, "a": 1}), Map("net", {**WIDE, "a": 1}, is_private=True)])
def test_an_answer_that_is_no_longer_for_everybody_is_told_to_nobody(after: Map) -> None:
    """It was asked once for all: nobody must be sent what is meant for another."""
    server = Server(net())
    streams = [
        server.post("", {"add": {"n": {"resource-id": "net"}}}, client=client)
        for client in ("ipv4:192.0.2.1", "ipv4:192.0.2.2")
    ]
    for stream in streams:
        server.sent(stream)
    server.replace(after)
    for stream in streams:
        ((name, message),) = server.events(stream)
        assert (name, message["stopped"]) == (CONTROL, ["n"])


def test_a_server_that_goes_down_tells_its_clients() -> None:
    server = Server(net(), cost())
    streams = [server.open(n="net", c="cost"), server.open(n="net")]
    for stream in streams:
        server.sent(stream)
    server.service.close("maintenance")
    assert server.ready() == streams
    assert server.events(streams[0]) == [(CONTROL, {"stopped": ["n", "c"], "description": "maintenance"})]
    assert streams[0].is_finished


def test_pieces_are_few_and_none_is_large_however_long_events_are() -> None:
    server = Server(
        net(), Map("text", "x" * (3 * MAX_PIECE)), Map("map", [f"10.{n >> 8}.{n & 255}.0/24" for n in range(40_000)])
    )
    stream = server.open(n="net", t="text", m="map")
    pieces = []
    while piece := stream.data_to_send(0.0):
        pieces.append(piece)
    whole = b"".join(pieces)
    assert max(map(len, pieces)) <= MAX_PIECE
    assert len(pieces) < 2 * len(whole) / MAX_PIECE + 1
    assert [event.event.partition(",")[2] for event in read_events(whole)] == ["", "n", "t", "m"]


def test_what_is_decided_on_ahead_of_a_slow_client_has_a_limit() -> None:
    """Else it would hold old versions of many large maps."""
    large = ["x" * 1000] * 1500
    server = Server(Map("a", large), Map("b", large))
    stream = server.open(a="a", b="b")
    first = stream.data_to_send(0.0) + stream.data_to_send(0.0)  # the control URI, and a piece of the first map
    server.replace(Map("b", ["new"]))
    events = read_events(first + server.sent(stream))
    assert [event.event.rpartition(",")[2] for event in events[1:]] == ["a", "b"]
    assert b'"new"' in events[2].data


def test_a_stream_that_was_cut_off_sends_nothing_more() -> None:
    server = Server(Map("a", ["x" * 1000] * 1500))
    stream = server.open(a="a")
    assert stream.data_to_send(0.0)
    assert stream.data_to_send(0.0).startswith(b"event: application/alto-networkmap+json,a")
    stream.disconnect(0.0)
    assert stream.is_finished
    assert stream.data_to_send(0.0) == b""
    assert server.service.get_timer() is None


def test_a_stream_of_many_large_answers_lets_others_have_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_updates_stream, "MAX_REFRESHED", 1000)
    data = {f"name{at}": "x" * 400 for at in range(6)}
    server = Server(Picked("eps", data))
    stream = server.open(**{f"s{at}": {"resource-id": "eps", "input": {"names": [f"name{at}"]}} for at in range(6)})
    server.sent(stream)
    server.now = 5.0
    resource = Picked("eps", {name: text + "y" for name, text in data.items()})
    server.replace(resource)
    assert server.ready() == [stream]
    assert stream.data_to_send(server.now) == b""
    assert len(resource.asked) == 3
    assert server.service.get_timer() == server.now
    server.service.handle_timer(server.now)
    assert server.ready() == [stream]
    assert len(server.events(stream)) == 6
    assert len(resource.asked) == 6
    assert server.service.get_timer() == server.now + KEEP_ALIVE


def test_a_stream_that_waits_for_its_turn_and_ends_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_updates_stream, "MAX_REFRESHED", 0)
    server = Server(net(), cost())
    stream = server.open(n="net", c="cost")
    server.sent(stream)
    server.replace(net(a=1), cost(a=1))
    server.ready()
    assert stream.data_to_send(0.0) == b""
    stream.disconnect(0.0)
    server.service.handle_timer(0.0)
    assert server.ready() == []
    assert server.service.get_timer() is None


def test_one_request_does_not_have_many_large_answers_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Section 10.1: others wait meanwhile."""
    monkeypatch.setattr(updates, "MAX_ASKED", 1000)
    server = Server(Map("map", "x" * 5000), Picked("eps", {f"name{at}": "x" * 600 for at in range(5)}))
    adds = {f"s{at}": {"resource-id": "eps", "input": {"names": [f"name{at}"]}} for at in range(3)}
    answer = server.post("", {"add": adds})
    assert (answer.status, answer.header("Retry-After")) == (503, "60")
    # What one GETs is there already, and a single answer may be as long as the resource allows.
    server.open(m="map", s0=adds["s0"], s1=adds["s1"])

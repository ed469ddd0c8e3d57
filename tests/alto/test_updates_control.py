"""alto/updates.py: stream control services (RFC 8895 section 7)."""

from typing import Any

import pytest
from alto_updates import Map, Picked, Server, control_path

from alto import media
from alto.errors import RequestError
from alto.http import Stream
from alto.updates import UpdateLimits

CONTROL = media.UPDATE_STREAM_CONTROL
WIDE = {str(at): at for at in range(40)}


def opened(*names: str, **options: Any) -> tuple[Server, Stream, str]:
    """A server, a stream with a substream for each of these maps, and the path of its control service."""
    resources = [Map("net", WIDE), Map("cost", WIDE, media.COST_MAP, ("net",)), Picked("props", {"a": "1"})]
    server = Server(*resources, **options)
    stream = server.open(**{name: name for name in names})
    return server, stream, control_path(server.events(stream))


def add(name: str, resource_id: str, **more: Any) -> dict[str, Any]:
    return {"add": {name: {"resource-id": resource_id, **more}}}


def test_added_resources_are_announced_and_begin_with_the_whole() -> None:
    server, stream, path = opened("net")
    answer = server.post(path, add("c", "cost"))
    assert (answer.status, answer.body) == (204, b"")
    assert server.ready() == [stream]
    (first, started), (second, whole) = server.events(stream) + server.events(stream)
    assert (first, started) == (CONTROL, {"started": ["c"]})
    assert (second, whole["data"]) == (f"{media.COST_MAP},c", WIDE)


def test_removed_resources_are_named_in_an_event_and_send_no_more() -> None:
    """Sections 6.7.1 and 10.3: the client sees what somebody has removed in its name."""
    server, stream, path = opened("net", "cost")
    assert server.post(path, {"remove": ["cost"]}).status == 204
    assert server.ready() == [stream]
    ((name, value),) = server.events(stream)
    assert (name, value["stopped"]) == (CONTROL, ["cost"])
    assert value["description"]
    server.replace(Map("cost", {**WIDE, "a": 1}, media.COST_MAP, ("net",)))
    assert server.sent(stream) == b""
    assert not stream.is_finished


@pytest.mark.parametrize("remove", [[], ["net", "cost"], ["cost", "net", "net"]])
def test_removing_all_closes_the_stream_after_an_event(remove: list[str]) -> None:
    """Section 7.6: a stream cannot have zero resources."""
    server, stream, path = opened("net", "cost")
    assert server.post(path, {"remove": remove}).status == 204
    assert sorted(server.events(stream)[0][1]["stopped"]) == ["cost", "net"]
    assert stream.is_finished
    assert server.sent(stream) == b""
    assert server.post(path, {"remove": []}).status == 404
    assert server.service.get_timer() is None


def test_all_may_be_replaced_by_others_in_one_request() -> None:
    """`add` is processed before `remove`."""
    server, stream, path = opened("net")
    assert server.post(path, {**add("new", "net"), "remove": ["net"]}).status == 204
    assert [value.get("started") or value.get("stopped") for _, value in server.events(stream)[:2]] == [
        ["new"],
        ["net"],
    ]
    assert not stream.is_finished


def test_removing_twice_is_legal() -> None:
    server, stream, path = opened("net", "cost")
    assert server.post(path, {"remove": ["cost"]}).status == 204
    server.sent(stream)
    assert server.post(path, {"remove": ["cost"]}).status == 204
    assert server.sent(stream) == b""


BAD: list[tuple[Any, tuple[str, str | None, str | None]]] = [
    ({}, ("E_MISSING_FIELD", "add", None)),
    ({"add": {}}, ("E_MISSING_FIELD", "add", None)),
    ({"remove": "net"}, ("E_INVALID_FIELD_TYPE", "remove", None)),
    ({"remove": [1]}, ("E_INVALID_FIELD_VALUE", "remove", "1")),
    ({"remove": [["net"]]}, ("E_INVALID_FIELD_VALUE", "remove", '["net"]')),
    ({"remove": ["other"]}, ("E_INVALID_FIELD_VALUE", "remove", "other")),
    ({"remove": ["net", "other"]}, ("E_INVALID_FIELD_VALUE", "remove", "other")),
    ({**add("new", "net"), "remove": ["new"]}, ("E_INVALID_FIELD_VALUE", "remove", "new")),
    ({**add("new", "net"), "remove": []}, ("E_INVALID_FIELD_VALUE", "remove", "[]")),
    (add("net", "net"), ("E_INVALID_FIELD_VALUE", "add", "net")),
    (add("gone", "net"), ("E_INVALID_FIELD_VALUE", "add", "gone")),
    (add("new", "other"), ("E_INVALID_FIELD_VALUE", "add/new/resource-id", "other")),
    (add("new", "props"), ("E_MISSING_FIELD", "names", None)),
    ({**add("new", "props", input={}), "remove": ["net"]}, ("E_MISSING_FIELD", "names", None)),
]


@pytest.mark.parametrize(("body", "expected"), BAD)
def test_a_request_with_an_error_changes_nothing(body: Any, expected: tuple[Any, ...]) -> None:
    """Sections 7.5 and 7.6."""
    server, stream, path = opened("net", "cost")
    server.post(path, add("gone", "net"))
    server.post(path, {"remove": ["gone"]})
    server.sent(stream)
    before = {name: substream.version for name, substream in stream.active.items()}  # type: ignore[attr-defined]
    with pytest.raises(RequestError) as caught:
        server.post(path, body)
    assert (caught.value.code.value, caught.value.field, caught.value.value) == expected
    assert {name: substream.version for name, substream in stream.active.items()} == before  # type: ignore[attr-defined]
    assert server.sent(stream) == b""


def test_an_empty_add_beside_an_empty_remove_is_no_add() -> None:
    server, stream, path = opened("net")
    assert server.post(path, {"add": {}, "remove": []}).status == 204
    server.sent(stream)
    assert stream.is_finished


def test_a_uri_that_names_no_open_stream_is_not_found_and_counted() -> None:
    """Section 7.1: who guesses is noticed."""
    server, stream, path = opened("net")
    stream.disconnect(0.0)
    for wrong in (path, "/", "/0", path + "/x", "/../updates"):
        assert server.post(wrong, {"remove": []}).status == 404
    assert server.service.failed_control_requests == 5


def test_the_uri_alone_says_which_stream_is_meant() -> None:
    """Section 7.1: no cookie, no address."""
    server, stream, path = opened("net")
    assert server.post(path, {"remove": []}, client="ipv4:198.51.100.9").status == 204
    server.sent(stream)
    assert stream.is_finished


def test_any_accept_field_is_fine_and_other_media_types_and_methods_are_not() -> None:
    server, _, path = opened("net")
    kind = ("Content-Type", media.UPDATE_STREAM_PARAMS)
    accept = ("Accept", "text/plain,application/alto-error+json")
    assert server.post(path, {"remove": ["net"]}, method="GET").status == 405
    assert server.post(path, {"remove": ["net"]}, headers=(("Content-Type", "text/plain"),)).status == 415
    assert server.post(path, {}, method="OPTIONS").status == 204
    assert server.post(path, {"remove": ["net"]}, headers=(kind, accept)).status == 204


def test_too_many_substreams_now_or_ever_are_refused_for_a_while() -> None:
    """Section 10.1."""
    server, stream, path = opened("net", limits=UpdateLimits(substreams=2, substream_ids=3))
    assert server.post(path, {"add": {name: {"resource-id": "net"} for name in "ab"}}).status == 503
    assert server.post(path, add("a", "net")).status == 204
    refused = server.post(path, add("b", "net"))
    assert (refused.status, refused.header("Retry-After")) == (503, "60")
    assert server.post(path, {"remove": ["a"]}).status == 204
    assert server.post(path, add("b", "net")).status == 204
    assert server.post(path, {"remove": ["b"]}).status == 204
    assert server.post(path, add("c", "net")).status == 503
    assert list(stream.active) == ["net"]  # type: ignore[attr-defined]

"""alto/updates.py: update streams as a server gives them (RFC 8895 sections 5 and 6)."""

import json
from typing import Any

import pytest
from alto_updates import WIDE, Map, Parts, Picked, Server, control_path, cost, counting, net, read_events
from hypothesis import given
from hypothesis import strategies as st

from alto import media
from alto.directory import Directory
from alto.errors import ConfigurationError, RequestError
from alto.http import Request, Response
from alto.patch import json_patch, merge_patch
from alto.server import AltoServer
from alto.updates import UpdateStreamService

CONTROL = media.UPDATE_STREAM_CONTROL


def refused(server: Server, body: Any, tail: str = "") -> tuple[str, str | None, str | None, int]:
    with pytest.raises(RequestError) as caught:
        server.post(tail, body)
    error = caught.value
    return error.code.value, error.field, error.value, error.status


def test_the_first_event_names_the_control_uri() -> None:
    server = Server(net())
    name, value = server.events(server.open(n="net"))[0]
    assert name == CONTROL
    assert value["control-uri"].startswith("https://alto.example.com/updates/")


def test_without_stream_control_the_control_uri_is_null() -> None:
    server = Server(net(), support_stream_control=False)
    assert server.events(server.open(n="net"))[0] == (CONTROL, {"control-uri": None})
    assert server.service.capabilities(server.directory)["support-stream-control"] is False
    secret = next(iter(server.service._streams))
    assert server.post(f"/{secret}", {"remove": []}).status == 404


def test_a_control_uri_is_relative_where_the_server_knows_no_uri_of_its_own() -> None:
    """An ID with a colon must not become the scheme of an absolute URI."""
    server = Server(net(), base_uri="")
    assert server.events(server.open(n="net"))[0][1]["control-uri"].startswith("./updates/")


def test_a_stream_is_an_event_stream_that_no_cache_keeps() -> None:
    server = Server(net())
    stream = server.open(n="net")
    assert stream.status == 200
    assert ("Content-Type", "text/event-stream") in tuple(stream.headers)
    assert ("Cache-Control", "no-store") in tuple(stream.headers)


def test_a_full_replacement_comes_first_and_then_what_has_changed() -> None:
    server = Server(net())
    stream = server.open(n="net")
    name, value = server.events(stream)[1]
    assert (name, value["data"]) == (f"{media.NETWORK_MAP},n", WIDE)
    server.replace(net(a=1))
    assert server.ready() == [stream]
    ((name, change),) = server.events(stream)
    assert name == "application/merge-patch+json,n"
    assert change == {"meta": {"vtag": {"tag": net(a=1).tag}}, "data": {"a": 1}}


def test_an_event_has_no_id_field_and_one_event_line() -> None:
    """Section 5.1."""
    server = Server(net())
    octets = server.sent(server.open(n="net"))
    assert b"\nid:" not in octets
    assert [event.event for event in read_events(octets)] == [CONTROL, f"{media.NETWORK_MAP},n"]


def test_what_a_resource_depends_on_is_sent_before_it_in_whatever_order_it_was_asked_for() -> None:
    """Trap 14; section 6.7.1."""
    server = Server(net(), cost(), Map("far", {"far": 1}, media.COST_MAP, ("cost",)))
    stream = server.open(f="far", c="cost", n="net")
    assert [name.rpartition(",")[2] for name, _ in server.events(stream)[1:]] == ["n", "c", "f"]
    server.replace(net(a=1))
    assert [name.rpartition(",")[2] for name, _ in server.events(stream)] == ["n", "c", "f"]
    server.replace(cost(b=1))
    server.replace(net(a=2))
    assert [name.rpartition(",")[2] for name, _ in server.events(stream)] == ["n", "c", "f"]


def test_resources_that_use_each_other_do_no_harm() -> None:
    server = Server(Map("a", WIDE, uses=("b",)), Map("b", WIDE, uses=("a",)))
    assert len(server.events(server.open(x="a", y="b"))) == 3


BAD: list[tuple[Any, tuple[str, str | None, str | None, int]]] = [
    (b"{", ("E_SYNTAX", None, None, 400)),
    ([], ("E_INVALID_FIELD_TYPE", None, None, 400)),
    (None, ("E_INVALID_FIELD_TYPE", None, None, 400)),
    ({}, ("E_MISSING_FIELD", "add", None, 400)),
    ({"add": {}}, ("E_MISSING_FIELD", "add", None, 400)),
    ({"remove": []}, ("E_MISSING_FIELD", "add", None, 400)),
    ({"add": []}, ("E_INVALID_FIELD_TYPE", "add", None, 400)),
    ({"add": {"n": 1}}, ("E_INVALID_FIELD_TYPE", "add/n", None, 400)),
    ({"add": {"n": {}}}, ("E_MISSING_FIELD", "add/n/resource-id", None, 400)),
    ({"add": {"n": {"resource-id": 1}}}, ("E_INVALID_FIELD_TYPE", "add/n/resource-id", None, 400)),
    ({"add": {"n": {"resource-id": "no"}}}, ("E_INVALID_FIELD_VALUE", "add/n/resource-id", "no", 400)),
    ({"add": {"n": {"resource-id": "net/#"}}}, ("E_INVALID_FIELD_VALUE", "add/n/resource-id", "net/#", 400)),
    ({"add": {"n": {"resource-id": "other"}}}, ("E_INVALID_FIELD_VALUE", "add/n/resource-id", "other", 400)),
    ({"add": {"a.b": {"resource-id": "net"}}}, ("E_INVALID_FIELD_VALUE", "add", "a.b", 400)),
    ({"add": {"": {"resource-id": "net"}}}, ("E_INVALID_FIELD_VALUE", "add", "", 400)),
    ({"add": {"n": {"resource-id": "net", "tag": 1}}}, ("E_INVALID_FIELD_TYPE", "add/n/tag", None, 400)),
    (
        {"add": {"n": {"resource-id": "net", "incremental-changes": 1}}},
        ("E_INVALID_FIELD_TYPE", "add/n/incremental-changes", None, 400),
    ),
]


@pytest.mark.parametrize(("body", "expected"), BAD)
def test_a_request_with_an_error_opens_no_stream(body: Any, expected: tuple[Any, ...]) -> None:
    """Section 6.6."""
    server = Server(net(), Map("other", 1), uses=["net"])
    assert refused(server, body) == expected
    assert server.service.get_timer() is None


def test_the_one_bad_substream_of_several_leaves_nothing_behind() -> None:
    server = Server(net())
    refused(server, {"add": {"n": {"resource-id": "net"}, "m": {"resource-id": "no"}}})
    assert server.service._feeds == {}


def test_remove_is_ignored_when_a_stream_is_opened() -> None:
    """Section 6.5."""
    server = Server(net())
    stream = server.post("", {"add": {"n": {"resource-id": "net"}}, "remove": 7})
    assert len(server.events(stream)) == 2


def test_what_http_asks_of_a_request() -> None:
    server = Server(net())
    body = {"add": {"n": {"resource-id": "net"}}}
    kind = ("Content-Type", media.UPDATE_STREAM_PARAMS)
    assert server.post("", body, method="GET").status == 405
    assert server.post("", body, headers=(("Content-Type", "application/json"),)).status == 415
    assert server.post("", body, headers=(kind, ("Accept", "application/json"))).status == 406
    accepted = (kind, ("Accept", "text/event-stream,application/alto-error+json"))
    assert not isinstance(server.post("", body, headers=accepted), Response)
    options = server.post("", body, method="OPTIONS")
    assert (options.status, options.header("Allow")) == (204, "POST, OPTIONS")


def test_missing_and_invalid_input_is_answered_as_the_resource_would() -> None:
    """Section 6.6."""
    server = Server(Picked("props", {"a": "1"}))
    assert refused(server, {"add": {"p": {"resource-id": "props"}}}) == ("E_MISSING_FIELD", "names", None, 400)
    for posted, expected in [({"names": 1}, "names"), (1, None), (None, None)]:
        body = {"add": {"p": {"resource-id": "props", "input": posted}}}
        assert refused(server, body) == ("E_INVALID_FIELD_TYPE", expected, None, 400)


def test_input_has_to_be_there_even_for_a_resource_that_needs_no_member_of_it() -> None:
    server = Server(Parts("pv", {"a@x": 1}))
    assert refused(server, {"add": {"p": {"resource-id": "pv"}}}) == ("E_MISSING_FIELD", "add/p/input", None, 400)


def test_one_stream_may_ask_one_resource_several_things() -> None:
    server = Server(Picked("props", {"a": "1", "b": "2"}))
    stream = server.open(
        p={"resource-id": "props", "input": {"names": ["a"]}}, q={"resource-id": "props", "input": {"names": ["b"]}}
    )
    assert [value["data"] for _, value in server.events(stream)[1:]] == [{"a": "1"}, {"b": "2"}]
    server.replace(Picked("props", {"a": "1", "b": "3"}))
    ((name, value),) = server.events(stream)
    assert (name.rpartition(",")[2], value["data"]) == ("q", {"b": "3"})


def test_the_version_that_a_client_has_is_not_sent_again() -> None:
    """Section 6.5: the tag is that of the version now."""
    server = Server(net())
    stream = server.open(n={"resource-id": "net", "tag": net().tag})
    assert len(server.events(stream)) == 1
    server.replace(net(a=1))
    ((name, _),) = server.events(stream)
    assert name == "application/merge-patch+json,n"


@pytest.mark.parametrize("entry", [{"tag": "stale"}, {"tag": net().tag, "incremental-changes": False}, {}])
def test_another_version_no_tag_and_no_incremental_changes_begin_with_the_whole(entry: dict[str, Any]) -> None:
    """Section 6.7.1."""
    server = Server(net())
    stream = server.open(n={"resource-id": "net", **entry})
    assert [name for name, _ in server.events(stream)] == [CONTROL, f"{media.NETWORK_MAP},n"]


def test_a_client_that_declines_incremental_changes_gets_full_replacements_only() -> None:
    server = Server(net())
    stream = server.open(n={"resource-id": "net", "incremental-changes": False})
    server.events(stream)
    server.replace(net(a=1))
    ((name, value),) = server.events(stream)
    assert (name, value["data"]) == (f"{media.NETWORK_MAP},n", net(a=1).data)


def test_a_member_that_becomes_null_is_said_by_json_patch_where_that_is_announced() -> None:
    """Trap 11; section 6.3."""
    server = Server(net())
    stream = server.open(n="net")
    whole = server.events(stream)[1][1]
    server.replace(net(a=None))
    ((name, change),) = server.events(stream)
    assert name == "application/json-patch+json,n"
    assert json_patch(whole, change)["data"] == net(a=None).data


def test_a_member_that_becomes_null_needs_the_whole_where_only_merge_patch_is_announced() -> None:
    server = Server(net(), incremental_change_media_types={"net": [media.MERGE_PATCH]})
    stream = server.open(n="net")
    server.events(stream)
    server.replace(net(a=None))
    ((name, _),) = server.events(stream)
    assert name == f"{media.NETWORK_MAP},n"


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        ([], media.NETWORK_MAP),
        ([media.MERGE_PATCH], media.MERGE_PATCH),
        ([media.JSON_PATCH], media.JSON_PATCH),
        ([media.MERGE_PATCH, media.JSON_PATCH], media.JSON_PATCH),
    ],
)
def test_only_announced_patches_are_sent_and_the_shorter_of_them(types: list[str], expected: str) -> None:
    before = {"pid": [f"10.0.{at}.0/24" for at in range(100)]}
    server = Server(Map("net", before), incremental_change_media_types={"net": types})
    announced = server.service.capabilities(server.directory)["incremental-change-media-types"]
    assert announced == ({"net": ",".join(types)} if types else {})
    stream = server.open(n="net")
    server.events(stream)
    server.replace(Map("net", {"pid": [*before["pid"], "10.1.0.0/24"]}))
    ((name, _),) = server.events(stream)
    assert name == f"{expected},n"


def test_changes_as_long_as_the_whole_are_sent_as_the_whole() -> None:
    server = Server(Map("net", dict.fromkeys("abcdefghijklmnop", "x")))
    stream = server.open(n="net")
    server.events(stream)
    server.replace(Map("net", dict.fromkeys("qrstuvwxyz", "x")))
    ((name, _),) = server.events(stream)
    assert name == f"{media.NETWORK_MAP},n"


def test_what_is_replaced_by_the_same_is_no_update() -> None:
    """Section 6.6: updates when the underlying values change."""
    server = Server(Picked("props", {"a": "1", "b": "2"}))
    stream = server.open(p={"resource-id": "props", "input": {"names": ["a"]}})
    server.events(stream)
    server.replace(Picked("props", {"a": "1", "b": "3"}))
    assert server.sent(stream) == b""


def test_a_value_that_leaves_a_filter_is_sent_as_null() -> None:
    """Section 9.3: a filtered cost map with a constraint test."""
    server = Server(Map("filtered", {"PID1": {"PID2": 5, **WIDE}}, media.COST_MAP))
    stream = server.open(f="filtered")
    server.events(stream)
    server.replace(Map("filtered", {"PID1": WIDE}, media.COST_MAP))
    assert server.events(stream)[0][1]["data"] == {"PID1": {"PID2": None}}


def test_a_thousand_streams_ask_a_resource_once_and_send_the_same() -> None:
    """Section 6.7.2."""
    server = Server(net(), cost())
    streams = [server.open(n="net", c="cost") for _ in range(1000)]
    first = {server.sent(stream).partition(b"\n\n")[2] for stream in streams}
    changed = net(a=1)
    server.replace(changed)
    assert server.ready() == streams
    updates_sent = {server.sent(stream) for stream in streams}
    assert (len(first), len(updates_sent)) == (1, 1)
    assert len(changed.asked) == 1


def test_an_answer_that_depends_on_who_asks_is_not_for_others() -> None:
    """Trap 3: the default endpoint is that of the connection."""
    props = Picked("props", {"ipv4:192.0.2.1": "one", "ipv4:192.0.2.2": "two"})
    server = Server(props)
    body = {"add": {"p": {"resource-id": "props", "input": {"names": []}}}}
    streams = [server.post("", body, client=client) for client in props.data]
    assert [server.events(stream)[1][1]["data"] for stream in streams] == [
        {"ipv4:192.0.2.1": "one"},
        {"ipv4:192.0.2.2": "two"},
    ]
    server.replace(Picked("props", {"ipv4:192.0.2.1": "one", "ipv4:192.0.2.2": "three"}))
    assert [bool(server.sent(stream)) for stream in streams] == [False, True]


def test_the_parts_of_a_multipart_resource_are_updated_one_by_one() -> None:
    """Sections 5.2 and 6.7.3: static Content-IDs, and `substream-id.content-id` for what changes."""
    server = Server(Parts("pv", {"ecs@x.example": WIDE, "prop@x.example": {"ane": 1}}))
    stream = server.open(s={"resource-id": "pv", "input": {}})
    name, body = server.events(stream)[1]
    assert name.startswith("multipart/related;boundary=")
    assert name.endswith(f";type={media.ENDPOINT_COST},s")
    assert b"\r" not in body
    server.replace(Parts("pv", {"ecs@x.example": {**WIDE, "1": 2}, "prop@x.example": {"ane": 2}}))
    assert server.events(stream) == [
        ("application/merge-patch+json,s.ecs@x.example", {"data": {"1": 2}}),
        ("application/merge-patch+json,s.prop@x.example", {"data": {"ane": 2}}),
    ]


def test_other_parts_than_before_are_sent_as_a_whole() -> None:
    server = Server(Parts("pv", {"a@x": WIDE, "b@x": 1}))
    stream = server.open(s={"resource-id": "pv", "input": {}})
    server.sent(stream)
    server.replace(Parts("pv", {"a@x": WIDE, "c@x": 1}))
    assert server.events(stream)[0][0].startswith("multipart/related;")


def test_private_resources_are_for_clients_that_are_known() -> None:
    server = Server(net(), Map("secret", WIDE, is_private=True))
    body = {"add": {"n": {"resource-id": "net"}, "s": {"resource-id": "secret"}}}
    assert server.post("", body).status == 403
    assert len(server.events(server.post("", body, user="alice"))) == 3


def test_the_streams_of_a_private_service_are_controlled_by_who_opened_them() -> None:
    server = Server(net(), is_private=True)
    stream = server.post("", {"add": {"n": {"resource-id": "net"}}}, user="alice")
    path = control_path(server.events(stream))
    assert server.post(path, {"remove": []}, user="mallory").status == 404
    assert server.post(path, {"remove": []}, user="alice").status == 204


def test_the_same_requests_and_chance_give_the_same_octets() -> None:
    def run() -> list[bytes]:
        server = Server(net(), Parts("pv", {"a@x": WIDE}), random_bytes=counting())
        stream = server.open(n="net", p={"resource-id": "pv", "input": {}})
        sent = [server.sent(stream)]
        server.replace(net(a=1), Parts("pv", {"a@x": {**WIDE, "b": 1}}))
        return [*sent, server.sent(stream)]

    assert run() == run()


def test_control_uris_hold_128_bits_of_chance_and_are_never_used_again() -> None:
    """Trap 15; section 7.1."""
    asked: list[int] = []

    def random_bytes(length: int) -> bytes:
        asked.append(length)
        return b"\xab" * length

    server = Server(net(), random_bytes=random_bytes)
    uris = set()
    for _ in range(5):
        stream = server.open(n="net")
        uris.add(control_path(server.events(stream)))
        stream.disconnect(0.0)
    assert len(uris) == 5
    assert asked.count(16) >= 5
    assert all("ab" * 16 in uri for uri in uris)


def test_the_ird_entry_names_what_is_announced() -> None:
    """Sections 6.1 to 6.4."""
    server = Server(net(), cost(), Parts("pv", {"a@x": 1}), Map("text", 1, "text/plain"))
    service = server.service
    assert (service.media_type, service.accepts, service.uses) == (
        "text/event-stream",
        "application/alto-updatestreamparams+json",
        ("net", "cost", "pv", "text"),
    )
    assert service.capabilities(server.directory) == {
        "incremental-change-media-types": {
            "net": "application/merge-patch+json,application/json-patch+json",
            "cost": "application/merge-patch+json",
            "pv": "application/merge-patch+json",
        },
        "support-stream-control": True,
    }


def test_patches_of_what_is_not_used_or_of_another_kind_cannot_be_announced() -> None:
    for announced in ({"other": [media.MERGE_PATCH]}, {"net": ["application/json"]}):
        with pytest.raises(ConfigurationError):
            UpdateStreamService("updates", ["net"], incremental_change_media_types=announced)
    with pytest.raises(ConfigurationError):
        Directory([], services=[UpdateStreamService("updates", ["net"])])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["net", "props", "n"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["add", "remove", "n", "resource-id", "tag", "incremental-changes", "input", "names", ""]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(json_values | st.binary(max_size=20), st.sampled_from(["", "/", "/x", "/x/y", "?q"]))
def test_whatever_is_posted_is_answered_or_refused(body: Any, tail: str) -> None:
    server = Server(net(), Picked("props", {}))
    stream = server.open(n="net")
    path = control_path(server.events(stream))
    for where in (tail, path):
        try:
            answer = server.post(where, body)
        except RequestError:
            continue
        assert isinstance(answer, Response) or json.dumps(server.events(answer)[0][1])


def test_of_several_mistakes_one_is_returned() -> None:
    """Section 6.6."""
    server = Server(net(), Picked("props", {}))
    ids = {"add": {name: {"resource-id": name} for name in ("no", "nor")}}
    assert refused(server, ids) == ("E_INVALID_FIELD_VALUE", "add/no/resource-id", "no", 400)
    inputs = {"add": {name: {"resource-id": "props"} for name in "ab"}}
    assert refused(server, inputs) == ("E_MISSING_FIELD", "names", None, 400)


def test_two_services_have_the_same_updates_of_one_resource() -> None:
    """Section 6.7.2, last paragraph."""
    one = Server(net(), cost(), incremental_change_media_types={"net": [media.MERGE_PATCH]})
    other = Server(net(), cost(), incremental_change_media_types={"net": [media.JSON_PATCH]})
    found = []
    for server, apply in ((one, merge_patch), (other, json_patch)):
        stream = server.open(n="net")
        whole = server.events(stream)[1][1]
        server.replace(net(a=[1], b={"c": 2}))
        ((name, change),) = server.events(stream)
        assert name.endswith("patch+json,n")
        found.append(apply(whole, change))
    assert found[0] == found[1]


def test_a_server_lists_the_service_in_its_directory() -> None:
    """Section 6: media type, method, capabilities and uses."""
    server = Server(net(), cost())
    directory = Directory(server.directory.resources.values(), services=[server.service], default_network_map="net")
    answer = AltoServer(directory, epoch=0).handle(Request("GET", "/"), None, 0.0)
    assert isinstance(answer, Response)
    entry = json.loads(answer.body)["resources"]["updates"]
    assert entry == {
        "uri": "/updates",
        "media-type": "text/event-stream",
        "accepts": "application/alto-updatestreamparams+json",
        "uses": ["net", "cost"],
        "capabilities": server.service.capabilities(directory),
    }


def test_a_feed_that_cannot_be_asked_any_more_does_not_come_back_to_itself() -> None:
    server = Server(Map("a", WIDE, uses=("b",)), Map("b", WIDE, uses=("a",)))
    streams = [server.open(x="a"), server.open(x="a")]
    for stream in streams:
        server.sent(stream)
    for data in ({"c": 1}, {"c": 2}):
        server.replace(Map("a", data, uses=("b",), is_gone=True))
        server.sent(streams[0])
    assert server.events(streams[1])[0][1]["stopped"] == ["x"]

"""alto/updates_client.py: documents kept up to date by an update stream (RFC 8895 sections 5, 7.1 and 9.2)."""

import json

import pytest
from alto_updates_client import CONTROL, HEAD, OPENING, URI, Client, broken, doc, event, multipart, names
from hypothesis import given
from hypothesis import strategies as st

from alto import media
from alto.errors import ConfigurationError, StateError
from alto.findings import Findings, Level
from alto.http import Response
from alto.ird import ResourceEntry
from alto.sse import COMMENT, encode_json, encode_name
from alto.updates_client import (
    MAX_SILENCE,
    ControlRefused,
    StreamBroken,
    StreamEnded,
    StreamMoved,
    StreamOpened,
    StreamRefused,
    Subscription,
    SubstreamsStarted,
    SubstreamsStopped,
    UpdateStreamClient,
    subscription,
)


def test_the_request_asks_for_the_substreams() -> None:
    held = {"meta": {}}
    client = UpdateStreamClient(
        URI,
        {
            "n": Subscription("net", tag="t1", document=held),
            "p": Subscription("props", {"endpoints": []}, incremental_changes=False),
        },
    )
    request = client.request
    assert (request.method, request.target) == ("POST", URI)
    assert request.header("Accept") == "text/event-stream,application/alto-error+json"
    assert request.header("Content-Type") == "application/alto-updatestreamparams+json"
    assert json.loads(request.body) == {
        "add": {
            "n": {"resource-id": "net", "tag": "t1"},
            "p": {"resource-id": "props", "incremental-changes": False, "input": {"endpoints": []}},
        }
    }


def test_a_client_that_does_not_know_every_announced_patch_declines_them() -> None:
    """Section 6.5: all of the set, or `incremental-changes: false`."""
    for types, declines in [((), False), ((media.MERGE_PATCH,), False), ((media.MERGE_PATCH, "text/x-diff"), True)]:
        assert ("incremental-changes" in Subscription("net", patch_types=types).to_json()) is declines


def test_substreams_are_made_from_entries_of_the_ird() -> None:
    types = {"net": "application/merge-patch+json, application/json-patch+json"}
    stream = ResourceEntry(
        "upd", URI, media.EVENT_STREAM, capabilities={"incremental-change-media-types": types}, uses=("net", "props")
    )
    net = ResourceEntry("net", "https://x/", media.NETWORK_MAP)
    props = ResourceEntry("props", "https://x/", media.ENDPOINT_PROPERTIES, "application/x", uses=("net",))
    assert subscription(net, stream, tag="t", document={}) == Subscription(
        "net", None, "t", {}, media.NETWORK_MAP, (), (media.MERGE_PATCH, media.JSON_PATCH)
    )
    assert subscription(props, stream, {}).patch_types == ()
    with pytest.raises(ConfigurationError):
        subscription(props, stream)
    with pytest.raises(ConfigurationError):
        subscription(net, stream, {})
    with pytest.raises(ConfigurationError):
        subscription(ResourceEntry("other", "https://x/", media.COST_MAP), stream)


@pytest.mark.parametrize(
    ("reference", "absolute"),
    [
        ("https://ctl.example.com/s/1", "https://ctl.example.com/s/1"),
        ("/s/1", "https://alto.example.com/s/1"),
        ("./costs/1", "https://alto.example.com/updates/costs/1"),
        ("//other.example.com/1", "https://other.example.com/1"),
        (None, None),
    ],
)
def test_the_control_uri_is_resolved_against_the_uri_of_the_stream(reference: str | None, absolute: str | None) -> None:
    """Section 7.1."""
    client = Client(opening=event(CONTROL, {"control-uri": reference}))
    assert client.opened == [StreamOpened(absolute)]
    assert client.findings.items == []


def test_stream_control_that_leaves_https_is_noted() -> None:
    """Section 7.1: who is on the path could take the stream over."""
    client = Client(opening=event(CONTROL, {"control-uri": "http://alto.example.com/streams/1"}))
    assert client.opened == [StreamOpened("http://alto.example.com/streams/1")]
    assert [(finding.section, finding.level) for finding in client.findings.items] == [("7.1", Level.SHOULD)]


def test_the_control_uri_is_resolved_against_where_a_redirect_led() -> None:
    """Section 10.1: 307."""
    client = UpdateStreamClient(URI, {"n": Subscription("net")})
    client.receive_response(Response(307, (("Location", "https://other.example.com/a/b"),)), 0.0)
    assert client.next_event() == StreamMoved("https://other.example.com/a/b")
    assert client.request.target == "https://other.example.com/a/b"
    client.receive_response(HEAD, 0.0)
    client.receive_data(OPENING, 0.0)
    assert client.next_event() == StreamOpened("https://other.example.com/a/streams/1")


@pytest.mark.parametrize("location", ["http://alto.example.com/", "ftp://x/", "https://[x"])
def test_a_redirect_that_leads_nowhere_or_away_from_https_is_not_followed(location: str) -> None:
    client = UpdateStreamClient(URI, {"n": Subscription("net")})
    client.receive_response(Response(307, (("Location", location),)), 0.0)
    assert isinstance(client.next_event(), StreamBroken)


def test_redirects_without_end_are_not_followed() -> None:
    client = UpdateStreamClient(URI, {"n": Subscription("net")})
    for _ in range(6):
        client.receive_response(Response(308, (("Location", URI),)), 0.0)
    last = None
    while (happened := client.next_event()) is not None:
        last = happened
    assert isinstance(last, StreamBroken)


def test_silence_ends_the_stream() -> None:
    """Section 6.8: the keep-alive lets the client see whether the server is there."""
    client = Client()
    client.take(COMMENT, now=15.0)
    assert client.get_timer() == 15.0 + MAX_SILENCE
    client.handle_timer(15.0 + MAX_SILENCE - 1)
    assert client.events() == []
    client.handle_timer(15.0 + MAX_SILENCE)
    assert "nothing was heard" in broken(client.events())
    assert client.get_timer() is None


def test_comments_are_ignored() -> None:
    assert Client().take(b": data: x\n", COMMENT, b":\r\n") == []


def test_the_client_notes_what_the_server_must_not_do_and_goes_on() -> None:
    add = {
        "n": Subscription("net", media_type=media.NETWORK_MAP, patch_types=(media.MERGE_PATCH,)),
        "f": Subscription("net", incremental_changes=False),
    }
    client = Client(add, opening=b"")
    first = event(f"{media.NETWORK_MAP},n", {"data": {}})
    assert names(client.take(first)) == ["StreamOpened:", "ResourceUpdated:n"]
    assert client.noted() == ["6.7.1"]
    steps = [
        (event(f"{media.COST_MAP},n", {"data": {}}), "5.2"),
        (event("application/json-patch+json,n", []), "6.3"),
        (event(f"{media.NETWORK_MAP},f", {}), None),
        (event("application/merge-patch+json,f", {"a": 1}), "6.5"),
        (event("application/merge-patch+json,unknown", {}), "5.2"),
        (event("application/merge-patch+json", {}), "5.2"),
        (event(CONTROL, {"control-uri": "/again"}), "5.3"),
        (event(CONTROL, {"stopped": []}), "5.3"),
        (event(CONTROL, {"stopped": [["n"], {}], "description": "x"}), "5.3"),
        (event(CONTROL, {"started": ["nobody"]}), "5.3"),
        (event(CONTROL, {"started": "n"}), "5.3"),
        (event(CONTROL, b"["), "5.3"),
        (event(CONTROL, [1]), "5.3"),
        (b"id: 5\n" + event(CONTROL, {}), "5.1"),
    ]
    for octets, section in steps:
        client.findings.items.clear()
        assert not any(isinstance(each, StreamBroken) for each in client.take(octets))
        assert client.noted() == ([] if section is None else [section])


@pytest.mark.parametrize(
    "first",
    [
        event(f"{media.NETWORK_MAP},n", {}),
        event(CONTROL, {}),
        event(CONTROL, {"control-uri": 7}),
        event(CONTROL, {"control-uri": "mailto:x"}),
    ],
)
def test_a_strict_client_wants_the_control_uri_first(first: bytes) -> None:
    assert isinstance(Client(opening=first, findings=Findings()).opened[-1], StreamBroken)


def test_requests_to_the_control_service() -> None:
    """Section 7.5."""
    client = Client()
    added = client.add({"p": Subscription("props", {"x": 1})}, remove=["c"])
    assert added.request.target == "https://alto.example.com/updates/streams/1"
    assert added.request.header("Content-Type") == "application/alto-updatestreamparams+json"
    assert json.loads(added.request.body) == {
        "add": {"p": {"resource-id": "props", "input": {"x": 1}}},
        "remove": ["c"],
    }
    client.receive_control_response(added, Response(204))
    assert client.events() == []
    (started, updated) = client.take(event(CONTROL, {"started": ["p"]}), event(f"{media.ENDPOINT_PROPERTIES},p", {}))
    assert started == SubstreamsStarted(("p",))
    assert names([updated]) == ["ResourceUpdated:p"]
    assert json.loads(client.remove(["n", "n"]).request.body) == {"remove": ["n"]}
    assert json.loads(client.close().request.body) == {"remove": []}


def test_substream_ids_are_used_once_in_a_stream() -> None:
    """Section 7.5: MUST NOT reuse a previously removed one."""
    client = Client()
    client.take(event(CONTROL, {"stopped": ["n"]}))
    for name in ("n", "c"):
        with pytest.raises(StateError):
            client.add({name: Subscription("net")})
    with pytest.raises(ConfigurationError):
        client.add({"a.b": Subscription("net")})
    with pytest.raises(StateError):
        client.remove(["unknown"])
    with pytest.raises(StateError):
        client.remove([])
    with pytest.raises(StateError):
        client.add({})


def test_a_stop_without_a_reason_is_noted() -> None:
    """Section 5.3: a description is recommended."""
    client = Client()
    assert client.take(event(CONTROL, {"stopped": ["n"]})) == [SubstreamsStopped(("n",), None)]
    assert [(finding.section, finding.level) for finding in client.findings.items] == [("5.3", Level.SHOULD)]


def test_without_a_control_uri_there_is_no_control() -> None:
    client = Client(opening=event(CONTROL, {"control-uri": None}))
    for verb in (client.close, lambda: client.remove(["n"]), lambda: client.add({"x": Subscription("net")})):
        with pytest.raises(StateError):
            verb()


def test_a_refused_control_request_adds_nothing() -> None:
    """Trap 5: the value may be a string or an array."""
    client = Client()
    added = client.add({"p": Subscription("props", {})})
    body = b'{"meta":{"code":"E_INVALID_FIELD_VALUE","field":"add","value":["p"]}}'
    client.receive_control_response(added, Response(400, (("Content-Type", media.ERROR),), body))
    (refused,) = client.events()
    assert isinstance(refused, ControlRefused)
    assert (refused.substream_ids, refused.error.code, refused.error.value) == (("p",), "E_INVALID_FIELD_VALUE", ("p",))
    assert "p" not in client.resumption()


def test_what_was_removed_may_still_arrive_and_is_ignored() -> None:
    client = Client()
    (stopped,) = client.take(event(CONTROL, {"stopped": ["n"], "description": "as asked"}))
    assert stopped == SubstreamsStopped(("n",), "as asked")
    assert client.take(event("application/merge-patch+json,n", {})) == []
    assert client.findings.items == []


def test_the_end_of_the_stream_is_complete_when_everything_was_stopped() -> None:
    for stopped, is_complete in ((["n", "c"], True), (["n"], False)):
        client = Client()
        client.take(event(CONTROL, {"stopped": stopped, "description": "x"}))
        client.receive_eof(1.0)
        client.receive_eof(2.0)
        assert client.events() == [StreamEnded(is_complete)]


def test_an_event_that_the_loss_of_the_connection_cut_off_has_no_effect() -> None:
    client = Client()
    client.take(event(f"{media.NETWORK_MAP},n", doc("1"))[:-1])
    client.receive_eof(1.0)
    assert client.events() == [StreamEnded(is_complete=False)]
    assert client.document("n") is None


def test_refusals_of_the_stream_are_told() -> None:
    body = b'{"meta":{"code":"E_INVALID_FIELD_VALUE","field":"add/n/resource-id","value":"net"}}'
    client = UpdateStreamClient(URI, {"n": Subscription("net")})
    client.receive_response(Response(400, (("Content-Type", media.ERROR),), body), 0.0)
    refused = client.next_event()
    assert isinstance(refused, StreamRefused)
    assert (refused.error.status, refused.error.field) == (400, "add/n/resource-id")
    other = UpdateStreamClient(URI, {"n": Subscription("net")})
    other.receive_response(Response(200, (("Content-Type", "text/html"),)), 0.0)
    assert isinstance(other.next_event(), StreamBroken)
    with pytest.raises(StateError):
        other.receive_response(HEAD, 0.0)


octets = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [
            OPENING,
            event(f"{media.NETWORK_MAP},n", doc("1")),
            event("application/merge-patch+json,n", {"meta": None, "data": {"a": [1]}}),
            event("application/json-patch+json,n", [{"op": "copy", "from": "", "path": "/data"}]),
            event("application/json-patch+json,c.x", [{"op": "move", "from": "/meta", "path": "/vtag"}]),
            event(f"{media.COST_MAP},c", {"meta": {"dependent-vtags": [{"resource-id": "net", "tag": "2"}, 5]}}),
            event(f"{media.COST_MAP},c", {"meta": {"vtag": [], "dependent-vtags": {}}}),
            event(CONTROL, {"stopped": ["c", "c", 1], "started": {}, "description": 3, "control-uri": []}),
            multipart({}, {}),
            multipart({}, {}).replace(b",s", b",c"),
            encode_name("x/y,n"),
            encode_json(b"[" * 2000),
            b"\xef\xbb\xbf",
            b"\r",
        ]
    ),
)


@given(st.lists(octets, max_size=12), st.booleans(), st.integers(1, 50))
def test_whatever_a_server_sends_raises_nothing(pieces: list[bytes], strict: bool, size: int) -> None:
    client = Client(opening=b"", findings=Findings(strict=strict))
    stream = b"".join(pieces)
    for at in range(0, len(stream), size):
        client.receive_data(stream[at : at + size], float(at))
        client.get_timer()
    client.handle_timer(1e6)
    client.receive_eof(1e6)
    events = client.events()
    assert isinstance(events[-1], StreamBroken | StreamEnded)
    assert sum(isinstance(each, StreamBroken | StreamEnded) for each in events) == 1
    for subscription_again in client.resumption().values():
        assert (subscription_again.tag is None) == (subscription_again.document is None)


@given(st.integers(100, 600), st.lists(st.tuples(st.text(max_size=12), st.text(max_size=12)), max_size=3), st.binary())
def test_whatever_is_answered_raises_nothing(status: int, headers: list[tuple[str, str]], body: bytes) -> None:
    client = UpdateStreamClient(URI, {"n": Subscription("net")})
    for location in ((), (("Location", body.decode("latin-1")), ("Content-Type", media.ERROR))):
        client = UpdateStreamClient(URI, {"n": Subscription("net")})
        client.receive_response(Response(status, (*headers, *location), body), 0.0)
        client.next_event()

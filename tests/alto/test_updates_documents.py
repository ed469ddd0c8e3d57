"""alto/_updates_documents.py: documents that a stream keeps up to date, and which may be used (RFC 8895 5.2, 9.2)."""

from typing import Any

import pytest
from alto_updates_client import CONTROL, URI, Client, broken, doc, event, multipart, names

from alto import _updates_documents, media
from alto.errors import ConfigurationError
from alto.findings import Findings
from alto.sse import COMMENT
from alto.updates_client import (
    MAX_FINDINGS,
    MAX_WAIT,
    ResourceUpdated,
    StreamBroken,
    Subscription,
    UpdateStreamClient,
)


def test_documents_come_with_their_versions_and_changes_are_applied() -> None:
    client = Client()
    (first,) = client.take(event(f"{media.NETWORK_MAP},n", doc("1", {"a": 1, "b": [1]})))
    assert isinstance(first, ResourceUpdated)
    assert (first.substream_id, first.resource_id, first.is_incremental) == ("n", "net", False)
    assert first.vtag is not None
    assert first.vtag.tag == "1"
    (second,) = client.take(
        event("application/merge-patch+json,n", {"meta": {"vtag": {"tag": "2"}}, "data": {"a": None}})
    )
    assert isinstance(second, ResourceUpdated)
    assert (second.tree, second.is_incremental) == (doc("2", {"b": [1]}), True)
    patch = [{"op": "add", "path": "/data/b/1", "value": 2}]
    (third,) = client.take(event("application/json-patch+json,n", patch))
    assert isinstance(third, ResourceUpdated)
    assert third.tree["data"] == {"b": [1, 2]}
    assert first.tree == doc("1", {"a": 1, "b": [1]})
    assert client.document("n") is not None
    assert client.findings.items == []


def test_a_dependent_of_an_older_version_is_never_exposed() -> None:
    """Trap 14; section 9.2: the cost map becomes invalid until it refers to the new network map."""
    client = Client()
    client.take(
        event(f"{media.NETWORK_MAP},n", doc("1")), event(f"{media.COST_MAP},c", doc("a", name="cost", on={"net": "1"}))
    )
    assert client.document("c") is not None
    changed = client.take(event("application/merge-patch+json,n", {"meta": {"vtag": {"tag": "2"}}}))
    assert names(changed) == ["ResourceInvalidated:c", "ResourceUpdated:n"]
    assert client.document("c") is None
    old = {"meta": {"dependent-vtags": [{"resource-id": "net", "tag": "1"}]}, "data": 7}
    assert client.take(event("application/merge-patch+json,c", old)) == []
    new = {"meta": {"dependent-vtags": [{"resource-id": "net", "tag": "2"}]}}
    assert names(client.take(event("application/merge-patch+json,c", new))) == ["ResourceUpdated:c"]
    assert client.findings.items == []


def test_a_dependent_that_comes_too_early_is_held_back_until_its_map_is_there() -> None:
    """Trap 14, the other way round: the server breaks section 6.7.1."""
    client = Client()
    client.take(
        event(f"{media.NETWORK_MAP},n", doc("1")), event(f"{media.COST_MAP},c", doc("a", name="cost", on={"net": "1"}))
    )
    early = client.take(event(f"{media.COST_MAP},c", doc("b", name="cost", on={"net": "2"})))
    assert names(early) == ["ResourceInvalidated:c"]
    assert client.noted() == ["6.7.1"]
    late = client.take(event(f"{media.NETWORK_MAP},n", doc("2")))
    assert names(late) == ["ResourceUpdated:n", "ResourceUpdated:c"]


def test_a_strict_client_gives_a_stream_in_the_wrong_order_up() -> None:
    client = Client(findings=Findings())
    client.take(event(f"{media.NETWORK_MAP},n", doc("1")))
    reason = broken(client.take(event(f"{media.COST_MAP},c", doc("b", name="cost", on={"net": "2"}))))
    assert "6.7.1" in reason


def test_a_dependent_that_names_no_versions_is_invalid_until_its_next_update() -> None:
    """The cost map in the last event of RFC 8895 section 8.2 has no dependent-vtags."""
    client = Client()
    client.take(event(f"{media.NETWORK_MAP},n", doc("1")), event(f"{media.COST_MAP},c", {"data": 1}))
    changed = client.take(event("application/merge-patch+json,n", {"data": 2}))
    assert names(changed) == ["ResourceInvalidated:c", "ResourceUpdated:n"]
    assert names(client.take(event("application/merge-patch+json,c", {"data": 2}))) == ["ResourceUpdated:c"]
    same = client.take(event("application/merge-patch+json,n", {"data": 2}))
    assert names(same) == ["ResourceUpdated:n"]


def test_a_map_that_is_no_longer_in_the_stream_holds_nothing_back() -> None:
    client = Client()
    client.take(
        event(f"{media.NETWORK_MAP},n", doc("2")), event(f"{media.COST_MAP},c", doc("a", name="cost", on={"net": "1"}))
    )
    assert client.document("c") is None
    stopped = client.take(event(CONTROL, {"stopped": ["n"], "description": "x"}))
    assert names(stopped) == ["SubstreamsStopped:", "ResourceUpdated:c"]


def test_a_document_that_stays_invalid_ends_the_stream() -> None:
    """Section 9.2: the recovery method."""
    client = Client()
    client.take(
        event(f"{media.NETWORK_MAP},n", doc("1")), event(f"{media.COST_MAP},c", doc("a", name="cost", on={"net": "1"}))
    )
    client.take(event(f"{media.NETWORK_MAP},n", doc("2")), now=10.0)
    client.take(COMMENT, now=10.0 + MAX_WAIT - 1)
    assert client.get_timer() == 10.0 + MAX_WAIT
    client.handle_timer(10.0 + MAX_WAIT - 1)
    assert client.events() == []
    client.handle_timer(10.0 + MAX_WAIT)
    assert "'c'" in broken(client.events())
    again = client.resumption()
    assert (again["n"].tag, again["c"].tag) == ("2", None)


@pytest.mark.parametrize("part", ["ecs@x", "ecs", "<ecs@x>"])
def test_the_parts_of_a_multipart_document_are_changed_by_their_content_id(part: str) -> None:
    """Trap 13: bare LF, a comma in a quoted parameter, and every form of the Content-ID."""
    client = Client({"s": Subscription("pv", {})})
    (whole,) = client.take(multipart({"a": 1}, {"b": 1}))
    assert isinstance(whole, ResourceUpdated)
    assert (whole.tree, whole.parts) == (None, {"ecs@x": {"a": 1}, "prop@x": {"b": 1}})
    (changed,) = client.take(event(f"application/merge-patch+json,s.{part}", {"a": 2}))
    assert isinstance(changed, ResourceUpdated)
    assert changed.parts == {"ecs@x": {"a": 2}, "prop@x": {"b": 1}}


def test_parts_that_depend_on_each_other_are_exposed_together() -> None:
    first = doc("1", name="pv.ecs")
    client = Client({"s": Subscription("pv", {}), "t": Subscription("pv", {"other": 1})})
    client.take(multipart(first, doc("x", name="pv.prop", on={"pv.ecs": "1"})))
    assert client.document("s") is not None
    half = client.take(event("application/merge-patch+json,s.ecs@x", {"meta": {"vtag": {"tag": "2"}}}))
    assert names(half) == ["ResourceInvalidated:s"]
    dependent = [{"resource-id": "pv.ecs", "tag": "2"}]
    both = client.take(event("application/merge-patch+json,s.prop@x", {"meta": {"dependent-vtags": dependent}}))
    assert names(both) == ["ResourceUpdated:s"]
    assert client.findings.items == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("application/json-patch+json,n", [{"op": "replace", "path": "/data/none", "value": 1}]),
        ("application/json-patch+json,n", {"op": "add"}),
        ("application/merge-patch+json,n", b"{"),
        ("application/merge-patch+json,n", [1]),
        ("application/merge-patch+json,c", {}),
        ("application/alto-networkmap+json,n", b"not JSON"),
        ("application/alto-networkmap+json,n", [1]),
        ("text/plain,n", {}),
        (f"{CONTROL},n", {}),
        ("multipart/related,n", {}),
        ("multipart/related;boundary=b,n", b"--b\n\n{\n--b--"),
    ],
)
def test_an_update_that_cannot_be_applied_ends_the_stream_with_advice(name: str, value: Any) -> None:
    client = Client()
    client.take(event(f"{media.NETWORK_MAP},n", doc("1")))
    assert broken(client.take(event(name, value)))
    assert client.take(event(f"{media.NETWORK_MAP},n", doc("2"))) == []
    again = client.resumption()
    assert (again["n"].tag, again["n"].document, again["c"].tag) == ("1", doc("1"), None)


def test_a_patch_that_names_a_part_of_what_has_none_or_none_of_what_has_some() -> None:
    client = Client({"s": Subscription("pv", {}), "n": Subscription("net")})
    client.take(multipart({}, {}), event(f"{media.NETWORK_MAP},n", {}))
    assert names(client.take(event("application/merge-patch+json,n.x", {"a": 1}))) == ["ResourceUpdated:n"]
    assert client.noted() == ["5.2"]
    assert "names no part" in broken(client.take(event("application/merge-patch+json,s", {})))
    other = Client({"s": Subscription("pv", {})})
    other.take(multipart({}, {}))
    assert "not there" in broken(other.take(event("application/merge-patch+json,s.nope", {})))


def test_a_held_version_is_exposed_and_changed_from_the_start() -> None:
    client = Client({"n": Subscription("net", tag="1", document=doc("1", {"a": 1}))})
    assert client.document("n") is not None
    (updated,) = client.take(event("application/merge-patch+json,n", {"data": {"b": 2}}))
    assert isinstance(updated, ResourceUpdated)
    assert updated.tree["data"] == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    "bad",
    [
        Subscription("net", tag="1"),
        Subscription("net", document={}),
        Subscription("net", {}, tag="1", document={}),
    ],
)
def test_a_tag_without_its_document_cannot_be_given(bad: Subscription) -> None:
    with pytest.raises(ConfigurationError):
        UpdateStreamClient(URI, {"n": bad})
    with pytest.raises(ConfigurationError):
        UpdateStreamClient(URI, {})


def test_events_findings_and_documents_have_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(max_event=1000)
    client.take(*[event("nothing", {})] * (MAX_FINDINGS + 50))
    assert len(client.findings.items) == MAX_FINDINGS
    assert "1000 octets" in broken(client.take(b"data: " + b"x" * 2000))
    monkeypatch.setattr(_updates_documents, "MAX_DOCUMENT", 5000)
    growing = Client()
    growing.take(event(f"{media.NETWORK_MAP},n", {"data": {}}))
    for at in range(200):
        happened = growing.take(event("application/merge-patch+json,n", {"data": {str(at): "x" * 50}}))
        if isinstance(happened[-1], StreamBroken):
            break
    assert "5000 octets" in broken(happened)


def test_a_document_that_changes_often_without_growing_has_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_updates_documents, "MAX_DOCUMENT", 500)
    client = Client()
    client.take(event(f"{media.NETWORK_MAP},n", {"data": {}}))
    for at in range(100):
        assert names(client.take(event("application/merge-patch+json,n", {"data": at}))) == ["ResourceUpdated:n"]


def test_two_answers_in_parts_of_one_resource_are_judged_each_by_its_own_parts() -> None:
    """They have the same resource IDs, and other versions, as they were asked other things."""
    client = Client({"s": Subscription("pv", {}), "t": Subscription("pv", {"other": 1})})
    for name, tag in (("s", "1"), ("t", "2")):
        parts = multipart(doc(tag, name="pv.ecs"), doc("x", name="pv.prop", on={"pv.ecs": tag}))
        assert names(client.take(parts.replace(b",s\n", f",{name}\n".encode()))) == [f"ResourceUpdated:{name}"]
    assert client.document("s") is not None
    assert client.document("t") is not None


def test_a_whole_that_names_a_part_is_noted() -> None:
    """Section 6.7.3: only an incremental change is of one part."""
    client = Client({"s": Subscription("pv", {})})
    client.take(multipart({"a": 1}, {"b": 1}).replace(b",s\n", b",s.ecs@x\n"))
    assert client.noted() == ["6.7.3"]


def test_patches_that_copy_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty octets may double a document."""
    monkeypatch.setattr(_updates_documents, "MAX_DOCUMENT", 20_000)
    client = Client()
    client.take(event(f"{media.NETWORK_MAP},n", {"data": "x" * 1000}))
    for at in range(40):
        double = [{"op": "copy", "from": "/data", "path": f"/copy{at}"}]
        happened = client.take(event("application/json-patch+json,n", double))
        if isinstance(happened[-1], StreamBroken):
            break
    assert at == 18
    assert "20000 octets" in broken(happened)


def test_a_stream_is_resumed_with_the_versions_that_are_the_documents_own() -> None:
    """Section 6.5: a tag is of a GET-mode resource; a filtered map has the version of the whole."""
    add = {"n": Subscription("net"), "f": Subscription("filtered"), "p": Subscription("props", {"entities": []})}
    client = Client(add)
    for name, own in (("n", "net"), ("f", "net"), ("p", "props")):
        client.take(event(f"{media.PROPERTY_MAP},{name}", doc("1", name=own)))
    again = client.resumption()
    assert {name: asked.tag for name, asked in again.items()} == {"n": "1", "f": None, "p": None}
    assert [name for name, asked in again.items() if asked.document is not None] == ["n"]
    assert UpdateStreamClient(URI, again).document("n") is not None

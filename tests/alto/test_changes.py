"""alto/_changes.py: what leads from one answer to the next, and what of it is done in another thread."""

import json
from typing import Any

import pytest
from alto_updates import Map, Server
from hypothesis import given
from hypothesis import strategies as st
from tips_bench import Bench

from alto import _changes as module
from alto import media
from alto._changes import MIN_AHEAD, NOTHING, Changes
from alto.costmap import CostMapResource
from alto.costs import CostMatrix
from alto.directory import Directory, Document, Query, RequestContext
from alto.networkmap import NetworkMap, NetworkMapResource
from alto.patch import json_patch, merge_patch
from alto.propertyresources import PropertyMapResource, PropertySource
from alto.server import AltoServer
from alto.tips import TipsService
from alto.types import CostType
from alto.updates import UpdateStreamService

MERGE, PATCH = media.MERGE_PATCH, media.JSON_PATCH
NUM = CostType("numerical", "routingcost")
NAMES = [f"PID{at}" for at in range(60)]
TREES = st.dictionaries(
    st.sampled_from("abcd"),
    st.none() | st.integers(0, 3) | st.lists(st.integers(0, 3)) | st.text(min_size=20),
    max_size=4,
)


def document(tree: Any) -> Document:
    return Document(media.COST_MAP, tree)


@given(TREES, TREES, st.sampled_from([(), (MERGE,), (PATCH,), (MERGE, PATCH)]))
def test_a_change_leads_to_the_new_document_and_is_shorter_than_it(old: Any, new: Any, types: tuple[str, ...]) -> None:
    found = Changes(types).between(document(old), document(new))
    if found is NOTHING:
        assert old == new
    elif found is not None:
        assert found.media_type in types
        apply = merge_patch if found.media_type == MERGE else json_patch
        assert apply(old, json.loads(found.text)) == new
        assert len(found.text) < len(document(new).body)
    else:
        assert old != new


def test_documents_that_differ_in_spelling_only_are_the_same() -> None:
    old, new = Document("a/b+json", body=b'{"a":1,"b":2}'), Document("a/b+json", body=b'{ "b": 2.0, "a": 1 }')
    assert Changes((MERGE,)).between(old, new) is NOTHING


def test_a_member_that_becomes_null_takes_a_json_patch_or_the_whole() -> None:
    """RFC 8895 section 6.3."""
    old, new = document({"a": 1, "b": "x" * 99}), document({"a": None, "b": "x" * 99})
    found = Changes((MERGE, PATCH)).between(old, new)
    assert found is not None
    assert found.media_type == PATCH
    assert Changes((MERGE,)).between(old, new) is None


def test_what_is_no_json_is_sent_as_a_whole() -> None:
    assert Changes((MERGE,)).between(Document("a/b+json", body=b"{"), Document("a/b+json", body=b"[")) is None


def test_large_documents_are_compared_ahead_or_not_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_COMPARED", 1000)
    old, new = (document({"a": at, "b": "x" * 500}) for at in (1, 2))
    changes = Changes((MERGE,))
    assert changes.between(old, new) is None
    changes.find_ahead(old, new)
    found = changes.between(old, new)
    assert found is not None
    assert found.text == b'{"a":2}'
    assert changes.between(old, document({"a": 2, "b": "x" * 500})) is None


def test_what_was_found_ahead_is_of_these_two_documents_only() -> None:
    one, other, new = (document({"a": at, "b": "x" * 500}) for at in (1, 2, 3))
    changes = Changes((MERGE,))
    changes.find_ahead(one, new)
    assert changes.between(document({"a": 3, "b": "x" * 500}), new) is NOTHING
    found = changes.between(document({"a": 3, "c": 1, "b": "x" * 500}), new)
    assert found is not None
    assert json.loads(found.text) == {"c": None}
    assert changes.between(one, other) is not NOTHING


def network(first: str = "10.0.0.0/16") -> NetworkMapResource:
    pids: dict[str, Any] = {
        name: {"ipv4": [f"{net}.{at}.{n}.0/24" for net in (11, 12) for n in range(256)]}
        for at, name in enumerate(NAMES)
    }
    return NetworkMapResource(
        "map", NetworkMap({**pids, "all": {"ipv4": ["0.0.0.0/0"], "ipv6": ["::/0"]}, "x": {"ipv4": [first]}})
    )


def costs(changed: int = 0) -> CostMapResource:
    """Costs of which some have changed."""
    rows = [[i * 1000.5 + j for j in range(60)] for i in range(60)]
    for at in range(changed):
        rows[at // 60][at % 60] += 1
    return CostMapResource("costs", "map", "num-rc", NUM, CostMatrix(NAMES, NAMES, rows))


def properties(first: str = "0") -> PropertyMapResource:
    values = {f"10.{at >> 8}.{at & 255}.0": {".isp": first if not at else f"{at}" * 9} for at in range(9_000)}
    return PropertyMapResource("props", PropertySource({"ipv4": values}))


def answer(resource: Any, *others: Any) -> Document:
    context = RequestContext(Directory([resource, *others]))
    made: Document = resource.answer(Query(context, random_bytes=bytes))
    return made


def test_costs_of_which_most_have_changed_are_sent_as_a_whole() -> None:
    before = answer(costs(), network())
    few, most = (Changes((MERGE,)).between(before, answer(costs(at), network())) for at in (1000, 3600))
    assert few is not None
    assert len(json.loads(few.text)["cost-map"]) == 17
    assert most is None


def test_what_is_got_by_get_is_one_document_while_nothing_changes() -> None:
    """Else it would be encoded for each stream that is opened, and could not be compared ahead."""
    for resource, others in ((network(), ()), (costs(), (network(),)), (properties(), ())):
        assert answer(resource, *others) is answer(resource, *others)
    resource = costs()
    first = answer(resource, network())
    assert answer(resource, network("10.1.0.0/16")) is not first


def test_a_server_compares_large_maps_while_it_prepares_and_not_while_others_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What `prepare` does may be done in another thread; `apply` and what streams send comes out of it."""
    services = [UpdateStreamService("updates", ["map", "props"]), TipsService("tips", ["map", "props"])]
    directory = Directory([network(), properties()], services=services, default_network_map="map")
    server = AltoServer(directory, epoch=0.0, base_uri="https://alto.example.com/")
    updates, tips = server.directory.services.values()
    bench, streams = Bench(network(), properties()), Server(network(), properties(), uses=["map", "props"])
    bench.service, streams.service = tips, updates
    bench.directory = streams.directory = directory
    assert min(len(answer(each).body) for each in (network(), properties())) > MIN_AHEAD
    stream = streams.open(m="map", p="props")
    streams.sent(stream)
    views = [bench.open(name)[0] for name in ("map", "props")]
    polls = [bench.pull(view, 1, 2) for view in views]
    prepared = server.prepare(network("10.9.0.0/16"), properties("new"))

    def too_late(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(module, "_between", too_late)
    server.apply(prepared, 0.0)
    server.handle_timer(0.0)
    names = [name for name, _ in streams.events(stream)]
    assert names == [f"{MERGE},m", f"{MERGE},p"]
    assert [poll.response.header("Content-Type") for poll in polls] == [MERGE, MERGE]


def test_what_only_some_may_see_or_is_small_is_not_asked_ahead() -> None:
    small, private = Map("small", 1), Map("private", ["x" * MIN_AHEAD], is_private=True)
    server = Server(small, private, uses=["small", "private"])
    server.post("", {"add": {"s": {"resource-id": "small"}, "p": {"resource-id": "private"}}}, user="ann")
    others = [Map("small", 2), Map("private", ["y" * MIN_AHEAD], is_private=True)]
    server.service.find_ahead(server.directory.replacing(*others))
    assert not any(other.asked for other in others)


def test_a_resource_that_fails_ahead_is_asked_again_when_it_is_due() -> None:
    server = Server(Map("large", ["x" * MIN_AHEAD]))
    stream = server.open(a="large")
    server.sent(stream)
    server.service.find_ahead(server.directory.replacing(Map("large", 1, is_gone=True)))
    server.replace(Map("large", 1))
    assert server.events(stream)[0][1]["data"] == 1

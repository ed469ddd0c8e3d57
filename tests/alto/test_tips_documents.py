"""Documents of several TIPS views that depend on each other."""

import itertools

import pytest

from alto import media
from alto.directory import Document
from alto.errors import StateError
from alto.tips_documents import DependentDocuments, dependencies
from alto.types import VTag


def network(tag):
    vtag = VTag("network", tag)
    return Document(media.NETWORK_MAP, {"meta": {"vtag": vtag.to_json()}, "network-map": {}}, vtag=vtag)


def costs(tag, network_tag):
    vtag, needed = VTag("costs", tag), VTag("network", network_tag)
    meta = {"vtag": vtag.to_json(), "dependent-vtags": [needed.to_json()]}
    return Document(media.COST_MAP, {"meta": meta, "cost-map": {}}, vtag=vtag)


def tags(documents):
    return {name: document.vtag.tag for name, document in documents.shown.items()}


def test_trap_14_a_map_is_shown_only_with_the_costs_that_belong_to_it():
    documents = DependentDocuments(["network", "costs"])
    assert not documents.take("network", network("N89"))
    assert documents.take("costs", costs("C101", "N89"))
    assert documents.take("costs", costs("C102", "N89"))
    assert not documents.take("network", network("N90"))
    assert tags(documents) == {"network": "N89", "costs": "C102"}
    assert documents.take("costs", costs("C103", "N90"))
    assert tags(documents) == {"network": "N90", "costs": "C103"}


def test_trap_14_costs_that_come_before_their_map_wait_for_it():
    documents = DependentDocuments(["network", "costs"])
    documents.take("network", network("N89"))
    documents.take("costs", costs("C102", "N89"))
    assert not documents.take("costs", costs("C103", "N90"))
    assert tags(documents) == {"network": "N89", "costs": "C102"}
    assert documents.take("network", network("N90"))
    assert tags(documents) == {"network": "N90", "costs": "C103"}


def test_whatever_the_order_the_figure_ends_with_its_last_versions():
    figure = [("network", network(f"N{n}")) for n in (89, 90, 91)]
    figure += [("costs", costs(f"C{n}", f"N{m}")) for n, m in ((101, 89), (102, 89), (103, 90), (104, 91))]
    for order in itertools.permutations(range(7), 7):
        # Each view gives its own versions in their order.
        if [n for n in order if n < 3] == [0, 1, 2] and [n for n in order if n >= 3] == [3, 4, 5, 6]:
            documents = DependentDocuments(["network", "costs"])
            for number in order:
                documents.take(*figure[number])
                if documents.shown:
                    (needed,) = dependencies(documents.shown["costs"])
                    assert documents.shown["network"].vtag == needed
            assert tags(documents) == {"network": "N91", "costs": "C104"}


def test_what_is_not_followed_is_not_waited_for():
    documents = DependentDocuments(["costs"])
    assert documents.take("costs", costs("C1", "N1"))
    with pytest.raises(StateError):
        documents.take("network", network("N1"))


@pytest.mark.parametrize(
    "meta", [None, 7, {}, {"dependent-vtags": None}, {"dependent-vtags": [7, {}, {"resource-id": 1, "tag": 2}]}]
)
def test_what_are_no_version_tags_are_no_dependencies(meta):
    assert dependencies(Document(media.COST_MAP, {"meta": meta})) == ()


def test_a_multipart_answer_has_none_that_are_known():
    assert dependencies(Document("multipart/related;boundary=b", body=b"--b--")) == ()

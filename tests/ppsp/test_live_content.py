"""`ppsp._live_content`: the window of chunks that is held of a live stream (RFC 7574 sections 6.2 and 7.9)."""

import pytest

from ppsp._content import Reception
from ppsp._live_content import LiveContent
from ppsp.constants import ContentIntegrityProtection
from ppsp.live import Injector
from ppsp.livekeys import LiveSigner
from ppsp.metadata import SwarmMetadata

KEY = LiveSigner.generate()
METADATA = SwarmMetadata(KEY.swarm_id, content_integrity=ContentIntegrityProtection.UNIFIED_MERKLE_TREE)
CONTENT = b"".join(number.to_bytes(4, "big") * 256 for number in range(64))
PARTS = Injector(METADATA, KEY, chunks_per_signature=4).feed(CONTENT, 0.0)


def chunk(number):
    return CONTENT[1024 * number : 1024 * (number + 1)]


def hashes(number):
    return {node[:2]: node[2] for node in PARTS[number // 4][1].uncles(number, left=-1, right=1 << 62)}


def accept(content, number):
    return content.accept(number, chunk(number), hashes(number))


def filled(window, upto, *, position=None):
    content = LiveContent(METADATA, window, None)
    content.position = position
    for munro, _, _ in PARTS[: upto // 4]:
        content.add_munro(munro)
        for number in range(munro.start, munro.end + 1):
            if content.keeps(number):
                assert accept(content, number) is Reception.ACCEPTED
        content.merge()
        content.prune()
    return content


def test_a_chunk_is_held_when_its_munro_and_its_hashes_prove_it():
    content = LiveContent(METADATA, 8, None)
    assert accept(content, 0) is Reception.UNVERIFIABLE
    content.add_munro(PARTS[0][0])
    assert content.edge == 4
    assert content.accept(0, chunk(0), {}) is Reception.UNVERIFIABLE
    assert content.accept(0, chunk(1), hashes(0)) is Reception.WRONG
    assert accept(content, 0) is Reception.ACCEPTED
    assert accept(content, 0) is Reception.DUPLICATE
    assert content.holds(0)
    assert content.merge() == [(0, 1)]
    assert list(content.have) == [(0, 1)]


@pytest.mark.parametrize("position", [None, 28])
def test_without_a_viewer_who_is_behind_only_the_window_is_held(position):
    content = filled(8, 32, position=position)
    assert list(content.have) == [(24, 32)]
    assert sorted(content._chunks) == list(range(24, 32))
    assert content.chunk(24)[0] == chunk(24)
    assert content.chunk(23) is None


def test_what_a_viewer_who_is_behind_will_play_is_held_too():
    content = filled(8, 64, position=4)
    assert list(content.have) == [(4, 12), (56, 64)]
    content.position = 10
    content.prune()
    assert list(content.have) == [(10, 12), (56, 64)]
    assert content.munro_of(11) is not None
    assert content.munro_of(4) is None
    assert accept(content, 20) is Reception.DUPLICATE  # neither now nor soon of interest


def test_the_newest_munro_is_the_rightmost():
    content = LiveContent(METADATA, 64, None)
    for munro, _, _ in (PARTS[3], PARTS[0], PARTS[5], PARTS[4]):
        content.add_munro(munro)
    assert content.newest == PARTS[5][0]
    assert content.edge == 24


def test_a_munro_that_is_filled_by_half_proves_the_end_with_its_last_chunk():
    injector = Injector(METADATA, KEY, chunks_per_signature=4)
    injector.feed(CONTENT[:2000], 0.0)
    munro, tree, chunks = injector.end(0.0)
    content = LiveContent(METADATA, 64, None)
    content.add_munro(munro)
    assert content.end is None
    for number in (0, 1):
        uncles = {node[:2]: node[2] for node in tree.uncles(number, left=-1, right=1 << 62)}
        assert content.accept(number, chunks[number], uncles) is Reception.ACCEPTED
    assert content.end == 2


def test_another_broadcast_under_the_same_key_lifts_the_end():
    injector = Injector(METADATA, KEY, chunks_per_signature=4)
    ((munro, _, _),) = injector.feed(CONTENT[:4096], 0.0)
    content = LiveContent(METADATA, 64, None)
    content.add_munro(munro)
    content.add_munro(injector.end(0.0)[0])
    assert content.end == 4
    content.add_munro(PARTS[5][0])
    assert content.end is None
    assert content.edge == 24


def test_the_end_of_an_earlier_broadcast_does_not_end_one_that_goes_on():
    """Its munro may be replayed within the age limit, or come late from a peer that was away."""
    former = Injector(METADATA, KEY, chunks_per_signature=4, first_chunk=64)
    (old, tree, _) = former.end(0.0)
    content = LiveContent(METADATA, 64, None)
    for munro, subtree, _ in Injector(METADATA, KEY, chunks_per_signature=4, first_chunk=128).feed(CONTENT, 1.0):
        content.add_munro(munro, subtree)
    content.add_munro(old, tree)
    assert content.end is None

"""`ppsp.live`: what a source signs and what a viewer believes (RFC 7574 sections 6.1.1 and 6.1.2)."""

import functools
import hashlib

import pytest

from ppsp.constants import ChunkAddressing, ContentIntegrityProtection, LiveSignatureAlgorithm, MerkleHashFunction
from ppsp.errors import StateError
from ppsp.live import (
    ChunkSigner,
    Injector,
    Munro,
    MunroVerdict,
    MunroVerifier,
    codec_of,
    is_munro,
    ntp_age,
    ntp_timestamp,
    plaintext,
)
from ppsp.livekeys import LiveKey, LiveSigner
from ppsp.merkle import MerkleTree, hash_chunks
from ppsp.metadata import SwarmMetadata

NOW = 1_700_000_000.0


@functools.cache
def signer(algorithm=LiveSignatureAlgorithm.ECDSAP256SHA256):
    return LiveSigner.generate(algorithm)


def metadata(cipm=ContentIntegrityProtection.UNIFIED_MERKLE_TREE, key=None, **changes):
    return SwarmMetadata((key or signer()).swarm_id, content_integrity=cipm, **changes)


def signed(count=8, width=4, key=None, **changes):
    found = Injector(metadata(key=key, **changes), key or signer(), chunks_per_signature=width)
    content = bytes(range(256)) * 4 * count
    return [munro for munro, _, _ in found.feed(content[: 1024 * count], NOW)]


def test_the_ntp_timestamp_has_seconds_since_1900_and_their_fraction():
    """RFC 5905 section 6; 2208988800 seconds lie between 1900 and 1970 (its figure 4)."""
    assert ntp_timestamp(0.0) == 2_208_988_800 << 32
    assert ntp_timestamp(0.5) == (2_208_988_800 << 32) + (1 << 31)
    assert ntp_age(ntp_timestamp(NOW), NOW + 7.5) == pytest.approx(7.5)
    assert ntp_age(ntp_timestamp(NOW), NOW - 7.5) == pytest.approx(-7.5)


def test_the_era_of_ntp_may_end_between_signing_and_looking():
    """The first era ends on 2036-02-07 06:28:16 UTC."""
    turn = (1 << 32) - 2_208_988_800
    assert ntp_timestamp(turn) == 0
    assert ntp_age(ntp_timestamp(turn - 1.0), turn + 1.0) == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("addressing", "specification"),
    [
        (ChunkAddressing.CHUNK32, bytes.fromhex("0000000400000007")),
        (ChunkAddressing.CHUNK64, bytes.fromhex("00000000000000040000000000000007")),
    ],
)
@pytest.mark.parametrize("algorithm", LiveSignatureAlgorithm)
def test_the_signature_is_over_specification_timestamp_and_hash(addressing, specification, algorithm):
    """Section 6.1.2.2, assembled here by hand."""
    key = signer(algorithm)
    munro = signed(key=key, chunk_addressing=addressing)[1]
    assert (munro.start, munro.end) == (4, 7)
    text = specification + munro.ntp_timestamp.to_bytes(8, "big") + munro.hash
    assert LiveKey(key.swarm_id).verify(munro.signature, text)
    assert (
        plaintext(codec_of(metadata(key=key, chunk_addressing=addressing)), 4, 7, munro.ntp_timestamp, munro.hash)
        == text
    )
    assert ntp_age(munro.ntp_timestamp, NOW) == pytest.approx(0.0)


@pytest.mark.parametrize("function", MerkleHashFunction)
def test_the_stream_becomes_static_content_when_it_ends(function):
    """Section 6.1.2.1: the munros are nodes of the tree over everything, whose root then is a swarm ID."""
    content = bytes(range(251)) * 47
    injector = Injector(metadata(merkle_hash_function=function), signer(), chunks_per_signature=4)
    munros = [munro for munro, _, _ in injector.feed(content, NOW)]
    munros.append(injector.end(NOW)[0])
    tree = MerkleTree.from_leaves(hash_chunks(content, 1024, function), function)
    assert [(munro.start, munro.end) for munro in munros] == [(0, 3), (4, 7), (8, 11)]
    assert [tree.node(munro.start, munro.end) for munro in munros] == [munro.hash for munro in munros]


def test_chunks_wait_until_they_fill_a_munro():
    injector = Injector(metadata(), signer(), chunks_per_signature=2)
    assert injector.feed(b"x" * 2047, NOW) == []
    assert injector.waiting == 2047
    ((munro, _, chunks),) = injector.feed(b"xy", NOW)
    assert (munro.start, munro.end) == (0, 1)
    assert chunks == [b"x" * 1024] * 2
    assert injector.waiting == 1


def test_the_end_is_signed_at_the_full_width_with_empty_leaves():
    injector = Injector(metadata(), signer(), chunks_per_signature=4)
    injector.feed(b"x" * 1500, NOW)
    munro, tree, chunks = injector.end(NOW)
    assert (munro.start, munro.end) == (0, 3)
    assert [len(chunk) for chunk in chunks] == [1024, 476]
    assert tree.ends_after(1)
    with pytest.raises(StateError):
        injector.end(NOW)
    with pytest.raises(StateError):
        injector.feed(b"x", NOW)


def test_an_end_without_chunks_is_an_empty_munro():
    injector = Injector(metadata(), signer(), chunks_per_signature=2)
    injector.feed(b"x" * 2048, NOW)
    munro, tree, chunks = injector.end(NOW)
    assert (munro.start, munro.end, munro.hash, chunks) == (2, 3, bytes(32), [])
    assert tree.is_empty


@pytest.mark.parametrize("width", [-2, 0, 1, 3, 6, 100, 8192])
def test_the_chunks_per_signature_are_a_power_of_two_above_one(width):
    """Section 6.1.2.1: both MUSTs."""
    with pytest.raises(StateError):
        Injector(metadata(), signer(), chunks_per_signature=width)


def test_a_source_starts_at_a_munro_with_its_own_key():
    with pytest.raises(StateError):
        Injector(metadata(), signer(), chunks_per_signature=4, first_chunk=6)
    other = LiveSigner.generate()
    with pytest.raises(StateError):
        Injector(metadata(), other)
    with pytest.raises(StateError):
        ChunkSigner(metadata(ContentIntegrityProtection.SIGN_ALL), other)
    started = Injector(metadata(), signer(), chunks_per_signature=4, first_chunk=64)
    ((munro, _, _),) = started.feed(bytes(4096), NOW)
    assert (munro.start, munro.end) == (64, 67)


def test_a_munro_of_the_source_is_believed_once_it_is_checked():
    verifier = MunroVerifier(metadata())
    assert verifier.width is None
    assert verifier.check(signed()[0], NOW + 1, asked=False) is MunroVerdict.GOOD
    assert verifier.width == 4


@pytest.mark.parametrize("field", ["start", "hash", "ntp_timestamp", "signature"])
def test_a_munro_of_which_anything_was_changed_is_forged(field):
    munro = signed()[1]
    changes = {
        "start": (8, 11),
        "hash": hashlib.sha256(b"another").digest(),
        "ntp_timestamp": munro.ntp_timestamp + 1,
        "signature": bytes(64),
    }
    value = changes[field]
    start, end = value if field == "start" else (munro.start, munro.end)
    fields = {"hash": munro.hash, "ntp_timestamp": munro.ntp_timestamp, "signature": munro.signature}
    if field != "start":
        fields[field] = value
    verdict = MunroVerifier(metadata()).check(Munro(start, end, **fields), NOW, asked=False)
    assert verdict is MunroVerdict.FORGED


def test_a_munro_under_another_key_is_forged():
    other = LiveSigner.generate()
    assert MunroVerifier(metadata()).check(signed(key=other)[0], NOW, asked=False) is MunroVerdict.FORGED


def test_an_old_munro_counts_only_for_who_asked_for_its_chunks():
    """Sections 6.1.2.4 (too old: MUST discard) and 6.1.2.3: a late viewer asks for chunks whose munro is old."""
    munro = signed()[0]
    verifier = MunroVerifier(metadata())
    assert verifier.check(munro, NOW + 31, asked=False) is MunroVerdict.TOO_OLD
    assert verifier.check(munro, NOW + 31, asked=True) is MunroVerdict.GOOD
    assert verifier.check(munro, NOW + 29, asked=False) is MunroVerdict.GOOD
    assert MunroVerifier(metadata(), max_age=None).check(munro, NOW + 1e6, asked=False) is MunroVerdict.GOOD


def test_a_clock_that_is_behind_does_not_matter():
    assert MunroVerifier(metadata()).check(signed()[0], NOW - 100, asked=False) is MunroVerdict.GOOD


def test_the_width_of_the_first_munro_is_that_of_all():
    """Section 6.1.2.1: NCHUNKS_PER_SIG MUST be fixed. It is not on the wire but for the munro's chunks."""
    verifier = MunroVerifier(metadata())
    assert verifier.check(signed(width=4)[0], NOW, asked=False) is MunroVerdict.GOOD
    assert verifier.check(signed(width=2)[2], NOW, asked=True) is MunroVerdict.MISSHAPEN


@pytest.mark.parametrize("span", [(0, 0), (0, 2), (1, 2), (2, 5), (0, 8191), (5, 4)], ids=str)
def test_what_no_source_signs_is_no_munro(span):
    assert not is_munro(*span)
    munro = Munro(*span, bytes(32), ntp_timestamp(NOW), bytes(64))
    assert MunroVerifier(metadata()).check(munro, NOW, asked=True) is MunroVerdict.MISSHAPEN


def test_sign_all_signs_specification_timestamp_and_chunk():
    """Section 6.1.1, assembled here by hand."""
    sign_all = ChunkSigner(metadata(ContentIntegrityProtection.SIGN_ALL), signer())
    ((number, chunk, proof),) = sign_all.feed(b"x" * 1500, NOW)
    text = bytes.fromhex("0000000000000000") + proof[:8] + b"x" * 1024
    assert (number, chunk) == (0, b"x" * 1024)
    assert LiveKey(signer().swarm_id).verify(proof[8:], text)
    ((number, chunk, _),) = sign_all.end(NOW)
    assert (number, chunk) == (1, b"x" * 476)

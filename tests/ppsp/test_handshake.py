"""`ppsp._handshake`: what goes into a HANDSHAKE, and the check of what came in one (sections 3.1.1 and 7)."""

import attrs
import pytest

from ppsp._handshake import SUPPORTED_MESSAGES, initiating_options, problem_with, replying_options
from ppsp.constants import ChunkAddressing, MerkleHashFunction, MessageType
from ppsp.metadata import SwarmMetadata
from ppsp.options import ProtocolOptions

METADATA = SwarmMetadata(bytes(range(32)))
FIRST = ProtocolOptions(
    version=1,
    minimum_version=1,
    swarm_id=METADATA.swarm_id,
    content_integrity=1,
    merkle_hash_function=2,
    chunk_addressing=2,
    chunk_size=1024,
)
REPLY = attrs.evolve(FIRST, minimum_version=None, swarm_id=None)


def problem(options, *, initiating=True, strict=False):
    return problem_with(options, METADATA, initiating=initiating, strict=strict)


def test_the_first_handshake_has_every_option_that_the_initiator_must_send():
    """Sections 7.2 to 7.6, 7.8 and 7.11: version, minimum version, swarm ID, CIPM, MHF, CAM, chunk size."""
    options = initiating_options(METADATA)
    assert attrs.evolve(options, supported_messages=None) == FIRST


def test_the_reply_has_the_metadata_and_the_version():
    """Section 3.1.1 step 2: the metadata of the swarm and the capabilities."""
    options = replying_options(METADATA, FIRST)
    assert options.version == 1
    assert options.content_integrity == 1
    assert options.merkle_hash_function == 2
    assert options.chunk_addressing == 2
    assert options.chunk_size == 1024


@pytest.mark.parametrize("options", [initiating_options(METADATA), replying_options(METADATA, FIRST)])
def test_the_subset_of_messages_is_announced(options):
    """Section 7.10: who supports a proper subset MUST say so. No live messages and no peer exchange here."""
    missing = {
        MessageType.PEX_REQ,
        MessageType.PEX_RESV4,
        MessageType.PEX_RESV6,
        MessageType.PEX_RESCERT,
        MessageType.SIGNED_INTEGRITY,
    }
    assert options.supported_messages == set(MessageType) - missing == SUPPORTED_MESSAGES


def test_the_options_are_sorted_and_end_with_the_end_option():
    """Sections 7 and 7.1: ascending by code, version first, 255 last. Octets written out by hand."""
    expected = (
        "0001 0101 020020" + bytes(range(32)).hex() + "0301 0402 0602"
        # HANDSHAKE, DATA, ACK, HAVE, INTEGRITY, REQUEST, CANCEL, CHOKE, UNCHOKE: 11111000 11110000
        "0802f8f0 0900000400 ff"
    )
    assert initiating_options(METADATA).encode() == bytes.fromhex(expected)


def test_the_metadata_of_other_swarms_are_announced_as_they_are():
    """SHA-1, 64-bit chunk ranges, 8 KiB."""
    metadata = SwarmMetadata(
        bytes(20),
        chunk_size=8192,
        chunk_addressing=ChunkAddressing.CHUNK64,
        merkle_hash_function=MerkleHashFunction.SHA1,
    )
    options = initiating_options(metadata)
    assert (options.merkle_hash_function, options.chunk_addressing, options.chunk_size) == (0, 4, 8192)


def test_a_peer_that_predates_the_chunk_size_gets_none_in_the_reply():
    """libswift drops a HANDSHAKE with option 9 and does not send it (requirements 4.3)."""
    options = replying_options(METADATA, attrs.evolve(FIRST, chunk_size=None))
    assert options.chunk_size is None
    assert options.supported_messages is None


def test_matching_options_are_no_problem():
    assert problem(FIRST) is None
    assert problem(REPLY, initiating=False) is None
    assert problem(FIRST, strict=True) is None
    assert problem(REPLY, initiating=False, strict=True) is None


def test_our_own_options_pass_our_own_check():
    assert problem(initiating_options(METADATA), strict=True) is None
    assert problem(replying_options(METADATA, FIRST), initiating=False, strict=True) is None


@pytest.mark.parametrize(
    "change",
    [
        {"version": None},
        {"minimum_version": None},
        {"swarm_id": None},
        {"content_integrity": None},
        {"chunk_addressing": None},
    ],
    ids=str,
)
def test_a_first_handshake_without_a_mandatory_option_fails(change):
    """Sections 7.2, 7.3, 7.4, 7.5, 7.8: each MUST be there."""
    assert problem(attrs.evolve(FIRST, **change))


@pytest.mark.parametrize(
    "change", [{"version": None}, {"content_integrity": None}, {"chunk_addressing": None}], ids=str
)
def test_a_reply_without_a_mandatory_option_fails(change):
    """The same, but for the minimum version and the swarm ID, which only the initiator MUST send."""
    assert problem(attrs.evolve(REPLY, **change), initiating=False)


@pytest.mark.parametrize(
    "change",
    [
        {"swarm_id": bytes(32)},
        {"swarm_id": b""},
        {"swarm_id": METADATA.swarm_id[:20]},
        {"swarm_id": METADATA.swarm_id + b"\0"},
        {"content_integrity": 0},
        {"content_integrity": 2},
        {"content_integrity": 3},
        {"content_integrity": 200},
        {"merkle_hash_function": 0},
        {"merkle_hash_function": 1},
        {"merkle_hash_function": 77},
        {"chunk_addressing": 0},
        {"chunk_addressing": 1},
        {"chunk_addressing": 3},
        {"chunk_addressing": 4},
        {"chunk_addressing": 99},
        {"chunk_size": 0},
        {"chunk_size": 512},
        {"chunk_size": 0xFFFFFFFF},
    ],
    ids=str,
)
@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("initiating", [False, True])
def test_other_metadata_fail(change, strict, initiating):
    """Section 3.1.1: the options are an end-to-end check that both are in the same swarm."""
    options = attrs.evolve(FIRST if initiating else REPLY, **change)
    assert problem(options, initiating=initiating, strict=strict)


@pytest.mark.parametrize("change", [{"chunk_size": None}, {"merkle_hash_function": None}], ids=str)
def test_what_older_peers_leave_out_is_taken_from_the_metadata_unless_strict(change):
    """Options 9 and 4 (requirements 4.3, T6): lenient by default; the metadata are trusted."""
    assert problem(attrs.evolve(FIRST, **change)) is None
    assert problem(attrs.evolve(REPLY, **change), initiating=False) is None
    assert problem(attrs.evolve(FIRST, **change), strict=True)
    assert problem(attrs.evolve(REPLY, **change), initiating=False, strict=True)


@pytest.mark.parametrize(
    ("version", "minimum", "passes"),
    [
        (1, 1, True),
        (2, 1, True),
        (255, 1, True),
        (1, 0, True),
        (2, 0, True),
        (2, 2, False),
        (0, 0, False),
        (1, 2, False),
    ],
)
def test_the_version_spoken_is_the_lower_maximum_if_both_minima_allow_it(version, minimum, passes):
    """Section 7.3: RFC 6709 section 4.1, strategy 5. Version 0 is reserved (Table 3)."""
    options = attrs.evolve(FIRST, version=version, minimum_version=minimum)
    assert (problem(options) is None) is passes


def test_a_reply_may_leave_out_the_swarm_id_or_repeat_it():
    """Section 7.4: MAY, "as an end-to-end check"."""
    assert problem(REPLY, initiating=False) is None
    assert problem(attrs.evolve(REPLY, swarm_id=METADATA.swarm_id), initiating=False) is None
    assert problem(attrs.evolve(REPLY, swarm_id=bytes(32)), initiating=False)


def test_a_reply_may_give_a_minimum_version():
    assert problem(attrs.evolve(REPLY, minimum_version=1), initiating=False) is None
    assert problem(attrs.evolve(REPLY, minimum_version=2, version=2), initiating=False)


def test_a_problem_is_said_in_a_few_words():
    """It becomes the reason of an event; the peer is told nothing."""
    text = problem(attrs.evolve(FIRST, chunk_size=512))
    assert "chunk size" in text
    assert len(text) < 80

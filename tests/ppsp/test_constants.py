"""The registries of RFC 7574, as its tables print them."""

import hashlib

from ppsp.constants import (
    CHANNEL_ID_SIZE,
    DEFAULT_CHUNK_SIZE,
    HASH_SIZE,
    VARIABLE_CHUNK_SIZE,
    VERSION,
    ChunkAddressing,
    ContentIntegrityProtection,
    LiveSignatureAlgorithm,
    MerkleHashFunction,
    MessageType,
    ProtocolOption,
)


def test_message_types_are_those_of_table_7() -> None:
    """Section 8.2."""
    table = (
        "HANDSHAKE DATA ACK HAVE INTEGRITY PEX_RESv4 PEX_REQ SIGNED_INTEGRITY REQUEST CANCEL CHOKE UNCHOKE PEX_RESv6 "
        "PEX_REScert"
    )
    assert [member.name for member in MessageType] == table.upper().split()
    assert [int(member) for member in MessageType] == list(range(14))


def test_protocol_options_are_those_of_table_2() -> None:
    """Section 7."""
    table = {
        "Version": 0,
        "Minimum Version": 1,
        "Swarm Identifier": 2,
        "Content Integrity Protection Method": 3,
        "Merkle Hash Tree Function": 4,
        "Live Signature Algorithm": 5,
        "Chunk Addressing Method": 6,
        "Live Discard Window": 7,
        "Supported Messages": 8,
        "Chunk Size": 9,
        "End": 255,
    }
    assert {member.name: int(member) for member in ProtocolOption} == {
        name.upper().replace(" ", "_"): code for name, code in table.items()
    }


def test_values_of_the_options_are_those_of_tables_4_to_6() -> None:
    """Sections 7.5, 7.6 and 7.8."""
    assert [member.name for member in ContentIntegrityProtection] == [
        "NONE",
        "MERKLE_HASH_TREE",
        "SIGN_ALL",
        "UNIFIED_MERKLE_TREE",
    ]
    assert [member.name for member in MerkleHashFunction] == ["SHA1", "SHA224", "SHA256", "SHA384", "SHA512"]
    assert [member.name for member in ChunkAddressing] == ["BIN32", "BYTE64", "CHUNK32", "BIN64", "CHUNK64"]
    for registry in (ContentIntegrityProtection, MerkleHashFunction, ChunkAddressing):
        assert [int(member) for member in registry] == list(range(len(registry)))


def test_signature_algorithms_have_their_dnssec_numbers() -> None:
    """Section 7.7; the numbers are those of RFC 4034 appendix A.1, RFC 5702, RFC 6605 section 5 and RFC 8080."""
    assert {member.name: int(member) for member in LiveSignatureAlgorithm} == {
        "RSASHA1": 5,
        "RSASHA256": 8,
        "ECDSAP256SHA256": 13,
        "ECDSAP384SHA384": 14,
        "ED25519": 15,
    }


def test_hash_sizes_are_those_of_the_functions() -> None:
    """Section 7.6."""
    assert {function: hashlib.new(function.name).digest_size for function in MerkleHashFunction} == dict(HASH_SIZE)


def test_the_other_numbers_are_those_of_the_text() -> None:
    """Sections 7.2, 7.11, 8.1 and 8.3."""
    assert (VERSION, DEFAULT_CHUNK_SIZE, VARIABLE_CHUNK_SIZE, CHANNEL_ID_SIZE) == (1, 1024, 0xFFFFFFFF, 4)

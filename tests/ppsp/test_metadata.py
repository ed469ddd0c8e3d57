"""`ppsp.metadata`: what a peer must know before it joins, and the URI that says it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ppsp.constants import VARIABLE_CHUNK_SIZE, ChunkAddressing, ContentIntegrityProtection, MerkleHashFunction
from ppsp.errors import MetadataError, PpspError
from ppsp.metadata import SwarmMetadata, SwarmUri

# SHA-256 and SHA-1 root hashes of 7162 octets, computed by libswift (shared vectors).
ROOT = bytes.fromhex("1140e810b61f13f887a6626b32b07d4cd44731481b8ac911dd1ba12f75bd9d2d")
SHA1_ROOT = bytes.fromhex("771baa14ad60d82025d037c350f26942bd5b7f5a")


def test_the_defaults_are_those_of_table_8():
    """Section 11.1.6: Merkle hash tree, SHA-256, 32-bit chunk ranges, 1024 octets."""
    metadata = SwarmMetadata(ROOT)
    assert metadata.chunk_size == 1024
    assert metadata.chunk_addressing is ChunkAddressing.CHUNK32
    assert metadata.content_integrity is ContentIntegrityProtection.MERKLE_HASH_TREE
    assert metadata.merkle_hash_function is MerkleHashFunction.SHA256
    assert metadata.content_size is None
    assert metadata.hash_size == 32


def test_a_swarm_may_use_sha1():
    """Section 7.6: implementations MUST support SHA-1 and SHA-256."""
    metadata = SwarmMetadata(SHA1_ROOT, merkle_hash_function=MerkleHashFunction.SHA1)
    assert metadata.hash_size == 20


@pytest.mark.parametrize("addressing", [ChunkAddressing.CHUNK32, ChunkAddressing.CHUNK64])
def test_a_swarm_may_use_both_mandatory_addressing_methods(addressing):
    """Section 7.8: implementations MUST support 32-bit and 64-bit chunk ranges."""
    assert SwarmMetadata(ROOT, chunk_addressing=addressing).chunk_addressing is addressing


@pytest.mark.parametrize(
    "changes",
    [
        {"swarm_id": SHA1_ROOT},
        {"swarm_id": b""},
        {"swarm_id": ROOT + b"\0"},
        {"merkle_hash_function": MerkleHashFunction.SHA512},
        {"chunk_size": 0},
        {"chunk_size": -1},
        {"chunk_size": 60_001},
        {"chunk_size": 0xFFFFFFFE},
        {"chunk_count": 7},
        {"chunk_size": 0xFFFFFFFF, "chunk_count": 0},
        {"chunk_size": 0xFFFFFFFF, "chunk_count": 2**26 + 1},
        {"chunk_size": 0xFFFFFFFF, "content_size": 7162},
        {"chunk_size": 0xFFFFFFFF, "chunk_addressing": ChunkAddressing.BYTE64},
        {"content_size": 0},
        {"content_size": -5},
        {"membership_key": b""},
        {"membership_key": bytes(257)},
        {"content_integrity": ContentIntegrityProtection.NONE},
        {"content_integrity": ContentIntegrityProtection.SIGN_ALL},
    ],
    ids=str,
)
def test_metadata_that_no_swarm_can_have_are_refused(changes):
    """A wrong swarm ID length, sizes that make no tree, methods that are not there."""
    with pytest.raises(MetadataError):
        SwarmMetadata(**{"swarm_id": ROOT, **changes})


def test_the_error_is_one_of_the_package_and_a_value_error():
    """Both `except PpspError` and `except ValueError` catch it."""
    assert issubclass(MetadataError, PpspError)
    assert issubclass(MetadataError, ValueError)


def test_a_uri_is_a_magnet_link_with_the_swarm_id_in_hex():
    """The form is ours: no RFC has one."""
    assert str(SwarmUri(SwarmMetadata(ROOT))) == f"magnet:?xt=urn:ppspp:{ROOT.hex()}"


def test_a_uri_says_what_differs_from_the_defaults():
    """Section 8.1: the chunk size MUST be part of the metadata."""
    metadata = SwarmMetadata(
        SHA1_ROOT,
        chunk_size=8192,
        chunk_addressing=ChunkAddressing.CHUNK64,
        merkle_hash_function=MerkleHashFunction.SHA1,
        content_size=7162,
    )
    uri = str(SwarmUri(metadata, ("http://t.example:8700/a?b=c&d",), "a b.mp4"))
    assert f"xt=urn:ppspp:{SHA1_ROOT.hex()}" in uri
    for part in ("x.cs=8192", "x.mhf=0", "x.cam=4", "xl=7162", "dn=a%20b.mp4"):
        assert part in uri
    assert "tr=http%3A%2F%2Ft.example%3A8700%2Fa%3Fb%3Dc%26d" in uri
    assert SwarmUri.parse(uri) == SwarmUri(metadata, ("http://t.example:8700/a?b=c&d",), "a b.mp4")


def test_a_uri_says_that_chunk_sizes_vary_and_how_many_chunks_there_are():
    """Sections 7.11 and 8.1: "or the fact that it is variable, MUST be part of the swarm's metadata"."""
    metadata = SwarmMetadata(ROOT, chunk_size=VARIABLE_CHUNK_SIZE, chunk_count=7)
    assert metadata.is_variable
    assert metadata.expected_chunks == 7
    uri = str(SwarmUri(metadata))
    assert uri == f"magnet:?xt=urn:ppspp:{ROOT.hex()}&x.cc=7&x.cs=4294967295"
    assert SwarmUri.parse(uri).metadata == metadata
    assert not SwarmMetadata(ROOT).is_variable


def test_byte_ranges_of_chunks_that_vary_are_refused_in_one_sentence():
    """Section 4.1.2 counts octets of the content, which nobody can who lacks a chunk before them."""
    with pytest.raises(
        MetadataError, match=r"^byte ranges cannot name chunks of variable size: take chunk ranges or bins$"
    ):
        SwarmUri.parse(f"magnet:?xt=urn:ppspp:{ROOT.hex()}&x.cs=4294967295&x.cam=1")


@given(
    function=st.sampled_from(list(MerkleHashFunction)),
    addressing=st.sampled_from([ChunkAddressing.CHUNK32, ChunkAddressing.CHUNK64]),
    chunk_size=st.integers(1, 60_000),
    content_size=st.none() | st.integers(1, 2**60),
    membership_key=st.none() | st.binary(min_size=1, max_size=256),
    trackers=st.lists(st.text(min_size=1, max_size=40).filter(str.isprintable), max_size=4),
    data=st.data(),
)
def test_every_uri_reads_back_as_what_it_was_made_from(
    function, addressing, chunk_size, content_size, membership_key, trackers, data
):
    """Whatever the metadata and however odd the tracker's address."""
    size = {0: 20, 1: 28, 2: 32, 3: 48, 4: 64}[function]
    metadata = SwarmMetadata(
        data.draw(st.binary(min_size=size, max_size=size)),
        chunk_size=chunk_size,
        chunk_addressing=addressing,
        merkle_hash_function=function,
        content_size=content_size,
        membership_key=membership_key,
    )
    uri = SwarmUri(metadata, tuple(trackers))
    assert SwarmUri.parse(str(uri)) == uri


def test_the_parts_of_a_uri_may_stand_in_any_order_among_others():
    """Other name spaces of the same magnet link are passed over."""
    uri = f"magnet:?tr=http://a/&xt=urn:btih:0123&dn=film&xt=urn:ppspp:{ROOT.hex().upper()}&x.other=1&tr=http://b/"
    parsed = SwarmUri.parse(uri)
    assert parsed.metadata.swarm_id == ROOT
    assert parsed.trackers == ("http://a/", "http://b/")
    assert parsed.name == "film"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "film.mp4",
        "http://example/film.mp4",
        "magnet:",
        "magnet:?",
        "magnet:?dn=film",
        "magnet:?xt=urn:btih:0123456789abcdef",
        "magnet:?xt=urn:ppspp:",
        "magnet:?xt=urn:ppspp:zz",
        f"magnet:?xt=urn:ppspp:{ROOT.hex()[:-2]}",
        f"magnet:?xt=urn:ppspp:{SHA1_ROOT.hex()}",
        f"magnet:?xt=urn:ppspp:{ROOT.hex()}&xt=urn:ppspp:{ROOT.hex()}",
        f"magnet:?xt=urn:ppspp:{ROOT.hex()}&x.cs=0",
        f"magnet:?xt=urn:ppspp:{ROOT.hex()}&x.cs=-1",
        f"magnet:?xt=urn:ppspp:{ROOT.hex()}&x.cs=1e3",
        f"magnet:?xt=urn:ppspp:{ROOT.hex()}&x.cs=" + "9" * 5000,
        f"magnet:?xt=urn:ppspp:{ROOT.hex()}&x.cs=\N{ARABIC-INDIC DIGIT ONE}",
        f"magnet:?xt=urn:ppspp:{ROOT.hex()}&x.cam=77",
        f"magnet:?xt=urn:ppspp:{ROOT.hex()}&x.mhf=9",
        f"magnet:?xt=urn:ppspp:{ROOT.hex()}&x.cipm=2",
        f"magnet:?xt=urn:ppspp:{ROOT.hex()}&xl=0",
        f"magnet:?xt=urn:ppspp:{ROOT.hex()}&x.ca=A",
        f"magnet:?xt=urn:ppspp:{ROOT.hex()}&x.ca=",
        f"magnet:?xt=urn:ppspp:{ROOT.hex()}&x.ca=AA*A",
        f"magnet:?xt=urn:ppspp:{ROOT.hex()}&x.ca={'A' * 400}",
        f"magnet:?xt=urn:ppspp:{ROOT.hex()}&tr",
        "magnet:?xt=urn:ppspp:" + "00" * 5000,
        "magnet:?" + "&".join(["tr=a"] * 100),
        "magnet://[half?xt=urn:ppspp:00",
    ],
)
def test_a_wrong_uri_is_refused_with_one_sentence(text):
    """The command line shows the text of the error as its one line."""
    with pytest.raises(MetadataError) as caught:
        SwarmUri.parse(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


@given(st.text(max_size=300))
def test_any_text_is_a_uri_or_a_metadata_error(text):
    """Nothing else comes out."""
    for candidate in (text, "magnet:?" + text, f"magnet:?xt=urn:ppspp:{ROOT.hex()}&{text}"):
        try:
            assert isinstance(SwarmUri.parse(candidate), SwarmUri)
        except MetadataError:
            continue


@pytest.mark.parametrize(
    ("suggested", "name"),
    [
        ("film.mp4", "film.mp4"),
        ("/etc/passwd", "passwd"),
        ("..%2F..%2F.ssh%2Fauthorized_keys", "authorized_keys"),
        ("..", None),
        (".", None),
        ("a%2F", None),
        ("C:%5CWindows%5Cwin.ini", "win.ini"),
        ("a%00b%0Ac", "abc"),
        ("x" * 1000, "x" * 255),
        ("", None),
    ],
)
def test_a_suggested_file_name_never_chooses_a_folder(suggested, name):
    """A link comes from a stranger."""
    assert SwarmUri.parse(f"magnet:?xt=urn:ppspp:{ROOT.hex()}&dn={suggested}&x.a=b").name == name


def test_only_so_many_trackers_are_kept():
    """A link is no reason to ask a hundred servers."""
    trackers = "&".join(f"tr=http://t{number}/" for number in range(50))
    assert len(SwarmUri.parse(f"magnet:?xt=urn:ppspp:{ROOT.hex()}&{trackers}").trackers) == 32

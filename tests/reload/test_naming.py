"""What names become (RFC 6940 sections 6.3.2 and 10.2)."""

import pytest

from reload.errors import EncodeError
from reload.naming import overlay_hash, resource_id, wildcard


def test_the_overlay_is_the_lower_32_bits_of_the_sha_1_of_its_name() -> None:
    # printf overlay.example.org | sha1sum: 74b9a543a333b17cf69729622ee7b3219aa32b8d.
    assert overlay_hash("overlay.example.org") == 0x9AA32B8D


def test_a_resource_id_is_the_first_128_bits_of_the_sha_1_of_a_resource_name() -> None:
    # SHA-1 of "abc", FIPS 180-1 appendix A: a9993e36 4706816a ba3e2571 7850c26c 9cd0d89d.
    assert resource_id(b"abc").hex() == "a9993e364706816aba3e25717850c26c"
    assert overlay_hash("abc") == 0x9CD0D89D


@pytest.mark.parametrize("name", ["a", "3com.example", "a-b.c", "a" * 63 + ".org", ".".join(["abcd"] * 50)])
def test_whatever_the_dns_can_look_up_names_an_overlay(name: str) -> None:
    assert 0 <= overlay_hash(name) < 2**32


@pytest.mark.parametrize(
    "name",
    ["", ".", "a..b", "a.", "-a", "a-", "a_b", "a b", "a" * 64, ".".join(["abcd"] * 51), "größe.example", "a\n", "a/b"],
)
def test_what_is_no_domain_name_names_no_overlay(name: str) -> None:
    with pytest.raises(EncodeError, match="has to be a domain name"):
        overlay_hash(name)


def test_the_wildcard_has_the_length_of_a_node_id() -> None:
    assert wildcard() == b"\xff" * 16
    assert wildcard(20) == b"\xff" * 20

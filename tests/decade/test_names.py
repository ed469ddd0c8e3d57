"""Names by hashes (RFC 6920): its own examples, and what is no name."""

import hashlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decade.errors import DecodeError, ErrorCode
from decade.names import (
    MAX_NAME,
    Digest,
    Name,
    name_of,
    read_binary,
    read_ni,
    read_nih,
    read_path,
    read_segment,
)

HELLO = b"Hello World!"
HELLO_NI = "ni:///sha-256;f4OxZX_x_FO5LcGBSKHWXfwtSx-j1ncoSt3SABJtkGk"
KEY_DIGEST = bytes.fromhex("53269057e12fe2b74ba07c892560a2d753877eb62ff44d5a19002530ed97ffe4")
KEY = Name("sha-256", KEY_DIGEST)
LENGTHS = {"sha-256": 32, "sha-256-128": 16, "sha-256-120": 15, "sha-256-96": 12, "sha-256-64": 8, "sha-256-32": 4}


def test_hello_world_has_the_name_of_section_8_1():
    assert name_of(HELLO).ni() == HELLO_NI
    assert name_of(HELLO).ni("example.com") == HELLO_NI.replace("///", "//example.com/")
    assert name_of(HELLO).path == "/.well-known/ni/sha-256/f4OxZX_x_FO5LcGBSKHWXfwtSx-j1ncoSt3SABJtkGk"


def test_the_forms_of_section_8_2_are_made():
    assert KEY.ni() == "ni:///sha-256;UyaQV-Ev4rdLoHyJJWCi11OHfrYv9E1aGQAlMO2X_-Q"
    assert KEY.segment == "sha-256;UyaQV-Ev4rdLoHyJJWCi11OHfrYv9E1aGQAlMO2X_-Q"
    short = KEY.truncated("sha-256-120")
    assert short.binary.hex() == "0353269057e12fe2b74ba07c892560a2"
    assert short.nih(group=4) == "nih:sha-256-120;5326-9057-e12f-e2b7-4ba0-7c89-2560-a2;f"
    assert KEY.truncated("sha-256-32").nih() == "nih:sha-256-32;53269057;b"


@pytest.mark.parametrize(
    "spoken",
    [
        "nih:sha-256-120;5326-9057-e12f-e2b7-4ba0-7c89-2560-a2;f",
        "nih:3;532690-57e12f-e2b74b-a07c89-2560a2;f",
        "nih:3;53269057e12fe2b74ba07c892560a2",
    ],
)
def test_the_spoken_forms_of_section_8_2_are_read(spoken):
    assert read_nih(spoken) == KEY.truncated("sha-256-120")


def test_each_form_is_read_as_the_name_it_was_made_of():
    for algorithm in LENGTHS:
        name = KEY.truncated(algorithm)
        assert read_ni(name.ni("example.com")).name == name
        assert read_path(name.path).name == name
        assert read_segment(name.segment) == name
        assert read_binary(name.binary) == name
        assert read_nih(name.nih(group=6)) == name


def test_names_are_the_same_by_algorithm_and_value_alone():
    plain, hinted = read_ni(HELLO_NI), read_ni(HELLO_NI.replace("///", "//example.com/") + "?ct=text/plain&x=%26")
    assert plain.name == hinted.name
    assert hinted.authority == "example.com"
    assert hinted.parameters == (("ct", "text/plain"), ("x", "&"))
    assert hinted.content_type == "text/plain"
    assert plain.content_type is None


def test_a_name_that_is_cut_short_is_another_one():
    short = name_of(HELLO, "sha-256-128")
    assert short != name_of(HELLO)
    assert short.matches(HELLO)
    assert not short.is_whole
    with pytest.raises(DecodeError, match="cannot be cut"):
        short.truncated("sha-256")


def test_the_reserved_bits_of_the_binary_form_are_ignored():
    for bits in (0x40, 0x80, 0xC0):
        assert read_binary(bytes((bits | 1,)) + KEY_DIGEST) == KEY
    assert read_binary(bytes((0xC1,)) + KEY_DIGEST).binary[0] == 1


def test_unreserved_characters_may_be_percent_encoded():
    assert read_ni(HELLO_NI.replace("sha-256;f4", "sha%2D256;%664")).name == name_of(HELLO)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "ni:",
        "ni:///sha-256",
        HELLO_NI + "=",
        HELLO_NI + "A",
        HELLO_NI[:-1],
        HELLO_NI[:-1] + "l",  # two bits of the last character belong to no octet
        HELLO_NI[:-1] + "+",
        HELLO_NI[:-1] + "\n",
        HELLO_NI + "#fragment",
        HELLO_NI + "?a=ü",
        HELLO_NI + "?a=%ff",
        HELLO_NI + "?a=%f",
        HELLO_NI.replace("ni:///", "ni://a/b/"),
        "x" * (MAX_NAME + 1),
    ],
)
def test_what_is_no_ni_uri_is_malformed(uri):
    with pytest.raises(DecodeError) as refused:
        read_ni(uri)
    assert refused.value.code == ErrorCode.MALFORMED


@pytest.mark.parametrize("algorithm", ["sha256", "SHA-256", "md5", "sha-256-16", "sha-512"])
def test_other_algorithms_are_told_apart_from_malformed_names(algorithm):
    # Figure 10 prints "sha256": the registered name is sha-256 (sections 4 and 9.4).
    with pytest.raises(DecodeError) as refused:
        read_path(f"/.well-known/ni/{algorithm}/{KEY.text}")
    assert refused.value.code == ErrorCode.DIGEST_UNSUPPORTED


@pytest.mark.parametrize("suite", [0, 7, 31, 32, 63])
def test_an_unknown_suite_id_is_told_apart_too(suite):
    with pytest.raises(DecodeError) as refused:
        read_binary(bytes((suite,)) + KEY_DIGEST)
    assert refused.value.code == ErrorCode.DIGEST_UNSUPPORTED


@pytest.mark.parametrize(
    "spoken",
    [
        "nih:sha-256-32;53269057;c",
        "nih:sha-256-32;5326905;b",
        "nih:sha-256-32;532690576;b",
        "nih:sha-256-32;53269o57",
        "nih:sha-256-32;53269057;",
        "nih:sha-256-32;53269057;bb",
        "nih:sha-256-32;;0",
        "NIH:sha-256-32;53269057",
        "nih:" + "9" * 5000 + ";00",
    ],
)
def test_what_is_no_nih_uri_is_refused(spoken):
    with pytest.raises(DecodeError):
        read_nih(spoken)


def test_the_checkdigit_finds_every_wrong_digit():
    digits = KEY.truncated("sha-256-64").value.hex()
    for place in range(len(digits)):
        for digit in "0123456789abcdef".replace(digits[place], ""):
            wrong = digits[:place] + digit + digits[place + 1 :]
            with pytest.raises(DecodeError, match="checkdigit"):
                read_nih(f"nih:5;{wrong};{KEY.truncated('sha-256-64').nih()[-1]}")


def test_a_digest_of_parts_is_that_of_the_whole():
    digest = Digest()
    for part in (HELLO[:5], memoryview(HELLO)[5:]):
        digest.update(part)
    assert digest.name == name_of(HELLO)
    assert digest.size == len(HELLO)
    assert digest.matches(name_of(HELLO, "sha-256-96"))
    assert not digest.matches(KEY)


@given(st.text(max_size=80), st.binary(max_size=40))
def test_anything_is_a_name_or_a_decode_error(text, octets):
    for read in (read_ni, read_path, read_segment, read_nih):
        with suppress(DecodeError):
            read(text)
    try:
        name = read_binary(octets)
    except DecodeError:
        return
    assert name.binary[1:] == octets[1:]


@given(st.binary(max_size=200))
def test_the_value_is_the_leftmost_part_of_the_sha_256(octets):
    whole = hashlib.sha256(octets).digest()
    for algorithm, size in LENGTHS.items():
        assert name_of(octets, algorithm).value == whole[:size]

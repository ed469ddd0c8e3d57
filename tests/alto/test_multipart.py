"""multipart/related: written, read strictly and leniently, and read by and from the parser of the standard library."""

import email
import email.policy
from email.message import EmailMessage, MIMEPart

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alto import DecodeError
from alto.findings import Findings, Level
from alto.multipart import MAX_HEADER, MAX_PARTS, Part, Related, encode, parse

COST = Part(
    (("Content-ID", "<costmap@alto.example.com>"), ("Content-Type", "application/alto-costmap+json")), b'{"meta":{}}'
)
PROPS = Part(
    (("Content-ID", "<propmap@alto.example.com>"), ("Content-Type", "application/alto-propmap+json")), b'{"meta":{}}'
)
TYPE = "multipart/related; boundary=b; type=application/alto-costmap+json"
BODY = (
    b"--b\r\nContent-ID: <costmap@alto.example.com>\r\nContent-Type: application/alto-costmap+json\r\n\r\n"
    b'{"meta":{}}\r\n--b\r\nContent-ID: <propmap@alto.example.com>\r\nContent-Type: application/alto-propmap+json\r\n'
    b'\r\n{"meta":{}}\r\n--b--\r\n'
)


def strictly(body: bytes = BODY, content_type: str = TYPE) -> Related:
    return parse(content_type, body, Findings())


def leniently(body: bytes = BODY, content_type: str = TYPE) -> tuple[Related, list[str]]:
    findings = Findings(strict=False)
    related = parse(content_type, body, findings)
    return related, [f"{item.level} {item.text}" for item in findings.items]


def test_what_is_written_is_read() -> None:
    content_type, body = encode([COST, PROPS], root_type="application/alto-costmap+json", random_bytes=bytes)
    related = strictly(body, content_type)
    assert related.parts == (COST, PROPS)
    assert related.root == COST
    assert related.type == "application/alto-costmap+json"


def test_the_parameters_are_written_without_quotes() -> None:
    content_type, _ = encode([COST], root_type="application/alto-costmap+json", random_bytes=bytes)
    assert content_type == f"multipart/related; boundary={'00' * 16}; type=application/alto-costmap+json"


def test_a_boundary_is_never_inside_a_part() -> None:
    inside = Part(COST.headers, b"--" + b"00" * 16 + b" and " + b"00" * 16 + b".1")
    content_type, body = encode([inside], root_type="application/alto-costmap+json", random_bytes=bytes)
    assert strictly(body, content_type).parts == (inside,)


@pytest.mark.parametrize(
    "parameters",
    [
        "boundary=b; type=application/alto-costmap+json",
        'boundary="b"; type="application/alto-costmap+json"',
        'TYPE="Application/ALTO-CostMap+JSON";Boundary=b;charset=utf-8',
        'boundary=b;type=application/alto-costmap+json;start="<costmap@alto.example.com>"',
        "boundary=b;type=application/alto-costmap+json;start=<costmap@alto.example.com>",
    ],
)
def test_trap_9_parameters_stand_with_and_without_quotes(parameters: str) -> None:
    related = strictly(content_type="multipart/related;" + parameters)
    assert (related.root, related.type) == (COST, "application/alto-costmap+json")


def test_start_names_the_root_wherever_it_stands() -> None:
    related = strictly(content_type=TYPE + '; start="<propmap@alto.example.com>"')
    assert related.root == PROPS


def test_a_start_that_names_no_part_is_refused_and_forgiven() -> None:
    with pytest.raises(DecodeError, match="which is no part"):
        strictly(content_type=TYPE + "; start=<x@y>")
    related, found = leniently(content_type=TYPE + "; start=<x@y>")
    assert related.root == COST
    assert len(found) == 1


def test_a_lenient_root_is_the_part_of_the_type() -> None:
    related, found = leniently(content_type="multipart/related; boundary=b; type=application/alto-propmap+json")
    assert related.root == PROPS
    assert not found


def test_bare_line_feeds_are_read_and_noted() -> None:
    related, found = leniently(BODY.replace(b"\r\n", b"\n"))
    assert related == strictly()
    assert found == ["note lines end with LF alone; over HTTP that is to be CRLF"]
    assert strictly(BODY.replace(b"\r\n", b"\n")) == strictly()


def test_preamble_and_epilogue_are_ignored() -> None:
    assert strictly(b"a preamble\r\n--bb\r\n" + BODY + b"\r\nan epilogue\r\n--b\r\nX: y\r\n") == strictly()


def test_the_first_delimiter_may_follow_an_empty_line() -> None:
    assert strictly(b"\r\n" + BODY) == strictly()


def test_white_space_behind_a_delimiter_is_padding() -> None:
    assert strictly(BODY.replace(b"--b\r\n", b"--b \t \r\n")) == strictly()


def test_a_line_that_only_begins_like_the_delimiter_is_content() -> None:
    part = Part(COST.headers, b"x\r\n--bc\r\n--b-\r\n --b")
    body = BODY.replace(b'{"meta":{}}', part.body, 1)
    assert strictly(body).parts[0] == part


@pytest.mark.parametrize("end", [b"", b"\r\n", b"\r\n--b", b"\r\n--b\r\n", b"\r\n--b  \r\n\r\n"])
def test_trap_21_a_missing_last_delimiter_is_refused_and_forgiven(end: bytes) -> None:
    body = BODY.removesuffix(b"\r\n--b--\r\n") + end
    with pytest.raises(DecodeError, match="the last delimiter does not end with --"):
        strictly(body)
    related, found = leniently(body)
    assert [part.body.strip() for part in related.parts] == [COST.body, PROPS.body]
    assert found == ["must the last delimiter does not end with --"]


def test_a_part_may_have_no_header_and_no_body() -> None:
    related = strictly(b"--b\r\n\r\nx\r\n--b\r\nX: y\r\n--b\r\n\r\n\r\n--b--", TYPE)
    assert related.parts == (Part((), b"x"), Part((("X", "y"),), b""), Part((), b""))


def test_a_folded_header_field_is_one() -> None:
    body = b"--b\r\nContent-Type: multipart/related;\r\n \t boundary=c\r\nX:y\r\n\r\n{}\r\n--b--"
    part = strictly(body).parts[0]
    assert part.header("content-type") == "multipart/related; boundary=c"
    assert part.type == "multipart/related"


def test_a_malformed_header_line_is_refused_and_left_out() -> None:
    body = b"--b\r\nno field\r\nX: y\r\n\r\n{}\r\n--b--"
    with pytest.raises(DecodeError, match="is no header field"):
        strictly(body)
    related, found = leniently(body)
    assert related.parts == (Part((("X", "y"),), b"{}"),)
    assert len(found) == 1


def test_a_transfer_encoding_has_no_place_in_http() -> None:
    with pytest.raises(DecodeError, match="Content-Transfer-Encoding 'base64'"):
        strictly(b"--b\r\nContent-Transfer-Encoding: BASE64\r\n\r\ne30=\r\n--b--")


def test_a_content_id_that_is_there_twice_is_refused() -> None:
    with pytest.raises(DecodeError, match="for the second time"):
        strictly(BODY.replace(b"propmap@", b"costmap@"))


def test_a_content_id_may_have_no_brackets() -> None:
    assert Part((("Content-ID", "ecsmap"),), b"").content_id == "ecsmap"
    assert Part((), b"").content_id is None
    assert Part((), b"").type is None


@pytest.mark.parametrize(
    ("content_type", "text"),
    [
        ("application/json", "is no multipart/related"),
        ("", "is no multipart/related"),
        ("multipart/mixed; boundary=b; type=a/b", "is no multipart/related"),
        ("multipart/related; type=a/b", "boundary is missing"),
        ('multipart/related; type=a/b; boundary=""', "boundary is missing"),
    ],
)
def test_what_is_no_related_message_is_refused_even_leniently(content_type: str, text: str) -> None:
    with pytest.raises(DecodeError, match=text):
        leniently(content_type=content_type)


@pytest.mark.parametrize("boundary", ["b" * 71, '"b "', '"b%"', '"é"'])
def test_a_boundary_of_other_characters_is_refused_and_forgiven(boundary: str) -> None:
    body = BODY.replace(b"--b", b"--" + boundary.strip('"').encode())
    with pytest.raises(DecodeError, match="is no boundary"):
        strictly(body, f"multipart/related; boundary={boundary}; type=a/b")
    related, _ = leniently(body, f"multipart/related; boundary={boundary}; type=a/b")
    assert related.parts == (COST, PROPS)


def test_a_missing_type_is_refused_and_forgiven() -> None:
    with pytest.raises(DecodeError, match="the parameter type is missing"):
        strictly(content_type="multipart/related; boundary=b")
    related, _ = leniently(content_type="multipart/related; boundary=b")
    assert related.type is None
    assert related.root == COST


@pytest.mark.parametrize("body", [b"", b"--b--", b"nothing", b"--b", b"--bb\r\n\r\n{}\r\n--bb--"])
def test_a_body_without_parts_is_refused_even_leniently(body: bytes) -> None:
    with pytest.raises(DecodeError, match="has no part"):
        leniently(body)


def test_more_parts_than_the_limit_are_refused() -> None:
    assert len(strictly(b"--b\r\n\r\n" * MAX_PARTS + b"--b--").parts) == MAX_PARTS
    with pytest.raises(DecodeError, match="more than 64 parts"):
        leniently(b"--b\r\n\r\n" * 1_000_000)


def test_a_longer_header_than_the_limit_is_refused() -> None:
    with pytest.raises(DecodeError, match="header of more than"):
        leniently(b"--b\r\n" + b"X: y\r\n" * MAX_HEADER + b"\r\n{}\r\n--b--")


def test_no_line_of_a_part_is_taken_for_a_delimiter() -> None:
    stem = b"00" * 16
    inside = Part(COST.headers, b"x\r\n--" + stem + b"\r\ny\r\n--" + stem + b".1--\r\nz")
    content_type, body = encode([inside, PROPS], root_type="application/alto-costmap+json", random_bytes=bytes)
    assert strictly(body, content_type).parts == (inside, PROPS)


def test_the_standard_library_reads_what_is_written() -> None:
    content_type, body = encode([COST, PROPS], root_type="application/alto-costmap+json", random_bytes=bytes)
    message = email.message_from_bytes(
        b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body, policy=email.policy.HTTP
    )
    parts = list(message.iter_parts())  # type: ignore[attr-defined]
    assert [part["Content-ID"] for part in parts] == ["<costmap@alto.example.com>", "<propmap@alto.example.com>"]
    assert [part.get_content_type() for part in parts] == [COST.type, PROPS.type]
    assert [part.get_payload() for part in parts] == ['{"meta":{}}', '{"meta":{}}']
    assert not message.defects


@pytest.mark.parametrize("policy", [email.policy.HTTP, email.policy.default])
def test_what_the_standard_library_writes_is_read(policy: email.policy.EmailPolicy) -> None:
    message = EmailMessage(policy)
    message["Content-Type"] = 'multipart/related; type="application/alto-costmap+json"'
    for number in range(2):
        part = MIMEPart(policy)
        part.set_content(b"{}", "application", "alto-costmap+json", cte="8bit", cid=f"<part{number}@alto.example.com>")
        message.attach(part)
    _, _, body = message.as_bytes().partition(b"\r\n\r\n" if policy is email.policy.HTTP else b"\n\n")
    related = parse(str(message["Content-Type"]), body, Findings())
    assert [part.content_id for part in related.parts] == ["part0@alto.example.com", "part1@alto.example.com"]
    assert [part.body.strip() for part in related.parts] == [b"{}", b"{}"]


_TEXT = st.text(alphabet=st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=30)
_PART = st.builds(
    Part,
    st.lists(st.tuples(st.sampled_from(["X", "Content-Type"]), _TEXT), max_size=3).map(tuple),
    st.binary(max_size=40),
)


@given(st.lists(_PART, min_size=1, max_size=5), st.binary(min_size=16, max_size=16))
def test_any_parts_come_back(parts: list[Part], seed: bytes) -> None:
    content_type, body = encode(parts, root_type="a/b", random_bytes=lambda _: seed)
    assert strictly(body, content_type).parts == tuple(parts)


_SNIPPETS = st.lists(
    st.one_of(
        st.binary(max_size=5),
        st.sampled_from([b"--b", b"--", b"\r\n", b"\n", b"\r", b" ", b"X: y", b"Content-ID: <a>", b"{}"]),
    ),
    max_size=30,
).map(b"".join)


@given(_SNIPPETS, st.one_of(st.just(TYPE), st.text(max_size=40).map(lambda tail: TYPE + tail)), st.booleans())
def test_any_octets_give_parts_or_a_decode_error(body: bytes, content_type: str, strict: bool) -> None:
    findings = Findings(strict=strict)
    try:
        related = parse(content_type, body, findings)
    except DecodeError:
        return
    assert related.root in related.parts
    assert not strict or all(item.level != Level.MUST for item in findings.items)

"""multipart/related as ALTO uses it: one message of several JSON documents (RFC 2387, RFC 2046 section 5.1).

The parser of the standard library's `email` is not used: it turns what is malformed into something else without a
word, recurses into multiparts inside multiparts, and has no limits. The tests read what is written here with it.
"""

import itertools
import re
from collections.abc import Callable, Iterable, Sequence

from attrs import field, frozen

from alto.errors import DecodeError
from alto.findings import Findings
from alto.http import Headers
from alto.media import MULTIPART_RELATED, parse_media_type

MAX_PARTS = 64
"""Parts of a message that is read. A path vector has two; more than this many are an attack on whoever lists them."""
MAX_HEADER = 8192
"""Octets of the header of a part: as much as HTTP servers allow for all of theirs."""

_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,\-./:=? ]{0,69}[0-9A-Za-z'()+_,\-./:=?]")
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([\x20-\x7e\x80-\xff\t]*)")
_FOLD = re.compile(rb"\r?\n[ \t]+")
_LINE_END = re.compile(rb"\r?\n")
_BLANK_LINE = re.compile(rb"(?:\A|\r?\n)\r?\n")


@frozen
class Part:
    """One body part: its header fields, and its octets."""

    headers: Headers
    body: bytes

    def header(self, name: str) -> str | None:
        """The first value of the field `name`, in whatever case; None when there is none."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)

    @property
    def content_id(self) -> str | None:
        """The Content-ID without its angle brackets; RFC 8895 section 8.5 prints some that have none."""
        text = self.header("Content-ID")
        return None if text is None else _bare_id(text)

    @property
    def type(self) -> str | None:
        """The bare media type, in lower case; None where there is none."""
        parsed = parse_media_type(self.header("Content-Type") or "")
        return None if parsed is None else parsed.type


@frozen
class Related:
    """A multipart/related message (RFC 2387): the type of its root, and its parts in order."""

    type: str | None
    """What the parameter `type` says, in lower case."""
    parts: tuple[Part, ...]
    root: Part = field(kw_only=True)
    """The part to begin with: the one that `start` names, otherwise the first (section 3.2)."""


def encode(parts: Sequence[Part], *, root_type: str, random_bytes: Callable[[int], bytes]) -> tuple[str, bytes]:
    """The Content-Type and the body of a message of `parts`, the root first.

    The parameters stand without quotes, as in RFC 9275: section 7.2.6 allows both, and some clients know one only.
    """
    boundary = _boundary(parts, random_bytes)
    pieces: list[bytes] = []
    for part in parts:
        head = "".join(f"{name}: {value}\r\n" for name, value in part.headers)
        pieces += [b"--", boundary, b"\r\n", head.encode("latin-1"), b"\r\n", part.body, b"\r\n"]
    pieces += [b"--", boundary, b"--\r\n"]
    return f"{MULTIPART_RELATED}; boundary={boundary.decode('ascii')}; type={root_type}", b"".join(pieces)


def parse(content_type: str, body: bytes, findings: Findings) -> Related:
    """The message in `body`, with line ends of CRLF or LF, whatever stands before and after its parts.

    A lenient reading takes the end of the body for a missing last delimiter, as the examples of RFC 9275 need it, and
    a delimiter with nothing behind it for that delimiter. Raises DecodeError for what is no multipart/related, has no
    boundary or no part, has more than MAX_PARTS parts, or a header of more than MAX_HEADER octets.
    """
    media = parse_media_type(content_type)
    if media is None or media.type != MULTIPART_RELATED:
        raise DecodeError(f"Content-Type: {content_type!r:.80} is no {MULTIPART_RELATED} (RFC 2387 section 3)")
    boundary = media.parameters.get("boundary", "")
    if not boundary:
        raise DecodeError("Content-Type: the parameter boundary is missing (RFC 2046 section 5.1.1)")
    if _BOUNDARY.fullmatch(boundary) is None:
        findings.must("Content-Type", f"{boundary!r:.80} is no boundary", 2046, "5.1.1")
    root_type = media.parameters.get("type")
    if root_type is None:
        findings.must("Content-Type", "the parameter type is missing", 2387, "3.1")
    bodies = _split(body, boundary.encode("utf-8"), findings)
    parts = tuple(_read_part(octets, f"part {number}", findings) for number, octets in enumerate(bodies, 1))
    if not parts:
        raise DecodeError("the body has no part (RFC 2046 section 5.1.1)")
    _check_ids(parts, findings)
    kind = None if root_type is None else root_type.lower()
    return Related(kind, parts, root=_root(parts, kind, media.parameters.get("start"), findings))


def _boundary(parts: Iterable[Part], random_bytes: Callable[[int], bytes]) -> bytes:
    stem = random_bytes(16).hex().encode("ascii")
    candidates = itertools.chain([stem], (b"%b.%d" % (stem, number) for number in itertools.count(1)))
    return next(boundary for boundary in candidates if not any(boundary in part.body for part in parts))


def _split(body: bytes, boundary: bytes, findings: Findings) -> list[bytes]:
    """What stands between the delimiter lines; the line end before a delimiter belongs to it (RFC 2046)."""
    delimiter = re.compile(rb"(?:\A|\r?\n)--" + re.escape(boundary) + rb"(--)?[ \t]*(?=(\r?\n)|\Z)")
    bodies: list[bytes] = []
    begin: int | None = None
    is_closed = has_bare_lf = False
    for match in delimiter.finditer(body):
        has_bare_lf = has_bare_lf or match[2] == b"\n"
        if begin is not None:
            bodies.append(body[begin : match.start()])
            if len(bodies) > MAX_PARTS:
                raise DecodeError(f"the body has more than {MAX_PARTS} parts")
        begin = match.end()
        if match[1]:
            is_closed = True
            break
    if begin is not None and not is_closed:
        findings.must("", "the last delimiter does not end with --", 2046, "5.1.1")
        if body[begin:].strip():
            bodies.append(body[begin:])
    if has_bare_lf:
        findings.note("", "lines end with LF alone; over HTTP that is to be CRLF", 9110, "8.3.3")
    return bodies


def _read_part(octets: bytes, path: str, findings: Findings) -> Part:
    line_end = _LINE_END.match(octets)
    octets = octets[line_end.end() :] if line_end is not None else octets
    blank = _BLANK_LINE.search(octets)
    head, body = (octets, b"") if blank is None else (octets[: blank.start()], octets[blank.end() :])
    if len(head) > MAX_HEADER:
        raise DecodeError(f"{path}: a header of more than {MAX_HEADER} octets")
    lines = _LINE_END.split(_FOLD.sub(b" ", head)) if head else []
    matches = [_FIELD.fullmatch(line) for line in lines]
    if None in matches:
        findings.must(path, f"{lines[matches.index(None)]!r:.60} is no header field", 2046, "5.1")
    headers = [(match[1].decode("ascii"), match[2].decode("latin-1").strip()) for match in matches if match is not None]
    part = Part(tuple(headers), body)
    encoding = (part.header("Content-Transfer-Encoding") or "binary").lower()
    if encoding not in ("7bit", "8bit", "binary"):
        findings.must(path, f"the Content-Transfer-Encoding {encoding!r:.40} has no place in HTTP", 9110, "8.3.3")
    return part


def _check_ids(parts: tuple[Part, ...], findings: Findings) -> None:
    seen: set[str] = set()
    for number, part in enumerate(parts, 1):
        if part.content_id is not None and part.content_id in seen:
            findings.must(f"part {number}", f"the Content-ID {part.content_id!r:.80} for the second time", 2045, "7")
        seen.add(part.content_id or "")


def _root(parts: tuple[Part, ...], kind: str | None, start: str | None, findings: Findings) -> Part:
    if start is not None:
        named = [part for part in parts if part.content_id == _bare_id(start)]
        if named:
            return named[0]
        findings.must("Content-Type", f"start names {start!r:.80}, which is no part", 2387, "3.2")
    if kind is not None and not findings.strict:
        return next((part for part in parts if part.type == kind), parts[0])
    return parts[0]


def _bare_id(text: str) -> str:
    return text[1:-1] if text.startswith("<") and text.endswith(">") else text

"""What TIPS clients and servers say to each other in JSON (RFC 9569 sections 6.1, 6.2 and 7.4).

Of RFC 9569 the late draft draft-ietf-alto-new-transport (2023-12-07) was at hand, not the published text.
"""

import re
from contextlib import suppress
from urllib.parse import quote, urlsplit

from attrs import frozen

from alto import params
from alto._json import Json
from alto.errors import DecodeError
from alto.findings import Findings, join, shown
from alto.ird import resolve
from alto.types import is_resource_id, is_tag

RFC = 9569
_MAX_SEQ = 2**53
"""The largest integer that every JSON reader keeps as it is."""


_URI = ":/?#[]@!$&'()*+,;=-._~%"


@frozen
class TipsRequest:
    """A request to open a view or for a next edge (section 6.1)."""

    resource_id: str
    tag: str | None = None
    input: Json = None
    """What the resource is to be asked; None where it is absent."""

    def to_json(self) -> dict[str, Json]:
        """The TIPSReq object."""
        tree: dict[str, Json] = {"resource-id": self.resource_id}
        if self.tag is not None:
            tree["tag"] = self.tag
        if self.input is not None:
            tree["input"] = self.input
        return tree


@frozen
class UpdatesGraphSummary:
    """Which versions there are, and which edge the server recommends to begin with (section 6.2)."""

    start_seq: int
    end_seq: int
    seq_i: int
    seq_j: int

    def to_json(self) -> dict[str, Json]:
        """The TIPSViewSummary object, inside its member: what a next-edge response consists of."""
        edge = {"seq-i": self.seq_i, "seq-j": self.seq_j}
        graph = {"start-seq": self.start_seq, "end-seq": self.end_seq, "start-edge-rec": edge}
        return {"tips-view-summary": {"updates-graph-summary": graph}}


@frozen
class TipsView:
    """The response to an open request (section 6.2)."""

    tips_view_uri: str
    summary: UpdatesGraphSummary

    def to_json(self) -> dict[str, Json]:
        """The AddTIPSResponse object."""
        return {"tips-view-uri": self.tips_view_uri, **self.summary.to_json()}


def read_tips_request(tree: Json) -> TipsRequest:
    """The TIPSReq that was posted. Whether its resource is one of the service's is for the caller. Raises RequestError.

    `input` is kept as it is: what is wrong with it is for the resource to say.
    """
    members = params.fields(tree)
    resource_id = params.required(members, "resource-id", str)
    tag = params.optional(members, "tag", str)
    if not is_resource_id(resource_id):
        raise params.bad_value("resource-id", resource_id)
    if tag is not None and not is_tag(tag):
        raise params.bad_value("tag", tag)
    return TipsRequest(resource_id, tag, members.get("input"))


def parse_tips_view(tree: Json, findings: Findings, base_uri: str | None = None) -> TipsView:
    """An AddTIPSResponse (section 6.2). Raises DecodeError for what is of no use, and if strict for any fault.

    `base_uri` is where it came from: with it, a lenient reading forgives a relative URI.
    """
    if not isinstance(tree, dict):
        raise DecodeError(f"an AddTIPSResponse is an object, not {shown(tree)} (RFC {RFC} section 6.2)")
    uri = findings.member(tree, "tips-view-uri", str, "", RFC, "6.2")
    if uri is None:
        raise DecodeError(f"tips-view-uri: missing or no string (RFC {RFC} section 6.2)")
    if base_uri is not None and uri.startswith("/"):
        findings.must("tips-view-uri", f"{shown(uri)} is relative", RFC, "6.2")
        uri = resolve(base_uri, uri) or uri
    check_view_uri(uri, findings)
    return TipsView(uri, _parse_summary(tree, findings, "6.2"))


def parse_next_edge(tree: Json, findings: Findings) -> UpdatesGraphSummary:
    """The merge patch that answers a request for a next edge (section 7.4.2). Raises DecodeError as above."""
    if not isinstance(tree, dict):
        raise DecodeError(f"a next edge is an object, not {shown(tree)} (RFC {RFC} section 7.4.2)")
    return _parse_summary(tree, findings, "7.4.2")


def check_view_uri(uri: str, findings: Findings) -> None:
    """Note what is wrong with a `tips-view-uri`. Raises DecodeError when strict, and for what no client can ask."""
    path = "tips-view-uri"
    if re.search(r"[\x00-\x20\x7f]", uri):
        raise DecodeError(f"{path}: white space or a control character in {shown(uri)} (RFC {RFC} section 6.2)")
    if not uri.isascii():
        findings.must(path, "not ASCII", RFC, "6.2")
    try:
        parts = urlsplit(uri)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise DecodeError(f"{path}: {shown(uri)} is no URI (RFC {RFC} section 6.2)") from None
    if parts.scheme not in ("http", "https") or not host:
        raise DecodeError(f"{path}: {shown(uri)} is no absolute http or https URI (RFC {RFC} section 6.2)")
    # The format is scheme "://" host [":" port] "/" path, and paths are appended to it.
    if "?" in uri or "#" in uri or "@" in parts.netloc or not parts.path:
        findings.must(path, f"{shown(uri)} is not scheme, host, port and path alone", RFC, "6.2")
    if parts.scheme == "http":
        findings.should(path, "http, where the view may not be public", RFC, "6.2")


def ascii_uri(uri: str) -> str:
    """`uri` in ASCII, as section 6.2 asks: the host by IDNA, or else like the rest with percent signs."""
    if uri.isascii():
        return uri
    scheme, separator, rest = uri.partition("://")
    authority, slash, path = rest.partition("/")
    host, colon, port = authority.partition(":")
    with suppress(UnicodeError):
        host = host.encode("idna").decode("ascii")
    return quote(f"{scheme}{separator}{host}{colon}{port}{slash}{path}", safe=_URI)


def _parse_summary(tree: dict[str, Json], findings: Findings, section: str) -> UpdatesGraphSummary:
    view = _object(tree, "tips-view-summary", "", findings, section)
    path = "tips-view-summary"
    name = "updates-graph-summary"
    if name not in view and "update-graph-summary" in view:
        # The name that section 7.4.2 has in its text, though not in its example.
        name = "update-graph-summary"
        findings.must(join(path, name), "updates-graph-summary is its name", RFC, "6.2")
    graph = _object(view, name, path, findings, section)
    path = join(path, name)
    start, end = (_seq(graph, name, path, findings) for name in ("start-seq", "end-seq"))
    edge = _object(graph, "start-edge-rec", path, findings, section)
    inner = join(path, "start-edge-rec")
    i, j = (_seq(edge, name, inner, findings) for name in ("seq-i", "seq-j"))
    if not 1 <= start <= end:
        findings.must(path, f"the versions [{start}, {end}] are no interval", RFC, "3.2")
    # The edge behind the last version is what a client waits for that has the latest already.
    if not (i < j and start <= j <= end + 1 and (i == 0 or start <= i <= end)):
        findings.must(inner, f"no edge {i} to {j} among the versions [{start}, {end}]", RFC, "6.2")
        if i >= j:
            raise DecodeError(f"{inner}: {i} to {j} is no edge (RFC {RFC} section 6.2)")
    return UpdatesGraphSummary(start, end, i, j)


def _object(tree: dict[str, Json], name: str, path: str, findings: Findings, section: str) -> dict[str, Json]:
    found: dict[str, Json] | None = findings.member(tree, name, dict, path, RFC, section)
    if found is None:
        raise DecodeError(f"{join(path, name)}: missing or no object (RFC {RFC} section {section})")
    return found


def _seq(tree: dict[str, Json], name: str, path: str, findings: Findings) -> int:
    value = findings.member(tree, name, float, path, RFC, "6.2")
    if value is None or not 0 <= value <= _MAX_SEQ or value != int(value):
        raise DecodeError(f"{join(path, name)}: {shown(value)} is no sequence number (RFC {RFC} section 3.1)")
    return int(value)

"""Reading any ALTO document, or request, only to see what is wrong with it."""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from attrs import evolve

from alto import media
from alto._json import Json, JsonError, loads
from alto._pathvectorreader import PathVectorReader
from alto.capabilities import root_type
from alto.cdni import parse_cdni
from alto.client.errors import check_error
from alto.closure import join_directories
from alto.costmap import parse_cost_map
from alto.endpointcost import parse_endpoint_cost
from alto.endpointproperty import parse_endpoint_properties
from alto.errors import DecodeError
from alto.findings import Finding, Findings, Level
from alto.ird import parse_directory
from alto.lint.asked import READERS, lint_request
from alto.lint.changes import lint_json_patch, lint_merge_patch
from alto.lint.kinds import kind_of, kind_of_octets, kind_of_tree
from alto.lint.stream import lint_control, lint_stream
from alto.metrics import PATH_VECTOR
from alto.networkmap import parse_filtered_network_map, parse_network_map
from alto.pathvector import parse_path_vector
from alto.propertymap import parse_property_map
from alto.tips_messages import parse_tips_view

NOWHERE = "http://alto.invalid/"
"""Where a document comes from that nobody fetched: what is relative in it is resolved against this."""

_CLAUSE = re.compile(r"(?:(?P<path>[^\s:]*): )?(?P<text>.*) \(RFC (?P<rfc>\d+) section (?P<section>[0-9A-Z.]+)\)", re.S)


def lint_document(
    document: bytes | Json, media_type: str | None = None, *, base_uri: str = NOWHERE, is_whole: bool | None = None
) -> list[Finding]:
    """What is wrong with an ALTO document or request, which is octets or a JSON value.

    `media_type` is its Content-Type, or the name of its event; where it is not known, the shape tells what it is.
    `base_uri` is where it was fetched. `is_whole` says whether a network map is a whole one and no filtered one, or an
    IRD the Root IRD and none that another leads to: where that is not known, what only these need is a note.
    """
    findings = Findings(strict=False)
    try:
        _lint(document, media_type, findings, base_uri, is_whole)
    except JsonError as error:
        findings.must("", f"no JSON of a certain meaning: {error}", 7285, "8.2")
    except DecodeError as error:
        note_error(error, findings)
    return list(dict.fromkeys(findings.items))


def _lint(
    document: bytes | Json, media_type: str | None, findings: Findings, base_uri: str, is_whole: bool | None
) -> None:
    if isinstance(document, bytes):
        kind = kind_of_octets(document, media_type)
        if kind == media.EVENT_STREAM:
            lint_stream(document, findings, lambda tree, name: lint_document(tree, name, base_uri=base_uri))
            return
        if kind == media.MULTIPART_RELATED:
            parse_path_vector(_with_boundary(document, media_type), document, findings)
            return
        document = loads(document)
    kind = kind_of(document, media_type, findings)
    if kind == media.MULTIPART_RELATED:
        _lint_part(document, root_type(media_type or ""), findings)
    else:
        _lint_tree(document, kind, findings, base_uri, is_whole)


def note_error(error: DecodeError, findings: Findings) -> None:
    """The finding that a DecodeError stands for: what a reader could not get around."""
    match = _CLAUSE.fullmatch(str(error))
    if match is None:
        findings.must("", str(error), 7285, "8.4")
    else:
        findings.must(match["path"] or "", match["text"], int(match["rfc"]), match["section"])


def _lint_tree(tree: Json, kind: str | None, findings: Findings, base_uri: str, is_whole: bool | None) -> None:
    if kind is None:
        findings.must("", "nothing tells what ALTO document this is", 7285, "8.4")
    elif kind == media.DIRECTORY:
        _lint_directory(tree, findings, base_uri, is_whole)
    elif kind == media.NETWORK_MAP:
        _lint_network_map(tree, findings, is_whole)
    elif kind in (media.COST_MAP, media.ENDPOINT_COST) and has_paths(tree):
        reader = PathVectorReader(kind, findings, None, {})
        reader.read_meta(None, tree)
        reader.read_cells(tree)
    elif kind in _RESPONSES:
        _RESPONSES[kind](tree, findings)
    elif kind in READERS:
        lint_request(tree, kind, findings)
    else:
        findings.must("", f"{kind} is no JSON", 7285, "8.3.3")


def _lint_part(tree: Json, root: str | None, findings: Findings) -> None:
    """One part of a path vector message, without the other (RFC 9275)."""
    if kind_of_tree(tree) == media.PROPERTY_MAP:
        inner = Findings(strict=False)
        parse_property_map(tree, inner)
        # Here a version may be that of the other part, whose ID has a dot in it (section 6.6).
        findings.items += [item for item in inner.items if item.path != "meta/dependent-vtags/resource-id"]
    else:
        _lint_tree(tree, root or kind_of_tree(tree), findings, NOWHERE, None)


def _lint_directory(tree: Json, findings: Findings, base_uri: str, is_whole: bool | None) -> None:
    def read(into: Findings, is_root: bool) -> None:
        directory = parse_directory(tree, into, base_uri, is_root=is_root)
        leads_on = any(entry.document_type == media.DIRECTORY for entry in directory.resources.values())
        # What an IRD names may be in another one, if there is another one.
        join_directories({base_uri: directory}, into, is_complete=is_root and not leads_on)

    _either(read, findings, is_whole, "unless another IRD leads to it")


def _lint_network_map(tree: Json, findings: Findings, is_whole: bool | None) -> None:
    def read(into: Findings, is_whole: bool) -> None:
        if is_whole:
            parse_network_map(tree, into)
        else:
            parse_filtered_network_map(tree, into)

    _either(read, findings, is_whole, "unless it is filtered")


def _either(read: Callable[[Findings, bool], None], findings: Findings, is_whole: bool | None, unless: str) -> None:
    """Read something as a whole or not; where that is not known, what only the whole has wrong becomes a note."""
    if is_whole is not None:
        read(findings, is_whole)
        return
    partly, wholly = Findings(strict=False), Findings(strict=False)
    try:
        read(partly, False)
    finally:
        findings.items += partly.items
    read(wholly, True)
    for finding in wholly.items:
        if finding not in partly.items:
            findings.items.append(evolve(finding, level=Level.NOTE, text=f"{finding.text}, {unless}"))


def has_paths(tree: Json) -> bool:
    """Whether a cost map holds path vectors (RFC 9275), by the cost types in its `meta`."""
    meta = tree.get("meta") if isinstance(tree, dict) else None
    if not isinstance(meta, dict):
        return False
    several = meta.get("multi-cost-types")
    listed = [meta.get("cost-type"), *(several if isinstance(several, list) else ())]
    return any(
        isinstance(each, dict) and (each.get("cost-mode"), each.get("cost-metric")) == PATH_VECTOR for each in listed
    )


def _with_boundary(body: bytes, media_type: str | None) -> str:
    """The Content-Type of a multipart message: as it is given, or as the message itself tells."""
    if media_type is not None and media.is_media_type(media_type, media.MULTIPART_RELATED):
        return media_type
    line = body.lstrip().partition(b"\n")[0].strip().decode("latin-1")[2:]
    root = media.ENDPOINT_COST if media.ENDPOINT_COST.encode() in body else media.COST_MAP
    return f'{media.MULTIPART_RELATED}; type="{root}"; boundary="{line}"'


_RESPONSES: Mapping[str, Callable[[Json, Findings], object]] = MappingProxyType(
    {
        media.COST_MAP: parse_cost_map,
        media.ENDPOINT_COST: parse_endpoint_cost,
        media.ENDPOINT_PROPERTIES: parse_endpoint_properties,
        media.PROPERTY_MAP: parse_property_map,
        media.CDNI: parse_cdni,
        media.TIPS: parse_tips_view,
        media.ERROR: check_error,
        media.UPDATE_STREAM_CONTROL: lint_control,
        media.MERGE_PATCH: lint_merge_patch,
        media.JSON_PATCH: lint_json_patch,
    }
)

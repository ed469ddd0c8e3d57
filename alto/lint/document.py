"""Reading any ALTO document, or request, only to see what is wrong with it."""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from attrs import evolve

from alto import media
from alto._json import Json, JsonError, loads
from alto._pathvectorreader import PathVectorReader
from alto.cdni import parse_cdni
from alto.client.errors import check_error
from alto.closure import join_directories
from alto.costmap import parse_cost_map
from alto.endpointcost import parse_endpoint_cost
from alto.endpointproperty import parse_endpoint_properties
from alto.errors import DecodeError, RequestError
from alto.findings import Finding, Findings, Level
from alto.ird import parse_directory
from alto.lint.asked import READERS
from alto.lint.changes import lint_json_patch, lint_merge_patch
from alto.lint.kinds import kind_of, kind_of_tree
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
    `base_uri` is where it was fetched. `is_whole` says whether a network map is a whole one and no filtered one: where
    that is not known, what only a whole one has to have is a note.
    """
    findings = Findings(strict=False)
    kind = kind_of(document, media_type, findings)
    try:
        if isinstance(document, bytes) and kind == media.EVENT_STREAM:
            lint_stream(document, findings, lambda tree, name: _nested(tree, name, base_uri))
        elif isinstance(document, bytes) and kind == media.MULTIPART_RELATED:
            parse_path_vector(_with_boundary(document, media_type), document, findings)
        else:
            tree = loads(document) if isinstance(document, bytes) else document
            # A part of a multipart message may be here without the others.
            known = kind if kind != media.MULTIPART_RELATED else None
            _lint_tree(tree, known or kind_of_tree(tree), findings, base_uri, is_whole)
    except JsonError as error:
        findings.must("", f"no JSON of a certain meaning: {error}", 7285, "8.2")
    except DecodeError as error:
        note_error(error, findings)
    return list(dict.fromkeys(findings.items))


def note_error(error: DecodeError, findings: Findings) -> None:
    """The finding that a DecodeError stands for: what a reader could not get around."""
    match = _CLAUSE.fullmatch(str(error))
    if match is None:
        findings.must("", str(error), 7285, "8.4")
    else:
        findings.must(match["path"] or "", match["text"], int(match["rfc"]), match["section"])


def _nested(tree: Json, name: str, base_uri: str) -> list[Finding]:
    return lint_document(tree, name, base_uri=base_uri)


def _lint_tree(tree: Json, kind: str | None, findings: Findings, base_uri: str, is_whole: bool | None) -> None:
    if kind is None:
        findings.must("", "nothing tells what ALTO document this is", 7285, "8.4")
    elif kind == media.DIRECTORY:
        _lint_directory(tree, findings, base_uri)
    elif kind == media.NETWORK_MAP:
        _lint_network_map(tree, findings, is_whole)
    elif kind in (media.COST_MAP, media.ENDPOINT_COST) and has_paths(tree):
        reader = PathVectorReader(kind, findings, None, {})
        reader.read_meta(None, tree)
        reader.read_cells(tree)
    elif kind in _RESPONSES:
        _RESPONSES[kind](tree, findings)
    elif kind in READERS:
        try:
            READERS[kind].read(tree)
        except RequestError as error:
            text = f"a server has to refuse this: {error.code}" + (f", {error.value!r:.80}" if error.value else "")
            findings.must(error.field or "", text, READERS[kind].rfc, READERS[kind].section)
    else:
        findings.must("", f"{kind} is no JSON", 7285, "8.3.3")


def _lint_directory(tree: Json, findings: Findings, base_uri: str) -> None:
    # Whether other IRDs have what this one names is not to be seen here.
    directory = parse_directory(tree, findings, base_uri)
    join_directories({base_uri: directory}, findings, is_complete=False)


def _lint_network_map(tree: Json, findings: Findings, is_whole: bool | None) -> None:
    before = len(findings.items)
    if is_whole is False:
        parse_filtered_network_map(tree, findings)
        return
    parse_network_map(tree, findings)
    if is_whole is None:
        filtered = Findings(strict=False)
        parse_filtered_network_map(tree, filtered)
        for at, finding in enumerate(findings.items[before:], before):
            if finding not in filtered.items:
                findings.items[at] = evolve(finding, level=Level.NOTE, text=f"{finding.text}, unless it is filtered")


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

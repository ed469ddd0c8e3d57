"""Reading version tags in what a server sends (RFC 7285 sections 10.3 and 11.1)."""

import hashlib

from alto._json import Json, canonical
from alto.errors import DecodeError
from alto.findings import Findings, join, shown
from alto.types import VTag, is_resource_id, is_tag


def parse_vtag(tree: Json, findings: Findings, path: str) -> VTag | None:
    """The version tag at `path`; None where nothing of it is of use. Raises DecodeError when `findings` is strict.

    A tag or ID that only breaks the syntax is kept, as comparing is all that is done with it.
    """
    if not findings.is_a(tree, dict, path, 7285, "10.3"):
        return None
    resource_id = findings.member(tree, "resource-id", str, path, 7285, "10.3")
    tag = findings.member(tree, "tag", str, path, 7285, "10.3")
    if resource_id is None or tag is None:
        return None
    if not is_resource_id(resource_id):
        findings.must(join(path, "resource-id"), f"{shown(resource_id)} is no resource ID", 7285, "10.2")
    if not is_tag(tag):
        findings.must(join(path, "tag"), f"{shown(tag)} is no tag: 1 to 64 of U+0021 to U+007E", 7285, "10.3")
    return VTag(resource_id, tag)


def parse_meta(tree: Json, findings: Findings) -> dict[str, Json]:
    """The `meta` of a response; empty where there is none. Raises DecodeError when strict, or for no object."""
    if not isinstance(tree, dict):
        raise DecodeError(f"(document): an object is due, not {shown(tree)} (RFC 7285 section 8.4)")
    meta = findings.member(tree, "meta", dict, "", 7285, "8.4")
    return meta if meta is not None else {}


def parse_own_vtag(meta: dict[str, Json], findings: Findings, section: str, *, rfc: int = 7285) -> VTag | None:
    """The `vtag` that `meta` has to have by the clause given; None where there is none of use."""
    if "vtag" not in meta:
        findings.must("meta/vtag", "missing", rfc, section)
        return None
    return parse_vtag(meta["vtag"], findings, "meta/vtag")


def parse_dependent_vtags(
    meta: dict[str, Json], findings: Findings, section: str, *, rfc: int = 7285
) -> tuple[VTag, ...] | None:
    """The `dependent-vtags` that `meta` has to have by the clause given; None where they are missing."""
    found = findings.member(meta, "dependent-vtags", list, "meta", rfc, section)
    if found is None:
        return None
    parsed = (parse_vtag(tree, findings, "meta/dependent-vtags") for tree in found)
    return tuple(vtag for vtag in parsed if vtag is not None)


def content_tag(*content: Json) -> str:
    """A tag made of content: 40 hexadecimal digits that differ when any of it does (RFC 7285 section 6.3)."""
    return hashlib.sha256(canonical(content)).hexdigest()[:40]

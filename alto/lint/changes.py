"""What is wrong with a patch, whatever it is to be applied to (RFC 6902, RFC 7396)."""

import re

from alto._json import Json
from alto.findings import Findings, shown

_MEMBERS = {"add": "value", "replace": "value", "test": "value", "move": "from", "copy": "from", "remove": None}
_POINTER = re.compile(r"(?:/(?:[^/~]|~[01])*)*")


def lint_merge_patch(tree: Json, findings: Findings) -> None:
    """Any JSON value is a merge patch, but one that is no object takes the place of the whole document."""
    findings.is_a(tree, dict, "", 7396, "2")


def lint_json_patch(tree: Json, findings: Findings) -> None:
    """The operations of a JSON patch, each by itself."""
    if not findings.is_a(tree, list, "", 6902, "3"):
        return
    for number, operation in enumerate(tree):
        path = str(number)
        if not findings.is_a(operation, dict, path, 6902, "3"):
            continue
        kind = findings.member(operation, "op", str, path, 6902, "4")
        _check_pointer(operation, "path", path, findings)
        if kind is None:
            continue
        if kind not in _MEMBERS:
            findings.must(f"{path}/op", f"{shown(kind)} is none of the six operations", 6902, "4")
        elif _MEMBERS[kind] == "from":
            _check_pointer(operation, "from", path, findings)
        elif _MEMBERS[kind] == "value" and "value" not in operation:
            findings.must(f"{path}/value", "missing", 6902, "4")


def _check_pointer(operation: dict[str, Json], name: str, path: str, findings: Findings) -> None:
    text = findings.member(operation, name, str, path, 6902, "4")
    if text is not None and _POINTER.fullmatch(text) is None:
        findings.must(f"{path}/{name}", f"{shown(text)} is no JSON pointer", 6901, "3")

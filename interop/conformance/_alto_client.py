"""ALTO's directories and error responses for the conformance vectors, as a client reads them."""

from collections.abc import Callable, Mapping
from typing import Any

from alto import media
from alto._json import dumps
from alto.client.errors import server_error
from alto.closure import Closure, join_directories
from alto.errors import DecodeError
from alto.findings import Findings, Level
from alto.http import Response
from alto.ird import ResourceEntry, parse_directory, resolve

_Json = dict[str, Any]


def _closure(args: _Json, findings: Findings) -> Closure:
    """The closure of `body`, found at `uri`, and of the IRDs `linked` by their URIs."""
    documents = {args["uri"]: args["body"], **args.get("linked", {})}
    directories = {
        uri: parse_directory(tree, findings, uri, is_root=uri == args["uri"]) for uri, tree in documents.items()
    }
    links = {
        entry.uri
        for directory in directories.values()
        for entry in directory.resources.values()
        if entry.document_type == media.DIRECTORY
    }
    return join_directories(directories, findings, is_complete=links <= documents.keys())


def _directory(args: _Json) -> Any:
    closure = _closure(args, Findings())
    value: _Json = {"resources": {name: _entry(closure, entry) for name, entry in closure.entries.items()}}
    default = closure.root.default_network_map
    return value if default is None else {"default-alto-network-map": default, **value}


def _entry(closure: Closure, entry: ResourceEntry) -> _Json:
    cost_types = {name: list(cost_type.key) for name, cost_type in closure.cost_types[entry.id].items()}
    optional = {"accepts": entry.accepts, "uses": list(entry.uses), "cost-types": cost_types}
    return {
        "uri": entry.uri,
        "media-type": entry.media_type,
        **{name: value for name, value in optional.items() if value},
    }


def _faults(args: _Json) -> Any:
    findings = Findings(strict=False)
    _closure(args, findings)
    broken = {(item.rfc, item.section) for item in findings.items if item.level is Level.MUST}
    return [f"rfc{rfc} {section}" for rfc, section in sorted(broken)]


def _resolve(args: _Json) -> Any:
    absolute = resolve(args["base"], args["reference"])
    if absolute is None:
        raise DecodeError("no http or https URI")
    return absolute


def _error(args: _Json) -> Any:
    response = Response(args["status"], (("Content-Type", media.ERROR),), dumps(args["body"]))
    error = server_error(response, "")
    if error.findings:
        raise DecodeError(str(error.findings[0]))
    value = list(error.value) if isinstance(error.value, tuple) else error.value
    meta = {"code": error.code, "field": error.field, "value": value, "syntax-error": error.syntax_error}
    return {name: text for name, text in meta.items() if text is not None}


CALLS: Mapping[str, Callable[[_Json], Any]] = {
    "directory": _directory,
    "directory-faults": _faults,
    "resolve-uri": _resolve,
    "error-response": _error,
}

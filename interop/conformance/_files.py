"""Vector files: find, load, validate and lint them (the format is `vectors.schema.json`).

``python -m interop.conformance._files FILE...`` prints every fault of the files and exits 1 if there is one.
"""

import importlib.util
import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import attrs
import jsonschema

PROTOCOLS = ("alto", "decade", "ledbat", "ppsp", "reload")
"""The packages that carry vectors, by import name."""

MAX_INTEGER = 2**53
"""Beyond it JSON readers that keep numbers as doubles are not exact: such integers are hex strings."""

_UPPER_HEX = re.compile(r"(?=.*[A-F])([0-9A-Fa-f]{2}){4,}")
_T = TypeVar("_T")


class ConformanceError(Exception):
    """A mistake of the caller: no such vectors, a file that is no vector file, a command that does not start."""


@attrs.frozen
class Spec:
    """A place in a document, such as section 8.4 of ``rfc7574``, and perhaps its words."""

    document: str
    section: str
    quote: str | None = None


@attrs.frozen
class Case:
    """One case, with what it shares with its group. `address` is ``protocol/topic/id``."""

    protocol: str
    topic: str
    id: str
    about: str
    spec: tuple[Spec, ...]
    level: str
    flags: tuple[str, ...]
    result: str
    op: str
    params: dict[str, Any]
    body: dict[str, Any] = attrs.field(repr=False)

    @property
    def address(self) -> str:
        """What the command line and `shown_by` call this case."""
        return f"{self.protocol}/{self.topic}/{self.id}"


@attrs.frozen
class VectorFile:
    """A file of vectors."""

    path: Path
    protocol: str
    topic: str
    about: str
    cases: tuple[Case, ...]


def load(path: Path) -> VectorFile:
    """Read a vector file.

    Raises:
        ConformanceError: the file cannot be read, or does not follow the format; the text lists every fault.
    """
    document = _read(path)
    found = list(faults(document))
    if found:
        raise ConformanceError("\n".join(f"{path}: {fault}" for fault in found))
    cases = [_case(document, group, case) for group in document["groups"] for case in group["cases"]]
    return VectorFile(path, document["protocol"], document["topic"], document["about"], tuple(cases))


def select(pattern: str | None = None) -> list[VectorFile]:
    """The vector files that ``protocol[/topic[/case]]`` names, each with the cases it names; None names them all.

    Raises:
        ConformanceError: nothing has that name, or a file is at fault.
    """
    protocol, _, rest = (pattern or "").partition("/")
    topic, _, case_id = rest.partition("/")
    if protocol and protocol not in PROTOCOLS:
        raise ConformanceError(f"no vectors for {protocol!r}: there are {', '.join(PROTOCOLS)}")
    files = [load(path) for name in PROTOCOLS if protocol in ("", name) for path in paths(name)]
    if not files:
        raise ConformanceError(f"no vectors found for {protocol or ', '.join(PROTOCOLS)}")
    _check_unique(files)
    if rest:
        files = _named(files, [file.topic for file in files], topic)
    if case_id:
        cases = _named(files[0].cases, [case.id for case in files[0].cases], case_id)
        files = [attrs.evolve(files[0], cases=tuple(cases))]
    return files


def paths(protocol: str) -> list[Path]:
    """The vector files of a package, without importing it."""
    spec = importlib.util.find_spec(protocol)
    folders = spec.submodule_search_locations if spec else None
    return sorted(path for folder in folders or () for path in Path(folder, "vectors").glob("*.json"))


def faults(document: Any) -> Iterator[str]:
    """What is wrong with a decoded file: against the schema, or else against the rules that a schema cannot state."""
    errors = sorted(_validator().iter_errors(document), key=lambda error: error.json_path)
    if errors:
        yield from (f"{error.json_path}: {_message(error)}" for error in errors)
        return
    cases = [case for group in document["groups"] for case in group["cases"]]
    yield from _repeated(case["id"] for case in cases)
    declared, used = set(document["flags"]), {flag for case in cases for flag in case["flags"]}
    yield from (f"flag {flag} is used but not declared" for flag in sorted(used - declared))
    yield from (f"flag {flag} is declared but not used" for flag in sorted(declared - used))
    for case in cases:
        times = [step["at"] for step in case.get("steps", ())]
        if times != sorted(times):
            yield f"{case['id']}: a step is earlier than the step before it"
    for group in document["groups"]:
        yield from (f"params: {fault}" for fault in _value_faults(group.get("params", {})))
        for case in group["cases"]:
            body = [case.get(name) for name in ("args", "value", "steps")]
            yield from (f"{case['id']}: {fault}" for fault in _value_faults(body))


def _read(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConformanceError(f"{path}: {exc}") from exc
    try:
        document = json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
    except ValueError as exc:
        raise ConformanceError(f"{path}: not JSON: {exc}") from exc
    if isinstance(document, dict) and document.get("topic") != path.stem:
        raise ConformanceError(f"{path}: topic {document.get('topic')!r} is not the file's name")
    return document


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError(f"a member is given twice among {', '.join(name for name, _ in pairs)}")
    return members


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


@cache
def _validator() -> jsonschema.Draft202012Validator:
    schema = json.loads(Path(__file__).with_name("vectors.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def _message(error: jsonschema.ValidationError) -> str:
    message = error.message
    return message if len(message) < 160 else f"{message[:60]} ... {message[-90:]}"


def _repeated(ids: Iterable[str]) -> Iterator[str]:
    seen: set[str] = set()
    for case_id in ids:
        if case_id in seen:
            yield f"id {case_id} is used twice"
        seen.add(case_id)


def _value_faults(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        value = value.values()
    elif isinstance(value, str):
        if _UPPER_HEX.fullmatch(value) and not value.isdigit():
            yield f"{value[:40]!r} looks like hex in upper case"
        return
    elif isinstance(value, int):
        if abs(value) > MAX_INTEGER:
            yield f"{value} is beyond 2^53: write it as a hex string of fixed width"
        return
    elif not isinstance(value, list):
        return
    for member in value:
        yield from _value_faults(member)


def _case(document: dict[str, Any], group: dict[str, Any], case: dict[str, Any]) -> Case:
    return Case(
        protocol=document["protocol"],
        topic=document["topic"],
        id=case["id"],
        about=case["about"],
        spec=tuple(_spec(entry) for entry in case["spec"]),
        level=case.get("level", "must"),
        flags=tuple(case["flags"]),
        result=case["result"],
        op=group["op"],
        params=group["params"],
        body={name: case[name] for name in ("wire", "canonical", "args", "value", "steps") if name in case},
    )


def _spec(entry: dict[str, str]) -> Spec:
    (document, section), *_ = ((name, value) for name, value in entry.items() if name != "quote")
    return Spec(document, section, entry.get("quote"))


def _check_unique(files: list[VectorFile]) -> None:
    for protocol in {file.protocol for file in files}:
        for fault in _repeated(case.id for file in files if file.protocol == protocol for case in file.cases):
            raise ConformanceError(f"{protocol}: {fault}")


def _named(items: Sequence[_T], names: list[str], name: str) -> list[_T]:
    found = [item for item, own in zip(items, names, strict=True) if own == name]
    if not found:
        shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        raise ConformanceError(f"no vectors named {name!r}: there are {shown or 'none'}")
    return found


def _main(arguments: list[str]) -> int:
    status = 0
    for argument in arguments:
        try:
            print(f"{argument}: {len(load(Path(argument)).cases)} cases")
        except ConformanceError as exc:
            status = 1
            print(exc, file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))

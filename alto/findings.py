"""What is wrong with what a server sent, by the clause that it breaks.

Whoever reads a response is handed a `Findings`: a strict one raises at the first broken MUST, a lenient one notes it
and lets the reader leave out or guess what is at fault. The linter is a lenient reading that shows what it noted.
"""

from enum import StrEnum

from attrs import frozen

from alto._json import Json
from alto.errors import DecodeError


class Level(StrEnum):
    """How binding the clause is that was broken."""

    MUST = "must"
    SHOULD = "should"
    NOTE = "note"
    """No clause is broken, but a reader wants to know."""


@frozen
class Finding:
    """One deviation. `path` is the member, with slashes; `rfc` and `section` are the clause."""

    level: Level
    path: str
    text: str
    rfc: int
    section: str

    def __str__(self) -> str:
        return f"{self.path or '(document)'}: {self.text} (RFC {self.rfc} section {self.section})"


_KINDS = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", int: "an integer", float: "a number"}


MAX_FINDINGS = 10_000
"""Findings that one reading keeps: a document of some megabytes can hold a hundred thousand."""


class Findings:
    """Collects findings, the first MAX_FINDINGS; a `strict` one raises DecodeError instead for a broken MUST."""

    def __init__(self, *, strict: bool = True) -> None:
        self.strict = strict
        self.items: list[Finding] = []

    def must(self, path: str, text: str, rfc: int, section: str) -> None:
        """A MUST is broken. Raises DecodeError when strict."""
        finding = Finding(Level.MUST, path, text, rfc, section)
        if self.strict:
            raise DecodeError(str(finding))
        self._keep(finding)

    def ignored(self, path: str, text: str, rfc: int, section: str) -> None:
        """A MUST is broken, and another tells the reader to ignore what is at fault: even a strict one goes on."""
        self._keep(Finding(Level.MUST, path, text, rfc, section))

    def should(self, path: str, text: str, rfc: int, section: str) -> None:
        """A SHOULD is broken."""
        self._keep(Finding(Level.SHOULD, path, text, rfc, section))

    def note(self, path: str, text: str, rfc: int, section: str) -> None:
        """Worth knowing."""
        self._keep(Finding(Level.NOTE, path, text, rfc, section))

    def _keep(self, finding: Finding) -> None:
        if len(self.items) < MAX_FINDINGS:
            self.items.append(finding)

    def is_a(self, value: Json, kind: type, path: str, rfc: int, section: str) -> bool:
        """Whether `value` is of the JSON type `kind` (float: any number; int: no boolean); a finding if not."""
        if is_json(value, kind):
            return True
        self.must(path, f"{_KINDS[kind]} is due, not {shown(value)}", rfc, section)
        return False

    def member(self, tree: dict[str, Json], name: str, kind: type, path: str, rfc: int, section: str) -> Json | None:
        """The required member `name` of the object at `path`; None, with a finding, where it is absent or no `kind`."""
        inner = join(path, name)
        if name not in tree:
            self.must(inner, "missing", rfc, section)
            return None
        return tree[name] if self.is_a(tree[name], kind, inner, rfc, section) else None

    def optional(self, tree: dict[str, Json], name: str, kind: type, path: str, rfc: int, section: str) -> Json | None:
        """Like `member`, for one that may be absent."""
        return self.member(tree, name, kind, path, rfc, section) if name in tree else None


def is_json(value: Json, kind: type) -> bool:
    """Whether `value` is of the JSON type `kind`; float stands for any number, and no boolean is one."""
    if kind is bool:
        return isinstance(value, bool)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, kind) and not isinstance(value, bool)


def join(path: str, name: str) -> str:
    """The path of a member, as RFC 7285 section 8.5.2 writes it."""
    return f"{path}/{name}" if path else name


def shown(value: Json) -> str:
    """A value in a message: its type, and what it is as far as that is short."""
    if isinstance(value, dict | list):
        return _KINDS[type(value)]
    return f"{value!r:.60}"

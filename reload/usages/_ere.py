"""Extended regular expressions of POSIX (IEEE 1003.1 section 9.4), matched in time linear in the text.

The `re` of Python tries one way after the other, which may take it as long as 2 to the power of the text. This follows
all ways at once, as Thompson's automaton does. A pattern matches a whole text, of ASCII, whatever the case.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Iterator
from typing import TypeAlias

import attrs

from reload.errors import DecodeError

MAX_PATTERN = 512
"""Characters; a domain name has 253 at most."""
MAX_STATES = 1000
"""Of an automaton, with its repetitions written out: what a character of the text may cost."""
MAX_DEPTH = 32
"""Parentheses within one another."""
MAX_REPEAT = 255
"""RE_DUP_MAX of POSIX."""

_ALL = (1 << 128) - 1
_BOUNDS = re.compile(r"\{([0-9]{1,3})(?:(,)([0-9]{1,3})?)?\}")
_CLASSES = {
    "alnum": string.ascii_letters + string.digits,
    "alpha": string.ascii_letters,
    "blank": " \t",
    "cntrl": "".join(map(chr, [*range(32), 127])),
    "digit": string.digits,
    "graph": "".join(map(chr, range(33, 127))),
    "lower": string.ascii_lowercase,
    "print": "".join(map(chr, range(32, 127))),
    "punct": string.punctuation,
    "space": " \t\n\v\f\r",
    "upper": string.ascii_uppercase,
    "xdigit": string.hexdigits,
}


@attrs.frozen
class _Sequence:
    parts: tuple[_Node, ...]


@attrs.frozen
class _Alternatives:
    branches: tuple[_Node, ...]


@attrs.frozen
class _Repeated:
    """At least so often, and at most so often, or without end."""

    part: _Node
    least: int
    most: int | None


@attrs.frozen
class _Anchor:
    at_start: bool


_Node: TypeAlias = _Sequence | _Alternatives | _Repeated | _Anchor | int
"""An integer is a set of characters: bit n stands for character n."""


@attrs.define
class _State:
    """One of `characters` leads to the first of `leads`; with none, nothing leads to them all, if the anchor agrees."""

    leads: list[int]
    characters: int = 0
    anchor: _Anchor | None = None


class Pattern:
    """A pattern. Raises DecodeError for one whose meaning POSIX leaves undefined, and for one that is too large."""

    def __init__(self, pattern: str) -> None:
        if len(pattern) > MAX_PATTERN or not pattern.isascii():
            raise DecodeError(f"pattern: {pattern!r:.60} is not ASCII, or over {MAX_PATTERN} characters")
        node = _Parser(pattern).read()
        self._states = [_State([])]
        self._work = 0
        self._first = self._emit(node, 0)
        self._onwards: dict[int, int] = {}
        self._accepting: dict[int, int] = {}

    def fullmatch(self, text: str) -> bool:
        """Whether it matches all of the text."""
        if not text.isascii():
            return False
        active = self._reach([self._first], at_start=True, at_end=not text)
        for left, code in zip(range(len(text) - 1, -1, -1), text.encode("ascii"), strict=True):
            targets = [self._states[number].leads[0] for number in _members(active & self._accept(code))]
            if left:
                active = 0
                for target in targets:
                    active |= self._reach_within(target)
            else:
                active = self._reach(targets, at_end=True)
        return active & 1 == 1

    def _accept(self, code: int) -> int:
        """The states that the character leads on from."""
        found = self._accepting.get(code)
        if found is None:
            found = sum(1 << number for number, state in enumerate(self._states) if state.characters >> code & 1)
            self._accepting[code] = found
        return found

    def _reach_within(self, target: int) -> int:
        """As `_reach`, between two characters of the text: the same ones each time."""
        found = self._onwards.get(target)
        if found is None:
            found = self._onwards[target] = self._reach([target])
        return found

    def _reach(self, targets: Iterable[int], *, at_start: bool = False, at_end: bool = False) -> int:
        """The states that one gets to from these without a character: bit n stands for state n, 0 is the end."""
        found: set[int] = set()
        todo = list(targets)
        while todo:
            number = todo.pop()
            state = self._states[number]
            is_open = state.anchor is None or (at_start if state.anchor.at_start else at_end)
            if number not in found and is_open:
                found.add(number)
                if not state.characters:
                    todo += state.leads
        return sum(1 << number for number in found)

    def _emit(self, node: _Node, after: int) -> int:
        """The first state of the part, behind which `after` comes."""
        self._work += 1
        # A part that may occur 0 times makes no state, and takes time all the same.
        if self._work > MAX_STATES or len(self._states) > MAX_STATES:
            raise DecodeError(f"pattern: over {MAX_STATES} states")
        match node:
            case int():
                return self._new(_State([after], node))
            case _Anchor():
                return self._new(_State([after], anchor=node))
            case _Sequence(parts):
                for part in reversed(parts):
                    after = self._emit(part, after)
                return after
            case _Alternatives(branches):
                return self._new(_State([self._emit(branch, after) for branch in branches]))
            case _Repeated(part, least, most):
                end = after
                if most is None:
                    after = self._new(_State([end]))
                    self._states[after].leads.append(self._emit(part, after))
                else:
                    for _ in range(most - least):
                        after = self._new(_State([end, self._emit(part, after)]))
                for _ in range(least):
                    after = self._emit(part, after)
                return after

    def _new(self, state: _State) -> int:
        self._states.append(state)
        return len(self._states) - 1


class _Parser:
    """Reads a pattern by the grammar of IEEE 1003.1 section 9.5.3."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0
        self._depth = 0

    def read(self) -> _Node:
        node = self._alternatives()
        if self._at != len(self._pattern):
            raise self._error("a parenthesis that was not opened")
        return node

    def _error(self, what: str) -> DecodeError:
        return DecodeError(f"pattern: {what} at {self._at} of {self._pattern!r:.60}")

    def _peek(self) -> str:
        return self._pattern[self._at : self._at + 1]

    def _next(self) -> str:
        character = self._peek()
        self._at += 1
        return character

    def _alternatives(self) -> _Node:
        branches = [self._branch()]
        while self._peek() == "|":
            self._at += 1
            branches.append(self._branch())
        return branches[0] if len(branches) == 1 else _Alternatives(tuple(branches))

    def _branch(self) -> _Node:
        parts: list[_Node] = []
        while self._peek() not in ("", "|", ")"):
            parts.append(self._repeated(self._atom()))
        if not parts:
            raise self._error("nothing, where an expression is due,")
        return parts[0] if len(parts) == 1 else _Sequence(tuple(parts))

    def _repeated(self, part: _Node) -> _Node:
        match self._peek():
            case "*":
                least, most = 0, None
            case "+":
                least, most = 1, None
            case "?":
                least, most = 0, 1
            case "{":
                return self._bounded(part)
            case _:
                return part
        self._at += 1
        return self._once(_Repeated(part, least, most))

    def _bounded(self, part: _Node) -> _Node:
        match = _BOUNDS.match(self._pattern, self._at)
        if match is None:
            raise self._error("a brace without bounds")
        least = int(match[1])
        most = least if match[2] is None else int(match[3]) if match[3] else None
        if least > MAX_REPEAT or (most is not None and not least <= most <= MAX_REPEAT):
            raise self._error("bounds that cannot be")
        self._at = match.end()
        return self._once(_Repeated(part, least, most))

    def _once(self, repeated: _Repeated) -> _Repeated:
        if isinstance(repeated.part, _Anchor) or self._peek() in ("*", "+", "?", "{"):
            raise self._error("a repetition of an anchor or a repetition")
        return repeated

    def _atom(self) -> _Node:
        match self._next():
            case "(":
                return self._group()
            case "[":
                return self._bracket()
            case ".":
                return _ALL & ~1  # NUL is in no text
            case "^":
                return _Anchor(at_start=True)
            case "$":
                return _Anchor(at_start=False)
            case "\\":
                escaped = self._next()
                # Letters and digits mean something else in other languages, and nothing here.
                if not escaped or escaped.isalnum():
                    raise self._error(f"an escape of {escaped!r}")
                return _either_case(escaped)
            case "*" | "+" | "?" | "{":
                raise self._error("a repetition of nothing")
            case character:
                return _either_case(character)

    def _group(self) -> _Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._error(f"over {MAX_DEPTH} parentheses within one another")
        node = self._alternatives()
        if self._next() != ")":
            raise self._error("a parenthesis that was not closed")
        self._depth -= 1
        # An anchor in parentheses may be repeated.
        return _Sequence((node,)) if isinstance(node, _Anchor) else node

    def _bracket(self) -> int:
        is_negated = self._peek() == "^"
        self._at += is_negated
        found = 0
        is_first = True
        while (character := self._next()) != "]" or is_first:
            is_first = False
            if character == "[" and self._peek() == ":":
                found |= self._class()
                continue
            start = self._element(character)
            stop = start
            if self._peek() == "-" and self._pattern[self._at + 1 : self._at + 2] not in ("]", ""):
                self._at += 1
                stop = self._element(self._next())
            if stop < start:
                raise self._error("a range that goes backwards")
            for code in range(ord(start), ord(stop) + 1):
                found |= _either_case(chr(code))
        found = _ALL & ~1 & ~found if is_negated else found
        if not found:
            raise self._error("a bracket that nothing matches")
        return found

    def _class(self) -> int:
        stop = self._pattern.find(":]", self._at + 1)
        members = _CLASSES.get(self._pattern[self._at + 1 : stop]) if stop >= 0 else None
        if members is None:
            raise self._error("an unknown class of characters")
        self._at = stop + 2
        found = 0
        for character in members:
            found |= _either_case(character)
        return found

    def _element(self, character: str) -> str:
        """A character of a bracket expression; `[.x.]` and `[=x=]` are x in the POSIX locale."""
        if not character:
            raise self._error("a bracket that was not closed")
        symbol = self._peek()
        if character != "[" or symbol not in (".", "="):
            return character
        element = self._pattern[self._at + 1 : self._at + 2]
        if self._pattern[self._at + 2 : self._at + 4] != symbol + "]":
            raise self._error("a collating element of several characters")
        self._at += 4
        return element


def _either_case(character: str) -> int:
    return 1 << ord(character.lower()) | 1 << ord(character.upper())


def _members(numbers: int) -> Iterator[int]:
    """The numbers of the bits that are 1."""
    while numbers:
        lowest = numbers & -numbers
        yield lowest.bit_length() - 1
        numbers ^= lowest

"""Reading the PIDs of a network map, the server's own or one that was sent (RFC 7285 sections 10.1, 10.4 and 11.2)."""

from collections.abc import Mapping
from typing import TypeAlias

from alto._json import Json
from alto.address import (
    ADDRESS_TYPES,
    BITS,
    FAMILIES,
    HostBitsError,
    format_address,
    format_prefix,
    is_address_type,
    parse_address,
    parse_prefix,
)
from alto.findings import Findings, join, shown
from alto.lpm import PrefixTable, PrefixTableBuilder
from alto.types import is_pid_name

Groups: TypeAlias = dict[str, dict[str, list[str]]]
Pids: TypeAlias = Mapping[str, Mapping[str, tuple[str, ...]]]
"""By PID name and address type: the prefixes."""


class PidReader:
    """Takes PIDs one by one, notes what is wrong with them, and builds the map and the table of what is right.

    A strict `Findings` raises DecodeError at the first broken MUST. With a lenient one a prefix with host bits is read
    without them, an address as the prefix of its whole length, and what is no prefix, or in a PID already, left out.
    """

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._builder = PrefixTableBuilder()
        self._names: list[str] = []
        self.groups: Groups = {}
        """What was read, each prefix in its one spelling."""
        self.unknown_types: dict[str, None] = {}
        """The address types that are no IP addresses; the client "MUST ignore" them, section 11.2.1.7."""

    def read(self, name: str, group: Json, path: str) -> None:
        """Take the PID `name` with its EndpointAddrGroup, which is at `path`."""
        kept = self._open(name, path)
        if not self._findings.is_a(group, dict, path, 7285, "10.4.5"):
            return
        for kind, prefixes in group.items():
            inner = join(path, kind)
            family = FAMILIES.get(kind)
            if family is not None:
                if self._findings.is_a(prefixes, list, inner, 7285, "10.4.5"):
                    kept[kind] = self._read_prefixes(prefixes, family, inner)
            elif not is_address_type(kind):
                self._findings.must(inner, f"{shown(kind)} is no address type", 7285, "10.4.2")
            else:
                self.unknown_types[kind] = None
                self._findings.note(inner, "an address type that is not known here: ignored", 7285, "11.2.1.7")
                if isinstance(prefixes, list) and all(isinstance(prefix, str) for prefix in prefixes):
                    kept[kind] = prefixes

    def complete(self, name: str) -> None:
        """Add the prefix of the whole family to the PID `name`, where addresses of a family are in no PID."""
        for family in self._builder.families:
            if self._first_gap(family) is not None:
                self._open(name, name).setdefault(ADDRESS_TYPES[family], []).append(format_prefix(family, 0, 0))
                self._builder.add(family, 0, 0, self._names.index(name))

    def check_complete(self, path: str) -> None:
        """Whether every address of each family that the map contains is in a PID (section 11.2.2)."""
        for family in self._builder.families:
            gap = self._first_gap(family)
            if gap is not None:
                first, last = (format_address(family, value) for value in gap)
                self._findings.must(path, f"incomplete: no PID contains {first} to {last}, for one", 7285, "11.2.2")

    def table(self) -> PrefixTable:
        """The table of all prefixes, which stand for the places of their PIDs."""
        return self._builder.table()

    def _first_gap(self, family: int) -> tuple[int, int] | None:
        return next(self._builder.gaps(family), None)

    def _open(self, name: str, path: str) -> dict[str, list[str]]:
        if name not in self.groups:
            if not is_pid_name(name):
                self._findings.must(path, f"{shown(name)} is no PID name", 7285, "10.1")
            self.groups[name] = {}
            self._names.append(name)
        return self.groups[name]

    def _read_prefixes(self, prefixes: list[Json], family: int, path: str) -> list[str]:
        place = len(self._names) - 1
        add = self._builder.add
        kept: list[str] = []
        for text in prefixes:
            try:
                value, length = parse_prefix(text, family)
                # Without host bits, an IPv4 prefix has one spelling only.
                exact = text if family == 4 else format_prefix(family, value, length)
            except (ValueError, AttributeError) as error:  # AttributeError: it is no string
                guess = self._guess(text, family, path, error)
                if guess is None:
                    continue
                value, length = guess
                exact = format_prefix(family, value, length)
            else:
                if exact != text:
                    self._findings.should(path, f"{text} is {exact} in the form of RFC 5952", 7285, "10.4.4.2")
            other = add(family, value, length, place)
            if other is None:
                kept.append(exact)
            elif other == place:
                self._findings.note(path, f"{exact} is there twice", 7285, "11.2.2")
            else:
                text = f"{exact} is in the PID {self._names[other]!r} already"
                self._findings.must(path, text, 7285, "11.2.2")
        return kept

    def _guess(self, text: Json, family: int, path: str, error: Exception) -> tuple[int, int] | None:
        """Note that a prefix is none; its value and length, as far as they can be guessed."""
        section = f"10.4.4.{1 if family == 4 else 2}"
        if not self._findings.is_a(text, str, path, 7285, "10.4.5"):
            return None
        self._findings.must(path, str(error), 7285, section)
        if isinstance(error, HostBitsError):
            return error.value, error.length
        try:
            kind, value = parse_address(text)
        except ValueError:
            return None
        return (value, BITS[family]) if kind == family else None

"""Costs between PIDs as a matrix, and the costs of the pairs that a request asks for (RFC 7285 section 6.2).

Costs are IEEE 754 doubles, as section 11.3.2.3 wants them. Inside, NaN stands for a cost that is not defined; outside
that is None, or nothing at all.
"""

from __future__ import annotations

import hashlib
import math
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import count, repeat
from numbers import Real
from types import NoneType
from typing import Any, TypeAlias

from attrs import frozen

from alto._json import Json, canonical
from alto.errors import ConfigurationError
from alto.patch import InexpressibleError
from alto.types import is_pid_name

_numpy: Any
try:
    import numpy as _numpy
except ModuleNotFoundError:  # the extra `alto-fast` is not installed
    _numpy = None

_NAN = math.nan
_MAX_WHOLE = 2**53
_MANY = 100_000
"""Pairs from which on numpy ranks them faster than a dictionary."""
_FEW = 1_000
"""Costs that are told one by one even if they are most of the map."""
_NUMBERS = {int, float, NoneType}

Row: TypeAlias = list[float]


@frozen
class Grid:
    """The costs of m times n pairs, made row by row, as often as they are asked for."""

    rows: Callable[[], Iterator[Row]]
    is_complete: bool
    """No cost is NaN."""
    is_integral: bool
    """Every cost that is there is an integer of at most 53 bits."""
    pairs: int
    """How many costs it has, m times n."""
    integers: Callable[[], Iterator[list[int]]] | None = None
    """Like `rows` of integers only, where there is a faster way to them."""
    matrix: CostMatrix | None = None
    """Of which these are all the costs."""

    def lists(self) -> Iterator[Sequence[float | None]]:
        """The rows with None where there is no cost, and integers where all are."""
        if self.integers is not None:
            return self.integers()
        return map(self._plain, self.rows())

    def _plain(self, row: Row) -> Sequence[float | None]:
        if self.is_complete:
            return list(map(int, row)) if self.is_integral else row
        if self.is_integral:
            return [int(cost) if cost == cost else None for cost in row]
        return [cost if cost == cost else None for cost in row]


def ranked(grid: Grid, *, prefers_higher: bool) -> Grid:
    """The ranks of the costs among all of the grid: 1 for the best, equal for equal costs, without gaps.

    They are the ordinal costs of section 6.1.2.2.
    """
    if _numpy is not None and grid.pairs >= _MANY:
        return _ranked_many(grid, prefers_higher)
    distinct: set[float] = set()
    for row in grid.rows():
        distinct.update(row if grid.is_complete else [cost for cost in row if cost == cost])
    ranks: dict[float, float] = dict(zip(sorted(distinct, reverse=prefers_higher), count(1)))

    def rows() -> Iterator[Row]:
        return (list(map(ranks.get, row, repeat(_NAN))) for row in grid.rows())

    return Grid(rows, grid.is_complete, True, grid.pairs)


def _ranked_many(grid: Grid, prefers_higher: bool) -> Grid:
    """Like `ranked`: sorting millions of distinct costs is what numpy is for."""
    costs = _numpy.array(list(grid.rows()))
    places = _numpy.unique(-costs if prefers_higher else costs, return_inverse=True)[1]
    ranks = places.reshape(costs.shape) + 1

    def rows() -> Iterator[Any]:
        return (row.tolist() for row in ranks)

    if grid.is_complete:
        return Grid(rows, True, True, grid.pairs, rows)
    ranks = ranks.astype(float)
    ranks[_numpy.isnan(costs)] = _NAN
    return Grid(rows, False, True, grid.pairs)


def grid_of(rows: Sequence[Sequence[float | None]], width: int) -> Grid:
    """A grid of costs that an application has made, None where there is none.

    Raises ConfigurationError for rows that are not `width` numbers or None.
    """
    made = [_row(row, width) for row in rows]
    known = [cost for row in made for cost in row if cost == cost]
    return Grid(lambda: iter(made), len(known) == len(made) * width, _are_whole(known), len(made) * width)


def _are_whole(costs: Row) -> bool:
    return all(map(float.is_integer, costs)) and max(map(abs, costs), default=0) <= _MAX_WHOLE


def _row(row: Sequence[float | None], width: int) -> Row:
    if len(row) != width:
        raise ConfigurationError(f"a row of {len(row)} costs, where {width} are due")
    kinds = set(map(type, row))
    if not kinds <= _NUMBERS and not all(map(_is_number, kinds)):
        raise ConfigurationError("a cost is a number, or None where there is none")
    try:
        # With 0.0 added, -0.0 is 0.0.
        made = [_NAN if cost is None else float(cost) + 0.0 for cost in row]
    except OverflowError as error:
        raise ConfigurationError("a cost beyond what a double holds") from error
    if any(map(math.isinf, made)):
        raise ConfigurationError("an infinite cost, which JSON cannot say")
    return made


def _is_number(kind: type) -> bool:
    """Whether it is a kind of number, those of numpy too, or of none."""
    return kind in _NUMBERS or (issubclass(kind, Real) and not issubclass(kind, bool))


class CostMatrix:
    """The cost from each source PID to each destination PID. It never changes.

    `rows` has a row for each source with a cost for each destination, None or NaN where there is none; rows, or all of
    them together, may be numpy arrays. Raises ConfigurationError for names that break the syntax of PIDs or stand there
    twice, a row of the wrong length, and what is no finite number.
    """

    __slots__ = (
        "_column_of",
        "_row_of",
        "_rows",
        "_tag",
        "destinations",
        "is_complete",
        "is_integral",
        "is_negative",
        "sources",
    )

    sources: tuple[str, ...]
    destinations: tuple[str, ...]
    is_complete: bool
    """There is a cost for each pair."""
    is_integral: bool
    """Every cost is an integer."""
    is_negative: bool
    """Some cost is below 0."""

    def __init__(
        self, sources: Sequence[str], destinations: Sequence[str], rows: Sequence[Sequence[float | None]]
    ) -> None:
        self.sources = _names(sources)
        self.destinations = _names(destinations)
        self._row_of = {name: index for index, name in enumerate(self.sources)}
        self._column_of = {name: index for index, name in enumerate(self.destinations)}
        self._tag: str | None = None
        if len(rows) != len(self.sources):
            raise ConfigurationError(f"{len(rows)} rows of costs for {len(self.sources)} sources")
        # One more row and column of NaN, which the index -1 of a name that is not there leads to.
        if _numpy is not None:
            self._adopt_numpy(rows)
        else:
            self._adopt(rows)

    @classmethod
    def from_mapping(cls, costs: Mapping[str, Mapping[str, float | None]]) -> CostMatrix:
        """The matrix of what the `cost-map` of a response holds. Raises ConfigurationError."""
        destinations = list(dict.fromkeys(name for row in costs.values() for name in row))
        return cls(list(costs), destinations, [[*map(row.get, destinations)] for row in costs.values()])

    def _adopt(self, rows: Sequence[Sequence[float | None]]) -> None:
        width = len(self.destinations)
        self.is_complete = self.is_integral = True
        self.is_negative = False
        kept: list[Any] = []
        for given in rows:
            row = _row(given, width)
            known = row
            if any(map(math.isnan, row)):
                self.is_complete = False
                known = [cost for cost in row if cost == cost]
            self.is_integral = self.is_integral and _are_whole(known)
            self.is_negative = self.is_negative or min(known, default=0) < 0
            kept.append(array("d", [*row, _NAN]))
        self._rows: Any = [*kept, array("d", [_NAN]) * (width + 1)]

    def _adopt_numpy(self, rows: Sequence[Sequence[float | None]]) -> None:
        height, width = len(self.sources), len(self.destinations)
        values = _numpy.full((height + 1, width + 1), _NAN)
        if isinstance(rows, _numpy.ndarray):
            if rows.shape != (height, width) or rows.dtype.kind not in "iuf":
                raise ConfigurationError(
                    f"a {rows.dtype} array of {rows.shape}, where numbers of {(height, width)} are due"
                )
            with _numpy.errstate(over="ignore"):  # what a double does not hold becomes an infinity, and is refused
                values[:height, :width] = rows
        else:
            for index, row in enumerate(rows):
                values[index, :width] = _row(row, width)
        known = values[:height, :width]
        missing = _numpy.isnan(known)
        known[missing] = _NAN
        known += 0.0  # -0.0 becomes 0.0
        if _numpy.isinf(known).any():
            raise ConfigurationError("an infinite cost, which JSON cannot say")
        self.is_complete = not bool(missing.any())
        whole = (known == _numpy.floor(known)) & (_numpy.abs(known) <= _MAX_WHOLE)
        self.is_integral = bool((whole | missing).all())
        self.is_negative = bool((known < 0).any())
        values.flags.writeable = False
        self._rows = values

    @property
    def tag(self) -> str:
        """40 hexadecimal digits that differ when the costs do."""
        if self._tag is None:
            digest = hashlib.sha256(canonical([self.sources, self.destinations]))
            for row in self._rows:
                digest.update(row)
            self._tag = digest.hexdigest()[:40]
        return self._tag

    def get(self, source: str, destination: str) -> float | None:
        """The cost; None where there is none."""
        cost = float(self._rows[self._row_of.get(source, -1)][self._column_of.get(destination, -1)])
        return cost if cost == cost else None

    def grid(self, sources: Sequence[str | None], destinations: Sequence[str | None]) -> Grid:
        """The costs between these; there is none from or to a PID that the matrix does not know, or None."""
        at = [self._row_of.get(name, -1) for name in sources]  # type: ignore[arg-type]
        columns: list[int] | None = None
        if tuple(destinations) != self.destinations:
            columns = list(map(self._column_of.get, destinations, repeat(-1)))  # type: ignore[arg-type]
        is_complete = self.is_complete and -1 not in at and (columns is None or -1 not in columns)
        pairs = len(at) * len(destinations)
        whole = self if columns is None and tuple(sources) == self.sources else None
        rows = self._rows
        if _numpy is None:
            take = _all if columns is None else _taker(columns)
            return Grid(lambda: (take(rows[index]) for index in at), is_complete, self.is_integral, pairs, None, whole)
        pick = _all_numpy if columns is None else _picker(columns)
        integers: Callable[[], Iterator[list[int]]] | None = None
        if is_complete and self.is_integral:
            integers = lambda: (pick(rows[index]).astype(_numpy.int64).tolist() for index in at)  # noqa: E731
        return Grid(
            lambda: (pick(rows[index]).tolist() for index in at), is_complete, self.is_integral, pairs, integers, whole
        )

    def merge_patch_from(self, old: CostMatrix) -> dict[str, Json]:
        """The merge patch (RFC 7396) from one `cost-map` to another, empty where they are the same.

        Raises InexpressibleError where so much has changed that the whole says it in fewer words.
        """
        if old is self:
            return {}
        sources = tuple(dict.fromkeys((*old.sources, *self.sources)))
        destinations = tuple(dict.fromkeys((*self.destinations, *old.destinations)))
        if old.destinations == self.destinations:
            sources = tuple(name for name in sources if self._octets(name) != old._octets(name))
        before, after = old.grid(sources, destinations), self.grid(sources, destinations)
        found: dict[str, Json] = {}
        left = _FEW + len(self.sources) * len(self.destinations) // 2
        for source, was, costs in zip(sources, before.lists(), after.lists(), strict=True):
            changed = {name: cost for name, one, cost in zip(destinations, was, costs, strict=True) if one != cost}
            if changed:
                # A source without any cost is not shown.
                found[source] = changed if any(cost is not None for cost in costs) else None
                left -= len(changed)
                if left < 0:
                    raise InexpressibleError("most of the costs have changed")
        return found

    def _octets(self, source: str) -> bytes:
        octets: bytes = self._rows[self._row_of.get(source, -1)].tobytes()
        return octets

    def ranks(self, *, prefers_higher: bool = False) -> CostMatrix:
        """The ordinal costs of the whole map: each cost by its rank, 1 for the most preferred."""
        whole = self.grid(self.sources, self.destinations)
        return CostMatrix(self.sources, self.destinations, [*ranked(whole, prefers_higher=prefers_higher).lists()])

    def restricted(self, pids: Iterable[str]) -> CostMatrix:
        """The costs between PIDs that are among `pids`; itself where all are."""
        known = set(pids)
        if known.issuperset(self._row_of) and known.issuperset(self._column_of):
            return self
        sources = [name for name in self.sources if name in known]
        destinations = [name for name in self.destinations if name in known]
        return CostMatrix(sources, destinations, [*self.grid(sources, destinations).lists()])

    def to_mapping(self) -> dict[str, dict[str, float]]:
        """Source to destination to cost, of the pairs that have one."""
        grid = self.grid(self.sources, self.destinations)
        return {
            source: {name: cost for name, cost in zip(self.destinations, row, strict=True) if cost is not None}
            for source, row in zip(self.sources, grid.lists(), strict=True)
        }


def _names(names: Sequence[str]) -> tuple[str, ...]:
    found = tuple(names)
    if len(set(found)) != len(found):
        raise ConfigurationError("a PID stands twice among the sources or destinations of a cost matrix")
    for name in found:
        if not is_pid_name(name):
            raise ConfigurationError(f"{name!r:.80} is no PID name: at most 64 of A-Z a-z 0-9 - : @ _")
    return found


def _all(row: Any) -> Row:
    return list(row[:-1])


def _taker(columns: Sequence[int]) -> Callable[[Any], Row]:
    """A function from a row of a matrix to its costs in these columns."""
    return lambda row: list(map(row.__getitem__, columns))


def _all_numpy(row: Any) -> Any:
    return row[:-1]


def _picker(columns: Sequence[int]) -> Callable[[Any], Any]:
    """Like `_taker`, of arrays."""
    indices = _numpy.array(columns, dtype=_numpy.intp)
    return lambda row: row.take(indices)

"""The answer to a request for costs, made row by row: as octets for the wire, or as a tree when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import compress
from typing import TypeAlias

from attrs import frozen

from alto._json import Json, dumps
from alto.calendar import Calendar, calendar_response_attributes
from alto.constraints import Tests, mask
from alto.costrequest import CostRequest
from alto.costs import CostMatrix, Grid, ranked
from alto.directory import Document
from alto.metrics import ORDINAL, prefers_higher
from alto.patch import merge_diff
from alto.types import CostType, VTag

try:
    import orjson as _  # noqa: F401
except ModuleNotFoundError:  # the extra `alto-fast` is not installed
    _HAS_ORJSON = False
else:
    _HAS_ORJSON = True

MAX_TEXTS = 50_000
"""Texts of costs that are kept while a map is encoded. Real maps repeat a few thousand costs; where they do not, a
memory for them would cost more than it saves."""
_SMALL = 2_000
"""Pairs up to which an answer is made as one tree: what it takes to make it row by row does not pay."""

_Values: TypeAlias = Iterator[Sequence[Json]]
_Array: TypeAlias = "type[list[Json]] | type[tuple[Json, ...]]"
"""What an array is made as: a list in a tree, a tuple on the way to octets, which is several times faster."""


@frozen
class Costs:
    """One cost type's costs of the pairs that are asked for."""

    grid: Grid
    """As they are now; in the first interval of a calendar."""
    intervals: tuple[Grid, ...] = ()
    """In each interval of a calendar, if that is asked for."""

    @property
    def is_complete(self) -> bool:
        """Each pair has a value."""
        return any(grid.is_complete for grid in self.intervals or (self.grid,))

    def values(self, array: _Array) -> _Values:
        """A row of values for each source; None where there is none."""
        if not self.intervals:
            return self.grid.lists()
        return _arrays([grid.lists() for grid in self.intervals], self.is_complete, array)


def _arrays(columns: Sequence[_Values], is_complete: bool, array: _Array) -> _Values:
    """An array of what the columns have of a pair; None where they have nothing, which is nowhere if `is_complete`."""
    nothing = (None,) * len(columns)
    for rows in zip(*columns, strict=True):
        found = zip(*rows, strict=True)
        yield list(map(array, found) if is_complete else (None if one == nothing else array(one) for one in found))


def ordered(grid: Grid, cost_type: CostType, *, is_rank: bool = False) -> Grid:
    """The costs as the mode of the cost type wants them: ranks for ordinal ones. `is_rank`: they are ranks already."""
    if cost_type.cost_mode != ORDINAL:
        return grid
    return ranked(grid, prefers_higher=not is_rank and prefers_higher(cost_type.cost_metric))


@frozen
class CostTable:
    """The costs that a request is answered with."""

    sources: Sequence[str]
    destinations: Sequence[str]
    costs: Sequence[Costs]
    """Of each cost type asked for."""
    is_multi_cost: bool = False
    tests: Tests = ()
    tested: Mapping[int, Grid] = {}
    """The costs that the tests look at, by the index in the predicates."""

    def rows(self, array: _Array = list) -> Iterator[tuple[str, dict[str, Json]]]:
        """Each source that has costs to show, with those to each destination."""
        is_complete = any(costs.is_complete for costs in self.costs)
        columns = [costs.values(array) for costs in self.costs]
        rows = _arrays(columns, is_complete, array) if self.is_multi_cost else columns[0]
        for source, values, kept in zip(self.sources, rows, self._kept(), strict=True):
            pairs: Iterable[tuple[str, Json]] = zip(self.destinations, values, strict=True)
            if kept is not None:
                pairs = compress(pairs, kept)
            row = dict(pairs) if is_complete else {name: value for name, value in pairs if value is not None}
            if row:
                yield source, row

    def _kept(self) -> Iterator[list[bool] | None]:
        """For each source which destinations are kept, None for all."""
        if not self.tests:
            return (None for _ in self.sources)
        rows = zip(*(grid.rows() for grid in self.tested.values()), strict=True)
        return (mask(self.tests, dict(zip(self.tested, row, strict=True))) for row in rows)

    @property
    def is_plain(self) -> bool:
        """Whether each pair that has a cost is shown, with a number."""
        return not self.is_multi_cost and not self.tests and not self.costs[0].intervals

    @property
    def is_small(self) -> bool:
        """Whether to make it at once."""
        return len(self.sources) * len(self.destinations) * len(self.costs) <= _SMALL

    def encoded_rows(self) -> Iterator[bytes]:
        """The members of the object that `rows` makes, without what is between them."""
        if _HAS_ORJSON or not self.is_plain:
            return (b"%b:%b" % (dumps(source), dumps(row)) for source, row in self.rows(tuple))
        return _texts(self.sources, self.destinations, self.costs[0].grid)


class _Texts(dict[float, str]):
    """The text of each cost, made once."""

    def __init__(self, spell: Callable[[float], str]) -> None:
        self._spell = spell

    def __missing__(self, cost: float) -> str:
        text = self[cost] = self._spell(cost)
        return text


def _integer(cost: float) -> str:
    return str(int(cost))


def _texts(sources: Sequence[str], destinations: Sequence[str], grid: Grid) -> Iterator[bytes]:
    """Like `encoded_rows`, twice as fast as the standard library's JSON: names and costs are turned to text once."""
    names = [dumps(name).decode("utf-8") + ":" for name in destinations]
    whole = "{" + ",".join([name.replace("%", "%%") + "%s" for name in names]) + "}"
    spell: Callable[[float], str] = _integer if grid.is_integral else repr
    texts = _Texts(spell)
    for source, row in zip(sources, grid.rows(), strict=True):
        known = row if grid.is_complete else [cost for cost in row if cost == cost]
        if not known:
            continue
        shown = map(texts.__getitem__ if len(texts) < MAX_TEXTS else spell, known)
        if len(known) == len(row):
            text = whole % tuple(shown)
        else:
            there = compress(names, [cost == cost for cost in row])
            text = "{" + ",".join(map(str.__add__, there, shown)) + "}"
        yield dumps(source) + b":" + text.encode("utf-8")


class CostDocument(Document):
    """An answer of costs. Octets and tree are each made from the costs when they are asked for, and kept.

    `origin` is another document that has the same costs, and their octets before this one.
    """

    __slots__ = ("_member", "_meta", "_origin", "_table")

    def __init__(
        self,
        media_type: str,
        meta: dict[str, Json],
        member: str,
        table: CostTable,
        *,
        vtag: VTag | None = None,
        origin: CostDocument | None = None,
    ) -> None:
        super().__init__(media_type, encode=self._encoded, vtag=vtag)
        self._origin = origin
        self._meta = meta
        self._member = member
        self._table = table

    @property
    def tree(self) -> Json:
        """The JSON value. It is shared: whoever changes it changes it for all."""
        if self._tree is None:
            self._tree = {"meta": self._meta, self._member: dict(self._table.rows())}
        return self._tree

    def with_meta(self, meta: dict[str, Json]) -> CostDocument:
        """The same costs for somebody else: they are not encoded again."""
        return CostDocument(self.media_type, meta, self._member, self._table, origin=self)

    def _costs(self) -> memoryview:
        return memoryview(self.body)[len(self._start()) : -2]

    def _start(self) -> bytes:
        return b'{"meta":%b,%b:{' % (dumps(self._meta), dumps(self._member))

    def merge_patch_from(self, old: Document) -> dict[str, Json] | None:
        """Where both are whole cost maps: their trees would be many times larger than they are."""
        if not isinstance(old, CostDocument) or self._matrix is None or old._matrix is None:
            return None
        patch: dict[str, Json] = merge_diff({"meta": old._meta}, {"meta": self._meta})
        costs = self._matrix.merge_patch_from(old._matrix)
        return patch | {self._member: costs} if costs else patch

    @property
    def _matrix(self) -> CostMatrix | None:
        return self._table.costs[0].grid.matrix if self._table.is_plain else None

    def _encoded(self) -> bytes:
        if self._origin is not None:
            return b"".join((self._start(), self._origin._costs(), b"}}"))
        if self._table.is_small:
            return dumps(self.tree)
        return b"%b%b}}" % (self._start(), b",".join(self._table.encoded_rows()))


def costs_meta(request: CostRequest, calendars: Mapping[str, Calendar]) -> dict[str, Json]:
    """The part of `meta` that says what the costs are (RFC 7285 11.2.3.6, RFC 8189 4.1.3, RFC 8896 5.1.2)."""
    meta: dict[str, Json] = {}
    if request.is_multi_cost:
        meta["cost-type"] = {}
        meta["multi-cost-types"] = [shown_type(cost_type) for cost_type in request.cost_types]
    else:
        meta["cost-type"] = shown_type(request.cost_types[0])
    given = {name: calendars[name] for name, wanted in zip(request.names, request.calendared, strict=True) if wanted}
    if given:
        meta["calendar-response-attributes"] = calendar_response_attributes(given, has_names=request.is_multi_cost)
    return meta


def shown_type(cost_type: CostType) -> dict[str, Json]:
    """A cost type as a response has it: the description is for the IRD only."""
    tree = cost_type.to_json()
    tree.pop("description", None)
    return tree

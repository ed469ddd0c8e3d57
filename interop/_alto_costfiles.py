"""Costs from files: a CSV file with a column for each metric or interval, or the JSON of a cost map.

A file of millions of costs is read by columns, many rows at a time; one that is not clean is read again, row
by row, for the line of what is wrong in it.
"""

import math
from array import array
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from alto._json import Json
from alto.costs import CostMatrix
from alto.errors import ConfigurationError
from alto.types import is_pid_name
from interop._alto_files import UnevenError, chunks, header, member, reading, rows

MAX_COSTS = 2**26
"""Sources times destinations of one file: each pair takes eight octets, whether it has a cost or not."""

ENDS = ("source", "destination")


def load_costs(path: Path, *, column: str = "cost", pids: Collection[str] | None = None) -> CostMatrix:
    """The costs in a file: .csv with the columns `source`, `destination` and `column`, or .json, a cost map's answer.

    An empty cell is no cost. With `pids` a PID that is not one of them is a mistake. Raises ConfigurationError.
    """
    return load_cost_columns(path, [column], pids=pids)[column]


def load_cost_columns(
    path: Path, columns: Sequence[str] | None = None, *, pids: Collection[str] | None = None
) -> dict[str, CostMatrix]:
    """Like `load_costs` for several columns at once, or for all; a JSON file has the costs of the one that is asked."""
    with reading(path):
        if path.suffix.lower() == ".csv":
            return _of_csv(path, columns, pids)
        if path.suffix.lower() == ".json" and columns is not None and len(columns) == 1:
            return {columns[0]: _matrix(path, _costs_of_json(path, pids))}
    raise ConfigurationError(f"{path}: costs are read from .csv and .json")


def load_intervals(
    path: Path, columns: Sequence[str] | None = None, *, pids: Collection[str] | None = None
) -> list[CostMatrix]:
    """The costs of a calendar, for each interval: .csv with a column for each, all or those named, in that order;
    or .json, the answer of a cost map with calendars. Raises ConfigurationError.
    """
    with reading(path):
        if path.suffix.lower() == ".csv":
            found = list(_of_csv(path, columns, pids).values())
            if not found:
                raise ConfigurationError(f"{path}, line 1: a column for each interval is due")
            return found
        if path.suffix.lower() == ".json":
            return _intervals_of_json(path, pids)
    raise ConfigurationError(f"{path}: calendars are read from .csv and .json")


def cost_columns(path: Path) -> list[str]:
    """The columns of a CSV file that may be costs; none for any other file. Raises ConfigurationError."""
    if path.suffix.lower() != ".csv":
        return []
    with reading(path):
        return [name for name in header(path, ENDS) if name not in ENDS]


class _Places(dict[str, int]):
    """The place of each name, in the order in which they come."""

    def __missing__(self, name: str) -> int:
        place = self[name] = len(self)
        return place


class _Table:
    """The rows of a file: places of sources and destinations, and the costs in each of the columns."""

    def __init__(self, columns: Sequence[str]) -> None:
        self.sources, self.destinations = _Places(), _Places()
        self._from, self._to = array("L"), array("L")
        self._costs = {name: array("d") for name in columns}

    def add(self, sources: Iterable[str], destinations: Iterable[str], costs: Sequence[Iterable[float]]) -> None:
        self._from.extend(map(self.sources.__getitem__, sources))
        self._to.extend(map(self.destinations.__getitem__, destinations))
        for values, more in zip(self._costs.values(), costs, strict=True):
            values.extend(more)

    def is_clean(self, pids: Collection[str] | None) -> bool:
        """Whether each pair is there once, and between PIDs."""
        names = {*self.sources, *self.destinations}
        if not all(map(is_pid_name, names)) or (pids is not None and not names <= set(pids)):
            return False
        seen = bytearray(len(self.sources) * len(self.destinations))
        for place in self._pairs():
            seen[place] = 1
        return sum(seen) == len(self._from)

    def matrices(self, path: Path) -> dict[str, CostMatrix]:
        height, width = len(self.sources), len(self.destinations)
        if height * width > MAX_COSTS:
            raise ConfigurationError(
                f"{path}: costs from {height} to {width} PIDs are more than the {MAX_COSTS} that a server can hold"
            )
        found: dict[str, CostMatrix] = {}
        for name, values in self._costs.items():
            flat = array("d", [math.nan]) * (height * width)
            for place, cost in zip(self._pairs(), values, strict=True):
                flat[place] = cost
            lines = [flat[at : at + width] for at in range(0, height * width, width or 1)]
            found[name] = CostMatrix(list(self.sources), list(self.destinations), lines)
        return found

    def _pairs(self) -> Iterator[int]:
        width = len(self.destinations)
        return (source * width + destination for source, destination in zip(self._from, self._to, strict=True))


def _of_csv(path: Path, columns: Sequence[str] | None, pids: Collection[str] | None) -> dict[str, CostMatrix]:
    wanted = list(dict.fromkeys(cost_columns(path) if columns is None else columns))
    try:
        table = _quickly(path, wanted)
    except (UnevenError, ValueError):
        table = None
    if table is None or len(table.sources) * len(table.destinations) > MAX_COSTS or not table.is_clean(pids):
        table = _row_by_row(path, wanted, pids)
    return table.matrices(path)


def _quickly(path: Path, columns: Sequence[str]) -> _Table:
    """Raises ValueError for a cell that is no number."""
    table = _Table(columns)
    for names, cells in chunks(path, (*ENDS, *columns)):
        source, destination, *costs = (cells[names.index(name)] for name in (*ENDS, *columns))
        table.add(source, destination, [_numbers(cells) for cells in costs])
    return table


def _numbers(cells: Sequence[str]) -> list[float]:
    known = [cell for cell in cells if cell] if "" in cells else cells
    found = list(map(float, known))
    if not math.isfinite(sum(found)):
        raise ValueError("costs are finite")
    return found if len(found) == len(cells) else [float(cell) if cell else math.nan for cell in cells]


def _row_by_row(path: Path, columns: Sequence[str], pids: Collection[str] | None) -> _Table:
    table = _Table(columns)
    names, lines = rows(path, (*ENDS, *columns))
    at = [names.index(name) for name in (*ENDS, *columns)]
    seen: set[tuple[str, str]] = set()
    for line, row in lines:
        source, destination, *cells = (row[place] for place in at)
        for name in (source, destination):
            _check_pid(f"{path}, line {line}", name, pids)
        if (source, destination) in seen:
            raise ConfigurationError(f"{path}, line {line}: the cost from {source} to {destination} is there already")
        seen.add((source, destination))
        table.add([source], [destination], [[_number(cell, path, line)] for cell in cells])
    return table


def _check_pid(where: str, name: str, pids: Collection[str] | None) -> None:
    if not is_pid_name(name):
        raise ConfigurationError(f"{where}: {name!r:.80} is no PID name: 1 to 64 of A-Z a-z 0-9 - : @ _ are one")
    if pids is not None and name not in pids:
        raise ConfigurationError(f"{where}: the network map has no PID {name!r}")


def _number(cell: str, path: Path, line: int) -> float:
    if not cell:
        return math.nan
    try:
        cost = float(cell)
    except ValueError:
        cost = math.nan
    if not math.isfinite(cost):
        raise ConfigurationError(f"{path}, line {line}: {cell!r:.80} is no cost: a number is due")
    return cost


def _costs_of_json(path: Path, pids: Collection[str] | None) -> dict[str, dict[str, float]]:
    costs = member(path, "cost-map")
    for source, to in costs.items():
        _check_pid(str(path), source, pids)
        if not isinstance(to, dict):
            raise ConfigurationError(f"{path}: the costs from {source} are to be an object")
        for destination, cost in to.items():
            if isinstance(cost, bool) or not isinstance(cost, int | float):
                raise ConfigurationError(f"{path}: the cost from {source} to {destination} is to be a number")
    for name in {name for to in costs.values() for name in to}:
        _check_pid(str(path), name, pids)
    found: dict[str, dict[str, float]] = costs
    return found


def _intervals_of_json(path: Path, pids: Collection[str] | None) -> list[CostMatrix]:
    costs = member(path, "cost-map")
    lengths = set()
    for source, to in costs.items():
        _check_pid(str(path), source, pids)
        if not isinstance(to, dict):
            raise ConfigurationError(f"{path}: the costs from {source} are to be an object")
        for destination, values in to.items():
            _check_pid(str(path), destination, pids)
            if not isinstance(values, list) or not all(_is_cost(value) for value in values):
                raise ConfigurationError(f"{path}: the costs from {source} to {destination} are to be an array")
            lengths.add(len(values))
    if len(lengths) != 1 or 0 in lengths:
        raise ConfigurationError(f"{path}: the same number of intervals is due for each pair, not {sorted(lengths)}")
    return [
        _matrix(
            path,
            {source: {name: values[place] for name, values in to.items()} for source, to in costs.items()},
        )
        for place in range(lengths.pop())
    ]


def _is_cost(value: Json) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _matrix(path: Path, costs: dict[str, dict[str, float]]) -> CostMatrix:
    try:
        return CostMatrix.from_mapping(costs)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from error

"""Lines of Python that become a function."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

from reload._specs import Spec

Member: TypeAlias = tuple[str, Spec]


class Source:
    """The lines of a function, and the names that they refer to."""

    def __init__(self, names: Mapping[str, Any]) -> None:
        self._lines: list[str] = []
        self._names = dict(names)
        self._depth = 1
        self._fresh = 0

    def line(self, *lines: str) -> None:
        """Add lines."""
        self._lines += ["    " * self._depth + line for line in lines]

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """What is added inside stands in a block under `head`."""
        self.line(head)
        self._depth += 1
        yield
        self._depth -= 1

    def fresh(self, stem: str) -> str:
        """A name that is not taken."""
        self._fresh += 1
        return f"_{stem}{self._fresh}"

    def name(self, value: Any, stem: str) -> str:
        """A name for a value from outside."""
        name = self.fresh(stem)
        self._names[name] = value
        return name

    def build(self, head: str, where: str) -> Callable[..., Any]:
        """The function with that `def`; `where` is what a traceback calls it."""
        text = "\n".join([head, *self._lines])
        exec(compile(text, f"<reload {where}>", "exec"), self._names)
        built: Callable[..., Any] = self._names["function"]
        return built


def runs(members: Iterable[Member]) -> Iterator[list[Member]]:
    """Members of fixed size that stand side by side together, the others one by one."""
    run: list[Member] = []
    for member in members:
        if member[1].code is not None:
            run.append(member)
            continue
        if run:
            yield run
            run = []
        yield [member]
    if run:
        yield run

"""pytest plugin: conformance vectors as test items, beside the tests that were asked for.

``pytest --conformance ppsp`` or ``--conformance ppsp/messages`` runs our vectors, ``--conformance-file=FILE`` your own;
``--conformance-exec CMD`` runs them against another implementation. ``-m conformance`` runs nothing else.

Write the file behind an equals sign: pytest takes a path that stands alone for one of its own arguments when it looks
for the root folder, before it knows of this plugin.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from interop.conformance._files import Case, VectorFile
    from interop.conformance._runner import Implementation

# The modules that do the work are imported when an option asks for them: every run of pytest loads this plugin.
_CHILD = pytest.StashKey[Any]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("conformance", "conformance vectors of the IETF's peer-to-peer protocols")
    group.addoption(
        "--conformance",
        action="append",
        default=[],
        metavar="PROTOCOL[/TOPIC[/CASE]]",
        help="run these conformance vectors as well (may be repeated)",
    )
    group.addoption(
        "--conformance-file",
        action="append",
        default=[],
        metavar="FILE",
        help="run the vectors of this file as well (may be repeated); mind the equals sign",
    )
    group.addoption(
        "--conformance-exec",
        metavar="CMD",
        help="ask this command, one JSON object a line in and out, instead of our own packages",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "conformance: a conformance vector (--conformance)")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.option.conformance or config.option.conformance_file:
        items.extend(_collect(session, config))


def pytest_unconfigure(config: pytest.Config) -> None:
    child = config.stash.get(_CHILD, None)
    if child is not None:
        child.close()


def _collect(session: pytest.Session, config: pytest.Config) -> Iterable["VectorItem"]:
    try:
        from interop.conformance._exec import Child
        from interop.conformance._files import ConformanceError, load, select
        from interop.conformance._runner import local
    except ModuleNotFoundError as exc:
        raise pytest.UsageError(f"{exc}: conformance vectors need ietf-p2p[interop]") from exc
    try:
        files = [file for pattern in config.option.conformance for file in select(pattern)]
        files += [load(Path(path)) for path in config.option.conformance_file]
        if config.option.conformance_exec:
            child = config.stash[_CHILD] = Child(config.option.conformance_exec)
            subjects: list[Implementation] = [child] * len(files)
        else:
            subjects = [local(file.protocol) for file in files]
    except ConformanceError as exc:
        raise pytest.UsageError(str(exc)) from exc
    for file, subject in zip(files, subjects, strict=True):
        report = session.ihook.pytest_make_collect_report(collector=VectorCollector.of(session, file, subject))
        session.ihook.pytest_collectreport(report=report)
        yield from report.result


class VectorCollector(pytest.Collector):
    """A vector file. It is no `pytest.File`: the files live in an installed package, outside of the tests' root."""

    vectors: "VectorFile"
    subject: "Implementation"

    @classmethod
    def of(cls, session: pytest.Session, vectors: "VectorFile", subject: "Implementation") -> "VectorCollector":
        """The collector of a file's cases."""
        name = f"{vectors.protocol}/{vectors.topic}"
        node = cls.from_parent(session, name=name, nodeid=name)
        node.vectors, node.subject = vectors, subject
        return node

    def collect(self) -> Iterable["VectorItem"]:
        for case in self.vectors.cases:
            yield VectorItem.of(self, case)


class VectorItem(pytest.Item):
    """A case."""

    case: "Case"
    collector: VectorCollector

    @classmethod
    def of(cls, collector: VectorCollector, case: "Case") -> "VectorItem":
        """The item of a case."""
        item = cls.from_parent(collector, name=case.id, nodeid=case.address)
        item.case, item.collector = case, collector
        item.add_marker("conformance")
        return item

    def runtest(self) -> None:
        from interop.conformance._runner import Status, check

        result = check(self.case, self.collector.subject)
        if result.status is Status.SKIPPED:
            pytest.skip(result.reason)
        if result.status is Status.FAILED:
            raise VectorError(result.reason)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], *args: Any, **kwargs: Any) -> Any:
        if not isinstance(excinfo.value, VectorError):
            return super().repr_failure(excinfo, *args, **kwargs)
        places = ", ".join(f"{spec.document.upper()} section {spec.section}" for spec in self.case.spec)
        return f"{excinfo.value}\n{places} ({self.case.level.upper()}): {self.case.about}"

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.collector.vectors.path, None, self.case.address


class VectorError(Exception):
    """A case failed; the text says how."""

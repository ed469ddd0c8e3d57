"""Conformance vectors: load, check and run them, against these packages or any other implementation.

Nothing heavy is imported until a name is used: pytest imports this package at every start, for its plugin.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interop.conformance._exec import DEFAULT_TIMEOUT, Child
    from interop.conformance._files import Case, ConformanceError, VectorFile, load, select
    from interop.conformance._runner import Result, Status, check, local, run

__all__ = [
    "DEFAULT_TIMEOUT",
    "Case",
    "Child",
    "ConformanceError",
    "Result",
    "Status",
    "VectorFile",
    "check",
    "load",
    "local",
    "run",
    "select",
]

_HOME = {
    **dict.fromkeys(("DEFAULT_TIMEOUT", "Child"), "_exec"),
    **dict.fromkeys(("Case", "ConformanceError", "VectorFile", "load", "select"), "_files"),
    **dict.fromkeys(("Result", "Status", "check", "local", "run"), "_runner"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)

"""Sources and destinations as words: names of PIDs, or addresses."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from alto.client.costs import endpoint
from alto.errors import ConfigurationError
from alto.types import is_pid_name
from interop.cli._errors import MistakeError

SELF = "-"
"""The word for this client itself, as the server sees it."""


@attrs.frozen
class Ends:
    """Between what the costs or paths are. No sources are this client, or all PIDs; no destinations are all PIDs."""

    sources: tuple[str, ...]
    destinations: tuple[str, ...]
    are_pids: bool

    @property
    def between(self) -> str:
        """What RFC 9275 resources are chosen by."""
        return "pids" if self.are_pids else "endpoints"


def ends(source: str | None, destinations: Sequence[str], between: str | None) -> Ends:
    """Read a source, or several with commas, and destinations: addresses where all are, else names of PIDs.

    Raises MistakeError.
    """
    sources = [] if source in (None, SELF) else [word for word in str(source).split(",") if word]
    words = [*sources, *destinations]
    if between is None:
        between = "endpoints" if source == SELF or (words and all(map(_endpoint_or_none, words))) else "pids"
    if between == "pids":
        wrong = [word for word in words if not is_pid_name(word)]
        if wrong or source == SELF:
            raise MistakeError(f"{wrong[0] if wrong else SELF!r:.80} is neither the name of a PID nor an address")
        return Ends(tuple(sources), tuple(destinations), True)
    if not words:
        raise MistakeError("costs between addresses need a source or a destination")
    return Ends(tuple(map(address, sources)), tuple(map(address, destinations)), False)


def address(word: str) -> str:
    """A typed address from one with or without type. Raises MistakeError."""
    found = _endpoint_or_none(word)
    if found is None:
        raise MistakeError(f"{word!r:.80} is no IP address")
    return found


def _endpoint_or_none(word: str) -> str | None:
    try:
        return endpoint(word)
    except ConfigurationError:
        return None


def shown(end: str) -> str:
    """A PID or an address for a person: `ipv4:192.0.2.1` as `192.0.2.1`."""
    return end[5:] if end.startswith(("ipv4:", "ipv6:")) else end

"""The PIDs of the endpoints that requests name."""

from __future__ import annotations

from alto._blocks import Blocks
from alto.address import (
    BITS,
    FAMILIES,
    canonical_endpoint,
    format_endpoint,
    is_plainly_canonical,
    parse_endpoint,
    parse_prefix,
)
from alto.networkmap import NetworkMap
from alto.params import bad_value

_KINDS = {4: "ipv4:", 6: "ipv6:"}

MAX_KNOWN = 50_000
"""Endpoints whose PIDs are kept, some 10 MB: clients of one application ask for the same peers again and again. One
request may name more than that, and those of the last one are kept in any case."""


class Locator:
    """Finds the PIDs of endpoints in one network map, and keeps those that it found last."""

    __slots__ = ("_blocks", "_known", "_names", "_spellings", "network_map")

    def __init__(self, network_map: NetworkMap) -> None:
        self.network_map = network_map
        self._names = (*network_map.names, None)
        self._blocks: Blocks | None = None
        self._known: dict[str, str | None] = {}
        self._spellings: dict[str, str] = {}
        """Of those, what is not written as RFC 5952 has it, and how that is written."""

    def locate(self, texts: list[str], path: str) -> tuple[list[str], list[str | None]]:
        """The endpoints without further spellings of the same one, and their PIDs; None for what the map does not have.

        Raises RequestError, at `path`, for what is no endpoint, and for a prefix that is not in a single PID.
        """
        try:
            pids = list(map(self._known.__getitem__, texts))
        except KeyError:
            self._learn(texts, path)
            pids = list(map(self._known.__getitem__, texts))
        spellings = self._spellings
        if not spellings or spellings.keys().isdisjoint(texts):
            return texts, pids
        once: dict[str, tuple[str, str | None]] = {}
        for text, pid in zip(texts, pids, strict=True):
            once.setdefault(spellings.get(text, text), (text, pid))
        return [text for text, _ in once.values()], [pid for _, pid in once.values()]

    def _learn(self, texts: list[str], path: str) -> None:
        """Let all of them be known."""
        if len(self._known) + len(texts) > MAX_KNOWN:
            self._known.clear()
            self._spellings.clear()
        new = [text for text in texts if text not in self._known]
        of_family = {family: [text for text in new if text.startswith(kind)] for family, kind in _KINDS.items()}
        try:
            if sum(map(len, of_family.values())) < len(new):
                raise ValueError("an endpoint of another type")
            for family, endpoints in of_family.items():
                self._learn_addresses(family, endpoints)
        except ValueError:
            for text in new:  # one of which is a prefix, or wrong
                self._learn_one(text, path)

    def _learn_addresses(self, family: int, endpoints: list[str]) -> None:
        """Let addresses of one family be known. Raises ValueError for any other text."""
        indices = self.network_map.table.lookup_texts(family, [text[5:] for text in endpoints])
        names = self._names
        pids = [names[-1 if index is None else index] for index in indices]
        if family == 6:
            unsure = [text for text in endpoints if not is_plainly_canonical(text)]
            self._spellings.update((text, key) for text in unsure if (key := canonical_endpoint(text)) != text)
        self._known.update(zip(endpoints, pids, strict=True))

    def _learn_one(self, text: str, path: str) -> None:
        """Let an address or a prefix be known. Raises RequestError."""
        kind, _, rest = text.partition(":")
        try:
            if "/" not in rest or kind not in FAMILIES:
                self._learn_addresses(parse_endpoint(text)[0], [text])
                return
            family = FAMILIES[kind]
            value, length = parse_prefix(rest, family)
        except ValueError as error:
            raise bad_value(path, text) from error
        if self._blocks is None:
            self._blocks = Blocks(self.network_map.table)
        index = self._blocks.lookup(family, value, length)
        if index is None:
            raise bad_value(path, text)
        key = _canonical(family, value, length)
        if key != text:
            self._spellings[text] = key
        self._known[text] = self._names[index]


def _canonical(family: int, value: int, length: int) -> str:
    """The one text of a prefix as an endpoint; of one of full length that of the address."""
    address = format_endpoint(family, value)
    return address if length == BITS[family] else f"{address}/{length}"

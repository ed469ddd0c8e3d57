"""The PIDs of the endpoints that requests name."""

from __future__ import annotations

from alto._blocks import Blocks
from alto.address import BITS, FAMILIES, format_endpoint, parse_endpoint, parse_prefix
from alto.networkmap import NetworkMap
from alto.params import bad_value

MAX_KNOWN = 50_000
"""Endpoints whose PIDs are kept, some 10 MB: clients of one application ask for the same peers again and again."""

Block = tuple[int, int, int]
"""Family, first value and prefix length: of an address that of a whole address."""


def parse_block(text: str) -> Block:
    """The typed endpoint address, or the prefix such as `ipv4:192.0.2.0/24`, that `text` is. Raises ValueError."""
    kind, _, rest = text.partition(":")
    if "/" in rest and kind in FAMILIES:
        return FAMILIES[kind], *parse_prefix(rest, FAMILIES[kind])
    family, value = parse_endpoint(text)
    return family, value, BITS[family]


def canonical_block(block: Block) -> str:
    """The one text of an endpoint."""
    family, value, length = block
    address = format_endpoint(family, value)
    return address if length == BITS[family] else f"{address}/{length}"


class Locator:
    """Finds the PIDs of endpoints in one network map, and keeps those that it found last."""

    __slots__ = ("_blocks", "_known", "network_map")

    def __init__(self, network_map: NetworkMap) -> None:
        self.network_map = network_map
        self._blocks: Blocks | None = None
        # By its text, what else is written otherwise and is the same endpoint, and its PID. An IPv4 address has one
        # spelling, and is known by that: None.
        self._known: dict[str, tuple[str | None, str | None]] = {}

    def locate(self, texts: list[str], path: str) -> tuple[list[str], list[str | None]]:
        """The endpoints without further spellings of the same one, and their PIDs; None for what the map does not have.

        Raises RequestError, at `path`, for what is no endpoint, and for a prefix that is not in a single PID.
        """
        try:
            found = list(map(self._known.__getitem__, texts))
        except KeyError:
            found = self._learn(texts, path)
        if any(key for key, _ in found):
            once: dict[str, tuple[str, str | None]] = {}
            for text, (key, pid) in zip(texts, found, strict=True):
                once.setdefault(key or text, (text, pid))
            return [text for text, _ in once.values()], [pid for _, pid in once.values()]
        return texts, [pid for _, pid in found]

    def _learn(self, texts: list[str], path: str) -> list[tuple[str | None, str | None]]:
        known = self._known
        new = [text for text in texts if text not in known]
        blocks = [_parse(text, path) for text in new]
        names = (*self.network_map.names, None)
        indices = self.network_map.table.lookup_each([block[:2] for block in blocks])
        found: dict[str, tuple[str | None, str | None]] = {}
        for text, block, index in zip(new, blocks, indices, strict=True):
            if block[2] < BITS[block[0]]:
                index = self._whole(block)
                if index is None:
                    raise bad_value(path, text)
            key = canonical_block(block) if block[0] == 6 or "/" in text else None
            found[text] = (key, names[-1 if index is None else index])
        result = [known.get(text) or found[text] for text in texts]
        if len(known) + len(found) > MAX_KNOWN:
            known.clear()
        if len(found) <= MAX_KNOWN:
            known.update(found)
        return result

    def _whole(self, block: Block) -> int | None:
        if self._blocks is None:
            self._blocks = Blocks(self.network_map.table)
        return self._blocks.lookup(*block)


def _parse(text: str, path: str) -> Block:
    try:
        return parse_block(text)
    except ValueError as error:
        raise bad_value(path, text) from error

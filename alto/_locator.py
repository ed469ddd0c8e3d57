"""The PIDs of the endpoints that requests name."""

from __future__ import annotations

from alto._blocks import Blocks
from alto.address import BITS, FAMILIES, format_endpoint, parse_endpoint, parse_prefix
from alto.networkmap import NetworkMap
from alto.params import bad_value

MAX_KNOWN = 50_000
"""Endpoints whose PIDs are kept, some 10 MB: clients of one application ask for the same peers again and again."""

Located = tuple[str | None, str | None]
"""What else is written otherwise and is the same endpoint, and its PID. An IPv4 address has one spelling: None."""


class Locator:
    """Finds the PIDs of endpoints in one network map, and keeps those that it found last."""

    __slots__ = ("_blocks", "_known", "network_map")

    def __init__(self, network_map: NetworkMap) -> None:
        self.network_map = network_map
        self._blocks: Blocks | None = None
        self._known: dict[str, Located] = {}

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

    def _learn(self, texts: list[str], path: str) -> list[Located]:
        known = self._known
        new = [text for text in texts if text not in known]
        prefixes: dict[int, int] = {}
        try:
            addresses = list(map(parse_endpoint, new))
        except ValueError:
            addresses, prefixes = _parse_prefixes(new, path)
        indices = self.network_map.table.lookup_each(addresses)
        for place, length in prefixes.items():
            indices[place] = index = self._whole(*addresses[place], length)
            if index is None:
                raise bad_value(path, new[place])
        names = (*self.network_map.names, None)
        found: dict[str, Located] = {
            text: (None if address[0] == 4 else format_endpoint(*address), names[-1 if index is None else index])
            for text, address, index in zip(new, addresses, indices, strict=True)
        }
        for place, length in prefixes.items():
            found[new[place]] = (_canonical(*addresses[place], length), found[new[place]][1])
        result = [known.get(text) or found[text] for text in texts]
        if len(known) + len(found) > MAX_KNOWN:
            known.clear()
        if len(found) <= MAX_KNOWN:
            known.update(found)
        return result

    def _whole(self, family: int, value: int, length: int) -> int | None:
        if self._blocks is None:
            self._blocks = Blocks(self.network_map.table)
        return self._blocks.lookup(family, value, length)


def _parse_prefixes(texts: list[str], path: str) -> tuple[list[tuple[int, int]], dict[int, int]]:
    """Families and first values where some are prefixes, and the lengths of those by their places."""
    addresses: list[tuple[int, int]] = []
    lengths: dict[int, int] = {}
    for place, text in enumerate(texts):
        kind, _, rest = text.partition(":")
        try:
            if "/" in rest and kind in FAMILIES:
                value, lengths[place] = parse_prefix(rest, FAMILIES[kind])
                addresses.append((FAMILIES[kind], value))
            else:
                addresses.append(parse_endpoint(text))
        except ValueError as error:
            raise bad_value(path, text) from error
    return addresses, lengths


def _canonical(family: int, value: int, length: int) -> str:
    """The one text of a prefix as an endpoint; of one of full length that of the address."""
    address = format_endpoint(family, value)
    return address if length == BITS[family] else f"{address}/{length}"

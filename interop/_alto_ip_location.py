"""Public IP data from npm as a network map: countries, and the autonomous systems inside them.

The packages are flat lists of address ranges, good for scale and shape; their own README warns of bugs in the data.
They are fetched into a cache folder and never shipped.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from alto.address import ADDRESS_TYPES, BITS, format_prefix
from alto.errors import ConfigurationError
from alto.networkmap import NetworkMap

ATTRIBUTION = (
    "IP data: NRO (https://www.nro.net), RouteViews (https://www.routeviews.org), "
    "IP Geolocation by DB-IP (https://db-ip.com); CC BY 4.0, by way of ip-location-db."
)
"""What has to be shown with the data."""

_VERSION = "2.3.2026061719"
_COUNTRIES, _SYSTEMS = "asn-country", "asn"
_DEFAULT_PID = "elsewhere"
_TIMEOUT = 300
"""Seconds for npm to fetch some 25 MB."""


def ip_location_map(cache: Path, *, systems: bool = True) -> NetworkMap:
    """The network map of the countries, PIDs such as `CC-DE`; with `systems` also of the ASes, such as `AS64500`.

    AS prefixes lie inside country prefixes and the other way round; one that both have goes to the AS, one that several
    ASes have to the first of them. What is in neither is in the PID `elsewhere`. npm fetches the packages into `cache`,
    once. Raises ConfigurationError where that fails. Whoever shows the data has to show `ATTRIBUTION`.
    """
    groups: dict[str, dict[str, list[str]]] = {}
    for family in BITS:
        owners: dict[tuple[int, int], str] = {}
        for package, kind in ((_SYSTEMS, "AS"), (_COUNTRIES, "CC-"))[0 if systems else 1 :]:
            for first, last, name in _ranges(_fetched(cache, package) / f"{package}-ipv{family}-num.csv"):
                for prefix in prefixes(first, last, BITS[family]):
                    owners.setdefault(prefix, kind + name)
        for (value, length), name in owners.items():
            lists = groups.setdefault(name, {})
            lists.setdefault(ADDRESS_TYPES[family], []).append(format_prefix(family, value, length))
    return NetworkMap(groups, default_pid=_DEFAULT_PID)


def prefixes(first: int, last: int, bits: int) -> Iterator[tuple[int, int]]:
    """The fewest prefixes, value and length, that make up the addresses from `first` to `last`."""
    while first <= last:
        aligned = (first & -first).bit_length() - 1 if first else bits
        shift = min(aligned, (last - first + 1).bit_length() - 1)
        yield first, bits - shift
        first += 1 << shift


def _ranges(path: Path) -> Iterator[tuple[int, int, str]]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            # Names of organisations may follow, with commas in them.
            first, last, name = line.rstrip("\n").split(",", 3)[:3]
            yield int(first), int(last), name


def _fetched(cache: Path, package: str) -> Path:
    """The folder of the package, fetched if it is not there."""
    folder = cache / f"ip-location-db-{package}-{_VERSION}"
    inside = folder / "node_modules" / "@ip-location-db" / package
    if inside.is_dir():
        return inside
    npm = shutil.which("npm")
    if npm is None:
        raise ConfigurationError("npm is not installed; it fetches the IP data")
    cache.mkdir(parents=True, exist_ok=True)
    # Others may fetch at the same time: whoever is first puts the whole folder in its place.
    with tempfile.TemporaryDirectory(dir=cache) as temporary:
        wanted = f"@ip-location-db/{package}@{_VERSION}"
        command = [npm, "install", "--prefix", temporary, "--ignore-scripts", "--no-audit", "--no-fund", wanted]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT)
        except subprocess.TimeoutExpired as error:
            raise ConfigurationError(f"npm has not fetched {wanted} within {_TIMEOUT} seconds") from error
        if done.returncode:
            reason = done.stderr.strip().splitlines() or ["it does not say why"]
            raise ConfigurationError(f"npm cannot fetch {wanted}: {reason[0]}")
        try:
            os.rename(temporary, folder)
        except OSError:
            if not inside.is_dir():
                raise
        else:
            Path(temporary).mkdir()  # what the context manager removes
    return inside

"""Words that several commands take: addresses, rates, and what goes wrong with them."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import click

from interop._nat_checks import Relayed
from interop.nat import NatError, NatSettings, TurnServer
from ppsp.constants import ChunkAddressing, MerkleHashFunction
from ppsp.pmtu import LONGEST, MIN_DATAGRAM

if TYPE_CHECKING:
    from interop.tracker_login import Logins

_Result = TypeVar("_Result")
_UNITS = {"": 1, "K": 1000, "M": 1000**2, "G": 1000**3, "KI": 1024, "MI": 1024**2, "GI": 1024**3}

HASHES = {function.name.lower(): function for function in MerkleHashFunction}


def host_port(value: str | tuple[str, int]) -> tuple[str, int]:
    """`HOST:PORT`, an IPv6 address in brackets."""
    if isinstance(value, tuple):
        return value
    host, colon, port = value.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    if not colon or not host or (":" in bare) != host.startswith("[") or not re.fullmatch(r"[0-9]{1,5}", port):
        raise click.BadParameter(f"{value!r} is not HOST:PORT, such as 127.0.0.1:7000 or [::1]:7000")
    if int(port) > 65535:
        raise click.BadParameter(f"port {port} is above 65535")
    return bare, int(port)


def rate(value: str | float) -> float:
    """Octets a second, with a unit: `500K`, `4M`, `1.5Mi`."""
    if isinstance(value, float):
        return value
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([KMG]I?|)B?(?:/S)?", value.strip().upper())
    if match is None or not float(match[1]):
        raise click.BadParameter(f"{value!r} is not a rate in octets a second, such as 500K, 4M or 1.5Mi")
    return float(match[1]) * _UNITS[match[2]]


def url(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """Check that every tracker is an HTTP URL."""
    for text in value:
        if not re.fullmatch(r"https?://[^/\s]+\S*", text):
            raise click.BadParameter(f"{text!r} is not a tracker's URL, such as http://127.0.0.1:8700/")
    return value


def text_of(address: object) -> str:
    """An address as people write it."""
    if isinstance(address, Relayed):
        return f"{text_of(address[:2])} via relay"
    if isinstance(address, tuple) and len(address) >= 2:
        host, port = address[0], address[1]
        return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
    return str(address)


LISTEN = click.option(
    "--listen",
    type=host_port,
    default="0.0.0.0:0",
    show_default=True,
    metavar="HOST:PORT",
    help="UDP address to serve from; port 0 takes any, [::]:0 serves IPv4 and IPv6.",
)
UPLOAD_LIMIT = click.option(
    "--upload-limit",
    type=rate,
    metavar="RATE",
    help="Octets a second to send at most: 500K, 4M, 1.5Mi. [default: no limit]",
)


DOWNLOAD_LIMIT = click.option(
    "--download-limit",
    type=rate,
    metavar="RATE",
    help="Octets a second to ask for at most: 500K, 4M, 1.5Mi. [default: no limit]",
)


def _longest(ctx: click.Context, param: click.Parameter, value: int) -> int | None:
    if 0 < value < MIN_DATAGRAM:
        raise click.BadParameter(f"{value} is below {MIN_DATAGRAM}, which every path carries (RFC 7574 section 8.1)")
    return value or None


MAX_DATAGRAM = click.option(
    "--max-datagram",
    type=click.IntRange(0, 65_507),
    default=LONGEST,
    show_default=True,
    callback=_longest,
    metavar="OCTETS",
    help="Look for datagrams of up to so many octets that each path carries whole; 0 leaves it all to the system.",
)
PEERS = click.option(
    "--peer", "peers", type=host_port, multiple=True, metavar="HOST:PORT", help="A peer to ask, besides the trackers'."
)


def _logins(ctx: click.Context, param: click.Parameter, value: Path | None) -> Logins | None:
    if value is None:
        return None
    from interop.tracker_login import LoginError, load_logins

    try:
        return load_logins(value)
    except LoginError as exc:
        raise click.BadParameter(str(exc)) from exc


def tracker_options(command: Callable[..., _Result]) -> Callable[..., _Result]:
    """Options that say how to speak with trackers; the command is given `logins`."""

    @click.option(
        "--tracker-login",
        "logins",
        type=click.Path(path_type=Path),
        callback=_logins,
        metavar="FILE",
        help="How to prove to trackers who you are: passwords, tokens, certificates (TOML).",
    )
    @click.option("--insecure-tracker", is_flag=True, help="Speak plain HTTP with trackers on other machines, too.")
    @functools.wraps(command)
    def with_logins(logins: Logins | None, insecure_tracker: bool, **words: Any) -> _Result:
        from interop.tracker_client import TrackerError, parse_tracker
        from interop.tracker_login import Logins

        logins = attrs.evolve(logins or Logins(), insecure=insecure_tracker)
        try:
            for tracker in words.get("trackers", ()):
                parse_tracker(tracker, insecure=insecure_tracker)
        except TrackerError as exc:
            raise click.UsageError(str(exc)) from exc
        return command(logins=logins, **words)

    return with_logins


JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line on stdout, for programs.")


def _turn(ctx: click.Context, param: click.Parameter, value: str | None) -> TurnServer | None:
    """The secrets are in the environment, where `ps` does not show them."""
    if value is None:
        return None
    try:
        return TurnServer.parse(value, os.environ.get("PPSP_TURN_USER"), os.environ.get("PPSP_TURN_PASSWORD"))
    except NatError as exc:
        raise click.BadParameter(str(exc)) from exc


ADDRESSINGS = {method.name.lower(): method for method in ChunkAddressing}


def nat_options(command: Callable[..., _Result]) -> Callable[..., _Result]:
    """Options that say how a peer behind a NAT is to be reached; the command is given `nat`, None for nothing said."""

    @click.option("--stun", type=host_port, metavar="HOST:PORT", help="Behind a NAT: a STUN server.")
    @click.option(
        "--turn",
        callback=_turn,
        metavar="URI",
        help="Behind a NAT that lets nobody in: a relay, turn:HOST:PORT; PPSP_TURN_USER, PPSP_TURN_PASSWORD name you.",
    )
    @functools.wraps(command)
    def with_nat(stun: tuple[str, int] | None, turn: TurnServer | None, **words: object) -> _Result:
        return command(nat=NatSettings(stun, turn) if stun or turn else None, **words)

    return with_nat

"""`ietf-p2p reload decode`: messages, frames and captures as a tree."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from typing import Any

import click

from interop._pcap_reader import PcapError, is_pcap, udp_payloads
from interop._reload_tree import Branch, Leaf, fragment_tree, lines, message_tree
from interop.cli._errors import MistakeError, reason
from interop.cli._options import JSON
from reload.errors import DecodeError
from reload.framing import ACK, DATA, AckFrame, decode_frame_at
from reload.header import RELO_TOKEN, decode_header
from reload.message import decode_message

_TOKEN = RELO_TOKEN.to_bytes(4, "big")
_MAX_FILE = 256 << 20
"""Octets of a file that is read at once."""


@click.command(
    epilog="Examples:\n\n\b\n  ietf-p2p reload decode 8000000000000003464f4f\n"
    "  ietf-p2p reload decode capture.pcap --json\n"
    "  ietf-p2p reload decode - < message.bin"
)
@click.argument("source", metavar="FILE|HEX")
@click.option(
    "--node-id-length",
    type=click.IntRange(16, 20),
    default=16,
    show_default=True,
    metavar="OCTETS",
    help="Octets of a Node-ID in the overlay.",
)
@JSON
def command(source: str, node_id_length: int, as_json: bool) -> int:
    """Show what is in a message, in a frame, or in the UDP payloads of a capture.

    FILE has octets, hex, or is a pcap file; "-" is standard input. Stored values are shown as what IANA's Kinds are.
    A TLS or DTLS payload has to be decrypted before. With --json a uint64 is 16 hex digits, and octets are hex.
    """
    data, is_file = _octets(source)
    if is_file and is_pcap(data):
        shown = _capture(data, node_id_length)
    else:
        shown = _parts(data, node_id_length)
    try:
        for number, tree in shown:
            _print(tree, number, as_json)
    except (DecodeError, PcapError) as error:
        raise MistakeError(f"{source if is_file else 'the octets'}: {error}") from error
    return 0


def _octets(source: str) -> tuple[bytes, bool]:
    """The octets that are meant, and whether they came from a file."""
    try:
        if source == "-":
            data = sys.stdin.buffer.read(_MAX_FILE + 1)
        elif os.path.exists(source):
            with open(source, "rb") as file:
                data = file.read(_MAX_FILE + 1)
        else:
            return _hex(source), False
    except OSError as error:
        raise MistakeError(f"{source}: {reason(error)}") from error
    if len(data) > _MAX_FILE:
        raise MistakeError(f"{source}: more than {_MAX_FILE} octets")
    try:
        return bytes.fromhex(data.decode("ascii")), True
    except ValueError:
        return data, True


def _hex(source: str) -> bytes:
    try:
        return bytes.fromhex(source)
    except ValueError:
        raise MistakeError(f"{source!r:.100} is neither a file nor hex") from None


def _capture(data: bytes, n: int) -> Iterator[tuple[int | None, Branch]]:
    """What the datagrams carried that are RELOAD's, each with the number of its packet."""
    found = False
    for payload in udp_payloads(data):
        if payload.octets[:4] != _TOKEN and payload.octets[:1] not in (bytes([DATA]), bytes([ACK])):
            continue
        try:
            trees = list(_parts(payload.octets, n))
        except DecodeError as error:
            click.echo(f"packet {payload.number}: {error}", err=True)
            continue
        found = True
        yield from ((payload.number, tree) for _, tree in trees)
    if not found:
        raise PcapError("no UDP payload in it is a message or a frame of RELOAD")


def _parts(data: bytes, n: int) -> Iterator[tuple[int | None, Branch]]:
    """A message, or one frame after the other."""
    if data[:4] == _TOKEN:
        yield None, _message(data, n)
        return
    if data[:1] not in (bytes([DATA]), bytes([ACK])):
        raise DecodeError(
            f"neither a message (d2454c4f...) nor a frame (80..., 81...) starts with {data[:4].hex() or 'nothing'}"
        )
    at = 0
    while at < len(data):
        start = at
        frame, at = decode_frame_at(data, at)
        if frame is None:
            raise DecodeError(f"FramedMessage: the octets end within the frame at {start}")
        if isinstance(frame, AckFrame):
            received = Leaf("received", f"{frame.received:#010x}", frame.received)
            yield None, Branch("ack", (Leaf("ack_sequence", str(frame.ack_sequence), frame.ack_sequence), received))
        else:
            sequence = Leaf("sequence", str(frame.sequence), frame.sequence)
            yield None, Branch("data", (sequence, _message(frame.message, n)))


def _message(data: bytes, n: int) -> Branch:
    header, start = decode_header(data, node_id_length=n)
    if not header.is_whole:
        return fragment_tree(header, data[start:], n)
    return message_tree(decode_message(data, node_id_length=n), n)


def _print(tree: Branch, number: int | None, as_json: bool) -> None:
    if as_json:
        document: dict[str, Any] = {tree.name: tree.json}
        click.echo(json.dumps(({} if number is None else {"packet": number}) | document))
        return
    if number is not None:
        click.echo(f"packet {number}")
    for line in lines(tree):
        click.echo(line)

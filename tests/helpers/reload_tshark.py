"""What Wireshark's dissector reads in messages, and in what it disagrees with us."""

import subprocess
from pathlib import Path
from typing import Any

from reload_bodies import Expected
from reload_pcap import write_pcap

from reload.destinations import NodeDestination, OpaqueDestination, ResourceDestination
from reload.header import decode_header

COMMON = {
    "reload.forwarding.overlay": lambda header: [f"{header.overlay:#010x}"],
    "reload.forwarding.configuration_sequence": lambda header: [str(header.configuration_sequence)],
    # Shown as "Unknown", as the dissector knows the version of the drafts only; the octet is right.
    "reload.forwarding.version": lambda header: ["0x0a"],
    "reload.forwarding.ttl": lambda header: [str(header.ttl)],
    "reload.forwarding.fragment": lambda header: [f"{header.fragment:#010x}"],
    "reload.forwarding.trans_id": lambda header: [f"{header.transaction_id:#018x}"],
    "reload.forwarding.max_response_length": lambda header: [str(header.max_response_length)],
    "reload.forwarding.destination.type": lambda header: [
        {NodeDestination: "0x01", ResourceDestination: "0x02", OpaqueDestination: "0x03"}[type(each)]
        for each in (*header.via_list, *header.destination_list)
        if not getattr(each, "is_compact", False)
    ],
    "reload.forwarding.option.type": lambda header: [str(each.type) for each in header.options],
    "reload.forwarding.option.flags": lambda header: [f"{each.flags:#04x}" for each in header.options],
}
"""Fields of every header."""


def dissected(path: Path, datagrams: list[bytes], fields: list[str], *, defragment: bool = False) -> list[Expected]:
    """For each datagram the values of each of these fields."""
    write_pcap(path, datagrams)
    command = ["tshark", "-r", str(path), "-o", f"reload.defragment:{str(defragment).upper()}", "-T", "fields"]
    command += ["-E", "separator=|", "-E", "occurrence=a", "-E", "aggregator=;"]
    for field in fields:
        command += ["-e", field]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return [
        dict(zip(fields, (value.split(";") if value else [] for value in line.split("|")), strict=True))
        for line in done.stdout.split("\n")[: len(datagrams)]
    ]


def disagreements(found: Expected, octets: bytes, code: int, expected: Expected) -> dict[str, Any]:
    """What tshark reads otherwise than it was meant: in the header, the security block, the fields expected."""
    header, _ = decode_header(octets)
    meant = {field: told(header) for field, told in COMMON.items()} | {"reload.message.code": [str(code)]} | expected
    return {field: (meant[field], found[field]) for field in meant if found[field] != meant[field]}

"""What RELOAD's codec costs: messages a second that one core forwards, reads, writes, fragments and reassembles.

    python tests/benchmarks/reload_codec.py [--json]

Process time, the variants by turns, the best of the rounds. The ceiling is what Python cannot do without: a copy of the
octets, and `struct` for the 38 octets that every header starts with; "x" is how many times that each one takes.
"""

import argparse
import hashlib
import json
import struct
from collections.abc import Callable

from interleaved import measure

from reload._presentation import decode, encode
from reload.contents import MessageCode, MessageContents
from reload.destinations import NodeDestination
from reload.forwarding import forward, fragment
from reload.framing import DataFrame, ReceivedMask, decode_frame, encode_frame
from reload.header import ForwardingHeader, decode_header
from reload.message import Message, decode_body, decode_message, encode_message
from reload.methods import PingReq
from reload.reassembly import Reassembler
from reload.security_block import (
    CertificateHash,
    SecurityBlock,
    Signature,
    SignatureAndHashAlgorithm,
    SignerIdentity,
)
from reload.storage_messages import DataValue, DictionaryEntry, StoredDictionaryEntry, StoreKindData, StoreReq

ROUNDS, SECONDS = 9, 0.04
TARGETS = {
    "forward a Ping": 60_000,
    "read a Ping, its body too": 40_000,
    "write a Ping": 40_000,
    "read a Store of 1 kB": 15_000,
    "write a Store of 1 kB": 15_000,
}
"""Messages a second that have to be reached."""

HEADER = struct.Struct(">IIHBBIIQIHHH")
NODES = [NodeDestination(hashlib.sha256(bytes([number])).digest()[:16]) for number in range(4)]
SIGNATURE = Signature(
    algorithm=SignatureAndHashAlgorithm(hash=4, signature=3),
    identity=SignerIdentity(identity_type=1, identity=CertificateHash(hash_alg=4, certificate_hash=bytes(32))),
    signature_value=bytes(71),
)


def message(code: int, body: bytes) -> Message:
    """With two hops behind it, and without certificates."""
    header = ForwardingHeader(0x9AA32B8D, 7, (NODES[0],), via_list=(NODES[1], NODES[2]))
    contents = MessageContents(message_code=code, message_body=body)
    return Message(header, contents, SecurityBlock(certificates=(), signature=SIGNATURE))


def store() -> StoreReq:
    """A value of 1,000 octets in a dictionary."""
    entry = DictionaryEntry(key=NODES[0].node_id, value=DataValue(exists=True, value=bytes(1000)))
    stored = StoredDictionaryEntry(storage_time=1, lifetime=2, value=entry, signature=SIGNATURE)
    data = StoreKindData(kind=1, generation_counter=0, values=(encode(stored),))
    return StoreReq(resource=bytes(16), replica_number=0, kind_data=(data,))


def works() -> dict[str, Callable[[], object]]:
    """What is measured."""
    ping_body, store_body = PingReq(padding=bytes(8)), store()
    ping, stored = message(MessageCode.PING_REQ, encode(ping_body)), message(MessageCode.STORE_REQ, encode(store_body))
    ping_octets, store_octets = encode_message(ping), encode_message(stored)
    large = encode_message(message(MessageCode.PING_REQ, encode(PingReq(padding=bytes(4600)))))
    fragments = [(*decode_header(part), part) for part in fragment(large, 1200)]
    frame = encode_frame(DataFrame(5, ping_octets))
    mask, reassembler = ReceivedMask(), Reassembler()

    def ceiling() -> object:
        return HEADER.pack(*HEADER.unpack_from(ping_octets)) + ping_octets[HEADER.size :]

    def passed_on() -> object:
        header, start = decode_header(ping_octets)
        via = (*header.via_list, NODES[3])
        return forward(ping_octets, header, start, via_list=via, destination_list=header.destination_list)

    def read_ping() -> object:
        return decode_body(decode_message(ping_octets).contents)

    def read_store() -> object:
        body = decode_body(decode_message(store_octets).contents)
        return decode(StoredDictionaryEntry, body.kind_data[0].values[0])

    def write_ping() -> object:
        return encode_message(message(MessageCode.PING_REQ, encode(ping_body)))

    def write_store() -> object:
        return encode_message(message(MessageCode.STORE_REQ, encode(store())))

    def framed() -> object:
        received = decode_frame(frame)
        return encode_frame(mask.acknowledge(received.sequence if isinstance(received, DataFrame) else 0))

    def reassembled() -> object:
        return [reassembler.receive(b"hop", header, part[start:], 0.0) for header, start, part in fragments]

    return {
        "ceiling: copy and struct of a Ping": ceiling,
        "forward a Ping": passed_on,
        "read a Ping, its body too": read_ping,
        "write a Ping": write_ping,
        "read a Store of 1 kB": read_store,
        "write a Store of 1 kB": write_store,
        "read a frame, write its ACK": framed,
        "fragment 5 kB to 1,200 octets": lambda: fragment(large, 1200),
        "reassemble 5 kB": reassembled,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = parser.parse_args()
    times = measure(works(), seconds=SECONDS, rounds=ROUNDS)
    ceiling = next(iter(times.values()))
    if options.json:
        print(json.dumps({name: {"per_second": 1 / each, "ratio": each / ceiling} for name, each in times.items()}))
        return
    for name, each in times.items():
        target = f"   (target {TARGETS[name]:,})" if name in TARGETS else ""
        print(f"{name:36}{1 / each:>12,.0f} /s {each / ceiling:6.1f} x{target}")


if __name__ == "__main__":
    main()

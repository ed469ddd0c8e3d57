"""An example of the other side of ``--exec``: it answers the codec requests for HAVE, ACK and DATA, and no others.

Its word ``wrong`` makes it a deliberately wrong implementation: it takes the end of a chunk range as exclusive.
"""

import json
import sys

from ppsp.codec import Codec, channel_of
from ppsp.constants import ChunkAddressing
from ppsp.errors import DecodeError
from ppsp.messages import Ack, Data, Have, Message

WRONG = "wrong" in sys.argv[1:]


def big(number: int) -> int | str:
    """Integers beyond 2^53 are hex strings: not every JSON reader keeps them exact."""
    return number if number <= 2**53 else f"{number:016x}"


def small(number: int | str) -> int:
    return int(number, 16) if isinstance(number, str) else number


def to_json(message: Message) -> dict:
    match message:
        case Have(start, end):
            fields = {"type": "HAVE"}
        case Ack(start, end, delay_us):
            fields = {"type": "ACK", "delay_us": big(delay_us)}
        case Data(start, end, timestamp_us, payload):
            fields = {"type": "DATA", "timestamp_us": big(timestamp_us), "payload": bytes(payload).hex()}
        case _:
            raise LookupError(type(message).__name__)
    return {**fields, "start": big(start), "end": big(end - 1 if WRONG else end)}


def from_json(fields: dict) -> Message:
    if fields["type"] not in ("HAVE", "ACK", "DATA"):
        raise LookupError(fields["type"])
    start, end = small(fields["start"]), small(fields["end"])
    match fields["type"]:
        case "HAVE":
            return Have(start, end)
        case "ACK":
            return Ack(start, end, small(fields["delay_us"]))
    return Data(start, end, small(fields["timestamp_us"]), bytes.fromhex(fields["payload"]))


def answer(request: dict) -> dict:
    params = request["params"]
    if params.get("of") != "datagram":
        return {"unsupported": True}
    sizes = (params["hash_size"], params.get("signature_size", 0), params["chunk_size"])
    codec = Codec(ChunkAddressing(params["chunk_addressing"]), *sizes)
    try:
        if request["op"] == "encode":
            messages = [from_json(fields) for fields in request["value"]["messages"]]
            return {"wire": codec.encode(request["value"]["channel"], messages).hex()}
        wire = bytes.fromhex(request["wire"])
        channel = channel_of(wire)
        messages, error = codec.decode(wire)
        value = {"channel": channel, "messages": [to_json(message) for message in messages]}
    except LookupError:
        return {"unsupported": True}
    except DecodeError as exc:
        return {"rejected": str(exc)}
    return {"value": value} if error is None else {"rejected": str(error), "value": value}


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)

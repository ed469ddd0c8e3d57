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


def to_json(message: Message) -> dict:
    match message:
        case Have(start, end):
            fields = {"type": "HAVE", "start": start, "end": end}
        case Ack(start, end, delay_us):
            fields = {"type": "ACK", "start": start, "end": end, "delay_us": delay_us}
        case Data(start, end, timestamp_us, payload):
            payload = bytes(payload).hex()
            fields = {"type": "DATA", "start": start, "end": end, "timestamp_us": timestamp_us, "payload": payload}
        case _:
            raise LookupError(type(message).__name__)
    return {**fields, "end": end - 1} if WRONG else fields


def from_json(fields: dict) -> Message:
    start, end = fields["start"], fields["end"]
    match fields["type"]:
        case "HAVE":
            return Have(start, end)
        case "ACK":
            return Ack(start, end, fields["delay_us"])
        case "DATA":
            return Data(start, end, fields["timestamp_us"], bytes.fromhex(fields["payload"]))
    raise LookupError(fields["type"])


def answer(request: dict) -> dict:
    params = request["params"]
    if params.get("of") != "datagram":
        return {"unsupported": True}
    codec = Codec(ChunkAddressing(params["chunk_addressing"]), params["hash_size"], chunk_size=params["chunk_size"])
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

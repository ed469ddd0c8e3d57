"""Update streams (RFC 8895): one change of two maps to a thousand streams, patches of large maps, server-sent events.

    python tests/benchmarks/alto_updates.py [--json] [--streams 1000] [--width 2000]

Processor time of the machine itself, without HTTP, the least of several runs. Ratios are to the standard library's
`json.dumps` of the same map in the same run. With HTTP: `alto_server.py`.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from alto import media
from alto.costmap import CostMapResource
from alto.costs import CostMatrix
from alto.directory import Directory, RequestContext
from alto.http import Request
from alto.networkmap import NetworkMap, NetworkMapResource
from alto.patch import json_diff, json_patch, merge_diff, merge_patch
from alto.server import AltoServer
from alto.sse import EventStreamReader, encode_json
from alto.tips import TipsService
from alto.types import CostType
from alto.updates import UpdateStreamService

PIDS = 500
PREFIXES = 200


def least(work: Callable[[], object], rounds: int = 3) -> float:
    """Seconds of processor time of the quickest run."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times)


def pids() -> dict[str, Any]:
    """A network map of 100,000 prefixes."""
    return {
        f"PID{at}": {"ipv4": [f"{10 + at // 256}.{at % 256}.{n}.0/24" for n in range(PREFIXES)]} for at in range(PIDS)
    }


def fan_out(streams: int) -> dict[str, float]:
    """Seconds for a change of a network map and of a cost map, from `changed` to the last octet of every stream."""
    names = [f"PID{at}" for at in range(PIDS)]
    kind = CostType("numerical", "routingcost")

    def costs(first: float) -> CostMapResource:
        rows = [[float((i * j) % 97) for j in range(PIDS)] for i in range(PIDS)]
        rows[0][0] = first
        return CostMapResource("costs", "map", "num", kind, CostMatrix(names, names, rows))

    service = UpdateStreamService("updates", ["map", "costs"])
    data = pids()
    whole = {"all": {"ipv4": ["0.0.0.0/0"], "ipv6": ["::/0"]}}
    directory = Directory([NetworkMapResource("map", NetworkMap({**data, **whole})), costs(0.0)], services=[service])
    body = json.dumps({"add": {"m": {"resource-id": "map"}, "c": {"resource-id": "costs"}}}).encode()
    request = Request("POST", "/updates", (("Content-Type", media.UPDATE_STREAM_PARAMS),), body)

    def drain(stream: Any) -> int:
        octets = 0
        while piece := stream.data_to_send(0.0):
            octets += len(piece)
        return octets

    opened: list[Any] = []

    def start() -> None:
        for _ in range(streams):
            opened.append(service.handle(request, "", RequestContext(directory), 0.0))
            drain(opened[-1])

    found = {f"{streams} streams begin with the whole maps": least(start, 1)}
    times = []
    for turn in range(1, 4):
        data["PID1"] = {"ipv4": [*data["PID1"]["ipv4"], f"100.0.{turn}.0/24"]}
        changed = directory.replacing(NetworkMapResource("map", NetworkMap({**data, **whole})), costs(float(turn)))
        begin = time.process_time()
        service.changed(changed, 0.0)
        while (stream := service.next_ready()) is not None:
            drain(stream)
        times.append(time.process_time() - begin)
    found[f"one change of both maps to {streams} streams"] = min(times)
    return found


def large_change(width: int) -> dict[str, float]:
    """Seconds for which nothing else is served: the longest step, for a stream and a TIPS view of a whole cost map."""
    names = [f"PID{at}" for at in range(width)]
    kind = CostType("numerical", "routingcost")
    base = "http://alto.example.com/"

    def costs(first: float) -> CostMapResource:
        rows = [[float((i * j) % 997) / 8 for j in range(width)] for i in range(width)]
        rows[0][0] = first
        return CostMapResource("costs", "map", "num", kind, CostMatrix(names, names, rows))

    whole = NetworkMapResource(
        "map", NetworkMap({"all": {"ipv4": ["0.0.0.0/0"], "ipv6": ["::/0"]}, **{name: {} for name in names}})
    )
    services = [UpdateStreamService("updates", ["costs"]), TipsService("tips", ["costs"])]
    server = AltoServer(Directory([whole, costs(0.0)], services=services), epoch=0.0, base_uri=base)
    server.apply(server.prepare(), 0.0)
    longest = 0.0

    def step(work: Callable[[], Any]) -> Any:
        nonlocal longest
        begin = time.process_time()
        found = work()
        longest = max(longest, time.process_time() - begin)
        return found

    def ask(method: str, target: str, kind: str = "", body: bytes = b"") -> Any:
        return step(lambda: server.handle(Request(method, target, (("Content-Type", kind),), body), None, 0.0))

    stream = ask("POST", "/updates", media.UPDATE_STREAM_PARAMS, b'{"add": {"c": {"resource-id": "costs"}}}')
    view = json.loads(ask("POST", "/tips", media.TIPS_PARAMS, b'{"resource-id": "costs"}').body)["tips-view-uri"]
    ask("GET", f"/{view.removeprefix(base)}/ug/1/2")
    while step(lambda: stream.data_to_send(0.0)):
        pass
    begin = time.process_time()
    prepared = server.prepare(costs(1e6))
    preparing = time.process_time() - begin
    step(lambda: server.apply(prepared, 0.0))
    while step(lambda: stream.data_to_send(0.0)):
        pass
    step(lambda: server.handle_timer(0.0))
    return {
        f"{width} x {width} costs prepared, in a thread": preparing,
        f"{width} x {width} costs, longest step of the rest": longest,
    }


def patches() -> dict[str, float]:
    """Seconds for one small change of a large map."""
    old = {"meta": {}, "network-map": pids()}
    new = json.loads(json.dumps(old))
    new["network-map"]["PID3"]["ipv4"].insert(50, "100.0.0.0/24")
    text = json.dumps(old).encode()
    merge, operations = merge_diff(old, new), json_diff(old, new)
    encoded = encode_json(text)

    def read() -> None:
        reader = EventStreamReader()
        for at in range(0, len(encoded), 65536):
            reader.receive_data(encoded[at : at + 65536], 0.0)
        if reader.next_event() is None:
            raise AssertionError("no event")

    return {
        "json.dumps of 100,000 prefixes": least(lambda: json.dumps(old)),
        "merge patch made": least(lambda: merge_diff(old, new)),
        "merge patch applied": least(lambda: merge_patch(old, merge)),
        "JSON patch made": least(lambda: json_diff(old, new)),
        "JSON patch applied": least(lambda: json_patch(old, operations)),
        "the map as an event": least(lambda: encode_json(text)),
        "the event read": least(read),
    }


def main() -> int:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--width", type=int, default=2000)
    options = parser.parse_args()
    found = patches() | fan_out(options.streams) | large_change(options.width)
    unit = found["json.dumps of 100,000 prefixes"]
    if options.json:
        print(json.dumps({name: {"seconds": seconds, "ratio": seconds / unit} for name, seconds in found.items()}))
        return 0
    for name, seconds in found.items():
        print(f"{name:45} {seconds * 1e3:10.2f} ms {seconds / unit:10.2f} x")
    return 0


if __name__ == "__main__":
    sys.exit(main())

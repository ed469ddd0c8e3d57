"""Requests a second of an ALTO server of one process: endpoint costs, a network map, a large cost map from its cache.

    python tests/benchmarks/alto_server.py [--rounds 3] [--seconds 2] [--connections 4] [--json]

A network map of 100,000 prefixes and a cost map of 2,000 x 2,000 are served with uvicorn[standard]; wrk asks on
loopback. Beside it run, interleaved and with the same requests: the same server without numpy and orjson; a bare ASGI
application that answers with the same octets in the same uvicorn; a Django site with the same data, which keeps its map
encoded and compressed; and, for how fast one process can be at all, a protocol that finds the end of the request and
writes the octets. Printed are medians: requests a second, the server's processor time for one (which says more where
the machine is shared), the times in which half and 99 % were answered, and ratios of the processor time.
"""

from __future__ import annotations

import argparse
import dataclasses
import http.client
import json
import pickle
import statistics
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from alto_setup import data, load
from alto_setup.load import Figures
from alto_setup.serve import key_of

SERVE = Path(__file__).parent / "alto_setup" / "serve.py"
SERVERS = {
    "ours": ["ours"],
    "ours, pure Python": ["ours", "--pure"],
    "bare ASGI": ["bare", "--answers"],
    "Django": ["django"],
    "bare socket": ["socket", "--answers"],
}
Answer = tuple[int, list[tuple[str, str]], bytes]
"""Status, header fields, body."""
POSTED = "Content-Type: application/alto-endpointcostparams+json"


@dataclass(frozen=True)
class Scenario:
    name: str
    target: str
    least: Mapping[str, float]
    """Requests a second that are asked of each of our servers."""
    worst_p99: float | None = None
    """Milliseconds."""
    gzip: bool = False
    conditional: bool = False
    destinations: int = 0
    """Those of a request for endpoint costs."""
    endpoints: int = 0
    """How many different ones are asked for before the first comes again: the server keeps the PIDs of 50,000."""
    in_django: bool = True


def both(rate: float) -> dict[str, float]:
    return {"ours": rate, "ours, pure Python": rate}


THOUSAND = {"ours": 800.0, "ours, pure Python": 500.0}
SCENARIOS = [
    Scenario("endpoint cost 1x10", "/ecs?a", both(2_500), destinations=10, endpoints=20_000),
    Scenario("endpoint cost 1x10, new endpoints", "/ecs?b", both(2_500), destinations=10, endpoints=200_000),
    Scenario("endpoint cost 1x1,000", "/ecs?c", THOUSAND, 15, destinations=1_000, endpoints=20_000),
    Scenario("endpoint cost 1x1,000, new endpoints", "/ecs?d", THOUSAND, 15, destinations=1_000, endpoints=200_000),
    Scenario("network map", "/map", both(500)),
    Scenario("network map, gzip", "/map", both(2_000), gzip=True),
    Scenario("network map, 304", "/map", both(6_000), conditional=True),
    Scenario("cost map 2,000x2,000, gzip", "/costs", {}, gzip=True, in_django=False),
]


@dataclass(frozen=True)
class Prepared:
    """A scenario with what wrk needs for it."""

    scenario: Scenario
    headers: tuple[str, ...]
    bodies: Path | None

    @property
    def key(self) -> str:
        return key_of(self.scenario.target, gzip=self.scenario.gzip, conditional=self.scenario.conditional)


def ask(url: str, prepared: Prepared) -> Answer:
    """One answer, with its octets as they came."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port)
    body = None if prepared.bodies is None else prepared.bodies.read_bytes().partition(b"\n")[0]
    connection.putrequest("GET" if body is None else "POST", prepared.scenario.target, skip_accept_encoding=True)
    for header in prepared.headers:
        connection.putheader(*header.split(": ", 1))
    if body is not None:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    response = connection.getresponse()
    answer = response.status, [(name.lower(), value) for name, value in response.getheaders()], response.read()
    connection.close()
    return answer


def prepare(scenario: Scenario, url: str, folder: Path) -> Prepared:
    headers: tuple[str, ...] = ("Accept-Encoding: gzip",) if scenario.gzip else ()
    bodies = None
    if scenario.destinations:
        headers += (POSTED,)
        bodies = folder / f"{scenario.target[-1]}.json"
        if not bodies.exists():
            bodies.write_bytes(b"\n".join(data.questions(scenario.destinations, scenario.endpoints)))
    prepared = Prepared(scenario, headers, bodies)
    if scenario.conditional:
        tag = dict(ask(url, prepared)[1])["etag"]
        prepared = dataclasses.replace(prepared, headers=(*headers, f"If-None-Match: {tag}"))
    return prepared


def check(server: str, prepared: Prepared, answer: Answer, expected: Answer) -> None:
    """Whether a server answers what ours does: its octets, or in Django the same JSON."""
    assert answer[0] == expected[0], (server, prepared, answer[0])
    if server != "Django":
        assert answer[2] == expected[2], (server, prepared)
    elif not prepared.scenario.gzip and not prepared.scenario.conditional:
        assert json.loads(answer[2]) == json.loads(expected[2]), (server, prepared)


@contextmanager
def servers(folder: Path) -> Iterator[dict[str, tuple[int, str, list[Prepared]]]]:
    """Each server's process, its URL, and what it is asked."""
    found: dict[str, tuple[int, str, list[Prepared]]] = {}
    file = folder / "answers"
    expected: dict[str, Answer] = {}
    with ExitStack() as running:
        for name, arguments in SERVERS.items():
            more = [file] if arguments[-1] == "--answers" else []
            pid, said = running.enter_context(load.child([SERVE, *arguments, *more]))
            url = said["url"]
            wanted = [scenario for scenario in SCENARIOS if scenario.in_django or name != "Django"]
            work = [prepare(scenario, url, folder) for scenario in wanted]
            found[name] = pid, url, work
            if name == "ours":
                expected = {prepared.key: ask(url, prepared) for prepared in work}
                file.write_bytes(pickle.dumps({key: _kept(answer) for key, answer in expected.items()}))
            for prepared in work:
                check(name, prepared, ask(url, prepared), expected[prepared.key])
        yield found


def measure(rounds: int, seconds: float, connections: int) -> dict[str, dict[str, Figures]]:
    """The medians by scenario and server."""
    found: dict[str, dict[str, list[Figures]]] = {scenario.name: {} for scenario in SCENARIOS}
    with load.folder() as folder, servers(folder) as running:
        wrk = load.Load(folder, connections=connections, seconds=seconds)
        for _ in range(rounds):
            for scenario in SCENARIOS:
                for name, (pid, url, work) in running.items():
                    for prepared in work:
                        if prepared.scenario is scenario:
                            target = url.rstrip("/") + scenario.target
                            figures = wrk.measure(pid, target, prepared.headers, prepared.bodies)
                            found[scenario.name].setdefault(name, []).append(figures)
    return {
        scenario: {name: median(figures) for name, figures in by_server.items()}
        for scenario, by_server in found.items()
    }


def _kept(answer: Answer) -> Answer:
    """Without what the HTTP server adds itself."""
    status, headers, body = answer
    return status, [(name, value) for name, value in headers if name != "date"], body


def median(figures: list[Figures]) -> Figures:
    columns = zip(*map(dataclasses.astuple, figures), strict=True)
    return Figures(*map(statistics.median, columns))


def verdict(scenario: Scenario, name: str, figures: Figures) -> str:
    """Whether the target is met, and by the processor's time alone where the machine was too busy for it."""
    least = scenario.least.get(name)
    if least is None:
        return ""
    is_fast = figures.rate >= least
    is_timely = scenario.worst_p99 is None or figures.p99 <= scenario.worst_p99
    wanted = f"{least:,.0f}/s" + (f", p99 {scenario.worst_p99} ms" if scenario.worst_p99 else "")
    if is_fast and is_timely:
        return f"met: {wanted}"
    if is_timely and 1e6 / figures.cpu >= least:
        return f"not met here: {wanted}; the processor time would allow it"
    return f"NOT met: {wanted}"


def show(medians: Mapping[str, Mapping[str, Figures]]) -> None:
    for scenario in SCENARIOS:
        by_server = medians[scenario.name]
        print(f"\n{scenario.name}")
        print(f"  {'':20}{'req/s':>9}{'CPU us':>9}{'p50 ms':>9}{'p99 ms':>9}{'CPU, x ours':>13}")
        base = by_server["ours"].cpu
        for name, figures in by_server.items():
            print(
                f"  {name:20}{figures.rate:9,.0f}{figures.cpu:9,.0f}{figures.p50:9.2f}{figures.p99:9.2f}"
                f"{figures.cpu / base:13.2f}  {verdict(scenario, name, figures)}".rstrip()
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    load.need_wrk()
    load.need_django()
    medians = measure(arguments.rounds, arguments.seconds, arguments.connections)
    if arguments.json:
        print(json.dumps({name: {who: vars(one) for who, one in row.items()} for name, row in medians.items()}))
        return
    print(f"{load.machine()}; {arguments.connections} connections, medians of {arguments.rounds} rounds")
    show(medians)


if __name__ == "__main__":
    main()

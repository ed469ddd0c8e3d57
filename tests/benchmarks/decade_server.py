"""What a GET of a DECADE server costs beside others that send the same octets: processor microseconds of a request.

    python tests/benchmarks/decade_server.py [--rounds 5] [--seconds 1.5] [--connections 16] [--only NAME ...] [--json]

Each token was shown before. `memory` is DecadeApp with objects in memory, `files` is `ietf-p2p decade serve --root`;
`bare` is an ASGI application that sends the same head and octets in the same uvicorn, with uvloop and httptools. nginx
sends files by sendfile (`tcp_nopush off`, open_file_cache); Varnish, Squid and Traffic Server answer from their caches,
and ask nobody for a token. `nginx + ours` is the recipe with X-Accel-Redirect in front of `files`: `of which ours` is
our process alone; `nginx + bare` is the same with a bare application in its place that says what ours does. wrk asks
all of them in turn, in each round anew; the figures are medians, and so are the ratios, which are taken in each round.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import statistics
import sys
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))

from alto_setup import load
from decade_caches import free_port, nginx, squid_cache, traffic_server_cache, varnish_cache
from decade_setup.tokens import SERVER, bearer

import interop.decade_server
from decade.names import name_of

HERE = Path(__file__).parent
RECIPE = Path(interop.decade_server.__file__).with_name("nginx.conf.example")
SIZES = {"64 KiB": 65536, "1 MiB": 2**20}
FRESH = b"public, max-age=3600"
"""For caches, which need not ask then."""
TARGETS = (
    ("64 KiB", "memory", "bare", 1.4),
    ("1 MiB", "memory", "bare", 1.15),
    ("64 KiB", "files", "bare", 1.4),
    ("1 MiB", "files", "bare", 1.15),
    ("64 KiB", "memory", "Squid hit", 1.0),
    ("64 KiB", "memory", "Varnish hit", 1.5),
    ("1 MiB", "of which ours", "files", 0.2),
)
"""The size, who is measured against whom, and how many times the processor time it may take."""


@dataclass(frozen=True)
class Served:
    """A server under load: its processes, where it is, the path of each object, what is said to it."""

    pids: tuple[int, ...]
    url: str
    paths: Mapping[str, str]
    headers: tuple[str, ...] = ()
    part: tuple[str, tuple[int, ...]] | None = None
    """Some of its processes, which are shown besides."""


def children() -> set[int]:
    """The processes that this one has started, with those that these have."""
    found: set[int] = set()
    waiting = [os.getpid()]
    while waiting:
        for file in Path(f"/proc/{waiting.pop()}/task").glob("*/children"):
            below = {int(word) for word in file.read_text().split()} - found
            found |= below
            waiting += below
    return found


@contextmanager
def started(context: object) -> Iterator[tuple[str, tuple[int, ...]]]:
    """What a context gives, and the processes that it has started."""
    before = children()
    with context as origin:  # type: ignore[attr-defined]
        yield origin, tuple(sorted(children() - before))


def ask(url: str, token: str = "", method: str = "GET", body: bytes | None = None) -> tuple[int, list, bytes]:
    """One answer."""
    headers = {"Authorization": token} if token else {}
    request = urllib.request.Request(url, body, headers, method=method)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.status, answer.getheaders(), answer.read()


def put(url: str, token: str, objects: Mapping[str, bytes]) -> None:
    for octets in objects.values():
        ask(url + name_of(octets).path, token, "PUT", octets)


def answers_of(url: str, token: str, paths: Mapping[str, str]) -> dict[str, tuple[int, list, bytes]]:
    """What the bare application answers: our head and octets, and for caches the same with some freshness."""
    found = {}
    for size, path in paths.items():
        status, fields, body = ask(url + path, token)
        headers = [(name.lower().encode(), value.encode()) for name, value in fields]
        headers = [field for field in headers if field[0] not in (b"date", b"server", b"connection")]
        found[path] = status, headers, body
        fresh = [(name, FRESH if name == b"cache-control" else value) for name, value in headers]
        found[f"/{size.replace(' ', '')}"] = status, fresh, body
    return found


def nginx_static(folder: Path, objects: Mapping[str, bytes]) -> object:
    """Nginx with files, at its best."""
    root = folder / "static"
    root.mkdir()
    for size, octets in objects.items():
        (root / size.replace(" ", "")).write_bytes(octets)
    port = free_port()
    servers = f"""
  sendfile on; tcp_nopush off; tcp_nodelay on; keepalive_requests 1000000; open_file_cache max=1000;
  server {{ listen 127.0.0.1:{port}; root {root}; }}"""
    return nginx(folder / "nginx-static", servers, port)


def nginx_in_front(folder: Path, name: str, server: str, objects: Path) -> object:
    """The first server of the recipe, without TLS, as the others are."""
    port = free_port()
    recipe = RECIPE.read_text().partition("# 2. auth_request")[0]
    for before, after in {
        "127.0.0.1:7069": server.removeprefix("http://"),
        "/var/lib/decade": str(objects),
        "listen 443 ssl": f"listen 127.0.0.1:{port}",
        "ssl_certificate /etc/nginx/storage.pem;": "",
        "ssl_certificate_key /etc/nginx/storage.key;": "",
        "ssl_protocols TLSv1.3;": "keepalive_requests 1000000; sendfile on; open_file_cache max=1000;",
        "proxy_set_header X-Forwarded-Proto $scheme;": "proxy_set_header X-Forwarded-Proto https;",
    }.items():
        assert before in recipe, before
        recipe = recipe.replace(before, after)
    return nginx(folder / name, recipe, port)


def configuration(folder: Path, name: str, front: bool) -> Path:
    """That of `decade serve`."""
    (folder / "alice.pem").write_bytes(_pem())
    path = folder / f"{name}.toml"
    more = 'trusted-proxies = ["127.0.0.1"]\n[front]\naccel = "/_decade/"\n' if front else ""
    path.write_text(
        f'server = "{SERVER}"\nlisten = "127.0.0.1:0"\nroot = "{folder / name}"\n{more}'
        f'[accounts.alice]\n[accounts.alice.keys.k]\nfile = "alice.pem"\n'
    )
    return path


def _pem() -> bytes:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@contextmanager
def served_files(config: Path) -> Iterator[str]:
    """`ietf-p2p decade serve` as it is."""
    command = ["-m", "interop", "decade", "serve", "--json", str(config)]
    with load.child(command) as (_, said):
        yield said["url"].rstrip("/")


@contextmanager
def servers(folder: Path, only: Sequence[str]) -> Iterator[dict[str, Served]]:
    """All of them, with the objects in them."""
    objects = {size: os.urandom(octets) for size, octets in SIZES.items()}
    paths = {size: name_of(octets).path for size, octets in objects.items()}
    plain = {size: f"/{size.replace(' ', '')}" for size in objects}
    token = bearer()
    headers = (f"Authorization: {token}",)
    file = folder / "answers"
    with ExitStack() as stack:

        def start(context: object) -> tuple[str, tuple[int, ...]]:
            return stack.enter_context(started(context))

        pid, said = stack.enter_context(load.child([HERE / "decade_setup" / "serve.py", "ours"]))
        memory = said["url"]
        put(memory, token, objects)
        file.write_bytes(pickle.dumps(answers_of(memory, token, paths)))
        found = {"memory": Served((pid,), memory, paths, headers)}
        pid, said = stack.enter_context(load.child([HERE / "decade_setup" / "serve.py", "bare", "--answers", file]))
        bare = said["url"]
        found["bare"] = Served((pid,), bare, paths, headers)
        url, pids = start(served_files(configuration(folder, "files", front=False)))
        put(url, token, objects)
        found["files"] = Served(pids, url, paths, headers)
        if "nginx" not in only and only:
            yield found
            return
        url, pids = start(nginx_static(folder, objects))
        found["nginx static"] = Served(pids, url, plain)
        direct, behind = start(served_files(configuration(folder, "front", front=True)))
        url, pids = start(nginx_in_front(folder, "nginx-ours", direct, folder / "front"))
        put(url, token, objects)
        found["nginx + ours"] = Served(pids + behind, url, paths, headers, ("of which ours", behind))
        told = folder / "told"
        told.write_bytes(pickle.dumps(answers_of(direct, token, paths)))
        pid, said = stack.enter_context(load.child([HERE / "decade_setup" / "serve.py", "bare", "--answers", told]))
        url, pids = start(nginx_in_front(folder, "nginx-bare", said["url"], folder / "front"))
        found["nginx + bare"] = Served((*pids, pid), url, paths, headers, ("of which bare", (pid,)))
        for name, cache in (
            ("Varnish hit", varnish_cache),
            ("Squid hit", squid_cache),
            ("Traffic Server hit", traffic_server_cache),
        ):
            url, pids = start(cache(folder / name.split()[0].lower(), bare))
            found[name] = Served(pids, url, plain)
        yield found


def check(found: Mapping[str, Served], size: str) -> None:
    """Whether everybody sends the same octets; those of caches are in them then."""
    bodies = set()
    for served in found.values():
        token = served.headers[0].partition(": ")[2] if served.headers else ""
        bodies |= {ask(served.url + served.paths[size], token)[2] for _ in range(3)}
    assert len(bodies) == 1, size


def measure(rounds: int, seconds: float, connections: int, only: Sequence[str]) -> dict[str, list[dict[str, list]]]:
    """By size, for each round: requests a second and microseconds of each server."""
    found: dict[str, list[dict[str, list]]] = {size: [] for size in SIZES}
    with load.folder() as folder, servers(folder, only) as running_servers:
        folder.chmod(0o755)
        wrk = load.Load(folder, connections=connections, seconds=seconds)
        for size in SIZES:
            check(running_servers, size)
            for _ in range(rounds):
                by_name: dict[str, list] = {}
                for name, served in running_servers.items():
                    before = [load.processor_seconds(pid) for pid in served.pids]
                    told = wrk.run(served.url + served.paths[size], served.headers)
                    spent = {
                        pid: load.processor_seconds(pid) - start for pid, start in zip(served.pids, before, strict=True)
                    }
                    rate, requests = told["requests"] / told["micros"] * 1e6, told["requests"]
                    by_name[name] = [rate, sum(spent.values()) / requests * 1e6]
                    if served.part is not None:
                        label, pids = served.part
                        by_name[label] = [rate, sum(spent[pid] for pid in pids) / requests * 1e6]
                found[size].append(by_name)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--only", choices=("ours",), help="only our servers and the bare application")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    load.need_wrk()
    found = measure(arguments.rounds, arguments.seconds, arguments.connections, arguments.only or ())
    if arguments.json:
        print(json.dumps(found))
        return
    print(f"{load.machine()}; {arguments.connections} connections, medians of {arguments.rounds} rounds")
    for size, rounds in found.items():
        print(f"\n{size:22}{'req/s':>9}{'CPU us':>9}{'x bare':>9}")
        for name in rounds[0]:
            rate = statistics.median(one[name][0] for one in rounds)
            cpu = statistics.median(one[name][1] for one in rounds)
            ratio = statistics.median(one[name][1] / one["bare"][1] for one in rounds)
            print(f"  {name:20}{rate:9,.0f}{cpu:9,.1f}{ratio:9.2f}")
    print()
    for size, name, rival, limit in TARGETS:
        rounds = found[size]
        if name in rounds[0] and rival in rounds[0]:
            ratio = statistics.median(one[name][1] / one[rival][1] for one in rounds)
            verdict = "met" if ratio <= limit else "NOT met"
            print(f"{size}: {name} / {rival} = {ratio:.2f}, at most {limit}: {verdict}")


if __name__ == "__main__":
    main()

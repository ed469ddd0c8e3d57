"""A name server and a validating resolver on loopback: Knot DNS, which signs a zone, and Unbound, which validates."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dns.exception
import dns.message
import dns.query

PROGRAMS = ("knotd", "keymgr", "unbound")

SOA = "@ 3600 IN SOA ns hostmaster 1 7200 3600 86400 77\n@ IN NS ns\nns IN A 127.0.0.1\n"
# The records of RFC 7286 section 3.2 and of RFC 8686 section 3.4, and some for other ways a lookup goes.
ZONES = {
    "example.net": """
@ IN NAPTR 100 20 "u" "ALTO:https" "!.*!https://alto2.example.net/ird!" .
@ IN NAPTR 100 10 "u" "ALTO:https" "!.*!https://alto1.example.net/ird!" .
www IN A 192.0.2.1
far IN NAPTR 10 10 "" "ALTO:https" "" somewhere.example.org.
alias IN CNAME @
""",
    "example.org": """
somewhere IN NAPTR 5 5 "U" "alto:HTTPS:http" "!.*!https://far.example.org/ird!" .
""",
    "198.in-addr.arpa": """
100.51 IN NAPTR 100 10 "u" "ALTO:https" "!.*!https://alto1.example.net/ird!" .
100.51 IN NAPTR 100 20 "u" "ALTO:https" "!.*!https://alto2.example.net/ird!" .
""",
    "8.b.d.0.1.0.0.2.ip6.arpa": """
@ IN NAPTR 100 10 "u" "ALTO:https" "!.*!https://six.example.net/ird!" .
""",
    "signed.example": """
@ IN NAPTR 100 10 "u" "ALTO:https" "!.*!https://alto.signed.example/ird!" .
""",
    # RFC 6763 sections 4 to 6: a service, two instances of it, where they are, and which versions they speak.
    "decade.example": """
_decade._tcp IN PTR Our\\032cache._decade._tcp
_decade._tcp IN PTR new._decade._tcp
Our\\032cache._decade._tcp IN SRV 10 0 443 sb
Our\\032cache._decade._tcp IN SRV 20 0 8443 sa
Our\\032cache._decade._tcp IN TXT "txtvers=1" "v=1,2"
new._decade._tcp IN SRV 0 0 443 new
new._decade._tcp IN TXT "v=2"
sa IN A 192.0.2.1
sb IN A 192.0.2.2
_decade._tcp.far IN PTR gone._decade._tcp.far
""",
    "forged.example": """
@ IN NAPTR 100 10 "u" "ALTO:https" "!.*!https://attacker.example/ird!" .
""",
}


def are_there() -> bool:
    """Whether the programs are installed."""
    return all(map(_program, PROGRAMS))


def _program(name: str) -> str | None:
    # A user's PATH may lack the directory of the servers.
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")


def free_port() -> int:
    """A port of loopback that is free for UDP and TCP."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
            udp.bind(("127.0.0.1", 0))
            port: int = udp.getsockname()[1]
            try:
                tcp.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


@contextmanager
def dns_servers(path: Path) -> Iterator[int]:
    """The port of the validating resolver on 127.0.0.1; the servers keep their files below `path`."""
    authority, resolver = free_port(), free_port()
    config = _knot_config(path, authority)
    for name, records in ZONES.items():
        (path / f"{name}.zone").write_text(f"$ORIGIN {name}.\n$TTL 60\n{SOA}{records}")
    with _running(
        [str(_program("knotd")), "-c", str(config)], path / "knot.log", authority, "signed.example.", "DNSKEY"
    ):
        out = subprocess.run(
            [str(_program("keymgr")), "-c", str(config), "signed.example", "ds"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        anchors = [line for line in out.splitlines() if " DS " in line]
        digest = anchors[0].split()[-1]
        # Nothing in forged.example is signed, and this says that it should be.
        anchors.append(f"forged.example. DS 12345 13 2 {digest}")
        unbound = _unbound_config(path, authority, resolver, anchors)
        with _running(
            [str(_program("unbound")), "-d", "-c", str(unbound)],
            path / "unbound.log",
            resolver,
            "example.net.",
            "NAPTR",
        ):
            yield resolver


@contextmanager
def _running(command: list[str], log: Path, port: int, name: str, kind: str) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        _wait(process, log, port, name, kind)
        yield
    finally:
        process.terminate()
        process.wait(60)


def _wait(process: "subprocess.Popen[bytes]", log: Path, port: int, name: str, kind: str) -> None:
    for _ in range(150):
        try:
            answer = dns.query.udp(dns.message.make_query(name, kind, want_dnssec=True), "127.0.0.1", 1, port)
        except (dns.exception.DNSException, OSError):
            answer = None
        if answer is not None and answer.answer:
            return
        if process.poll() is not None:
            break
        time.sleep(0.1)
    raise RuntimeError(f"{process.args} does not answer: {log.read_text()}")


def _knot_config(path: Path, port: int) -> Path:
    zones = "".join(
        f"  - domain: {name}\n    file: {name}.zone\n"
        + ("    dnssec-signing: on\n    dnssec-policy: one\n" if name == "signed.example" else "")
        for name in ZONES
    )
    config = path / "knot.conf"
    config.write_text(
        f'server:\n  rundir: "{path}"\n  listen: 127.0.0.1@{port}\n'
        f'database:\n  storage: "{path}"\n'
        "log:\n  - target: stderr\n    any: info\n"
        "policy:\n  - id: one\n    single-type-signing: on\n    algorithm: ecdsap256sha256\n"
        f'template:\n  - id: default\n    storage: "{path}"\n    zonefile-sync: -1\n'
        f"zone:\n{zones}"
    )
    return config


def _unbound_config(path: Path, authority: int, port: int, anchors: list[str]) -> Path:
    stubs = "".join(f'stub-zone:\n  name: "{name}"\n  stub-addr: 127.0.0.1@{authority}\n' for name in ZONES)
    config = path / "unbound.conf"
    config.write_text(
        "server:\n"
        f'  interface: 127.0.0.1\n  port: {port}\n  username: ""\n  chroot: ""\n  directory: "{path}"\n'
        f'  pidfile: "{path / "unbound.pid"}"\n  use-syslog: no\n  logfile: ""\n  do-daemonize: no\n'
        '  do-not-query-localhost: no\n  do-ip6: no\n  module-config: "validator iterator"\n  num-threads: 1\n'
        + "".join(f'  trust-anchor: "{anchor}"\n' for anchor in anchors)
        + "  unblock-lan-zones: yes\n"
        + '  local-zone: "nowhere.example" always_nxdomain\n  local-zone: "broken.example" always_refuse\n'
        # Whatever else goes to the same name server, which refuses it: nothing here asks the root servers.
        + f'remote-control:\n  control-enable: no\nforward-zone:\n  name: "."\n  forward-addr: 127.0.0.1@{authority}\n'
        + stubs
    )
    return config

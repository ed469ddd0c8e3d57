"""Real NATs: Linux network namespaces, joined by veth pairs, with nftables between them.

          public 198.51.100.0/24: a bridge, with .1 for servers
         /                            \
    NAT "a" (.2 outside)          NAT "b" (.3 outside)
        |                              |
    home "a" 10.0.0.2              home "b" 10.0.0.2          the same private address, as at home
"""

import os
import secrets
import shutil
import signal
import subprocess
from pathlib import Path

SERVER = "198.51.100.1"
OUTSIDE = {"a": "198.51.100.2", "b": "198.51.100.3"}
INSIDE = "10.0.0.2"

_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
_IP = shutil.which("ip", path=_PATH) or "ip"


class NamespaceError(Exception):
    """The machine does not let us make namespaces; the text is what it said."""


class World:
    """The namespaces of one test, whose names are nobody else's; `close` ends their processes and removes them."""

    def __init__(self, *, symmetric: bool) -> None:
        """Two homes behind NATs.

        A NAT maps a socket to one public port, the same for whomever it talks to, when it is not `symmetric`, and else
        to a new one for each (RFC 4787: address and port dependent). Both let in only answers, and drop the rest
        silently as home routers do: a refusal would say that the port is taken, and the hole punched next another one.
        """
        self._mark = f"n7{secrets.token_hex(3)}"
        self._processes: list[subprocess.Popen[str]] = []
        self._made: list[str] = []
        try:
            self._build(symmetric)
        except BaseException:
            self.close()
            raise

    def _build(self, symmetric: bool) -> None:
        for name in ("public", "nat-a", "nat-b", "home-a", "home-b"):
            self._ip("netns", "add", self.name(name))
            self._made.append(name)
            self._ip("-n", self.name(name), "link", "set", "lo", "up")
        self.inside("public", "ip", "link", "add", "switch", "type", "bridge")
        self.inside("public", "ip", "addr", "add", f"{SERVER}/24", "dev", "switch")
        self.inside("public", "ip", "link", "set", "switch", "up")
        for side in ("a", "b"):
            self._cable(f"nat-{side}", "wan", f"{OUTSIDE[side]}/24", "public", f"port-{side}", None)
            self.inside("public", "ip", "link", "set", f"port-{side}", "master", "switch")
            self._cable(f"home-{side}", "eth", f"{INSIDE}/24", f"nat-{side}", "lan", "10.0.0.1/24")
            self.inside(f"home-{side}", "ip", "route", "add", "default", "via", "10.0.0.1")
            self.inside(f"nat-{side}", "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
            masquerade = "masquerade fully-random" if symmetric else "masquerade"
            rules = f"""
                table ip home {{
                    chain out {{ type nat hook postrouting priority 100; oifname "wan" {masquerade}; }}
                    chain up {{ type filter hook input priority 0; iifname "wan" drop; }}
                    chain through {{
                        type filter hook forward priority 0;
                        iifname "wan" ct state established,related accept
                        iifname "wan" drop
                    }}
                }}"""
            self.inside(f"nat-{side}", "nft", "-f", "-", text=rules)

    def name(self, name: str) -> str:
        """What the kernel calls it."""
        return f"{self._mark}-{name}"

    def _cable(self, left: str, left_end: str, address: str, right: str, right_end: str, other: str | None) -> None:
        there = ["peer", "name", right_end, "netns", self.name(right)]
        self._ip("link", "add", left_end, "netns", self.name(left), "type", "veth", *there)
        for space, end, own in ((left, left_end, address), (right, right_end, other)):
            if own is not None:
                self.inside(space, "ip", "addr", "add", own, "dev", end)
            self.inside(space, "ip", "link", "set", end, "up")

    def inside(self, space: str, *command: str, text: str = "") -> str:
        """Run a command to its end in a namespace; returns its stdout."""
        return self._ip("netns", "exec", self.name(space), *command, text=text)

    def _ip(self, *words: str, text: str = "") -> str:
        done = subprocess.run(
            [_IP, *words], input=text, capture_output=True, text=True, check=False, env={"PATH": _PATH}
        )
        if done.returncode:
            raise NamespaceError(f"ip {' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def start(
        self,
        space: str,
        *command: str | Path,
        log: Path,
        environment: dict[str, str] | None = None,
        stdin: bool = False,
    ) -> subprocess.Popen[str]:
        """A process under way in a namespace; its stderr goes to `log`, and it reads from us with `stdin`."""
        with open(log, "w") as stderr:
            process = subprocess.Popen(
                [_IP, "netns", "exec", self.name(space), *map(str, command)],
                stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                env=os.environ | {"PATH": _PATH} | (environment or {}),
                start_new_session=True,
            )
        self._processes.append(process)
        return process

    def close(self) -> None:
        """End what still runs, and remove every namespace: its links and rules go with it."""
        for process in self._processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
        for name in self._made:
            subprocess.run([_IP, "netns", "del", self.name(name)], capture_output=True, check=False)

"""Where two hosts that want to connect find each other, in the place of ICE's checks."""

from __future__ import annotations

from interop.reload_simulation._network import CONNECTING, End, Network
from reload.events import ConnectionWanted, Role


class Rendezvous:
    """Connects two hosts as soon as both want it. Their credentials of ICE tell who belongs together."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._waiting: dict[tuple[bytes, bytes], tuple[End, int]] = {}

    def want(self, host: End, wanted: ConnectionWanted) -> None:
        """A host is ready to connect; it is told when that has succeeded, or has taken too long."""
        local, remote = wanted.local.ufrag, wanted.remote.ufrag
        key = (local, remote) if wanted.role is Role.ACTIVE else (remote, local)
        waiting = self._waiting.get(key)
        if waiting is None or not self._network.reaches(host, waiting[0]):
            self._waiting[key] = host, wanted.attach
            engine = self._network.engine
            engine.post(engine.now_us + int(CONNECTING * 1e6), self._expire, key, host, wanted.attach)
            return
        del self._waiting[key]
        ends = (host, wanted.attach), waiting
        active, passive = ends if wanted.role is Role.ACTIVE else reversed(ends)
        self._network.connect((active[0], passive[0]), (active[1], passive[1]))

    def abandon(self, host: End, attach: int) -> None:
        """A host does not want to connect any more."""
        for key, waiting in self._waiting.items():
            if waiting == (host, attach):
                del self._waiting[key]
                return

    def _expire(self, key: tuple[bytes, bytes], host: End, attach: int) -> None:
        if self._waiting.get(key) == (host, attach):
            del self._waiting[key]
            host.not_connected(attach)

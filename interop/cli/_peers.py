"""Starting a peer, with every mistake that shows when it starts told in one line."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from interop.cli._errors import MistakeError, reason
from interop.cli._options import text_of
from interop.cli._pex import Pex
from interop.cli._progress import note
from interop.peer import PeerError, SwarmPeer
from interop.swarm_socket import SwarmSocket
from interop.tracker_client import TrackerError, parse_tracker


@contextlib.asynccontextmanager
async def entered(
    peer: SwarmPeer | SwarmSocket, listen: tuple[str, int], pex: Pex | None = None
) -> AsyncIterator[None]:
    """`async with peer`, or its socket, where what cannot be started is a MistakeError and what is left out is told.

    With `pex` the peer has the certificates that this speaks of.
    """
    async with contextlib.AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(peer)
        except PeerError as exc:
            raise MistakeError(str(exc)) from exc
        except OSError as exc:
            raise MistakeError(f"--listen {text_of(listen)}: {reason(exc)}") from exc
        if isinstance(peer, SwarmPeer):
            _tell_left_out(peer)
            if pex is not None:
                await stack.enter_async_context(pex.certified(peer))
        yield


def _tell_left_out(peer: SwarmPeer) -> None:
    for tracker in peer.uri.trackers:
        try:
            parse_tracker(tracker, insecure=peer.logins.insecure)
        except TrackerError as exc:
            note(f"not asked: {exc}")

"""The scenario that DECADE is for, played with real programs (RFC 7069 section 3; figure 7 of the DECADE paper).

A source stores a film at a server Sa. Clients near another server, Sb, ask the source over protocols of their own,
PPSPP and BitTorrent; it has Sa deliver to Sb, and answers with a name, a server and a token. They read at Sb while the
objects are still coming, and later ones when Sa and the source are gone. `interop.decade_figure7.story.play` is all of
it: servers and clients are processes, and what is not as it should be raises `Figure7Error`.
"""

from __future__ import annotations


class Figure7Error(Exception):
    """Something did not go as the scenario has it; the text says what, in one line."""


def expect(is_so: bool, otherwise: str) -> None:
    """Raises Figure7Error unless it is so."""
    if not is_so:
        raise Figure7Error(otherwise)

"""What the tests of the PPSPP endpoint share, as the fixture `lab`.

`lab.Publication` is content with a Merkle tree of its own making (recursive, from section 5.1 of the RFC, nothing of
`ppsp.merkle` in it). `lab.Bench` drives one endpoint by hand, with `lab.HandPeer`s that speak through the codec and may
misbehave. `lab.Network` runs several endpoints in virtual time over links that lose, reorder and repeat.
"""

from types import SimpleNamespace

import pytest
from ppsp_bench import Bench, FixedWindow, HandPeer, fixed_window, joined, options_of
from ppsp_network import Network
from ppsp_publication import Publication, Store, pattern


@pytest.fixture(scope="session")
def lab():
    """The tools of these tests; they keep nothing between tests."""
    return SimpleNamespace(
        Bench=Bench,
        FixedWindow=FixedWindow,
        HandPeer=HandPeer,
        Network=Network,
        Publication=Publication,
        Store=Store,
        fixed_window=fixed_window,
        joined=joined,
        options_of=options_of,
        pattern=pattern,
    )


@pytest.fixture(scope="session")
def seven(lab):
    """The RFC's content of 7162 octets: 7 chunks, the last of 1018 octets (section 5.6)."""
    return lab.Publication(lab.pattern(7162))

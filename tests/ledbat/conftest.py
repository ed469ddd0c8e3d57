"""The tiny network of the uTP tests."""

import pytest
from utp_network import Network


@pytest.fixture
def network() -> Network:
    return Network()

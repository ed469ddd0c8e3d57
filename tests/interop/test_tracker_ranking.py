"""A tracker that ranks peers by an ALTO server: both are processes of their own, the peers are at other addresses."""

import asyncio
import itertools
import json
import math
from pathlib import Path

import httpx
import pytest

from interop.alto_client import AltoClient
from interop.tracker_ranking import AltoCosts
from interop.tracker_running import Tracker, TrackerConfig, TrackerConfigError
from ppsp.tracker import (
    MEDIA_TYPE,
    Action,
    ConnectRequest,
    Costs,
    FindRequest,
    PeerAddr,
    PeerMode,
    PeerNum,
    RequestMessage,
    ResponseMessage,
    SwarmAction,
    encode,
    parse_response,
)


@pytest.fixture
def alto(cli, tmp_path: Path) -> str:
    """An ALTO server for the loopback network: one part of it is here, one near, one far, the rest elsewhere."""
    (tmp_path / "map.csv").write_text("prefix,pid\n127.0.0.0/16,here\n127.1.0.0/16,near\n127.2.0.0/16,far\n")
    (tmp_path / "costs.csv").write_text("source,destination,cost\nhere,here,0\nhere,near,1\nhere,far,9\n")
    words = ("--map", tmp_path / "map.csv", "--default-pid", "elsewhere", "--costs", tmp_path / "costs.csv", "--json")
    return json.loads(cli.line(cli.start("alto", "serve", "--listen", "127.0.0.1:0", *words)))["url"]


def ask(url: str, message: RequestMessage, host: str) -> ResponseMessage:
    with httpx.Client(transport=httpx.HTTPTransport(local_address=host)) as http:
        response = http.post(url, content=encode(message), headers={"Content-Type": MEDIA_TYPE})
    return parse_response(response.content).message


def joining(peer_id: str, host: str) -> ConnectRequest:
    action = SwarmAction("s", Action.JOIN, PeerMode.SEEDER)
    return ConnectRequest("1", peer_id, (action,), peer_addr=(PeerAddr(host, 80),))


def test_the_peers_that_cost_least_are_listed_first(cli, alto):
    """RFC 7846 section 4.1.1: network topology preferences, with ALTO [RFC7285]"""
    tracker = cli.start("tracker", "--listen", "127.0.0.1:0", "--json", "--alto", alto)
    url = json.loads(cli.line(tracker))["url"]
    for number in range(1, 6):
        for network in (1, 2, 3):
            host = f"127.{network}.0.{number}"
            assert ask(url, joining(host, host), host).error_code == 0
    assert ask(url, joining("me", "127.0.0.1"), "127.0.0.1").error_code == 0

    def networks(transaction_id: str) -> list[str]:
        answer = ask(url, FindRequest(transaction_id, "me", "s", PeerNum(4)), "127.0.0.1")
        return [peer.peer_id.split(".")[1] for peer in answer.swarm_result[0].peer_group]

    # The maps are read when the tracker starts, beside its requests.
    numbers = itertools.count()
    while (found := networks(f"t{next(numbers)}"))[:3] != ["1", "1", "1"]:
        pass
    assert len(found) == 4


def test_before_the_maps_are_read_and_for_addresses_in_none_nothing_is_known(alto):
    costs = AltoCosts()
    fits: Costs = costs
    assert fits("127.0.0.1", ["127.1.0.1"]) == [math.inf]

    async def work() -> None:
        async with AltoClient(alto) as client:
            await costs.read(client)

    asyncio.run(work())
    there = ["127.2.0.1", "127.1.0.1", "127.0.0.2", "127.3.0.1", "2001:db8::1"]
    assert costs("127.0.0.1", there) == [9.0, 1.0, 0.0, math.inf, math.inf]
    assert costs("127.3.0.1", there) == [math.inf] * 5
    assert costs("127.0.0.1", []) == []


def test_an_alto_server_out_of_reach_is_tried_again_and_harms_nobody(cli):
    tracker = cli.start("tracker", "--listen", "127.0.0.1:0", "--json", "--alto", "http://127.0.0.1:1/")
    url = json.loads(cli.line(tracker))["url"]
    for name in ("a", "b"):
        assert ask(url, joining(name, "127.0.0.1"), "127.0.0.1").error_code == 0
    answer = ask(url, FindRequest("2", "a", "s"), "127.0.0.1")
    assert [peer.peer_id for peer in answer.swarm_result[0].peer_group] == ["b"]


def test_a_url_that_is_none_is_said_at_once():
    for url in ("ftp://alto.example/", "nonsense", "http://"):
        with pytest.raises(TrackerConfigError, match="not an http or https URI"):
            Tracker(TrackerConfig(alto=url))

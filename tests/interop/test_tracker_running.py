"""A tracker from its configuration: how it chooses, what it tells, and whose Redis it may use."""

import asyncio
from typing import Any

import httpx
import pytest
from decade_scale import RedisProcess

from interop.tracker_running import Tracker, TrackerConfig, TrackerConfigError
from ppsp.tracker import (
    MEDIA_TYPE,
    AbilityNat,
    Action,
    ConnectRequest,
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

NO_NAT, TURN = AbilityNat.NO_NAT, AbilityNat.TURN


def joining(peer_id: str, properties: PeerNum) -> ConnectRequest:
    action = SwarmAction("s", Action.JOIN, PeerMode.LEECH)
    return ConnectRequest("1", peer_id, (action,), properties, (PeerAddr("192.0.2.1", 80),))


def told(config: TrackerConfig, *messages: RequestMessage, **more: Any) -> list[ResponseMessage]:
    async def work() -> list[ResponseMessage]:
        transport = httpx.ASGITransport(app=Tracker(config, **more).app, client=("198.51.100.7", 4000))
        headers = {"Content-Type": MEDIA_TYPE}
        async with httpx.AsyncClient(transport=transport, base_url="http://tracker/", headers=headers) as http:
            return [parse_response((await http.post("/", content=encode(one))).content).message for one in messages]

    return asyncio.run(work())


def test_properties_choose_where_the_operator_says_so():
    """RFC 7846 section 3.2.2"""
    crowd = [joining(f"relayed {number}", PeerNum(0, TURN)) for number in range(20)]
    ask = FindRequest("2", "relayed 0", "s", PeerNum(1, TURN))
    *_, answer = told(TrackerConfig(select="properties"), *crowd, joining("open", PeerNum(0, NO_NAT)), ask)
    # Of eight at random for the one that is asked for, the best: it may not be among them.
    assert len(answer.swarm_result[0].peer_group) == 1
    *_, answer = told(TrackerConfig(select="properties"), *crowd[:5], joining("open", PeerNum(0, NO_NAT)), ask)
    assert answer.swarm_result[0].peer_group[0].peer_id == "open"


@pytest.mark.parametrize("seen", ["192.0.2.10", "::ffff:192.0.2.10"])
@pytest.mark.parametrize("trusted", ["192.0.2.10", "192.0.2.0/24"])
def test_a_trusted_proxy_is_known_at_a_tracker_that_listens_by_ipv6_too(trusted, seen):
    """Where a socket on `::` sees an IPv4-mapped address (RFC 4291 section 2.5.5.2)"""
    tracker = Tracker(TrackerConfig(proxies=(trusted,)))

    async def work() -> None:
        for proxy, source in ((seen, "203.0.113.5"), ("::ffff:192.0.3.10", "203.0.113.6")):
            transport = httpx.ASGITransport(app=tracker.app, client=(proxy, 4000))
            headers = {"Content-Type": MEDIA_TYPE, "X-Forwarded-For": source}
            async with httpx.AsyncClient(transport=transport, base_url="http://tracker/", headers=headers) as http:
                await http.post("/", content=encode(joining(source, PeerNum(1))))

    asyncio.run(work())
    assert tracker.server.peer("203.0.113.5").host == "203.0.113.5"
    assert tracker.server.peer("203.0.113.6").host == "192.0.3.10"


def test_the_password_of_a_redis_comes_from_the_environment():
    engine = RedisProcess("redis-server", "--requirepass", "secret", password="secret")
    try:
        config = TrackerConfig(store=engine.url, prefix="mine")
        with pytest.raises(TrackerConfigError, match="--store: redis: Authentication required"):
            Tracker(config, environment={})
        with pytest.raises(TrackerConfigError, match=r"--store: .*password"):
            Tracker(config, environment={"PPSP_REDIS_PASSWORD": "wrong"})
        environment = {"PPSP_REDIS_PASSWORD": "secret"}
        asked = [joining("a", PeerNum(1)), FindRequest("2", "a", "s")]
        assert [one.error_code for one in told(config, *asked, environment=environment)] == [0, 0]
        # Another prefix is another set of trackers.
        other = TrackerConfig(store=engine.url, prefix="other")
        assert [one.error_code for one in told(other, asked[1], environment=environment)] == [3]
    finally:
        engine.close()

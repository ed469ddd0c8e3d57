"""What trackers that share a Redis have there."""

from typing import Any

from interop.tracker_store.records import read
from ppsp.tracker import PeerMode


def consistent(client: Any, prefix: str) -> None:
    """What the sets and counters say is what the records say."""
    base = f"{{{prefix}}}:"
    swarms: dict[str, set[str]] = {}
    seeders: dict[str, float] = {}
    names = [key.decode().removeprefix(f"{base}peer:") for key in client.keys(f"{base}peer:*")]
    for name in names:
        peer = read(*client.hmget(f"{base}peer:{name}", "l", "r"))
        assert peer.peer_id == name
        assert peer.swarms
        modes = {f"s{swarm_id}": one.peer_mode[0] for swarm_id, one in peer.swarms.items()}
        whole = client.hgetall(f"{base}peer:{name}")
        fields = {key.decode(): whole[key].decode() for key in whole.keys() - {b"r", b"v", b"l"}}
        assert fields == modes
        for swarm_id, one in peer.swarms.items():
            swarms.setdefault(swarm_id, set()).add(name)
            if one.peer_mode is PeerMode.SEEDER:
                seeders[swarm_id] = seeders.get(swarm_id, 0) + 1
    kept = {
        key.decode().removeprefix(f"{base}swarm:"): {one.decode() for one in client.smembers(key)}
        for key in client.keys(f"{base}swarm:*")
    }
    assert kept == swarms
    assert {one.decode() for one in client.zrange(f"{base}deadlines", 0, -1)} == set(names)
    scores = {name: dict(client.zrange(f"{base}{name}", 0, -1, withscores=True)) for name in ("swarms", "seeders")}
    assert scores["swarms"] == {swarm_id.encode(): len(peers) for swarm_id, peers in swarms.items()}
    assert scores["seeders"] == {swarm_id.encode(): number for swarm_id, number in seeders.items()}
    assert int(client.get(f"{base}memberships") or 0) == sum(map(len, swarms.values()))
    places: dict[str, int] = {}
    for name in names:
        peer = read(*client.hmget(f"{base}peer:{name}", "l", "r"))
        assert client.hget(f"{base}held", name).decode() == f"{len(peer.swarms)} {peer.host}"
        places[peer.host] = places.get(peer.host, 0) + len(peer.swarms)
    assert client.hlen(f"{base}held") == len(names)
    assert {key.decode(): int(value) for key, value in client.hgetall(f"{base}places").items()} == places

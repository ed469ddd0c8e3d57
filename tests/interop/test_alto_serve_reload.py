"""`ietf-p2p alto serve` follows its files: what changes reaches streams and TIPS, and a mistake changes nothing."""

import asyncio
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from alto_serve import events, serving

from alto import media
from alto.patch import merge_patch
from interop.alto_client import AltoClient
from interop.alto_sources import SAMPLE
from interop.alto_tips import follow

STREAM = {"Content-Type": media.UPDATE_STREAM_PARAMS}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(SAMPLE, tmp_path / "sample")
    return tmp_path / "sample"


def change(path: Path, old: str, new: str) -> None:
    """Replace a file at once, as careful editors and programs do."""
    text = path.read_text()
    assert old in text
    other = path.with_suffix(".new")
    other.write_text(text.replace(old, new))
    os.replace(other, path)


@contextmanager
def streaming(url: str, *resource_ids: str) -> Iterator[Iterator[tuple[str, Any]]]:
    """The events of an update stream with a substream for each resource."""
    add = {name: {"resource-id": name} for name in resource_ids}
    with (
        httpx.Client(timeout=60) as client,
        client.stream("POST", f"{url}updates", content=json.dumps({"add": add}), headers=STREAM) as response,
    ):
        assert response.status_code == 200
        yield events(response.iter_lines())


def test_a_running_stream_sees_what_sighup_has_read(folder):
    with (
        serving("--config", folder / "alto.toml") as served,
        streaming(served.url, "network", "network-routingcost") as found,
    ):
        for _ in range(3):
            kind, costs = next(found)
        assert kind == f"{media.COST_MAP},network-routingcost"
        change(folder / "costs.csv", "access-north,peer,12", "access-north,peer,77")
        served.send()
        kind, patch = next(found)
        assert kind == f"{media.MERGE_PATCH},network-routingcost"
        assert patch["cost-map"] == {"access-north": {"peer": 77}}
        after = merge_patch(costs, patch)
        assert after == httpx.get(f"{served.url}network-routingcost").json()
        said = served.said("reloaded: ")
        assert "network-routingcost" in said
        assert "hopcount" not in said


def test_a_changed_file_is_noticed_and_the_map_comes_before_its_costs(folder):
    """RFC 8895 section 9.2, trap 14"""
    with (
        serving("--config", folder / "alto.toml") as served,
        streaming(served.url, "network-routingcost", "network") as found,
    ):
        for _ in range(3):
            next(found)
        change(folder / "network-map.csv", "203.0.113.0/24,peer", "203.0.113.0/25,peer")
        (_, whole), (_, costs) = next(found), next(found)
        tag = httpx.get(f"{served.url}network").json()["meta"]["vtag"]["tag"]
        # The whole map comes first; both are at the new version.
        assert tag in json.dumps(whole)
        assert tag in json.dumps(costs["meta"]["dependent-vtags"])
        served.said("reloaded: network, ")


def test_a_client_of_tips_sees_it_too(folder):
    async def followed(url: str) -> list[Any]:
        async with AltoClient(url) as alto, aclosing(follow(alto, "network-routingcost")) as updates:
            seen = [(await anext(updates)).document.tree]
            waiting = asyncio.ensure_future(anext(updates))
            await asyncio.sleep(0.3)  # it waits in a long poll
            change(folder / "costs.csv", "access-north,peer,12", "access-north,peer,77")
            return [*seen, (await asyncio.wait_for(waiting, 30)).document.tree]

    with serving("--config", folder / "alto.toml") as served:
        before, after = asyncio.run(followed(served.url))
    assert [tree["cost-map"]["access-north"]["peer"] for tree in (before, after)] == [12, 77]


def test_a_broken_file_changes_nothing_and_is_named_and_what_is_mended_is_read(folder):
    with serving("--config", folder / "alto.toml") as served, httpx.Client(base_url=served.url) as client:
        before = client.get("network").text
        change(folder / "network-map.csv", "203.0.113.0/24,peer", "203.0.113.1/24,peer")
        change(folder / "costs.csv", "access-north,peer,12", "access-north,peer,77")
        said = served.said("not reloaded")
        path = folder / "network-map.csv"
        assert said == (
            f"not reloaded, everything stays as it was: {path}, line 11: "
            "203.0.113.1/24 has host bits set; its prefix is 203.0.113.0/24"
        )
        assert client.get("network").text == before
        assert client.get("network-routingcost").json()["cost-map"]["access-north"]["peer"] == 12
        path.unlink()
        assert served.said("not reloaded").endswith(f"{path}: No such file or directory")
        shutil.copy(SAMPLE / "network-map.csv", path)
        served.said("reloaded: network-routingcost")
        assert client.get("network").text == before
        assert client.get("network-routingcost").json()["cost-map"]["access-north"]["peer"] == 77


def test_other_resources_take_over_without_a_gap(folder):
    config = folder / "alto.toml"
    with serving("--config", config, "--json") as served, httpx.Client(base_url=served.url, timeout=60) as client:
        with streaming(served.url, "network") as found:
            for _ in range(2):
                next(found)
            change(
                config,
                "[property-map.elements]",
                '[property-map.more]\nfile = "properties.csv"\n\n[property-map.elements]',
            )
            # The stream ends as a lost connection does: its client opens another, and finds what is new.
            assert [*found] == []
        assert json.loads(served.said('{"event": "reloaded"'))["text"].startswith("everything")
        assert client.get("more").json()["property-map"]["ipv4:192.0.2.0/25"] == {".access": "fibre"}
        with streaming(served.url, "more") as found:
            next(found)
            assert next(found)[0] == f"{media.PROPERTY_MAP},more"
            change(folder / "properties.csv", "fibre", "copper")
            assert "copper" in json.dumps(next(found)[1])


def test_a_mistake_in_the_configuration_changes_nothing(folder):
    config = folder / "alto.toml"
    with serving("--config", config, "--json") as served:
        change(config, 'file = "costs.csv"', "file = 7")
        said = json.loads(served.said('{"event": "refused"'))
        assert said["text"] == f"{config}: network-map.network.costs.routingcost.file: a string is due, not 7"
        assert httpx.get(f"{served.url}network-routingcost").status_code == 200


def test_what_cannot_change_while_it_runs_is_said(folder):
    config = folder / "alto.toml"
    with serving("--config", config) as served:
        change(config, '# client-header = "X', 'client-header = "X')
        assert "when the server is started again" in served.said("restart needed: ")


def test_sighup_without_a_change_says_so(folder):
    with serving("--map", folder / "network-map.csv", "--costs", folder / "costs.csv") as served:
        served.send()
        assert served.said("unchanged: ") == "unchanged: nothing has changed"
        change(folder / "costs.csv", "access-north,peer,12", "access-north,peer,77")
        assert served.said("reloaded: ").startswith("reloaded: network-routingcost, network-routingcost-ordinal")


def test_other_users_may_come_while_it_runs(folder):
    with serving("--config", folder / "alto.toml") as served:

        def status(user: str) -> int:
            auth = httpx.DigestAuth(user, "guest")
            asked = {"cost-type": {"cost-mode": "array", "cost-metric": "ane-path"}}
            headers = {"Content-Type": media.COST_MAP_FILTER}
            return httpx.post(f"{served.url}network-pv", json=asked, headers=headers, auth=auth).status_code

        assert [status("guest"), status("bob")] == [200, 401]
        # The digest of bob:alto sample:guest
        (folder / "users.htdigest").write_text("bob:alto sample:8c7e3ab045a5f37cbf73fe56aa8e7ad3\n")
        served.said("reloaded: users")
        assert [status("guest"), status("bob")] == [401, 200]
        (folder / "users.htdigest").write_text("bob:guest\n")
        assert "users.htdigest, line 1: USER:REALM:DIGEST is due" in served.said("not reloaded")
        assert status("bob") == 200

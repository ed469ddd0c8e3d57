"""`ietf-p2p alto serve` as a process, asked by curl and httpx: each kind of resource, and each short form."""

import asyncio
import json
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from alto_ip_data import fake_package
from alto_mmdb import write_database
from alto_serve import Served, events, serving
from alto_serving import curl

from alto import media
from alto.findings import Findings
from alto.multipart import parse
from interop.__main__ import main
from interop.alto_client import AltoClient
from interop.alto_sources import SAMPLE


@pytest.fixture(scope="module")
def sample() -> Iterator[Served]:
    with serving() as served:
        yield served


def got(url: str) -> Any:
    result = curl("--fail", url)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def posted(url: str, media_type: str, body: Any) -> Any:
    result = curl("--fail-with-body", "-H", f"Content-Type: {media_type}", "--data", json.dumps(body), url)
    assert result.returncode == 0, result.stdout
    return json.loads(result.stdout)


def test_the_first_line_says_where_and_the_others_what(sample):
    assert sample.lines[0] == f"ALTO server listening on {sample.url}"
    lines = [sample.said("  ") for _ in range(23)]
    assert lines[0] == "  network                        7 PIDs, 13 prefixes, the default network map"
    assert "  network-routingcost            7 x 7 costs" in lines
    assert "  network-bw-available           3 x 2 costs, 4 intervals of 21600 s" in lines
    assert "  network-pv                     6 nodes, 12 links, private" in lines
    assert sample.said("Changes") == "Changes are pushed by updates, tips, private-updates, private-tips."


def test_the_directory_has_what_a_server_has_to_offer(sample):
    """RFC 7285 sections 6.1.1.1, 9.2.2, 11.2.1, 11.2.3 and 11.4.1.4"""
    directory = got(sample.url)
    assert directory["meta"]["default-alto-network-map"] == "network"
    cost_types = directory["meta"]["cost-types"]
    assert cost_types["num-routingcost"] == {"cost-mode": "numerical", "cost-metric": "routingcost"}
    assert cost_types["ord-routingcost"] == {"cost-mode": "ordinal", "cost-metric": "routingcost"}
    resources = directory["resources"]
    assert resources["network-routingcost"]["capabilities"] == {"cost-type-names": ["num-routingcost"]}
    properties = resources["endpoint-properties"]["capabilities"]["prop-types"]
    assert {"network.pid", "countries.pid", "properties.country"} <= {*properties}
    kinds = {entry["media-type"].partition(";")[0] for entry in resources.values()}
    assert kinds == {
        media.NETWORK_MAP,
        media.COST_MAP,
        media.ENDPOINT_COST,
        media.ENDPOINT_PROPERTIES,
        media.PROPERTY_MAP,
        media.CDNI,
        media.MULTIPART_RELATED,
        media.EVENT_STREAM,
        media.TIPS,
    }
    # A service is for those who may see all that it uses.
    assert not {name for name in resources["updates"]["uses"] if name.endswith("pv")}
    assert {"network-pv", "network-endpoint-pv"} <= {*resources["private-tips"]["uses"]}


def test_network_maps_and_cost_maps_are_got(sample):
    tree = got(f"{sample.url}network")
    assert tree["network-map"] == json.loads((SAMPLE / "network-map.json").read_bytes())["network-map"]
    assert got(f"{sample.url}countries")["network-map"]["elsewhere"] == {"ipv4": ["0.0.0.0/0"], "ipv6": ["::/0"]}
    costs = got(f"{sample.url}network-routingcost")
    assert costs["cost-map"]["access-north"]["cdn-cache"] == 3
    assert costs["meta"]["dependent-vtags"] == [tree["meta"]["vtag"]]
    ranks = got(f"{sample.url}network-routingcost-ordinal")["cost-map"]
    assert ranks["access-north"]["access-north"] == 1
    best = got(f"{sample.url}network-bw-available-ordinal")["cost-map"]
    assert best["cdn-cache"]["access-north"] == 1, "the greatest bandwidth is the best"


def test_filtered_maps_are_asked_by_post(sample):
    tree = posted(f"{sample.url}network-filtered", media.NETWORK_MAP_FILTER, {"pids": ["peer"]})
    assert [*tree["network-map"]] == ["peer"]
    asked = {
        "multi-cost-types": [
            {"cost-mode": "numerical", "cost-metric": "routingcost"},
            {"cost-mode": "numerical", "cost-metric": "hopcount"},
        ],
        "constraints": ["[0] le 3"],
        "pids": {"srcs": ["access-north"], "dsts": []},
    }
    tree = posted(f"{sample.url}network-costs", media.COST_MAP_FILTER, asked)
    assert tree["cost-map"] == {"access-north": {"access-north": [1, 1], "cdn-cache": [3, 3], "backbone": [2, 2]}}


def test_a_calendar_holds_now_and_its_present_interval_is_the_cost(sample):
    """RFC 8896 sections 3.3.2 and 5.1.2"""
    asked = {
        "cost-type": {"cost-mode": "numerical", "cost-metric": "bw-available"},
        "calendared": [True],
        "pids": {"srcs": ["peer"], "dsts": ["access-south"]},
    }
    tree = posted(f"{sample.url}network-costs", media.COST_MAP_FILTER, asked)
    expected = [100000000, 90000000, 60000000, 15000000]
    assert tree["cost-map"] == {"peer": {"access-south": expected}}
    [attributes] = tree["meta"]["calendar-response-attributes"]
    assert attributes["calendar-start-time"].endswith(" 00:00:00 GMT")
    assert (attributes["time-interval-size"], attributes["number-of-intervals"], attributes["repeated"]) == (
        21600,
        4,
        7,
    )
    assert got(f"{sample.url}network-bw-available")["cost-map"]["peer"]["access-south"] in expected


def test_costs_and_properties_of_endpoints(sample):
    asked = {
        "cost-type": {"cost-mode": "ordinal", "cost-metric": "routingcost"},
        "endpoints": {"srcs": ["ipv4:192.0.2.1"], "dsts": ["ipv4:198.51.100.130", "ipv6:2001:db8:2::1"]},
    }
    tree = posted(f"{sample.url}network-endpoint-costs", media.ENDPOINT_COST_PARAMS, asked)
    assert tree["endpoint-cost-map"] == {"ipv4:192.0.2.1": {"ipv4:198.51.100.130": 1, "ipv6:2001:db8:2::1": 2}}
    asked = {"properties": ["network.pid", "countries.pid", "properties.access"], "endpoints": ["ipv4:192.0.2.200"]}
    tree = posted(f"{sample.url}endpoint-properties", media.ENDPOINT_PROPERTY_PARAMS, asked)
    assert tree["endpoint-properties"] == {
        "ipv4:192.0.2.200": {"network.pid": "access-south", "countries.pid": "DE", "properties.access": "lte"}
    }


def test_property_maps_have_their_own_values_and_those_of_others(sample):
    tree = got(f"{sample.url}properties")
    assert tree["property-map"]["ipv4:192.0.2.0/25"] == {".access": "fibre", "network.pid": "access-north"}
    capability = tree["property-map"]["asn:as64500"]["cdni.cdni-capabilities"][0]
    assert capability["capability-type"] == "FCI.AcquisitionProtocol"
    asked = {"entities": ["ipv4:192.0.2.200"], "properties": [".access", ".country"]}
    tree = posted(f"{sample.url}properties-filtered", media.PROPERTY_MAP_PARAMS, asked)
    assert tree["property-map"] == {"ipv4:192.0.2.200": {".access": "lte", ".country": "DE"}}
    assert got(f"{sample.url}elements")["property-map"][".ane:EDGE1"] == {".kind": "cache", ".cpu-cores": "64"}


def test_advertisements_of_a_cdn(sample):
    tree = got(f"{sample.url}cdni")
    assert len(tree["cdni-advertisement"]["capabilities-with-footprints"]) == 2
    capability = {"capability-type": "FCI.DeliveryProtocol", "capability-value": {"delivery-protocols": ["http/1.1"]}}
    tree = posted(f"{sample.url}cdni-filtered", media.CDNI_FILTER, {"cdni-capabilities": [capability]})
    assert len(tree["cdni-advertisement"]["capabilities-with-footprints"]) == 1


def test_path_vectors_are_for_users(sample):
    """RFC 9275 sections 7.3 and 11"""
    asked = {
        "cost-type": {"cost-mode": "array", "cost-metric": "ane-path"},
        "endpoints": {"srcs": ["ipv4:198.51.100.1"], "dsts": ["ipv4:192.0.2.1", "ipv4:192.0.2.130"]},
        "ane-property-names": ["max-reservable-bandwidth", "persistent-entity-id"],
    }
    body = ("-H", f"Content-Type: {media.ENDPOINT_COST_PARAMS}", "--data", json.dumps(asked))
    url = f"{sample.url}network-endpoint-pv"
    assert b" 401 " in curl("-i", *body, url).stdout
    answer = curl("-i", "--digest", "-u", "guest:guest", *body, url).stdout.rpartition(b"HTTP/1.1 200")[2]
    head, _, octets = answer.partition(b"\r\n\r\n")
    content_type = next(line for line in head.decode().split("\r\n") if line.lower().startswith("content-type: "))
    root, properties = parse(content_type.partition(": ")[2], octets, Findings(strict=True)).parts
    paths = json.loads(root.body)["endpoint-cost-map"]["ipv4:198.51.100.1"]
    elements = json.loads(properties.body)["property-map"]
    last = [elements[f".ane:{paths[name][-1]}"] for name in ("ipv4:192.0.2.1", "ipv4:192.0.2.130")]
    assert [one["max-reservable-bandwidth"] for one in last] == [10**10, 10**10]
    assert "elements.ane:DC1" in [one.get("persistent-entity-id") for one in elements.values()]


def test_a_stream_begins_with_what_is_there(sample):
    add = {"map": {"resource-id": "network"}, "costs": {"resource-id": "network-routingcost"}}
    with (
        httpx.Client() as client,
        client.stream(
            "POST",
            f"{sample.url}updates",
            content=json.dumps({"add": add}),
            headers={"Content-Type": media.UPDATE_STREAM_PARAMS},
        ) as response,
    ):
        found = events(response.iter_lines())
        assert "control-uri" in next(found)[1]
        assert [next(found)[0] for _ in add] == [f"{media.NETWORK_MAP},map", f"{media.COST_MAP},costs"]


def test_our_client_ranks_by_it(sample):
    async def ranked() -> list[str]:
        async with AltoClient(sample.url) as alto:
            peers = await alto.rank("192.0.2.1", ["203.0.113.1", "198.51.100.130", "192.0.2.2"])
        return [peer.endpoint for peer in peers]

    assert asyncio.run(ranked()) == ["ipv4:192.0.2.2", "ipv4:198.51.100.130", "ipv4:203.0.113.1"]


def test_the_linter_finds_nothing_wrong_with_it(sample):
    assert main(["alto", "validate", sample.url]) == 0


# Short forms


def test_a_map_and_costs_in_csv(tmp_path):
    (tmp_path / "map.csv").write_text("prefix,pid\n192.0.2.0/24,a\n198.51.100.0/24,b\n")
    (tmp_path / "costs.csv").write_text("source,destination,cost,hopcount,remark\na,b,2.5,3,x\nb,a,2,3,y\n")
    (tmp_path / "p.csv").write_text("entity,country\nipv4:192.0.2.0/24,DE\npid:a,FR\n")
    words = ("--map", tmp_path / "map.csv", "--costs", tmp_path / "costs.csv", "--properties", tmp_path / "p.csv")
    with serving(*words, "--default-pid", "rest", "--json") as served:
        announced = json.loads(served.lines[0])
        assert announced["event"] == "serving"
        assert announced["default"] == "network"
        assert announced["services"] == ["updates", "tips"]
        assert announced["resources"][0] == {
            "id": "network",
            "media-type": media.NETWORK_MAP,
            "private": False,
            "about": "3 PIDs, 3 prefixes",
        }
        assert got(f"{served.url}network-routingcost")["cost-map"] == {"a": {"b": 2.5}, "b": {"a": 2.0}}
        assert got(f"{served.url}network-hopcount")["cost-map"] == {"a": {"b": 3}, "b": {"a": 3}}
        assert got(f"{served.url}properties")["property-map"]["network.pid:a"] == {".country": "FR"}
        assert "network-remark" not in got(served.url)["resources"]


def test_a_map_alone_gets_costs_that_say_what_is_near(tmp_path):
    """RFC 7285 section 6.1.1.1: MUST offer the routingcost"""
    shutil.copy(SAMPLE / "network-map.json", tmp_path / "map.json")
    with serving("--map", tmp_path / "map.json") as served:
        said = served.said("  network-routingcost ")
        assert said.endswith("7 x 7 costs, made up: 0 within a PID, 1 to another")
        costs = got(f"{served.url}network-routingcost")["cost-map"]
        assert (costs["peer"]["peer"], costs["peer"]["internet"]) == (0, 1)


def test_an_ip_database(tmp_path):
    records: dict[str, Any] = {
        "192.0.2.0/24": {"country": {"iso_code": "DE"}},
        "2001:db8::/32": {"country": {"iso_code": "FR"}},
    }
    write_database(tmp_path / "x.mmdb", records)
    with serving("--mmdb", tmp_path / "x.mmdb", "--field", "country.iso_code") as served:
        assert got(f"{served.url}network")["network-map"] == {
            "DE": {"ipv4": ["192.0.2.0/24"]},
            "FR": {"ipv6": ["2001:db8::/32"]},
            "elsewhere": {"ipv4": ["0.0.0.0/0"], "ipv6": ["::/0"]},
        }


def test_a_topology_is_a_map_with_costs_and_paths():
    with serving("--topology", Path(__file__).parent / "data" / "alto_topology.csv") as served:
        assert got(f"{served.url}network-routingcost")["cost-map"]["a"] == {"a": 0, "b": 12}
        assert got(f"{served.url}network-hopcount")["cost-map"]["a"] == {"a": 0, "b": 2}
        asked = {"cost-type": {"cost-mode": "array", "cost-metric": "ane-path"}, "pids": {"srcs": ["a"], "dsts": ["b"]}}
        words = ("-H", f"Content-Type: {media.COST_MAP_FILTER}", "--data", json.dumps(asked))
        assert b'"cost-map":{"a":{"b":["' in curl(*words, f"{served.url}network-pv").stdout


def test_public_ip_data_with_its_credit(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    fake_package(tmp_path / "ietf-p2p", "asn-country", "3221225984,3221226239,DE\n", "")
    fake_package(tmp_path / "ietf-p2p", "asn", '3221225984,3221226111,64500,"One, Inc."\n', "")
    with serving("--ip-location") as served:
        assert got(f"{served.url}network")["network-map"]["CC-DE"] == {"ipv4": ["192.0.2.0/24"]}
        assert "DB-IP (https://db-ip.com)" in served.said("IP data")
    with serving("--ip-location", "systems", "--json") as served:
        assert got(f"{served.url}network")["network-map"]["AS64500"] == {"ipv4": ["192.0.2.0/25"]}
        assert "AS64500" not in got(f"{served.url}network-routingcost")["cost-map"]
        assert "DB-IP" in json.loads(served.lines[0])["credit"]


def test_what_else_an_operator_sets(tmp_path):
    """RFC 7285 sections 8.5.3, 9.2.4 and 11.5.1.3, and who asks behind a proxy, trap 3"""
    folder = tmp_path / "sample"
    shutil.copytree(SAMPLE, folder)
    text = (folder / "alto.toml").read_text()
    for name in ("base-uri", "max-age", "client-header", "posts-per-second", "updates", "tips"):
        assert f"\n# {name} = " in text
        text = text.replace(f"\n# {name} = ", f"\n{name} = ")
    # At another rate, which does not give back what is used while a slow machine asks.
    text = text.replace("\nposts-per-second = 20 ", "\nposts-per-second = 0.01 ")
    for line in ("[redirects]", "old-costs = ", "[delegated]", "branch = "):
        assert f"\n# {line}" in text
        text = text.replace(f"\n# {line}", f"\n{line}")
    (folder / "alto.toml").write_text(text)
    with serving("--config", folder / "alto.toml") as served, httpx.Client(base_url=served.url) as client:
        root = client.get("/")
        assert root.headers["cache-control"] == "public, max-age=60, must-revalidate"
        resources = root.json()["resources"]
        assert resources["network"]["uri"] == "https://alto.example.com/network"
        assert resources["branch"] == {
            "uri": "https://branch.example.com/directory",
            "media-type": media.DIRECTORY,
        }
        assert not {"updates", "tips", "private-updates"} & {*resources}
        moved = client.get("old-costs")
        assert (moved.status_code, moved.headers["location"]) == (307, "https://alto.example.com/network-costs")
        asked = {
            "cost-type": {"cost-mode": "numerical", "cost-metric": "routingcost"},
            "endpoints": {"dsts": ["ipv4:203.0.113.1"]},
        }
        headers = {"Content-Type": media.ENDPOINT_COST_PARAMS, "X-Forwarded-For": "198.51.100.7, 192.0.2.1"}
        answers = [client.post("network-endpoint-costs", json=asked, headers=headers) for _ in range(60)]
        assert answers[0].json()["endpoint-cost-map"] == {"ipv4:192.0.2.1": {"ipv4:203.0.113.1": 12}}
        assert answers[-1].status_code == 503
        assert int(answers[-1].headers["retry-after"]) >= 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_end_is_clean_and_streams_are_told(number):
    """RFC 8895 section 5.3: the `stopped` of a control event"""
    with serving() as served, httpx.Client() as client:
        content = json.dumps({"add": {"map": {"resource-id": "network"}}})
        headers = {"Content-Type": media.UPDATE_STREAM_PARAMS}
        with client.stream("POST", f"{served.url}updates", content=content, headers=headers) as response:
            found = events(response.iter_lines())
            for _ in range(2):
                next(found)
            served.send(number)
            assert [*found] == [
                (media.UPDATE_STREAM_CONTROL, {"stopped": ["map"], "description": "the server is going down"})
            ]
        assert served.process.wait(timeout=60) == 0
        assert served._told.empty() or not any("Traceback" in line for line in served._told.queue)

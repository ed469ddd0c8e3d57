"""From a configuration to the resources of a server."""

import json
import threading
import time
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alto.auth import DigestAuthenticator
from alto.cdniresources import CdniResource
from alto.closure import check_offer, join_directories
from alto.costmap import CostMapResource
from alto.directory import Query, RequestContext
from alto.endpointproperty import EndpointPropertyResource
from alto.errors import ConfigurationError
from alto.findings import Findings
from alto.http import Request, Response
from alto.ird import parse_directory
from alto.propertyresources import PropertyMapResource
from interop import alto_live
from interop._alto_filecache import FileCache
from interop.alto_config import (
    CalendarConfig,
    CdniConfig,
    CostConfig,
    NetworkMapConfig,
    PropertyMapConfig,
    ServerConfig,
    UsersConfig,
    load_config,
)
from interop.alto_live import Followed, LiveServer
from interop.alto_plan import Plan, plan
from interop.alto_sources import SAMPLE

CALENDAR = CalendarConfig("", SAMPLE / "bandwidth.csv", 100.0, start=50.0, repeated=3)
COSTS = CostConfig("", "routingcost", SAMPLE / "costs.csv")
NETWORK = NetworkMapConfig("", "network", SAMPLE / "network-map.csv", costs=(COSTS,))
COUNTRIES = NetworkMapConfig("", "countries", SAMPLE / "countries.csv", default_pid="elsewhere")
USERS = UsersConfig("", SAMPLE / "users.htdigest")


FILES = FileCache()


def planned(*network_maps: NetworkMapConfig, wall: float = 1000.0, **more: Any) -> Plan:
    return plan(ServerConfig("", network_maps, **more), FILES, wall=wall)


def answer(made: Plan, resource_id: str, asked: Any = None) -> Any:
    context = RequestContext(made.directory, wall=1000.0)
    query = Query(context, asked, random_bytes=bytes)
    return made.directory.resources[resource_id].answer(query).tree


@pytest.mark.parametrize(
    ("wall", "start", "present", "changes"),
    [
        (50, 50, 0, 150),
        (149.5, 50, 0, 150),
        (150, 50, 1, 250),
        (449, 50, 3, 450),
        (450, 450, 0, 550),
        (900, 850, 0, 950),
    ],
)
def test_a_calendar_begins_again_and_its_present_interval_is_the_cost(wall, start, present, changes):
    """RFC 8896 section 5.1.2: the start time SHOULD NOT be later than the request"""
    bandwidth = CostConfig("", "bw-available", calendar=CALENDAR)
    made = planned(attrs.evolve(NETWORK, costs=(COSTS, bandwidth)), wall=wall)
    assert made.next_change == changes
    expected = [900000000, 750000000, 500000000, 200000000]
    cost = made.directory.find("network-bw-available", CostMapResource).costs.get("datacentre", "access-north")
    assert cost == expected[present]
    asked = {
        "cost-type": {"cost-mode": "numerical", "cost-metric": "bw-available"},
        "calendared": [True],
        "pids": {"srcs": ["datacentre"], "dsts": ["access-north"]},
    }
    tree = answer(made, "network-costs", asked)
    assert tree["cost-map"]["datacentre"]["access-north"] == expected
    assert tree["meta"]["calendar-response-attributes"] == [
        {
            "calendar-start-time": f"Thu, 01 Jan 1970 00:{start // 60:02}:{start % 60:02} GMT",
            "time-interval-size": 100,
            "number-of-intervals": 4,
            "repeated": 3,
        }
    ]


@given(st.floats(50, 4e9), st.floats(0.001, 1e6))
def test_there_is_always_a_present_interval_and_a_next_change(wall, interval):
    bandwidth = CostConfig("", "bw-available", calendar=attrs.evolve(CALENDAR, interval=interval))
    made = planned(attrs.evolve(NETWORK, costs=(COSTS, bandwidth)), wall=wall)
    assert made.next_change >= wall - 1e-3


def test_a_calendar_with_costs_of_their_own_changes_when_it_is_over():
    costs = CostConfig("", "bw-available", SAMPLE / "bandwidth.csv", column="06:00", calendar=CALENDAR)
    made = planned(attrs.evolve(NETWORK, costs=(COSTS, costs)), wall=160)
    assert made.next_change == 450
    assert made.directory.find("network-bw-available", CostMapResource).costs.get("peer", "access-north") == 90000000


def test_as_long_as_only_data_differ_the_shape_is_the_same(tmp_path):
    (tmp_path / "p.csv").write_text("entity,x\nipv4:192.0.2.0/24,1\n")
    config = ServerConfig("", (NETWORK,), (PropertyMapConfig("", "p", tmp_path / "p.csv"),))
    files = FileCache()
    before = plan(config, files, wall=0)
    (tmp_path / "p.csv").write_text("entity,x,y\nipv4:192.0.2.0/24,1,2\n")
    after = plan(config, files, wall=0)
    assert before.shape == after.shape
    (tmp_path / "p.csv").write_text("entity,x\nnetwork.pid:peer,1\n")
    other = plan(config, files, wall=0)
    assert other.shape != before.shape, "it uses another resource"
    assert plan(attrs.evolve(config, max_age=5), files, wall=0).shape != other.shape


def test_what_a_file_was_made_into_is_kept(tmp_path):
    files = FileCache()
    config = load_config(SAMPLE / "alto.toml")
    with files.collecting():
        first = plan(config, files, wall=2e9)
    with files.collecting():
        second = plan(config, files, wall=2e9)
    assert files._made, "everything was asked for again"
    networks = [made.directory.resources["network"].network_map for made in (first, second)]  # type: ignore[attr-defined]
    assert networks[0] is networks[1]
    with files.collecting():
        pass
    assert not files._made


def test_each_network_map_has_cost_maps_of_its_own_and_cost_types_have_one_meaning():
    described = attrs.evolve(COSTS, description="by the other map")
    other = attrs.evolve(NETWORK, id="other", costs=(described,), is_default=True)
    made = planned(NETWORK, other)
    assert made.directory.default_network_map == "other"
    assert [*made.directory.resources["network-routingcost"].cost_types] == ["num-routingcost"]
    assert [*made.directory.resources["other-routingcost"].cost_types] == ["num-routingcost:other"]
    made.server(None)


def test_costs_are_made_up_only_where_there_are_none():
    assert "countries-routingcost" not in planned(NETWORK, COUNTRIES).directory.resources
    assert "made up" in planned(COUNTRIES).about["countries-routingcost"]
    hops = CostConfig("", "hopcount", SAMPLE / "metrics.csv")
    assert "made up" in planned(attrs.evolve(NETWORK, costs=(hops,))).about["network-routingcost"]


def test_whatever_is_configured_is_a_whole_server():
    """RFC 7285 sections 6.1.1.1, 7.1.1, 9.2.2, 11.2.1, 11.2.3 and 11.4.1.4"""
    secret = attrs.evolve(COUNTRIES, is_private=True)
    for maps in [(NETWORK,), (COUNTRIES,), (NETWORK, COUNTRIES), (NETWORK, secret), (secret,)]:
        made = planned(*maps, users=USERS)
        server = made.server(DigestAuthenticator("alto", {}))
        response = server.handle(Request("GET", "/"), None, 0.0)
        assert isinstance(response, Response)
        findings = Findings(strict=True)
        root = parse_directory(json.loads(response.body), findings, "http://alto.example.com/")
        check_offer(join_directories({"http://alto.example.com/": root}, findings), findings)
        assert root.default_network_map == maps[0].id


def test_a_map_may_be_listed_by_another_server():
    """RFC 7285 section 9.2.4"""
    made = planned(attrs.evolve(NETWORK, is_elsewhere=True))
    server = made.server(None)
    listed = [server.handle(Request("GET", path), None, 0.0) for path in ("/", "/network", "/network-routingcost")]
    assert [answer.status for answer in listed if isinstance(answer, Response)] == [200, 404, 200]
    assert isinstance(listed[0], Response)
    entries = json.loads(listed[0].body)["resources"]
    assert "network" not in entries
    assert entries["network-filtered"]["uses"] == ["network"]
    assert made.about["network"].endswith("listed by another server")
    assert made.shape != planned(NETWORK).shape


def test_more_pids_than_costs_can_be_made_up_for_are_a_mistake(tmp_path):
    lines = [f"10.{n // 256}.{n % 256}.0/24,p{n}" for n in range(1001)]
    (tmp_path / "map.csv").write_text("\n".join(["prefix,pid", *lines]))
    with pytest.raises(ConfigurationError, match="no costs are given, and 1002 PIDs are too many to make some up"):
        planned(NetworkMapConfig("", "network", tmp_path / "map.csv", default_pid="rest"))


def test_a_metric_with_a_dot_has_an_id_without(tmp_path):
    """RFC 7285 section 10.2, RFC 9439 section 3.2, trap 17"""
    costs = CostConfig("", "delay-ow:p99.9", SAMPLE / "metrics.csv", column="hopcount")
    made = planned(attrs.evolve(NETWORK, costs=(COSTS, costs)))
    assert "network-delay-ow:p99_9" in made.directory.resources


def test_what_is_private_is_told_to_users_only():
    """RFC 7285 section 11.4.1.4: the pid of every network map"""
    secret = attrs.evolve(COUNTRIES, is_private=True)
    made = planned(NETWORK, secret, users=USERS)
    public = made.directory.resources["endpoint-properties"].capabilities(made.directory)
    private = made.directory.resources["private-endpoint-properties"].capabilities(made.directory)
    assert public == {"prop-types": ["network.pid"]}
    assert private == {"prop-types": ["network.pid", "countries.pid"]}
    services = made.server(None).directory.services
    assert [*services] == ["updates", "tips", "private-updates", "private-tips"]
    assert "countries" not in services["tips"].uses
    assert "countries" in services["private-updates"].uses
    assert services["private-updates"].is_private
    alone = planned(attrs.evolve(NETWORK, is_private=True), users=USERS)
    assert [*alone.server(None).directory.services] == ["private-updates", "private-tips"]
    assert not [*(one for one in alone.directory.of_kind(EndpointPropertyResource) if not one.is_private)]
    assert not planned(NETWORK, has_updates=False, has_tips=False).server(None).directory.services


def test_properties_are_looked_up_in_other_resources(tmp_path):
    (tmp_path / "p.csv").write_text("entity,country\npid:peer,FR\n")
    properties = PropertyMapConfig("", "p", tmp_path / "p.csv", ("network.pid", "cdni.cdni-capabilities"))
    made = planned(
        NETWORK, property_maps=(properties,), cdni=(CdniConfig("", "cdni", SAMPLE / "cdni.json", "network"),)
    )
    assert made.directory.find("p", PropertyMapResource).source.mappings == {
        "network.pid": (".country", "cdni.cdni-capabilities"),
        "ipv4": ("network.pid",),
        "ipv6": ("network.pid",),
        "countrycode": ("cdni.cdni-capabilities",),
        "asn": ("cdni.cdni-capabilities",),
    }
    tree = answer(made, "p")["property-map"]
    assert tree["network.pid:peer"] == {".country": "FR"}
    assert tree["ipv4:203.0.113.0/24"] == {"network.pid": "peer"}
    assert made.directory.find("cdni", CdniResource).uses == ("network",)


def test_capabilities_for_everybody_are_those_of_every_address(tmp_path):
    text = '{"capability-type": "FCI.X", "capability-value": 1}'
    (tmp_path / "cdni.json").write_text(f'{{"cdni-advertisement": {{"capabilities-with-footprints": [{text}]}}}}')
    properties = PropertyMapConfig("", "p", None, ("cdni.cdni-capabilities",))
    made = planned(NETWORK, property_maps=(properties,), cdni=(CdniConfig("", "cdni", tmp_path / "cdni.json"),))
    assert [*answer(made, "p")["property-map"]] == ["ipv4:0.0.0.0/0", "ipv6:::/0"]


@pytest.mark.parametrize("name", ["nope.pid", "network.x", "cdni.cdni-capabilities", "pid"])
def test_what_cannot_be_looked_up_is_a_mistake(name):
    with pytest.raises(ConfigurationError, match=f"'{name}' is neither NETWORK-MAP.pid nor CDNI.cdni-capabilities"):
        planned(NETWORK, property_maps=(PropertyMapConfig("", "p", None, (name,)),))


def test_entities_of_a_resource_that_is_not_there_are_a_mistake(tmp_path):
    (tmp_path / "p.csv").write_text("entity,x\nother.pid:a,1\n")
    with pytest.raises(ConfigurationError, match="there is no resource 'other'"):
        planned(NETWORK, property_maps=(PropertyMapConfig("", "p", tmp_path / "p.csv"),))


# Following


class Heard:
    """What a LiveServer tells."""

    def __init__(self) -> None:
        self._events: list[Followed] = []
        self._more = threading.Condition()

    def __call__(self, event: Followed) -> None:
        with self._more:
            self._events.append(event)
            self._more.notify()

    def next(self) -> Followed:
        with self._more:
            assert self._more.wait_for(lambda: self._events, 20)
            return self._events.pop(0)


def test_a_calendar_goes_on_while_it_is_served(tmp_path):
    (tmp_path / "calendar.csv").write_text("source,destination,a,b\npeer,peer,1,2\n")
    calendar = CalendarConfig("", tmp_path / "calendar.csv", 0.7)
    costs = CostConfig("", "hopcount", calendar=calendar)
    config = ServerConfig("", (attrs.evolve(NETWORK, costs=(COSTS, costs)),))
    heard = Heard()
    with LiveServer(lambda: config, heard) as live:

        def present() -> float | None:
            return live.app.server.directory.find("network-hopcount", CostMapResource).costs.get("peer", "peer")

        before = present()
        event = heard.next()
        assert event.kind == "reloaded"
        assert "network-hopcount" in event.resource_ids
        assert present() != before


def test_a_mistake_is_told_once_and_what_is_unexpected_too(tmp_path, caplog):
    heard = Heard()
    (tmp_path / "alto.toml").write_text("x")
    config = ServerConfig("", (NETWORK,))
    failures: list[Exception] = []

    def configure() -> ServerConfig:
        if failures:
            raise failures[0]
        return config

    with LiveServer(configure, heard, config_file=tmp_path / "alto.toml") as live:
        failures.append(ConfigurationError("mistaken"))
        live.reload()
        assert heard.next() == Followed("refused", "mistaken")
        failures[0] = ZeroDivisionError("unexpected")
        (tmp_path / "alto.toml").write_text("xyz")
        assert heard.next() == Followed("refused", "ZeroDivisionError: unexpected")
        assert "the files cannot be served" in caplog.text
        failures.clear()
        live.reload()
        assert heard.next().kind == "unchanged"
        assert not heard._events


def test_a_file_is_read_once_it_stays_the_same(tmp_path, monkeypatch):
    """One that is still being written is left alone"""
    monkeypatch.setattr(alto_live, "POLL", 0.05)
    path = tmp_path / "costs.csv"
    text = (SAMPLE / "costs.csv").read_text()
    path.write_text(text)
    config = ServerConfig("", (attrs.evolve(NETWORK, costs=(attrs.evolve(COSTS, file=path),)),))
    heard = Heard()
    with LiveServer(lambda: config, heard):
        with path.open("w") as file:
            for line in text.replace("peer,12", "peer,13").splitlines(keepends=True)[:30]:
                file.write(line)
                file.flush()
                time.sleep(0.01)
            for line in text.splitlines(keepends=True)[30:]:
                file.write(line)
        assert heard.next().kind == "reloaded"
    assert not heard._events


def test_the_files_of_a_failed_attempt_and_those_before_are_looked_after(tmp_path: Path) -> None:
    files = FileCache()
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text("1")
    with files.collecting():
        assert files.made(first, "how", lambda: 1) == 1
        files.watch(second)
    assert not files.changed()
    second.write_text("2")
    assert files.changed()
    with pytest.raises(ZeroDivisionError), files.collecting():
        raise ZeroDivisionError
    assert not files.changed(), "it is as it was seen last"
    first.write_text("12")
    assert files.changed()
    assert {*files.signatures()} == {first, second}

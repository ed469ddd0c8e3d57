"""Maps, costs and properties from files: what is read, and the one sentence for each mistake."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from alto_ip_data import fake_package
from alto_mmdb import write_database

from alto.errors import ConfigurationError
from alto.networkmap import NetworkMap
from interop import _alto_costfiles, _alto_ip_location
from interop.alto_sources import (
    ATTRIBUTION,
    SAMPLE,
    ip_location_map,
    load_advertisements,
    load_cost_columns,
    load_costs,
    load_credentials,
    load_intervals,
    load_network_map,
    load_properties,
    load_topology,
    pid_name,
)

MAP = {"network-map": {"a": {"ipv4": ["0.0.0.0/0"], "ipv6": ["::/0"]}, "b": {"ipv6": ["2001:db8::/32"]}}}


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    "text",
    [
        "prefix,pid\n0.0.0.0/0,a\n::/0,a\n2001:db8::/32,b\n",
        "pid,prefix\na,0.0.0.0/0\na,::/0\nb,2001:db8::/32",
        '\ufeffPrefix , note, PID\r\n0.0.0.0/0,x, a\r\n\r\n::/0,,a\r\n2001:db8::/32,"y, z",b\r\n',
        "prefix,pid\n0.0.0.0/0,a\n0.0.0.0/0,a\n::/0,a\n2001:DB8::/32,b\n",
    ],
)
def test_a_csv_file_has_prefixes_and_pids_in_either_order(tmp_path: Path, text: str) -> None:
    assert load_network_map(written(tmp_path, "map.csv", text)).to_json() == MAP["network-map"]


def test_a_json_file_is_what_a_network_map_answers(tmp_path: Path) -> None:
    assert load_network_map(written(tmp_path, "map.JSON", json.dumps(MAP))).to_json() == MAP["network-map"]


def test_what_the_file_leaves_out_can_go_to_a_pid(tmp_path: Path) -> None:
    path = written(tmp_path, "map.csv", "prefix,pid\n192.0.2.0/24,a\n")
    assert load_network_map(path, default_pid="rest").pid_of("198.51.100.1") == "rest"
    with pytest.raises(ConfigurationError, match=r"map\.csv: network-map: incomplete: no PID .*; a default PID would"):
        load_network_map(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("map.csv", "", r"line 1: the columns prefix and pid are due, not \[\]"),
        ("map.csv", "network,pid\n", "line 1: the columns prefix and pid are due"),
        ("map.csv", "prefix,pid\n0.0.0.0/0\n", "line 2: 2 cells are due, there are 1"),
        ("map.csv", "prefix,pid\n0.0.0.0/0,a,b\n", "line 2: 2 cells are due, there are 3"),
        ("map.csv", "prefix,pid\n\n0.0.0.0/0,a b\n", "line 3: 'a b' is no PID name: 1 to 64 of"),
        (
            "map.csv",
            "prefix,pid\n192.0.2.1/24,a\n",
            "line 2: 192.0.2.1/24 has host bits set; its prefix is 192.0.2.0/24",
        ),
        ("map.csv", "prefix,pid\n192.0.2.1,a\n", "line 2: '192.0.2.1' is no ipv4 prefix"),
        ("map.csv", "prefix,pid\n2001:db8::/32x,a\n", "line 2: '2001:db8::/32x' is no ipv6 prefix"),
        (
            "map.csv",
            "prefix,pid\n2001:db8::/32,a\n::/0,a\n2001:DB8::/32,b\n",
            "line 4: 2001:DB8::/32 is in the PID 'a' already, by line 2",
        ),
        ("map.csv", b"prefix,pid\n\xff\n", "map.csv: not UTF-8 at octet 11"),
        ("map.csv", 'prefix,pid\n"0.0.0.0/0', "map.csv: "),
        ("map.json", "{", "map.json: Expecting property name .* at line 1"),
        ("map.json", "[]", "an object with the member 'network-map' is due"),
        ("map.json", '{"network-map": []}', "an object with the member 'network-map' is due"),
        ("map.json", '{"network-map": {"a": []}}', "the PID 'a' is to be an object"),
        ("map.json", '{"network-map": {"a": {"ipv4": "0.0.0.0/0"}}}', "the PID 'a' is to be an object"),
        ("map.json", '{"network-map": {"a": {"ipv4": [1]}}}', "map.json: a/ipv4: a string is due, not 1"),
        ("map.json", '{"network-map": {"a": {}, "a": {}}}', "the name 'a' twice"),
        (
            "map.json",
            '{"network-map": {"a": {"ipv4": ["0.0.0.1/0"]}}}',
            "map.json: a/ipv4: 0.0.0.1/0 has host bits set",
        ),
        ("map.txt", "", "map.txt: a network map is read from .csv, .json and .mmdb"),
        ("map.mmdb", b"", "map.mmdb: which field of its records names the PID"),
    ],
)
def test_each_mistake_in_a_map_gets_one_sentence(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        load_network_map(written(tmp_path, name, content))
    assert str(caught.value).startswith(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    for load in (load_network_map, load_costs, load_properties):
        with pytest.raises(ConfigurationError, match=r"none\.csv: No such file or directory"):
            load(tmp_path / "none.csv")


def test_costs_are_read_from_both_kinds_of_files(tmp_path: Path) -> None:
    expected = {"a": {"a": 1.0, "b": 2.5}, "b": {"a": 1000.0}}
    text = "cost,source,destination\n1,a,a\n2.5,a,b\n1e3,b,a\n"
    assert load_costs(written(tmp_path, "costs.csv", text)).to_mapping() == expected
    tree = {"meta": {}, "cost-map": expected}
    assert load_costs(written(tmp_path, "costs.json", json.dumps(tree))).to_mapping() == expected


def test_a_file_that_is_not_clean_means_the_same(tmp_path: Path) -> None:
    text = "\ufeffCost, Source ,destination,note\r\n 1 ,a, a,x\r\n\r\n2.5,a,b,y\r\n,b,a,z\r\n"
    costs = load_costs(written(tmp_path, "costs.csv", text))
    assert costs.to_mapping() == {"a": {"a": 1.0, "b": 2.5}, "b": {}}


def test_one_file_has_the_costs_of_several_metrics(tmp_path: Path) -> None:
    path = written(tmp_path, "costs.csv", "source,destination,hopcount,delay-ow\na,b,3,\nb,a,,250\n")
    assert {name: costs.to_mapping() for name, costs in load_cost_columns(path).items()} == {
        "hopcount": {"a": {"b": 3}, "b": {}},
        "delay-ow": {"a": {}, "b": {"a": 250}},
    }
    assert [*load_cost_columns(path, ["delay-ow"])] == ["delay-ow"]
    with pytest.raises(ConfigurationError, match="line 1: the columns source and destination and tput are due"):
        load_costs(path, column="tput")


def test_costs_are_between_the_pids_of_a_map_if_it_is_known(tmp_path: Path) -> None:
    path = written(tmp_path, "costs.csv", "source,destination,cost\na,a,1\na,c,1\n")
    with pytest.raises(ConfigurationError, match=r"costs\.csv, line 3: the network map has no PID 'c'"):
        load_costs(path, pids=["a", "b"])
    for name in ("a", "c"):
        other = written(tmp_path, "costs.json", json.dumps({"cost-map": {name: {"c": 1}}}))
        with pytest.raises(ConfigurationError, match=r"costs\.json: the network map has no PID 'c'"):
            load_costs(other, pids=["a", "b"])


def test_more_pairs_than_a_server_can_hold_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_alto_costfiles, "MAX_COSTS", 3)
    path = written(tmp_path, "costs.csv", "source,destination,cost\na,a,1\nb,b,1\n")
    with pytest.raises(ConfigurationError, match="costs from 2 to 2 PIDs are more than the 3 that a server can hold"):
        load_costs(path)


def test_a_calendar_has_a_column_or_an_element_for_each_interval(tmp_path: Path) -> None:
    path = written(tmp_path, "calendar.csv", "source,destination,00:00,12:00\na,b,1,2\nb,a,3,\n")
    expected = [{"a": {"b": 1}, "b": {"a": 3}}, {"a": {"b": 2}, "b": {}}]
    assert [costs.to_mapping() for costs in load_intervals(path)] == expected
    assert [costs.to_mapping() for costs in load_intervals(path, ["12:00", "00:00"])] == expected[::-1]
    other = written(tmp_path, "calendar.json", '{"cost-map": {"a": {"b": [1, 2]}, "b": {"a": [3, null]}}}')
    assert [costs.to_mapping() for costs in load_intervals(other)] == expected


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("c.csv", "source,destination\na,b\n", "line 1: a column for each interval is due"),
        ("c.json", '{"cost-map": {"a": [1]}}', "the costs from a are to be an object"),
        ("c.json", '{"cost-map": {"a": {"b": 1}}}', "the costs from a to b are to be an array"),
        ("c.json", '{"cost-map": {"a": {"b": ["x"]}}}', "the costs from a to b are to be an array"),
        ("c.json", '{"cost-map": {"a": {"b": [1], "a": [1, 2]}}}', r"the same number of intervals .* not \[1, 2\]"),
        ("c.json", '{"cost-map": {}}', r"the same number of intervals .* not \[\]"),
        ("c.txt", "", "calendars are read from .csv and .json"),
    ],
)
def test_each_mistake_in_a_calendar_gets_one_sentence(tmp_path: Path, name: str, content: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        load_intervals(written(tmp_path, name, content))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("costs.csv", "source,cost\n", "line 1: the columns source and destination and cost are due"),
        ("costs.csv", "source,destination,cost\na,b,much\n", "line 2: 'much' is no cost"),
        ("costs.csv", "source,destination,cost\na,b,nan\n", "line 2: 'nan' is no cost"),
        ("costs.csv", "source,destination,cost\na,b,1e999\n", "line 2: '1e999' is no cost"),
        ("costs.csv", "source,destination,cost\na,b,1e999\n\n", "line 2: '1e999' is no cost"),
        ("costs.csv", "source,destination,cost\na b,b,1\n", "line 2: 'a b' is no PID name"),
        ("costs.csv", "source,destination,cost\na,b,1\na,b,2\n", "line 3: the cost from a to b is there already"),
        ("costs.json", '{"network-map": {}}', "the member 'cost-map' is due"),
        ("costs.json", '{"cost-map": {"a": 1}}', "the costs from a are to be an object"),
        ("costs.json", '{"cost-map": {"a": {"b": "1"}}}', "the cost from a to b is to be a number"),
        ("costs.json", '{"cost-map": {"a": {"b": true}}}', "the cost from a to b is to be a number"),
        ("costs.txt", "", "costs are read from .csv and .json"),
    ],
)
def test_each_mistake_in_costs_gets_one_sentence(tmp_path: Path, name: str, content: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        load_costs(written(tmp_path, name, content))


def test_properties_have_a_column_each(tmp_path: Path) -> None:
    text = "entity,country,asn,net.pid\nipv4:192.0.2.0/24,DE,64500,x\nnet.pid:a,,,\n"
    assert load_properties(written(tmp_path, "p.csv", text)) == {
        "ipv4:192.0.2.0/24": {".country": "DE", ".asn": "64500", "net.pid": "x"},
        "net.pid:a": {},
    }
    tree = {"property-map": {"ipv4:192.0.2.1": {".isp": None, "cdni.cdni-capabilities": [1]}}}
    assert load_properties(written(tmp_path, "p.json", json.dumps(tree))) == tree["property-map"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.csv", "entity,x\npid:a,1\npid:a,2\n", "line 3: the entity pid:a is there already"),
        ("p.csv", "entity,x,x\n", "line 1: a column is there twice"),
        ("p.csv", "x\n", "line 1: the columns entity are due"),
        ("p.csv", "entity,a b\n", "line 1: 'a b' is no property"),
        ("p.csv", "entity,x\nipv4:192.0.2.256,1\n", "line 2: "),
        ("p.json", '{"property-map": {"x": {}}}', "p.json: 'x' starts with no domain name"),
        (
            "p.json",
            '{"property-map": {"ipv4:192.0.2.1": []}}',
            "the properties of 'ipv4:192.0.2.1' are to be an object",
        ),
        ("p.txt", "", "properties are read from .csv and .json"),
    ],
)
def test_each_mistake_in_properties_gets_one_sentence(tmp_path: Path, name: str, content: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        load_properties(written(tmp_path, name, content))


def test_advertisements_are_read_with_or_without_meta(tmp_path: Path) -> None:
    def content(kind: str, value: str) -> str:
        footprint = {"footprint-type": kind, "footprint-value": [value]}
        capability = {"capability-type": "FCI.X", "capability-value": {}, "footprints": [footprint]}
        return json.dumps({"cdni-advertisement": {"capabilities-with-footprints": [capability]}})

    path = written(tmp_path, "cdni.json", content("countrycode", "de"))
    assert [one.footprints[0].footprint_value for one in load_advertisements(path)] == [("de",)]
    path = written(tmp_path, "cdni.json", content("altopid", "a"))
    assert len(load_advertisements(path, has_network_map=True)) == 1
    with pytest.raises(ConfigurationError, match=r"cdni\.json: .*altopid footprints need"):
        load_advertisements(path)
    with pytest.raises(ConfigurationError, match=r"cdni\.json: .*'DE'"):
        load_advertisements(written(tmp_path, "cdni.json", content("countrycode", "DE")))


def test_a_topology_is_read_with_the_place_of_a_mistake(tmp_path: Path) -> None:
    path = written(tmp_path, "t.csv", "node,n\npid,a,n,0.0.0.0/0\n")
    assert load_topology(path).network_map().names == ("a",)
    with pytest.raises(ConfigurationError, match=r"t\.csv: line 2: 'nod' is none of node, pid, link"):
        load_topology(written(tmp_path, "t.csv", "node,n\nnod,n\n"))


# Credentials

MD5, SHA_256 = "3" * 32, "a" * 64


def test_credentials_are_what_htdigest_writes(tmp_path: Path) -> None:
    path = written(tmp_path, "users", f"# who\n\nann:alto:{MD5}\nann:alto:{SHA_256}\nbob: a:b :{MD5.upper()}\n")
    assert load_credentials(path, realm=" a:b ").users == ["bob"]
    credentials = load_credentials(path, realm="alto")
    assert credentials.digests == {("MD5", "ann"): MD5, ("SHA-256", "ann"): SHA_256}
    assert MD5 not in repr(credentials)
    assert load_credentials(written(tmp_path, "users", f"ann:alto:{MD5}\n")).realm == "alto"


@pytest.mark.parametrize(
    ("content", "realm", "message"),
    [
        (f"ann:alto:{MD5}\nann:secret\n", None, "users, line 2: USER:REALM:DIGEST is due"),
        ("ann:alto:secret\n", None, "users, line 1: USER:REALM:DIGEST is due"),
        (f"ann:a:{MD5}\nann:a:{MD5}\n", None, "users, line 2: the user 'ann' is there already"),
        (f"ann:a:{MD5}\nann:b:{MD5}\n", None, "users: it has the realms 'a', 'b'; which one counts has to be said"),
        (f"ann:a:{MD5}\n", "b", "users: nobody is in the realm 'b'; it has the realms 'a'"),
        ("", None, "users: it has no users; which"),
    ],
)
def test_each_mistake_in_credentials_gets_one_sentence_without_the_secret(
    tmp_path: Path, content: str, realm: str | None, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        load_credentials(written(tmp_path, "users", content), realm=realm)
    assert "secret" not in str(caught.value)


def test_a_database_gives_the_networks_of_each_value_of_a_field(tmp_path: Path) -> None:
    path = tmp_path / "countries.mmdb"
    records: dict[str, Any] = {
        "192.0.2.0/24": {"country": {"iso_code": "DE"}},
        "198.51.100.0/25": {"country": {"iso_code": "FR"}},
        "203.0.113.0/24": {"continent": {"code": "EU"}},
        "2001:db8::/32": {"country": {"iso_code": "DE"}, "traits": {"asn": 64500, "organization": "Ünited, Inc."}},
    }
    write_database(path, records)
    network_map = load_network_map(path, field="country.iso_code", default_pid="rest")
    assert network_map.to_json() == {
        "DE": {"ipv4": ["192.0.2.0/24"], "ipv6": ["2001:db8::/32"]},
        "FR": {"ipv4": ["198.51.100.0/25"]},
        "rest": {"ipv4": ["0.0.0.0/0"], "ipv6": ["::/0"]},
    }
    assert load_network_map(path, field="traits.asn", default_pid="rest").pid_of("2001:db8::1") == "64500"
    organizations = load_network_map(path, field="traits.organization", default_pid="rest")
    assert organizations.names == ("_nited_Inc_", "rest")
    with pytest.raises(ConfigurationError, match="no record has the field 'city'; the first one has country"):
        load_network_map(path, field="city", default_pid="rest")
    with pytest.raises(ConfigurationError, match="no record has the field 'country'"):
        load_network_map(path, field="country", default_pid="rest")


def test_what_is_no_database_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, "x.mmdb", b"not a database")
    with pytest.raises(ConfigurationError, match=r"x\.mmdb: no MaxMind database"):
        load_network_map(path, field="country")


def test_a_pid_name_is_made_out_of_any_value() -> None:
    assert pid_name("New York, NY") == "New_York_NY"
    assert pid_name(64500, "AS") == "AS64500"
    assert len(pid_name("x" * 100)) == 64


def test_the_sample_is_one_map_in_two_forms_with_costs_and_properties() -> None:
    network_map = load_network_map(SAMPLE / "network-map.csv")
    assert load_network_map(SAMPLE / "network-map.json").tag == network_map.tag
    assert json.loads((SAMPLE / "network-map.json").read_bytes())["meta"]["vtag"]["tag"] == network_map.tag
    assert network_map.pid_of("198.51.100.130") == "cdn-cache"
    costs = load_costs(SAMPLE / "costs.csv")
    assert {*costs.sources} == {*costs.destinations} == {*network_map.names}
    assert load_properties(SAMPLE / "properties.csv")["ipv4:192.0.2.0/24"] == {".country": "DE", ".asn": "64500"}


def test_ranges_become_the_fewest_prefixes() -> None:
    assert [*_alto_ip_location.prefixes(1, 7, 32)] == [(1, 32), (2, 31), (4, 30)]
    assert [*_alto_ip_location.prefixes(0, 2**32 - 1, 32)] == [(0, 0)]
    assert [*_alto_ip_location.prefixes(2**32 - 1, 2**32 - 1, 32)] == [(2**32 - 1, 32)]
    assert [*_alto_ip_location.prefixes(256, 1023, 32)] == [(256, 24), (512, 23)]


def test_systems_lie_inside_countries_and_a_prefix_of_both_goes_to_the_system(tmp_path: Path) -> None:
    fake_package(
        tmp_path,
        "asn-country",
        "3221225984,3221226239,DE\n3325256704,3325256959,FR\n",
        f"{1 << 125},{(1 << 126) - 1},NL\n",
    )
    fake_package(
        tmp_path,
        "asn",
        '3221225984,3221226111,64500,"One, Inc."\n3325256704,3325256959,64501,Two\n3325256704,3325256959,64502,\n',
        "",
    )
    network_map = ip_location_map(tmp_path)
    assert network_map.to_json() == {
        "AS64500": {"ipv4": ["192.0.2.0/25"]},
        "AS64501": {"ipv4": ["198.51.100.0/24"]},
        "CC-DE": {"ipv4": ["192.0.2.0/24"]},
        "CC-NL": {"ipv6": ["2000::/3"]},
        "elsewhere": {"ipv4": ["0.0.0.0/0"], "ipv6": ["::/0"]},
    }
    assert ip_location_map(tmp_path, systems=False).names == ("CC-DE", "CC-FR", "CC-NL", "elsewhere")
    assert "DB-IP (https://db-ip.com)" in ATTRIBUTION


def test_without_npm_one_sentence_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_alto_ip_location.shutil, "which", lambda _: None)
    with pytest.raises(ConfigurationError, match="npm is not installed"):
        ip_location_map(tmp_path)


def test_why_npm_failed_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_alto_ip_location.shutil, "which", lambda _: "/bin/false")
    with pytest.raises(
        ConfigurationError, match=r"npm cannot fetch @ip-location-db/asn-country@.*: it does not say why"
    ):
        ip_location_map(tmp_path, systems=False)

    def slow(*_: Any, **__: Any) -> None:
        raise subprocess.TimeoutExpired("npm", 300)

    monkeypatch.setattr(_alto_ip_location.subprocess, "run", slow)
    with pytest.raises(ConfigurationError, match="within 300 seconds"):
        ip_location_map(tmp_path, systems=False)
    assert list(tmp_path.iterdir()) == []


def test_a_fetched_package_is_kept_and_one_that_another_fetched_meanwhile_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = []

    def npm(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        fetched.append(command)
        inside = Path(command[command.index("--prefix") + 1]) / "node_modules/@ip-location-db/asn-country"
        inside.mkdir(parents=True)
        for family in (4, 6):
            (inside / f"asn-country-ipv{family}-num.csv").write_text("0,1,DE\n")
        if len(fetched) == 1:  # somebody else was quicker
            fake_package(tmp_path, "asn-country", "0,0,FR\n", "0,0,FR\n")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(_alto_ip_location.shutil, "which", lambda _: "npm")
    monkeypatch.setattr(_alto_ip_location.subprocess, "run", npm)
    maps = [ip_location_map(tmp_path, systems=False) for _ in range(2)]
    assert all(isinstance(each, NetworkMap) and each.pid_of("0.0.0.0") == "CC-FR" for each in maps)
    assert len(fetched) == 1
    assert [path.name.startswith("ip-location-db") for path in tmp_path.iterdir()] == [True]

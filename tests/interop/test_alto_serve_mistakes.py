"""Each mistake in calling `ietf-p2p alto serve`: one sentence with the file and its line or key, and exit status 2."""

import shutil
import socket
from pathlib import Path

import pytest

from interop.__main__ import main
from interop.alto_sources import SAMPLE

MD5 = "3" * 32


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(SAMPLE, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def mistake(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["alto", "serve", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("ietf-p2p: ")
    return captured.err[len("ietf-p2p: ") : -1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--map network-map.csv --ip-location", "--map and --ip-location are two sources of one network map"),
        ("--map network-map.csv --mmdb x --field y", "--map and --mmdb are two sources of one network map"),
        ("--costs costs.csv", "a network map is due: one of --map, --mmdb, --ip-location and --topology"),
        ("--mmdb x.mmdb", "--mmdb and --field go together: the field names the PID, as in country.iso_code"),
        ("--map network-map.csv --field x", "--mmdb and --field go together: the field names the PID, as in"),
        ("--topology topology.csv --default-pid x", "--default-pid goes with --map or --mmdb"),
        ("--config alto.toml --costs costs.csv", "--config says everything: no other source goes with it"),
        ("--listen nowhere", "--listen nowhere: not HOST:PORT (an IPv6 address stands in brackets)"),
        ("--tls-key x", "--tls-certificate and --tls-key go together"),
        ("--client-ca x", "--client-ca goes with --tls-certificate and --tls-key"),
        ("--tls-certificate x --tls-key y", "cannot read x or y: No such file or directory"),
        ("--tls-certificate costs.csv --tls-key costs.csv", "no certificate and key for TLS in costs.csv, costs.csv: "),
        ("--ip-location planets", "Invalid value for '--ip-location': 'planets' is not one of 'countries', 'systems'"),
        ("--map none.csv", "none.csv: No such file or directory"),
        ("--map alto.toml", "alto.toml: a network map is read from .csv, .json and .mmdb"),
        ("--map network-map.csv --costs network-map.csv", "network-map.csv, line 1: the columns source and destin"),
        ("--map countries.csv --costs costs.csv", "countries.csv: network-map: incomplete: no PID contains 0.0.0.0"),
        ("--map countries.csv --default-pid x --costs costs.csv", "costs.csv, line 2: the network map has no PID 'acc"),
        ("--map countries.csv --default-pid a.b", "countries.csv: a.b: 'a.b' is no PID name (RFC 7285 section 10.1)"),
        ("--map network-map.csv --properties costs.csv", "costs.csv, line 1: the columns entity are due"),
        ("--map network-map.json --topology elements.csv", "elements.csv: line 1: 'entity' is none of node, pid, link"),
        ("--map countries.csv --default-pid x --topology topology.csv", "topology.csv: the network map has no PID 'ac"),
        ("--config none.toml", "none.toml: No such file or directory"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_sentence(folder, capsys, words, message):
    found = mistake(capsys, *words.split())
    assert found.startswith(message)


def test_a_port_that_is_taken_is_named(folder, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        found = mistake(capsys, "--listen", f"127.0.0.1:{port}")
    assert found == f"cannot listen on 127.0.0.1 port {port}: Address already in use"


MAP = '[network-map.network]\nfile = "network-map.csv"\n'
COSTS = MAP + "[network-map.network.costs.{}]\n"
ROUTING = COSTS.format("routingcost") + 'file = "costs.csv"\n'
CALENDAR = COSTS.format("tput") + "[network-map.network.costs.tput.calendar]\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        # What TOML itself refuses
        ("listen = \n", "Invalid value (at line 1, column 10)"),
        ("", "at least one table [network-map.ID] is due"),
        # Keys
        ("x = 1\n" + MAP, "x: no such key; there are listen, network-map, users, tls, property-map, cdni, base-uri"),
        (MAP + "pid = 1\n", "network-map.network.pid: no such key; there are paths, file, field"),
        ("listen = 7\n" + MAP, "listen: a string is due, not 7"),
        ('listen = "x"\n' + MAP, "listen: 'x' is not HOST:PORT"),
        ("max-age = -1\n" + MAP, "max-age: at least 0 is due, not -1"),
        ("max-age = true\n" + MAP, "max-age: an integer is due, not True"),
        ("posts-per-second = 0\n" + MAP, "posts-per-second: a number above 0 is due, not 0.0"),
        ("private = 1\n" + MAP, "private: true or false is due, not 1"),
        ("network-map = 1\n", "network-map: a table is due, not 1"),
        ("network-map.network = 1\n", "network-map.network: a table is due, not 1"),
        ("redirects.x = 1\n" + MAP, "redirects.x: a string is due, not 1"),
        # Network maps
        ('[network-map."a.b"]\n', "network-map.a.b: 'a.b' is no resource ID"),
        ("[network-map.network]\n", "network-map.network: one of the keys 'file', 'ip-location' and 'paths.topology'"),
        (MAP + 'ip-location = "countries"\n', "network-map.network: 'file' and 'ip-location' are two sources of one"),
        ('[network-map.a]\nip-location = "x"\n', "network-map.a.ip-location: 'countries' or 'systems' is due, not 'x'"),
        (MAP + 'field = "x"\n', "network-map.network: the key 'field' goes with a file that is an .mmdb"),
        ('[network-map.a]\nfile = "x.mmdb"\n', "network-map.a: the key 'field' goes with a file that is an .mmdb"),
        (
            MAP + 'default = true\n[network-map.b]\nfile = "countries.csv"\ndefault = true\n',
            "two network maps are the default",
        ),
        (
            MAP + '[network-map.network-filtered]\nfile = "network-map.csv"\n',
            "the resource ID 'network-filtered' is there twice",
        ),
        # Costs
        (COSTS.format("routingcost"), "network-map.network.costs.routingcost: the key 'file' is missing"),
        (COSTS.format('"a b"') + 'file = "x"\n', "network-map.network.costs.a b: 'a b' is no cost metric"),
        (
            COSTS.format("hopcount") + 'file = "costs.csv"\n',
            "network-map.network.costs.hopcount: a cost of 'hopcount' that is no integer",
        ),
        (
            ROUTING + 'cost-context = { cost-source = "sla" }\n',
            "network-map.network.costs.routingcost: cost-context/cost-source: the costs of routingcost are estimations",
        ),
        (
            COSTS.format('"tput:p50"') + 'file = "costs.csv"\ncolumn = "x"\n',
            "",  # the sentence is about the file
        ),
        # Calendars
        (CALENDAR, "network-map.network.costs.tput.calendar: the key 'file' is missing"),
        (
            CALENDAR + 'file = "bandwidth.csv"\n',
            "network-map.network.costs.tput.calendar: the key 'interval' is missing",
        ),
        (
            CALENDAR + 'file = "bandwidth.csv"\ninterval = 6\nstart = 2026-01-01T00:00:00\n',
            "network-map.network.costs.tput.calendar.start: a time zone is due, such as the Z in 2026-01-31T00:00:00Z",
        ),
        (
            CALENDAR + 'file = "bandwidth.csv"\ninterval = 6\nstart = 2999-01-01T00:00:00Z\n',
            "network-map.network.costs.tput.calendar.start: a calendar begins in the past, and goes on forever",
        ),
        (
            CALENDAR + 'file = "bandwidth.csv"\ninterval = 6\nrepeated = 0\n',
            "network-map.network.costs.tput.calendar.repeated: at least 1 is due, not 0",
        ),
        (
            CALENDAR + 'file = "bandwidth.csv"\ninterval = 6\ncolumns = [1]\n',
            "network-map.network.costs.tput.calendar.columns: an array of strings is due",
        ),
        # Path vectors
        (MAP + "[network-map.network.paths]\n", "network-map.network.paths: the key 'topology' is missing"),
        (
            '[network-map.a-name-that-is-too-long-for-paths]\nfile = "network-map.csv"\n'
            '[network-map.a-name-that-is-too-long-for-paths.paths]\ntopology = "topology.csv"\n',
            "network-map.a-name-that-is-too-long-for-paths.paths: 'a-name-that-is-too-long-for-paths-pv': at most 31",
        ),
        (
            MAP + '[network-map.network.paths]\ntopology = "topology.csv"\n',
            "'network-pv' uses 'elements', which is not among the resources",
        ),
        # Properties and CDNI
        (ROUTING + "[property-map.p]\n", "property-map.p: one of the keys 'file' and 'look-up' is due"),
        (
            ROUTING + '[property-map.p]\nlook-up = ["x.pid"]\n',
            "property-map.p: look-up: 'x.pid' is neither NETWORK-MAP.pid nor CDNI.cdni",
        ),
        (ROUTING + "[cdni.c]\n", "cdni.c: the key 'file' is missing"),
        (ROUTING + '[cdni.c]\nfile = "cdni.json"\nnetwork-map = "x"\n', "cdni.c: there is no network map 'x'"),
        # Who may see it
        (
            "private = true\n" + ROUTING,
            "something is private, and nobody can prove who it is; [users] with a file of htdigest is due, or [tls]",
        ),
        (ROUTING + "[users]\n", "users: the key 'file' is missing"),
        (ROUTING + '[tls]\ncertificate = "x"\n', "tls: the key 'key' is missing"),
        # The server
        ('base-uri = "x"\n' + ROUTING, ""),
        (ROUTING + '[redirects]\nx = "y"\n', ""),
        (ROUTING + '[delegated]\n"a.b" = "http://x/"\n', "'a.b' is no resource ID"),
        (ROUTING + '[delegated]\nnetwork = "http://x/"\n', "the resource ID 'network' is there twice"),
    ],
)
def test_a_mistake_in_the_configuration_names_the_file_and_the_key(folder, capsys, text, message):
    (folder / "my.toml").write_text(text)
    found = mistake(capsys, "--config", "my.toml")
    assert found.startswith(f"my.toml: {message}" if message else ("my.toml: ", "costs.csv, line 1: "))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f"ann:a:{MD5}\nbob\n", "users, line 2: USER:REALM:DIGEST is due, as htdigest writes it"),
        (f"ann:a:{MD5}\nbob:a:{MD5 * 2}\n", "users: every user needs a digest by the same algorithm, SHA-256 or MD5"),
        (f"ann:ä:{MD5}\n", "users: a realm is of printable ASCII characters: 'ä'"),
    ],
)
def test_a_mistake_in_the_file_of_users_names_the_line(folder, capsys, content, message):
    (folder / "users").write_text(content)
    (folder / "my.toml").write_text(ROUTING + '[users]\nfile = "users"\n')
    assert mistake(capsys, "--config", "my.toml") == message


def test_a_file_that_is_not_utf_8_is_named(folder, capsys):
    (folder / "my.toml").write_bytes(b"\xff")
    assert mistake(capsys, "--config", "my.toml") == "my.toml: not UTF-8 at octet 0"

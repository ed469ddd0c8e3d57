"""`ietf-p2p alto ird|map|pid|cost|rank|props|pv` against our own server, on a terminal, in a pipe and as JSON."""

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from alto_everything import START, application
from alto_serving import Certificates, running

from alto.auth import DigestAuthenticator
from alto.ird import ResourceEntry
from interop.__main__ import main
from interop.cli._show import bar, bits, clean, local_time, number, span
from interop.cli.alto import _COMMANDS

Ask = Callable[..., str]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with running(application()) as found:
        yield f"{found}/"


@pytest.fixture
def ask(url: str, capsys: pytest.CaptureFixture[str]) -> Ask:
    """What a command prints that succeeds, asking the server."""

    def run(name: str, *words: str) -> str:
        assert main(["alto", name, url, *words]) == 0
        shown = capsys.readouterr()
        assert shown.err == ""
        return shown.out

    return run


def rows(text: str) -> list[list[str]]:
    """The cells of a table in a pipe."""
    return [re.split(r" {2,}", line.strip()) for line in text.splitlines()]


Terminal = Callable[..., list[str]]


@pytest.fixture
def on_terminal(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """The lines of a command as if on a terminal of that width, without colours."""

    def run(columns: int, name: str, *words: str) -> list[str]:
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setattr("interop.cli._show.is_terminal", lambda: True)
        lines = ask(name, *words).split("\n")
        monkeypatch.undo()
        return lines

    return run


def in_colour(*words: str) -> str:
    """What a process prints on a real terminal."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": "80", "TERM": "xterm-256color"}
    process = subprocess.Popen(
        [sys.executable, "-m", "interop", "alto", *words], stdout=theirs, stderr=subprocess.STDOUT, env=environment
    )
    os.close(theirs)
    data = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # the end of a terminal whose other side is closed
            break
        if not piece:
            break
        data += piece
    os.close(ours)
    assert process.wait(60) == 0, data
    return data.decode()


@pytest.mark.parametrize("name", list(_COMMANDS))
def test_every_help_ends_with_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["alto", name, "--help"]) == 0
    lines = capsys.readouterr().out.rstrip().splitlines()
    example = max(index for index, line in enumerate(lines) if line.strip().startswith("Example"))
    assert any(line.strip().startswith(f"ietf-p2p alto {name}") for line in lines[example:])


def test_help_does_not_wait_for_libraries() -> None:
    code = (
        "import sys; from interop.__main__ import main\n"
        "for name in ('rank', 'watch', 'validate', 'discover'): main(['alto', name, '--help'])\n"
        "print([name for name in ('rich', 'dns', 'aioice', 'httpx') if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"


def test_the_directory_as_a_table_and_a_tree_and_json(ask: Ask, url: str) -> None:
    table = rows(ask("ird"))
    assert table[0] == [url]
    assert ["network-map *", "network map"] in table
    assert any(
        row[:2] == ["some-costs", "filtered cost map"]
        and "routingcost, hopcount, delay-ow; ranks of routingcost; constraints; 4 at once; calendar of 3 × 1 h"
        in row[3]
        for row in table
    )
    tree = ask("ird", "--tree").splitlines()
    assert tree[:3] == [url, "  network-map (network map) *", "    some-pids (filtered network map)"]
    assert "    updates (update stream), uses costs, properties, some-costs too" in tree
    found = json.loads(ask("ird", "--json"))
    assert found["default-network-map"] == "network-map"
    assert set(found["directories"][url]["resources"]) >= {"costs", "tips", "updates"}


def test_a_tree_of_what_uses_each_other_ends() -> None:
    from alto.closure import Closure
    from alto.ird import InformationResourceDirectory
    from interop.cli.alto.ird import _tree

    entries = {
        name: ResourceEntry(name, "http://x/", "a/b", uses=(used,))
        for name, used in [("a", "b"), ("b", "a"), ("c", "c")]
    }
    closure = Closure({"http://x/": InformationResourceDirectory(entries, {})}, entries, {name: {} for name in entries})
    assert [line.split()[0] for line in _tree(closure)] == ["http://x/", "c", "a", "b"]


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("words", [["ird"], ["map"], ["pv", "192.0.2.1,192.0.2.17", "192.0.2.33", "192.0.2.49"]])
def test_no_line_is_wider_than_the_terminal(on_terminal: Terminal, words: list[str], columns: int) -> None:
    table = [line for line in on_terminal(columns, *words) if "version" not in line]
    assert max(map(len, table)) <= columns
    assert any("─" * 20 in line for line in table)


def test_a_network_map(ask: Ask) -> None:
    table = rows(ask("map"))
    assert table[0] == ["PID", "IPV4", "IPV6", "PREFIXES"]
    assert table[3] == ["PID3", "1", "1", "192.0.2.32/28, 2001:db8:3::/48"]
    assert re.fullmatch(r"5 PIDs, 8 prefixes; network-map version [0-9a-f]{40}\n", ask("map").splitlines()[-1] + "\n")
    assert rows(ask("map", "--pid", "PID4", "--all"))[1:] == [["PID4", "192.0.2.48/28"], ["PID4", "2001:db8:4::/48"]]


def test_a_network_map_as_json_is_a_document(ask: Ask, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    saved = tmp_path / "map.json"
    saved.write_text(ask("map", "--json"))
    assert main(["alto", "validate", str(saved), "--strict"]) == 0
    assert "good" in capsys.readouterr().out


def test_the_pid_of_an_address_and_why(ask: Ask) -> None:
    table = rows(ask("pid", "192.0.2.33", "ipv6:2001:db8:3::1", "203.0.113.1"))
    assert table == [
        ["ADDRESS", "PID", "LONGEST PREFIX", "OTHERS THAT CONTAIN IT"],
        ["192.0.2.33", "PID3", "192.0.2.32/28", "0.0.0.0/0 (elsewhere)"],
        ["2001:db8:3::1", "PID3", "2001:db8:3::/48", "::/0 (elsewhere)"],
        ["203.0.113.1", "elsewhere", "0.0.0.0/0"],
    ]
    assert json.loads(ask("pid", "192.0.2.1", "--json")) == [
        {
            "address": "ipv4:192.0.2.1",
            "pid": "PID1",
            "prefix": "192.0.2.0/28",
            "others": [{"prefix": "0.0.0.0/0", "pid": "elsewhere"}],
        }
    ]


def test_costs_between_pids(ask: Ask) -> None:
    assert rows(ask("cost", "PID1", "PID2", "PID4")) == [
        ["FROM", "TO", "ROUTINGCOST"],
        ["PID1", "PID2", "3"],
        ["PID1", "PID4", "7"],
    ]
    assert len(rows(ask("cost", "PID1,PID2"))) == 11
    assert len(rows(ask("cost"))) == 26
    assert rows(ask("cost", "PID1", "nobody", "--mode", "ordinal")) == [
        ["FROM", "TO", "ROUTINGCOST (rank)"],
        ["PID1", "nobody", "-"],
    ]


def test_costs_between_addresses_and_from_oneself(ask: Ask) -> None:
    assert rows(ask("cost", "192.0.2.1", "ipv4:192.0.2.33"))[1] == ["192.0.2.1", "192.0.2.33", "5"]
    assert rows(ask("cost", "-", "192.0.2.33"))[1] == ["127.0.0.1", "192.0.2.33", "5"]
    assert rows(ask("cost", "192.0.2.1", "192.0.2.33", "--private"))[1] == ["192.0.2.1", "192.0.2.33", "5"]


def test_several_metrics_and_constraints(ask: Ask) -> None:
    two = ["--metric", "routingcost", "--metric", "hopcount"]
    assert rows(ask("cost", "PID1", "PID2", *two)) == [
        ["FROM", "TO", "ROUTINGCOST", "HOPCOUNT (hops)"],
        ["PID1", "PID2", "3", "1"],
    ]
    assert [row[1] for row in rows(ask("cost", "PID1", *two, "--constraint", "[1] le 1"))[1:]] == ["PID1", "PID2"]
    assert [row[1] for row in rows(ask("cost", "PID1", "--constraint", "le 3"))[1:]] == ["PID1", "PID2"]
    either = ["--or", "[0] le 1", "--or", "[1] ge 3, [0] le 7"]
    assert [row[1] for row in rows(ask("cost", "PID1", *two, *either))[1:]] == ["PID1", "PID4"]
    document = json.loads(ask("cost", "PID1", "PID2", *two, "--json"))
    assert document["costs"] == {"PID1": {"PID2": [3, 1]}}
    assert [each["cost-metric"] for each in document["cost-types"]] == ["routingcost", "hopcount"]


def test_a_calendar_in_local_time(ask: Ask) -> None:
    table = rows(ask("cost", "PID1", "PID2", "--metric", "delay-ow", "--calendar"))
    assert [row[3] for row in table[1:4]] == ["12", "24", "32"]
    # Which of the three repeats is now nobody knows; the times are those of the first round.
    assert [row[2] for row in table[1:4]] == [local_time(START + 3600 * interval) for interval in range(3)]
    assert sum("← now" in row for row in table) == 1
    assert table[4][0].startswith("intervals of 1 h, 100000 times in a row, until")
    found = json.loads(ask("cost", "192.0.2.1", "192.0.2.17", "--metric", "delay-ow", "--calendar", "--json"))
    assert found["calendars"][0]["start"] == START


def test_a_matrix_where_a_terminal_has_room_for_it(on_terminal: Terminal) -> None:
    assert any(re.match(r"PID2 +3 +1 +3 +5 +7", line) for line in on_terminal(80, "cost"))
    assert not any("FROM \\ TO" in line for line in on_terminal(30, "cost"))


def test_a_rank_puts_the_best_first(ask: Ask, url: str) -> None:
    table = rows(ask("rank", "203.0.113.1", "192.0.2.33", "192.0.2.1", "--from", "192.0.2.2"))
    assert [row[1] for row in table] == ["ADDRESS", "192.0.2.1", "192.0.2.33", "203.0.113.1"]
    # 127.0.0.1 is in the PID of all the rest.
    assert rows(ask("rank", "192.0.2.1", "203.0.113.1"))[1][1] == "203.0.113.1"
    found = json.loads(ask("rank", "192.0.2.1", "192.0.2.33", "--from", "192.0.2.40", "--metric", "hopcount", "--json"))
    assert found["peers"][0] == {"endpoint": "ipv4:192.0.2.33", "cost": 0}
    terminal = in_colour("rank", url, "192.0.2.1", "192.0.2.33", "--from", "192.0.2.2")
    assert re.search(r"192\.0\.2\.1 .*\x1b\[32m█+", terminal)
    assert re.search(r"192\.0\.2\.33 .*\x1b\[31m█{24}\x1b", terminal)


def test_a_rank_can_be_that_of_the_address_a_stun_server_sees(ask: Ask, url: str, monkeypatch: Any) -> None:
    """RFC 7285 section 13.3"""

    async def seen(server: tuple[str, int], *, family: int, patience: float) -> str:
        assert (server, family) == (("stun.example", 3478), 4)
        return "ipv4:192.0.2.2"

    monkeypatch.setattr("interop.alto_stun.public_address", seen)
    assert main(["alto", "rank", url, "203.0.113.1", "192.0.2.1", "--stun", "stun.example:3478", "--json"]) == 0


def test_properties_from_all_that_the_server_has(ask: Ask) -> None:
    assert rows(ask("props", "192.0.2.1"))[1:] == [
        ["ipv4:192.0.2.1", "network-map.pid", "PID1"],
        ["ipv4:192.0.2.1", "isp", "access"],
        ["ipv4:192.0.2.1", "asn", "64496"],
    ]
    asked = ["--property", "network-map.pid", "--property", "asn"]
    assert json.loads(ask("props", "192.0.2.1", *asked, "--json")) == {
        "ipv4:192.0.2.1": {"network-map.pid": "PID1", "asn": "64496"}
    }
    assert rows(ask("props", "ipv4:192.0.2.0/24", "--property", "isp"))[1:] == [["ipv4:192.0.2.0/24", "isp", "example"]]
    assert rows(ask("props", ".ane:MEC1"))[1:] == [[".ane:MEC1", "cpu", "2"]]
    assert ["ipv4:192.0.2.0/28", "isp", "access"] in rows(ask("props"))


def test_paths_with_what_they_share_and_what_limits_them(ask: Ask) -> None:
    text = ask("pv", "192.0.2.1,192.0.2.17", "192.0.2.49")
    table = rows(text)
    assert table[0] == ["FROM", "TO", "THROUGH", "ALONE, LIMITED BY", "ALL AT ONCE"]
    assert [row[:2] + row[-1:] for row in table[1:3]] == [
        ["192.0.2.1", "192.0.2.49", "5 Gbit/s"],
        ["192.0.2.17", "192.0.2.49", "5 Gbit/s"],
    ]
    assert text.count("192.0.2.1 → 192.0.2.49, 192.0.2.17 → 192.0.2.49") == 2
    found = json.loads(ask("pv", "192.0.2.1", "192.0.2.33", "--json"))
    assert found["flows"][0]["bottleneck"]["bits-per-second"] == 1e10
    assert len(found["elements"]) == len(found["flows"][0]["path"])


@pytest.mark.parametrize(
    "words",
    [
        ["ird"],
        ["ird", "ftp://x/"],
        ["ird", "localhost"],
        ["map", "URL", "--id", "nothing"],
        ["map", "URL", "--pid", "nobody"],
        ["pid", "URL", "300.0.0.1"],
        ["pid", "URL", "192.0.2.1", "--id", "costs"],
        ["cost", "URL", "192.0.2.1", "--between", "pids", "--metric", "nothing"],
        ["cost", "URL", "a b", "c"],
        ["cost", "URL", "-", "--between", "pids"],
        ["cost", "URL", "PID1", "PID2", "--metric", "tput"],
        ["cost", "URL", "PID1", "PID2", "--constraint", "about 5"],
        ["cost", "URL", "PID1", "PID2", "--calendar"],
        ["cost", "URL", "PID1", "PID2", "--private", "--calendar"],
        ["cost", "URL", "192.0.2.1", "192.0.2.2", "--map", "network-map"],
        ["rank", "URL", "nowhere"],
        ["rank", "URL", "192.0.2.1", "--from", "192.0.2.2", "--stun", "x:1"],
        ["rank", "URL", "192.0.2.1", "--private"],
        ["props", "URL", "300.0.0.1"],
        ["props", "URL", "192.0.2.1", "--property", "nothing"],
        ["props", "URL", "--id", "costs"],
        ["pv", "URL", "192.0.2.1", "192.0.2.2", "--property", "nothing"],
        ["pv", "URL", "PID1", "PID2"],
        ["ird", "URL", "--key", __file__],
        ["ird", "URL", "--cacert", __file__],
        ["ird", "URL", "--cert", __file__],
    ],
)
def test_a_mistake_gets_one_line_and_status_2(words: list[str], url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["alto", *(url if word == "URL" else word for word in words)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert re.fullmatch(r"ietf-p2p: [^\n]+\n", shown.err)


@pytest.mark.parametrize("where", ["http://127.0.0.1:1/", "URLnothing"])
def test_a_failure_gets_one_line_and_status_1(where: str, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["alto", "ird", where.replace("URL", url)]) == 1
    assert re.fullmatch(r"ietf-p2p: [^\n]+\n", capsys.readouterr().err)


def test_digest_with_a_password_that_is_given_or_asked(capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    app = application(authenticator=DigestAuthenticator("alto", {"ann": "secret"}), private=True)
    with running(app) as found:
        assert main(["alto", "map", found, "--user", "ann:secret"]) == 0
        assert "PID1" in capsys.readouterr().out
        assert main(["alto", "map", found, "--user", "ann:wrong"]) == 1
        assert "401" in capsys.readouterr().err
        monkeypatch.setattr("click.prompt", lambda text, **settings: "secret")
        assert main(["alto", "map", found, "--user", "ann"]) == 0


def test_the_sample_that_is_served_without_any_words_answers_every_command(
    cli: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    server = cli.start("alto", "serve", "--listen", "127.0.0.1:0", "--json")
    where = json.loads(cli.line(server))["url"]
    answers = {
        ("ird",): "network-endpoint-costs",
        ("ird", "--tree"): "    countries-filtered (filtered network map)",
        ("map",): "access-north",
        ("pid", "198.51.100.7"): "datacentre",
        ("cost", "access-north", "internet"): "30",
        ("cost", "datacentre", "access-north", "--metric", "bw-available", "--calendar"): "intervals of 6 h",
        ("rank", "203.0.113.4", "192.0.2.1", "--from", "192.0.2.7"): "203.0.113.4",
        ("props", "198.51.100.7"): "64500",
        ("watch", "--count", "1"): "network: 7 PIDs, 13 prefixes",
    }
    for words, shown in answers.items():
        assert main(["alto", words[0], where, *words[1:]]) == 0
        assert shown in capsys.readouterr().out
    assert main(["alto", "pv", where, "access-north", "backbone"]) == 1
    assert "HTTP status 401 (--user or --cert says who asks)" in capsys.readouterr().err
    assert main(["alto", "validate", where, "--quiet"]) == 0


def test_tls_with_authorities_and_a_certificate_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = Certificates(tmp_path)
    certificate, key = made.sign("server", "/CN=server", address="127.0.0.1")
    own, own_key = made.sign("client", "/CN=ann")
    app = application()
    with running(app, certificate=certificate, key=key, client_ca=made.authority) as found:
        trust = ["--cacert", str(made.authority)]
        assert main(["alto", "map", found, *trust, "--cert", str(own), "--key", str(own_key)]) == 0
        assert main(["alto", "map", found]) == 1
        shown = capsys.readouterr()
        assert "PID1" in shown.out
        assert "certificate" in shown.err.lower()


def test_a_reader_that_leaves_gets_no_word(url: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as out:
        done = subprocess.run(
            [sys.executable, "-m", "interop", "alto", "cost", url],
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, "")


def test_what_a_server_sends_does_not_reach_the_terminal_as_control_characters() -> None:
    assert clean("a\x1b[2Jb\r\u202ec\x9b") == "a\\x1b[2Jb\\x0d\\x202ec\\x9b"
    assert clean("Zürich 東京") == "Zürich 東京"


def test_numbers_and_times_and_bars() -> None:
    assert [number(value) for value in (None, 1.0, 0.25, 1e300, -0.0, 1234567.5)] == [
        "-",
        "1",
        "0.25",
        "1e+300",
        "0",
        "1.23457e+06",
    ]
    assert [bits(value) for value in (0, 999, 1e10, 2.5e13)] == ["0 bit/s", "999 bit/s", "10 Gbit/s", "25 Tbit/s"]
    assert [span(value) for value in (0, 0.5, 90, 120, 21600, 90000, 172800)] == [
        "0 s",
        "0.5 s",
        "90 s",
        "2 min",
        "6 h",
        "25 h",
        "2 d",
    ]
    assert local_time(None) == local_time(1e300) == local_time(float("inf")) == "-"
    assert [bar(share, 4) for share in (0, 0.001, 0.5, 1, 7)] == ["", "▏", "██", "████", "████"]

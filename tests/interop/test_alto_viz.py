"""The page of `ietf-p2p alto viz` as Python makes it: packing, what is in it, what is left out, the command."""

import base64
import json
import math
import re
import zlib
from array import array
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alto.calendar import CalendarAttributes, CalendarResponse
from alto.costresult import ReceivedCosts
from alto.errors import ConfigurationError
from alto.findings import Finding, Level
from alto.networkmap import NetworkMap
from alto.types import CostType, VTag
from interop.alto_sources import SAMPLE
from interop.alto_viz import Snapshot, page, snapshot_of_files
from interop.alto_viz import snapshot as limits
from interop.alto_viz.packing import pack_numbers, pack_prefixes
from interop.alto_viz.page import Live
from interop.alto_viz.snapshot import CostView, NetworkMapView, PropertiesView

RC = CostType("numerical", "routingcost")
EXAMPLES = Path(__file__).parent.parent / "data" / "alto_examples"
HOSTILE = "</script><script>alert(1)</script><!-- \u2028 & ]]>"


def planes(packed: str, count: int, size: int, start: int = 0) -> bytes:
    """What the page's `joined` makes: octets of equal weight stand together."""
    octets = zlib.decompress(base64.b64decode(packed))[start:]
    return bytes(octets[plane * count + at] for at in range(count) for plane in range(size))


class Scripts(HTMLParser):
    """The text of each script element by its ID, as an HTML parser finds it, and every other start tag."""

    def __init__(self, text: bytes) -> None:
        super().__init__()
        self.found: dict[str, str] = {}
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._inside: str | None = None
        self.feed(text.decode("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self._inside = dict(attrs).get("id") or "code"
            self.found[self._inside] = ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "script":
            self._inside = None

    def handle_data(self, data: str) -> None:
        if self._inside is not None:
            self.found[self._inside] += data


def data_of(snapshot: Snapshot) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads(Scripts(page(snapshot)).found["data"])
    return tree


@given(st.lists(st.floats(allow_infinity=False) | st.decimals(-10000, 10000, places=2).map(float), max_size=40))
def test_numbers_come_back_as_the_very_same(numbers: list[float]) -> None:
    packed = pack_numbers(array("d", numbers))
    if packed.scale == 0:
        back = array("d", planes(packed.data, len(numbers), 8)).tolist()
    else:
        integers = array("i", planes(packed.data, len(numbers), 4))
        back = [math.nan if each == -(2**31) else each / packed.scale for each in integers]
    assert [each for each in back if each == each] == [each for each in numbers if each == each]
    assert [each == each for each in back] == [each == each for each in numbers]


def test_decimals_are_packed_as_integers_and_other_numbers_as_doubles() -> None:
    scales = [pack_numbers(array("d", each)).scale for each in ([1, 2], [0.25, math.nan], [0.0001], [1e-7], [3e9])]
    assert scales == [1, 100, 10_000, 0, 0]
    # The smallest integer stands for no number, so it is no integer.
    assert pack_numbers(array("d", [-(2.0**31)])).scale == 0


def test_prefixes_are_sorted_and_their_columns_stand_together() -> None:
    table = NetworkMap({"a": {"ipv6": ["::/0", "2001:db8::/32"]}, "b": {"ipv6": ["2001:db8:0:1::/64"]}}).table
    packed = pack_prefixes(table, 6, 10)
    assert (packed.count, packed.left_out) == (3, 0)
    words = [array("I", planes(packed.data, 3, 4, 12 * word)).tolist() for word in range(4)]
    assert words == [[0, 0x20010DB8, 0x20010DB8], [0, 0, 1], [0, 0, 0], [0, 0, 0]]
    octets = zlib.decompress(base64.b64decode(packed.data))
    assert list(octets[48:51]) == [0, 32, 64]
    assert array("I", planes(packed.data, 3, 4, 51)).tolist() == [0, 0, 1]


def test_the_longest_prefixes_are_the_ones_left_out() -> None:
    table = NetworkMap({"a": {"ipv4": ["0.0.0.0/0", "10.0.0.0/8"]}, "b": {"ipv4": ["10.0.0.0/24"]}}).table
    packed = pack_prefixes(table, 4, 2)
    assert (packed.count, packed.left_out) == (2, 1)
    assert list(zlib.decompress(base64.b64decode(packed.data))[8:10]) == [0, 8]


def test_nothing_a_server_says_breaks_out_of_the_data() -> None:
    pairs = {HOSTILE: {HOSTILE: 1.0}}
    snapshot = Snapshot(
        HOSTILE,
        0.0,
        costs=[CostView(HOSTILE, ReceivedCosts((RC,), pairs), description=HOSTILE)],
        properties=[PropertiesView(HOSTILE, {HOSTILE: {HOSTILE: {HOSTILE: [HOSTILE]}}}, VTag(HOSTILE, HOSTILE))],
        findings=[Finding(Level.MUST, HOSTILE, HOSTILE, 7285, "10.1")],
        failures=[HOSTILE],
    )
    found = Scripts(page(snapshot))
    assert set(found.found) == {"data", "code"}
    tree = json.loads(found.found["data"])
    assert tree["source"] == tree["costs"][0]["sources"][0] == tree["failures"][0] == HOSTILE
    assert tree["properties"][0]["entities"] == [[HOSTILE, {HOSTILE: {HOSTILE: [HOSTILE]}}]]
    assert not re.search("[<>&\u2028\u2029]", found.found["data"])
    assert found.tags == Scripts(page(Snapshot("", 0.0))).tags


def test_the_page_refers_to_nothing_outside_itself() -> None:
    text = page(snapshot_of_files([SAMPLE / "network-map.json"])).decode("utf-8")
    assert "{{" not in text
    assert not re.search(r"https?://|//cdn|@import|url\(", text)
    tags = Scripts(text.encode()).tags
    assert not [attrs for _, attrs in tags if {"src", "href", "style", "onclick", "onload"} & attrs.keys()]
    policy = next(attrs["content"] or "" for _, attrs in tags if attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "connect-src 'none'" in policy
    assert "unsafe" not in policy


def test_a_live_page_may_ask_its_own_server_only() -> None:
    text = page(Snapshot("", 0.0), live=Live("ui/data", "updates", {"0": {"resource-id": "map"}})).decode("utf-8")
    assert "connect-src 'self'" in text
    assert json.loads(Scripts(text.encode()).found["data"])["live"] == {
        "data": "ui/data",
        "stream": "updates",
        "add": {"0": {"resource-id": "map"}},
    }


def test_what_is_beyond_the_limits_is_left_out_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, limit in {"PREFIXES": 2, "SIDE": 2, "CELLS": 8, "ENTITIES": 1, "FINDINGS": 1, "TEXT": 4}.items():
        monkeypatch.setattr(limits, f"MAX_{name}", limit)
    names = ["a", "b", "c"]
    calendar = CalendarResponse(CalendarAttributes(60, 3), 0.0)
    costs = ReceivedCosts((RC,), {a: {b: [1, 2, 3] for b in names} for a in names}, calendars=(calendar,))
    network_map = NetworkMap({"abcdef": {"ipv4": ["0.0.0.0/0", "10.0.0.0/8"]}, "b": {"ipv4": ["10.0.0.0/24"]}})
    finding = Finding(Level.NOTE, "", "", 7285, "1")
    tree = data_of(
        Snapshot(
            "here",
            0.0,
            [NetworkMapView("map", network_map)],
            [CostView("costs", costs)],
            [PropertiesView("properties", {"ipv4:10.0.0.0/8": {}, "ipv4:10.0.0.1": {}})],
            [finding, finding, finding],
        )
    )
    assert tree["maps"][0]["families"]["4"]["leftOut"] == 1
    assert tree["maps"][0]["pids"] == ["abc…", "b"]
    assert tree["costs"][0]["leftOut"] == [1, 1, 1]
    assert tree["costs"][0]["intervals"] == 2
    assert tree["properties"][0]["leftOut"] == 1
    assert (len(tree["findings"]), tree["findingsLeftOut"]) == (1, 2)


def test_a_calendar_claims_no_more_intervals_than_it_has() -> None:
    huge = CalendarResponse(CalendarAttributes(60, 10**15), None)
    costs = ReceivedCosts((RC,), {"a": {"a": [1, None], "b": [3]}}, calendars=(huge,))
    tree = data_of(Snapshot("", 0.0, costs=[CostView("costs", costs)]))["costs"][0]
    assert (tree["intervals"], tree["scale"]) == (2, 1)
    assert array("i", planes(tree["cells"], 4, 4)).tolist() == [1, 3, -(2**31), -(2**31)]


def test_multi_cost_files_become_a_heat_map_each() -> None:
    snapshot = snapshot_of_files([EXAMPLES / "rfc8189" / "rfc8189-s5.2-02.fixed.json"])
    assert [view.cost_type.cost_metric for view in snapshot.costs] == ["routingcost", "shoesize"]
    trees = data_of(snapshot)["costs"]
    assert trees[0]["cells"] != trees[1]["cells"]


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("rfc7285/rfc7285-s11.2.1.7-01.json", "maps"),
        ("rfc7285/rfc7285-s11.2.3.7-01.json", "costs"),
        ("rfc7285/rfc7285-s11.5.1.7-02.json", "costs"),
        ("rfc7285/rfc7285-s11.4.1.7-02.json", "properties"),
        ("rfc8896/rfc8896-s5.1.3-02.json", "costs"),
        ("rfc9240/rfc9240-s10.4-01.json", "properties"),
    ],
)
def test_examples_of_the_rfcs_are_shown(name: str, what: str) -> None:
    assert data_of(snapshot_of_files([EXAMPLES / name]))[what]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("gone.json", None, "No such file"),
        ("gone.csv", None, "No such file"),
        ("page.txt", b"", "a page is made of .json and .csv files"),
        ("no.json", b"{", "line 1"),
        ("ird.json", b'{"meta": {}, "resources": {}}', "where maps, costs or properties are due"),
        ("what.json", b"[]", "no ALTO document"),
        ("no.csv", b"a,b\n1,2\n", "the columns prefix and pid are due"),
        ("bytes.csv", b"\xff\xfe", "no CSV"),
        ("map.json", b'{"meta": {}, "network-map": []}', "network-map"),
    ],
)
def test_a_file_of_no_use_is_one_sentence(tmp_path: Path, name: str, content: bytes | None, says: str) -> None:
    file = tmp_path / name
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=re.escape(says)) as caught:
        snapshot_of_files([file])
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_command_writes_a_page_of_files(cli: Any) -> None:
    files = [SAMPLE / name for name in ("network-map.csv", "costs.csv", "properties.csv")]
    status, out, _ = cli.run("alto", "viz", *files, "-o", "page.html", "--json")
    told = json.loads(out)
    assert (status, told["pids"], told["prefixes"], told["cost_types"], told["property_maps"]) == (0, 7, 13, 1, 1)
    body = (cli.folder / "page.html").read_bytes()
    assert len(body) == told["octets"]
    assert body.startswith(b"<!DOCTYPE html>")


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (["alto", "viz", "-o", "page.html"], 2, "Missing argument"),
        (["alto", "viz", "gone.json", "-o", "page.html"], 2, "gone.json: No such file"),
        (["alto", "viz", str(SAMPLE / "costs.csv")], 2, "Missing option"),
        (["alto", "viz", str(SAMPLE / "costs.csv"), "http://127.0.0.1:9/", "-o", "page.html"], 2, "or of files"),
        (["alto", "viz", str(SAMPLE / "costs.csv"), "-o", "no/page.html"], 2, "no/page.html: No such file"),
        (["alto", "viz", "http://127.0.0.1:9/", "-o", "page.html"], 1, "127.0.0.1:9"),
    ],
)
def test_a_mistake_is_one_line(cli: Any, words: list[str], status: int, says: str) -> None:
    found, out, err = cli.run(*words)
    assert (found, out) == (status, "")
    assert says in err
    assert err.count("\n") == 1


def test_its_help_ends_with_examples(cli: Any) -> None:
    status, out, _ = cli.run("alto", "viz", "--help")
    assert status == 0
    assert out.rstrip().endswith("ietf-p2p alto viz network-map.json costs.csv -o page.html")

"""The page of `ietf-p2p alto viz` in a real browser, headless Chromium."""

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from alto_browser import Browser, browser

from alto.address import BITS, format_address, format_prefix, parse_address
from alto.costresult import ReceivedCosts
from alto.networkmap import NetworkMap
from alto.propertymap import PropertyMap
from alto.types import CostType
from interop.alto_sources import SAMPLE, load_costs
from interop.alto_viz import Snapshot, page, snapshot_of_files
from interop.alto_viz.snapshot import CostView, NetworkMapView, PropertiesView

SAMPLES = [SAMPLE / name for name in ("network-map.json", "costs.csv", "properties.csv")]
PAGE = Callable[[Snapshot], Browser]


@pytest.fixture(scope="module")
def tab() -> Iterator[Browser]:
    with browser() as tab:
        yield tab


@pytest.fixture
def show(tab: Browser, tmp_path: Path) -> Iterator[PAGE]:
    """Opens the page of a snapshot; at the end there must have been no trouble and no request but for the page."""
    file = tmp_path / "page.html"

    def show(snapshot: Snapshot) -> Browser:
        file.write_bytes(page(snapshot))
        tab.size(1280, 900)
        tab.open(file.as_uri())
        return tab

    yield show
    tab.run("null")  # whatever has happened by now is noted
    assert tab.troubles == []
    assert tab.requests == [file.as_uri()]


def told(tab: Browser, x: float, y: float) -> list[str]:
    """The source and the destination of the cell at a place; empty for none."""
    tab.point(x, y)
    return [] if tab.run("tip.hidden") else tab.text("#tip").split()[0:3:2]


def cell(tab: Browser, source: str, destination: str) -> tuple[float, float]:
    """A place in a cell of the heat map, found as a person finds it: with the pointer."""
    box = tab.run(
        "(() => { const box = heat.getBoundingClientRect(); return [box.left, box.top, box.right, box.bottom]; })()"
    )
    xs, ys = range(int(box[2]) - 8, int(box[0]), -15), range(int(box[3]) - 25, int(box[1]), -10)
    last = next(x for x in xs if told(tab, x, box[3] - 35))
    y = next(y for y in ys if told(tab, last, y)[:1] == [source])
    return next(x for x in xs if told(tab, x, y) == [source, destination]), y


def nested_map(seed: int) -> NetworkMap:
    """A map of 60 PIDs in which most prefixes lie in others, of every length, in both families."""
    chance = random.Random(seed)
    groups: dict[str, dict[str, list[str]]] = {f"pid-{number}": {"ipv4": [], "ipv6": []} for number in range(60)}
    seen: set[tuple[int, int, int]] = set()
    for family in (4, 6):
        groups["pid-0"][f"ipv{family}"].append(format_prefix(family, 0, 0))
        value = 0
        for _ in range(1500):
            if chance.random() < 0.2:
                value = chance.getrandbits(BITS[family])
            length = chance.randint(1, BITS[family])
            shift = BITS[family] - length
            key = (family, value >> shift << shift, length)
            if key not in seen:
                seen.add(key)
                groups[f"pid-{chance.randrange(60)}"][f"ipv{family}"].append(format_prefix(*key))
            value ^= 1 << chance.randrange(BITS[family])
    return NetworkMap(groups)


def addresses(network_map: NetworkMap, seed: int) -> list[str]:
    """Addresses at, in and right beside the prefixes of a map, and anywhere."""
    chance = random.Random(seed)
    found = []
    for family in (4, 6):
        prefixes = list(network_map.table.prefixes(family))
        for _ in range(1000):
            match = chance.choice(prefixes)
            span = 1 << BITS[family] - match.length
            offset = chance.choice([0, -1, span - 1, span, chance.randrange(span)])
            value = chance.choice([match.value + offset, chance.getrandbits(BITS[family])])
            found.append(format_address(family, value % (1 << BITS[family])))
    return found


def test_the_page_finds_the_very_pid_and_prefix_that_the_table_finds(show: PAGE) -> None:
    network_map = nested_map(1)
    wanted = addresses(network_map, 2)
    assert len(wanted) == 2000
    tab = show(Snapshot("", 0.0, [NetworkMapView("map", network_map)]))
    found = tab.run(f"{json.dumps(wanted)}.map((text) => alto.locate(text))")
    for text, place in zip(wanted, found, strict=True):
        location = network_map.locate(text)
        assert location is not None
        assert (place["address"], place["pid"], place["chain"][-1]["prefix"]) == (text, location.pid, location.prefix)
        lengths = [each["length"] for each in place["chain"]]
        assert lengths == sorted(set(lengths))
    # The chain is complete: every prefix around, not just the one that decides.
    depth = sum(len(place["chain"]) for place in found)
    expected = 0
    prefixes = {
        family: [(match.value, BITS[family] - match.length) for match in network_map.table.prefixes(family)]
        for family in (4, 6)
    }
    for text in wanted:
        family, value = parse_address(text)
        expected += sum((start ^ value) >> shift == 0 for start, shift in prefixes[family])
    assert depth == expected


@pytest.mark.parametrize(
    "text",
    [
        "192.0.2.1",
        "ipv4:192.0.2.1",
        "::",
        "::1",
        "1::",
        "2001:DB8:0:0:1:0:0:1",
        "2001:db8::192.0.2.1",
        "::ffff:192.0.2.1",
        "ipv6:2001:db8::",
        "1:2:3:4:5:6:7::",
        "1:2:3:4:5:6:192.0.2.1",
        "192.0.2.01",
        "192.0.2",
        "192.0.2.256",
        "192.0.2.1.",
        "0x7f.0.0.1",
        "1:2:3:4:5:6:7:8:9",
        "1:2:3:4:5:6:7:8::",
        ":::",
        "1::2::3",
        ":1:2:3:4:5:6:7",
        "12345::",
        "fe80::1%eth0",
        "::1.2.3",
        "1.2.3.4::",
        "::1.2.3.4:5",
        "ipv4:::1",
        "ipv6:192.0.2.1",
        "ipv5:1",
        " 192.0.2.1",
        "",
        "１.2.3.4",
    ],
)
def test_the_page_reads_addresses_as_python_does(tab: Browser, show: PAGE, text: str) -> None:
    network_map = NetworkMap({"all": {"ipv4": ["0.0.0.0/0"], "ipv6": ["::/0"]}})
    try:
        expected = network_map.pid_of(text)
    except ValueError:
        expected = None
    found = show(Snapshot("", 0.0, [NetworkMapView("map", network_map)])).run(f"alto.locate({json.dumps(text)})")
    assert (found["pid"] if found is not None else None) == expected


def test_an_address_inherits_the_properties_that_python_finds(show: PAGE) -> None:
    values: dict[str, dict[str, dict[str, Any]]] = {
        "ipv4": {
            "0.0.0.0/0": {"a": 1, "b": "x"},
            "10.0.0.0/8": {"a": 2},
            "10.1.0.0/16": {"b": None},
            "10.1.2.3": {"a": [3], "c": {"d": 4}},
        },
        "ipv6": {"2001:db8::/32": {"a": 5}},
    }
    property_map = PropertyMap.from_values(values)
    tab = show(Snapshot("", 0.0, properties=[PropertiesView("properties", property_map.to_json())]))
    for text in ("10.1.2.3", "10.1.2.4", "10.2.0.0", "192.0.2.1", "2001:db8::1", "2001:db9::1"):
        found = tab.run(f"alto.properties({json.dumps(text)})")[0]
        kind = "ipv6" if ":" in text else "ipv4"
        assert {name: value for name, value, _ in found} == property_map.properties_of(f"{kind}:{text}")


def test_a_typed_address_is_answered_with_its_pid_and_why(show: PAGE) -> None:
    tab = show(snapshot_of_files(SAMPLES))
    tab.type("#address", "192.0.2.77")
    assert tab.text(".pid-name") == "access-north"
    text = tab.text("#lookup-result")
    assert "192.0.2.0/25 is the longest of the 2 prefixes that contain it" in text
    assert tab.text(".decides").split()[:2] == ["192.0.2.0/25", "access-north"]
    assert tab.text("#lookup-result tbody tr").split()[1:] == ["fibre", "ipv4:192.0.2.0/25"]
    tab.type("#address", "192.0.2.777")
    tab.key("Enter")
    assert "no IPv4 or IPv6 address" in tab.text("#lookup-result")
    assert tab.run("document.activeElement.getAttribute('aria-invalid')") == "true"


def test_a_cell_that_is_pointed_at_tells_its_exact_cost(show: PAGE) -> None:
    tab = show(snapshot_of_files(SAMPLES))
    costs = load_costs(SAMPLE / "costs.csv").to_mapping()
    names = tab.run("JSON.parse(document.getElementById('data').textContent).costs[0].sources")
    for row, column in ((0, 1), (3, 2), (6, 5), (5, 5)):
        source, destination = names[row], names[column]
        tab.point(*cell(tab, source, destination))
        cost = costs[source].get(destination)
        shown = "no cost" if cost is None else f"{cost:g}"
        assert tab.text("#readout").split()[:4] == [source, "→", destination, *shown.split()][:4]
        assert shown in tab.text("#tip")
    tab.point(5, 5)
    assert tab.run("document.getElementById('tip').hidden")


def test_the_heat_map_is_used_by_keyboard(show: PAGE) -> None:
    tab = show(snapshot_of_files(SAMPLES))
    tab.run("document.getElementById('heat').focus()")
    for name in ("ArrowRight", "ArrowDown", "ArrowDown"):
        tab.key(name)
    assert tab.text("#readout").split()[:3] == ["datacentre", "→", "access-south"]
    tab.key("End")
    assert tab.text("#readout").split()[2] == "internet"
    before = tab.run("heat.scrollWidth")
    tab.key("+")
    assert tab.run("heat.scrollWidth") > before
    tab.key("0")
    assert tab.run("heat.scrollWidth") == before


def test_rows_are_sorted_by_the_cost_to_a_destination(show: PAGE) -> None:
    tab = show(snapshot_of_files(SAMPLES))
    costs = load_costs(SAMPLE / "costs.csv").to_mapping()
    x, _ = cell(tab, "access-north", "datacentre")
    top = tab.run("heat.getBoundingClientRect().top")
    tab.press(x, top + 20)
    assert tab.run("document.getElementById('row-order').selectedOptions[0].text") == "Cost to datacentre"
    tab.run("document.getElementById('heat').focus()")
    seen = []
    for _ in range(7):
        seen.append(tab.text("#readout").split()[0])
        tab.key("ArrowDown")
    assert seen == sorted(costs, key=lambda source: costs[source].get("datacentre", 1e9))


def test_another_cost_type_is_chosen_and_a_calendar_is_gone_through(show: PAGE, tmp_path: Path) -> None:
    meta = {
        "cost-type": {"cost-mode": "numerical", "cost-metric": "tput"},
        "dependent-vtags": [{"resource-id": "map", "tag": "t"}],
        "calendar-response-attributes": [
            {
                "calendar-start-time": "Tue, 01 Jul 2014 13:00:00 GMT",
                "time-interval-size": 3600,
                "number-of-intervals": 3,
            }
        ],
    }
    file = tmp_path / "calendar.json"
    file.write_text(json.dumps({"meta": meta, "cost-map": {"a": {"a": [1.5, 2, 3], "b": [4, None, 6]}}}))
    tab = show(snapshot_of_files([SAMPLE / "costs.csv", file]))
    assert tab.run("document.getElementById('calendar').hidden")
    tab.choose("#cost-type", "tput (numerical)")
    assert tab.text("#interval-text") == "Interval 1 of 3: 2014-07-01 13:00:00 UTC to 14:00:00 UTC"
    assert tab.text("#readout").split() == ["a", "→", "a", "1.5", "B/s", "rank", "5", "of", "5"]
    tab.run("document.getElementById('interval').focus()")
    tab.run("interval.value = 1, interval.dispatchEvent(new Event('input')), 0")
    assert tab.text("#interval-text").startswith("Interval 2 of 3: 2014-07-01 14:00:00")
    assert tab.text("#readout").split()[3] == "2"
    assert tab.text("#scale-best") == "6 B/s · best"


def test_a_pid_is_unfolded_some_prefixes_at_a_time(show: PAGE) -> None:
    many = [format_prefix(4, number << 8, 24) for number in range(250)]
    tab = show(
        Snapshot("", 0.0, [NetworkMapView("map", NetworkMap({"big": {"ipv4": many}, "rest": {"ipv4": ["0.0.0.0/0"]}}))])
    )
    assert tab.text("#pid-table tbody tr").split() == ["big", "250", "0", "64,000"]
    tab.run("document.querySelector('.fold').click()")
    assert tab.run("document.querySelectorAll('.prefixes li').length") == 100
    assert tab.text(".prefixes li") == "0.0.0.0/24in 0.0.0.0/0 of rest"
    assert tab.text(".prefixes .more") == "Show 100 more of 250 prefixes"
    for _ in range(2):
        tab.run("document.querySelector('.prefixes .more').click()")
    assert tab.run("document.querySelectorAll('.prefixes li').length") == 250
    assert tab.run("document.querySelector('.prefixes .more')") is None
    tab.type("#pid-filter", "res")
    tab.until("document.querySelectorAll('#pid-table .fold').length === 1")
    assert tab.text("#pid-table .fold") == "rest"


HOSTILE = [
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(2)>",
    "javascript:alert(3)",
    "\u202etxt",
    "{{x}}",
]


def test_what_a_hostile_server_says_is_shown_and_never_run(show: PAGE, tmp_path: Path) -> None:
    names = {name: {"ipv4": [f"10.{at}.0.0/16"], name: ["x"]} for at, name in enumerate(HOSTILE)}
    names["</style><style>body{display:none}"] = {"ipv4": ["0.0.0.0/0"]}
    evil = HOSTILE[1]
    vtag = {"resource-id": HOSTILE[0], "tag": "'\"><b onmouseover=alert(4)>"}
    documents = {
        "map": {"meta": {"vtag": vtag}, "network-map": names},
        "costs": {
            "meta": {
                "cost-type": {"cost-mode": "numerical", "cost-metric": "priv:x", "description": evil},
                "dependent-vtags": [vtag],
            },
            "cost-map": {"constructor": {"__proto__": 1, "toString": 2}, "__proto__": {"constructor": 3}},
        },
        "endpoints": {"meta": {}, "endpoint-properties": {"ipv4:10.1.0.1": {evil: evil, "__proto__": "x"}}},
        "properties": {"meta": {}, "property-map": {f"priv:{evil}": {"priv:y": {evil: [evil]}}}},
    }
    files = []
    for name, tree in documents.items():
        files.append(tmp_path / f"{name}.json")
        files[-1].write_text(json.dumps(tree))
    tab = show(snapshot_of_files(files))
    tab.type("#address", "10.1.0.1")
    assert tab.text(".pid-name") == evil
    tab.run("document.querySelectorAll('.fold').forEach((button) => button.click())")
    tab.point(*cell(tab, "constructor", "toString"))
    assert tab.run("document.querySelectorAll('img, b, svg, script:not([id])').length") == 1  # the page's own script
    assert tab.run("document.scripts.length") == 2
    assert tab.run("getComputedStyle(document.body).display") != "none"
    assert "\\u202etxt" in tab.text("#pid-table")
    assert "constructor" in tab.text("#readout")
    # Nor does markup get in by the page's own doing.
    assert "TypeError" in tab.run(
        "(() => { try { document.body.innerHTML = '<i>'; } catch (error) { return String(error); } })()"
    )
    tab.troubles.clear()


def test_the_theme_is_turned_and_the_page_fits_a_telephone(show: PAGE) -> None:
    tab = show(snapshot_of_files(SAMPLES))
    light = tab.run("getComputedStyle(document.body).backgroundColor")
    tab.run("document.getElementById('theme').click()")
    assert tab.run("getComputedStyle(document.body).backgroundColor") != light
    for dark in (False, True):
        tab.size(400, 800, dark=dark)
        assert tab.run("document.documentElement.scrollWidth") <= 400


def test_two_thousand_pids_and_many_prefixes_do_not_stop_the_page(show: PAGE) -> None:
    names = [f"pid-{number}" for number in range(2000)]
    network_map = NetworkMap(
        {name: {"ipv4": [format_prefix(4, at << 20, 12)]} for at, name in enumerate(names)}, default_pid="pid-0"
    )
    row = {name: float(at) for at, name in enumerate(names)}
    costs = ReceivedCosts((CostType("ordinal", "routingcost"),), dict.fromkeys(names, row))
    tab = show(Snapshot("", 0.0, [NetworkMapView("map", network_map)], [CostView("costs", costs)]))
    assert tab.run("document.querySelectorAll('#pid-table .fold').length") == 50
    tab.run("document.getElementById('heat').focus()")
    tab.key("End")
    assert tab.text("#readout").split()[:4] == ["pid-0", "→", "pid-1999", "1,999"]

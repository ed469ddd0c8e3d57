"""The page at /ui of a server: what it shows, to whom, and that it follows the server's updates."""

import asyncio
import shutil
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from alto_browser import Browser, browser
from alto_serve import serving
from alto_serving import running

from alto.auth import DigestAuthenticator
from alto.calendar import Calendar
from alto.costmap import CostMapResource, FilteredCostMapResource
from alto.costoffers import CostOffer
from alto.costs import CostMatrix
from alto.directory import Directory
from alto.errors import ConfigurationError
from alto.networkmap import NetworkMap, NetworkMapResource
from alto.propertyresources import PropertyMapResource, PropertySource
from alto.server import AltoServer
from alto.types import CostType
from alto.updates import UpdateStreamService
from interop.alto_client import AltoClient
from interop.alto_server import AltoApp
from interop.alto_sources import SAMPLE
from interop.alto_viz import AltoUi, snapshot_of_directory, snapshot_of_server
from interop.alto_viz.sources import substreams

RC = CostType("numerical", "routingcost")
DELAY = CostType("numerical", "delay-ow")
TPUT = CostType("numerical", "tput", description="by day")
NAMES = ("near", "all")


def network_map(near: str = "192.0.2.0/24", id: str = "map", *, is_private: bool = False) -> NetworkMapResource:  # noqa: A002
    pids = {"near": {"ipv4": [near]}, "all": {"ipv4": ["0.0.0.0/0"], "ipv6": ["::/0"]}}
    return NetworkMapResource(id, NetworkMap(pids), is_private=is_private)


def matrix(far: float) -> CostMatrix:
    return CostMatrix(NAMES, NAMES, [[1, far], [far, 5]])


def cost_map(far: float = 9) -> CostMapResource:
    return CostMapResource("costs", "map", "num-rc", RC, matrix(far))


def application(*more: Any, private: bool = False, **settings: Any) -> AltoApp:
    calendar = Calendar([matrix(100), matrix(200)], 3600, 1_700_000_000)
    offers = {"num-rc": CostOffer(RC, "costs"), "tput": CostOffer(TPUT, matrix(100), calendar)}
    resources = [
        network_map(),
        network_map("198.51.100.0/24", "secret", is_private=True),
        cost_map(),
        CostMapResource("delays", "map", "delay", DELAY, matrix(70)),
        FilteredCostMapResource("some-costs", "map", offers),
        PropertyMapResource("properties", PropertySource({"ipv4": {"192.0.2.0/24": {".isp": "ours"}}})),
        *more,
    ]
    services = [UpdateStreamService("updates", ["map", "costs", "some-costs"])]
    directory = Directory(resources, services=services, default_network_map="map")
    users = DigestAuthenticator("alto", {"ann": "xyzzy"})
    return AltoApp(
        AltoServer(directory, epoch=time.time() - time.monotonic(), authenticator=users, private=private, **settings)
    )


def ask(ui: AltoUi, path: str, method: str = "GET") -> httpx.Response:
    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(app=ui)
        async with httpx.AsyncClient(transport=transport, base_url="http://alto.example") as client:
            return await client.request(method, path)

    return asyncio.run(asked())


def content(ui: AltoUi) -> dict[str, Any]:
    found: dict[str, Any] = ask(ui, "/ui/data").json()
    return found


def test_a_directory_and_its_client_show_the_same(tmp_path: Path) -> None:
    app = application()

    async def asked() -> Any:
        async with AltoClient.over(app) as alto:
            return await snapshot_of_server(alto)

    far, near = asyncio.run(asked()).to_json(), snapshot_of_directory(app.server.directory).to_json()
    assert [view["id"] for view in near["maps"]] == ["map"]
    assert far["failures"][0].startswith("secret: ")
    for tree in (far, near):
        assert not tree["findings"]
        for name in ("source", "made", "failures"):
            del tree[name]
    assert far == near


def test_calendars_are_preferred_and_each_cost_type_is_there_once() -> None:
    costs = snapshot_of_directory(application().server.directory).costs
    assert [(view.id, view.cost_type.cost_metric) for view in costs] == [
        ("costs", "routingcost"),
        ("delays", "delay-ow"),
        ("some-costs", "tput"),
    ]
    assert costs[2].calendar is not None
    assert costs[2].description == "by day"


def test_private_resources_are_not_on_the_page() -> None:
    ui = AltoUi(application())
    assert "secret" not in ask(ui, "/ui").text
    assert [each["id"] for each in content(ui)["maps"]] == ["map"]


def test_the_page_follows_what_the_update_stream_has() -> None:
    live = content(AltoUi(application()))["live"]
    vtag = application().server.directory.find("map", NetworkMapResource).vtag
    assert (live["data"], live["stream"]) == ("ui/data", "updates")
    assert live["add"]["0"] == {"resource-id": "map", "tag": vtag.tag}
    assert [each["resource-id"] for each in live["add"].values()] == ["map", "costs", "some-costs"]
    assert live["add"]["2"]["input"]["calendared"] == [True]
    assert substreams(snapshot_of_directory(application().server.directory), ("other",)) == {}


def test_everything_else_is_left_to_the_server() -> None:
    ui = AltoUi(application())
    assert ask(ui, "/").json()["meta"]["default-alto-network-map"] == "map"
    assert ask(ui, "/map").json()["network-map"]
    assert ask(ui, "/ui/other").status_code == 404
    assert ask(ui, "/uix").status_code == 404


def test_the_page_is_got_and_nothing_else() -> None:
    ui = AltoUi(application())
    found = ask(ui, "/ui", "HEAD")
    assert (found.status_code, found.content) == (200, b"")
    assert int(found.headers["content-length"]) == len(ask(ui, "/ui").content)
    refused = ask(ui, "/ui", "POST")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")


def test_the_page_may_not_be_framed_or_stored() -> None:
    headers = ask(AltoUi(application()), "/ui").headers
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "connect-src 'self'" in headers["content-security-policy"]
    assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff")


def test_a_private_server_has_no_page() -> None:
    ui = AltoUi(application(private=True))
    # The server itself answers, as it does for whatever it does not know.
    assert [ask(ui, path).status_code for path in ("/ui", "/ui/data")] == [ask(ui, "/other").status_code] * 2
    assert ask(ui, "/ui").is_client_error


def test_the_data_are_made_once_for_each_directory() -> None:
    app = application()
    ui = AltoUi(app)
    assert ask(ui, "/ui/data").content == ask(ui, "/ui/data").content
    before = content(ui)["costs"][0]["cells"]
    app.server.update(cost_map(3), now=0.0)
    assert content(ui)["costs"][0]["cells"] != before


def test_a_resource_of_that_name_and_the_page_exclude_each_other() -> None:
    with pytest.raises(ConfigurationError, match="'ui'"):
        AltoUi(application(network_map(id="ui")))


def test_the_page_is_below_the_base_uri_that_the_server_was_told() -> None:
    ui = AltoUi(application(base_uri="https://alto.example/base/"))
    assert ask(ui, "/base/ui").status_code == 200
    assert ask(ui, "/ui").status_code == 404


def opened(tab: Browser, url: str) -> None:
    tab.open(url)
    tab.until("document.getElementById('live').textContent === 'live'")


def test_an_open_page_shows_changes_as_they_are_pushed() -> None:
    app = application()
    with running(AltoUi(app)) as base, browser() as tab:
        opened(tab, f"{base}/ui")
        assert tab.text("#source") == f"{base}/"
        tab.type("#address", "192.0.2.200")
        assert tab.text(".pid-name") == "near"
        tab.run("document.getElementById('heat').focus()")
        tab.key("ArrowRight")
        assert tab.text("#readout").split()[:4] == ["near", "→", "all", "9"]
        app.submit(cost_map(7.5), network_map("192.0.2.0/25")).result()
        tab.until("document.getElementById('readout').textContent.includes('7.5')")
        tab.until("document.querySelector('.pid-name').innerText === 'all'")
        assert tab.run("document.querySelector('#pid-table .changed').innerText").split()[0] == "near"
        assert tab.run("document.getElementById('address').value") == "192.0.2.200"
        assert tab.troubles == []
        assert {url.removeprefix(base) for url in tab.requests} == {"/ui", "/updates", "/ui/data"}


def test_a_page_without_an_update_stream_is_not_live() -> None:
    directory = Directory([network_map(), cost_map()], default_network_map="map")
    ui = AltoUi(AltoApp(AltoServer(directory, epoch=0.0)))
    assert content(ui)["live"] == {"data": "ui/data", "stream": None, "add": None}
    with running(ui) as base, browser() as tab:
        tab.open(f"{base}/ui")
        assert tab.run("document.getElementById('live').hidden")
        assert tab.troubles == []


def test_the_command_serves_the_page_and_pushes_a_changed_file_into_it(tmp_path: Path) -> None:
    for name in ("network-map.csv", "costs.csv"):
        shutil.copy(SAMPLE / name, tmp_path)
    costs = tmp_path / "costs.csv"
    with serving("--ui", "--map", tmp_path / "network-map.csv", "--costs", costs) as served, browser() as tab:
        url = served.said("A page shows it: ").rpartition(" ")[2]
        assert url == f"{served.url}ui"
        opened(tab, url)
        tab.run("document.getElementById('heat').focus()")
        before = tab.text("#readout").split()[3]
        costs.write_text(costs.read_text().replace("access-north,access-north,1\n", "access-north,access-north,1.25\n"))
        tab.until("document.getElementById('readout').textContent.includes('1.25')")
        assert before == "1"
        assert tab.troubles == []


def test_a_private_server_is_not_given_a_page(cli: Any) -> None:
    (cli.folder / "users").write_text("ann:alto:0123456789abcdef0123456789abcdef\n")
    (cli.folder / "alto.toml").write_text(
        f'private = true\n[users]\nfile = "users"\n[network-map.map]\nfile = "{SAMPLE / "network-map.csv"}"\n'
    )
    status, out, err = cli.run("alto", "serve", "--ui", "--config", "alto.toml", "--listen", "127.0.0.1:0")
    assert (status, out) == (2, "")
    assert err == "ietf-p2p: --ui shows what everybody may see, and of a private server that is nothing\n"

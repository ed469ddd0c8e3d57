"""The same resources as a Django application would serve them, written to be fast: no middleware, asynchronous views,
maps that were encoded and compressed once, prefixes in a dictionary for each length.
"""

import gzip
import hashlib
import ipaddress
import json
from collections.abc import Callable
from typing import Any

import django
from alto_setup import data
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse, HttpResponseNotModified, JsonResponse
from django.urls import path
from django.utils.cache import patch_vary_headers
from django.utils.http import parse_etags

NUMERICAL = {"cost-mode": "numerical", "cost-metric": "routingcost"}

urlpatterns: list[Any] = []


class Site:
    """The data of the site."""

    def __init__(self) -> None:
        network_map = data.network_map()
        self.names = {name: index for index, name in enumerate(network_map.pids)}
        self.costs = data.rows(data.PIDS, "integers")
        self.tables: dict[int, dict[int, dict[int, str]]] = {4: {}, 6: {}}
        for name, groups in network_map.pids.items():
            for prefix in (prefix for group in groups.values() for prefix in group):
                network = ipaddress.ip_network(prefix)
                shift = network.max_prefixlen - network.prefixlen
                self.tables[network.version].setdefault(shift, {})[int(network.network_address) >> shift] = name
        self.tables = {family: dict(sorted(tables.items())) for family, tables in self.tables.items()}
        vtag = {"resource-id": "map", "tag": network_map.tag}
        tree = {"meta": {"vtag": vtag}, "network-map": network_map.to_json()}
        self.whole = json.dumps(tree, separators=(",", ":")).encode()
        self.gzip = gzip.compress(self.whole, 6)
        self.tag = f'"{hashlib.sha256(self.whole).hexdigest()[:32]}"'

    def pid_of(self, endpoint: str) -> str | None:
        """The PID of a typed address. Raises ValueError."""
        kind, _, text = endpoint.partition(":")
        address = ipaddress.ip_address(text)
        if kind != f"ipv{address.version}":
            raise ValueError(endpoint)
        value = int(address)
        for shift, table in self.tables[address.version].items():
            name = table.get(value >> shift)
            if name is not None:
                return name
        return None


def views(site: Site) -> tuple[Callable[..., Any], Callable[..., Any]]:
    async def network_map(request: HttpRequest) -> HttpResponse:
        wants_gzip = "gzip" in request.headers.get("Accept-Encoding", "")
        tag = site.tag[:-1] + '-gzip"' if wants_gzip else site.tag
        if tag in parse_etags(request.headers.get("If-None-Match", "")):
            return HttpResponseNotModified(headers={"ETag": tag})
        body = site.gzip if wants_gzip else site.whole
        response = HttpResponse(body, content_type="application/alto-networkmap+json", headers={"ETag": tag})
        if wants_gzip:
            response.headers["Content-Encoding"] = "gzip"
        patch_vary_headers(response, ["Accept-Encoding"])
        return response

    async def endpoint_cost(request: HttpRequest) -> HttpResponse:
        if request.content_type != "application/alto-endpointcostparams+json":
            return HttpResponse(status=415)
        try:
            asked = json.loads(request.body)
            if {name: asked["cost-type"][name] for name in NUMERICAL} != NUMERICAL:
                raise ValueError("cost-type")
            sources, destinations = asked["endpoints"]["srcs"], asked["endpoints"]["dsts"]
            columns = [(text, site.names.get(site.pid_of(text), -1)) for text in destinations]
            found = {}
            for source in sources:
                place = site.names.get(site.pid_of(source), -1)
                if 0 <= place < data.PIDS:
                    row = site.costs[place]
                    found[source] = {text: row[at] for text, at in columns if 0 <= at < data.PIDS}
        except (ValueError, KeyError, TypeError) as error:
            return JsonResponse({"meta": {"code": "E_INVALID_FIELD_VALUE", "value": str(error)}}, status=400)
        tree = {"meta": {"cost-type": NUMERICAL}, "endpoint-cost-map": found}
        return JsonResponse(tree, content_type="application/alto-endpointcost+json")

    return network_map, endpoint_cost


def application() -> Any:
    settings.configure(
        ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, MIDDLEWARE=[], SECRET_KEY="of a benchmark", USE_TZ=True
    )
    django.setup()
    network_map, endpoint_cost = views(Site())
    urlpatterns[:] = [path("map", network_map), path("ecs", endpoint_cost)]
    return get_asgi_application()

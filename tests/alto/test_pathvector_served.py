"""Path vectors through a whole server: HTTP, its directory, its errors, and who may have them (RFC 9275 section 11)."""

import json
from pathlib import Path
from typing import Any

from alto_pv import PATH_VECTOR, cost_map_resource, directory, figure_10

from alto.findings import Findings
from alto.http import Request, Response
from alto.ird import parse_directory
from alto.pathvector import parse_path_vector
from alto.server import AltoServer

EXAMPLES = Path(__file__).parents[1] / "data" / "alto_examples" / "rfc9275"


def example(name: str) -> Any:
    return json.loads((EXAMPLES / f"rfc9275-s{name}.json").read_text("utf-8"))


def post(server: AltoServer, resource_id: str, tree: Any) -> Response:
    headers = (
        ("Host", "alto.example.com"),
        ("Content-Type", "application/alto-costmapfilter+json"),
        ("Accept", "multipart/related;type=application/alto-costmap+json,application/alto-error+json"),
    )
    answer = server.handle(
        Request("POST", f"/{resource_id}", headers, json.dumps(tree).encode()), ("192.0.2.34", 1), 0.0
    )
    assert isinstance(answer, Response)
    return answer


def test_a_server_serves_them_and_its_errors() -> None:
    server = AltoServer(directory(), epoch=0.0, base_uri="https://alto.example.com/")
    response = post(server, "filtered-cost-map-pv", example("8.3-01"))
    assert response.status == 200
    vector = parse_path_vector(
        response.header("Content-Type") or "", response.body, Findings(), asked=example("8.3-01")
    )
    assert len(vector.paths) == 2
    response = post(server, "filtered-cost-map-pv", {})
    assert (response.status, response.header("Content-Type")) == (400, "application/alto-error+json")


def test_the_directory_defines_the_path_vector_cost_type() -> None:
    server = AltoServer(directory(), epoch=0.0, base_uri="https://alto.example.com/")
    answer = server.handle(Request("GET", "/", (("Host", "alto.example.com"),)), ("192.0.2.34", 1), 0.0)
    assert isinstance(answer, Response)
    tree = json.loads(answer.body)
    assert tree["meta"]["cost-types"]["path-vector"] == PATH_VECTOR
    listed = tree["resources"]["filtered-cost-map-pv"]
    assert listed["media-type"] == "multipart/related;type=application/alto-costmap+json"
    assert listed["capabilities"]["cost-type-names"] == ["path-vector", "num-rc"]
    assert "cost-constraints" not in listed["capabilities"]
    assert parse_directory(tree, Findings(), "https://alto.example.com/").resources


def test_private_path_vectors_are_for_clients_that_have_proven_who_they_are() -> None:
    held = directory(None, cost_map_resource(figure_10(), is_private=True))
    server = AltoServer(held, epoch=0.0, base_uri="https://alto.example.com/")
    response = post(server, "filtered-cost-map-pv", example("8.3-01"))
    assert response.status in (401, 403)
    assert b"ane" not in response.body

"""The recipe for nginx in front of a server, as it stands in the package, with a real nginx over TLS."""

import os
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from alto_serving import Certificates
from decade_caches import free_port, nginx
from decade_serve import bearer_of, make_key, processing

import interop.decade_server
from decade.cose import Ed25519SigningKey
from decade.messages import Status, decode_message
from decade.named import Binding, bind, named_path, read_signature, verify
from decade.names import name_of
from decade.problem import decode_problem

RECIPE = Path(interop.decade_server.__file__).with_name("nginx.conf.example")
OCTETS = bytes(range(256)) * 1024
NAME = name_of(OCTETS)
BOUND = bind(Ed25519SigningKey(bytes(32)), b"live/1", NAME)
SERVER = "https://storage.example"


class Fronted:
    """A client of the server behind nginx."""

    def __init__(self, url: str, direct: str, key: Any, tls: ssl.SSLContext, *, knows_type: bool) -> None:
        self.client = httpx.Client(base_url=url, verify=tls)
        self.direct, self.key, self.knows_type = direct, key, knows_type

    def fields(self, **policy: int) -> dict[str, str]:
        return bearer_of(self.key, SERVER, **policy)

    def ask(self, method: str = "GET", fields: dict[str, str] | None = None, **more: Any) -> httpx.Response:
        return self.client.request(method, NAME.path, headers=self.fields() if fields is None else fields, **more)

    def sent(self) -> int:
        """The octets that the server counts as sent."""
        answer = httpx.get(f"{self.direct}/decade/v1/status", headers=self.fields())
        status = decode_message(answer.content)
        assert isinstance(status, Status)
        return status.usage.sent


@pytest.fixture(scope="module", params=["443", "8443"], ids=["X-Accel-Redirect", "auth_request"])
def fronted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fronted]:
    folder = tmp_path_factory.mktemp("nginx")
    objects = folder / "objects"
    key = make_key(folder / "alice.pem")
    config = folder / "decade.toml"
    config.write_text(
        f"""server = "{SERVER}"
listen = "127.0.0.1:0"
root = "{objects}"
trusted-proxies = ["127.0.0.1"]
extensions = ["signed-names"]
[front]
accel = "/_decade/"
[accounts.alice]
storage = "1GB"
[accounts.alice.keys.laptop]
file = "alice.pem"
"""
    )
    certificates = Certificates(folder / "ca")
    certificate, secret = certificates.sign("storage", "/CN=storage.example", address="127.0.0.1")
    with processing(config) as served:
        ports = {"443": free_port(), "8443": free_port()}
        recipe = RECIPE.read_text()
        for before, after in {
            "127.0.0.1:7069": served.url.removeprefix("http://"),
            "/var/lib/decade": str(objects),
            "/etc/nginx/storage.pem": str(certificate),
            "/etc/nginx/storage.key": str(secret),
            "listen 443 ssl": f"listen 127.0.0.1:{ports['443']} ssl",
            "listen 8443 ssl": f"listen 127.0.0.1:{ports['8443']} ssl",
        }.items():
            assert before in recipe
            recipe = recipe.replace(before, after)
        with nginx(folder / "nginx", recipe, ports[request.param]):
            tls = ssl.create_default_context(cafile=certificates.authority)
            found = Fronted(
                f"https://127.0.0.1:{ports[request.param]}", served.url, key, tls, knows_type=request.param == "443"
            )
            put = {**found.fields(), "Content-Type": "video/mp4"}
            assert found.ask("PUT", put, content=OCTETS).status_code == 201
            yield found
            found.client.close()


def test_nginx_sends_the_file_with_the_header_of_the_object(fronted: Fronted) -> None:
    before = fronted.sent()
    answer = fronted.ask()
    assert (answer.status_code, answer.content) == (200, OCTETS)
    assert answer.headers["server"].startswith("nginx")
    assert answer.headers["etag"] == NAME.etag
    assert answer.headers["cache-control"] == "public, max-age=0, must-revalidate, no-transform"
    assert (answer.headers["x-content-type-options"], answer.headers["content-security-policy"]) == (
        "nosniff",
        "sandbox",
    )
    assert answer.headers["decade-attrs"].startswith("exp=")
    assert answer.headers["repr-digest"] == NAME.repr_digest
    assert "decade-signature" not in answer.headers
    assert "x-accel-redirect" not in answer.headers
    assert fronted.sent() - before == len(OCTETS)


def test_nginx_passes_on_the_signature_of_what_has_a_signed_name(fronted: Fronted) -> None:
    path = named_path(BOUND.signed)
    told = {"Repr-Digest": NAME.repr_digest, "Decade-Signature": BOUND.text}
    put = fronted.client.put(path, headers=fronted.fields() | told, content=OCTETS)
    assert put.status_code in (201, 204)
    before = fronted.sent()
    for part, expected in (({}, OCTETS), ({"Range": "bytes=1-2"}, OCTETS[1:3])):
        answer = fronted.client.get(path, headers=fronted.fields() | part)
        assert answer.content == expected
        verify(Binding(BOUND.signed, NAME, read_signature(answer.headers["decade-signature"])))
        assert answer.headers["repr-digest"] == NAME.repr_digest
    assert fronted.sent() - before == len(OCTETS) + 2
    assert fronted.client.get(path).status_code == 401


def test_only_the_recipe_that_passes_the_answer_on_has_the_media_type(fronted: Fronted) -> None:
    expected = "video/mp4" if fronted.knows_type else "application/octet-stream"
    assert fronted.ask().headers["content-type"] == expected


def test_who_has_no_good_token_gets_nothing_from_nginx(fronted: Fronted) -> None:
    spoiled = fronted.fields()
    spoiled["Authorization"] = spoiled["Authorization"][:-6] + "AAAAAA"
    for fields, code in (({}, 2), (spoiled, 4)):
        answer = fronted.ask(fields=fields)
        problem = decode_problem(answer.content)
        assert answer.status_code == 401
        assert problem is not None
        assert problem.code == code
    digest = NAME.value.hex()
    for path in (f"/_decade/{digest[:2]}/{digest}", "/_decade/index.sqlite3", "/_authorize"):
        assert fronted.client.get(path, headers=fronted.fields()).status_code == 404
    said = {"X-Original-URI": NAME.path, "X-Original-Method": "GET"}
    assert "x-decade-file" not in fronted.client.get("/decade/v1/authorize", headers=said).headers


def test_a_token_for_one_use_is_used_once(fronted: Fronted) -> None:
    once = fronted.fields(uses=1)
    assert [fronted.ask(fields=once).status_code for _ in range(3)] == [200, 401, 401]


def test_a_part_is_cut_out_by_nginx_and_charged_as_a_part(fronted: Fronted) -> None:
    fields = {**fronted.fields(amount=1000), "Range": "bytes=256-511"}
    before = fronted.sent()
    answer = fronted.ask(fields=fields)
    assert (answer.status_code, answer.content) == (206, bytes(range(256)))
    assert answer.headers["content-range"] == f"bytes 256-511/{len(OCTETS)}"
    assert fronted.sent() - before == 256
    # 744 octets are left of the amount.
    refused = fronted.ask(fields={**fields, "Range": "bytes=0-999"})
    problem = decode_problem(refused.content)
    assert refused.status_code == 403
    assert problem is not None
    assert problem.code == 21


def test_conditions_and_heads_are_answered(fronted: Fronted) -> None:
    head = fronted.ask("HEAD")
    assert (head.status_code, head.headers["content-length"], head.headers["etag"]) == (200, "262144", NAME.etag)
    same = fronted.ask(fields={**fronted.fields(), "If-None-Match": NAME.etag})
    # nginx does not know the tag of a file that it sends on its own.
    assert same.status_code in (200, 304)


def test_what_is_not_there_is_told_in_the_words_of_the_server(fronted: Fronted) -> None:
    other = name_of(os.urandom(8))
    answer = fronted.client.get(other.path, headers=fronted.fields())
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/concise-problem-details+cbor"


def test_an_upload_goes_through_and_can_be_deleted(fronted: Fronted) -> None:
    octets = os.urandom(200_000)
    path = name_of(octets).path
    fields = fronted.fields()
    assert fronted.client.put(path, content=octets, headers=fields).status_code == 201
    assert fronted.client.get(path, headers=fields).content == octets
    assert fronted.client.delete(path, headers=fields).status_code == 204
    assert fronted.client.get(path, headers=fields).status_code == 410

"""Extensions of a DECADE server over real sockets: public objects, tokens in URLs, room made by eviction."""

import base64
import ipaddress
import subprocess

import httpx
import pytest
from decade_served import fields, serving
from decade_server import HELLO, OCTETS, token

from decade.messages import Access, ResourcePolicy, WhenFull
from decade.names import name_of
from decade.settings import Extension

ON = frozenset({Extension.PUBLIC, Extension.DT, Extension.EVICT_OWN})
NEAR = (ipaddress.ip_network("127.0.0.0/8"),)
FAR = (ipaddress.ip_network("192.0.2.0/24"),)


def curl(*words: str) -> str:
    """What curl writes, the header included; problems are CBOR."""
    command = ["curl", "--silent", "--show-error", "--max-time", "60", "--include", *words]
    return subprocess.run(command, capture_output=True, check=True, text=True, errors="replace").stdout


def test_curl_fetches_what_is_public_with_nothing_but_its_url() -> None:
    with serving(extensions=ON, policy=ResourcePolicy(weight=1, access=Access.PUBLIC)) as served:
        url = served.url + HELLO.path
        httpx.put(url, headers=fields(), content=OCTETS).raise_for_status()
        answer = curl(url)
        assert answer.startswith("HTTP/1.1 200")
        assert answer.endswith("\n\n" + OCTETS.decode())
        assert "cache-control: public, max-age=31536000, immutable, no-transform" in answer.lower()
        assert "repr-digest: sha-256=:f4oxzx/x/fo5lcgbskhwxfwtsx+j1ncost3sabjtkgk=:" in answer.lower()
        assert curl("--range", "6-", url).endswith("\n\nWorld!")
        assert curl("--header", f"If-None-Match: {HELLO.etag}", url).startswith("HTTP/1.1 304")
        assert curl(served.url + name_of(b"none").path).startswith("HTTP/1.1 401")


@pytest.mark.parametrize(("prefixes", "status"), [(NEAR, 200), (FAR, 401)])
def test_what_is_restricted_depends_on_the_address_of_the_socket(prefixes, status: int) -> None:
    policy = ResourcePolicy(weight=1, access=Access.PUBLIC_RESTRICTED, prefixes=prefixes)
    with serving(extensions=ON, policy=policy) as served:
        url = served.url + HELLO.path
        httpx.put(url, headers=fields(), content=OCTETS).raise_for_status()
        assert httpx.get(url).status_code == status


def test_curl_fetches_an_object_by_a_url_that_has_the_token() -> None:
    with serving(extensions=ON) as served:
        url = served.url + HELLO.path
        httpx.put(url, headers=fields(), content=OCTETS).raise_for_status()
        once = base64.urlsafe_b64encode(token(uses=1)).rstrip(b"=").decode()
        answer = curl(f"{url}?dt={once}")
        assert answer.startswith("HTTP/1.1 200")
        assert answer.endswith("\n\n" + OCTETS.decode())
        assert "referrer-policy: no-referrer" in answer.lower()
        assert "cache-control: private, no-store" in answer.lower()
        assert curl(f"{url}?dt={once}").startswith("HTTP/1.1 401")


def test_a_cache_of_three_objects_takes_any_number() -> None:
    policy = ResourcePolicy(weight=1, storage=300, when_full=WhenFull.EVICT_OWN)
    with serving(extensions=ON, policy=policy) as served, httpx.Client() as client:
        objects = [bytes([at]) * 100 for at in range(8)]
        for octets in objects:
            served.bench.now += 1
            stored = client.put(served.url + name_of(octets).path, headers=fields(), content=octets)
            assert stored.status_code == 201
        answers = [client.get(served.url + name_of(octets).path, headers=fields()) for octets in objects]
        assert [answer.status_code for answer in answers] == [410] * 5 + [200] * 3
        assert [answer.content for answer in answers[5:]] == objects[5:]

"""Where the state is that servers share: the table `store` of a server's file, and TLS to Redis."""

from __future__ import annotations

import json
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
from alto_serving import Certificates
from decade_scale import RedisProcess, Site
from decade_server import HELLO, OCTETS, bearer

from decade.errors import StoreError
from decade.scope import ALL_OPERATIONS
from decade.tokens import Claims, Everything, TokenPolicy, mint
from interop._toml import TomlError, read
from interop.decade_keys import read_signing_key
from interop.decade_scale import Shared, read_shared
from interop.decade_scale._engine import Engine

_LEAST = 's3 = "s3://films/decade"\nredis = "redis://127.0.0.1"\n'


def shared_of(folder: Path, text: str, environment: dict[str, str] | None = None) -> Shared:
    file = folder / "decade.toml"
    file.write_text(f"[store]\n{text}")
    table = read(file).table("store")
    assert table is not None
    return read_shared(table, environment or {})


def test_a_bucket_and_a_redis_are_enough(tmp_path: Path) -> None:
    assert shared_of(tmp_path, _LEAST) == Shared(bucket="s3://films/decade", redis="redis://127.0.0.1")


def test_all_can_be_said_and_secrets_are_in_the_environment(tmp_path: Path) -> None:
    more = 'endpoint = "https://s3.example"\nregion = "eu"\nprefix = "p"\nspool = "here"\nspool-octets = 5\n'
    more += "unchecked-redis = true\n"
    hidden = {"DECADE_REDIS_USER": "u", "DECADE_REDIS_PASSWORD": "hidden"}
    found = shared_of(tmp_path, _LEAST + more, hidden)
    assert found == Shared(
        bucket="s3://films/decade",
        redis="redis://127.0.0.1",
        redis_user="u",
        redis_password="hidden",
        endpoint="https://s3.example",
        region="eu",
        prefix="p",
        is_checked=False,
        spool=tmp_path / "here",
        spool_octets=5,
    )
    assert "hidden" not in repr(found)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('s3 = "s3://films"', "the key 'redis' is missing"),
        ('redis = "redis://127.0.0.1"', "the key 's3' is missing"),
        ('s3 = "https://films"\nredis = "redis://127.0.0.1"', "store.s3: s3://bucket or s3://bucket/prefix is due"),
        ('s3 = "s3://films"\nredis = "http://127.0.0.1"', "store.redis: redis://, rediss:// or unix:// is due"),
        ('s3 = "s3://films"\nredis = "redis://u:secret@h"', "a password belongs into the environment"),
        ('s3 = "s3://films"\nredis = "redis://h?password=secret"', "a password belongs into the environment"),
        (_LEAST + 'secret-access-key = "x"', "secret-access-key"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(TomlError) as found:
        shared_of(tmp_path, text)
    assert said in str(found.value)
    assert "\n" not in str(found.value)


@pytest.fixture
def tls(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A Redis that speaks TLS alone on a port: its URL, and who has signed its certificate."""
    made = Certificates(tmp_path / "tls")
    certificate, key = made.sign("redis", "/CN=redis", address="127.0.0.1")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    files = ["--tls-cert-file", str(certificate), "--tls-key-file", str(key), "--tls-ca-cert-file", str(made.authority)]
    where = ["--bind", "127.0.0.1", "--tls-port", str(port), "--tls-auth-clients", "no", "--requirepass", "secret"]
    process = RedisProcess("redis-server", *files, *where, password="secret")
    yield f"rediss://127.0.0.1:{port}", made.authority
    process.close()


def test_redis_over_tls_has_to_show_a_certificate_that_is_trusted_and_is_shown_a_password(
    tls: tuple[str, Path],
) -> None:
    url, authority = tls
    trusted = f"{url}?ssl_ca_certs={authority}"
    for asked, password, said in [
        (url, "secret", "CERTIFICATE_VERIFY_FAILED"),
        (trusted, None, "Authentication required"),
        (trusted, "wrong", "invalid"),
        (url.replace("rediss", "redis"), "secret", "redis: "),
    ]:
        engine = Engine(asked, password=password)
        with pytest.raises(StoreError, match=said):
            engine.check_durable()
        engine.close()
    engine = Engine(trusted, password="secret")
    engine.check_durable()
    engine.close()


def test_decade_serve_serves_from_a_bucket_with_several_processes(cli: Any, site: Site, tmp_path: Path) -> None:
    shared = site.shared
    file = tmp_path / "alice.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", file], check=True)
    (tmp_path / "decade.toml").write_text(
        'listen = "127.0.0.1:0"\nworkers = 2\n'
        f'[store]\ns3 = "{shared.bucket}"\nendpoint = "{shared.endpoint}"\nregion = "{shared.region}"\n'
        f'redis = "{shared.redis}"\nprefix = "{shared.prefix}"\n'
        '[accounts.alice.keys.laptop]\nfile = "alice.pem"\n'
    )
    process = cli.start("decade", "serve", "decade.toml", "--json")
    url = json.loads(cli.line(process))["url"].rstrip("/")
    wall = int(time.time())
    scope = ((Everything(), ALL_OPERATIONS),)

    def key(**policy: int) -> dict[str, str]:
        claims = Claims(
            aud=(url,), exp=wall + 60, iat=wall, cti=secrets.token_bytes(16), scope=scope, policy=TokenPolicy(**policy)
        )
        return dict(bearer(mint(claims, read_signing_key(file))))

    assert httpx.put(url + HELLO.path, content=OCTETS, headers=key(uses=1)).status_code == 201
    once = key(uses=1)
    statuses = []
    for _ in range(12):  # each on a connection of its own, at either process
        answer = httpx.get(url + HELLO.path, headers=once)
        statuses.append(answer.status_code)
        assert answer.status_code == 401 or answer.content == OCTETS
    assert statuses == [200] + [401] * 11
    assert cli.stop(process, 15) == 0


def test_decade_serve_says_in_one_line_what_is_wrong_with_redis(cli: Any, site: Site, tmp_path: Path) -> None:
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", tmp_path / "alice.pem"], check=True)
    bad = attrs.evolve(site.shared, redis="unix:///nowhere")
    (tmp_path / "decade.toml").write_text(
        f'[store]\ns3 = "{bad.bucket}"\nredis = "{bad.redis}"\nendpoint = "{bad.endpoint}"\n'
        '[accounts.alice.keys.laptop]\nfile = "alice.pem"\n'
    )
    status, _, said = cli.run("decade", "serve", "decade.toml", "--listen", "127.0.0.1:0")
    assert status == 2
    assert "redis: " in said
    assert len(said.splitlines()) == 1

"""Real caches in front of a server: nginx, Squid, Traffic Server and Varnish as reverse proxies on loopback.

Each runs from a directory of the test, listens on 127.0.0.1 only, and ends with the test. A program that is missing
fails the test: `.ci/packages` installs it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

STARTED_WITHIN = 60.0
_PATH = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"


def program(name: str) -> str:
    """The path of a program that has to be here."""
    found = shutil.which(name, path=_PATH)
    if found is None:
        raise AssertionError(f"{name} is not installed: see .ci/packages")
    return found


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def running(command: list[str], port: int, log: Path, *, cwd: Path | None = None) -> Iterator[str]:
    """A server process until the block ends; the origin that it listens at. `log` has what it printed."""
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, cwd=cwd, start_new_session=True)
    try:
        deadline = time.monotonic() + STARTED_WITHIN
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"{command[0]} does not listen: {log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def nginx_config(root: Path, servers: str) -> Path:
    """A configuration of one unprivileged worker around these `http` directives."""
    for folder in ("cache", "body", "proxy"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    user = "user root;" if os.geteuid() == 0 else ""
    path = root / "nginx.conf"
    path.write_text(
        f"""{user} worker_processes 1; daemon off; pid {root}/nginx.pid; error_log {root}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {root}/body; proxy_temp_path {root}/proxy; fastcgi_temp_path {root}/f;
  uwsgi_temp_path {root}/u; scgi_temp_path {root}/s;
{servers}
}}
"""
    )
    return path


@contextlib.contextmanager
def nginx(root: Path, servers: str, port: int) -> Iterator[str]:
    """Nginx with these `http` directives, which listen at the port."""
    root.mkdir(parents=True, exist_ok=True)
    config = nginx_config(root, servers)
    command = [program("nginx"), "-p", str(root), "-c", str(config), "-e", str(root / "error.log")]
    with running(command, port, root / "nginx.log") as origin:
        yield origin


@contextlib.contextmanager
def nginx_cache(root: Path, backend: str) -> Iterator[str]:
    """Nginx with `proxy_cache`, revalidating, as its manual has it."""
    port = free_port()
    servers = f"""
  proxy_cache_path {root}/cache keys_zone=decade:1m max_size=64m;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass {backend}; proxy_http_version 1.1; proxy_set_header Host $host;
      proxy_cache decade; proxy_cache_revalidate on; proxy_cache_methods GET HEAD;
      add_header X-Cache-Status $upstream_cache_status always;
    }}
  }}"""
    with nginx(root, servers, port) as origin:
        yield origin


@contextlib.contextmanager
def squid_cache(root: Path, backend: str) -> Iterator[str]:
    """Squid as an accelerator with a memory cache."""
    root.mkdir(parents=True, exist_ok=True)
    root.chmod(0o777)
    port = free_port()
    host, _, backend_port = backend.removeprefix("http://").partition(":")
    config = root / "squid.conf"
    config.write_text(
        f"""http_port 127.0.0.1:{port} accel no-vhost defaultsite=storage.example
cache_peer {host} parent {backend_port} 0 no-query originserver name=origin no-digest login=PASSTHRU
cache_peer_access origin allow all
http_access allow all
cache_mem 64 MB
maximum_object_size_in_memory 16 MB
cache_log {root}/cache.log
access_log none
pid_filename none
coredump_dir {root}
shutdown_lifetime 0 seconds
pinger_enable off
workers 1
visible_hostname cache.example
"""
    )
    with running([program("squid"), "-N", "-f", str(config)], port, root / "squid.out") as origin:
        yield origin


@contextlib.contextmanager
def traffic_server_cache(_: Path, backend: str) -> Iterator[str]:
    """Traffic Server as a reverse proxy with a small cache on disk."""
    with _open_to_all() as root:
        yield from _traffic_server(root, backend)


@contextlib.contextmanager
def _open_to_all() -> Iterator[Path]:
    """A directory that other users reach: some servers refuse to be root, and a test's own directory is private."""
    root = Path(tempfile.mkdtemp(prefix="decade-cache-"))
    root.chmod(0o777)
    try:
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _traffic_server(root: Path, backend: str) -> Iterator[str]:
    port = free_port()
    user = "nobody" if os.geteuid() == 0 else "#-1"
    for folder in ("etc", "run", "log", "cache", "share"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for folder in (root, *root.iterdir()):
        folder.chmod(0o777)
    shutil.copytree("/etc/trafficserver/body_factory", root / "etc" / "body_factory", dirs_exist_ok=True)
    etc = root / "etc"
    (etc / "records.config").write_text(
        f"""CONFIG proxy.config.http.server_ports STRING {port}:ip-in=127.0.0.1
CONFIG proxy.config.url_remap.remap_required INT 1
CONFIG proxy.config.reverse_proxy.enabled INT 1
CONFIG proxy.config.http.cache.http INT 1
CONFIG proxy.config.http.insert_response_via_str INT 2
CONFIG proxy.config.http.insert_age_in_response INT 1
CONFIG proxy.config.admin.user_id STRING {user}
CONFIG proxy.config.exec_thread.autoconfig INT 0
CONFIG proxy.config.exec_thread.limit INT 1
CONFIG proxy.config.cache.ram_cache.size INT 67108864
CONFIG proxy.config.log.logging_enabled INT 0
CONFIG proxy.config.bin_path STRING /usr/bin
"""
    )
    (etc / "storage.config").write_text(f"{root}/cache 64M\n")
    (etc / "remap.config").write_text(f"map / {backend}/\n")
    (etc / "ip_allow.yaml").write_text(
        "ip_allow:\n  - {apply: in, ip_addrs: 127.0.0.1, action: allow, methods: ALL}\n"
        "  - {apply: out, ip_addrs: 127.0.0.1, action: allow, methods: ALL}\n"
    )
    for name in ("plugin.config", "cache.config", "hosting.config", "parent.config", "volume.config"):
        (etc / name).write_text("")
    layout = root / "runroot.yaml"
    layout.write_text(
        "".join(
            f"{name}: {path}\n"
            for name, path in {
                "prefix": root, "exec_prefix": "/usr", "bindir": "/usr/bin", "sbindir": "/usr/sbin",
                "sysconfdir": etc, "datadir": root / "share", "includedir": "/usr/include", "libdir": "/usr/lib",
                "libexecdir": "/usr/lib/trafficserver/modules", "localstatedir": root / "run",
                "runtimedir": root / "run", "logdir": root / "log", "cachedir": root / "cache",
            }.items()
        )
    )  # fmt: skip
    command = [program("traffic_server"), f"--run-root={layout}"]
    with running(command, port, root / "traffic_server.out", cwd=root) as origin:
        yield origin


@contextlib.contextmanager
def varnish_cache(root: Path, backend: str) -> Iterator[str]:
    """Varnish with memory storage; it passes what has an Authorization header, as its built-in rules say."""
    root.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = [
        *(program("varnishd"), "-F", "-n", str(root / "work"), "-a", f"127.0.0.1:{port}"),
        *("-b", backend.removeprefix("http://"), "-s", "malloc,64m"),
    ]
    with running(command, port, root / "varnish.log") as origin:
        yield origin

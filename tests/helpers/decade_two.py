"""Two DECADE servers on loopback, and remote servers that misbehave, with certificates of an authority of the test."""

import asyncio
import contextlib
import ssl
import threading
import time
from ipaddress import ip_address, ip_network
from pathlib import Path

import uvicorn
from alto_serving import Certificates as Authority
from decade_server import KEYS
from decade_tokens import ACCOUNT, NOW

from decade.ledger import MemoryQuotas
from decade.messages import ResourcePolicy
from decade.policy import PolicyTree
from decade.server import Server
from decade.settings import Extension, Settings
from decade.store import MemoryStore
from interop._http_server import bind
from interop.decade_addresses import AddressPolicy
from interop.decade_server import DecadeApp
from interop.decade_store import open_server
from interop.decade_transfers import TransferRunner, client_tls

LOOPBACK = AddressPolicy(networks=(ip_network("127.0.0.0/8"),))


class Names:
    """A resolver that knows the names of a test; each answer of a list is given once, the last for ever."""

    def __init__(self, **names):
        self.names = {name.replace("_", "."): list(answers) for name, answers in names.items()}
        self.asked = []

    async def __call__(self, host, port):
        self.asked.append(host)
        answers = self.names.get(host, [("127.0.0.1",)])
        return [ip_address(text) for text in (answers.pop(0) if len(answers) > 1 else answers[0])]


class Site:
    """A server and its application, under uvicorn in a thread. With `certificate` it speaks TLS as sa.test."""

    def __init__(self, authority, *, certificate=None, policy=LOOPBACK, names=None, root=None, transfers=8):
        self.listener = bind("127.0.0.1", 0)
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}" if certificate is None else f"https://sa.test:{self.port}"
        start = time.monotonic() - 1
        extensions = frozenset({Extension.PULL, Extension.PUSH, Extension.JOINED})
        settings = Settings(server=self.url, extensions=extensions, transfers=transfers)
        policy_of = {(ACCOUNT,): ResourcePolicy(weight=1)}
        self.durable = None if root is None else open_server(root, settings, KEYS.get, policy_of, epoch=NOW)
        if self.durable is None:
            self.store, self.quotas = MemoryStore(), MemoryQuotas()
            tree = PolicyTree(self.quotas)
            tree.put((ACCOUNT,), policy_of[(ACCOUNT,)])
            self.server = Server(settings, KEYS.get, tree, epoch=NOW, store=self.store)
        else:
            self.server = self.durable.server
        clock = self.clock = lambda: time.monotonic() - start
        tls = client_tls(str(authority))
        self.names = names or Names()
        runner = TransferRunner(self.server.transfers, clock=clock, policy=policy, resolver=self.names, tls=tls)
        pem, key = (None, None) if certificate is None else map(str, certificate)
        self.uvicorn = uvicorn.Server(
            uvicorn.Config(
                DecadeApp(self.server, clock=clock, transfers=runner),
                ws="none",
                log_config=None,
                log_level="critical",
                timeout_graceful_shutdown=1,
                ssl_certfile=pem,
                ssl_keyfile=key,
            )
        )
        self.thread = threading.Thread(target=self.uvicorn.run, args=([self.listener],))
        self.thread.start()

    def close(self):
        self.uvicorn.should_exit = True
        self.thread.join()
        self.listener.close()
        if self.durable is not None:
            self.durable.close()


class Certificates:
    """Of an authority, for sa.test and 127.0.0.1."""

    def __init__(self, folder: Path):
        authority = Authority(folder)
        self.authority = authority.authority
        self.address = authority.sign("address", "/CN=address", address="127.0.0.1,DNS:sa.test,DNS:sc.test")

    def server_context(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*map(str, self.address))
        return context


class Liar:
    """A TLS server that answers each request with the next of its scripts: coroutines of a reader and a writer."""

    def __init__(self, certificates, *scripts):
        self.heads, self.scripts = [], list(scripts)
        self.context = certificates.server_context()
        self.listener = bind("127.0.0.1", 0)
        self.port = self.listener.getsockname()[1]
        self.url = f"https://sa.test:{self.port}"
        self.loop = asyncio.new_event_loop()
        self.ended = asyncio.Event()
        self.thread = threading.Thread(target=self.loop.run_until_complete, args=(self._run(),))
        self.thread.start()

    async def _run(self):
        server = await asyncio.start_server(self._serve, sock=self.listener, ssl=self.context)
        await self.ended.wait()
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        # Connections end in the turns of the loop that follow.
        await asyncio.sleep(0.05)

    async def _serve(self, reader, writer):
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while self.scripts:
                self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
                writer.target = self.heads[-1].split()[1]
                script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
                if await script(reader, writer) is False:
                    writer.close()
                    return
        writer.transport.abort()

    def close(self):
        self.loop.call_soon_threadsafe(self.ended.set)
        self.thread.join()
        self.loop.close()


def says(head, body=b"", *, then=None):
    """A script: these octets, and whether the connection stays."""

    async def script(reader, writer):
        lines = head if isinstance(head, str) else "\r\n".join(head)
        writer.write(f"HTTP/1.1 {lines}\r\n\r\n".encode() + body)
        await writer.drain()
        return then

    return script


def until(condition, seconds=60.0):
    """Wait for what happens in other threads."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("it did not happen")
        time.sleep(0.005)

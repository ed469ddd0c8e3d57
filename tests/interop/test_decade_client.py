"""A client of DECADE at servers on sockets: honest ones, and such that lie, stall, or never end."""

import asyncio
import io
import os
import socket
import ssl
import struct
import time
from unittest.mock import AsyncMock

import pytest
from alto_serving import Certificates
from decade_client_served import manage, said, saying, serving
from decade_server import BOB, HELLO, OCTETS

import interop.decade_client
from decade.client import FailedError
from decade.client_control import Control
from decade.data_index import Entry, Piece, split
from decade.errors import DecodeError, ErrorCode
from decade.messages import AttrPatch, ObjectInfo, ObjectList, ObjectState, ResourcePolicy, encode_message
from decade.names import NiUri, name_of
from decade.settings import Extension
from interop._decade_files import PartialFile
from interop.decade_client import PARALLEL, DecadeClient, FileSource

URI = NiUri(HELLO)
LARGE = os.urandom(300_000)
LIE = said(b"Hello world!")


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    monkeypatch.setattr("decade.client_exchange.FIRST_WAIT", 0.01)
    # The servers here answer at once, if they do: on whatever machine nothing is sent unasked meanwhile.
    monkeypatch.setattr("interop._decade_upload.EXPECT_WAIT", 20.0)


def failed(awaited):
    async def work():
        with pytest.raises(FailedError) as error:
            await awaited
        return error.value.failures

    return work()


def left_over(directory):
    return sorted(path.name for path in directory.iterdir())


@pytest.mark.parametrize("http", ["httptools", "h11"])
def test_objects_of_any_size_come_back_as_they_went(tmp_path, http):
    async def work():
        async with serving(http=http) as origin, DecadeClient() as decade:
            for octets in (b"", OCTETS, LARGE):
                name = await decade.put(octets, origin, manage(origin), expires=int(time.time()) + 60)
                assert name == name_of(octets)
                assert await decade.fetch(NiUri(name), [origin], manage(origin)) == octets
                file = tmp_path / "object"
                fetched = await decade.fetch_to(file, NiUri(name), [origin], manage(origin))
                assert (file.read_bytes(), fetched.size) == (octets, len(octets))
            assert left_over(tmp_path) == ["object"]
            assert await decade.put(tmp_path / "object", origin, manage(origin)) == name_of(LARGE)

    asyncio.run(work())


def test_progress_goes_up_to_the_size():
    seen = []

    async def work():
        async with serving() as origin, DecadeClient() as decade:
            name = await decade.put(LARGE, origin, manage(origin), on_progress=lambda *told: seen.append(told))
            assert seen[-1] == (len(LARGE), len(LARGE))
            seen.clear()
            await decade.fetch(NiUri(name), [origin], manage(origin), on_progress=lambda *told: seen.append(told))
            assert seen[-1] == (len(LARGE), len(LARGE))

    asyncio.run(work())


def test_what_a_server_refuses_is_not_sent(tmp_path):
    (tmp_path / "large").write_bytes(LARGE)
    opened = []

    class Watched(FileSource):
        def parts(self):
            opened.append(self.size)
            return super().parts()

    async def work():
        async with serving(policy=ResourcePolicy(weight=1, storage=1000)) as origin, DecadeClient() as decade:
            source = Watched.whole(tmp_path / "large")
            sent = []
            failures = await failed(
                decade.put(source, origin, manage(origin), on_progress=lambda *told: sent.append(told))
            )
            assert failures[0].code == ErrorCode.STORAGE_QUOTA
            assert sent == []

    asyncio.run(work())
    # Once to find its name.
    assert opened[0] == len(LARGE)


def test_a_server_that_knows_no_expectations_gets_the_body_after_a_while(monkeypatch):
    monkeypatch.setattr("interop._decade_upload.EXPECT_WAIT", 0.05)
    got = []

    async def answer(reader, writer):
        got.append(await reader.readexactly(len(LARGE)))
        writer.write(said(b"", "201 Created"))

    async def work():
        async with saying(answer) as origin, DecadeClient() as decade:
            await decade.put(LARGE, origin, manage(origin))
        assert got == [LARGE]

    asyncio.run(work())


async def reset(reader, writer):
    """The end of the connection without the end of its octets."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (reset, "before an answer"),
        (said(b"", "507 Full"), "507"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + said(b"", "422 Not That"), "422"),
        (b"", "before an answer"),
        (b"no HTTP\r\n\r\n", "before an answer"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", "before an answer"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "before an answer"),
        (b"HTTP/1.1 400 Bad\r\nContent-Length: 9\r\n\r\n", "without sending complete"),
    ],
)
def test_what_becomes_of_an_upload_is_told(answer, reason):
    async def work():
        async with saying(answer) as origin, DecadeClient() as decade:
            failures = await failed(decade.put(bytes(5_000_000), origin, manage(origin)))
            assert reason in str(failures[0])

    asyncio.run(work())


@pytest.mark.parametrize(
    "lie",
    [
        LIE,
        said(OCTETS, "203 Not Quite"),
        said(OCTETS, "206 Partial Content", "Content-Range: bytes 0-11/12"),
        said(b"", "204 No Content"),
        said(b"\x1f\x8b" + OCTETS, "200 OK", "Content-Encoding: gzip"),
        said(b"", "404 Not Found"),
        said(b"\xff" * 1000, "403 Forbidden", "Content-Type: application/concise-problem-details+cbor"),
        said(b"", "429 Slow", "Retry-After: 99999"),
        said(b"", "307 Away", "Location: http://192.0.2.1/"),
        said(b"", "307 Away", "Location: /again"),
        said(b"", "307 Away", "Location: https://127.0.0.1:99999999/"),
        said(OCTETS + b" And more."),
        said(b"", "200 OK", length=1 << 62),
        b"no HTTP\r\n\r\n",
        b"",
    ],
)
def test_servers_that_lie_never_leave_a_file_under_the_name(tmp_path, lie):
    async def work():
        async with saying(lie) as liar, saying(said(OCTETS)) as honest, DecadeClient() as decade:
            await failed(decade.fetch_to(tmp_path / "hello", URI, [liar]))
            assert left_over(tmp_path) == []
            decade.blamed.clear()  # who is blamed would be asked last
            await decade.fetch_to(tmp_path / "hello", URI, [liar, honest])
            assert (tmp_path / "hello").read_bytes() == OCTETS

    asyncio.run(work())


def test_a_liar_is_blamed_and_asked_last(tmp_path):
    heads = []

    async def work():
        async with saying(LIE, heads=heads) as liar, saying(said(OCTETS)) as honest, DecadeClient() as decade:
            octets = await decade.fetch(URI, [liar, honest])
            assert decade.blamed == {liar: 1}
            again = await decade.fetch(URI, [liar, honest])
            assert (octets, again) == (OCTETS, OCTETS)
            assert len(heads) == 1
            await failed(decade.fetch_part(URI, [liar], 0, 3))
            assert decade.blamed == {liar: 2}

    asyncio.run(work())


def test_a_body_without_end_is_read_up_to_what_is_accepted():
    sent = 0

    async def endless(reader, writer):
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        while True:
            writer.write(bytes(65536))
            sent += 65536
            await writer.drain()

    async def work():
        async with saying(endless) as origin, DecadeClient() as decade:
            failures = await failed(decade.fetch(URI, [origin], max_size=1_000_000))
            assert failures[0].code == ErrorCode.TOO_LARGE
            assert sent < 20_000_000

    asyncio.run(work())


def test_a_body_that_breaks_off_is_asked_for_again():
    async def work():
        async with saying(said(b"Hello", length=12), said(OCTETS)) as origin, DecadeClient() as decade:
            assert await decade.fetch(URI, [origin]) == OCTETS

    asyncio.run(work())


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: "])
def test_what_comes_drop_by_drop_ends(monkeypatch, head):
    monkeypatch.setattr(interop.decade_client, "GRACE", 0.2)

    async def drops(reader, writer):
        writer.write(head)
        while True:
            writer.write(b"H")
            await writer.drain()
            await asyncio.sleep(0.05)

    async def work():
        async with saying(drops) as origin, saying(said(OCTETS)) as other, DecadeClient(timeout=2) as decade:
            assert await asyncio.wait_for(decade.fetch(URI, [origin, other]), 60) == OCTETS

    asyncio.run(work())


def test_who_does_not_answer_at_all_is_left_after_the_timeout(monkeypatch):
    monkeypatch.setattr("interop._decade_upload.EXPECT_WAIT", 0.05)

    async def silent(reader, writer):
        await reader.read()

    async def work():
        async with saying(silent) as origin, DecadeClient(timeout=0.1) as decade:
            failures = await failed(
                decade.fetch(
                    URI, [origin, "http://127.0.0.1:1", "http://xn--a/", "https://[", "http://127.0.0.1:65536"]
                )
            )
            assert [failure.status for failure in failures] == [0] * 5
            failures = await failed(decade.put(LARGE, origin, manage(origin)))
            assert failures[0].status == 0

    asyncio.run(work())


def test_a_token_goes_to_its_audience_alone():
    heads, elsewhere = [], []

    async def work():
        async with saying(said(OCTETS), heads=elsewhere) as other:
            redirect = said(b"", "307 Away", f"Location: {other}{HELLO.path}", "Set-Cookie: a=b; Path=/")
            async with saying(redirect, heads=heads) as origin, DecadeClient() as decade:
                octets = await decade.fetch(URI, [origin], manage(origin))
                await decade.fetch(URI, [origin], manage(origin))
        assert octets == OCTETS
        assert b"authorization: bearer" in heads[0].lower()
        assert b"cookie" not in heads[1].lower()
        assert b"authorization" not in elsewhere[0].lower()
        assert b"cookie" not in elsewhere[0].lower()

    asyncio.run(work())


def cut_up(octets, size):
    parts = list(split(io.BytesIO(octets).read, size))
    return Entry(label="large", pieces=tuple(piece for piece, _ in parts)), [part for _, part in parts]


def test_a_file_in_many_objects_is_put_together(tmp_path):
    entry, parts = cut_up(LARGE, 10_000)
    seen = []

    async def work():
        async with serving() as origin, DecadeClient() as decade:
            for part in parts:
                await decade.put(part, origin, manage(origin))
            await decade.fetch_entry(
                tmp_path / "large", entry, [origin], manage(origin), on_progress=lambda *told: seen.append(told)
            )
            middle = Entry(label="middle", pieces=tuple(entry.locate(12_345, 100_000)))
            await decade.fetch_entry(tmp_path / "middle", middle, [origin], manage(origin))
            short = Entry(label="short", pieces=(Piece(name=name_of(parts[0]), length=1, offset=10_000),))
            with pytest.raises(DecodeError):
                await decade.fetch_entry(tmp_path / "short", short, [origin], manage(origin))
            gone = Entry(label="gone", pieces=(*entry.pieces, Piece(name=HELLO, length=1)))
            await failed(decade.fetch_entry(tmp_path / "gone", gone, [origin], manage(origin)))

    asyncio.run(work())
    assert (tmp_path / "large").read_bytes() == LARGE
    assert (tmp_path / "middle").read_bytes() == LARGE[12_345:112_345]
    assert seen[-1] == (len(LARGE), len(LARGE))
    assert left_over(tmp_path) == ["large", "middle"]


@pytest.mark.parametrize(
    "pieces",
    [
        [Piece(name=HELLO, length=1 << 63), Piece(name=HELLO, length=1)],
        [Piece(name=HELLO, length=1, offset=(1 << 64) - 1)],
        [Piece(name=HELLO, length=1, offset=100)],
    ],
)
def test_an_index_that_lies_about_sizes_is_refused_before_anybody_is_asked(tmp_path, pieces):
    heads = []

    async def work():
        async with saying(said(OCTETS), heads=heads) as origin, DecadeClient() as decade:
            entry = Entry(label="film", pieces=tuple(pieces))
            with pytest.raises(DecodeError, match="of more than the 100 octets"):
                await decade.fetch_entry(tmp_path / "film", entry, [origin], max_size=100)

    asyncio.run(work())
    assert (heads, left_over(tmp_path)) == ([], [])


def test_few_pieces_are_on_their_way_at_a_time(tmp_path):
    entry, heads = Entry(label="zeros", pieces=(Piece(name=HELLO, length=2, offset=3),) * 5000), []
    tasks = []

    async def first(reader, writer):
        tasks.append(len(asyncio.all_tasks()))
        writer.write(said(LIE))

    async def work():
        async with saying(first, heads=heads) as origin, DecadeClient() as decade:
            await failed(decade.fetch_entry(tmp_path / "zeros", entry, [origin]))

    asyncio.run(work())
    assert len(heads) <= PARALLEL
    assert max(tasks) < 30


def test_a_thread_that_writes_on_does_not_write_to_another_file(tmp_path):
    with PartialFile(tmp_path / "first") as first:
        sink = first.sink()
    with PartialFile(tmp_path / "second") as second:
        second.sink().write(b"Hello World!")
        with pytest.raises(OSError, match="nobody wants this file"):
            sink.write(b"JELLO")
        with pytest.raises(OSError, match="nobody wants this file"):
            first.finish(5)
        second.finish(12)
    assert (tmp_path / "second").read_bytes() == b"Hello World!"
    assert left_over(tmp_path) == ["second"]


def test_what_the_resource_protocol_has():
    async def work():
        async with serving() as origin, DecadeClient() as decade:
            await decade.put(OCTETS, origin, manage(origin))
            control = await decade.control(origin, manage(origin))
            assert (await decade.run(control.status())).usage.stored == 12
            await decade.run(control.patch_object(HELLO, AttrPatch(media_type="text/plain")))
            assert [info.media_type async for info in decade.objects(origin, manage(origin))] == ["text/plain"]
            part = await decade.fetch_part(URI, [origin], 6, 5, manage(origin))
            assert (part.octets, part.is_verified) == (b"World", False)
            await decade.delete(HELLO, origin, manage(origin))
            assert [info async for info in decade.objects(origin, manage(origin))] == []

    asyncio.run(work())


def test_a_list_that_begins_again_ends():
    info = ObjectInfo(name=HELLO, size=12, created=1, expires=None, state=ObjectState.STORED)
    page = said(encode_message(ObjectList(objects=(info,), cursor=b"again")))

    async def work():
        async with saying(page) as origin, DecadeClient() as decade:
            control = Control(f"{origin}/", ())
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(decade, "control", AsyncMock(return_value=control))
                assert len([found async for found in decade.objects(origin, ())]) == 2

    asyncio.run(work())


def test_what_a_server_has_need_not_be_sent(tmp_path):
    (tmp_path / "large").write_bytes(LARGE)
    source, name = FileSource.whole(tmp_path / "large"), name_of(LARGE)

    async def work():
        async with serving(extensions=frozenset({Extension.CHALLENGE})) as origin, DecadeClient() as decade:
            assert await decade.claim(source, origin, manage(origin)) is None
            await decade.put(source, origin, manage(origin, key=BOB))
            assert await decade.claim(source, origin, manage(origin), media_type="x/y") == name
            control = await decade.control(origin, manage(origin))
            info = await decade.run(control.object_info(name))
            assert (info.size, info.media_type) == (len(LARGE), "x/y")
            received = (await decade.run(control.status())).usage.received
            assert received < len(LARGE)
        async with serving() as origin, DecadeClient() as decade:
            assert await decade.claim(source, origin, manage(origin)) is None

    asyncio.run(work())


def test_servers_are_who_their_certificates_say(tmp_path):
    authority = Certificates(tmp_path / "ca")
    files = tuple(map(str, authority.sign("server", "/CN=server", address="127.0.0.1")))

    async def work():
        async with serving(tls=files) as origin:
            assert origin.startswith("https://")
            context = ssl.create_default_context(cafile=authority.authority)
            async with DecadeClient(verify=context) as decade:
                for octets in (OCTETS, LARGE):
                    name = await decade.put(octets, origin, manage(origin))
                    assert await decade.fetch(NiUri(name), [origin], manage(origin)) == octets
            async with DecadeClient() as decade:
                for octets in (OCTETS, LARGE):
                    failures = await failed(decade.put(octets, origin, manage(origin)))
                    assert "CERTIFICATE_VERIFY_FAILED" in str(failures[0])

    asyncio.run(work())


def test_a_disk_that_is_full_leaves_no_file(tmp_path, monkeypatch):
    def full(fd, octets, place):
        raise OSError(28, "No space left on device")

    async def work():
        monkeypatch.setattr(os, "pwrite", full)
        async with saying(said(OCTETS)) as origin, DecadeClient() as decade:
            with pytest.raises(OSError, match="No space"):
                await decade.fetch_to(tmp_path / "hello", URI, [origin])
        assert left_over(tmp_path) == []

    asyncio.run(work())

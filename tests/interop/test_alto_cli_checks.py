"""`ietf-p2p alto watch|diff|discover|validate`, and --lenient against a foreign server's recorded answers."""

import json
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.rrset
import pytest
from alto_everything import application, cost_map, network_map
from alto_replay import replaying
from alto_serving import Certificates, running, wait_until

from alto._json import loads
from alto.patch import json_patch, merge_patch
from interop.__main__ import main
from interop.alto_server import AltoApp
from interop.cli.alto._changes import changes

EXAMPLES = Path(__file__).parents[1] / "data" / "alto_examples"
CHANGED = {"PID1": {"ipv4": ["192.0.2.0/29"]}, "PID2": {"ipv4": ["192.0.2.16/28", "192.0.2.8/29"]}}


@pytest.fixture
def served() -> Iterator[tuple[AltoApp, str]]:
    app = application()
    with running(app) as found:
        yield app, f"{found}/"


def events(cli: Any, process: Any, count: int) -> list[dict[str, Any]]:
    return [json.loads(cli.line(process)) for _ in range(count)]


@pytest.mark.parametrize("way", ["--sse", "--tips"])
def test_what_changes_is_told_until_interrupted(served: tuple[AltoApp, str], cli: Any, way: str) -> None:
    app, url = served
    process = cli.start("alto", "watch", url, "network-map", "costs", way, "--json")
    first = {event["resource"]: event for event in events(cli, process, 2)}
    assert set(first) == {"network-map", "costs"}
    app.submit(network_map(**CHANGED), cost_map(5.0)).result()
    documents = {name: event["document"] for name, event in first.items()}
    while documents["costs"]["cost-map"]["PID1"]["PID1"] != 5:
        event = json.loads(cli.line(process))
        if event["event"] == "update":
            documents[event["resource"]] = json_patch(documents[event["resource"]], event["patch"])
    assert documents["network-map"]["network-map"]["PID1"] == {"ipv4": ["192.0.2.0/29"]}
    assert cli.stop(process, signal.SIGINT) == 130
    assert cli.stderr_of(process).strip() == ""


def test_a_person_reads_what_is_different(served: tuple[AltoApp, str], cli: Any) -> None:
    app, url = served
    process = cli.start("alto", "watch", url, "network-map", "costs", "--count", "4", "--lines", "2")
    shown = [cli.line(process), cli.line(process)]
    app.submit(network_map(**CHANGED), cost_map(5.0)).result()
    status, out, err = cli.finish(process)
    assert (status, err) == (0, "")
    assert re.search(r"network-map: 5 PIDs, 8 prefixes \(version [0-9a-f]{12}\)", "".join(shown))
    lines = out.splitlines()
    changed = next(place for place, line in enumerate(lines) if "network-map: 3 changes" in line)
    assert lines[changed + 1 : changed + 4] == [
        "  - network-map/PID1: 192.0.2.0/28",
        "  + network-map/PID1: 192.0.2.0/29",
        "  … and 1 more",
    ]
    assert any("costs: 25 changes" in line for line in lines)
    assert "  ~ cost-map/PID1/PID1: 1 → 5 (+4)" in lines


def test_all_that_a_server_updates_is_watched_where_nothing_is_named(served: tuple[AltoApp, str], cli: Any) -> None:
    status, out, _ = cli.run("alto", "watch", served[1], "--count", "3")
    assert status == 0
    assert {line.split()[1].rstrip(":") for line in out.splitlines()} == {"network-map", "costs", "properties"}


def test_a_resource_that_takes_input_is_watched_with_it(served: tuple[AltoApp, str], cli: Any) -> None:
    body = {"cost-type": {"cost-mode": "numerical", "cost-metric": "hopcount"}, "pids": {"srcs": ["PID1"], "dsts": []}}
    words = ["network-map", "some-costs", "--input", f"some-costs={json.dumps(body)}", "--count", "2", "--json"]
    status, out, _ = cli.run("alto", "watch", served[1], *words)
    assert status == 0
    found = {event["resource"]: event["document"] for event in map(json.loads, out.splitlines())}
    assert set(found["some-costs"]["cost-map"]) == {"PID1"}


@pytest.mark.parametrize(
    "words",
    [
        ["nothing"],
        ["properties", "--tips"],
        ["endpoint-properties", "--sse"],
        ["network-map", "--input", "costs"],
        ["network-map", "--input", "nothing={}"],
        ["some-costs"],
    ],
)
def test_what_cannot_be_watched_is_a_mistake(
    served: tuple[AltoApp, str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["alto", "watch", served[1], *words]) == 2
    assert re.fullmatch(r"ietf-p2p: [^\n]+\n", capsys.readouterr().err)


def test_changes_of_a_network_map_are_those_of_its_prefixes() -> None:
    old = {"network-map": {"a": {"ipv4": ["10.0.0.0/8", "11.0.0.0/8"]}, "b": {"ipv4": ["0.0.0.0/0"]}}}
    new = {"network-map": {"c": {"ipv4": ["11.0.0.0/8", "12.0.0.0/8"]}, "b": {"ipv4": ["0.0.0.0/0"]}}, "x": [1]}
    assert [str(change) for change in changes(old, new)] == [
        "+ x: [1]",
        "- network-map/a",
        "+ network-map/c",
        "- network-map/a: 10.0.0.0/8",
        "~ network-map/c: 11.0.0.0/8, before in a",
        "+ network-map/c: 12.0.0.0/8",
    ]


@pytest.mark.parametrize(
    "broken", [{"network-map": []}, {"network-map": {"a": 1}}, {"network-map": {"a": {"b": [1]}}}, []]
)
def test_changes_of_what_is_no_map_are_told_too(broken: Any) -> None:
    good = {"network-map": {"a": {"ipv4": ["10.0.0.0/8"]}}}
    assert list(changes(broken, good))
    assert list(changes(good, broken))
    assert not list(changes(broken, broken))


def test_a_difference_for_people_and_as_patches(
    served: tuple[AltoApp, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app, url = served
    assert main(["alto", "map", url, "--json"]) == 0
    saved = tmp_path / "before.json"
    saved.write_text(capsys.readouterr().out)
    now = f"{url}network-map"
    assert main(["alto", "diff", str(saved), now]) == 0
    assert capsys.readouterr().out == ""
    app.submit(network_map(**CHANGED), cost_map()).result()
    assert main(["alto", "diff", str(saved), now]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("~ meta/vtag/tag: ")
    assert lines[1:] == [
        "- network-map/PID1: 192.0.2.0/28",
        "+ network-map/PID1: 192.0.2.0/29",
        "+ network-map/PID2: 192.0.2.8/29",
    ]
    assert main(["alto", "diff", str(saved), now, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    before = loads(saved.read_bytes())
    assert json_patch(before, found["json-patch"]) == merge_patch(before, found["merge-patch"])


def test_a_change_that_no_merge_patch_can_say(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_text('{"a": 1}')
    new.write_text('{"a": null}')
    assert main(["alto", "diff", str(old), str(new), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["merge-patch"] is None


def test_another_order_of_prefixes_is_a_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, prefixes in [("old", ["1.0.0.0/8", "2.0.0.0/8"]), ("new", ["2.0.0.0/8", "1.0.0.0/8"])]:
        (tmp_path / name).write_text(json.dumps({"network-map": {"a": {"ipv4": prefixes}}}))
    assert main(["alto", "diff", str(tmp_path / "old"), str(tmp_path / "new")]) == 1
    assert capsys.readouterr().out == "~ prefixes are in another order\n"


def test_trouble_with_a_difference_is_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = tmp_path / "good"
    good.write_text("{}")
    (tmp_path / "bad").write_text("{")
    for other in ("no such file", str(tmp_path / "bad"), "http://127.0.0.1:1/"):
        assert main(["alto", "diff", str(good), other]) == 2
        assert re.fullmatch(r"ietf-p2p: [^\n]+\n", capsys.readouterr().err)


def test_a_server_of_ours_passes(served: tuple[AltoApp, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["alto", "validate", served[1]]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert any(re.fullmatch(r"12 resources asked \d+ questions", line) for line in shown)
    assert shown[-1].startswith("0 broken MUSTs")


def test_a_foreign_server_is_told_what_it_does_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    with replaying() as url:
        assert main(["alto", "validate", url, "--json"]) == 1
        found = json.loads(capsys.readouterr().out)
        assert main(["alto", "validate", url, "--document", "--json"]) == 1
        alone = json.loads(capsys.readouterr().out)
    assert found["must"] > alone["must"] == 3
    assert {
        "where": "directory",
        "level": "must",
        "path": "resources/geoip-misconfig/capabilities/mappings",
        "text": "missing",
        "rfc": 9240,
        "section": "7.4",
    } in found["documents"][0]["findings"]
    assert any("geoip-misconfig" in reason for reason in found["documents"][0]["unchecked"])


def test_files_are_checked_by_shape_or_by_the_type_that_is_given(capsys: pytest.CaptureFixture[str]) -> None:
    # RFC 7285 section 11.3.1.7 has a prefix with host bits.
    bad = EXAMPLES / "rfc7285" / "rfc7285-s11.3.1.7-02.json"
    good = EXAMPLES / "rfc7285" / "rfc7285-s11.2.3.7-01.json"
    assert main(["alto", "validate", str(good)]) == 0
    assert main(["alto", "validate", str(bad), str(good)]) == 1
    shown = capsys.readouterr().out
    assert "RFC 7285 10.4.4.1" in shown
    assert f"{good}: good" in shown
    assert main(["alto", "validate", str(good), "--media-type", "application/alto-networkmap+json"]) == 1
    assert "network-map" in capsys.readouterr().out


def test_a_broken_should_counts_where_it_is_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = {"meta": {}, "property-map": {"ipv4:192.0.2.1": {"isp": ["x"]}}}
    (tmp_path / "file").write_text(json.dumps(document))
    assert main(["alto", "validate", str(tmp_path / "file")]) == 0
    assert "0 broken MUSTs, 1 broken SHOULD, " in capsys.readouterr().out
    assert main(["alto", "validate", str(tmp_path / "file"), "--strict"]) == 1


def test_the_type_of_a_response_is_checked(capsys: pytest.CaptureFixture[str]) -> None:
    body = (EXAMPLES / "rfc7285" / "rfc7285-s11.2.3.7-01.json").read_bytes()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    class Nothing:
        def close(self) -> None:
            pass

    with running(app, closing=Nothing()) as url:
        assert main(["alto", "validate", url]) == 1
    assert "RFC 7285 8.3.3" in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"", b"\xff", b"[" * 100_000, b'{"a": 1, "a": 2}', b"NaN", b"--x\r\n", b"event: "])
def test_any_octets_get_a_verdict(content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_bytes(content)
    assert main(["alto", "validate", str(tmp_path / "file")]) == 1
    shown = capsys.readouterr()
    assert "MUST" in shown.out
    assert shown.err == ""


def test_standard_input_is_checked(cli: Any) -> None:
    assert cli.run("alto", "validate", "-")[0] == 1  # which is empty here
    status, _, err = cli.run("alto", "validate", "no such file")
    assert (status, err) == (2, "ietf-p2p: cannot read no such file: No such file or directory\n")


@pytest.mark.parametrize(
    ("words", "shown", "deviation"),
    [
        (["ird"], "dynamic-networkmap", "meta/default-alto-network-map: missing in a Root IRD"),
        (["map"], "10.0.0.250/32", "meta/vtag/resource-id: the version of 'my-default-network-map'"),
        (["pid", "10.0.0.251"], "XRD1", "RFC 9569 section 5.3"),
        (["cost", "RUCIO", "XRD3"], "0.2", "meta/dependent-vtags: 'my-default-network-map' is not in the uses"),
        (["pv", "192.0.2.1", "192.0.2.2"], "autolink_1 → autolink_2", "is not <PART@DOMAIN> (RFC 9275 section 6.6)"),
    ],
)
def test_a_foreign_server_is_refused_or_read_with_a_list_of_what_was_forgiven(
    words: list[str], shown: str, deviation: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with replaying() as url:
        command = ["alto", words[0], url, *words[1:]]
        assert main(command) == 1
        refused = capsys.readouterr()
        assert main([*command, "--lenient"]) == 0
        forgiven = capsys.readouterr()
    assert refused.out == ""
    assert re.fullmatch(r"ietf-p2p: .* \(RFC 7285 section 9\.2\.2\) \(--lenient makes the best of it\)\n", refused.err)
    assert shown in forgiven.out
    assert deviation in forgiven.err
    assert all(re.match(r"(must|should|note): ", line) for line in forgiven.err.splitlines())


@contextmanager
def name_server(records: dict[str, str]) -> Iterator[str]:
    """A DNS server with a NAPTR record for each name; yields HOST:PORT."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))

        def run() -> None:
            while True:
                data, peer = sock.recvfrom(4096)
                if data == b"end":
                    return
                question = dns.message.from_wire(data)
                reply = dns.message.make_response(question)
                name = question.question[0].name.to_text().lower()
                if name in records:
                    reply.answer.append(dns.rrset.from_text(name, 60, "IN", "NAPTR", *records[name].split("\n")))
                sock.sendto(reply.to_wire(), peer)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield f"127.0.0.1:{sock.getsockname()[1]}"
        finally:
            sock.sendto(b"end", sock.getsockname())
            thread.join()


def naptr(uri: str, preference: int = 10) -> str:
    return f'100 {preference} "u" "ALTO:https" "!.*!{uri}!" .'


def test_servers_are_discovered(capsys: pytest.CaptureFixture[str]) -> None:
    two = f"{naptr('https://b.example/', 20)}\n{naptr('https://a.example/')}"
    with name_server({"example.net.": two, "2.0.192.in-addr.arpa.": naptr("https://net.example/")}) as resolver:
        assert main(["alto", "discover", "example.net", "--resolver", resolver]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[:4] for line in lines[1:]] == [
            ["https://a.example/", "100", "10", "example.net."],
            ["https://b.example/", "100", "20", "example.net."],
        ]
        assert main(["alto", "discover", "192.0.2.7", "--resolver", resolver, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["uris"][0]["uri"] == "https://net.example/"
        assert main(["alto", "discover", "other.example", "--resolver", resolver]) == 1
        assert "no ALTO server is found for other.example (other.example. answered)" in capsys.readouterr().err
        for words in (["192.0.2.0/7"], ["a..b"], ["x", "--service", "!"]):
            assert main(["alto", "discover", *words, "--resolver", resolver]) == 2
            assert re.fullmatch(r"ietf-p2p: [^\n]+\n", capsys.readouterr().err)


def test_without_a_subject_the_domains_of_this_host_are_looked_up(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("interop.alto_discovery.search_domains", lambda: ("lan.example", "example.net"))
    with name_server({"example.net.": naptr("https://a.example/")}) as resolver:
        assert main(["alto", "discover", "--resolver", resolver]) == 0
        assert "https://a.example/" in capsys.readouterr().out
        monkeypatch.setattr("interop.alto_discovery.search_domains", lambda: ())
        assert main(["alto", "discover", "--resolver", resolver]) == 2
        assert "names no domain to look in" in capsys.readouterr().err


def test_a_domain_stands_for_the_first_of_its_servers_that_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = Certificates(tmp_path)
    certificate, key = made.sign("server", "/CN=server", address="127.0.0.1")
    with running(application(), certificate=certificate, key=key) as url:
        records = f"{naptr('https://127.0.0.1:1/')}\n{naptr(f'{url}/', 20)}"
        with name_server({"example.net.": records}) as resolver:
            words = ["--resolver", resolver, "--cacert", str(made.authority)]
            assert main(["alto", "pid", "example.net", "192.0.2.1", *words]) == 0
            shown = capsys.readouterr()
            assert "PID1" in shown.out
            assert "trying the next server" in shown.err
            assert main(["alto", "pid", "other.example", "192.0.2.1", *words]) == 1


def test_a_server_that_is_silent_is_given_up(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        where = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        started = time.monotonic()
        assert main(["alto", "ird", where, "--timeout", "0.2"]) == 1
        assert time.monotonic() - started < 15
    assert re.fullmatch(r"ietf-p2p: [^\n]+\n", capsys.readouterr().err)


def test_ctrl_c_ends_a_question_without_a_word(cli: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = cli.start("alto", "ird", f"http://127.0.0.1:{listener.getsockname()[1]}/")
        listener.settimeout(30)
        connection, _ = listener.accept()
        with connection:
            wait_until(lambda: connection.recv(100))
            assert cli.stop(process, signal.SIGINT) == 130
    assert cli.stderr_of(process).strip() == ""

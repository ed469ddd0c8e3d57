"""Vector files: load, validation and lint (interop.conformance._files)."""

import copy
import json
from pathlib import Path

import pytest

from interop.conformance import ConformanceError, load, select
from interop.conformance._files import _main, faults

SAMPLE = Path(__file__).with_name("data") / "sample.json"


@pytest.fixture
def document():
    return json.loads(SAMPLE.read_text())


def only_fault(document):
    (fault,) = faults(document)
    return fault


def test_a_file_gives_its_cases_with_what_their_groups_share():
    file = load(SAMPLE)
    assert (file.protocol, file.topic, len(file.cases)) == ("ppsp", "sample", 5)
    case = file.cases[0]
    assert case.address == "ppsp/sample/sample-ack-have"
    assert case.params["chunk_addressing"] == 2
    assert [(spec.document, spec.section, spec.quote) for spec in case.spec] == [
        ("rfc7574", "8.16", None),
        ("rfc7574", "8.7", "64-bit integer"),
    ]
    assert [case.level for case in file.cases] == ["must", "must", "must", "may", "must"]


def test_the_sample_has_no_fault(document):
    assert list(faults(document)) == []


def test_an_id_is_used_once(document):
    document["groups"][1]["cases"][0]["id"] = "sample-data"
    assert only_fault(document) == "id sample-data is used twice"


def test_every_flag_used_is_declared(document):
    document["groups"][0]["cases"][1]["flags"] = ["Stray"]
    assert only_fault(document) == "flag Stray is used but not declared"


def test_every_flag_declared_is_used(document):
    document["groups"][0]["cases"][0]["flags"] = []
    assert only_fault(document) == "flag Erratum100ms is declared but not used"


@pytest.mark.parametrize("wire", ["0A", "0", "zz", "0x00"])
def test_a_wire_is_hex_in_lower_case_and_whole_octets(document, wire):
    document["groups"][0]["cases"][0]["wire"] = wire
    assert "does not match" in only_fault(document)


def test_hex_inside_a_value_is_lower_case(document):
    document["groups"][0]["cases"][1]["value"]["messages"][0]["payload"] = "DEADBEEF"
    assert "upper case" in only_fault(document)


@pytest.mark.parametrize("number", [2**53 + 1, -(2**53) - 1])
def test_an_integer_beyond_two_to_the_53_is_refused(document, number):
    document["groups"][0]["cases"][0]["value"]["messages"][0]["delay_us"] = number
    assert "beyond 2^53" in only_fault(document)


def test_two_to_the_53_is_allowed(document):
    document["groups"][0]["cases"][0]["value"]["messages"][0]["delay_us"] = 2**53
    assert list(faults(document)) == []


def trace(*times):
    return {
        "op": "trace",
        "params": {"machine": "x"},
        "cases": [
            {
                "id": "steps",
                "about": "Steps.",
                "spec": [{"rfc6817": "2.4.2"}],
                "flags": [],
                "result": "valid",
                "steps": [{"at": at, "do": {"wait": {}}} for at in times],
            }
        ],
    }


def test_time_does_not_run_backwards(document):
    document["groups"].append(trace(0, 5, 5))
    assert list(faults(document)) == []
    document["groups"][-1] = trace(0, 5, 4)
    assert only_fault(document) == "steps: a step is earlier than the step before it"


@pytest.mark.parametrize("at", [0.5, -1, "1"], ids=["a fraction of a microsecond", "before the start", "not a number"])
def test_times_are_whole_microseconds_from_zero(document, at):
    document["groups"].append(trace(at))
    assert "$.groups[2].cases[0].steps[0].at" in only_fault(document)


def test_a_step_does_one_thing(document):
    group = trace(0)
    group["cases"][0]["steps"][0]["do"] = {"wait": {}, "sent": {}}
    document["groups"].append(group)
    assert "do" in only_fault(document)


@pytest.mark.parametrize(
    ("group", "member"), [(0, "wire"), (0, "value"), (1, "args"), (1, "value"), (0, "flags"), (0, "spec"), (0, "about")]
)
def test_a_case_has_what_its_operation_needs(document, group, member):
    del document["groups"][group]["cases"][0][member]
    assert any("required property" in fault for fault in faults(document))


@pytest.mark.parametrize(
    ("group", "member", "value"), [(0, "args", {}), (1, "wire", "00"), (1, "canonical", False), (0, "steps", [])]
)
def test_a_case_has_nothing_of_other_operations(document, group, member, value):
    document["groups"][group]["cases"][0][member] = value
    assert list(faults(document))


@pytest.mark.parametrize(
    "spec", [{}, {"quote": "x"}, {"section": "8"}, {"rfc7574": 8}, {"rfc7574": "8", "rfc7846": "2", "quote": "x"}]
)
def test_a_spec_names_one_section_of_one_document(document, spec):
    document["groups"][0]["cases"][0]["spec"] = [spec]
    assert list(faults(document))


def test_a_group_names_what_it_is_about(document):
    broken = copy.deepcopy(document)
    del broken["groups"][0]["params"]["of"]
    assert "'of' is a required property" in only_fault(broken)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "not JSON"),
        ('{"a": 1, "a": 2}', "given twice"),
        ('{"format": NaN}', "NaN is not JSON"),
        ("[]", "is not of type 'object'"),
    ],
)
def test_a_file_that_is_no_vector_file_is_refused_with_its_name(tmp_path, text, why):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(ConformanceError, match=why) as caught:
        load(path)
    assert str(path) in str(caught.value)


def test_a_file_is_named_after_its_topic(tmp_path):
    path = tmp_path / "other.json"
    path.write_text(SAMPLE.read_text())
    with pytest.raises(ConformanceError, match="is not the file's name"):
        load(path)


def test_a_missing_file_and_octets_that_are_no_text_are_mistakes(tmp_path):
    with pytest.raises(ConformanceError, match="No such file"):
        load(tmp_path / "x.json")
    (tmp_path / "y.json").write_bytes(b"\xff\xfe")
    with pytest.raises(ConformanceError, match="utf-8"):
        load(tmp_path / "y.json")


@pytest.mark.parametrize("pattern", ["gnutella", "ppsp/none", "ppsp/none/x", "ppsp//x", "../ppsp"])
def test_a_selection_that_names_nothing_says_what_there_is(pattern):
    with pytest.raises(ConformanceError, match="there are"):
        select(pattern)


def test_a_selection_narrows_from_everything_to_one_case():
    everything = select()
    assert {file.protocol for file in everything} == {"alto", "decade", "ledbat", "ppsp", "reload"}
    topic = select("ppsp")[0].topic
    (file,) = select(f"ppsp/{topic}")
    (one,) = select(f"ppsp/{topic}/{file.cases[-1].id}")
    assert one.cases == (file.cases[-1],)


def test_the_module_prints_the_faults_of_files(tmp_path, capsys, document):
    assert _main([str(SAMPLE)]) == 0
    assert "5 cases" in capsys.readouterr().out
    document["flags"]["Unused"] = {"kind": "attack", "about": "Nobody uses it."}
    path = tmp_path / "sample.json"
    path.write_text(json.dumps(document))
    assert _main([str(path), str(SAMPLE)]) == 1
    assert "flag Unused is declared but not used" in capsys.readouterr().err

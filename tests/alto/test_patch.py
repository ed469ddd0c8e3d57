"""alto/patch.py: merge patch and JSON patch, applied and made."""

import copy
import json
from pathlib import Path
from typing import Any

import json_merge_patch
import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alto import patch
from alto._json import MAX_DEPTH
from alto.errors import DecodeError
from alto.patch import InexpressibleError, json_diff, json_equal, json_patch, merge_diff, merge_patch

EXAMPLES = Path(__file__).parents[1] / "data" / "alto_examples"
MERGE_CASES = json.loads((EXAMPLES / "rfc7396-appendixA.json").read_text())
PATCH_CASES = json.loads((EXAMPLES / "rfc6902-appendixA.json").read_text())

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-2, 2)
    | st.sampled_from([0.0, 1.0, 0.5, -2.0])
    | st.text("ab/~", max_size=2)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text("abc/~", max_size=2), inner, max_size=5),
    max_leaves=25,
)
names = st.lists(st.sampled_from("abcdefghij"), max_size=9)


def same(one: Any, other: Any) -> bool:
    """JSON equality by another way than the code's: a text in which numbers have one form and true is no number."""

    def text(value: Any) -> str:
        if isinstance(value, dict):
            return "{" + ",".join(f"{json.dumps(name)}:{text(inner)}" for name, inner in sorted(value.items())) + "}"
        if isinstance(value, list):
            return "[" + ",".join(map(text, value)) + "]"
        if isinstance(value, int | float) and not isinstance(value, bool):
            return repr(float(value) + 0.0)
        return json.dumps(value)

    return text(one) == text(other)


def needs_null(old: Any, new: Any) -> bool:
    """Whether `new` has a null member that was not there before: what a merge patch cannot say."""
    if not isinstance(new, dict):
        return False
    before = old if isinstance(old, dict) else {}
    return any(
        (value is None and not (name in before and before[name] is None)) or needs_null(before.get(name), value)
        for name, value in new.items()
    )


@pytest.mark.parametrize("case", MERGE_CASES)
def test_appendix_a_of_rfc_7396(case: dict[str, Any]) -> None:
    assert merge_patch(case["original"], case["patch"]) == case["result"]


@pytest.mark.parametrize("case", PATCH_CASES, ids=lambda case: case["section"])
def test_appendix_a_of_rfc_6902(case: dict[str, Any]) -> None:
    if case["must_fail"]:
        with pytest.raises(DecodeError):
            json_patch(case["document"], case["patch"])
    else:
        assert json_patch(case["document"], case["patch"]) == case["result"]


@given(values, values)
def test_equality_is_that_of_json(one: Any, other: Any) -> None:
    assert json_equal(one, other) == same(one, other)
    assert json_equal(one, copy.deepcopy(one))


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (1, 1.0, True), (True, 1, False), (False, 0, False), ([True], [1], False), ([True], [True], True),
        ({"a": True}, {"a": 1.0}, False), ({"a": 1}, {"a": 1.0}, True), (None, False, False), ("1", 1, False),
        ([], {}, False), ({"a": [1, [True]]}, {"a": [1.0, [1]]}, False), (None, 0, False),
    ],
)  # fmt: skip
def test_one_is_one_point_nought_and_true_is_no_number(one: Any, other: Any, equal: bool) -> None:
    assert json_equal(one, other) is equal
    assert json_equal(other, one) is equal
    assert (json_diff(one, other) == []) is equal


@given(values, values)
def test_a_merge_patch_that_was_made_leads_to_the_new_value(old: Any, new: Any) -> None:
    before = copy.deepcopy([old, new])
    try:
        change = merge_diff(old, new)
    except InexpressibleError:
        assert needs_null(old, new)
    else:
        assert not needs_null(old, new)
        assert same(merge_patch(old, change), new)
    assert [old, new] == before


@given(values, values)
def test_a_json_patch_that_was_made_leads_to_the_new_value(old: Any, new: Any) -> None:
    before = copy.deepcopy([old, new])
    assert same(json_patch(old, json_diff(old, new)), new)
    assert [old, new] == before


@given(names, names)
def test_json_patches_of_arrays_of_names(old: list[str], new: list[str]) -> None:
    assert json_patch(old, json_diff(old, new)) == new


def test_scattered_changes_of_an_ordered_array_are_single_operations() -> None:
    old = [f"10.0.{at}.0/24" for at in range(100)]
    new = sorted({*old[:10], *old[11:60], *old[62:], "10.0.100.0/24", "10.0.5.128/25"})
    old.sort()
    change = json_diff(old, new)
    assert len(change) == 5
    assert json_patch(old, change) == new


@given(values, values)
def test_any_value_is_a_merge_patch_and_nothing_is_changed_in_place(target: Any, change: Any) -> None:
    before = copy.deepcopy([target, change])
    merge_patch(target, change)
    assert [target, change] == before


operations = st.fixed_dictionaries(
    {
        "op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]),
        "path": st.text("/ab01-~", max_size=5),
    },
    optional={"from": st.text("/ab01", max_size=4), "value": values},
)


@given(values, st.lists(operations, max_size=6) | st.lists(values, max_size=3) | values)
def test_any_value_as_a_json_patch_is_applied_or_refused_and_nothing_is_changed_in_place(
    target: Any, change: Any
) -> None:
    before = copy.deepcopy([target, change])
    try:
        after = json_patch(target, change)
    except DecodeError:
        pass
    else:
        json.dumps(after)
    assert [target, change] == before


def test_a_patch_whose_last_operation_fails_has_no_effect() -> None:
    target = {"a": {"b": 1}}
    with pytest.raises(DecodeError, match="operation 1"):
        json_patch(target, [{"op": "replace", "path": "/a/b", "value": 2}, {"op": "test", "path": "/a/b", "value": 1}])
    assert target == {"a": {"b": 1}}


def test_what_a_copy_left_behind_does_not_change_with_the_copy() -> None:
    change = [
        {"op": "add", "path": "/a/x", "value": 1},
        {"op": "copy", "from": "/a", "path": "/b"},
        {"op": "replace", "path": "/b/x", "value": 2},
        {"op": "replace", "path": "/a/y/z", "value": 3},
    ]
    assert json_patch({"a": {"y": {"z": 0}}}, change) == {"a": {"x": 1, "y": {"z": 3}}, "b": {"x": 2, "y": {"z": 0}}}


def test_a_value_that_was_added_stays_as_it_was_in_the_patch() -> None:
    change = [{"op": "add", "path": "/a", "value": {"b": {}}}, {"op": "add", "path": "/a/b/c", "value": 1}]
    assert json_patch({}, change) == {"a": {"b": {"c": 1}}}
    assert change[0]["value"] == {"b": {}}


def test_parts_that_do_not_change_are_shared() -> None:
    old = {"a": {"x": [1]}, "b": {"y": [2]}}
    assert merge_patch(old, {"a": {"x": [3]}})["b"] is old["b"]
    assert json_patch(old, [{"op": "add", "path": "/a/z", "value": 1}])["b"] is old["b"]
    assert merge_patch(old, {"a": {"nothing": None}}) is old


def test_replacing_a_member_that_is_not_there_fails_and_adding_it_does_not() -> None:
    """Trap 12: RFC 8895 section 3.2.2.2 replaces a member that its cost map does not have."""
    costs = {"cost-map": {"PID2": {"PID1": 5}}}
    with pytest.raises(DecodeError):
        json_patch(costs, [{"op": "replace", "path": "/cost-map/PID2/PID3", "value": 1}])
    added = json_patch(costs, [{"op": "add", "path": "/cost-map/PID2/PID3", "value": 1}])
    assert added == {"cost-map": {"PID2": {"PID1": 5, "PID3": 1}}}


def test_entity_ids_with_slashes_are_escaped_in_pointers() -> None:
    """Trap 12."""
    old = {"ipv4:192.0.2.0/24": {"a~b": 1}}
    new = {"ipv4:192.0.2.0/24": {"a~b": 2}}
    change = json_diff(old, new)
    assert change == [{"op": "replace", "path": "/ipv4:192.0.2.0~124/a~0b", "value": 2}]
    assert json_patch(old, change) == new


def test_a_member_cannot_become_null_by_merge_patch_and_can_by_json_patch() -> None:
    """Trap 11."""
    old, new = {"x": 1, "list": [1]}, {"x": None, "list": [1]}
    with pytest.raises(InexpressibleError):
        merge_diff(old, new)
    assert json_diff(old, new) == [{"op": "replace", "path": "/x", "value": None}]
    with pytest.raises(InexpressibleError):
        merge_diff({}, {"deep": {"x": None}})


def test_null_in_an_array_and_null_members_that_stay_survive_a_merge_patch() -> None:
    """Trap 11."""
    old = {"costs": [1, 2], "stays": None, "goes": None}
    new = {"costs": [1, None], "stays": None}
    change = merge_diff(old, new)
    assert change == {"costs": [1, None], "goes": None}
    assert merge_patch(old, change) == new


@pytest.mark.parametrize(
    "operation",
    [
        {}, 1, None, {"op": "add"}, {"op": "add", "path": "/a"}, {"op": "add", "path": "a", "value": 1},
        {"op": "add", "path": "/~2", "value": 1}, {"op": "add", "path": "/~", "value": 1}, {"op": ["add"], "path": ""},
        {"op": "remove", "path": ""}, {"op": "remove", "path": "/none"}, {"op": "remove", "path": "/list/-"},
        {"op": "remove", "path": "/list/01"}, {"op": "remove", "path": "/list/+1"}, {"op": "remove", "path": "/list/١"},
        {"op": "add", "path": "/list/3", "value": 1}, {"op": "add", "path": "/list/" + "9" * 5000, "value": 1},
        {"op": "move", "path": "/list/0", "from": "/list"}, {"op": "move", "path": "/x"}, {"op": "copy", "path": "/x"},
        {"op": "spin", "path": ""}, {"op": "test", "path": ""}, {"op": "add", "path": "/text/0", "value": 1},
        {"op": "replace", "path": "/list/2", "value": 1}, {"op": "test", "path": "/list/0", "value": True},
    ],
)  # fmt: skip
def test_operations_that_rfc_6902_does_not_allow_are_refused(operation: Any) -> None:
    with pytest.raises(DecodeError):
        json_patch({"list": [1, 2], "text": "x"}, [operation])


def test_an_index_is_in_ascii_digits() -> None:
    with pytest.raises(DecodeError):
        json_patch(list(range(20)), [{"op": "remove", "path": "/1١"}])


def test_many_operations_at_the_beginning_of_a_long_array_are_refused_before_they_take_long() -> None:
    """Each moves all that is behind it: a patch of a megabyte could keep a reader busy for minutes."""
    long = [0] * 1_000_000
    for operation in ({"op": "add", "path": "/0", "value": 1}, {"op": "remove", "path": "/0"}):
        assert len(json_patch(long, [operation] * 100)) in (1_000_100, 999_900)
        with pytest.raises(DecodeError, match="moved"):
            json_patch(long, [operation] * 700)


def test_the_whole_document_can_be_replaced_copied_to_and_moved_to() -> None:
    document = {"a": [1, 2]}
    assert json_patch(document, [{"op": "add", "path": "", "value": 5}]) == 5
    assert json_patch(document, [{"op": "copy", "from": "/a", "path": ""}]) == [1, 2]
    assert json_patch(document, [{"op": "move", "from": "/a/1", "path": ""}]) == 2
    assert json_patch(document, [{"op": "move", "from": "/a", "path": "/a"}]) == document


def test_copies_that_double_the_document_are_refused_before_it_fills_the_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(patch, "MAX_MOVED", 10_000)
    doubling = [{"op": "copy", "from": "", "path": f"/{at}"} for at in range(40)]
    with pytest.raises(DecodeError, match="values moved"):
        json_patch({"a": "text"}, doubling)


def test_a_document_cannot_be_made_deeper_than_the_reader_allows() -> None:
    deep: Any = {}
    for _ in range(MAX_DEPTH - 1):
        deep = {"a": deep}
    path = "/a" * MAX_DEPTH
    assert json_patch(deep, [{"op": "add", "path": path, "value": 1}])
    for change in ({"op": "add", "path": path, "value": [1]}, {"op": "copy", "from": "", "path": path}):
        with pytest.raises(DecodeError, match="deep"):
            json_patch(deep, [change])
    with pytest.raises(DecodeError, match="deep"):
        merge_patch({}, {"a": {"a": deep}})


@given(values, values)
def test_a_foreign_library_applies_our_json_patches(old: Any, new: Any) -> None:
    """`jsonpatch` of PyPI."""
    change = json_diff(old, new)
    assert same(jsonpatch.apply_patch(copy.deepcopy(old), copy.deepcopy(change)), new)


@given(values, values)
def test_we_apply_the_json_patches_of_a_foreign_library(old: Any, new: Any) -> None:
    change = jsonpatch.make_patch(copy.deepcopy(old), copy.deepcopy(new)).patch
    foreign = jsonpatch.apply_patch(copy.deepcopy(old), copy.deepcopy(change))
    assert same(json_patch(old, change), foreign)


@given(values, values)
def test_a_foreign_library_agrees_on_merge_patches(old: Any, change: Any) -> None:
    """`json-merge-patch` of PyPI, which changes its target."""
    assert same(json_merge_patch.merge(copy.deepcopy(old), copy.deepcopy(change)), merge_patch(old, change))

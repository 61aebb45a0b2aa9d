import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dto_jobs.core.verdicts import LONGEST_ANSWER, LONGEST_REASON, Verdict, parse_verdicts, verdict_schema, windows

GOOD = '{"id": 1, "keep": false, "reason": "repeats"}'
ALSO = '{"id": 2, "keep": true, "reason": "needed"}'


def answer(*entries):
    return '{"verdicts": [' + ", ".join(entries) + "]}"


def words(text, count=2):
    """What is said of each pattern, and what was wrong."""
    verdicts, causes = parse_verdicts(text, count)
    return {verdict.pattern: verdict.keep for verdict in verdicts}, causes


def test_an_answer_in_the_asked_form_is_read_in_order():
    verdicts, causes = parse_verdicts(answer(ALSO, GOOD), 2)
    assert verdicts == [Verdict(1, keep=False, reason="repeats"), Verdict(2, keep=True, reason="needed")]
    assert causes == {}


@pytest.mark.parametrize(
    "text",
    [
        f"Here are my verdicts:\n```json\n{answer(GOOD, ALSO)}\n```\nI hope this helps.",
        f"<think>\nMaybe {answer(ALSO)}\n</think>\n{answer(GOOD, ALSO)}",
        f'The form is {{"verdicts": [{{"id": 1, "keep": true|false}}]}}.\n{answer(GOOD, ALSO)}',
        answer(GOOD, ALSO).replace(" ", "\n\t "),
        answer(GOOD, ALSO, GOOD),
        answer(GOOD, ALSO)[:-2] + ",]}",
        answer('{"id": 1, "keep": false}', '{"id": 2, "keep": true, "reason": null, "sure": 0.9}'),
        '{"notes": "…", "verdicts": [' + GOOD + "," + ALSO + "]",
    ],
)
def test_what_stands_around_the_verdicts_does_not_matter(text):
    assert words(text) == ({1: False, 2: True}, {})


NOTHING = ({}, {"unreadable": 1, "missing": 2})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", NOTHING),
        ("I would keep both.", NOTHING),
        ("null", NOTHING),
        ("{}", NOTHING),
        ("[]", NOTHING),
        (f"[{GOOD}, {ALSO}]", NOTHING),
        ('{"verdict": []}', NOTHING),
        ("{'verdicts': [{'id': 1, 'keep': False}]}", NOTHING),
        ('{"verdicts": {"1": false}}', NOTHING),
        ('{"verdicts": "drop all"}', NOTHING),
        ('{"verdicts": [', NOTHING),
        ('{"verdicts": []}', ({}, {"missing": 2})),
        (answer(GOOD, ALSO)[:-10], ({1: False}, {"unreadable": 1, "missing": 1})),
        (answer(GOOD) + "</think>", NOTHING),
        (answer(GOOD), ({1: False}, {"missing": 1})),
        (answer("1", ALSO), ({2: True}, {"unreadable": 1, "missing": 1})),
        (answer("[1, false]", ALSO), ({2: True}, {"unreadable": 1, "missing": 1})),
        (answer("{}", ALSO), ({2: True}, {"unreadable": 1, "missing": 1})),
        (answer('{"id": "1", "keep": false}', ALSO), ({2: True}, {"unreadable": 1, "missing": 1})),
        (answer('{"id": 1.0, "keep": false}', ALSO), ({2: True}, {"unreadable": 1, "missing": 1})),
        (answer('{"id": true, "keep": false}', ALSO), ({2: True}, {"unreadable": 1, "missing": 1})),
        (answer('{"id": null, "keep": false}', ALSO), ({2: True}, {"unreadable": 1, "missing": 1})),
        (answer('{"id": 1, "keep": "false"}', ALSO), ({2: True}, {"unreadable": 1, "missing": 1})),
        (answer('{"id": 1, "keep": 0}', ALSO), ({2: True}, {"unreadable": 1, "missing": 1})),
        (answer('{"id": 1, "drop": true}', ALSO), ({2: True}, {"unreadable": 1, "missing": 1})),
        (answer('{"id": 1, "keep": true, "keep": false}', ALSO), ({2: True}, {"unreadable": 1, "missing": 1})),
        (answer('{"id": 1e999, "keep": false}', ALSO), ({2: True}, {"unreadable": 1, "missing": 1})),
        (answer('{"id": NaN, "keep": false}', ALSO), ({2: True}, {"unreadable": 1, "missing": 1})),
        (answer('{"id": 0, "keep": false}', GOOD, ALSO), ({1: False, 2: True}, {"unknown_id": 1})),
        (
            answer('{"id": 3, "keep": false}', '{"id": -1, "keep": false}', ALSO),
            ({2: True}, {"unknown_id": 2, "missing": 1}),
        ),
        (answer('{"id": 99999999999999999999, "keep": false}', ALSO), ({2: True}, {"unknown_id": 1, "missing": 1})),
        (answer(GOOD, '{"id": 1, "keep": true}', ALSO), ({2: True}, {"contradictory": 1})),
        (answer(GOOD, '{"id": 1, "keep": true}', GOOD), ({}, {"contradictory": 1, "missing": 1})),
        (answer('{"id": ' + "9" * 5_000 + ', "keep": false}', ALSO), NOTHING),
        (answer(GOOD, "[" * 100_000), ({1: False}, {"unreadable": 1, "missing": 1})),
        (answer(GOOD, '{"a":' * 30_000), ({1: False}, {"unreadable": 1, "missing": 1})),
        ('{"verdicts": [' * 10_000, NOTHING),
        ('{"id": 1, "keep": false}' * 500_000, NOTHING),
        ("{" * 3_000_000, NOTHING),
        (answer(GOOD) + " " * LONGEST_ANSWER, NOTHING),
    ],
)
def test_doubt_means_keep_and_is_counted_by_cause(text, expected):
    assert words(text) == expected


@pytest.mark.parametrize(
    ("reason", "kept"),
    [
        ('"  only\\n\\trepeats  it "', "only repeats it"),
        ('"\\u001b[31mred\\u0000\\u202e\\ud800"', "[31mred"),
        ('"' + "long " * 100 + '"', ("long " * 40).strip()),
        ('"' + "x" * 500_000 + '"', None),
        ("7", ""),
        ('["a"]', ""),
        ('"只是重复"', "只是重复"),
    ],
)
def test_reasons_are_short_and_safe_to_print(reason, kept):
    verdicts, _ = parse_verdicts(answer(f'{{"id": 1, "keep": false, "reason": {reason}}}'), 1)
    assert [verdict.reason for verdict in verdicts] == ([] if kept is None else [kept])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["id", "keep", "reason", "verdicts"]), inner, max_size=4)
    ),
    max_leaves=20,
)
ENTRIES = st.lists(
    st.fixed_dictionaries({"id": st.integers(-1, 6), "keep": st.booleans()}, optional={"reason": st.text(max_size=300)})
    | JSON,
    max_size=12,
)


@given(
    st.text() | JSON.map(json.dumps) | ENTRIES.map(lambda entries: json.dumps({"verdicts": entries})), st.integers(0, 5)
)
def test_whatever_the_answer_a_pattern_has_at_most_one_verdict(text, count):
    verdicts, causes = parse_verdicts(text, count)
    ids = [verdict.pattern for verdict in verdicts]
    assert ids == sorted(set(ids))
    assert set(ids) <= set(range(1, count + 1))
    assert all(len(verdict.reason) <= LONGEST_REASON and verdict.reason.isprintable() for verdict in verdicts)
    assert len(ids) + causes.get("missing", 0) + causes.get("contradictory", 0) == count
    assert all(number > 0 for number in causes.values())


@given(ENTRIES, st.integers(1, 5))
def test_a_pattern_is_dropped_only_where_everything_said_of_it_is_to_drop(entries, count):
    verdicts, _ = parse_verdicts(json.dumps({"verdicts": entries}), count)
    said = [
        (entry["id"], entry["keep"]) for entry in entries if isinstance(entry, dict) and {"id", "keep"} <= entry.keys()
    ]
    for verdict in verdicts:
        assert {
            keep
            for number, keep in said
            if type(number) is int and number == verdict.pattern and isinstance(keep, bool)
        } == {verdict.keep}


@settings(deadline=None)  # it parses hundreds of answers
@given(st.text(max_size=40), st.text(max_size=40))
def test_cutting_an_answer_short_never_drops_what_it_kept(before, reason):
    whole = before.replace("verdicts", "") + json.dumps(
        {"verdicts": [{"id": n, "keep": n != 2, "reason": reason} for n in (1, 2, 3)]}
    )
    dropped = {number for cut in range(len(whole)) for number, keep in words(whole[:cut], 3)[0].items() if not keep}
    assert dropped <= {2}


def test_the_schema_asks_for_one_entry_per_pattern():
    schema = verdict_schema(3)
    entries = schema["properties"]["verdicts"]
    assert (entries["minItems"], entries["maxItems"]) == (3, 3)
    assert entries["items"]["properties"]["id"] == {"type": "integer", "minimum": 1, "maximum": 3}
    assert set(entries["items"]["required"]) == {"id", "keep", "reason"} == set(entries["items"]["properties"])
    assert json.loads(json.dumps(schema)) == schema


# --- windows ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lengths", "budget", "expected"),
    [
        ([], 10, []),
        ([3], 10, [range(1)]),
        ([5, 5, 1], 10, [range(2), range(2, 3)]),
        ([5, 6, 4], 10, [range(1), range(1, 3)]),
        ([1, 50, 1], 10, [range(1), range(1, 2), range(2, 3)]),
        ([50], 10, [range(1)]),
        ([0, 0, 10], 10, [range(3)]),
    ],
)
def test_windows_are_runs_of_neighbours_within_the_budget(lengths, budget, expected):
    assert windows(lengths, budget) == expected


@given(st.lists(st.integers(0, 30), max_size=40), st.integers(1, 60))
def test_windows_cover_every_pattern_once_and_none_could_be_longer(lengths, budget):
    found = windows(lengths, budget)
    assert [index for window in found for index in window] == list(range(len(lengths)))
    assert all(len(window) == 1 or sum(lengths[index] for index in window) <= budget for window in found)
    for window in found[:-1]:
        assert sum(lengths[index] for index in (*window, window.stop)) > budget

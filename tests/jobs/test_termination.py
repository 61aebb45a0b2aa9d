"""Last words: for people and for the operator, never too long, never with a secret."""

import json

from hypothesis import given
from hypothesis import strategies as st

from dto_jobs.termination import LIMIT, ReceiptNote, StepNote, Termination, parse

words = st.builds(
    Termination,
    run=st.text(max_size=300),
    stage=st.sampled_from(["rollout", "collect"]),
    state=st.sampled_from(["done", "stopped", "failed"]),
    exit_code=st.integers(0, 255),
    message=st.text(max_size=6000),
    counts=st.dictionaries(st.text(max_size=60), st.integers(0, 10**12), max_size=100),
    receipt=st.none() | st.just(ReceiptNote(artifact="runs/r/rollout/1", digest="d" * 64, records=1, bytes=2, parts=3)),
    results=st.none() | st.just({"evaluation": ["x" * 3000]}),
    steps=st.just(tuple(StepNote(name="evaluation", key="k" * 64, reused=True) for _ in range(8))) | st.just(()),
)


@given(words)
def test_any_words_fit_and_can_be_read_again(said):
    text = said.text()
    assert len(text.encode()) <= LIMIT
    again = parse(text)
    assert (again.state, again.exit_code, again.stage) == (said.state, said.exit_code, said.stage)


def test_the_first_line_is_for_people_the_last_for_programs():
    note = ReceiptNote(artifact="runs/r/pairs/1", digest="d" * 64, records=7, bytes=8, parts=1)
    said = Termination(
        run="r",
        stage="pairs",
        state="done",
        exit_code=0,
        message="pairs:\n7 records",
        counts={"pairs": 7},
        receipt=note,
    )
    first, last = said.text().splitlines()
    assert first == "pairs: 7 records"
    assert json.loads(last)["receipt"]["digest"] == "d" * 64
    assert parse(said.text()).counts == {"pairs": 7}


def test_results_and_counts_give_way_before_the_message_does():
    said = Termination(
        run="r",
        stage="collect",
        state="done",
        exit_code=0,
        message="the run is done",
        counts={"c" * 30 + str(i): i for i in range(200)},
    )
    again = parse(said.text())
    assert (again.message, again.counts) == ("the run is done", {})


def test_what_a_killed_process_left_is_no_message():
    assert parse("") is None
    assert parse("Killed\n") is None
    assert parse('{"state": "done"}') is None


def test_an_older_reader_passes_over_what_it_does_not_know():
    text = Termination(run="r", stage="pairs", state="done", exit_code=0, message="m").text()
    first, last = text.splitlines()
    assert parse(f"{first}\n" + json.dumps(json.loads(last) | {"new": 1})).stage == "pairs"

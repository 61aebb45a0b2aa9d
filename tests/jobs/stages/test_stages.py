"""Each stage on made-up traces, with an engine that answers by rule."""

import pytest

from dto_jobs.core.cost import ModelShape
from dto_jobs.core.records import EndedTrace, ImportedTrace, Pattern, Problem, Response, SearchedTrace
from dto_jobs.core.verdicts import Verdict
from dto_jobs.problem_source import TraceSource
from dto_jobs.stage import Completion, Ports, Review
from dto_jobs.stages.endings import Endings
from dto_jobs.stages.evaluation import Evaluation
from dto_jobs.stages.exits import Exits
from dto_jobs.stages.importing import Importing
from dto_jobs.stages.pairs import Pairs
from dto_jobs.stages.pruning import Pruning
from dto_jobs.stages.rollout import Rollout

PROBLEM = Problem(id="p", question="Compute 40+2.", answer="42", level="easy")
PATTERNS = [f"{'' if i == 0 else chr(10) * 2}Wait, thought number {i} goes on for a while here." for i in range(5)]


class RuleEngine:
    """Completes a request with `answer(request)`: a text, or a text and whether it was finished."""

    shape = ModelShape(parameters=10, layers=1, width=1)

    def __init__(self, answer, *, thinking=True, score=None):
        self.answer, self.thinking = answer, thinking
        self.score_one = score or (lambda _prompt, _then: 0.0)
        self.requests = []

    def render(self, question):
        return f"<user>{question}<assistant><think>\n" if self.thinking else f"<user>{question}<assistant>"

    def count(self, text):
        return len(text.split())

    def complete(self, feed):
        while requests := feed(8):
            for request in requests:
                self.requests.append(request)
                said = self.answer(request)
                text, finished = said if isinstance(said, tuple) else (said, True)
                yield Completion(
                    request.key, text, self.count(text) + 1, self.count(request.prompt), 0, finished=finished
                )

    def score(self, texts):
        return [self.score_one(*pair) for pair in texts]


def only(stage, record, engine, judge=None, **ports):
    [[made]] = stage.run([record], Ports(engine=engine, judge=judge, **ports))
    return made


TEXT = "".join(PATTERNS) + "\n</think>\n\n\\boxed{42}"


def response(text=TEXT, *, correct=True, finished=True):
    return Response(
        id="p#0", problem=PROBLEM, prompt="<user>?<assistant><think>\n", text=text, prompt_tokens=3, tokens=100,
        finished=finished, opened=True, answer="42", correct=correct,
    )  # fmt: skip


def searched(exit_=5, wrong_ending=None):
    patterns = tuple(Pattern(text=text, kind="doubt") for text in PATTERNS)
    return SearchedTrace(response=response(), patterns=patterns, boundaries=(), exit=exit_, wrong_ending=wrong_ending)


def ended(exit_=5, **more):
    return EndedTrace(trace=searched(exit_, **more), ending="\\boxed{42}", tried=4, correct=4)


# Rollout and evaluation


@pytest.mark.parametrize(
    ("said", "correct"),
    [
        ("thinking</think>\\boxed{42}", True),
        ("thinking</think>\\boxed{43}", False),
        ("thinking \\boxed{42} and on", False),
        (("thinking</think>\\boxed{42}", False), False),
    ],
    ids=["right", "wrong", "inside unclosed thinking", "cut by the limit"],
)
def test_only_a_finished_answer_after_the_thinking_counts(said, correct):
    engine = RuleEngine(lambda _: said)
    [[made]] = Rollout(samples=1).run([PROBLEM], Ports(engine=engine))
    [[answer]] = Evaluation(samples=1).run([PROBLEM], Ports(engine=engine))
    assert (made.correct, answer.correct) == (correct, correct)


def test_every_sample_has_a_key_of_its_own_and_the_seed_is_in_it():
    engine = RuleEngine(lambda _: "</think>\\boxed{42}")
    list(Rollout(samples=3).run([PROBLEM], Ports(engine=engine, seed=7)))
    assert len({request.key for request in engine.requests}) == 3
    assert all(request.key.startswith("7/") for request in engine.requests)


def test_a_model_that_does_not_mark_its_thinking_is_graded_on_its_whole_text():
    engine = RuleEngine(lambda _: "I add. The answer is \\boxed{42}.", thinking=False)
    [[made]] = Rollout(samples=1).run([PROBLEM], Ports(engine=engine))
    assert made.correct


# Import


@pytest.mark.parametrize(
    ("text", "thinking", "correct", "finished"),
    [
        ("<think>\nhm\n</think>\n\\boxed{42}", True, True, True),
        ("hm\n</think>\n\\boxed{42}", True, True, True),
        ("<think>\nhm \\boxed{42}", True, False, False),
        ("So it is \\boxed{42}.", False, True, True),
        ("So it is \\boxed{41}.", False, False, True),
    ],
)
def test_logged_traces_with_and_without_marks_are_graded_alike(text, thinking, correct, finished):
    trace = ImportedTrace(id="p#log", problem=PROBLEM, text=text)
    made = only(Importing(source=TraceSource(source="log.jsonl")), trace, RuleEngine(None, thinking=thinking))
    assert (made.correct, made.finished) == (correct, finished)
    assert not made.text.startswith("<think>"), "the prompt opens the thinking"


# Exits


def knows_after(needed):
    """Answers 42 once so many thoughts are in the prompt, else 41."""

    def answer(request):
        return ("42" if request.prompt.count("thought number") >= needed else "41") + "} and so on"

    return answer


@pytest.mark.parametrize("strategy", ["curtailed", "exhaustive"])
@pytest.mark.parametrize("needed", [1, 3, 5])
def test_the_exit_is_where_the_answer_is_first_known(needed, strategy):
    made = only(Exits(strategy=strategy), response(), RuleEngine(knows_after(needed)))
    assert made.exit == needed
    assert made.wrong_ending == (None if needed == 1 else "41} and so on")


def test_an_answer_that_is_never_known_is_no_exit():
    made = only(Exits(), response(), RuleEngine(knows_after(99)))
    assert made.exit is None
    assert len(made.boundaries) == len(made.patterns)


def test_curtailed_draws_less_and_finds_the_same():
    few, many = RuleEngine(knows_after(2)), RuleEngine(knows_after(2))
    exits = [
        only(Exits(strategy=strategy), response(), engine).exit
        for strategy, engine in (("curtailed", few), ("exhaustive", many))
    ]
    assert exits == [2, 2]
    assert (len(few.requests), len(many.requests)) == (5 + 4, 5 * 8)


def test_a_longer_answer_that_contains_the_right_one_is_wrong():
    assert only(Exits(), response(), RuleEngine(lambda _: "420}")).exit is None


def test_an_answer_whose_brace_never_closes_is_wrong():
    assert only(Exits(), response(), RuleEngine(lambda _: "42")).exit is None


def test_every_prompt_is_the_trace_stopped_and_settled():
    engine = RuleEngine(knows_after(1))
    only(Exits(), response(), engine)
    prompt = engine.requests[0].prompt
    assert prompt == response().prompt + PATTERNS[0] + "\n\nThat settles it.\n</think>\n\n**Final Answer**\n\\boxed{"


# Endings


def test_the_shortest_correct_ending_is_kept():
    said = iter(["a long way to \\boxed{42}", "\\boxed{41}", "so \\boxed{42}", ("\\boxed{42}", False)])
    made = only(Endings(completions=4), searched(2), RuleEngine(lambda _: next(said)))
    assert (made.ending, made.tried, made.correct) == ("so \\boxed{42}", 4, 2)


def test_without_a_correct_ending_there_is_none():
    assert only(Endings(), searched(2), RuleEngine(lambda _: "\\boxed{41}")).ending is None


def test_without_an_exit_nothing_is_sampled():
    engine = RuleEngine(None)
    assert only(Endings(), searched(None), engine).ending is None
    assert engine.requests == []


# Pruning


def needs(*thoughts):
    """Is right only if these thoughts are in the prompt."""

    def answer(request):
        return "\\boxed{42}" if all(f"thought number {i} " in request.prompt for i in thoughts) else "\\boxed{41}"

    return answer


class SaysDrop:
    """A judge that wants these ids (from 1) dropped."""

    def __init__(self, *ids):
        self.ids = ids

    def review(self, traces):
        return [Review(tuple(self.verdict(i + 1) for i, _ in enumerate(patterns))) for _, patterns in traces]

    def verdict(self, number):
        return Verdict(number, keep=number not in self.ids, reason="needless")


@pytest.mark.parametrize("judge", [None, SaysDrop(1, 2, 3, 4, 5), SaysDrop(2), SaysDrop()])
@pytest.mark.parametrize("needed", [(), (0,), (1, 3), (0, 1, 2, 3)])
def test_no_judge_can_cost_a_needed_thought(judge, needed):
    made = only(Pruning(), ended(), RuleEngine(needs(*needed, 4)), judge)
    assert {*needed, 4} <= set(made.kept)
    assert "\\boxed{42}" in made.text


def test_without_a_judge_all_needless_thoughts_go():
    made = only(Pruning(), ended(), RuleEngine(needs(1, 4)))
    assert made.kept == (1, 4)
    assert [drop.pattern for drop in made.dropped] == [0, 2, 3]
    assert made.text == PATTERNS[1].lstrip() + PATTERNS[4] + "\n\nThat settles it.\n</think>\n\n\\boxed{42}"


def test_a_judges_reason_is_kept_and_what_was_restored_is_said():
    made = only(Pruning(), ended(), RuleEngine(needs(1, 4)), SaysDrop(1, 2))
    assert [(drop.pattern, drop.reason) for drop in made.dropped] == [(0, "needless")]
    assert made.restored == (1,)


def test_a_pattern_that_the_rest_refers_to_is_guarded():
    def score(prompt, then):
        return 0.0 if "thought number 0 " in prompt + then else -0.5

    made = only(Pruning(), ended(), RuleEngine(needs(4), score=score))
    assert made.kept == (0, 4)
    without_guard = only(Pruning(guard=False), ended(), RuleEngine(needs(4), score=score))
    assert without_guard.kept == (4,)


def test_a_trace_without_ending_stays_as_it_is():
    made = only(Pruning(), EndedTrace(trace=searched(None), ending=None), RuleEngine(None))
    assert (made.text, made.kept) == (None, ())


# Pairs


def test_a_problems_pairs_come_with_its_last_trace():
    engine = RuleEngine(needs(1, 4))
    pruned = [only(Pruning(), ended(wrong_ending="41}"), engine) for _ in range(3)]
    other = pruned[0].model_copy(deep=True)
    groups = list(Pairs(min_saving=0, max_tokens=10_000).run([*pruned, other], Ports(engine=engine)))
    assert [len(group) > 0 for group in groups] == [False, False, False, True]
    kinds = {pair.kind for pair in groups[-1]}
    assert kinds == {"compressed", "necessary"}


def test_a_necessary_pair_rejects_the_same_text_stopped_one_pattern_earlier():
    engine = RuleEngine(needs(1, 4))
    pruned = only(Pruning(), ended(wrong_ending="41}"), engine)
    [group] = Pairs().run([pruned], Ports(engine=engine))
    necessary = next(pair for pair in group if pair.kind == "necessary")
    assert (
        necessary.rejected == PATTERNS[1].lstrip() + "\n\nThat settles it.\n</think>\n\n**Final Answer**\n\\boxed{41}"
    )

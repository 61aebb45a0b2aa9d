"""A whole run on this machine, from a log of traces; the scripted engine answers."""

import json

import pytest

from dto_jobs.artifacts.attempts import latest
from dto_jobs.artifacts.folder import FolderStore
from dto_jobs.cli.running import run_file
from dto_jobs.core.records import Pair
from dto_jobs.demo.problems import training_problems
from dto_jobs.engines.scripted import SumsReasoner
from dto_jobs.stage import Request

PROBLEMS, RESPONSES = 8, 4


class Silent:
    """A console nobody looks at."""

    is_terminal = False

    def print(self, *_words, **_form):
        pass


@pytest.fixture(scope="module")
def log():
    """Rows of a log, the responses of each problem one after the other."""
    engine = SumsReasoner()
    problems = training_problems(PROBLEMS)
    asked = [
        Request(f"{row['id']}/{number}", engine.render(row["problem"]), 400)
        for row in problems
        for number in range(RESPONSES)
    ]
    answered = engine.complete(lambda places: [asked.pop(0) for _ in range(min(places, len(asked)))])
    questions = [row for row in problems for _ in range(RESPONSES)]
    return [
        {"id": done.key, "problem": row["problem"], "gold": row["answer"], "response": done.text}
        for row, done in zip(questions, answered, strict=True)
    ]


def pairs_from(rows, folder):
    """Import the rows, run up to the pairs, and return these in no particular order."""
    folder.mkdir()
    (folder / "log.jsonl").write_text("\n".join(map(json.dumps, rows)))
    spec = {
        "model": {"source": "builtin:tiny-reasoner"},
        "problems": {"source": "log.jsonl"},
        "engine": {"scripted": {}},
        "stages": {"rollout": {"import": {"source": "log.jsonl"}}, "pairs": {"maxPerProblem": 1}},
        "until": "pairs",
    }
    file = folder / "r.yaml"
    file.write_text(
        json.dumps({"apiVersion": "dto.run/v1alpha1", "kind": "DTORun", "metadata": {"name": "r"}, "spec": spec})
    )
    run_file(file, folder / "store", [], None, lambda: False, Silent())
    made = latest(FolderStore(folder / "store"), "r", "pairs").records(Pair)
    return sorted(pair.model_dump_json() for pair in made)


def test_the_order_of_a_log_does_not_change_which_pairs_a_problem_gets(log, tmp_path):
    apart = [row for number in range(RESPONSES) for row in log[number::RESPONSES]]
    assert apart != log
    pairs = pairs_from(log, tmp_path / "grouped")
    assert pairs_from(apart, tmp_path / "apart") == pairs
    kinds = [json.loads(pair)["kind"] for pair in pairs]
    assert 0 < sum(kind in {"compressed", "rescued"} for kind in kinds) <= PROBLEMS

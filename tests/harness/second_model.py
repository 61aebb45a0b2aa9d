"""A process of its own with two models: the run's, and a judge beside it. Prints what each said, as JSON."""

import json
import sys
from itertools import islice
from pathlib import Path

from dto_jobs.judges import JudgeSource
from dto_jobs.model_source import EngineSource, ModelSource
from dto_jobs.stage import Request
from dto_jobs.workshop import LocalWorkshop

PATTERNS = ["First, 17 + 25 = 42.", "\n\nWait, 42 it is.", "\n\nSo it is 42."]


class Remembered(dict[str, str]):
    """A memory that ends with the process."""

    put = dict.__setitem__


def main(engine: str) -> None:
    source = EngineSource.model_validate(json.loads(engine))
    workshop = LocalWorkshop(ModelSource(source="builtin:tiny-reasoner"), source, Path(), Path("scratch"))
    own = workshop.engine(None)

    def words() -> list[str]:
        waiting = iter([Request(f"{n}", own.render(f"Compute {n}+5-3."), 40) for n in range(3)])
        said = own.complete(lambda free: list(islice(waiting, free)))
        return [one.text for one in sorted(said, key=lambda one: one.key)]

    before, remembered = words(), Remembered()
    judge = workshop.appointed(JudgeSource(model="builtin:smollm2-135m", context=1024), remembered)
    [review] = judge.review([("What is 17 + 25?", PATTERNS)])
    found = {
        "before": before,
        "after": words(),
        "verdicts": [one.pattern for one in review.verdicts],
        "counts": dict(review.counts),
        "flops": review.spend.flops,
        "tokens": review.spend.judge_tokens,
        "answers": list(remembered.values()),
    }
    sys.stdout.write(json.dumps(found) + "\n")


main(sys.argv[1])

"""Planning, on a made-up pipeline of two stages beside the real one's links."""

from dataclasses import dataclass, replace
from typing import ClassVar

import pytest

from dto_jobs.core.records import Problem
from dto_jobs.pipeline import Link, Pipeline
from dto_jobs.plan import PlannedStage, plan, ready
from dto_jobs.stage import Stage
from dto_jobs.stages.exits import Exits
from dto_jobs.stages.training import Training


class Copy(Stage):
    """Copies."""

    reads: ClassVar = Problem
    writes: ClassVar = Problem
    setting: int = 1

    def run(self, records, ports):
        del ports
        return ([record] for record in records)


@dataclass
class Two:
    """A pipeline of two stages, as far as planning looks at one."""

    first: int = 1
    second: int = 1

    def links(self):
        yield Link("first", Copy(setting=self.first), "problems")
        yield Link("second", Copy(setting=self.second), "first")


SOURCES = {"problems": "p", "benchmarks": "b"}
BASE = {"model": "m", "engine": "scripted", "seed": 0}


def keys(pipeline, sources=SOURCES, base=BASE, until=None):
    return {step.name: step.key for step in plan(pipeline, sources, base, until)}


def changed(before, after):
    return {name for name in before if before[name] != after[name]}


def test_the_same_settings_have_the_same_keys():
    assert keys(Two()) == keys(Two())


def test_a_setting_changes_its_stage_and_what_follows():
    assert changed(keys(Two()), keys(Two(first=2))) == {"first", "second"}
    assert changed(keys(Two()), keys(Two(second=2))) == {"second"}


@pytest.mark.parametrize("base", [{**BASE, "model": "other"}, {**BASE, "seed": 1}, {**BASE, "engine": "other"}])
def test_model_engine_and_seed_change_everything(base):
    assert changed(keys(Two()), keys(Two(), base=base)) == {"first", "second"}


def test_problems_of_other_content_change_everything():
    assert changed(keys(Two()), keys(Two(), sources={"problems": "other"})) == {"first", "second"}


def test_another_beta_leaves_all_before_training_as_it_is():
    pipeline = Pipeline()
    other = pipeline.model_copy(update={"training": Training(beta=2.5)})
    assert changed(keys(pipeline), keys(other)) == {"training", "evaluation"}


def test_another_threshold_keeps_the_rollouts_and_the_baseline():
    other = Pipeline(exits=Exits(threshold=0.75))
    assert changed(keys(Pipeline()), keys(other)) == {"exits", "endings", "pruning", "pairs", "training", "evaluation"}


def test_until_keeps_a_stage_and_what_it_needs():
    assert list(keys(Pipeline(), until="endings")) == ["rollout", "exits", "endings"]
    assert list(keys(Pipeline(), until="baseline")) == ["baseline"]
    assert list(keys(Pipeline(), until="evaluation")) == [
        "rollout", "exits", "endings", "pruning", "pairs", "training", "evaluation",
    ]  # fmt: skip


def test_stages_are_ready_once_all_they_need_is_done():
    first = PlannedStage("first", Copy(), "problems", None, "k")
    second = replace(first, name="second", reads="first")
    last = replace(first, name="last", reads="problems", model="second")
    steps = (first, second, last)
    assert ready(steps, set()) == []
    assert ready(steps, {"problems"}) == [first]
    assert ready(steps, {"problems", "first"}) == [second]
    assert ready(steps, {"problems", "first", "second"}) == [last]
    assert ready(steps, {"problems", "first", "second", "last"}) == []

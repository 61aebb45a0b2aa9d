"""Stages on vLLM: rollout against a bare vLLM script, and what the exit search costs by strategy and by order.

The bare script is `vllm.LLM.generate` on the same prompts with the same seeds: it draws the same tokens. The exit search
is that of real R1 traces of 12 patterns or more, continued by SmolLM2-135M-Instruct; exits must be equal in both strategies.
"""

import gc
import json
import os
import random
import statistics
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any

from vllm import LLM

from dto_jobs.artifacts.imported_traces import read_traces
from dto_jobs.artifacts.problem_sets import read_problems
from dto_jobs.core.records import Problem, Response, SearchedTrace
from dto_jobs.core.segmentation import Segmentation, segment, split_thinking
from dto_jobs.engines import vllm
from dto_jobs.engines.model_sources import SMOLLM2, TINY_REASONER, resolve
from dto_jobs.metering import MeteredEngine
from dto_jobs.model_source import ModelSource, VllmEngine
from dto_jobs.problem_source import ProblemSource, TraceSource
from dto_jobs.stage import Completion, Ports, Request
from dto_jobs.stages.exits import Exits
from dto_jobs.stages.importing import Importing
from dto_jobs.stages.rollout import Rollout

TRACES = Path(os.environ.get("TRACES") or Path(__file__).resolve().parents[3] / "shared/data/traces/en_math_r1.jsonl")
REPETITIONS = 9
PROBLEMS, SAMPLES, MAX_TOKENS = 64, 4, 400
GROUPS = int(os.environ.get("GROUPS", "5"))
GROUP = 2
LONGEST, PATTERNS = 2500, 12


def row(name: str, values: Sequence[float], unit: str = "") -> dict[str, Any]:
    """Return a row: the median of the values, and their span."""
    return {
        "name": name, "value": statistics.median(values), "unit": unit,
        "n": len(values), "low": min(values), "high": max(values),
    }  # fmt: skip


@contextmanager
def opened(name: str, **settings: Any) -> Iterator[vllm.Vllm]:
    """Open vLLM with a model."""
    source = ModelSource(source=name)
    engine = vllm.load(resolve(name, Path()), VllmEngine(max_sequences=32, **settings), source)
    try:
        yield engine
    finally:
        engine.close()
        gc.collect()


# Rollout


def rollout_rows() -> list[dict[str, Any]]:
    """Return how many times the bare script's tokens per second the stage reaches, pair by pair."""
    problems = list(read_problems(ProblemSource(source="builtin:graded-sums", limit=PROBLEMS), Path()))
    with opened(TINY_REASONER, cache_mebibytes=512) as engine:
        bare = LLM(**bare_settings())
        stage_speed(engine, problems, 99)
        bare_speed(engine, bare, problems, 99)
        ratios = []
        for seed in range(REPETITIONS):
            both = {
                "stage": lambda seed=seed: stage_speed(engine, problems, seed),
                "bare": lambda seed=seed: bare_speed(engine, bare, problems, seed),
            }
            order = ("stage", "bare") if seed % 2 else ("bare", "stage")
            told = {name: both[name]() for name in order}
            assert told["stage"][0] == told["bare"][0], "both draw the same tokens"
            ratios.append(told["stage"][1] / told["bare"][1])
            sys.stderr.write(f"{told['stage'][1]:.0f} against {told['bare'][1]:.0f} tokens/s\n")
    return [row("rollout_vs_bare_vllm_ratio", ratios)]


def bare_settings() -> dict[str, Any]:
    """Return what a person would write for the same model on a CPU."""
    return {
        "model": str(resolve(TINY_REASONER, Path())), "dtype": "float32", "enforce_eager": True, "block_size": 32,
        "max_num_seqs": 32, "kv_cache_memory_bytes": 512 << 20, "enable_chunked_prefill": False,
    }  # fmt: skip


def stage_speed(engine: vllm.Vllm, problems: list[Problem], seed: int) -> tuple[int, float]:
    """Return the tokens that the stage drew, and how many a second, grading and accounts included."""
    engine._engine.reset_prefix_cache()
    metered = MeteredEngine(lambda: engine)
    start = perf_counter()
    stage = Rollout(samples=SAMPLES, max_tokens=MAX_TOKENS)
    for _ in stage.run(problems, Ports(engine=metered, seed=seed)):
        pass
    seconds = perf_counter() - start
    tokens = metered.taken().generated
    return tokens, tokens / seconds


def bare_speed(engine: vllm.Vllm, bare: LLM, problems: list[Problem], seed: int) -> tuple[int, float]:
    """Return the same of a script that hands all prompts to vLLM at once."""
    bare.reset_prefix_cache()
    requests = [
        Request(f"{seed}/rollout/{problem.id}/{number}", engine.render(problem.question), MAX_TOKENS)
        for problem in problems
        for number in range(SAMPLES)
    ]
    prompts = [request.prompt for request in requests]
    sampling = [vllm._sampling(request, MAX_TOKENS) for request in requests]
    start = perf_counter()
    outputs = bare.generate(prompts, sampling, use_tqdm=False)
    seconds = perf_counter() - start
    tokens = sum(len(output.outputs[0].token_ids) for output in outputs)
    return tokens, tokens / seconds


# Exit search


def exit_rows() -> list[dict[str, Any]]:
    """Return wall time and tokens, exhaustive over curtailed, and prompt tokens computed by order of requests."""
    with opened(SMOLLM2, cache_mebibytes=512, context=2048) as engine:
        traces = list(islice(long_traces(engine), GROUPS * GROUP))
        groups = [traces[first : first + GROUP] for first in range(0, len(traces), GROUP)]
        walls, tokens = [], []
        for number, group in enumerate(groups):
            order = ("curtailed", "exhaustive") if number % 2 else ("exhaustive", "curtailed")
            found = {strategy: searched(engine, group, strategy) for strategy in order}
            (full, many, long), (short, few, brief) = found["exhaustive"], found["curtailed"]
            differing = sum(one.exit != other.exit for one, other in zip(full, short, strict=True))
            sys.stderr.write(
                f"{many} against {few} tokens, {long:.1f} against {brief:.1f} s, {differing} exits differ\n"
            )
            walls.append(long / brief)
            tokens.append(many / few)
        return [
            row("exit_wall_exhaustive_vs_curtailed_ratio", walls),
            row("exit_tokens_exhaustive_vs_curtailed_ratio", tokens),
            *prompt_rows(engine, groups),
        ]


def long_traces(engine: vllm.Vllm) -> Iterator[Response]:
    """Yield right traces of enough patterns."""
    stage = Importing(source=TraceSource(source=str(TRACES), max_characters=LONGEST))
    for made in stage.run(read_traces(stage.source, Path()), Ports(engine=engine)):
        for response in made:
            thinking, _ = split_thinking(response.text, opened=response.opened)
            if response.correct and len(segment(thinking, Segmentation())) >= PATTERNS:
                yield response


def searched(engine: Any, traces: list[Response], strategy: str) -> tuple[list[SearchedTrace], int, float]:
    """Return the searched traces, the tokens that were drawn for them, and the seconds it took, nothing cached before."""
    engine._engine.reset_prefix_cache()
    metered = MeteredEngine(lambda: engine)
    start = perf_counter()
    stage = Exits(strategy=strategy, max_tokens=24)
    found = [one for made in stage.run(traces, Ports(engine=metered)) for one in made]
    return found, metered.taken().generated, perf_counter() - start


class Listener:
    """Stands in for an engine and keeps the requests that a stage makes."""

    def __init__(self, engine: vllm.Vllm) -> None:
        self.shape, self.thinking, self.count, self.continuous = engine.shape, engine.thinking, engine.count, True
        self.heard: list[Request] = []

    def complete(self, feed: Any) -> Iterator[Completion]:
        """Answer every request with nothing."""
        while requests := feed(64):
            self.heard += requests
            yield from (Completion(one.key, "", 1, 1, 0, finished=True) for one in requests)


def prompt_rows(engine: vllm.Vllm, groups: list[list[Response]]) -> list[dict[str, Any]]:
    """Return the share of prompt tokens that is computed: exits of a trace next to each other, and shuffled."""
    shares: dict[str, list[float]] = {"ordered": [], "shuffled": []}
    traces = [trace for group in groups for trace in group]
    for seed in range(3):
        chance = random.Random(seed)
        chance.shuffle(traces)
        listener = Listener(engine)
        for _ in Exits(strategy="exhaustive").run(traces, Ports(engine=listener)):
            pass
        shuffled = chance.sample(listener.heard, len(listener.heard))
        for name, requests in (("ordered", listener.heard), ("shuffled", shuffled)):
            engine._engine.reset_prefix_cache()
            coming = iter(Request(one.key, one.prompt, 1, trace=one.trace) for one in requests)
            done = list(engine.complete(lambda free, coming=coming: list(islice(coming, free))))
            prompt = sum(one.prompt_tokens for one in done)
            shares[name].append((prompt - sum(one.cached_tokens for one in done)) / prompt)
            sys.stderr.write(f"{name}: {shares[name][-1]:.3f} of {prompt} prompt tokens computed\n")
    return [row(f"exit_prompt_computed_share_{name}", values) for name, values in shares.items()]


def rows() -> list[dict[str, Any]]:
    """Return all rows."""
    return [*rollout_rows(), *exit_rows()]


if __name__ == "__main__":
    wanted = {"rollout": rollout_rows, "exits": exit_rows}
    for name in sys.argv[1:] or wanted:
        sys.stdout.write("".join(json.dumps(one) + "\n" for one in wanted[name]()))

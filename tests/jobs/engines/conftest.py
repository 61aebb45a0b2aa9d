"""Engines to test with: the embedded model, loaded once."""

from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import pytest

from dto_jobs.engines.model_sources import TINY_REASONER, resolve
from dto_jobs.model_source import ModelSource, TransformersEngine, VllmEngine
from dto_jobs.stage import Request


@pytest.fixture(scope="session")
def tiny():
    return resolve(TINY_REASONER, Path())


@pytest.fixture(scope="session")
def opened(tiny):
    """Open an engine with other settings."""
    import torch  # noqa: PLC0415 - the tests that need no torch share this file

    from dto_jobs.engines.transformers import load  # noqa: PLC0415 - as above

    torch.set_num_threads(1)

    def opened(folder=tiny, chat_template=None, **settings):
        source = ModelSource(source=TINY_REASONER, chat_template=chat_template)
        return load(folder, TransformersEngine(device="cpu", **settings), source)

    return opened


@pytest.fixture(scope="session")
def engine(opened):
    return opened(slots=16)


@pytest.fixture(scope="session")
def vllm_opened(tiny):
    """Open vLLM with a model for a while; one at a time, since its parts find each other through the process."""

    @contextmanager
    def opened(folder=tiny, adapter=None, **settings):
        from dto_jobs.engines.vllm import load  # noqa: PLC0415 - takes seconds to import

        engine = load(folder, VllmEngine(**settings), ModelSource(source=TINY_REASONER), adapter)
        try:
            yield engine
        finally:
            engine.close()

    return opened


@pytest.fixture(scope="session")
def completed():
    """Complete requests, handing them out as places are free; the completions by key."""

    def completed(engine, requests):
        waiting = iter(requests)
        return {one.key: one for one in engine.complete(lambda free: list(islice(waiting, free)))}

    return completed


@pytest.fixture(scope="session")
def sums():
    """Make requests about sums of different lengths."""

    def sums(engine, count, **settings):
        settings = {"max_tokens": 60} | settings
        texts = (f"Compute {7 + n}+{n % 5}" + f"-{n % 7}+{n}" * (n % 4) + "." for n in range(count))
        return [Request(f"sum/{n}", engine.render(text), **settings) for n, text in enumerate(texts)]

    return sums

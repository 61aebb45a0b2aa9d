"""The GPU benchmark on a machine without one: its model is built and measured by the same code, small, and without a GPU it declines."""

import importlib.util
from pathlib import Path

import pytest

pytestmark = pytest.mark.engines

SHAPE = {
    "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1,
    "intermediate_size": 96, "vocab_size": 512, "tie_word_embeddings": False, "max_position_embeddings": 512,
}  # fmt: skip


@pytest.fixture(scope="module")
def gpu():
    spec = importlib.util.spec_from_file_location("bench_gpu", Path(__file__).parents[2] / "bench" / "gpu.py")
    module = importlib.util.module_from_spec(spec)
    import sys  # noqa: PLC0415 - dataclasses look their module up

    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_without_a_gpu_nothing_is_measured_and_that_is_said(gpu, monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert gpu.rows() == []
    assert "no CUDA device" in capsys.readouterr().err


def test_a_random_model_of_the_same_shape_goes_through_rollout_exits_and_training(gpu, tmp_path):
    from dto_jobs.engines.shapes import outlined  # noqa: PLC0415 - torch is in the jobs environment only

    folder = gpu.random_model(tmp_path / "model", SHAPE)
    assert outlined(folder).layers == 2
    size = gpu.Size(problems=2, samples=2, tokens=120, pairs=2)
    rows = {row["name"]: row for row in gpu.measured("small", folder, size, vllm=False)}
    parts = ("rollout", "exits", "training_chunked", "training_plain")
    assert rows.keys() == {f"gpu_small_{part}_{figure}" for part in parts for figure in ("tokens_per_second", "mfu")}
    assert all(row["value"] > 0 for row in rows.values())


def test_the_measured_shape_is_the_distilled_model_s(gpu):
    from dto_jobs.artifacts.model_shapes import from_config  # noqa: PLC0415 - with the rest

    assert from_config(gpu.QWEN_1P5B).weights == pytest.approx(1.777e9, rel=0.001)

"""A model's shape, told without loading it."""

import json
from importlib.resources import files
from pathlib import Path

import pytest

from dto_jobs.artifacts.model_shapes import described, from_config, read_config
from dto_jobs.errors import InputError

TINY = Path(str(files("dto_jobs.demo").joinpath("tiny-reasoner")))
# deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B
QWEN = {
    "hidden_size": 1536, "num_hidden_layers": 28, "num_attention_heads": 12, "num_key_value_heads": 2,
    "intermediate_size": 8960, "vocab_size": 151936, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
}  # fmt: skip


def test_headers_and_configuration_of_the_embedded_model_agree():
    by_headers, by_config = described(TINY), from_config(read_config(TINY / "config.json"))
    assert by_headers.shape == by_config.shape
    assert by_headers.told_by != by_config.told_by
    assert by_headers.weight_bytes == pytest.approx((TINY / "model.safetensors").stat().st_size, rel=0.02)


def test_a_known_model_has_the_weights_that_its_authors_say():
    found = from_config(QWEN)
    assert found.weights == pytest.approx(1.777e9, rel=0.001)
    assert found.shape.parameters == pytest.approx(1.777e9 - 1536 * 151936, rel=0.001)
    assert (found.shape.layers, found.shape.width) == (28, 1536)
    assert found.weight_bytes == 2 * found.weights


@pytest.mark.engines
@pytest.mark.parametrize("tied", [True, False])
def test_the_shape_is_the_one_that_transformers_would_build(tmp_path, tied):
    from dto_jobs.engines.shapes import outlined  # noqa: PLC0415 - torch is in the jobs environment only

    config = QWEN | {"model_type": "qwen2", "tie_word_embeddings": tied, "num_hidden_layers": 2}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert from_config(config).shape == outlined(tmp_path)


@pytest.mark.parametrize(
    ("text", "word"), [("{", "cannot read"), ("[]", "holds no object"), ('{"hidden_size": 8}', "num_hidden_layers")]
)
def test_a_configuration_that_tells_nothing_is_refused(tmp_path, text, word):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(InputError, match=word):
        described(tmp_path)


def test_a_mixture_of_experts_is_not_guessed_at():
    with pytest.raises(InputError, match="mixture of experts"):
        from_config(QWEN | {"num_experts": 8})


def test_weights_that_are_no_safetensors_are_said_so(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(QWEN))
    (tmp_path / "model.safetensors").write_bytes(b"not weights at all")
    with pytest.raises(InputError, match="no safetensors file"):
        described(tmp_path)

"""Settings of the engines: what cannot work is refused where it is written, with what to write instead."""

import pytest
from pydantic import ValidationError

from dto_jobs.model_source import OWN_ARGUMENTS, EngineSource, VllmEngine


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"dataParallel": 4}, r"dataParallel: several copies .* cut the stage into as many shards \(job\.shards\)"),
        ({"maxSequences": 64, "maxBatchedTokens": 32}, "maxBatchedTokens must be at least maxSequences"),
        ({"gpuMemoryShare": 1.5}, "less than or equal to 1"),
        ({"tensorParallel": 0}, "greater than or equal to 1"),
        (
            {"extraArguments": {"max_model_len": 10}},
            r"extraArguments\.max_model_len has a field of its own: set context",
        ),
        ({"extraArguments": {"load_format": "pt"}}, "weights are loaded from safetensors alone"),
        ({"maxModelLength": 10}, "Extra inputs are not permitted"),
    ],
)
def test_settings_of_vllm_that_cannot_work_say_what_to_write(settings, told):
    with pytest.raises(ValidationError, match=told):
        VllmEngine.model_validate(settings)


def test_a_batch_of_as_many_tokens_as_sequences_is_enough():
    settings = VllmEngine.model_validate({"maxSequences": 64, "maxBatchedTokens": 64, "dataParallel": 1})
    assert settings.max_batched_tokens == 64


def test_arguments_with_a_field_name_one_that_exists():
    own = {name for name in OWN_ARGUMENTS.values() if not name.startswith("spec.")}
    assert own <= {field.alias for field in VllmEngine.model_fields.values()}


def test_one_engine_is_named():
    assert EngineSource.model_validate({"vllm": {}}).kind == "vllm"
    with pytest.raises(ValidationError, match="name exactly one engine"):
        EngineSource.model_validate({"vllm": {}, "transformers": {}})

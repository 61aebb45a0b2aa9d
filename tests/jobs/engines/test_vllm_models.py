"""vLLM's CPU build with real weights, with a LoRA adapter, and with settings that it cannot have."""

import json
from pathlib import Path

import pytest

pytest.importorskip("vllm")
import peft
import torch
import transformers

from dto_jobs.core.records import Problem, Response
from dto_jobs.engines.model_sources import SMOLLM2, resolve
from dto_jobs.engines.transformers import load as load_plain
from dto_jobs.engines.vllm_arguments import engine_arguments
from dto_jobs.errors import InputError
from dto_jobs.model_source import ModelSource, TransformersEngine, VllmEngine
from dto_jobs.stage import Ports, Request
from dto_jobs.stages.exits import Exits

pytestmark = pytest.mark.engines
TINY = ModelSource(source="builtin:tiny-reasoner")
THINKING = (
    "We need 17 + 25. First add the tens: 10 + 20 = 30.\n\nThen the ones: 7 + 5 = 12, and 30 + 12 = 42. "
    "Wait, let me check that. 42 - 25 = 17. Yes.\n\nAlternatively, 17 + 25 = 20 + 22 = 42. So the answer is 42."
)


# Real weights


@pytest.fixture(scope="module")
def smollm2(vllm_opened):
    with vllm_opened(resolve(SMOLLM2, Path()), max_sequences=16, context=512, cache_mebibytes=512) as engine:
        yield engine


@pytest.fixture(scope="module")
def plain():
    """The same model through transformers."""
    settings = TransformersEngine(device="cpu", slots=16, context=512)
    return load_plain(resolve(SMOLLM2, Path()), settings, ModelSource(source=SMOLLM2))


def test_real_weights_say_what_they_say_in_transformers(smollm2, plain, completed):
    assert (smollm2.shape, smollm2.thinking) == (plain.shape, plain.thinking)
    question = smollm2.render("What is 17 + 25?")
    assert question == plain.render("What is 17 + 25?")
    texts = [(question, THINKING), (question, "The answer is 42."), (question, "Banana")]
    assert smollm2.score(texts) == pytest.approx(plain.score(texts), abs=1e-3)
    greedy = [Request(f"{n}", smollm2.render(f"What is {n} + 25?"), 8, temperature=0.0) for n in (3, 17, 40)]
    found, wanted = completed(smollm2, greedy), completed(plain, greedy)
    assert {key: one.text for key, one in found.items()} == {key: one.text for key, one in wanted.items()}


def test_an_exit_is_found_in_a_trace_and_both_strategies_agree(smollm2):
    problem = Problem(id="sum", question="What is 17 + 25?", answer="42")
    response = Response(
        id="sum#0", problem=problem, prompt=smollm2.render(problem.question), text=THINKING, prompt_tokens=1, tokens=1,
        finished=True, opened=False, answer="42", correct=True,
    )  # fmt: skip
    found = {}
    for strategy in ("curtailed", "exhaustive"):
        stage = Exits.model_validate(
            {"strategy": strategy, "maxTokens": 8, "completions": 4, "segmentation": {"minTokens": 4}}
        )
        [[found[strategy]]] = stage.run([response], Ports(engine=smollm2))
    assert found["curtailed"].exit == found["exhaustive"].exit
    assert found["exhaustive"].boundaries[-1].rate > 0, "the trace states its answer"


def test_a_repeated_batch_gives_the_same_words(smollm2, completed):
    requests = [Request(f"{n}", smollm2.render(f"What is {n} + 25?"), 6) for n in range(8)]
    first, second = completed(smollm2, requests), completed(smollm2, requests)
    assert {key: one.text for key, one in first.items()} == {key: one.text for key, one in second.items()}
    assert len({one.text for one in first.values()}) > 1


def test_sampled_tokens_are_those_that_the_text_is_read_as(smollm2, monkeypatch):
    drawn = []
    step = smollm2._engine.step

    def watched():
        outputs = step()
        drawn.extend((one.prompt_token_ids, one.outputs[0]) for one in outputs if one.finished)
        return outputs

    monkeypatch.setattr(smollm2._engine, "step", watched)
    waiting = [Request(f"{n}", smollm2.render(f"Say why {n} is a nice number."), 20) for n in range(8)]
    list(smollm2.complete(lambda free: [waiting.pop() for _ in range(min(free, len(waiting)))]))
    read = [smollm2._texts.fresh(one.text) for _, one in drawn]
    tokens = [list(one.token_ids)[: -1 if one.finish_reason == "stop" else None] for _, one in drawn]
    assert len(drawn) == 8
    assert read == tokens


# An adapter


@pytest.fixture(scope="module")
def adapted(tiny, tmp_path_factory):
    """A LoRA adapter with random weights, and the model with it merged in."""
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32)
    settings = peft.LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    with_adapter = peft.get_peft_model(model, settings)
    for name, weight in with_adapter.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=1.0)
    folder = tmp_path_factory.mktemp("adapter")
    with_adapter.save_pretrained(folder / "adapter")
    with_adapter.merge_and_unload().save_pretrained(folder / "merged")
    transformers.AutoTokenizer.from_pretrained(tiny).save_pretrained(folder / "merged")
    return folder


def test_an_adapter_answers_as_the_model_with_it_merged_in(adapted, opened, vllm_opened, completed, sums):
    merged, base = opened(folder=adapted / "merged", slots=8), opened(slots=8)
    requests = sums(merged, 6, temperature=0.0, max_tokens=24)
    with vllm_opened(adapter=adapted / "adapter", max_sequences=8, context=256, cache_mebibytes=64) as engine:
        found = {key: one.text for key, one in completed(engine, requests).items()}
        texts = [(requests[0].prompt, "First, I go"), (requests[0].prompt, "Banana")]
        assert engine.score(texts) == pytest.approx(merged.score(texts), abs=1e-3)
    assert found == {key: one.text for key, one in completed(merged, requests).items()}
    assert found != {key: one.text for key, one in completed(base, requests).items()}


def test_a_folder_without_an_adapter_is_refused(tiny, vllm_opened, adapted, tmp_path):
    with pytest.raises(InputError, match="holds no LoRA adapter"), vllm_opened(adapter=tiny):
        pass
    other = json.loads((adapted / "adapter/adapter_config.json").read_text()) | {"peft_type": "IA3"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(other))
    (tmp_path / "adapter_model.safetensors").touch()
    with pytest.raises(InputError, match="not LoRA; merge it"), vllm_opened(adapter=tmp_path):
        pass


# What it is started with


def test_a_cpu_gets_what_a_cpu_needs_and_what_the_run_says(tiny):
    settings = VllmEngine.model_validate(
        {"context": 64, "cacheMebibytes": 8, "prefixCaching": False, "extraArguments": {"seed": 5}}
    )
    arguments = engine_arguments(tiny, settings, TINY, rank=9)
    assert (arguments.dtype, arguments.enforce_eager, arguments.enable_chunked_prefill) == ("float32", True, False)
    assert (arguments.max_model_len, arguments.kv_cache_memory_bytes, arguments.seed) == (64, 8 << 20, 5)
    assert (arguments.enable_prefix_caching, arguments.trust_remote_code, arguments.max_lora_rank) == (False, False, 16)


def test_a_gpu_gets_vllms_own_choices(tiny, monkeypatch):
    monkeypatch.setattr("dto_jobs.engines.vllm_arguments.current_platform.is_cpu", lambda: False)
    plain = engine_arguments(tiny, VllmEngine(), TINY)
    assert (plain.dtype, plain.block_size, plain.enable_chunked_prefill, plain.max_num_batched_tokens) == (
        "auto",
        None,
        None,
        None,
    )
    assert plain.long_prefill_token_threshold == 1024, "the whole context of a model with few words"
    chosen = engine_arguments(tiny, VllmEngine(tensor_parallel=2, gpu_memory_share=0.5, quantization="fp8"), TINY)
    assert (chosen.tensor_parallel_size, chosen.gpu_memory_utilization, chosen.quantization) == (2, 0.5, "fp8")


def test_on_a_gpu_long_prompts_enter_in_pieces_whose_logits_there_is_memory_for(tmp_path, monkeypatch):
    monkeypatch.setattr("dto_jobs.engines.vllm_arguments.current_platform.is_cpu", lambda: False)
    (tmp_path / "config.json").write_text(json.dumps({"vocab_size": 151936, "max_position_embeddings": 131072}))
    assert engine_arguments(tmp_path, VllmEngine(), TINY).long_prefill_token_threshold == 883
    chosen = VllmEngine(extra_arguments={"long_prefill_token_threshold": 2048})
    assert engine_arguments(tmp_path, chosen, TINY).long_prefill_token_threshold == 2048


@pytest.mark.parametrize(
    ("extra", "told"),
    [
        ({"pipeline_paralel_size": 2}, "did you mean pipeline_parallel_size"),
        ({"enable_chunked_prefill": True}, "cannot be set on a CPU, where prompts enter whole"),
    ],
)
def test_arguments_that_vllm_has_not_or_must_not_have_are_refused(tiny, extra, told):
    with pytest.raises(InputError, match=told):
        engine_arguments(tiny, VllmEngine(extra_arguments=extra), TINY)


def test_settings_that_the_model_cannot_have_are_reported_with_its_folder(vllm_opened):
    with (
        pytest.raises(InputError, match=r"(?s)tiny-reasoner: vLLM cannot run this model.*max_model_len"),
        vllm_opened(context=1 << 20),
    ):
        pass

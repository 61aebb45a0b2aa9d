"""Log-probabilities in chunks: the same numbers and gradients as from all logits, and a check that notices where they are not."""

import subprocess
import sys

import pytest

pytest.importorskip("torch")
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model

from dto_jobs.engines import log_probabilities as module
from dto_jobs.engines.log_probabilities import IGNORED, disagreement, head_reads, log_probabilities

pytestmark = pytest.mark.engines

WIDTH, WORDS = 6, 11


@given(
    seed=st.integers(0, 2**31),
    sequences=st.integers(1, 3),
    length=st.integers(2, 9),
    chunk=st.integers(1, 30),
    data=st.data(),
)
@settings(max_examples=60, deadline=None)
def test_chunks_of_any_size_give_the_numbers_and_gradients_of_all_logits(seed, sequences, length, chunk, data):
    torch.manual_seed(seed)
    hidden = torch.randn(sequences, length, WIDTH, dtype=torch.float64).float()
    head = torch.nn.Linear(WIDTH, WORDS)
    some = st.lists(st.sampled_from([IGNORED, *range(WORDS)]), min_size=length, max_size=length)
    labels = torch.tensor([data.draw(some) for _ in range(sequences)])

    def plain(states):
        following = labels[:, 1:]
        logs = head(states)[:, :-1].log_softmax(-1)
        return logs.gather(-1, following.clamp(min=0)[..., None])[..., 0] * (following != IGNORED)

    found = []
    for way in (plain, lambda states: log_probabilities(head.forward, states, labels, chunk)):
        states = hidden.clone().requires_grad_()
        head.zero_grad()
        values = way(states)
        (values * torch.arange(1, length)).sum().backward()
        found.append((values.detach(), states.grad, head.weight.grad, head.bias.grad))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


@pytest.fixture
def model(tiny):
    return transformers.AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32)


TOKENS = list(range(20, 60))


@pytest.mark.parametrize("adapted", [False, True], ids=["full", "lora"])
def test_a_model_s_head_agrees_with_its_own_logits(model, monkeypatch, adapted):
    monkeypatch.setattr(module, "CHUNK_LOGITS", 3 * model.config.vocab_size)
    if adapted:
        model = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    assert disagreement(model, TOKENS) < 1e-4


def test_a_model_that_caps_its_logits_is_noticed():
    config = transformers.Gemma2Config(
        vocab_size=64, hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=1,
        num_key_value_heads=1, head_dim=32, final_logit_softcapping=0.5, pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    torch.manual_seed(0)
    assert disagreement(transformers.Gemma2ForCausalLM(config), TOKENS) > 0.01


def test_the_head_is_as_it_was_afterwards(model):
    head = model.get_output_embeddings()
    tokens = torch.tensor([TOKENS])
    with torch.no_grad():
        before = model(tokens).logits
        with pytest.raises(RuntimeError), head_reads(head, tokens):
            raise RuntimeError
        assert torch.equal(model(tokens).logits, before)


SHARDED = """
import sys
import torch
from torch.distributed.fsdp import fully_shard
from transformers import AutoModelForCausalLM
from dto_jobs.engines import log_probabilities
from dto_jobs.engines.log_probabilities import head_reads

def gradients(model):
    with head_reads(model.get_output_embeddings(), tokens):
        found = model(tokens, use_cache=False).logits
    found.sum().backward()
    whole = [one.grad.full_tensor() if hasattr(one.grad, "full_tensor") else one.grad for one in model.parameters()]
    return found.detach(), whole

torch.set_num_threads(1)
log_probabilities.CHUNK_LOGITS = 5000
torch.distributed.init_process_group("gloo")
tokens = torch.arange(20, 60)[None]
plain, sharded = (AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32) for _ in range(2))
for layer in sharded.model.layers:
    fully_shard(layer, mesh=torch.distributed.device_mesh.init_device_mesh("cpu", (2,)))
fully_shard(sharded, mesh=torch.distributed.device_mesh.init_device_mesh("cpu", (2,)))
assert sum(one.to_local().numel() for one in sharded.parameters()) < 0.6 * sum(one.numel() for one in plain.parameters())
torch.testing.assert_close(gradients(sharded), gradients(plain), rtol=1e-4, atol=1e-5)
print("the same")
"""


def test_a_head_whose_weights_are_sharded_gives_the_same(tiny, tmp_path):
    (tmp_path / "sharded.py").write_text(SHARDED)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--rdzv-backend=c10d"]
    command += ["--rdzv-endpoint=localhost:0", tmp_path / "sharded.py", tiny]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.count("the same") == 2, done.stderr[-3000:]

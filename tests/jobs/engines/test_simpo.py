"""SimPO by TRL: its loss by hand, the same weights twice and after a kill, models that load, and what it refuses."""

import json
import random
import shutil
from dataclasses import dataclass

import pytest

pytest.importorskip("trl")
import torch
import transformers
from safetensors.torch import load_file
from torch.nn.functional import logsigmoid

from dto_jobs.core.cost import training
from dto_jobs.core.divergence import Guard
from dto_jobs.core.records import Pair
from dto_jobs.engines.model_sources import digest
from dto_jobs.engines.simpo import PairTrainer, SimpoTrainer, _trainer
from dto_jobs.engines.training_log import MEASURED, Watch
from dto_jobs.engines.transformers import shape
from dto_jobs.errors import InputError, StageFailedError
from dto_jobs.stages.training import Lora, Training

pytestmark = pytest.mark.engines

QUICK = {"learning_rate": 1e-3, "batch": 4, "micro_batch": 2, "nll": 0.5, "warmup": 0.0}


def silent(figures):
    del figures


def lasting(figures):
    """The figures without those that differ from run to run."""
    kept = {name: value for name, value in figures.items() if name not in MEASURED}
    return kept | {"log": [{name: one[name] for name in one if name not in MEASURED} for one in figures["log"]]}


class Killed(BaseException):
    """Stands for kill -9."""


def pair(number):
    one, other = 12 + number, 5 + number % 4
    steps = f"First, I go from left to right.\n{one}+{other}={one + other}"
    end = f"\n\nThat settles it.\n</think>\n\n**Final Answer**\n\\boxed{{{one + other}}}"
    return Pair(
        problem_id=f"p{number}",
        level="easy",
        kind="compressed",
        prompt=f"<|im_start|>user\nCompute {one}+{other}.<|im_end|>\n<|im_start|>assistant\n<think>\n",
        chosen=steps + end,
        rejected=f"{steps}\n\nWait, let me check that again.\n{one}+{other}={one + other}{end}",
        chosen_tokens=40,
        rejected_tokens=60,
        copies=1 + number % 2,
    )


PAIRS = [pair(number) for number in range(12)]
ROWS = sum(one.copies for one in PAIRS)


@pytest.fixture(autouse=True)
def one_thread():
    """Several threads would wait for each other on a busy machine, and add up in another order."""
    torch.set_num_threads(1)


@pytest.fixture
def trained(tiny, tmp_path):
    """Train the embedded model in a workspace of its own."""

    def trained(name="one", pairs=PAIRS, note=silent, seed=0, base=tiny, **settings):
        workspace = tmp_path / name
        workspace.mkdir(exist_ok=True)
        return SimpoTrainer(base).train(pairs, Training(**(QUICK | settings)), workspace, note, seed)

    return trained


def untrained(base, settings, workspace):
    model, tokenizer, _ = SimpoTrainer(base)._loaded(settings)
    return _trainer(model, tokenizer, PAIRS, settings, workspace, Watch(silent, settings.guard), 0)


@dataclass
class Seen:
    """A micro-batch, the log-probabilities of its responses' tokens under the model as it was, and the trainer's loss."""

    inputs: dict
    chosen: list
    rejected: list
    loss: float


@pytest.fixture
def seen(monkeypatch):
    """Record what passes through the trainer."""
    seen = []
    inner = PairTrainer.compute_loss

    def recorded(self, model, inputs, *more, **named):
        loss = inner(self, model, inputs, *more, **named)
        sides = [log_probabilities(model, inputs, side) for side in ("chosen", "rejected")]
        seen.append(Seen(inputs, *sides, float(loss.detach())))
        return loss

    monkeypatch.setattr(PairTrainer, "compute_loss", recorded)
    return seen


def log_probabilities(model, inputs, side):
    """The log-probability of each response token, one tensor per response."""
    found = []
    for tokens, labels in zip(inputs[f"{side}_input_ids"], inputs[f"{side}_labels"], strict=True):
        with torch.no_grad():
            logs = model(input_ids=tokens[None]).logits[0].log_softmax(-1)
        places = [place for place, label in enumerate(labels.tolist()) if label != -100]
        found.append(torch.stack([logs[place - 1, tokens[place]] for place in places]))
    return found


# The loss


@pytest.mark.parametrize(("beta", "gamma_ratio", "nll"), [(2.0, 0.25, 0.0), (2.5, 0.5, 1.0), (10.0, 0.0, 0.1)])
def test_the_loss_is_the_formula(trained, seen, beta, gamma_ratio, nll):
    trained(beta=beta, gamma_ratio=gamma_ratio, nll=nll, learning_rate=1e-4)
    assert len(seen) == ROWS // 2
    for one in seen:
        preferences = [
            -logsigmoid(beta * (chosen.mean() - rejected.mean()) - beta * gamma_ratio)
            for chosen, rejected in zip(one.chosen, one.rejected, strict=True)
        ]
        likelihood = -torch.cat(one.chosen).mean()
        assert one.loss == pytest.approx(float(torch.stack(preferences).mean() + nll * likelihood), rel=1e-4)


def test_the_control_follows_the_chosen_responses_alone(trained, seen):
    trained(loss="sft", nll=0.0)
    for one in seen:
        assert one.loss == pytest.approx(float(-torch.cat(one.chosen).mean()), rel=1e-4)


def test_a_response_enters_whole_and_with_one_end_mark(trained, seen, tiny):
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny)
    trained()
    texts = set()
    for inputs in (one.inputs for one in seen):
        for side in ("chosen", "rejected"):
            for tokens, labels in zip(inputs[f"{side}_input_ids"], inputs[f"{side}_labels"], strict=True):
                kept = tokens[: int((labels != -100).nonzero().max()) + 1]
                texts.add(tokenizer.decode(kept))
                assert tokenizer.decode(kept[labels[: len(kept)] == -100]) in {one.prompt for one in PAIRS}
    assert texts == {f"{one.prompt}{response}<|im_end|>" for one in PAIRS for response in (one.chosen, one.rejected)}


def test_copies_of_a_pair_are_rows_of_their_own(trained, seen):
    made = trained()
    rows = [tuple(tokens.tolist()) for one in seen for tokens in one.inputs["prompt_input_ids"]]
    assert len(rows) == ROWS == made.figures["rows"]
    assert len(set(rows)) == len(PAIRS) == made.figures["pairs"]


def test_no_mark_is_put_before_prompts_that_have_none(trained, seen, tiny, tmp_path):
    base = shutil.copytree(tiny, tmp_path / "base")
    settings = json.loads((base / "tokenizer_config.json").read_text())
    (base / "tokenizer_config.json").write_text(json.dumps(settings | {"bos_token": "<|endoftext|>"}))
    made = trained(base=base)
    for one in seen:
        assert set(one.inputs["chosen_input_ids"][:, 0].tolist()) == {1}
    assert json.loads((made.folder / "tokenizer_config.json").read_text())["bos_token"] == "<|endoftext|>"


@pytest.mark.parametrize("adapters", [None, Lora(rank=4)], ids=["full", "lora"])
@pytest.mark.parametrize("nll", [0.0, 1.0])
def test_chunked_and_plain_have_the_same_loss_and_gradients(tiny, tmp_path, monkeypatch, adapters, nll):
    monkeypatch.setattr("dto_jobs.engines.log_probabilities.CHUNK_LOGITS", 2000)
    found = []
    for way in ("chunked", "plain"):
        settings = Training(**QUICK | {"nll": nll}, lora=adapters, log_probabilities=way)
        trainer = untrained(tiny, settings, tmp_path)
        batch = next(iter(trainer.get_train_dataloader()))
        trainer.model.train()
        loss = trainer.compute_loss(trainer.model, batch)
        loss.backward()
        gradients = {name: one.grad for name, one in trainer.model.named_parameters() if one.grad is not None}
        found.append((loss.detach(), gradients))
    (loss, gradients), (plain_loss, plain_gradients) = found
    torch.testing.assert_close(loss, plain_loss, rtol=1e-5, atol=1e-6)
    assert len(gradients) > 10
    torch.testing.assert_close(gradients, plain_gradients, rtol=1e-4, atol=1e-6)


def test_a_model_whose_head_does_not_say_it_all_is_refused(trained, monkeypatch):
    monkeypatch.setattr("dto_jobs.engines.simpo.disagreement", lambda *_: 0.2)
    with pytest.raises(StageFailedError, match="logProbabilities to plain"):
        trained("chunked")
    assert trained("plain", log_probabilities="plain").figures["steps"] == 5


# The steps


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(trained):
    one, same, other = trained("one"), trained("same"), trained("other", seed=1)
    assert digest(one.folder) == digest(same.folder)
    assert digest(one.folder) != digest(other.folder)
    assert lasting(one.figures) == lasting(same.figures)


@pytest.mark.parametrize("settings", [{}, {"lora": Lora(rank=4)}], ids=["full", "lora"])
def test_a_killed_training_goes_on_from_its_checkpoint_to_the_same_weights(trained, settings):
    whole = trained("whole", save_steps=2, **settings)
    steps = []

    def kill_after_three(figures):
        steps.append(figures["step"])
        if len(steps) == 3:
            raise Killed

    with pytest.raises(Killed):
        trained("killed", save_steps=2, note=kill_after_three, **settings)
    resumed = trained("killed", save_steps=2, note=lambda figures: steps.append(figures["step"]), **settings)
    assert steps == [1, 2, 3, 3, 4, 5]
    assert digest(resumed.folder) == digest(whole.folder)
    assert lasting(resumed.figures) == lasting(whole.figures)


def test_a_torn_checkpoint_is_passed_over(trained, tmp_path):
    torn = tmp_path / "one" / "checkpoint-4"
    torn.mkdir(parents=True)
    (torn / "model.safetensors").write_text("half")
    assert trained("one").figures["steps"] == 5


def test_a_short_training_leaves_no_checkpoints_unless_asked(trained, tmp_path, monkeypatch):
    trained("short")
    trained("asked", save_steps=2)
    monkeypatch.setattr("dto_jobs.engines.training_log.BETWEEN_CHECKPOINTS", 0.0)
    trained("long")
    assert [len(list((tmp_path / name).glob("checkpoint-*"))) for name in ("short", "asked", "long")] == [0, 1, 1]


def test_notes_tell_how_the_training_goes(trained):
    notes = []
    made = trained(note=notes.append, learning_rate=2e-3, epochs=6.0)
    assert [note["step"] for note in notes] == list(range(1, 28))
    assert {note["steps"] for note in notes} == {27}
    rates = [note["learningRate"] for note in notes]
    assert rates == sorted(rates, reverse=True)
    assert notes[-1]["margin"] > notes[0]["margin"]
    assert notes[-1]["rewardAccuracy"] == 1.0
    assert made.figures["loss"] == notes[-1]["loss"] < notes[0]["loss"]


def test_what_it_took_is_what_passed_through(trained, tiny):
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny)
    made = trained(epochs=2.0)
    lengths = [
        len(tokenizer(one.prompt + response)["input_ids"]) + 1
        for one in PAIRS
        for _ in range(one.copies)
        for response in (one.chosen, one.rejected)
    ]
    numbers = shape(transformers.AutoModelForCausalLM.from_pretrained(tiny))
    wanted = training(numbers, lengths * 2)
    assert (made.spend.trained, made.spend.flops) == (wanted.trained, wanted.flops)


# What comes of it


@pytest.mark.parametrize("settings", [{}, {"lora": Lora(rank=4), "learning_rate": 1e-2}], ids=["full", "lora"])
def test_the_trained_model_answers_in_the_engine(trained, tiny, opened, engine, settings):
    made = trained(**settings)
    tuned = opened(folder=made.folder, slots=4)
    assert tuned.shape == engine.shape
    assert tuned.render("Compute 1+1.") == engine.render("Compute 1+1.")
    texts = [(one.prompt, one.chosen) for one in PAIRS]
    assert sum(tuned.score(texts)) > sum(engine.score(texts))
    before, after = (load_file(folder / "model.safetensors") for folder in (tiny, made.folder))
    assert {name: weight.dtype for name, weight in before.items()} == {
        name: weight.dtype for name, weight in after.items()
    }


def test_the_trained_model_keeps_its_tokenizer_to_the_byte(trained, tiny):
    made = trained()
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"):
        assert (made.folder / name).read_bytes() == (tiny / name).read_bytes()


def test_nothing_is_printed(trained, capfd):
    trained()
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")


# What it refuses


def test_no_pairs_are_explained(trained):
    with pytest.raises(InputError, match="no pairs to train on"):
        trained(pairs=[])


def test_a_training_whose_loss_is_no_number_stops(trained):
    with pytest.raises(StageFailedError, match=r"diverged at step.*learningRate"):
        trained(learning_rate=1e30, epochs=4.0, clip=1e30)


def test_a_training_that_goes_wrong_stops_unless_told_not_to(trained):
    wild = {"learning_rate": 3e-2, "epochs": 4.0, "nll": 0.0}
    with pytest.raises(StageFailedError, match=r"diverged at step \d+ of 18: .*stages.training.nll"):
        trained("guarded", **wild, guard=Guard(window=2))
    assert trained("unguarded", **wild, guard=Guard(enabled=False)).figures["steps"] == 18


def test_pairs_longer_than_the_model_s_context_are_dropped_and_counted(trained, seen, tiny, tmp_path):
    base = shutil.copytree(tiny, tmp_path / "base")
    longer = [one.model_copy(update={"rejected": 3 * one.rejected}) for one in PAIRS[:5]]
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny)
    context = max(
        len(tokenizer(one.prompt + text)["input_ids"]) + 1 for one in PAIRS for text in (one.chosen, one.rejected)
    )
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(config | {"max_position_embeddings": context}))
    made = trained(base=base, pairs=[*longer, *PAIRS[5:]])
    assert (made.figures["pairs"], made.figures["droppedTooLong"]) == (7, 5)
    assert max(one.inputs[f"{side}_input_ids"].shape[1] for one in seen for side in ("chosen", "rejected")) == context
    (base / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 8}))
    with pytest.raises(InputError, match="all 12 pairs are longer than the model's context of 8"):
        trained("none", base=base)


@pytest.mark.parametrize(("batch", "micro"), [(4, 4), (10, 8), (7, 3)])
def test_a_batch_is_as_large_as_asked(trained, seen, batch, micro):
    made = trained(batch=batch, micro_batch=micro)
    sizes = [len(one.chosen) for one in seen]
    assert max(sizes) <= micro
    assert made.figures["steps"] == -(-ROWS // batch)
    assert sum(sizes[: batch // max(sizes)]) == batch


def test_sharding_on_a_machine_without_gpus_is_refused(trained):
    with pytest.raises(StageFailedError, match="no CUDA device"):
        trained(distributed="fsdp")


def test_order_and_dropout_hang_on_the_seed_alone(trained):
    random.seed(1)
    torch.manual_seed(1)
    one = trained("one")
    random.seed(2)
    torch.manual_seed(2)
    assert digest(trained("two").folder) == digest(one.folder)


def test_settings_are_named_in_the_run_file_as_documented():
    settings = Training.model_validate({"gammaRatio": 0.5, "microBatch": 2, "lora": {"rank": 8}})
    assert (settings.gamma_ratio, settings.micro_batch, settings.lora) == (0.5, 2, Lora(rank=8))
    assert json.loads(settings.model_dump_json(by_alias=True))["gammaRatio"] == 0.5

"""Builds the demonstration's model from nothing: `python -m dto_jobs.demo.build --out DIR`.

One training phase on one thread with fixed seeds: the same machine gives the same weights, byte for byte.
"""

import argparse
import hashlib
import os
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from dto_jobs.demo.arithmetic import Expression
from dto_jobs.demo.drills import draw_drill
from dto_jobs.demo.optimizer import Muon
from dto_jobs.demo.problems import LEVELS, draw_expression, reserved_expressions
from dto_jobs.demo.traces import TEMPERATURE, draw_training_trace
from dto_jobs.prompts import math_question

FOLDER = Path(__file__).parent / "tiny-reasoner"
END = "<|im_end|>"
PADDING = "<|endoftext|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}"
)

STEPS = 2000
TOKENS_PER_STEP = 2560
WARM_UP = 50  # steps
PLATEAU = 0.4  # share of the steps at full learning rate and with many drills
MATRIX_LEARNING_RATE = 0.02
OTHER_LEARNING_RATE = 4e-3
# Without dense drills the arithmetic is not learnt from traces alone within minutes.
EARLY_DRILLS, LATE_DRILLS = 0.6, 0.2
PLAIN = 0.5  # share of prompts without the instruction that asks for a boxed answer
DRAWN_AT_ONCE = 320  # documents sorted into batches of similar length
IGNORED = -100  # the label that cross entropy leaves out


@dataclass(frozen=True, slots=True)
class Row:
    """One training document as tokens, and which of them the model has to predict."""

    tokens: list[int]
    learnt: list[bool]


def draw_prompt(source: random.Random, expression: Expression) -> str:
    """Return what the chat template makes of a problem, asked plainly or with the product's usual instruction."""
    question = f"Compute {expression}."
    return framed(question if source.random() < PLAIN else math_question(question))


def framed(question: str) -> str:
    """Return what the chat template makes of a question."""
    return f"<|im_start|>user\n{question}{END}\n<|im_start|>assistant\n<think>\n"


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Train a small byte-level tokenizer on traces; digits stay single."""
    source = random.Random(123)  # noqa: S311 - reproducible data, not secrets
    documents = []
    for _ in range(4000):
        expression = draw_expression(source, source.choice(LEVELS))
        documents.append(draw_prompt(source, expression) + draw_training_trace(source, expression).text())
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        special_tokens=[PADDING, "<|im_start|>", END, "<think>", "</think>"],
        min_frequency=50,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(documents, trainer)
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, pad_token=PADDING)
    wrapped.chat_template = CHAT_TEMPLATE
    return wrapped


def make_model(tokenizer: PreTrainedTokenizerFast) -> Qwen2ForCausalLM:
    """Return an untrained model of about 0.8 million parameters."""
    end, padding = tokenizer.convert_tokens_to_ids([END, PADDING])
    settings = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,  # heads of 32, the smallest that vLLM runs on a CPU
        num_key_value_heads=1,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        bos_token_id=None,
        eos_token_id=end,
        pad_token_id=padding,
        attn_implementation="sdpa",
    )
    model = Qwen2ForCausalLM(settings)
    model.generation_config.update(do_sample=True, temperature=TEMPERATURE, top_p=0.95)
    return model


class Batches:
    """Endless batches of traces and drills, each of rows of similar length."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, seed: int) -> None:
        self.tokenizer = tokenizer
        self.source = random.Random(seed)  # noqa: S311 - reproducible data, not secrets
        self.reserved = reserved_expressions()

    def draw(self, steps: int) -> Iterator[list[Row]]:
        """Yield one batch per step; the share of drills falls after the plateau."""
        waiting: list[list[Row]] = []
        for step in range(steps):
            if not waiting:
                waiting = self._fill(EARLY_DRILLS if step < PLATEAU * steps else LATE_DRILLS)
            yield waiting.pop()

    def _fill(self, drills: float) -> list[list[Row]]:
        count = int(DRAWN_AT_ONCE * drills)
        rows = [self._drill() for _ in range(count)] + [self._trace() for _ in range(DRAWN_AT_ONCE - count)]
        batches: list[list[Row]] = [[]]
        for row in sorted(rows, key=lambda row: len(row.tokens)):
            if len(row.tokens) * (len(batches[-1]) + 1) > TOKENS_PER_STEP:
                batches.append([])
            batches[-1].append(row)
        self.source.shuffle(batches)
        return batches

    def _encode(self, text: str) -> list[int]:
        tokens: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return tokens

    def _trace(self) -> Row:
        while True:
            expression = draw_expression(self.source, self.source.choice(LEVELS))
            if str(expression) not in self.reserved:
                break
        question = self._encode(draw_prompt(self.source, expression))
        response = self._encode(draw_training_trace(self.source, expression).text() + END)
        return Row(question + response, [False] * len(question) + [True] * len(response))

    def _drill(self) -> Row:
        tokens: list[int] = []
        learnt: list[bool] = []
        for given, wanted in draw_drill(self.source):
            question, result = self._encode(given), self._encode(wanted)
            tokens += question + result
            learnt += [False] * len(question) + [True] * len(result)
        return Row(tokens, learnt)


def loss_of(model: Qwen2ForCausalLM, batch: list[Row]) -> torch.Tensor:
    """Return the mean cross entropy of the tokens to be learnt."""
    width = max(len(row.tokens) for row in batch)
    tokens = torch.zeros(len(batch), width, dtype=torch.long)
    labels = torch.full((len(batch), width), IGNORED)
    for index, row in enumerate(batch):
        known = torch.tensor(row.tokens)
        tokens[index, : len(known)] = known
        labels[index, : len(known)] = torch.where(torch.tensor(row.learnt), known, IGNORED)
    hidden = model.model(input_ids=tokens).last_hidden_state[:, :-1]
    wanted = labels[:, 1:]
    # The head is applied only where something is to be learnt: it is a third of the work otherwise.
    kept = wanted != IGNORED
    return torch.nn.functional.cross_entropy(model.lm_head(hidden[kept]), wanted[kept])


def rate_scale(step: int, steps: int) -> float:
    """Return the factor on the learning rates: warm-up, plateau, then linearly towards zero."""
    done = step / steps
    falling = 1.0 if done < PLATEAU else max(0.01, (1 - done) / (1 - PLATEAU))
    return min(1.0, (step + 1) / WARM_UP) * falling


def train(model: Qwen2ForCausalLM, batches: Iterator[list[Row]], steps: int) -> None:
    """Train in one phase: Muon for the matrices, AdamW for embeddings, norms and biases."""
    named = list(model.named_parameters())
    matrices = [weight for name, weight in named if weight.ndim == 2 and "embed" not in name]
    others = [weight for name, weight in named if weight.ndim != 2 or "embed" in name]
    muon = Muon(matrices, MATRIX_LEARNING_RATE)
    adam = torch.optim.AdamW(others, lr=OTHER_LEARNING_RATE, betas=(0.9, 0.95), weight_decay=0.0)
    progress = Progress(steps)
    for step, batch in enumerate(batches):
        scale = rate_scale(step, steps)
        loss = loss_of(model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(others, 1.0)
        adam.param_groups[0]["lr"] = OTHER_LEARNING_RATE * scale
        adam.step()
        adam.zero_grad()
        muon.step(scale)
        progress.advance(loss.item(), sum(len(row.tokens) for row in batch))


class Progress:
    """One line that says how far the training is and when it will be done."""

    def __init__(self, steps: int) -> None:
        self.steps, self.step, self.tokens, self.loss = steps, 0, 0, 0.0
        self.began = time.monotonic()

    def advance(self, loss: float, tokens: int) -> None:
        """Count one step and now and then say where things stand."""
        self.step += 1
        self.tokens += tokens
        self.loss = loss if self.step == 1 else 0.98 * self.loss + 0.02 * loss
        if self.step % 50 and self.step != self.steps:
            return
        passed = time.monotonic() - self.began
        left = passed / self.step * (self.steps - self.step)
        sys.stdout.write(
            f"step {self.step}/{self.steps}  loss {self.loss:.4f}  {self.tokens / passed:,.0f} tokens/s  "
            f"{self.tokens:,} tokens in {passed:.0f} s  about {left / 60:.1f} min left\n"
        )
        sys.stdout.flush()


def build(folder: Path, steps: int = STEPS, seed: int = 2024) -> str:
    """Train the model, write everything that `AutoModelForCausalLM` loads, and return the weights' sha256."""
    torch.set_num_threads(1)  # more threads would add up in another order
    torch.manual_seed(seed)
    tokenizer = make_tokenizer()
    model = make_model(tokenizer).train()
    train(model, Batches(tokenizer, seed).draw(steps), steps)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(folder)
    model.to(torch.bfloat16).save_pretrained(folder)
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def main() -> None:
    """Build the model from the command line."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    parser = argparse.ArgumentParser(description="Train the demonstration's model from scratch, on one core.")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder to write (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=STEPS, help="training steps (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=2024, help="seed of weights and data (default: %(default)s)")
    chosen = parser.parse_args()
    sys.stdout.write(f"sha256 {build(chosen.out, chosen.steps, chosen.seed)}\n")


if __name__ == "__main__":
    main()

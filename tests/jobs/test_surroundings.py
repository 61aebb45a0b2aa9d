"""What the environment says to a stage."""

import re
from pathlib import Path

import pytest

from dto_jobs.errors import InputError
from dto_jobs.surroundings import redacted, secrets, surroundings

ROOT = Path(__file__).resolve().parents[2]


def test_a_pods_environment_is_read():
    around = surroundings({"JOB_COMPLETION_INDEX": "3", "DTO_SHARDS": "8", "DTO_METRICS_PORT": "9090", "HOME": "x"})
    assert (around.index, around.shards, around.metrics_port) == (3, 8, 9090)


def test_an_empty_environment_means_one_process():
    around = surroundings({"DTO_SHARDS": ""})
    assert (around.index, around.shards, around.attempt, around.metrics_port) == (0, 1, 1, None)


@pytest.mark.parametrize("name", ["DTO_SHARDS", "JOB_COMPLETION_INDEX", "DTO_METRICS_PORT", "DTO_GRACE_SECONDS"])
def test_a_variable_that_cannot_be_read_is_named_with_its_value(name):
    with pytest.raises(InputError, match=rf"\${name} is 'many'"):
        surroundings({name: "many"})


def test_secrets_are_blotted_out_and_other_words_are_not():
    hidden = secrets({
        "AWS_SECRET_ACCESS_KEY": "s3cr3t-and-long", "DTO_API_KEY": 'quoted"key', "TOKENIZERS_PARALLELISM": "false-as-ever",
        "HF_TOKEN": "hf_abcdef", "KEY": "ab",
    })  # fmt: skip
    text = 'the key s3cr3t-and-long, hf_abcdef, quoted\\"key and quoted"key, false-as-ever, ab'
    assert redacted(text, hidden) == "the key [redacted], [redacted], [redacted] and [redacted], false-as-ever, ab"


def test_the_contract_names_every_variable_that_the_settings_read():
    source = (ROOT / "jobs/dto_jobs/settings.py").read_text()
    contract = (ROOT / "docs/stage-contract.md").read_text()
    read = set(re.findall(r'(?:found|get)\("([A-Z0-9_]+)"\)', source)) - {"AWS_DEFAULT_REGION"}
    assert read >= {"DTO_STORE", "AWS_SECRET_ACCESS_KEY", "DTO_SCRATCH"}
    assert [name for name in sorted(read) if f"${name}`" not in contract] == []

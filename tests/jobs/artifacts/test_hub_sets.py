"""Sets as the hub keeps them, read from folders on this machine by the same code; and what is said when the hub is not there."""

import json

import pytest

from dto_jobs.artifacts.hub_sets import HubSet, hub_set
from dto_jobs.artifacts.problem_sets import read_problems
from dto_jobs.errors import InputError
from dto_jobs.problem_source import ProblemSource


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("hf://datasets/openai/gsm8k", ("openai/gsm8k", None, None, None)),
        ("hf://datasets/openai/gsm8k@abc?config=main&split=test", ("openai/gsm8k", "abc", "main", "test")),
        ("hf://datasets/openai/gsm8k?split=train[:4000]", ("openai/gsm8k", None, None, "train[:4000]")),
    ],
)
def test_an_address_names_set_revision_configuration_and_split(tmp_path, address, expected):
    assert hub_set(address, tmp_path) == HubSet(address, *expected)


@pytest.mark.parametrize(
    ("address", "word"),
    [
        ("hf://datasets/gsm8k", "org/name"),
        ("hf://datasets//gsm8k", "org/name"),
        ("hf://datasets/openai/gsm8k?splits=test", "split= and config="),
        ("hf://datasets/openai/gsm8k?split=", "split= and config="),
    ],
)
def test_a_wrong_address_says_how_one_is_written(tmp_path, address, word):
    with pytest.raises(InputError, match=word):
        hub_set(address, tmp_path)


def test_files_and_what_is_not_there_are_no_sets(tmp_path):
    (tmp_path / "p.jsonl").write_text("{}")
    assert hub_set("p.jsonl", tmp_path) is None
    assert hub_set("gone", tmp_path) is None


CARD = """---
configs:
- {config_name: main, data_files: [{split: train, path: train.parquet}, {split: test, path: test.parquet}]}
- {config_name: other, data_files: [{split: test, path: other.parquet}]}
---
"""


@pytest.fixture
def downloaded(tmp_path, monkeypatch):
    """Make a folder as a download from the hub leaves it: a card that names configurations and splits, and parquet files."""
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "README.md").write_text(CARD)
    rows = {
        "train": {"question": ["1+1?", "1+2?"], "answer": ["2", "3"], "options": [["x"], ["y"]]},
        "test": {"question": ["Which?", "And now?"], "answer": ["B", "A"], "options": [["x", "y"], ["z", "w"]]},
        "other": {"question": ["2+2?"], "answer": [4.0]},
    }
    for name, columns in rows.items():
        parquet.write_table(pyarrow.table(columns), folder / f"{name}.parquet")
    return tmp_path


def read(folder, source, **settings):
    return list(read_problems(ProblemSource(source=source, **settings), folder))


@pytest.mark.engines
class TestFolders:
    def test_a_split_of_a_configuration_is_read(self, downloaded):
        problems = read(downloaded, "set?config=main&split=train")
        assert [(problem.id, problem.answer) for problem in problems] == [("1", "2"), ("2", "3")]

    def test_choices_and_numbers_are_read_as_from_a_file(self, downloaded):
        first, _ = read(downloaded, "file:set?config=main&split=test", grader="choice")
        assert "A. x\nB. y" in first.question
        assert read(downloaded, "set?config=other")[0].answer == "4"

    def test_a_slice_of_a_split_may_be_named(self, downloaded):
        assert [problem.answer for problem in read(downloaded, "set?config=main&split=train[1:]")] == ["3"]

    @pytest.mark.parametrize(
        ("query", "words"),
        [
            ("", ["Config name is missing", "'main', 'other'", "?config="]),
            ("?config=main", ["has the splits train, test", "?split=test"]),
            ("?config=main&split=dev", ["dev", "train", "test"]),
            ("?config=nope&split=test", ["nope", "main"]),
        ],
    )
    def test_what_is_not_named_or_named_in_vain_is_said(self, downloaded, query, words):
        with pytest.raises(InputError) as caught:
            read(downloaded, f"set{query}")
        for word in words:
            assert word in str(caught.value)

    def test_a_folder_of_jsonl_is_a_set_too(self, tmp_path, monkeypatch):
        monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
        (tmp_path / "plain").mkdir()
        (tmp_path / "plain" / "test.jsonl").write_text(json.dumps({"problem": "1+1", "answer": "2"}) + "\n")
        assert [problem.answer for problem in read(tmp_path, "plain")] == ["2"]

    def test_a_folder_without_data_is_refused(self, tmp_path):
        (tmp_path / "empty").mkdir()
        with pytest.raises(InputError, match="empty cannot be read"):
            read(tmp_path, "empty")

    def test_wrong_rows_are_named_by_their_number(self, downloaded):
        with pytest.raises(InputError, match=r"row 1: no column 'solution'"):
            read(downloaded, "set?config=other", answer="solution")

    def test_without_a_network_the_hub_is_said_to_be_out_of_reach(self, tmp_path, monkeypatch):
        monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        with pytest.raises(InputError, match=r"org/none\?split=test cannot be reached.*network.*name its folder"):
            read(tmp_path, "hf://datasets/org/none?split=test")
        with pytest.raises(InputError, match=r"no file math500\*\.jsonl.*DTO_BENCHMARKS.*The hub was asked, too"):
            read(tmp_path, "math500")

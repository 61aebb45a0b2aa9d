"""Reading rows: what is wrong with a file is named by file, line, field and remedy."""

import gzip
import json

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from dto_jobs.artifacts.rows import Row, located, read_rows
from dto_jobs.errors import InputError

ROWS = [{"problem": "1+1", "answer": "2"}, {"problem": "2+2 \u2028 \u4f60", "answer": 4}]
LINES = "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS).encode()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("plain.jsonl", LINES),
        ("mark.jsonl", b"\xef\xbb\xbf" + LINES),
        ("blank.jsonl", b"\n" + LINES.replace(b"\n", b"\r\n\r\n") + b"\n \n"),
        ("packed.jsonl.gz", gzip.compress(LINES, mtime=0)),
        ("packed.jsonl.zst", zstandard.compress(LINES)),
    ],
)
def test_rows_are_read_from_plain_and_packed_files(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    if name == "blank.jsonl":  # a byte order mark counts on the first line only
        assert [row.number for row in read_rows(tmp_path / name)] == [2, 4]
    assert [row.columns for row in read_rows(tmp_path / name)] == ROWS


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b'{"problem": "1+1"', ["not JSON", '\'{"problem": "1+1"\'', "mend or remove"]),
        (b"problem,answer", ["not JSON", "'problem,answer'"]),
        (b"[1, 2]", ["a list", "not an object"]),
        (b'"text"', ["text", "not an object"]),
        (b"null", ["null", "not an object"]),
        (b'{"problem": "caf\xe9"}', ["not UTF-8 at byte 16", "save the file as UTF-8"]),
        (b"[" * 100_000, ["not JSON", "mend or remove"]),
        (b'{"n": ' + b"9" * 5_000 + b"}", ["not JSON"]),
    ],
)
def test_a_broken_line_is_named_by_file_and_number(tmp_path, line, words):
    path = tmp_path / "broken.jsonl"
    path.write_bytes(LINES.split(b"\n")[0] + b"\n" + line + b"\n")
    rows = read_rows(path)
    assert next(rows).columns == ROWS[0]
    with pytest.raises(InputError) as caught:
        next(rows)
    message = str(caught.value)
    assert f"{path}:2: " in message
    assert len(message) < 600
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("name", "content"),
    [("x.jsonl.gz", b"no gzip"), ("x.jsonl.gz", gzip.compress(LINES * 99, mtime=0)[:50]), ("x.jsonl.zst", b"no zstd")],
)
def test_a_damaged_packed_file_is_an_input_error(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=r"cannot read .*x\.jsonl"):
        list(read_rows(tmp_path / name))


def test_files_are_found_relative_to_the_run_file_or_by_url(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / "my set.jsonl"
    path.write_text("{}")
    monkeypatch.chdir("/")
    assert located("data/my set.jsonl", tmp_path).samefile(path)
    assert located(str(path), tmp_path / "elsewhere").samefile(path)
    assert located(path.as_uri(), tmp_path).samefile(path)
    assert located("file:data/my%20set.jsonl", tmp_path).samefile(path)


def test_a_missing_file_is_answered_with_near_names(tmp_path):
    (tmp_path / "problems.jsonl").write_text("{}")
    with pytest.raises(InputError, match=r"no file .*problem\.jsonl; did you mean problems\.jsonl\?"):
        located("problem.jsonl", tmp_path)
    with pytest.raises(InputError, match=r"no file .*zzz; the folder .* holds problems\.jsonl"):
        located("zzz", tmp_path)
    with pytest.raises(InputError, match=r"holds no files"):
        located("nowhere/zzz", tmp_path)
    with pytest.raises(InputError, match="did you mean math500"):
        located("math5000", tmp_path, also=("math500",))


def test_a_folder_and_a_foreign_url_are_refused(tmp_path):
    (tmp_path / "sets").mkdir()
    (tmp_path / "sets" / "a.jsonl").write_text("{}")
    with pytest.raises(InputError, match=r"sets is a folder: name a file in it \(a\.jsonl\)"):
        located("sets", tmp_path)
    with pytest.raises(InputError, match=r"gs://bucket/x: only files"):
        located("gs://bucket/x", tmp_path)


@pytest.mark.parametrize(
    ("value", "text"),
    [("a", "a"), (None, ""), (70, "70"), (27.0, "27"), (0.5, "0.5"), (-0.0, "0"), ("a\ud800b", "a\ufffdb")],
)
def test_columns_are_read_as_text(value, text):
    assert Row("f:1", 1, {"c": value}).text("c") == text


@given(text=st.text())
def test_text_that_can_be_stored_is_left_as_it_is(text):
    assert Row("f:1", 1, {"c": text}).text("c") == text


@pytest.mark.parametrize("value", [["a"], {"a": 1}, True, float("nan"), float("inf")])
def test_columns_that_hold_no_text_are_refused(value):
    with pytest.raises(InputError, match=r"f:1: column 'c' holds .*, not text or a number"):
        Row("f:1", 1, {"c": value}).text("c")

"""The house keeps its walls."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TRACKED = subprocess.run(
    ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True, text=True
).stdout.split("\n")
FILES = [path for name in TRACKED if name and (path := ROOT / name).is_file()]
PYTHON = [path for path in FILES if path.suffix == ".py"]
CODE = [path for path in PYTHON if "tests" not in path.relative_to(ROOT).parts]
BLOCKS = (ast.If, ast.For, ast.While, ast.With, ast.Try, ast.Match, ast.AsyncFor, ast.AsyncWith)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def functions(path: Path):
    return [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, FUNCTIONS)]


def nesting(node: ast.AST, level: int = 0) -> int:
    inner = [
        child for child in ast.iter_child_nodes(node) if not isinstance(child, (*FUNCTIONS, ast.ClassDef, ast.Lambda))
    ]
    return max((nesting(child, level + isinstance(child, BLOCKS)) for child in inner), default=level)


def length(function: ast.FunctionDef) -> int:
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("path", PYTHON, ids=named)
def test_files_stay_short(path):
    assert len(path.read_text().splitlines()) <= 400


@pytest.mark.parametrize("path", CODE, ids=named)
def test_functions_stay_short_and_flat(path):
    assert {f.name: length(f) for f in functions(path) if length(f) > 50} == {}
    assert {f.name: nesting(f) for f in functions(path) if nesting(f) > 3} == {}


@pytest.mark.parametrize("path", CODE, ids=named)
def test_modules_and_classes_say_what_they_are(path):
    tree = ast.parse(path.read_text())
    silent = [node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and not ast.get_docstring(node)]
    assert ast.get_docstring(tree)
    assert silent == []


def test_no_drawers():
    assert [named(path) for path in PYTHON if path.stem in {"utils", "util", "helpers", "common", "misc", "base"}] == []


def test_nothing_names_a_machine_or_a_registry():
    hosts = "|".join(
        rf"{first}\.{last}"
        for first, last in [
            ("pypi", "org"),
            ("pythonhosted", "org"),
            ("golang", "org"),
            ("npmjs", "org"),
            ("debian", "org"),
        ]
    )
    pattern = re.compile(rf"(^|[^A-Za-z0-9_.])/(work|farm|root|home)/|{hosts}")
    texts = [
        path
        for path in FILES
        if path.suffix in {".py", ".md", ".toml", ".yaml", ".yml", ".txt", ".sh", ".html", ""}
        and path.name != "LICENSE"
    ]
    found = [
        named(path) for path in texts if path != Path(__file__) and pattern.search(path.read_text(errors="replace"))
    ]
    assert found == []


def run(code: str, *flags: str) -> str:
    done = subprocess.run([sys.executable, *flags, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_the_operator_folder_does_not_hide_the_standard_library():
    assert not (ROOT / "operator" / "__init__.py").exists()
    assert run("import operator, collections; print(operator.itemgetter(0)('a'))", "-S") == "a"


def test_planning_loads_no_gpu_library_and_no_bucket():
    heavy = "{'torch', 'vllm', 'trl', 'transformers', 'minio', 'numpy', 'sympy', 'math_verify'}"
    assert (
        run(f"import dto_operator, dto_jobs.plan, dto_jobs.resource, sys; print(sorted({heavy} & set(sys.modules)))")
        == "[]"
    )


def test_the_command_line_starts_light():
    heavy = "{'torch', 'transformers', 'trl', 'sympy', 'numpy', 'jinja2'}"
    assert run(f"import dto_jobs.cli.app, sys; print(sorted({heavy} & set(sys.modules)))") == "[]"

"""Reading a run file: YAML to a DTORun, with errors that name the field, its value and the remedy."""

import difflib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails

from dto_jobs.errors import InputError, InvalidRunError
from dto_jobs.json_form import from_yaml, json_form
from dto_jobs.resource import DTORun


def read_run(path: Path, overrides: Sequence[str] = ()) -> DTORun:
    """Return the run a file describes, after `path=value` overrides; InvalidRunError lists everything that is wrong."""
    content = _content(path)
    for override in overrides:
        _override(content, override)
    return parse_run(content, str(path))


def parse_run(content: object, where: str) -> DTORun:
    """Return the run that parsed YAML describes."""
    try:
        form = json.dumps(json_form(content, DTORun), default=str)
        return DTORun.model_validate_json(form, strict=True, by_alias=True, by_name=False)
    except RecursionError as error:
        raise InvalidRunError(f"{where} holds itself by an alias (&name … *name): write the value out") from error
    except ValidationError as error:
        problems = [_explained(detail) for detail in error.errors(include_url=False)]
        raise InvalidRunError(
            f"{where} is not a valid DTORun:\n" + "\n".join(f"  {problem}" for problem in problems)
        ) from error


def _content(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        near = difflib.get_close_matches(path.name, _neighbours(path), n=1)
        hint = f"; did you mean {path.parent / near[0]}?" if near else ""
        raise InputError(f"there is no run file {path}{hint}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the run file {path}: {error}") from error
    try:
        # JSON is YAML but for a few characters that YAML wants escaped; and a large file is read a hundred times faster.
        content = json.loads(text) if path.suffix == ".json" else from_yaml(text)
    except (yaml.YAMLError, json.JSONDecodeError) as error:
        raise InvalidRunError(f"{path} is not valid {'JSON' if path.suffix == '.json' else 'YAML'}: {error}") from error
    except RecursionError as error:
        raise InvalidRunError(f"{path} is nested too deep for a DTORun") from error
    if not isinstance(content, dict):
        raise InvalidRunError(
            f"{path} holds no DTORun; it begins with:\n  apiVersion: dto.run/v1alpha1\n  kind: DTORun"
        )
    return content


def _neighbours(path: Path) -> list[str]:
    return [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []


def _override(content: dict[str, Any], override: str) -> None:
    """Set a value by its path, from the top or from `spec`: `stages.training.beta=2.5`."""
    path, equals, text = override.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        raise InvalidRunError(f"--set {override}: write path=value, for example --set stages.training.beta=2.5")
    if keys[0] not in {"spec", "metadata", "apiVersion", "kind"}:
        keys = ["spec", *keys]
    place: Any = content
    for key in keys[:-1]:
        place = place.setdefault(key, {}) if isinstance(place, dict) else None
        if not isinstance(place, dict):
            raise InvalidRunError(f"--set {override}: {key} holds a single value, so nothing can be set inside it")
    try:
        place[keys[-1]] = from_yaml(text)
    except yaml.YAMLError as error:
        raise InvalidRunError(f"--set {override}: the value is not valid YAML: {error}") from error


def _explained(detail: ErrorDetails) -> str:
    path = field_path(detail["loc"])
    kind, context = detail["type"], detail.get("ctx", {})
    value = _short(detail["input"])
    if kind == "extra_forbidden":
        name = str(detail["loc"][-1])
        known = _fields(detail["loc"][:-1])
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"known here: {', '.join(known)}" if known else "remove it"
        return f"{path}: unknown field; {hint}"
    if kind == "missing":
        return f"{path}: required, but not there; add it"
    if kind == "literal_error":
        return f"{path}: {value} is not allowed; choose {context.get('expected', 'another value')}"
    message = detail["msg"]
    ours = message.removeprefix("Value error, ")
    return f"{path}: {value}: {ours if ours != message else message[:1].lower() + message[1:]}"


def field_path(location: Iterable[int | str]) -> str:
    """Return a field's path as a person writes it: `spec.stages.exits.threshold`, `spec.problems.inline[2]`."""
    path = ""
    for key in location:
        path += f"[{key}]" if isinstance(key, int) else f".{key}" if path else str(key)
    return path or "the file"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"


def _fields(location: Iterable[int | str]) -> list[str]:
    """Return the fields known at a place of the resource, as YAML spells them."""
    kind: Any = DTORun
    for key in location:
        fields = kind.model_fields if isinstance(kind, type) and issubclass(kind, BaseModel) else {}
        found = next((field for name, field in fields.items() if key in {name, field.alias, to_camel(name)}), None)
        if found is None:
            return []
        kind = _model_in(found.annotation)
    return [field.alias or to_camel(name) for name, field in kind.model_fields.items()] if kind else []


def _model_in(annotation: Any) -> Any:  # noqa: ANN401 - any annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return (
        next(filter(None, map(_model_in, get_args(annotation))), None)
        if get_origin(annotation) or get_args(annotation)
        else None
    )

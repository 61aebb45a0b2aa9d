"""Random run files, made from the settings classes: by type, bounds, pattern and rules, whatever fields they have."""

import json
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, BeforeValidator, ValidationError
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo

from dto_jobs.resource import Spec

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)
FEW = 3
"""Optional fields of a group that are named at once: enough to meet each other, few enough to be quick."""


def specs() -> st.SearchStrategy[Any]:
    """Return a strategy of valid specs, as JSON."""
    return group(Spec)


def group(kind: type[BaseModel]) -> st.SearchStrategy[Any]:
    """Return a strategy of a settings class's JSON that keeps its rules."""
    return st.deferred(lambda: _fields(kind)).filter(lambda value: _taken(kind, value))


@st.composite
def _fields(draw: st.DrawFn, kind: type[BaseModel]) -> dict[str, Any]:
    optional = [name for name, field in kind.model_fields.items() if not field.is_required()]
    named = draw(st.lists(st.sampled_from(optional), max_size=FEW, unique=True)) if optional else []
    required = [name for name, field in kind.model_fields.items() if field.is_required()]
    found = {}
    for name in [*required, *named]:
        field = kind.model_fields[name]
        found[field.alias or to_camel(name)] = draw(_values(field.annotation, field.metadata))
    return found


def _taken(kind: type[BaseModel], value: Any) -> bool:
    try:
        kind.model_validate_json(json.dumps(value), strict=True, by_alias=True, by_name=False)
    except ValidationError:
        return False
    return True


def _values(annotation: Any, metadata: list[Any]) -> st.SearchStrategy[Any]:  # noqa: PLR0911 - one per kind of type
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _values(inner[0], [*_spread(inner[1:]), *metadata])
    if origin in {Union, UnionType}:
        return st.one_of([st.none() if one is NoneType else _values(one, metadata) for one in inner])
    if origin is Literal:
        return st.sampled_from(inner)
    if origin is tuple:
        return _list(inner, metadata)
    if origin is dict:
        return st.dictionaries(_values(inner[0], []), _values(inner[1], []), max_size=2)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return group(annotation)
    return _scalar(annotation, metadata)


def _spread(metadata: tuple[Any, ...]) -> list[Any]:
    return [part for one in metadata for part in (one.metadata if isinstance(one, FieldInfo) else [one])]


def _list(inner: tuple[Any, ...], metadata: list[Any]) -> st.SearchStrategy[Any]:
    if inner[-1] is not Ellipsis:
        return st.tuples(*(_values(one, []) for one in inner)).map(list)
    checked = any(isinstance(part, AfterValidator) for part in metadata)
    unique = (lambda value: value["name"] if isinstance(value, dict) else value) if checked else None
    return st.lists(_values(inner[0], []), min_size=_bound(metadata, "min_length") or 0, max_size=3, unique_by=unique)


def _bound(metadata: list[Any], name: str) -> Any:
    return next((limit for part in metadata if (limit := getattr(part, name, None)) is not None), None)


def _scalar(kind: Any, metadata: list[Any]) -> st.SearchStrategy[Any]:
    ge, gt, le, lt = (_bound(metadata, name) for name in ("ge", "gt", "le", "lt"))
    if kind is bool:
        return st.booleans()
    if kind is int:
        return st.integers(ge if ge is not None else -(2**40), le if le is not None else 2**40)
    if kind is float:
        low, high = ge if ge is not None else gt, le if le is not None else lt
        return st.floats(
            low, high, exclude_min=gt is not None, exclude_max=lt is not None, allow_nan=False, allow_infinity=False
        )
    if kind is str:
        if any(isinstance(part, BeforeValidator) for part in metadata):
            return st.integers(0, 99) | _text(metadata)
        return _text(metadata)
    assert kind is Any, kind
    return JSON


def _text(metadata: list[Any]) -> st.SearchStrategy[str]:
    low, high, pattern = (_bound(metadata, name) for name in ("min_length", "max_length", "pattern"))
    if pattern is None:
        return st.text(st.characters(exclude_categories=["Cs"]), min_size=low or 0, max_size=12)
    # Python's `$` lets a line break follow, which neither Rust nor Go does.
    found = st.from_regex(pattern.removesuffix("$") + (r"\Z" if pattern.endswith("$") else ""))
    return found.filter(lambda text: (low or 0) <= len(text) <= (high or 64))

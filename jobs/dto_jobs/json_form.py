"""The JSON that a run file stands for, read as an API server reads it: so that both take the same files.

Numbers are numbers however they are written (`4.0` is whole, `1e-5` is no text), a key may not come twice, and a field
without a value is as if it were not there.
"""

import math
import re
from collections.abc import Hashable
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.alias_generators import to_camel

from dto_jobs.errors import InvalidRunError

WHOLE = 2**53 - 1
"""Largest number to which a server's floating point is whole without doubt."""


class _Loader(yaml.SafeLoader):
    """YAML as `kubectl` reads it: exponents without a point are numbers, dates are text, no key comes twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 - yaml's own
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        repeated = next((key for number, key in enumerate(keys) if key in keys[:number] and key != "<<"), None)
        if repeated is not None:
            raise yaml.constructor.ConstructorError(None, None, f"the key {repeated!r} is there twice", node.start_mark)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"), list("-+.0123456789")
)


def from_yaml(text: str) -> Any:  # noqa: ANN401 - any YAML
    """Return what YAML text says; yaml.YAMLError where it is none."""
    return yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader


def json_form(value: Any, kind: Any, path: str = "") -> Any:  # noqa: ANN401 - any YAML, any annotation
    """Return content as JSON that an API server would hold where `kind` is expected; wrong content stays wrong."""
    kind = _plain(kind)
    if isinstance(value, float):
        return _number(value, path)
    if isinstance(value, int) and not isinstance(value, bool):
        if -(2**63) <= value < 2**63:
            return value
        return _number(float(value) if value.bit_length() < 1024 else math.inf, path)
    if isinstance(value, list):
        inner = get_args(kind)[0] if get_origin(kind) in {tuple, list} else Any
        return [json_form(item, inner, f"{path}[{number}]") for number, item in enumerate(value)]
    if isinstance(value, dict):
        kinds = {_key(key): _field(kind, _key(key)) for key in value}
        return {
            key: json_form(item, kinds[key], f"{path}.{key}".lstrip("."))
            for key, item in ((_key(key), item) for key, item in value.items())
            if item is not None or _takes_none(kinds[key])
        }
    return value


def _number(value: float, path: str) -> float:
    if not math.isfinite(value):
        raise InvalidRunError(f"{path}: {value} is no number that JSON can hold; write a finite one")
    return int(value) if value.is_integer() and abs(value) <= WHOLE else value


def _key(key: object) -> str:
    return str(key).lower() if isinstance(key, bool | NoneType) else str(key)


def _plain(kind: Any) -> Any:  # noqa: ANN401 - any annotation
    """Return an annotation without its decoration and without None."""
    if get_origin(kind) is Annotated:
        return _plain(get_args(kind)[0])
    if get_origin(kind) in {Union, UnionType}:
        inner = [one for one in get_args(kind) if one is not NoneType]
        return _plain(inner[0]) if len(inner) == 1 else Any
    return kind


def _field(kind: Any, key: str) -> Any:  # noqa: ANN401 - any annotation
    """Return the annotation of what stands under a key."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        found = (one for name, one in kind.model_fields.items() if key == (one.alias or to_camel(name)))
        return next((one.annotation for one in found), Any)
    return get_args(kind)[1] if get_origin(kind) is dict else Any


def _takes_none(kind: Any) -> bool:  # noqa: ANN401 - any annotation
    return kind in {Any, NoneType} or NoneType in get_args(kind)

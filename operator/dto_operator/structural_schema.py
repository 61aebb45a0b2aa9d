"""pydantic classes → the schema that Kubernetes takes: no references, one type per field, rules in CEL."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema, to_jsonable_python

from dto_jobs.rules import ExactlyOne, Rule, WithoutKeys, spelled

Node = dict[str, Any]

KEPT = (
    *("description", "default", "enum", "format", "pattern", "minLength", "maxLength", "minItems", "maxItems"),
    *("minProperties", "maxProperties", "minimum", "maximum", "multipleOf", "x-kubernetes-validations"),
)


class UnsupportedFieldError(TypeError):
    """A field's type cannot be said in a structural schema."""


def structural(model: type[BaseModel]) -> Node:
    """Return a settings class as a structural schema; UnsupportedFieldError names a field that does not fit into one."""
    schema = TypeAdapter(model).json_schema(schema_generator=_WithRules, mode="validation")
    return _Flattened(schema.get("$defs", {})).node(schema, model.__name__)


class _WithRules(GenerateJsonSchema):
    """pydantic's JSON schema, with each group's rules and with defaults that say no more than they must."""

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        found = super().model_schema(schema)
        group = schema["cls"]
        rules = getattr(group, "rules", ())
        if said := [
            {"rule": rule.cel(group), "message": rule.message} for rule in rules if isinstance(rule, Rule | ExactlyOne)
        ]:
            found["x-kubernetes-validations"] = said
        for rule in rules:
            if isinstance(rule, WithoutKeys):
                found["properties"][spelled(group, rule.field)]["withoutKeys"] = dict(rule.remedies)
        return found

    def encode_default(self, dft: Any) -> Any:  # noqa: ANN401 - any field's default
        return _default(dft) if isinstance(dft, BaseModel) else super().encode_default(dft)


def _default(group: BaseModel) -> Node:
    """Return a group as the default of a field: what its own fields' defaults do not say already.

    A group with rules says all it has, since the API server holds a default to the rules before it fills it in.
    """
    told: Node = {}
    for name, field in type(group).model_fields.items():
        value = getattr(group, name)
        if value is None or (value == field.default and not getattr(group, "rules", ())):
            continue
        told[spelled(type(group), name)] = (
            _default(value) if isinstance(value, BaseModel) else to_jsonable_python(value)
        )
    return told


class _Flattened:
    """Rewrites JSON schema node by node."""

    def __init__(self, definitions: Mapping[str, Any]) -> None:
        self._definitions = definitions

    def node(self, schema: Mapping[str, Any], path: str) -> Node:
        found = self._resolved(schema, path)
        made: Node = {key: found[key] for key in KEPT if key in found}
        if "description" in made:
            made["description"] = " ".join(made["description"].split())
        if "const" in found:
            made["enum"] = [found["const"]]
        for bound in ("Minimum", "Maximum"):
            if (limit := found.get(f"exclusive{bound}")) is not None:
                made |= {bound.lower(): limit, f"exclusive{bound}": True}
        if found.get("intOrString"):
            return made | {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}
        kind = found.get("type")
        if kind is None:
            return made | {"x-kubernetes-preserve-unknown-fields": True}
        made["type"] = kind
        if kind == "object":
            return made | self._object(found, path)
        return made | self._array(found, path) if kind == "array" else made

    def _resolved(self, schema: Mapping[str, Any], path: str) -> dict[str, Any]:
        """Follow references and take None out of alternatives: an absent field says the same."""
        if "$ref" in schema:
            there = self._definitions[schema["$ref"].rpartition("/")[2]]
            return self._resolved({**there, **{key: value for key, value in schema.items() if key != "$ref"}}, path)
        if "anyOf" not in schema:
            return dict(schema)
        options = [option for option in schema["anyOf"] if option.get("type") != "null"]
        if len(options) != 1:
            raise UnsupportedFieldError(
                f"{path} may be of several types, which a structural schema cannot say; "
                "make it a group of optional fields with the rule ExactlyOne"
            )
        if schema.get("default", 0) is not None and len(options) < len(schema["anyOf"]):
            raise UnsupportedFieldError(
                f"{path} may be null and null is not its default, which `kubectl apply` loses on the way; "
                "make it two fields, one of them true or false"
            )
        around = {key: value for key, value in schema.items() if key not in {"anyOf", "default"}}
        return self._resolved({**options[0], **around}, path)

    def _object(self, found: Mapping[str, Any], path: str) -> Node:
        if "properties" in found:
            fields = {name: self.node(field, f"{path}.{name}") for name, field in found["properties"].items()}
            return {"properties": fields} | ({"required": found["required"]} if found.get("required") else {})
        patterns = found.get("patternProperties", {})
        values = next(iter(patterns.values()), found.get("additionalProperties", True))
        if values is True:
            return {"x-kubernetes-preserve-unknown-fields": True} | _without(found.get("withoutKeys", {}))
        rules = [_key_rule(pattern, found.get("propertyNames", {})) for pattern in patterns]
        inner: Node = {"additionalProperties": self.node(values, f"{path}.*")}
        return inner | ({"x-kubernetes-validations": rules} if rules else {})

    def _array(self, found: Mapping[str, Any], path: str) -> Node:
        places = found.get("prefixItems", [found.get("items", {})])
        items = [self.node(place, f"{path}[]") for place in places]
        if any(item != items[0] for item in items):
            raise UnsupportedFieldError(f"{path} has items of different types; make it a group of fields")
        made: Node = {"items": items[0]}
        if found.get("uniqueItems"):
            made["x-kubernetes-list-type"] = "set"
        if key := found.get("uniqueBy"):
            made |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}
        return made


def _key_rule(pattern: str, keys: Mapping[str, Any]) -> Node:
    """Say in CEL what a map's keys look like: a structural schema has no place for it."""
    most = keys["maxLength"]
    return {
        "rule": f"self.all(key, key.size() <= {most} && key.matches({json.dumps(pattern)}))",
        "message": f"every key has at most {most} characters and matches {pattern}",
    }


def _without(remedies: Mapping[str, str]) -> Node:
    """Refuse keys of a free map: CEL sees only what the schema names, so the forbidden are named."""
    if not remedies:
        return {}
    return {
        "properties": {
            key: {"x-kubernetes-int-or-string": True, "description": f"Not here: {key} {remedy}."}
            for key, remedy in remedies.items()
        },
        "x-kubernetes-validations": [
            {"rule": f"!has(self.{key})", "message": f"{key} {remedy}"} for key, remedy in remedies.items()
        ],
    }

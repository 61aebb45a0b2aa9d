"""What the fields of a group of settings must agree on, said once: checked here, and by an API server in CEL."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.alias_generators import to_camel


@dataclass(frozen=True)
class Rule:
    """An agreement between fields, in Python and in CEL; a test on a real API server holds the two to each other."""

    message: str
    """What is wrong and what to do, for a person."""
    holds: Callable[[Any], bool]
    """Tells whether a group of settings keeps the rule."""
    expression: str
    """The same in CEL, over `self`, with fields as YAML spells them."""

    def broken(self, group: BaseModel) -> str | None:
        """Return what is wrong with a group of settings, None for nothing."""
        return None if self.holds(group) else self.message

    def cel(self, group: type[BaseModel]) -> str:
        """Return the rule in CEL."""
        del group
        return self.expression


@dataclass(frozen=True)
class ExactlyOne:
    """Exactly one of some optional fields is named."""

    message: str
    """What is wrong and what to do, for a person."""
    fields: tuple[str, ...] = ()
    """The fields; none: all that the group has, those that are added later too."""

    def broken(self, group: BaseModel) -> str | None:
        """Return what is wrong with a group of settings, None for nothing."""
        named = sum(getattr(group, name) is not None for name in self._names(type(group)))
        return None if named == 1 else self.message

    def cel(self, group: type[BaseModel]) -> str:
        """Return the rule in CEL."""
        named = (spelled(group, name) for name in self._names(group))
        return f"[{', '.join(f'has(self.{name})' for name in named)}].filter(named, named).size() == 1"

    def _names(self, group: type[BaseModel]) -> tuple[str, ...]:
        return self.fields or tuple(group.model_fields)


@dataclass(frozen=True)
class WithoutKeys:
    """Some keys may not be in a map that is free otherwise."""

    field: str
    """The map."""
    remedies: Mapping[str, str]
    """The keys, and for each what is wrong and what to do."""

    @property
    def message(self) -> str:
        """All of them, for a person."""
        return "; ".join(f"{to_camel(self.field)}.{key} {remedy}" for key, remedy in self.remedies.items())

    def broken(self, group: BaseModel) -> str | None:
        """Return what is wrong with a group of settings, None for nothing."""
        keys = [key for key in self.remedies if key in getattr(group, self.field)]
        place = spelled(type(group), self.field)
        return "; ".join(f"{place}.{key} {self.remedies[key]}" for key in keys) or None


Agreement = Rule | ExactlyOne | WithoutKeys


def spelled(group: type[BaseModel], field: str) -> str:
    """Return a field's name as YAML spells it."""
    return group.model_fields[field].alias or to_camel(field)

"""Rules between fields, as Python keeps them; tests/operator shows that an API server keeps them alike."""

import pytest
from pydantic import Field, ValidationError

from dto_jobs.rules import ExactlyOne, Rule, WithoutKeys
from dto_jobs.settings import Distinct, Named, Settings


class Part(Settings):
    """Named."""

    name: str


class Group(Settings):
    """With rules."""

    rules = (
        Rule("the low is above the high", lambda group: group.low <= group.high, "self.low <= self.high"),
        ExactlyOne("name one", ("first_way", "second_way")),
        WithoutKeys("rest_of_it", {"low": "has a field of its own"}),
    )
    low: int = 0
    high: int = 0
    first_way: int | None = 1
    second_way: int | None = None
    rest_of_it: dict[str, int] = Field(default={})
    words: Distinct[str] = ()
    parts: Named[Part] = ()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"low": 1}, "the low is above the high"),
        ({"firstWay": None}, "name one"),
        ({"secondWay": 1}, "name one"),
        ({"restOfIt": {"low": 1}}, r"restOfIt\.low has a field of its own"),
        ({"low": 1, "secondWay": 1}, "the low is above the high; name one"),
        ({"words": ["a", "b", "a"]}, "a is there twice"),
        ({"parts": [{"name": "p"}, {"name": "p"}]}, "p is there twice"),
    ],
)
def test_a_broken_rule_says_what_to_do(fields, words):
    with pytest.raises(ValidationError, match=words):
        Group.model_validate(fields)


@pytest.mark.parametrize(
    "fields", [{}, {"firstWay": None, "secondWay": 0}, {"restOfIt": {"high": 1}}, {"words": ["a", "b"]}]
)
def test_what_keeps_the_rules_is_taken(fields):
    assert Group.model_validate(fields).model_dump(mode="json", by_alias=True, exclude_unset=True) == fields

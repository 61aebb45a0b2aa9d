"""pydantic and the API server may not disagree, on any spec: random valid ones, and the same with something wrong in them."""

import copy
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from run_strategies import specs
from stored_runs import MINIMAL, manifest, read, refusal

pytestmark = pytest.mark.services
PATIENT = settings(max_examples=150, suppress_health_check=list(HealthCheck))
WRONG = (
    *(None, True, False, 0, 1, -1, 0.5, 4.0, 2**31, 2**53 + 1, 2**63, 1e18, 1e300, -1e300),
    *("", "x", "X y", "8", "true", "\u00a0", "a" * 400, "hf://o/n", "/a:b", "1Gi", "pairs", "Exists"),
    *([], {}, [None], [1], ["x"], ["x", "x"], {"x": 1}, {"x": None}, {"name": "x"}, [{"name": "x"}, {"name": "x"}]),
)


def places(value, path=()):
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield from places(one, (*path, key))


def changed(spec, path, value):
    spec = copy.deepcopy(spec)
    place = spec
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return spec


@st.composite
def touched(draw):
    """A valid spec of which something was replaced, or that got one field more."""
    spec = draw(specs())
    groups = [(*path, draw(st.sampled_from(["x", "max_tokens", "name"]))) for path in places(spec) if path]
    paths = [path for path in places(spec) if path]
    path = draw(st.sampled_from(paths) | st.sampled_from(groups))
    try:
        return changed(spec, path, draw(st.sampled_from(WRONG)))
    except (TypeError, IndexError):
        return changed(spec, path[:-1], draw(st.sampled_from(WRONG)))


def test_what_is_valid_is_taken_by_both_and_read_alike(runs):
    @PATIENT
    @given(specs())
    def holds(spec):
        content = manifest(spec)
        assert refusal(content) is None
        there = runs.tried(content)
        assert there.code == 201, there.message
        assert read(there.content).spec == read(content).spec

    holds()


def test_what_may_be_wrong_is_judged_alike(runs):
    seen = Counter()

    @PATIENT
    @given(touched())
    def holds(spec):
        content = manifest(spec)
        here, there = refusal(content), runs.tried(content)
        assert (here is None) == (there.code == 201), f"here: {here}\nthere: {there.message}"
        seen[here is None] += 1

    holds()
    assert seen[True] > 10
    assert seen[False] > 50


@pytest.mark.parametrize("value", WRONG, ids=lambda value: repr(value)[:30])
@pytest.mark.parametrize(
    "path", [("seed",), ("model", "chatTemplate"), ("stages", "training", "beta"), ("stages", "exits", "job", "env")]
)
def test_odd_values_are_judged_alike(runs, path, value):
    spec = copy.deepcopy(MINIMAL) | {"stages": {"training": {}, "exits": {"job": {}}}}
    content = manifest(changed(spec, path, value))
    here, there = refusal(content), runs.tried(content)
    assert (here is None) == (there.code == 201), f"here: {here}\nthere: {there.message}"

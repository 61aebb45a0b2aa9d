"""The CRD as it is generated; what an API server makes of it is shown in test_crd_on_api_server.py."""

import json
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel
from stored_runs import groups

from dto_jobs.resource import DTORun
from dto_jobs.rules import ExactlyOne, WithoutKeys
from dto_jobs.settings import Settings
from dto_operator.api_reference import page
from dto_operator.crd import crd, schema, to_yaml
from dto_operator.status import Status

ROOT = Path(__file__).resolve().parents[2]
MANIFEST = to_yaml(crd())


def nodes(node, path=""):
    yield path, node
    for name, field in node.get("properties", {}).items():
        yield from nodes(field, f"{path}.{name}")
    for part, mark in (("items", "[]"), ("additionalProperties", ".*")):
        if part in node:
            yield from nodes(node[part], path + mark)


def test_the_manifest_follows_the_classes():
    assert (ROOT / "manifests/crd.yaml").read_text() == MANIFEST, "run `make manifests`"


def test_the_page_follows_the_classes():
    assert (ROOT / "docs/api.md").read_text() == page(), "run `make docs`"


def test_a_plain_apply_can_hold_the_crd():
    assert len(MANIFEST.encode()) <= 256 * 1024
    # What `kubectl apply` notes in an annotation, which may hold 256 KiB.
    assert len(json.dumps(yaml.safe_load(MANIFEST)).encode()) <= 256 * 1024


def test_every_field_is_described():
    unsaid = ("metadata", "[]", ".*")
    fields = [(path, node) for path, node in nodes(schema()) if path and not path.endswith(unsaid)]
    assert len(fields) > 300
    assert [path for path, node in fields if not node.get("description") and not path.startswith(".metadata")] == []


def test_a_field_named_as_yaml_writes_truth_is_quoted():
    assert " 'n': {" in MANIFEST
    assert " n: " not in MANIFEST


@pytest.mark.parametrize("group", groups(DTORun), ids=lambda group: group.__name__)
def test_the_cluster_knows_every_check(group):
    decorators = group.__pydantic_decorators__
    known = Settings.__pydantic_decorators__
    assert set(decorators.model_validators) == set(known.model_validators), "write it as one of the group's `rules`"
    assert not decorators.field_validators, "write it as a bound, a pattern or one of the group's `rules`"
    assert not decorators.validators
    assert not decorators.root_validators


def test_rules_reach_the_schema():
    said = {rule["message"] for _, node in nodes(schema()) for rule in node.get("x-kubernetes-validations", [])}
    rules = [rule for group in groups(DTORun) for rule in group.rules]
    told = {rule.message for rule in rules if not isinstance(rule, WithoutKeys)}
    told |= {f"{key} {text}" for rule in rules if isinstance(rule, WithoutKeys) for key, text in rule.remedies.items()}
    assert len(told) > 20
    assert told <= said


def test_a_group_that_gets_another_field_counts_it():
    class Pair(Settings):
        """Two."""

        rules = (ExactlyOne("one"),)
        one_thing: int | None = None
        other: int | None = None

    assert Pair.rules[0].cel(Pair) == "[has(self.oneThing), has(self.other)].filter(named, named).size() == 1"


def test_what_only_a_run_on_a_cluster_reads_is_in_no_dump():
    text = json.dumps(
        DTORun.model_validate(
            {
                "apiVersion": "dto.run/v1alpha1",
                "kind": "DTORun",
                "metadata": {"name": "r", "uid": "u"},
                "spec": {
                    "model": {"source": "m"},
                    "problems": {"source": "p"},
                    "suspend": True,
                    "queueName": "q",
                    "stages": {"rollout": {"job": {"shards": 4}}, "training": {"job": {"nodes": 2}}},
                },
            }
        ).model_dump(mode="json", by_alias=True)
    )
    assert "samples" in text
    assert [word for word in ("job", "uid", "queueName", "suspend") if f'"{word}"' in text] == []


def test_a_rule_says_what_to_do_in_a_line():
    messages = {rule["message"] for _, node in nodes(schema()) for rule in node.get("x-kubernetes-validations", [])}
    assert [message for message in messages if "\n" in message or not 10 < len(message) <= 250] == []


def test_conditions_have_the_form_of_kubernetes():
    conditions = schema()["properties"]["status"]["properties"]["conditions"]
    assert conditions["x-kubernetes-list-map-keys"] == ["type"]
    assert set(conditions["items"]["required"]) == {"type", "status", "lastTransitionTime", "reason", "message"}
    assert conditions["items"]["properties"]["status"]["enum"] == ["True", "False", "Unknown"]


def test_the_status_reads_past_what_a_newer_operator_wrote():
    status = Status.model_validate({"phase": "Running", "tomorrow": 1})
    assert status.phase == "Running"
    assert issubclass(Status, BaseModel)

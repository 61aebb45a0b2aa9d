"""Audits of a finished run: the scripted engine stands for a model, a small server for a judge."""

import json
import re

import pytest
from faulty_endpoint import chat, serving
from rich.console import Console
from typer.testing import CliRunner

from dto_jobs.cli.app import app
from dto_jobs.cli.running import run_file

RUN = """
apiVersion: dto.run/v1alpha1
kind: DTORun
metadata: {name: rules}
spec:
  model: {source: "builtin:tiny-reasoner"}
  problems: {source: "builtin:graded-sums", limit: 12}
  engine: {scripted: {}}
  until: pairs
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audited")
    (folder / "run.yaml").write_text(RUN)
    with (folder / "out").open("w") as out:
        run_file(folder / "run.yaml", folder / "store", [], None, lambda: False, Console(file=out))
    return folder / "store"


def drops(wanted):
    """Judge by a rule: drop the patterns whose id is wanted."""

    def answer(body):
        ids = [int(found) for found in re.findall(r'<pattern id="(\d+)">', body["messages"][-1]["content"])]
        return chat(json.dumps({"verdicts": [{"id": i, "keep": not wanted(i), "reason": "rule"} for i in ids]}))

    return answer


def dto(*words):
    done = CliRunner().invoke(app, list(words))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def audited(store, *judges):
    options = [word for judge in judges for word in ("--judge", json.dumps(judge))]
    found = dto("judge-audit", "rules", "--store", str(store), "--traces", "8", "--json", *options)
    return json.loads(found.stdout.splitlines()[-1])


def endpoint(server, model):
    return {"endpoint": {"url": server.url, "model": model, "patienceSeconds": 5}}


def test_judges_are_measured_and_compared_and_the_result_is_kept(store):
    with serving(drops(lambda _: True)) as all_, serving(drops(lambda _: False)) as none:
        found = audited(store, endpoint(all_, "drops all"), endpoint(none, "drops none"))
    everything, nothing = found["judges"]
    assert everything["dropped"]["value"] == 1.0
    assert everything["harm"]["value"] == pytest.approx(found["needed"]["value"])
    assert (nothing["dropped"]["value"], nothing.get("harm")) == (0.0, None)
    assert nothing["agreement"]["value"] == pytest.approx(found["needed"]["value"])
    assert found["pairs"][0]["agreement"]["value"] == 0.0
    assert json.loads((store / "runs/rules/audits/judges.json").read_text())["judges"][0]["judge"] == "drops all"
    assert "drops none" in (store / "runs/rules/report.html").read_text()


def test_the_same_sample_is_looked_at_again_and_verdicts_are_remembered(store):
    with serving(drops(lambda number: number % 2 == 0)) as server:
        first = audited(store, endpoint(server, "even"))
        asked = len(server.asked)
        assert audited(store, endpoint(server, "even"))["judges"][0]["agreement"] == first["judges"][0]["agreement"]
    assert (asked > 0, len(server.asked)) == (True, asked)


def test_a_table_says_it_to_a_person(store):
    with serving(drops(lambda _: True)) as server:
        shown = dto(
            "judge-audit", "rules", "--store", str(store), "--traces", "4", "--judge", json.dumps(endpoint(server, "m"))
        )
    assert "harm" in shown.stdout
    assert "Dropping at random would harm as often" in re.sub(r"\s+", " ", shown.stdout)


def test_a_run_without_a_judge_and_nonsense_for_one_are_explained(store):
    with pytest.raises(Exception, match="name one: --judge"):
        dto("judge-audit", "rules", "--store", str(store))
    with pytest.raises(Exception, match="describes no judge"):
        dto("judge-audit", "rules", "--store", str(store), "--judge", "{url: 3}")
    with pytest.raises(Exception, match="no results yet"):
        dto("segment-audit", "nobody", "--store", str(store))


def test_cuts_are_compared_with_each_other_and_with_luck(store):
    shown = dto("segment-audit", "rules", "--store", str(store), "--traces", "16", "--json")
    found = json.loads(shown.stdout.splitlines()[-1])
    assert [cut["name"] for cut in found["cuts"]] == ["cues", "other samples", "structure", "random"]
    cues, _, structure, by_chance = found["cuts"]
    assert by_chance["patterns"] == pytest.approx(cues["patterns"], rel=0.15)
    assert structure["patterns"] > 1
    assert found["traces"] == 16
    for pair in found["pairs"]:
        assert 0 <= pair["same"]["value"] <= 1
    assert json.loads((store / "runs/rules/audits/cuts.json").read_text()) == found
    assert "Is the cut objective?" in (store / "runs/rules/report.html").read_text()


def test_the_exits_of_an_audit_are_those_of_the_run(store):
    found = json.loads((store / "runs/rules/results.json").read_text())
    dto("segment-audit", "rules", "--store", str(store), "--traces", "1000", "--json")
    cues = json.loads((store / "runs/rules/audits/cuts.json").read_text())["cuts"][0]
    exits = found["exits"]
    assert cues["withExit"]["value"] == pytest.approx(exits["withExit"] / exits["traces"], rel=1e-4)
    assert cues["patterns"] == pytest.approx(exits["patterns"], rel=1e-4)

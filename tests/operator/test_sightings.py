"""What is seen is the newest that anybody told, and what is gone stays gone."""

from dto_operator.observation import seen_job, seen_pod
from dto_operator.sightings import Sightings


def held(uid: str, version: int, run: str = "", **more: object) -> dict[str, object]:
    labels = {"dto.run/run-uid": run} if run else {}
    return {"metadata": {"uid": uid, "name": uid, "resourceVersion": str(version), "labels": labels}, **more}


def test_a_run_is_seen_with_what_is_its_own():
    sightings = Sightings()
    assert sightings.notice("Job", held("j", 1, "r")) == "r"
    assert sightings.of("r") is None
    assert sightings.notice("DTORun", held("r", 2)) == "r"
    sightings.notice("Pod", held("p", 3, "r"))
    sightings.notice("Pod", held("q", 4, "other"))
    sight = sightings.of("r")
    assert [one["metadata"]["uid"] for one in (sight.run, *sight.jobs, *sight.pods)] == ["r", "j", "p"]


def test_older_news_is_no_news():
    sightings = Sightings()
    assert sightings.notice("DTORun", held("r", 10, status={"phase": "new"})) == "r"
    assert sightings.notice("DTORun", held("r", 9, status={"phase": "old"})) is None
    assert sightings.notice("DTORun", held("r", 10)) is None
    assert sightings.of("r").run["status"] == {"phase": "new"}


def test_what_is_gone_is_not_brought_back_by_a_late_answer():
    sightings = Sightings()
    sightings.notice("DTORun", held("r", 1))
    sightings.notice("Job", held("j", 2, "r"))
    assert sightings.forget("Job", "j") == "r"
    assert sightings.notice("Job", held("j", 3, "r")) is None
    assert sightings.of("r").jobs == ()
    assert sightings.forget("Job", "j") is None


def test_a_list_adds_what_no_event_told_and_takes_what_no_event_took():
    sightings = Sightings()
    sightings.notice("DTORun", held("r", 1))
    sightings.notice("Job", held("stale", 2, "r"))
    before = sightings.known("Job")
    sightings.notice("Job", held("newer", 9, "r"))
    told = sightings.compare("Job", before, [held("listed", 5, "s")])
    assert told == {"r", "s"}
    assert {job["metadata"]["uid"] for job in sightings.of("r").jobs} == {"newer"}


def test_a_stranger_in_the_way_is_seen_until_the_next_list():
    sightings = Sightings()
    sightings.notice("DTORun", held("r", 1))
    sightings.in_the_way("r", held("x", 2))
    assert [job["metadata"]["uid"] for job in sightings.of("r").jobs] == ["x"]
    sightings.compare("Job", (), ())
    assert sightings.of("r").jobs == ()


def test_nothing_is_kept_of_a_run_that_is_gone():
    sightings = Sightings()
    for number in range(3):
        sightings.notice("DTORun", held(f"r{number}", 1))
        sightings.notice("Pod", held(f"p{number}", 1, f"r{number}"))
        sightings.forget("Pod", f"p{number}")
        sightings.forget("DTORun", f"r{number}")
    assert sightings.runs() == sightings.pods() == ()
    assert sightings._of_run == {}


def test_what_nobody_reads_is_not_kept():
    sightings = Sightings()
    template = {
        "spec": {
            "containers": [{"name": "dto", "image": "i", "args": ["preflight"], "env": ["much"]}],
            "volumes": ["more"],
        }
    }
    sightings.notice("DTORun", held("r", 1))
    sightings.notice("Job", held("j", 1, "r", spec={"completions": 3, "template": template}))
    pod = held("p", 1, "r", spec={"containers": ["much"], "nodeName": "n"})
    pod["metadata"]["annotations"] = {"dto.run/run": "long", "batch.kubernetes.io/job-completion-index": "2"}
    sightings.notice("Pod", pod)
    sight = sightings.of("r")
    assert sight.jobs[0]["spec"] == {
        "completions": 3,
        "template": {"spec": {"containers": [{"name": "dto", "image": "i", "args": ["preflight"]}]}},
    }
    assert sight.pods[0]["spec"] == {"nodeName": "n"}
    assert sight.pods[0]["metadata"]["annotations"] == {"batch.kubernetes.io/job-completion-index": "2"}


def test_what_is_read_of_a_job_and_a_pod_is_as_it_was():
    owners = [{"uid": "r", "controller": True, "kind": "DTORun"}, {"uid": "other"}]
    state = {"terminated": {"exitCode": 0, "message": "words"}}
    lost = {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler", "message": "gone"}
    job = held("j", 1, "r", spec={"completions": 2, "completionMode": "Indexed", "suspend": True})
    job["metadata"] |= {"ownerReferences": owners, "creationTimestamp": "2026-01-02T03:04:05Z"}
    job["metadata"]["labels"] |= {"dto.run/step": "exits", "dto.run/attempt": "2", "dto.run/work": "collect"}
    job["status"] = {"active": 1, "failed": 2, "completedIndexes": "0", "startTime": "2026-01-02T03:04:06Z"}
    pod = held("p", 1, "r", status={"phase": "Failed", "podIP": "10.0.0.1", "reason": "Evicted", "conditions": [lost]})
    pod["status"]["containerStatuses"] = [{"name": "dto", "state": state, "image": "long"}]
    pod["metadata"] |= {"ownerReferences": owners, "deletionTimestamp": "2026-01-02T03:04:07Z"}
    pod["metadata"]["labels"] |= {"dto.run/step": "exits", "batch.kubernetes.io/job-completion-index": "1"}
    sightings = Sightings()
    sightings.notice("DTORun", held("r", 1))
    sightings.notice("Job", job)
    sightings.notice("Pod", pod)
    sight = sightings.of("r")
    assert seen_job(sight.jobs[0]) == seen_job(job)
    assert seen_pod(sight.pods[0]) == seen_pod(pod)
    assert "image" not in str(sight.pods[0])

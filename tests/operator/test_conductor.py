"""From what is decided to what is asked of the cluster, with a cluster in memory that refuses what it is told to refuse."""

import pytest

from dto_operator import names
from dto_operator.cluster import ClusterError, ConflictError, NotLeadingError, TakenNameError, UnavailableError
from dto_operator.conductor import Conductor, Tools
from dto_operator.decision import Decision
from dto_operator.metrics import OperatorMetrics
from dto_operator.orders import Remove, Say, Start
from dto_operator.settings import OperatorSettings
from dto_operator.sightings import Sightings
from dto_operator.status import Progress, StageStatus, Status
from dto_operator.work_queue import WorkQueue

SETTINGS = OperatorSettings(store="s3://dto/tests", progress_seconds=10)
METADATA = {"name": "r", "namespace": "ns", "uid": "u", "resourceVersion": "1", "generation": 1}
SPEC = {"model": {"source": "builtin:tiny-reasoner"}, "problems": {"source": "builtin:graded-sums"}}
RUN = {"apiVersion": "dto.run/v1alpha1", "kind": "DTORun", "metadata": METADATA, "spec": SPEC}
NOTE = Say("Normal", "Noted", "words")


class Cluster:
    """Keeps what it is asked; `refuse` says what it does not do, and how."""

    def __init__(self):
        self.asked, self.refuse, self.version = [], {}, 10
        self.tails, self.events_read, self.notes = 0, [], []

    def _do(self, what, *details):
        self.asked.append((what, *details))
        if what in self.refuse:
            raise self.refuse[what]
        self.version += 1
        return str(self.version)

    def create(self, manifest, owner_uid):
        name = manifest["metadata"]["name"]
        version = self._do("create", name)
        owner = {"controller": True, "uid": owner_uid}
        metadata = {**manifest["metadata"], "uid": name, "resourceVersion": version, "ownerReferences": [owner]}
        return {**manifest, "metadata": metadata}

    def remove(self, kind, _namespace, name, _uid):
        self._do("remove", kind, name)

    def write_status(self, run, status):
        version = self._do("status", status)
        return {**run, "metadata": {**run["metadata"], "resourceVersion": version}, "status": status}

    def say(self, _run, order):
        self._do("say", order.reason)

    def told(self, namespace, uid, reason):
        self.events_read.append((namespace, uid, reason))
        return self.notes

    def log_tail(self, _namespace, _pod):
        self.tails += 1
        return "last line"

    @property
    def verbs(self):
        return [what for what, *_ in self.asked]


class Stage:
    """A conductor with its cluster; `decide` is the test's."""

    def __init__(self, decide):
        self.cluster, self.sightings, self.queue = Cluster(), Sightings(), WorkQueue()
        self.tools = Tools(self.cluster, self.sightings, self.queue, OperatorMetrics(), {})
        self.conductor = Conductor(self.tools, lambda observed, _now, _settings: decide(observed), SETTINGS)
        self.sightings.notice("DTORun", RUN)

    def drive(self):
        self.conductor.drive("u")


def test_a_start_and_what_it_leads_to_are_told_in_one_write():
    def decide(observed):
        if observed.jobs:
            return Decision((NOTE,), Status(phase="Running"))
        return Decision((Start("preflight", 1), NOTE), Status(phase="Pending"))

    stage = Stage(decide)
    stage.drive()
    assert stage.cluster.verbs == ["create", "status", "say"]
    assert stage.cluster.asked[1][1]["phase"] == "Running"
    stage.drive()
    assert stage.cluster.verbs.count("status") == 1


def test_a_decision_that_starts_for_ever_does_not_hold_a_worker_for_ever():
    stage = Stage(lambda observed: Decision((Start("preflight", len(observed.jobs) + 1),), Status(phase="Running")))
    stage.drive()
    assert stage.cluster.verbs == ["create", "create", "create", "status"]


def test_a_removal_is_told_at_once_and_not_asked_for_twice():
    def decide(observed):
        if not observed.jobs:
            return Decision((Start("preflight", 1),))
        left = tuple(Remove(job.name, job.uid) for job in observed.jobs if not job.deleting)
        return Decision(left, Status(phase="Suspended"))

    stage = Stage(decide)
    stage.drive()
    stage.drive()
    assert stage.cluster.verbs == ["create", "remove", "status"]


def test_progress_alone_is_written_now_and_then():
    done = iter(range(100))

    def decide(_observed):
        row = StageStatus(name="exits", state="Running", progress=Progress(done=next(done), total=100))
        return Decision((), Status(phase="Running", stages=(row,)))

    stage = Stage(decide)
    for _ in range(5):
        stage.drive()
    assert stage.cluster.verbs == ["status"]
    assert stage.queue._due


def test_a_transition_is_written_at_once_also_right_after_progress():
    phases = iter(["Running", "Suspended", "Running", "Succeeded"])
    stage = Stage(lambda _observed: Decision((), Status(phase=next(phases))))
    for _ in range(4):
        stage.drive()
    assert stage.cluster.verbs == ["status"] * 4


@pytest.mark.parametrize("code", [403, 422])
def test_what_a_person_must_mend_is_told_as_an_event_and_in_the_status(code):
    stage = Stage(lambda _observed: Decision((Start("preflight", 1),), Status(phase="Pending")))
    stage.cluster.refuse["create"] = ClusterError(code, "Forbidden", "exceeded quota: gpus")
    with pytest.raises(ClusterError, match="quota"):
        stage.drive()
    assert stage.cluster.verbs == ["create", "say", "status"]


def test_an_api_server_that_is_away_is_no_event():
    stage = Stage(lambda _observed: Decision((Start("preflight", 1), NOTE)))
    stage.cluster.refuse["create"] = UnavailableError(0, "", "no answer")
    with pytest.raises(UnavailableError):
        stage.drive()
    assert "FailedCreate" not in [more[0] for what, *more in stage.cluster.asked if what == "say"]


def test_somebody_elses_job_is_seen_in_the_next_look():
    seen = []
    foreign = {"metadata": {"name": "theirs", "uid": "x", "namespace": "ns"}}

    def decide(observed):
        seen.append([job.name for job in observed.strangers])
        return Decision((Start("preflight", 1),))

    stage = Stage(decide)
    stage.cluster.refuse["create"] = TakenNameError(foreign)
    with pytest.raises(TakenNameError):
        stage.drive()
    with pytest.raises(TakenNameError):
        stage.drive()
    assert seen == [[], ["theirs"]]


def test_a_status_of_a_run_that_changed_is_decided_anew():
    stage = Stage(lambda _observed: Decision((NOTE,), Status(phase="Running")))
    stage.cluster.refuse["status"] = ConflictError(409, "Conflict", "changed")
    stage.drive()
    assert stage.cluster.verbs == ["status"]
    assert "u" in stage.queue._due
    stage.cluster.refuse.clear()
    stage.drive()
    assert stage.cluster.verbs == ["status", "status", "say"]


def test_a_failed_pod_without_words_is_seen_with_the_end_of_its_log_which_is_read_once():
    seen = []

    def decide(observed):
        seen.extend(pod.ended.message for pods in observed.pods.values() for pod in pods)
        return Decision()

    stage = Stage(decide)
    status = {
        "phase": "Failed",
        "containerStatuses": [{"name": "dto", "state": {"terminated": {"exitCode": 1, "reason": "Error"}}}],
    }
    metadata = {"name": "p", "uid": "p", "namespace": "ns", "resourceVersion": "1", "labels": {"dto.run/run-uid": "u"}}
    stage.conductor.noticed("Pod", {"metadata": metadata, "status": status})
    stage.drive()
    stage.drive()
    assert seen == ["last line", "last line"]
    assert stage.cluster.tails == 1


def succeeded_pod(uid, version):
    metadata = {"name": uid, "namespace": "ns", "uid": uid, "resourceVersion": version, "labels": {names.RUN_UID: "u"}}
    return {"metadata": metadata, "status": {"phase": "Succeeded"}}


def test_a_hand_off_is_measured_from_the_last_success_and_not_from_what_is_told_later_of_an_earlier_one(monkeypatch):
    clock = {"now": 0.0}
    monkeypatch.setattr("dto_operator.conductor.time.monotonic", lambda: clock["now"])
    stage = Stage(lambda observed: Decision((Start("exits", 1 + len(observed.jobs)),), Status(phase="Running")))
    for now, uid, version in ((10.0, "first", "20"), (11.0, "other-branch", "21"), (50.0, "second", "22")):
        clock["now"] = now
        stage.conductor.noticed("Pod", succeeded_pod(uid, version))
    clock["now"] = 51.0
    # As when the Job controller takes its finalizer from a pod.
    stage.conductor.noticed("Pod", succeeded_pod("first", "23"))
    clock["now"] = 52.0
    run, order = stage.sightings.of("u").run, Start("exits", 1)
    stage.conductor._start(run, order)
    shown = stage.tools.metrics.registry.get_sample_value
    assert shown("dto_stage_handoff_seconds_sum") == 2.0
    assert shown("dto_stage_handoff_seconds_count") == 1


def test_a_worker_outlives_whatever_a_run_does_to_it():
    def decide(_observed):
        raise RuntimeError("a mistake of ours")

    stage = Stage(decide)
    stage.queue.add("u")
    stage.queue.add("gone")
    looked = iter([True, True, False])

    def may_write():
        if not next(looked, False):
            stage.queue.close()
        return True

    stage.conductor.work(may_write)
    assert "u" in stage.queue._due


def test_what_comes_while_another_replica_leads_is_left_to_it():
    stage = Stage(lambda _observed: Decision((), Status(phase="Running")))
    stage.cluster.refuse["status"] = NotLeadingError()
    stage.queue.add("u")
    answers = iter([False])

    def may_write():
        stage.queue.close()
        return next(answers, True)

    stage.conductor.work(may_write)
    assert stage.cluster.asked == []


def test_a_run_that_is_gone_is_forgotten():
    stage = Stage(lambda _observed: Decision((), Status(phase="Running"), look_again=100))
    stage.drive()
    stage.conductor.noticed("DTORun", RUN, gone=True)
    stage.drive()
    assert stage.queue._due == {}
    assert stage.conductor._progress_written == {}


def test_a_look_takes_the_progress_of_its_own_pods_alone():
    seen = []

    def decide(observed):
        seen.append(dict(observed.progress))
        return Decision((), Status(phase="Running"))

    stage = Stage(decide)
    metadata = {"name": "p", "uid": "p", "resourceVersion": "2", "labels": {names.RUN_UID: "u"}}
    stage.sightings.notice("Pod", {"metadata": metadata, "status": {"phase": "Running"}})
    stage.tools.amounts.update({"p": (1, 2), "of-another": (3, 4)})
    stage.drive()
    assert seen == [{"p": (1, 2)}]


def test_nothing_is_remembered_of_a_pod_that_is_gone():
    stage = Stage(lambda _observed: Decision((), Status(phase="Running")))
    for number in range(3):
        metadata = {"name": f"p{number}", "uid": f"p{number}", "resourceVersion": "2", "labels": {names.RUN_UID: "u"}}
        pod = {"metadata": metadata, "status": {"phase": "Succeeded"}}
        stage.conductor.noticed("Pod", pod)
        assert stage.conductor._ended_pods == {f"p{number}"}
        stage.conductor.noticed("Pod", pod, gone=True)
    assert stage.conductor._ended_pods == set()


def test_events_about_a_job_without_pods_are_read_once_and_handed_on():
    seen = []

    def decide(observed):
        seen.append(dict(observed.refused))
        return Decision()

    stage = Stage(decide)
    stage.cluster.notes = ["exceeded quota: gpus"]
    labels = {"dto.run/run-uid": "u"}
    job = {"metadata": {"name": "j", "uid": "j", "namespace": "ns", "resourceVersion": "1", "labels": labels}}
    stage.conductor.noticed("Job", job)
    stage.drive()
    stage.drive()
    assert [found["j"][0].message for found in seen] == ["exceeded quota: gpus"] * 2
    assert stage.cluster.events_read == [("ns", "j", "FailedCreate")]
    owner = [{"uid": "j", "controller": True}]
    metadata = {"name": "p", "uid": "p", "namespace": "ns", "resourceVersion": "2", "labels": labels}
    stage.conductor.noticed("Pod", {"metadata": {**metadata, "ownerReferences": owner}, "status": {}})
    stage.drive()
    assert seen[-1] == {}


def test_lost_pods_are_counted_also_when_they_have_vanished():
    seen = []

    def decide(observed):
        seen.append(dict(observed.lost))
        return Decision()

    stage = Stage(decide)
    labels = {"dto.run/run-uid": "u"}
    job = {"metadata": {"name": "j", "uid": "j", "namespace": "ns", "resourceVersion": "1", "labels": labels}}
    stage.conductor.noticed("Job", job)
    condition = {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}
    for number in range(3):
        metadata = {
            "name": f"p{number}",
            "uid": f"p{number}",
            "namespace": "ns",
            "resourceVersion": "2",
            "labels": labels,
        }
        metadata["ownerReferences"] = [{"uid": "j", "controller": True}]
        pod = {"metadata": metadata, "status": {"phase": "Failed", "conditions": [condition]}}
        stage.conductor.noticed("Pod", pod)
        stage.conductor.noticed("Pod", pod, gone=True)
    stage.drive()
    assert seen == [{"j": 3}]

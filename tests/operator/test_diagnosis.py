"""Why an attempt does not go well, from what the kubelet and the controllers really write."""

import json

import pytest

from dto_jobs import errors
from dto_operator.diagnosis import diagnose
from dto_operator.observation import Why, seen_job, seen_pod
from dto_operator.pod_failures import REASONS, REMEDIES
from dto_operator.status import MESSAGE_BYTES

LABELS = {"dto.run/attempt": "1", "dto.run/work": "make"}


def job(step="rollout", failed=None, message="", work="make"):
    conditions = [{"type": "Failed", "status": "True", "reason": failed, "message": message}] if failed else []
    containers = [{"name": "dto", "image": "registry.example/jobs:1"}]
    return seen_job(
        {
            "metadata": {"name": "r-1", "uid": "j", "labels": {**LABELS, "dto.run/step": step, "dto.run/work": work}},
            "spec": {"completions": 4, "completionMode": "Indexed", "template": {"spec": {"containers": containers}}},
            "status": {"conditions": conditions},
        }
    )


def pod(state=None, phase="Failed", conditions=(), deleting=False, name="r-1-0", **status):
    containers = [{"name": "dto", "state": state}] if state else []
    return seen_pod(
        {
            "metadata": {"name": name} | ({"deletionTimestamp": "2026-01-01T00:00:00Z"} if deleting else {}),
            "status": {"phase": phase, "conditions": list(conditions), "containerStatuses": containers, **status},
        }
    )


def ended(code, reason="Error", message="", **more):
    return pod({"terminated": {"exitCode": code, "reason": reason, "message": message}}, **more)


def waiting(reason, message="", **more):
    return pod({"waiting": {"reason": reason, "message": message}}, phase="Pending", **more)


def unschedulable(message):
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return pod(phase="Pending", conditions=[condition])


def disrupted(reason, message="", **more):
    return pod(
        conditions=[{"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message}], **more
    )


def words(code, message, retry, shard="0/1"):
    held = {
        "run": "r",
        "stage": "rollout",
        "state": "failed",
        "exitCode": code,
        "retry": retry,
        "message": message,
        "shard": shard,
    }
    return ended(code, message=f"{message}\n{json.dumps(held)}\n")


DENIED = "cannot write runs/x: the keys may not do that in the bucket 'dto'; a run needs s3:GetObject, s3:PutObject"
CASES = [
    (ended(137, "OOMKilled"), "OOMKilled", "application", "spec.stages.rollout.job.resources.limits.memory"),
    (ended(137), "Killed", "application", "spec.stages.rollout.job.resources.requests.memory"),
    (ended(137, deleting=True), "PodDeleted", "infrastructure", "made anew"),
    (ended(143), "PodDeleted", "infrastructure", "made anew"),
    (
        words(9, "out of memory: CUDA out of memory. Tried to allocate 2 GiB", "application"),
        "CudaOutOfMemory",
        "application",
        "GPU",
    ),
    (words(9, "this machine's memory did not suffice", "application"), "OutOfMemory", "application", "memory"),
    (words(4, DENIED, "infrastructure"), "BucketDenied", "infrastructure", "spec.artifacts"),
    (words(4, "http://s3:9000 could not be reached", "infrastructure"), "StoreFailed", "infrastructure", "tried again"),
    (
        words(4, "exits/1/part-0 is damaged: its sha256 is not …", "infrastructure"),
        "ArtifactDamaged",
        "infrastructure",
        "sha256",
    ),
    (words(8, "nothing answers at http://judge", "infrastructure"), "EndpointFailed", "infrastructure", "url"),
    (words(75, "asked to stop", "infrastructure", "2/4"), "Stopped", "infrastructure", "rollout 2/4"),
    (words(3, "the model has no config.json", "never"), "UnusableInput", "never", "no config.json"),
    (
        words(6, "rollout: diverged; lower the learning rate", "never"),
        "StageFailed",
        "never",
        "lower the learning rate",
    ),
    (words(1, "KeyError: 'x'", "application"), "UnexpectedError", "application", "report it"),
    (ended(4), "StoreFailed", "infrastructure", "kubectl logs r-1-0"),
    (ended(2), "InvalidRun", "never", "create another run"),
    (ended(75), "Stopped", "infrastructure", "goes on"),
    (
        ended(128, "StartError", 'exec: "dto": executable file not found in $PATH: unknown'),
        "CommandMissing",
        "never",
        "spec.stages.rollout.job.image",
    ),
    (ended(127), "CommandMissing", "never", "registry.example/jobs:1"),
    (ended(128, "StartError", "exec /usr/bin/dto: exec format error"), "ExecFormatError", "never", "architecture"),
    (ended(99, message="segmentation fault"), "Failed", "application", "segmentation fault"),
    (
        pod(reason="Evicted", message="The node was low on resource: ephemeral-storage. Threshold quantity: 1Gi"),
        "Evicted",
        "infrastructure",
        "resources.requests.ephemeral-storage",
    ),
    (
        pod(reason="Evicted", message="The node was low on resource: memory. "),
        "Evicted",
        "infrastructure",
        "ran out of memory",
    ),
    (
        pod(reason="Evicted", message='Usage of EmptyDir volume "dto-scratch" exceeds the limit "1Gi". '),
        "DiskLimitExceeded",
        "application",
        "dto-scratch",
    ),
    (
        pod(reason="Evicted", message="Pod ephemeral local storage usage exceeds the total limit of containers 1Gi. "),
        "DiskLimitExceeded",
        "application",
        "ephemeral-storage",
    ),
    (pod(reason="NodeLost"), "NodeLost", "infrastructure", "node is gone"),
    (
        pod(reason="UnexpectedAdmissionError", message="Allocate failed due to no healthy devices present"),
        "NodeRefused",
        "infrastructure",
        "devices",
    ),
    (disrupted("PreemptionByScheduler"), "Preempted", "infrastructure", "higher priority"),
    (disrupted("EvictionByEvictionAPI"), "Drained", "infrastructure", "drained"),
    (disrupted("DeletionByTaintManager"), "NodeLost", "infrastructure", "taint"),
    (disrupted("DeletionByPodGC"), "NodeLost", "infrastructure", "node is gone"),
    (disrupted("TerminationByKubelet"), "NodeShutdown", "infrastructure", "shut down"),
    (disrupted("SomethingNew", "its reason"), "Disrupted", "infrastructure", "its reason"),
]

WAITS = [
    (
        waiting("ImagePullBackOff", 'Back-off pulling image "registry.example/jobs:1": not found'),
        "ImagePullFailed",
        "spec.stages.rollout.job.image",
    ),
    (waiting("ErrImagePull", "failed to authorize: 401 Unauthorized"), "ImagePullFailed", "pull secret"),
    (waiting("InvalidImageName", "couldn't parse image name"), "InvalidImageName", "registry.example/jobs:1"),
    (waiting("CreateContainerConfigError", 'secret "dto-minio" not found'), "SecretMissing", "Secret dto-minio"),
    (waiting("CreateContainerConfigError", 'configmap "rows" not found'), "ConfigMapMissing", "ConfigMap rows"),
    (
        waiting("CreateContainerConfigError", "couldn't find key accessKey in Secret team/dto-minio"),
        "KeyMissing",
        "Secret team/dto-minio has no key accessKey",
    ),
    (
        waiting("CreateContainerConfigError", "container has runAsNonRoot"),
        "CreateContainerConfigError",
        "spec.stages.rollout.job",
    ),
    (waiting("RunContainerError", 'exec: "dto": executable file not found'), "CommandMissing", "jobs image"),
    (waiting("PodSandboxError", "no network"), "PodSandboxError", "no network"),
    (
        unschedulable("0/3 nodes are available: 3 Insufficient nvidia.com/gpu. no new claims"),
        "UnschedulableGPU",
        "no node has a free nvidia.com/gpu;",
    ),
    (
        unschedulable("0/3 nodes are available: 1 Insufficient cpu, 2 Insufficient memory."),
        "Unschedulable",
        "ask for less",
    ),
    (
        unschedulable("0/1 nodes are available: 1 node(s) had untolerated taint {gpu: true}."),
        "Unschedulable",
        "tolerations",
    ),
    (unschedulable('persistentvolumeclaim "models" not found'), "VolumeMissing", "models"),
]


@pytest.mark.parametrize(
    ("seen", "reason", "retry", "says"), CASES, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_failed_pod_tells_why_and_what_to_do(seen, reason, retry, says):
    found = diagnose(job(failed="BackoffLimitExceeded"), [seen])
    assert (found.reason, found.retry) == (reason, retry)
    assert says in found.message


@pytest.mark.parametrize(("seen", "reason", "says"), WAITS, ids=lambda value: value if isinstance(value, str) else "")
def test_a_pod_that_does_not_start_tells_why_and_what_to_do(seen, reason, says):
    found = diagnose(job(), [seen])
    assert found.reason == reason
    assert says in found.message


def test_a_deadline_goes_before_what_it_did_to_the_pods_and_says_what_they_waited_for():
    late = job(failed="DeadlineExceeded")
    assert diagnose(late, [ended(143)]).reason == "DeadlineExceeded"
    found = diagnose(late, [unschedulable("3 Insufficient nvidia.com/gpu.")])
    assert (found.reason, found.retry) == ("DeadlineExceeded", "application")
    assert "activeDeadlineSeconds" in found.message
    assert "no node has a free nvidia.com/gpu" in found.message


def test_a_shard_that_was_lost_and_replaced_is_not_why_another_failed():
    found = diagnose(
        job(failed="BackoffLimitExceeded"), [disrupted("DeletionByPodGC"), words(3, "no config.json", "never")]
    )
    assert found.reason == "UnusableInput"


def test_a_training_that_lost_a_node_is_not_judged_by_the_others_that_missed_it():
    pods = [words(6, "the other processes are gone", "never"), disrupted("DeletionByTaintManager")]
    assert diagnose(job("training", failed="PodFailurePolicy"), pods).reason == "NodeLost"


def test_the_most_telling_of_several_failures_is_told():
    pods = [ended(143), ended(137), words(6, "the others are gone", "never"), ended(137, "OOMKilled", name="r-1-3")]
    assert diagnose(job(failed="BackoffLimitExceeded"), pods).message.startswith("r-1-3")


def test_a_job_without_pods_is_explained_by_its_events():
    quota = Why(
        "FailedCreate", 'Error creating: pods "r-1-0" is forbidden: exceeded quota: gpus, requested: nvidia.com/gpu=1'
    )
    restricted = Why(
        "FailedCreate", 'Error creating: pods "r-1-0" is forbidden: violates PodSecurity "restricted:latest": …'
    )
    assert diagnose(job(), [], [quota]).reason == "QuotaExceeded"
    assert diagnose(job(), [], [restricted]).reason == "PodRefused"
    assert diagnose(job(), []).reason == "NoPods"
    assert diagnose(job(failed="BackoffLimitExceeded"), []).reason == "PodsGone"


def test_what_the_operator_sets_up_itself_is_mended_there():
    assert "$DTO_OPERATOR_STEPS_MEMORY" in diagnose(job("preflight"), [ended(137, "OOMKilled")]).message
    assert "$DTO_OPERATOR_JOBS_IMAGE" in diagnose(job("results"), [waiting("ErrImagePull", "not found")]).message
    assert "spec.stages.evaluation.job" in diagnose(job("baseline"), [ended(137, "OOMKilled")]).message


@pytest.mark.parametrize("text", ["x" * 5000, "€" * 3000, "a\nb " * 800])
def test_a_message_is_one_line_of_at_most_a_kibibyte_and_keeps_the_remedy(text):
    found = diagnose(job(failed="BackoffLimitExceeded"), [words(9, text, "application")])
    assert len(found.message.encode()) <= MESSAGE_BYTES
    assert "\n" not in found.message
    assert "have fewer sequences run at once" in found.message


def test_a_pod_that_says_nothing_is_still_answered():
    assert diagnose(job(failed="BackoffLimitExceeded"), [pod()]).retry == "application"
    assert diagnose(job(), [pod(phase="Running")]).reason == "Unknown"


def test_every_exit_code_of_the_contract_has_a_word_a_remedy_and_the_contracts_retry():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.DtoError)]
    told = {kind.exit_code: kind.retry for kind in kinds if kind.exit_code not in {1, 130}}
    assert len(told) >= 10
    for code, retry in told.items():
        found = diagnose(job(failed="BackoffLimitExceeded"), [ended(code)])
        assert (found.reason, found.retry) == (REASONS[code], retry)
        assert REMEDIES[code] in found.message

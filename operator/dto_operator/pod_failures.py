"""Why a pod ended without success: each cause asks whether it was that, and says what to do."""

import re

from dto_jobs.errors import Retry
from dto_operator.cause import Cause, Diagnosis, fitting, settings, whose
from dto_operator.observation import SeenJob, SeenPod
from dto_operator.status import MESSAGE_BYTES

KILLED, TERMINATED = 137, 143
SAID_BYTES = MESSAGE_BYTES - 300
"""Of a pod's own words: the rest is for the remedy."""


def _out_of_memory(job: SeenJob, pod: SeenPod) -> Diagnosis | None:
    if pod.ended is None or pod.ended.reason != "OOMKilled":
        return None
    limit = whose(job, "resources.limits.memory", "STEPS_MEMORY")
    return Diagnosis(
        "OOMKilled",
        f"{pod.name} needed more memory than its limit; raise {limit}, or have fewer sequences run at once (spec.engine)",
        "application",
    )


REASONS = {
    1: "UnexpectedError",
    2: "InvalidRun",
    3: "UnusableInput",
    4: "StoreFailed",
    5: "RunConflict",
    6: "StageFailed",
    7: "LibraryMissing",
    8: "EndpointFailed",
    9: "OutOfMemory",
    10: "NodeLost",
    75: "Stopped",
}
"""The exit codes of the stages' contract, in one word each."""
REMEDIES = {
    1: "please report it, with the log of the pod",
    2: "mend the run's spec: it is fixed, so create another run",
    3: "mend what is named, and create another run where that is in the spec",
    4: "check spec.artifacts (bucket, endpoint, secretRef) and the service; it is tried again",
    5: "create another run under another metadata.name",
    6: "the message says what to change",
    7: "use a jobs image that has it",
    8: "check the endpoint's url and its service; it is tried again",
    9: "give the stage's pods more memory or a larger GPU, or have fewer sequences run at once (spec.engine)",
    10: "it goes on from its last checkpoint; look into the other pods' logs if it comes again",
    75: "it goes on from what it had committed",
}
RETRIES: dict[int, Retry] = {
    1: "application",
    4: "infrastructure",
    8: "infrastructure",
    9: "application",
    10: "infrastructure",
    75: "infrastructure",
}


def _own_words(job: SeenJob, pod: SeenPod) -> Diagnosis | None:
    """Return what a pod said itself, with what to do where it is known."""
    words = pod.words
    if words is None or words.state == "done":
        return None
    reason = _store_reason(words.message) if words.exit_code == 4 else _device_reason(words.exit_code, words.message)
    remedy = REMEDIES.get(words.exit_code)
    where = f"{job.step} {words.shard}" if words.shard != "0/1" else job.step
    ending = f" ({remedy})" if remedy and words.exit_code != 6 else ""
    return Diagnosis(reason, f"{where}: {fitting(words.message, SAID_BYTES)}{ending}", words.retry)


def _store_reason(message: str) -> str:
    if "is damaged" in message:
        return "ArtifactDamaged"
    denied = ("does not accept the keys", "may not do that", "token has expired", "no bucket")
    return "BucketDenied" if any(word in message for word in denied) else REASONS[4]


def _device_reason(code: int, message: str) -> str:
    return "CudaOutOfMemory" if code == 9 and "CUDA" in message else REASONS.get(code, "Failed")


def _without_words(job: SeenJob, pod: SeenPod) -> Diagnosis | None:
    """Return what an exit code of the contract means, where no last words could be read."""
    del job
    if pod.exit_code not in REASONS:
        return None
    log = pod.ended.message if pod.ended else ""
    return Diagnosis(
        REASONS[pod.exit_code],
        f"{pod.name} ended with exit code {pod.exit_code} and no last words; {REMEDIES[pod.exit_code]}; "
        f"kubectl logs {pod.name} tells more. {log}",
        RETRIES.get(pod.exit_code, "never"),
    )


NOT_STARTED = {"StartError", "ContainerCannotRun", "RunContainerError"}


def no_command(job: SeenJob, pod: SeenPod) -> Diagnosis | None:
    """Return that the image holds no program `dto`, or one for another kind of processor."""
    said = pod.ended or pod.waiting
    if said is None or not (said.reason in NOT_STARTED or pod.exit_code in {126, 127}):
        return None
    if "exec format error" in said.message:
        what = "the image is built for another kind of processor than the node's; use one of its architecture, or a nodeSelector"
        return Diagnosis("ExecFormatError", f"{pod.name}: {what} ({settings(job)}). {said.message}", "never")
    return Diagnosis(
        "CommandMissing",
        f"{pod.name} could not start `dto` in {job.image}; name a jobs image of this release ({settings(job)}.image). {said.message}",
        "never",
    )


def _killed(job: SeenJob, pod: SeenPod) -> Diagnosis | None:
    if pod.exit_code == KILLED and pod.deleting:
        return Diagnosis(
            "PodDeleted", f"{pod.name} was deleted and did not end in its time; it is made anew", "infrastructure"
        )
    if pod.exit_code == KILLED:
        return Diagnosis(
            "Killed",
            f"{pod.name} was killed (137) without a word: most often the node's memory did not suffice; raise "
            f"{whose(job, 'resources.requests.memory', 'STEPS_MEMORY')}, so that it gets a node with room",
            "application",
        )
    if pod.exit_code == TERMINATED or (pod.exit_code is None and pod.deleting):
        return Diagnosis(
            "PodDeleted", f"{pod.name} was ended from outside before it began; it is made anew", "infrastructure"
        )
    return None


def _evicted_for_its_own(job: SeenJob, pod: SeenPod) -> Diagnosis | None:
    """Return the eviction of a pod that wrote more than it may, which another node would not change."""
    why = pod.evicted
    if why is None or why.reason != "Evicted" or "exceeds the" not in why.message:
        return None
    return Diagnosis(
        "DiskLimitExceeded",
        f"{pod.name} wrote more to its disk than its limit; raise {whose(job, 'resources.limits (ephemeral-storage)', 'STEPS_MEMORY')} "
        f"or mount a larger volume. {why.message}",
        "application",
    )


def _evicted(job: SeenJob, pod: SeenPod) -> Diagnosis | None:
    why = pod.evicted
    if why is None or why.reason not in EVICTIONS:
        return None
    low = re.search(r"low on resource: ([a-z-]+)", why.message)
    reason, what = EVICTIONS[why.reason]
    if low:
        what = (
            f"its node ran out of {low[1]}; ask for it by {whose(job, f'resources.requests.{low[1]}', 'STEPS_MEMORY')}"
        )
    return Diagnosis(reason, f"{pod.name}: {what}; it is made anew on another. {why.message}", "infrastructure")


EVICTIONS = {
    "Evicted": ("Evicted", "its node was short of something and ended it"),
    "NodeLost": ("NodeLost", "its node is gone"),
    "NodeShutdown": ("NodeShutdown", "its node was shutting down and took no pods"),
    "Terminated": ("NodeShutdown", "its node was shut down"),
    "Shutdown": ("NodeShutdown", "its node was shut down"),
    "Preempting": ("Preempted", "it made room for one that its node needs more"),
    "NodeAffinity": ("NodeRefused", "its node took no such pod any more"),
    "UnexpectedAdmissionError": ("NodeRefused", "its node could not give it the devices it was promised"),
    "OutOfcpu": ("NodeRefused", "its node was full when it came"),
    "OutOfmemory": ("NodeRefused", "its node was full when it came"),
    "OutOfpods": ("NodeRefused", "its node was full when it came"),
}
DISRUPTED = {
    "PreemptionByScheduler": ("Preempted", "it made room for pods of a higher priority"),
    "EvictionByEvictionAPI": ("Drained", "it was evicted, as when its node is drained"),
    "DeletionByTaintManager": (
        "NodeLost",
        "its node got a taint that it does not tolerate, as one that is out of reach does",
    ),
    "DeletionByPodGC": ("NodeLost", "its node is gone"),
    "TerminationByKubelet": ("NodeShutdown", "its node ended it: it shut down or was short of something"),
}


def _disrupted(job: SeenJob, pod: SeenPod) -> Diagnosis | None:
    """Return what took a pod away that had done nothing wrong."""
    del job
    if pod.disrupted is None:
        return None
    reason, what = DISRUPTED.get(pod.disrupted.reason, ("Disrupted", "it was taken away"))
    return Diagnosis(
        reason, f"{pod.name}: {what}; it goes on from what was committed. {pod.disrupted.message}", "infrastructure"
    )


FAILURES: tuple[Cause, ...] = (
    *(_out_of_memory, _evicted_for_its_own, _own_words, no_command, _without_words),
    *(_evicted, _killed, _disrupted),
)
"""The most telling first."""
DISRUPTIONS: tuple[Cause, ...] = (_disrupted, _evicted)
"""Those that took away a pod which had done nothing wrong."""

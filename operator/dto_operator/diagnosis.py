"""Why an attempt does not go well, and what a person should do: asked cause by cause, the most telling first."""

from collections.abc import Sequence

from dto_operator.cause import Cause, Diagnosis, fitting, settings
from dto_operator.observation import SeenJob, SeenPod, Why
from dto_operator.pod_failures import DISRUPTIONS, FAILURES
from dto_operator.pod_waits import WAITING
from dto_operator.status import MESSAGE_BYTES


def diagnose(job: SeenJob, pods: Sequence[SeenPod], said: Sequence[Why] = ()) -> Diagnosis:
    """Return why a Job failed, or what its pods wait for. `said` are Events about the Job, where they were read."""
    ended = [pod for pod in pods if pod.phase == "Failed"]
    # Lost pods of a sharded stage were replaced: it was another one that failed the Job.
    own = [pod for pod in ended if pod.disrupted is None] or ended
    found = (
        (_late(job, pods) if _by(job, "DeadlineExceeded") else None)
        or (_first(DISRUPTIONS, job, ended) if _by(job, "PodFailurePolicy") else None)
        or _first(FAILURES, job, own)
        or _first(WAITING, job, [pod for pod in pods if not pod.over])
        or _first(DISRUPTIONS, job, ended)
        or _without_pods(job, pods, said)
        or _unknown(job, own)
    )
    return Diagnosis(found.reason, fitting(found.message, MESSAGE_BYTES), found.retry)


def _first(causes: Sequence[Cause], job: SeenJob, pods: Sequence[SeenPod]) -> Diagnosis | None:
    """Return the first cause that any pod has, the most telling causes before the oldest pods."""
    return next((found for cause in causes for pod in pods if (found := cause(job, pod))), None)


def _by(job: SeenJob, reason: str) -> bool:
    return any(why is not None and why.reason == reason for why in (job.failed, job.failing))


def _late(job: SeenJob, pods: Sequence[SeenPod]) -> Diagnosis:
    """Return that the time was over, with what the pods were waiting for, if they were."""
    behind = _first(WAITING, job, pods)
    more = f" Its pods had waited: {behind.message}" if behind else ""
    return Diagnosis(
        "DeadlineExceeded",
        f"the attempt took longer than {settings(job)}.activeDeadlineSeconds; the next goes on from what was committed. "
        f"Raise the deadline, or use more shards.{more}",
        "application",
    )


def _without_pods(job: SeenJob, pods: Sequence[SeenPod], said: Sequence[Why]) -> Diagnosis | None:
    """Return why the Job controller made no pods, or where they went."""
    if pods:
        return None
    for why in said:
        if "exceeded quota" in why.message:
            what = "a ResourceQuota of the namespace leaves no room: free some, raise it, or ask for less"
            return Diagnosis("QuotaExceeded", f"{what} ({settings(job)}.resources). {why.message}", "infrastructure")
        if "violates PodSecurity" in why.message:
            what = "the namespace's Pod Security refuses the pods, which keep to the profile `restricted`"
            return Diagnosis(
                "PodRefused", f"{what}: check volumes and image of {settings(job)}. {why.message}", "never"
            )
        if "forbidden" in why.message or why.reason == "FailedCreate":
            return Diagnosis("PodRefused", f"the cluster refuses its pods. {why.message}", "infrastructure")
    if job.failed is None:
        what = "it has no pod yet; if that lasts, a quota or an admission rule refuses them"
        return Diagnosis("NoPods", f"{what}: kubectl describe job {job.name} tells", "infrastructure")
    return Diagnosis(
        "PodsGone",
        f"its pods are gone, and nobody read why they failed; it is made anew. {job.failed.message}",
        "infrastructure",
    )


def _unknown(job: SeenJob, pods: Sequence[SeenPod]) -> Diagnosis:
    pod = next(iter(pods), None)
    if pod is None:
        return Diagnosis("Unknown", f"the Job {job.name} does not go on, and its pods say no reason", "infrastructure")
    code = "without an exit code" if pod.exit_code is None else f"with exit code {pod.exit_code}"
    said = pod.ended.message if pod.ended else ""
    return Diagnosis("Failed", f"{pod.name} ended {code}; kubectl logs {pod.name} may tell why. {said}", "application")

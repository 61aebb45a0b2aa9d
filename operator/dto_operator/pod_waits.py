"""What keeps a pod from starting: each cause asks whether it is that, and says what to do."""

import re

from dto_operator.cause import Cause, Diagnosis, settings, small, whose
from dto_operator.observation import SeenJob, SeenPod
from dto_operator.pod_failures import no_command


def _image(job: SeenJob, pod: SeenPod) -> Diagnosis | None:
    why = pod.waiting
    if why is None or why.reason not in {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"}:
        return None
    where = f"{settings(job)}.image" if not small(job) else "$DTO_OPERATOR_JOBS_IMAGE of the operator"
    access = re.search(r"unauthorized|denied|401|403|authorization", why.message, re.IGNORECASE)
    remedy = (
        "name a pull secret ($DTO_OPERATOR_IMAGE_PULL_SECRETS)"
        if access
        else f"check {where}, and that the node reaches its registry"
    )
    reason = "InvalidImageName" if why.reason == "InvalidImageName" else "ImagePullFailed"
    return Diagnosis(reason, f"the image {job.image} cannot be pulled: {remedy}. {why.message}", "infrastructure")


MISSING = re.compile(r"(secret|configmap) \"(?P<name>[^\"]+)\" not found", re.IGNORECASE)
NO_KEY = re.compile(r"couldn't find key (?P<key>\S+) in (?P<kind>Secret|ConfigMap) (?P<name>\S+)")


def _configuration(job: SeenJob, pod: SeenPod) -> Diagnosis | None:
    why = pod.waiting
    if why is None or why.reason not in {"CreateContainerConfigError", "CreateContainerError"}:
        return None
    if key := NO_KEY.search(why.message):
        said = f"the {key['kind']} {key['name']} has no key {key['key']}; add it, and the pod starts"
        return Diagnosis("KeyMissing", f"{pod.name}: {said}", "infrastructure")
    if thing := MISSING.search(why.message):
        kind = {"secret": "Secret", "configmap": "ConfigMap"}[thing[1].lower()]
        said = f"there is no {kind} {thing['name']} in the run's namespace; create it, and the pod starts"
        return Diagnosis(f"{kind}Missing", f"{pod.name}: {said}", "infrastructure")
    return Diagnosis(why.reason, f"{pod.name} cannot be made as {settings(job)} asks: {why.message}", "infrastructure")


SHORT = re.compile(r"Insufficient ([\w./-]+)")


def _unschedulable(job: SeenJob, pod: SeenPod) -> Diagnosis | None:
    why = pod.unschedulable
    if why is None:
        return None
    short = [name.rstrip(".") for name in SHORT.findall(why.message)]
    device = next((name for name in short if "/" in name), None)
    if device is not None:
        what = f"no node has a free {device}; wait, add nodes, or ask for fewer ({settings(job)}.resources.limits)"
        return Diagnosis("UnschedulableGPU", f"{what}. {why.message}", "infrastructure")
    if "persistentvolumeclaim" in why.message:
        return Diagnosis(
            "VolumeMissing", f"a volume is not there; create the claim that is named. {why.message}", "infrastructure"
        )
    if short:
        what = f"no node has room; wait, add nodes, or ask for less ({whose(job, 'resources', 'STEPS_CPU and _STEPS_MEMORY')})"
    else:
        what = f"no node is one that it may run on; check nodeSelector, tolerations and affinity of {settings(job)}"
    return Diagnosis("Unschedulable", f"{what}. {why.message}", "infrastructure")


def _waiting(job: SeenJob, pod: SeenPod) -> Diagnosis | None:
    del job
    why = pod.waiting
    if why is None or why.reason in {"ContainerCreating", "PodInitializing"}:
        return None
    return Diagnosis(why.reason, f"{pod.name} does not start: {why.message or why.reason}", "infrastructure")


WAITING: tuple[Cause, ...] = (_image, _configuration, no_command, _unschedulable, _waiting)
"""The most telling first."""

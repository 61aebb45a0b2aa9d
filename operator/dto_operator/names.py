"""How things that belong to a run are named and labelled on a cluster: the one place that spells them."""

import hashlib

from dto_jobs.resource import API_VERSION

DOMAIN = API_VERSION.split("/", maxsplit=1)[0]

OPERATOR = "dto-operator"
"""Field manager, reporter of Events, and the value of the label `app.kubernetes.io/managed-by`."""

MANAGED_BY = "app.kubernetes.io/managed-by"
RUN = f"{DOMAIN}/run"
"""Label: the run's name."""
RUN_UID = f"{DOMAIN}/run-uid"
"""Label: the run's uid, by which its objects are found."""
STEP = f"{DOMAIN}/step"
"""Label: `preflight`, a stage's name, or `results`."""
ATTEMPT = f"{DOMAIN}/attempt"
"""Label: which try of the step, from 1."""
WORK = f"{DOMAIN}/work"
"""Label: what the Job does for its step: `make` it, or `collect` the receipt that its pods left no word of; `discard` is for a
run that is deleted."""
SELECTOR = f"{MANAGED_BY}={OPERATOR}"
"""What the operator watches of Jobs and pods."""
QUEUE = "kueue.x-k8s.io/queue-name"
"""Label: Kueue's local queue."""
FINALIZER = f"{DOMAIN}/artifacts"
"""Held only while artifacts are to be deleted with the run."""

LONGEST = 63
PREFLIGHT, RESULTS, DISCARD = "preflight", "results", "discard"
"""The steps before and after the stages, and the one that removes what need not stay."""
AROUND = frozenset({PREFLIGHT, RESULTS, DISCARD})
"""Small steps, set up by the operator's own settings."""
CONTAINER = "dto"
METRICS = "metrics"
"""Name of the port at which pods are scraped."""
RUN_FILE = f"{DOMAIN}/run"
"""Annotation of a preflight's pod: the run as JSON, which the pod reads as a file."""
QUEUE_PRIORITY = "kueue.x-k8s.io/priority-class"
"""Label: Kueue's priority, taken over from the run."""


def job_name(run: str, uid: str, step: str, attempt: int, work: str = "make") -> str:
    """Return the name of an attempt's Job: the same for the same attempt, and another for a run of the same name made anew.

    `<run>-<step>-<attempt>-<hash>`, cut in the run's name where it would be longer than a label may be.
    """
    hashed = hashlib.sha256(f"{uid}/{step}/{attempt}/{work}".encode()).hexdigest()[:8]
    end = f"-{step}-{attempt}-{hashed}" if work == "make" else f"-{work}-{step}-{attempt}-{hashed}"
    # Pods of an Indexed Job are called by the Job's name, an index and 5 letters, which must fit a label, too.
    return run[: LONGEST - 12 - len(end)].rstrip("-") + end


def labels(run: str, uid: str, step: str, attempt: int, work: str = "make") -> dict[str, str]:
    """Return the labels of an attempt's Job and of its pods."""
    return {MANAGED_BY: OPERATOR, RUN: run, RUN_UID: uid, STEP: step, ATTEMPT: str(attempt), WORK: work}


def service_name(run: str, uid: str) -> str:
    """Return the name of the Service by which the pods of a run's training find each other; a Service's begins with a letter."""
    hashed = hashlib.sha256(f"{uid}/training".encode()).hexdigest()[:8]
    return f"dto-{run[: LONGEST - 13]}".rstrip("-") + f"-{hashed}"

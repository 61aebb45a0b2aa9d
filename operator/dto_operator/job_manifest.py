"""An attempt of a step as Kubernetes manifests: its Job, and for a training on several nodes the Service they meet at."""

from collections.abc import Iterator

from dto_jobs.endpoint import Endpoint
from dto_jobs.errors import InvalidRunError
from dto_jobs.job_settings import JobSettings, Resources, ShardedJobSettings, TrainingJobSettings
from dto_jobs.resource import API_VERSION, KIND, Spec
from dto_operator import names
from dto_operator.orders import Start
from dto_operator.pod_manifest import Manifest, Work, pod_template, run_annotation, store_variables
from dto_operator.settings import OperatorSettings
from dto_operator.stored_run import Invalid, spec_of

RENDEZVOUS_PORT = 29400
"""Where the nodes of a training meet: torchrun's own default."""
TRAINING = "training"
LINGERING_SECONDS = 300
"""How long a Job is there to be looked at after it has removed what a deleted run had."""


def manifests(run_object: Manifest, start: Start, settings: OperatorSettings) -> list[Manifest]:
    """Return what an attempt needs on the cluster, in the order in which to create it: the Job is the last.

    `run_object` is the DTORun as the API server has it. RunTooLargeError where its spec does not fit into an annotation.
    """
    run = spec_of(run_object)
    if isinstance(run, Invalid):
        raise InvalidRunError(f"{KIND} {run_object['metadata']['name']}: {run.message}")
    job = _Job(run_object, run.spec, start, settings)
    return [*([job.service()] if job.nodes > 1 else []), job.manifest()]


def stage_job(spec: Spec, step: str) -> JobSettings:
    """Return how the Jobs of a step look. The base model's evaluation is set up as the tuned one's.

    The steps around the stages read the same model and problems as the rollout does, so they get its environment and volumes.
    """
    stages = spec.stages
    around = stages.rollout.job
    if step == names.DISCARD:
        # It reads no model and no problems, and does not wait for a volume that may be gone.
        return JobSettings(env=around.env, env_from=around.env_from)
    if step in names.AROUND:
        return JobSettings(env=around.env, env_from=around.env_from, volumes=around.volumes)
    found: JobSettings = getattr(stages, "evaluation" if step == "baseline" else step).job
    return found


def store_address(spec: Spec, settings: OperatorSettings) -> str:
    """Return where a run's artifacts are, as a person names it."""
    return next((one["value"] for one in store_variables(spec, settings) if one["name"] == "DTO_STORE"), "its store")


def endpoints(spec: Spec, step: str) -> Iterator[Endpoint]:
    """Yield the served models that a step asks: its pods get their keys, and no others do."""
    judge = spec.stages.pruning.judge
    if spec.engine.openai is not None and step not in {"pairs", TRAINING, names.RESULTS, names.DISCARD}:
        yield spec.engine.openai
    if judge is not None and judge.endpoint is not None and step in {names.PREFLIGHT, "pruning"}:
        yield judge.endpoint


class _Job:
    """One attempt, while its manifests are made."""

    def __init__(self, run_object: Manifest, spec: Spec, start: Start, settings: OperatorSettings) -> None:
        self._object = run_object
        self._metadata: Manifest = run_object["metadata"]
        self._spec = spec
        self._start = start
        self._settings = settings
        self._job = stage_job(spec, start.step)
        self._name = names.job_name(
            self._metadata["name"], self._metadata["uid"], start.step, start.attempt, start.work
        )
        self._labels = names.labels(
            self._metadata["name"], self._metadata["uid"], start.step, start.attempt, start.work
        )

    @property
    def _alone(self) -> bool:
        """It is one small process: a step around the stages, or one that only collects."""
        return self._start.work == "collect" or self._start.step in names.AROUND

    @property
    def _outlives(self) -> bool:
        """It removes what a run has that is being deleted, and must not go with the run."""
        return self._start.work == "discard"

    @property
    def nodes(self) -> int:
        """Pods that work together and are of no use one by one."""
        return self._job.nodes if isinstance(self._job, TrainingJobSettings) and not self._alone else 1

    @property
    def _shards(self) -> int:
        return self._job.shards if isinstance(self._job, ShardedJobSettings) and not self._alone else 1

    def manifest(self) -> Manifest:
        """Return the Job."""
        pods = max(self._shards, self.nodes)
        queued = self._spec.queue_name is not None and not self._outlives
        job: Manifest = {
            "completionMode": "Indexed",
            "completions": pods,
            "parallelism": self._parallelism(),
            # Another attempt is reconcile's to start: it knows the budgets and waits longer each time.
            "backoffLimit": 0,
            "podFailurePolicy": {"rules": [self._when_disrupted()]},
            # A pod that is being ended still commits; its successor waits until it has.
            "podReplacementPolicy": "Failed",
        }
        if self._job.active_deadline_seconds is not None and not self._alone:
            job["activeDeadlineSeconds"] = self._job.active_deadline_seconds
        if queued:
            job["suspend"] = True
        if self._outlives:
            job["ttlSecondsAfterFinished"] = LINGERING_SECONDS
        job["template"] = pod_template(self._spec, self._job, self._work(), self._settings)
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {
                "name": self._name,
                "namespace": self._metadata["namespace"],
                "labels": self._labels | self._queue(),
                # With `--cascade=foreground` what a run owns is deleted before the run.
                **({} if self._outlives else {"ownerReferences": [self._owner()]}),
            },
            "spec": job,
        }

    def service(self) -> Manifest:
        """Return the headless Service that gives the pods of a training names: one for all attempts of a run."""
        selector = {names.RUN_UID: self._metadata["uid"], names.STEP: TRAINING}
        name = names.service_name(self._metadata["name"], self._metadata["uid"])
        kept = {key: self._labels[key] for key in (names.MANAGED_BY, names.RUN, names.RUN_UID, names.STEP)}
        return {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                "name": name,
                "namespace": self._metadata["namespace"],
                "labels": kept,
                "ownerReferences": [self._owner()],
            },
            "spec": {
                "clusterIP": "None",
                # The nodes look for each other before any of them is ready.
                "publishNotReadyAddresses": True,
                "selector": selector,
                "ports": [{"name": "rendezvous", "port": RENDEZVOUS_PORT}],
            },
        }

    def _parallelism(self) -> int:
        if self.nodes > 1:
            return self.nodes
        wanted = self._job.parallelism if isinstance(self._job, ShardedJobSettings) and not self._alone else None
        return wanted or self._shards

    def _when_disrupted(self) -> Manifest:
        """A shard that lost its node is made by another pod; a training that lost one node is lost as a whole."""
        action = "FailJob" if self.nodes > 1 else "Ignore"
        return {"action": action, "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}

    def _queue(self) -> dict[str, str]:
        if self._spec.queue_name is None or self._outlives:
            return {}
        priority = self._metadata.get("labels", {}).get(names.QUEUE_PRIORITY)
        return {names.QUEUE: self._spec.queue_name} | ({names.QUEUE_PRIORITY: priority} if priority else {})

    def _owner(self) -> Manifest:
        return {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "name": self._metadata["name"],
            "uid": self._metadata["uid"],
            "controller": True,
            "blockOwnerDeletion": False,
        }

    # The pods

    def _work(self) -> Work:
        start = self._start
        first = start.step == names.PREFLIGHT
        return Work(
            arguments=self._arguments(),
            environment=self._environment(),
            labels=self._labels,
            image=(None if self._alone else self._job.image) or start.image or self._settings.jobs_image,
            resources=self._resources(),
            reads_models=start.step != names.DISCARD,
            endpoints=() if start.work == "collect" else tuple(endpoints(self._spec, start.step)),
            annotations={names.RUN_FILE: run_annotation(self._object)} if first else {},
            subdomain=names.service_name(self._metadata["name"], self._metadata["uid"]) if self.nodes > 1 else None,
        )

    def _arguments(self) -> list[str]:
        start = self._start
        if start.step == names.PREFLIGHT:
            return ["preflight", "/etc/dto/run.json", *(["--from", start.rerun_from] if start.rerun_from else [])]
        if start.step == names.RESULTS:
            return ["collect"]
        if start.step == names.DISCARD:
            return ["discard", *([] if self._outlives else ["--intermediates"])]
        if start.work == "collect":
            return ["collect", start.step]
        # A training's index says which node it is, not which shard.
        return ["stage", start.step, *(["--shard", "0/1"] if start.step == TRAINING else [])]

    def _environment(self) -> dict[str, str]:
        start = self._start
        told = {"DTO_ATTEMPT": str(start.attempt), "DTO_RUN_UID": str(self._metadata["uid"])}
        if start.plan is not None:
            told["DTO_PLAN"] = start.plan
        if not self._alone:
            told["DTO_SHARDS"] = str(self._shards)
        if self.nodes > 1:
            service = names.service_name(self._metadata["name"], self._metadata["uid"])
            told["DTO_TRAINING_NODES"] = str(self.nodes)
            told["DTO_TRAINING_RENDEZVOUS"] = f"{self._name}-0.{service}:{RENDEZVOUS_PORT}"
        return told

    def _resources(self) -> Resources:
        if self._alone:
            cpu, memory = self._settings.steps_cpu, self._settings.steps_memory
            return Resources(requests={"cpu": cpu, "memory": memory}, limits={"memory": memory})
        return self._job.asked

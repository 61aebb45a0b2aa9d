"""What a valid run asks for that no pod can have: files of the machine it was written on, a store that nobody named."""

from collections.abc import Iterator

from dto_jobs.artifacts.benchmarks import BENCHMARKS
from dto_jobs.job_settings import Volume
from dto_jobs.model_source import CLAIM, claim_of
from dto_jobs.resource import DTORun, Spec
from dto_operator.pod_manifest import LARGEST_RUN, PUT_INTO_BUCKET
from dto_operator.settings import OperatorSettings

Refusal = tuple[str, str]
"""The field's path, and what is wrong and what to do."""

MODELS = ("hf://", "s3://", "builtin:", CLAIM)
PODS_MODELS = (
    "name hf://org/name@revision, s3://bucket/prefix of a model that you uploaded, "
    "or pvc://claim/path of a volume in the run's namespace"
)
MOUNTED = "a path below a mountPath of stages.rollout.job.volumes"
ROWS = ("hf://", "s3://", "builtin:")
OWN_PLACES = {"", "/scratch", "/tmp", "/dev/shm", "/dev", "/etc", "/etc/dto", "/claims", "/proc", "/sys"}  # noqa: S108 - compared only


def refusals(run: DTORun, settings: OperatorSettings) -> list[Refusal]:
    """Return why this run cannot be run on a cluster, by field; none where it can. No Job is started for one that is refused."""
    spec = run.spec
    found = [*_store(spec, settings), *_models(spec), *_rows(spec), *_keys(spec), *_training(spec), *_volumes(spec)]
    if spec.queue_policy == "WholeRun":
        found.append(
            ("spec.queuePolicy", "WholeRun is not supported by this version; leave it out, so that each Job is queued")
        )
    # Without the Jobs' settings, which add little; what the API server holds is measured again when it is handed over.
    size = len(run.model_dump_json(by_alias=True, exclude_none=True).encode())
    if size > LARGEST_RUN:
        found.append(("spec.problems.inline", f"the run has {size:,} bytes, and {PUT_INTO_BUCKET}"))
    return found


def _store(spec: Spec, settings: OperatorSettings) -> Iterator[Refusal]:
    own = spec.artifacts
    if own.folder and not own.bucket:
        yield "spec.artifacts.folder", "a pod has no folder of your machine; name a bucket: artifacts.bucket"
    elif not own.bucket and not settings.store:
        yield "spec.artifacts.bucket", "the operator was set up without a store of its own; name a bucket"


def _models(spec: Spec) -> Iterator[Refusal]:
    judge, vllm = spec.stages.pruning.judge, spec.engine.vllm
    sources = {
        # The scripted engine reads no model.
        "spec.model.source": None if spec.engine.scripted else spec.model.source,
        "spec.engine.vllm.adapter": vllm.adapter if vllm else None,
        "spec.stages.pruning.judge.model": judge.model if judge else None,
    }
    for path, source in sources.items():
        if source and not source.startswith(MODELS):
            yield path, _not_here(source, PODS_MODELS)
        elif source and claim_of(source) == "":
            yield path, f"{source!r} names no claim; write pvc://claim/path"


def _rows(spec: Spec) -> Iterator[Refusal]:
    """Yield problem sets and traces that only this machine has. The preflight reads them all, with the rollout's volumes."""
    stages = spec.stages
    mounted = [volume.mount_path for volume in stages.rollout.job.volumes]
    imported, evaluation = stages.rollout.imported, stages.evaluation
    sources = {
        "spec.problems.source": spec.problems.source,
        "spec.stages.rollout.import.source": imported.source if imported else None,
        **{f"spec.stages.evaluation.benchmarks[{at}]": name for at, name in enumerate(evaluation.benchmarks)},
        **{
            f"spec.stages.evaluation.problemSets[{at}].source": one.source
            for at, one in enumerate(evaluation.problem_sets)
        },
    }
    folders = {
        "spec.problems.folder": spec.problems.folder,
        **{
            f"spec.stages.evaluation.problemSets[{at}].folder": one.folder
            for at, one in enumerate(evaluation.problem_sets)
        },
    }
    for path, source in sources.items():
        if source and source not in BENCHMARKS and not source.startswith(ROWS) and not _inside(source, mounted):
            yield (
                path,
                _not_here(
                    source, "name s3://bucket/key of a file that you uploaded, hf://datasets/org/name, or " + MOUNTED
                ),
            )
    for path, folder in folders.items():
        if folder and not _inside(folder, mounted):
            yield path, _not_here(folder, "leave it out, so that benchmarks are asked of the hub, or name " + MOUNTED)


def _not_here(path: str, remedy: str) -> str:
    return f"{path!r} is on your machine, where no pod sees it; {remedy}"


def _inside(path: str, mounted: list[str]) -> bool:
    plain = path.removeprefix("file://").removeprefix("file:")
    return ".." not in plain.split("/") and any(f"{plain}/".startswith(f"{place.rstrip('/')}/") for place in mounted)


def _keys(spec: Spec) -> Iterator[Refusal]:
    """Yield two keys that would come in one variable."""
    judge, engine = spec.stages.pruning.judge, spec.engine.openai
    endpoint = judge.endpoint if judge else None
    if engine is None or endpoint is None or engine.secret_ref is None or endpoint.secret_ref is None:
        return
    if engine.api_key_variable == endpoint.api_key_variable and engine.secret_ref != endpoint.secret_ref:
        yield (
            "spec.stages.pruning.judge.endpoint.apiKeyVariable",
            f"{endpoint.api_key_variable} holds the key of engine.openai already; name another variable for the judge's",
        )


def _training(spec: Spec) -> Iterator[Refusal]:
    training = spec.stages.training
    if training.sweep is not None and training.job.nodes > 1:
        yield (
            "spec.stages.training.job.nodes",
            "a sweep trains and tries its candidates on one node; set nodes to 1 with more gpusPerNode, or leave the sweep out",
        )


def _volumes(spec: Spec) -> Iterator[Refusal]:
    """Yield volumes that would take a place or a name that every pod needs for itself."""
    stages = spec.stages
    for name in type(stages).model_fields:
        volumes: tuple[Volume, ...] = getattr(stages, name).job.volumes
        for at, volume in enumerate(volumes):
            path = f"spec.stages.{name}.job.volumes[{at}]"
            if volume.mount_path.rstrip("/") in OWN_PLACES:
                yield f"{path}.mountPath", f"{volume.mount_path} is the pod's own; choose another place"
            if volume.name.startswith("dto-"):
                yield f"{path}.name", f"{volume.name}: names that begin with dto- are the operator's; choose another"

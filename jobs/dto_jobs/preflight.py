"""What is checked before a stage waits for a GPU: model, problems, rights in the store; and the plan that all stages follow."""

from uuid import uuid4

from dto_jobs.artifacts.attempts import Attempts
from dto_jobs.artifacts.store import Store
from dto_jobs.errors import StoreError
from dto_jobs.local_run import LocalRun
from dto_jobs.plan_file import Plan, Source, Step


def preflight(local: LocalRun, fresh: frozenset[str] = frozenset(), uncached: frozenset[str] = frozenset()) -> Plan:
    """Check what a run needs, snapshot its sources, find what is there already, and settle where each artifact goes.

    `fresh` stages are computed anew in any case, `uncached` ones where the run has not made them itself.
    The plan is kept in the store beside the run, too.
    """
    check_rights(local.store, local.place)
    sources = local.settled()
    attempts = Attempts(local.store, local.identity)
    steps = []
    planned = local.planned(sources)
    local.workshop.check(step.stage for step in planned)
    for step in planned:
        found = None if step.name in fresh else attempts.whole(step)
        if found and step.name in uncached and not attempts.owns(found[0]):
            found = None
        artifact = found[0] if found else attempts.next(step, fresh=step.name in fresh)
        if found:
            attempts.note(step.name, artifact)
        damaged = step.key in attempts.damaged
        steps.append(
            Step(name=step.name, key=step.key, artifact=artifact.base, reused=found is not None, damaged=damaged)
        )
    plan = Plan(
        identity=local.identity,
        run=local.run,
        folder=str(local.folder),
        model=local.workshop.model_digest(),
        sources={name: Source(key=whole[1].key, artifact=whole[0].base) for name, whole in sources.items()},
        steps=tuple(steps),
    )
    local.store.write(plan_name(local.identity), [plan.to_json().encode()])
    return plan


def plan_name(identity: str) -> str:
    """Return where in a store the plan of a run is."""
    return f"runs/{identity}/plan.json"


def check_rights(store: Store, place: str) -> None:
    """Write, list, read and delete a small object; StoreError says what of it is not allowed."""
    name, content = f"{place}/preflight-{uuid4().hex}", b"may this be written, read and deleted?"
    store.write(name, [content])
    found = b"".join(store.read(name)) if name in store.names(name) else b""
    store.delete(name)
    if found != content:
        raise StoreError(
            f"{store.address} does not give back what was written to {name}; is something else writing there?"
        )

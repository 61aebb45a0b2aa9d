"""The plan of one run as a file: what the preflight settles once, and every process of a stage reads."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from dto_jobs.errors import InputError
from dto_jobs.plan import PlannedStage, plan
from dto_jobs.resource import DTORun


class Entry(BaseModel):
    """A piece of a plan. Unknown fields are refused: a plan is read by the version that wrote it."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, validate_by_name=True, use_attribute_docstrings=True
    )


class Source(Entry):
    """What the run reads from outside, as it was snapshot into the store."""

    key: str
    """Digest of its records."""
    artifact: str
    """Its place in the store."""


class Step(Entry):
    """A stage, by name, with the place of its artifact."""

    name: str
    key: str
    """Content key: everything its result depends on."""
    artifact: str
    """Where its artifact is, or comes to be."""
    reused: bool
    """It is there, and was verified."""
    damaged: bool = False
    """One was there and is not what its receipt says, so it is made anew or another is taken."""


class Plan(Entry):
    """A run's stages, linked and named, and the places of their artifacts."""

    schema_version: Literal[1] = 1
    identity: str
    """The run's folder in the store: its uid on a cluster, its name elsewhere."""
    run: DTORun
    folder: str
    """Where relative paths of the run start: the run file's folder. A pod has none."""
    model: str
    """Digest of the model."""
    sources: dict[str, Source]
    steps: tuple[Step, ...]

    @classmethod
    def parse(cls, text: bytes | str, where: str) -> Self:
        """Return the plan that JSON holds; InputError where it holds none of this version."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise InputError(
                f"{where} holds no plan of this version: {place}: {first['msg']}; run dto preflight anew"
            ) from error

    def to_json(self) -> str:
        """Return the plan as its file's content."""
        return self.model_dump_json(by_alias=True, exclude_none=True, indent=1)

    def planned(self) -> tuple[PlannedStage, ...]:
        """Return the stages; InputError where this version of the code would give them other content keys."""
        steps = planned(self.run, self.model, {name: source.key for name, source in self.sources.items()})
        for step, noted in zip(steps, self.steps, strict=True):
            if step.key != noted.key:
                raise InputError(
                    f"{step.name}: this version of dto computes it in another way than the one that made the plan; "
                    "use the same version (image), or run dto preflight anew"
                )
        return steps

    def step(self, name: str) -> Step:
        """Return a stage's step by name; InputError where the plan has none."""
        found = {step.name: step for step in self.steps}
        if name not in found:
            raise InputError(f"the plan has no stage {name!r}; it has {', '.join(found)}")
        return found[name]

    def place(self, name: str) -> str:
        """Return where in the store the artifact of a stage or source is."""
        return self.sources[name].artifact if name in self.sources else self.step(name).artifact


def planned(run: DTORun, model: str, sources: dict[str, str]) -> tuple[PlannedStage, ...]:
    """Return a run's stages up to its `until`, named by content; `sources` holds digests."""
    base = {"model": model, "engine": run.spec.engine.kind, "seed": run.spec.seed}
    return plan(run.spec.stages, sources, base, run.spec.until)

"""The gate: whether the tuned model is accepted. Not the measured values decide, but their bounds.

Three questions, asked apart so that none can hide behind another: is nothing lost and enough saved in the domain of the
training problems; is nothing lost outside of it; and has any single benchmark or level clearly lost, whatever the means say?
The first two want proof that all is well. Of many small slices none could give that, so the third refuses only on proof of
harm, with the error shared among the slices.
"""

from collections.abc import Sequence

from dto_jobs.core.comparison import CONFIDENCE
from dto_jobs.core.results import Check, EvaluationResults, Gate, GateResults, Slice


def gate_results(gate: Gate, evaluation: EvaluationResults) -> GateResults:
    """Say whether the tuned model is accepted, check by check."""
    inside, outside = evaluation.all_of("in"), evaluation.all_of("out")
    checks = [
        _accuracy_check("accuracy", "in-domain accuracy", inside, gate.max_accuracy_drop),
        _token_check(gate, inside),
    ]
    if outside is not None:
        limit = gate.max_out_of_domain_drop
        checks.append(_accuracy_check("out-of-domain", "out-of-domain accuracy", outside, limit))
    elif gate.out_of_domain:
        checks.append(_not_judged(gate))
    if evaluation.parts:
        checks.append(_slice_check(gate, evaluation.parts))
    return GateResults(accepted=all(check.passed for check in checks), checks=tuple(checks))


def _accuracy_check(name: str, what: str, part: Slice | None, drop: float) -> Check:
    if part is None:
        return Check(
            name=name, passed=False, judged=False, limit=-drop, message=f"{what}: no such benchmark was evaluated"
        )
    value, bound, limit = part.accuracy_difference.value, part.accuracy_floor, -drop
    return Check(
        name=name,
        passed=bound is not None and bound >= limit,
        value=value,
        bound=bound,
        limit=limit,
        message=f"{what} changed by {_points(value)}, {_at_worst(bound)}; {_points(limit)} is allowed",
    )


def _token_check(gate: Gate, part: Slice | None) -> Check:
    limit = -gate.min_token_saving
    if part is None:
        message = "in-domain tokens: no such benchmark was evaluated"
        return Check(name="tokens", passed=False, judged=False, limit=limit, message=message)
    value, bound = part.token_change.value, part.token_ceiling
    message = f"in-domain tokens changed by {_points(value)}, {_at_worst(bound)}; {_points(limit)} is wanted"
    return Check(
        name="tokens",
        passed=bound is not None and bound <= limit,
        value=value,
        bound=bound,
        limit=limit,
        message=message.replace("points", "%"),
    )


def _not_judged(gate: Gate) -> Check:
    named = ", ".join(gate.out_of_domain)
    remedy = f"; evaluate {named}, or set gate.requireOutOfDomain to false" if gate.require_out_of_domain else ""
    return Check(
        name="out-of-domain",
        passed=not gate.require_out_of_domain,
        judged=False,
        limit=-gate.max_out_of_domain_drop,
        message=f"out of domain nothing was evaluated ({named}), so what was lost there is not known{remedy}",
    )


def _slice_check(gate: Gate, parts: Sequence[Slice]) -> Check:
    """Refuse a clear loss on any benchmark or level, which a good mean could hide."""
    losers = [part for part in parts if _margin(gate, part) < 0]
    worst = min(parts, key=lambda part: _margin(gate, part))
    told = ", ".join(f"{part.name} ({_points(part.accuracy_difference.value)})" for part in losers)
    return Check(
        name="slices",
        passed=not losers,
        value=worst.accuracy_difference.value,
        bound=worst.accuracy_ceiling,
        limit=-_allowed(gate, worst),
        message=f"accuracy clearly fell on {told}"
        if losers
        else f"none of {len(parts)} benchmarks and levels has clearly lost more than is allowed",
    )


def _allowed(gate: Gate, part: Slice) -> float:
    return gate.max_out_of_domain_drop if part.domain == "out" else gate.max_accuracy_drop


def _margin(gate: Gate, part: Slice) -> float:
    """Return by how much the best that can be hoped for stays above what is allowed; negative: a clear loss."""
    return (1.0 if part.accuracy_ceiling is None else part.accuracy_ceiling) + _allowed(gate, part)


def _points(share: float) -> str:
    return f"{100 * share:+.1f} points"


def _at_worst(bound: float | None) -> str:
    if bound is None:
        return "but one problem cannot show how sure that is"
    return f"at worst {_points(bound)} with {100 * CONFIDENCE:.0f} % confidence"

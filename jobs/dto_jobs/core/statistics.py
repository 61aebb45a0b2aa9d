"""How far a measured mean can be trusted: a bootstrap clustered by problem.

Samples of one problem resemble each other, so whole problems are resampled, never single samples. Plain percentiles are
too narrow for few or skewed clusters; each replicate is divided by its own standard error instead (the bootstrap-t of
Efron & Tibshirani 1993, chapter 12), which covers 93 to 97 % from about a dozen problems on.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dto_jobs.core.interval import Interval

Floats = NDArray[np.float64]
Clustered = Mapping[str, Sequence[float]]
"""Values by cluster: a problem's id, and what was measured on each of its samples (one at least)."""
Statistic = Callable[[Floats], tuple[Floats, Floats]]
"""Maps totals of columns (…, columns) to a number each (…) and its gradient by them (…, columns)."""

# Resamples are worked off in blocks of about so many numbers, so that memory does not grow with the problems.
BLOCK = 4_000_000
# A resample of few, nearly equal clusters may show next to no spread; its standard error counts as this share at least.
LEAST_ERROR = 0.2


def mean_interval(values: Clustered, *, level: float = 0.95, resamples: int = 4000, seed: int = 0) -> Interval:
    """Return the mean over all samples with its interval."""
    return _interval(_columns(values), _mean, level, resamples, seed)


def rate_interval(values: Clustered, *, level: float = 0.95, resamples: int = 4000, seed: int = 0) -> Interval:
    """Return the mean of values in 0 … 1 with its interval.

    Where all are 0, or all 1, a bootstrap sees no spread at all: the exact bound for so many clusters stands in.
    """
    found = mean_interval(values, level=level, resamples=resamples, seed=seed)
    unseen = _unseen(found.n, level)
    if found.value == 0:
        return found.model_copy(update={"low": 0.0, "high": unseen})
    if found.value == 1:
        return found.model_copy(update={"low": 1 - unseen, "high": 1.0})
    return found.clipped(0.0, 1.0)


def paired_difference(
    first: Clustered, second: Clustered, *, level: float = 0.95, resamples: int = 4000, seed: int = 0
) -> Interval:
    """Return mean of first minus mean of second over the same clusters; ValueError where their clusters differ."""
    return _interval(_paired(first, second), _difference, level, resamples, seed)


def rate_difference(
    first: Clustered, second: Clustered, *, level: float = 0.95, resamples: int = 4000, seed: int = 0
) -> Interval:
    """Return the paired difference of values in 0 … 1.

    Where no problem differs at all, a bootstrap sees no spread: the exact bound on problems that could stands in.
    """
    found = paired_difference(first, second, level=level, resamples=resamples, seed=seed)
    if all(_total(first[name]) == _total(second[name]) for name in first):
        unseen = _unseen(found.n, level)
        return found.model_copy(update={"low": -unseen, "high": unseen})
    return found.clipped(-1.0, 1.0)


def ratio_interval(
    first: Clustered, second: Clustered, *, level: float = 0.95, resamples: int = 4000, seed: int = 0
) -> Interval:
    """Return mean of first / mean of second - 1 over the same clusters, whose values must be positive (ValueError)."""
    columns = _paired(first, second)
    if (columns[:, 2] <= 0).any():
        raise ValueError("a relative change needs positive values to compare with")
    return _interval(columns, _change, level, resamples, seed).clipped(-1.0, float("inf"))


def one_sided(level: float) -> float:
    """Return the two-sided level each of whose bounds alone holds at the given level."""
    return 2 * level - 1


def bounds(columns: Floats, statistic: Statistic, *, level: float, resamples: int, seed: int) -> Floats:
    """Return lower and upper bounds (2, batch) of a statistic of totals over clusters (clusters, batch, columns).

    All members of the batch see the same resamples. At least two clusters are needed.
    """
    tables = np.concatenate([columns, _products(columns)], axis=-1)
    width = columns.shape[-1]
    value, error = _studentised(tables.sum(axis=0), width, statistic)
    deviations = []
    for weights in _resamples(len(columns), resamples, tables[0].size, seed):
        totals = np.tensordot(weights, tables, axes=1)
        replicate, its_error = _studentised(totals, width, statistic)
        its_error = np.maximum(its_error, LEAST_ERROR * error)
        away = replicate - value
        deviations.append(np.divide(away, its_error, out=np.zeros_like(away), where=its_error > 0))
    tail = (1 - level) / 2
    high, low = np.quantile(np.concatenate(deviations), [tail, 1 - tail], axis=0)
    # A replicate far above its own error means that the value may lie as far above the truth: the tails change sides.
    return np.stack([value - low * error, value - high * error])


def _unseen(clusters: int, level: float) -> float:
    """Return how frequent something may be, at most, that none of so many clusters shows (Clopper & Pearson 1934)."""
    return float(1 - ((1 - level) / 2) ** (1 / clusters))


def _total(values: Sequence[float]) -> tuple[float, int]:
    return sum(values), len(values)


def _interval(columns: Floats, statistic: Statistic, level: float, resamples: int, seed: int) -> Interval:
    value, _ = statistic(columns.sum(axis=0))
    if len(columns) == 1:
        return Interval(value=float(value), low=None, high=None, n=1)
    low, high = bounds(columns[:, None], statistic, level=level, resamples=resamples, seed=seed)[:, 0]
    return Interval(value=float(value), low=float(low), high=float(high), n=len(columns))


def _resamples(clusters: int, resamples: int, cells: int, seed: int) -> Iterator[Floats]:
    """Yield weights (block, clusters): how often each cluster was drawn, for so many resamples in all."""
    source = np.random.default_rng(seed)
    block = max(1, BLOCK // (clusters + cells))
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        drawn = source.integers(clusters, size=(size, clusters)) + clusters * np.arange(size)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=size * clusters)
        yield counts.reshape(size, clusters).astype(np.float64)


def _products(columns: Floats) -> Floats:
    """Return all products of two columns (…, columns²), whose totals give the variance of any statistic."""
    products = columns[..., :, None] * columns[..., None, :]
    return products.reshape(*columns.shape[:-1], -1)


def _studentised(totals: Floats, width: int, statistic: Statistic) -> tuple[Floats, Floats]:
    """Return a statistic and its standard error by linearisation, from totals of columns and of their products."""
    value, gradient = statistic(totals[..., :width])
    products = totals[..., width:].reshape(*totals.shape[:-1], width, width)
    variance = np.einsum("...i,...ij,...j", gradient, products, gradient)
    return value, np.sqrt(np.maximum(variance, 0.0))


def _columns(values: Clustered) -> Floats:
    """Return sum and count of each cluster, the clusters in the order of their names."""
    if not values:
        raise ValueError("an interval needs at least one cluster")
    return np.array([_total(values[name]) for name in sorted(values)], dtype=np.float64)


def _paired(first: Clustered, second: Clustered) -> Floats:
    if first.keys() != second.keys():
        alone = sorted(first.keys() ^ second.keys())
        raise ValueError(f"{len(alone)} clusters are in one of the samples only, such as {alone[0]!r}")
    return np.hstack([_columns(first), _columns(second)])


def _mean(totals: Floats) -> tuple[Floats, Floats]:
    value = totals[..., 0] / totals[..., 1]
    return value, np.stack([1 / totals[..., 1], -value / totals[..., 1]], axis=-1)


def _difference(totals: Floats) -> tuple[Floats, Floats]:
    first, by_first = _mean(totals[..., :2])
    second, by_second = _mean(totals[..., 2:])
    return first - second, np.concatenate([by_first, -by_second], axis=-1)


def _change(totals: Floats) -> tuple[Floats, Floats]:
    first, by_first = _mean(totals[..., :2])
    second, by_second = _mean(totals[..., 2:])
    ratio = (first / second)[..., None]
    return ratio[..., 0] - 1, np.concatenate([by_first, -ratio * by_second], axis=-1) / second[..., None]

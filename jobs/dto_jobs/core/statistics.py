"""How far a measured mean can be trusted: a bootstrap clustered by problem.

Samples of one problem resemble each other, so whole problems are resampled, never single samples. Two known weaknesses of
percentile intervals are mended: they are too narrow for few clusters, so percentiles further out are taken, as Student's t
would (Hesterberg 2015, "What teachers should know about the bootstrap"); and they see no spread where all answers are alike,
so rates get two imagined problems more (after Agresti & Coull 1998; Bonett & Price 2012 for differences). Of simulations
with some 30 problems or more, 93 to 97 % are covered; rates near certainty more often, and means of very skewed lengths
only from about 100 on.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from dto_jobs.core.interval import Interval

Floats = NDArray[np.float64]
Clustered = Mapping[str, Sequence[float]]
"""Values by cluster: a problem's id, and what was measured on each of its samples (one at least)."""
Table = tuple[int, int, int, int]
"""Two raters' yes and no: both yes, only the first, only the second, both no."""
Statistic = Callable[[Floats], Floats]
"""Maps totals of columns (…, columns) to a number each (…)."""

# Resamples are worked off in blocks of about so many numbers, so that memory does not grow with the problems.
BLOCK = 4_000_000


def mean_interval(values: Clustered, *, level: float = 0.95, resamples: int = 4000, seed: int = 0) -> Interval:
    """Return the mean over all samples with its interval."""
    return _interval(_columns(values), _mean, level, resamples, seed)


def rate_interval(values: Clustered, *, level: float = 0.95, resamples: int = 4000, seed: int = 0) -> Interval:
    """Return the mean of values in 0 … 1 with its interval, which is no certainty even where all are alike."""
    columns = _columns(values)
    return _interval(with_imagined(columns), _mean, level, resamples, seed, measured=columns).clipped(0.0, 1.0)


def rate_difference(
    first: Clustered, second: Clustered, *, level: float = 0.95, resamples: int = 4000, seed: int = 0
) -> Interval:
    """Return mean of first minus mean of second, values in 0 … 1, over the same clusters; ValueError where they differ."""
    columns = _paired(first, second)
    return _interval(with_imagined(columns), _difference, level, resamples, seed, measured=columns).clipped(-1.0, 1.0)


def ratio_interval(
    first: Clustered, second: Clustered, *, level: float = 0.95, resamples: int = 4000, seed: int = 0
) -> Interval:
    """Return mean of first / mean of second - 1 over the same clusters, whose values must be positive (ValueError)."""
    columns = _paired(first, second)
    if (columns[:, 2] <= 0).any():
        raise ValueError("a relative change needs positive values to compare with")
    return _interval(columns, _change, level, resamples, seed).clipped(-1.0, float("inf"))


def kappa_interval(
    tables: Mapping[str, Table], *, level: float = 0.95, resamples: int = 4000, seed: int = 0
) -> Interval:
    """Return Cohen's κ of two raters over all clusters' tables, with its interval; 0 where agreement is no surprise at all."""
    if not tables:
        raise ValueError("an interval needs at least one cluster")
    columns = np.array([tables[name] for name in sorted(tables)], dtype=np.float64)
    return _interval(columns, _kappa, level, resamples, seed).clipped(-1.0, 1.0)


def one_sided(level: float) -> float:
    """Return the two-sided level each of whose bounds alone holds at the given level."""
    return 2 * level - 1


def with_imagined(columns: Floats) -> Floats:
    """Return columns (clusters, …, 2 or 4) with two clusters more: one all right and one all wrong.

    Of two models, one is right where the other is wrong, and the other way round.
    """
    right = columns.mean(axis=0)
    wrong = right.copy()
    # Columns are sum, count, sum, count: an imagined cluster has as many samples as clusters have on average.
    right[..., 0], wrong[..., 0] = right[..., 1], 0.0
    if columns.shape[-1] == 4:
        right[..., 2], wrong[..., 2] = 0.0, wrong[..., 3]
    return np.concatenate([columns, right[None], wrong[None]])


def bounds(columns: Floats, statistic: Statistic, *, level: float, resamples: int, seed: int) -> Floats:
    """Return lower and upper bounds (2, …) of a statistic of totals over clusters (clusters, …, columns).

    All members of a batch see the same resamples. At least two clusters are needed.
    """
    clusters = len(columns)
    replicates = [
        statistic(np.tensordot(weights, columns, axes=1))
        for weights in _resamples(clusters, resamples, columns[0].size, seed)
    ]
    further = np.sqrt(clusters / (clusters - 1)) * _student((1 + level) / 2, clusters - 1)
    tail = NormalDist().cdf(-further)
    return np.asarray(np.quantile(np.concatenate(replicates), [tail, 1 - tail], axis=0))


def _student(probability: float, freedom: int) -> float:
    """Return the quantile of Student's t, by the expansion of Abramowitz & Stegun 26.7.5."""
    z = NormalDist().inv_cdf(probability)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3


def _interval(
    columns: Floats, statistic: Statistic, level: float, resamples: int, seed: int, *, measured: Floats | None = None
) -> Interval:
    """Return the statistic of what was measured (default: all columns), between the bounds of the columns."""
    measured = columns if measured is None else measured
    value = float(statistic(measured.sum(axis=0)))
    if len(measured) == 1:
        return Interval(value=value, low=None, high=None, n=1)
    low, high = bounds(columns, statistic, level=level, resamples=resamples, seed=seed)
    return Interval(value=value, low=float(low), high=float(high), n=len(measured))


def _resamples(clusters: int, resamples: int, cells: int, seed: int) -> Iterator[Floats]:
    """Yield weights (block, clusters): how often each cluster was drawn, for so many resamples in all."""
    block = max(1, BLOCK // (clusters + cells))
    if resamples <= block:
        yield _drawn_alike(clusters, resamples, seed).astype(np.float64)
        return
    source = np.random.default_rng(seed)
    for start in range(0, resamples, block):
        yield _drawn(source, clusters, min(block, resamples - start)).astype(np.float64)


@lru_cache(maxsize=8)
def _drawn_alike(clusters: int, resamples: int, seed: int) -> NDArray[np.uint16]:
    """Return how often each cluster was drawn; drawing takes longer than all else, and every figure of a slice needs the same."""
    return _drawn(np.random.default_rng(seed), clusters, resamples)


def _drawn(source: np.random.Generator, clusters: int, resamples: int) -> NDArray[np.uint16]:
    chosen = source.integers(clusters, size=(resamples, clusters)) + clusters * np.arange(resamples)[:, None]
    counts = np.bincount(chosen.ravel(), minlength=resamples * clusters)
    # A cluster is drawn about once, and never 65,536 times.
    return counts.reshape(resamples, clusters).astype(np.uint16)


def _columns(values: Clustered) -> Floats:
    """Return sum and count of each cluster (clusters, 2), the clusters in the order of their names."""
    if not values:
        raise ValueError("an interval needs at least one cluster")
    return np.array([(sum(values[name]), len(values[name])) for name in sorted(values)], dtype=np.float64)


def _paired(first: Clustered, second: Clustered) -> Floats:
    if first.keys() != second.keys():
        alone = sorted(first.keys() ^ second.keys())
        raise ValueError(f"{len(alone)} clusters are in one of the samples only, such as {alone[0]!r}")
    return np.hstack([_columns(first), _columns(second)])


def _mean(totals: Floats) -> Floats:
    return np.asarray(totals[..., 0] / totals[..., 1])


def _difference(totals: Floats) -> Floats:
    return np.asarray(_mean(totals[..., :2]) - _mean(totals[..., 2:]))


def _kappa(totals: Floats) -> Floats:
    both_yes, first_only, second_only, both_no = np.moveaxis(totals, -1, 0)
    whole = totals.sum(axis=-1)
    seen = (both_yes + both_no) / whole
    first, second = (both_yes + first_only) / whole, (both_yes + second_only) / whole
    chance = first * second + (1 - first) * (1 - second)
    # Where both say the same of everything, chance alone explains it.
    certain = chance >= 1
    return np.asarray(np.where(certain, 0.0, (seen - chance) / np.where(certain, 1.0, 1 - chance)))


def _change(totals: Floats) -> Floats:
    return np.asarray(_mean(totals[..., :2]) / _mean(totals[..., 2:]) - 1)

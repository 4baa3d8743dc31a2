"""Whether a model still decides by the same features: drift of their global attributions.

"Feature attribution drift for models in production" (SageMaker developer guide) scores the live
ranking of features by their attribution in training: 1 is the same ranking, below 0.9 is drift.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

DRIFT_BELOW = 0.9


def global_attributions(contributions: npt.ArrayLike, features: Sequence[str]) -> dict[str, float]:
    """Return each feature's mean absolute contribution (rows by features, SHAP values).

    Raises ValueError when there is not a column per feature, or no row.
    """
    values = np.asarray(contributions, float)
    if values.ndim != 2 or values.shape[1] != len(features) or not len(values):
        raise ValueError("Contributions must have rows, and a column per feature.")
    return dict(zip(features, np.abs(values).mean(axis=0).tolist(), strict=True))


def ndcg(baseline: Mapping[str, float], current: Mapping[str, float]) -> float | None:
    """Return the normalised discounted cumulative gain of the current ranking, from 0 to 1.

    Features are ranked by `current` and gain their `baseline` attribution over log2(rank + 1), in
    relation to the baseline's own ranking. A feature that one of them lacks has attribution 0.
    None if the baseline attributes nothing to any feature.
    """
    names = sorted({*baseline, *current})
    ideal = _gain(sorted((baseline.get(name, 0.0) for name in names), reverse=True))
    live = sorted(names, key=lambda name: (-current.get(name, 0.0), name))
    return _gain([baseline.get(name, 0.0) for name in live]) / ideal if ideal else None


def _gain(attributions: Sequence[float]) -> float:
    return sum(a / math.log2(rank + 1) for rank, a in enumerate(attributions, 1))

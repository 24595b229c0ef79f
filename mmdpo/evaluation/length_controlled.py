"""alpaca_eval's length-controlled win rate, for users who have its table of gamed baselines (df_gamed.csv).

A logistic regression without intercept on tanh of the standardized difference in length, the instruction's difficulty
and a constant. Two outputs of the baseline that were made longer and shorter take part with a small weight and without
the constant. The L1 penalty is chosen by cross-validation. The rate is the mean prediction at equal lengths.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from mmdpo.errors import UserError
from mmdpo.evaluation.bench_files import BenchFile
from mmdpo.evaluation.bench_rows import checked_rows
from mmdpo.evaluation.task import Judgment

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

GAMED_WEIGHT = 0.1
FOLDS = 5
PENALTIES = [10 ** (-4 + 8 * step / 9) for step in range(10)]
"""Inverse strengths of the penalty, the default choices of scikit-learn's LogisticRegressionCV."""
SMALLEST = 1e-15  # probability, so that its logarithm is finite

GAMED = BenchFile(
    "alpaca_eval_gamed",
    "alpaca_eval/df_gamed.csv",
    "the data set tatsu-lab/alpaca_eval; without it there is no length-controlled win rate",
    "CC BY-NC 4.0",
    rows=1610,
    required=False,
    in_identity=False,
)
COLUMNS = ("index", "instruction_difficulty", "std_delta_len", "preference")


@dataclass(frozen=True)
class GamedRow:
    """A gamed baseline's comparison: its preference from 0 to 1, and its standardized difference in length."""

    preference: float
    length: float
    difficulty: float


@cache
def read_gamed(path: Path, content: str) -> Mapping[str, list[GamedRow]]:
    """Read df_gamed.csv by the position of the instruction.

    Args:
        path: The file.
        content: Its fingerprint; a changed file is read again.

    Raises:
        UserError: It is damaged or lacks a column.
    """
    key = f"bench.files.{GAMED.key}"
    found: dict[str, list[GamedRow]] = {}
    for row in checked_rows(path, key, *COLUMNS):
        try:
            numbers = [float(row[name]) for name in COLUMNS]
        except (TypeError, ValueError):
            raise UserError(f"{key}={path}: columns {', '.join(COLUMNS)} must be numbers; the row is {row}") from None
        position, difficulty, length, preference = numbers
        found.setdefault(str(int(position)), []).append(GamedRow(preference, length, difficulty))
    return found


def upstream_values(rows: Sequence[GamedRow]) -> dict[str, float]:
    """Write the gamed rows of an instruction as values of a verdict, for `length_controlled`."""
    values = {"difficulty": rows[0].difficulty} if rows else {}
    for number, row in enumerate(rows):
        values |= {f"gamed_preference_{number}": row.preference, f"gamed_length_{number}": row.length}
    return values


def length_controlled(judgments: Sequence[Judgment]) -> float | None:
    """Compute the length-controlled win rate from 0 to 100; None if an item lacks the values it needs."""
    import numpy as np

    items = [one.upstream for one in judgments if "characters" in one.upstream]  # without missing answers
    if len(items) < FOLDS or not all("difficulty" in one for one in items):
        return None
    differences = np.array([one["reference_characters"] - one["characters"] for one in items])
    spread = differences.std(ddof=1)
    lengths = np.tanh(differences / spread) if spread > 0 else np.zeros(len(items))
    difficulties = np.array([one["difficulty"] for one in items])
    own = [
        (one["preference_0"] - 1, [length, one["difficulty"], 1.0], 1.0)
        for one, length in zip(items, lengths, strict=True)
        if "preference_0" in one
    ]
    gamed = [
        (one[f"gamed_preference_{number}"], [np.tanh(one[f"gamed_length_{number}"]), one["difficulty"], 0.0])
        for number in range(max(sum(name.startswith("gamed_length") for name in one) for one in items))
        for one in items
        if f"gamed_length_{number}" in one
    ]
    rows = [*((preference, features, GAMED_WEIGHT) for preference, features in gamed), *own]
    target, features, weights = (np.array([row[column] for row in rows], dtype=float) for column in range(3))
    coefficients = fit(features, target, weights, best_penalty(features, target, weights))
    predicted = _logistic(coefficients[1] * difficulties + coefficients[2])
    return 100 * float(predicted.mean())


def best_penalty(features: NDArray[np.float64], target: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """Return the inverse strength of the penalty with the smallest loss on rows that were left out.

    Args:
        features: [N, F].
        target: Preferences from 0 to 1 [N].
        weights: Of the rows [N].
    """
    import numpy as np

    folds = np.arange(len(target))[::-1] % FOLDS

    def loss(penalty: float) -> float:
        return float(
            np.mean([_held_out_loss(features, target, weights, penalty, folds == fold) for fold in range(FOLDS)])
        )

    return min(PENALTIES, key=loss)


def _held_out_loss(
    features: NDArray[np.float64],
    target: NDArray[np.float64],
    weights: NDArray[np.float64],
    penalty: float,
    left_out: NDArray[np.bool_],
) -> float:
    import numpy as np

    kept = ~left_out
    coefficients = fit(features[kept], target[kept], weights[kept], penalty)
    predicted = np.clip(_logistic(features[left_out] @ coefficients), SMALLEST, 1 - SMALLEST)
    goal = target[left_out]
    losses = goal * np.log(predicted) + (1 - goal) * np.log(1 - predicted)
    return -float(np.mean(losses * weights[left_out]))


def fit(
    features: NDArray[np.float64], target: NDArray[np.float64], weights: NDArray[np.float64], penalty: float
) -> NDArray[np.float64]:
    """Fit a logistic regression with an L1 penalty and without intercept.

    Args:
        features: [N, F].
        target: Preferences from 0 to 1 [N].
        weights: Of the rows [N].
        penalty: Inverse strength of the penalty, scikit-learn's `C`.

    Returns:
        The coefficients [F].
    """
    import numpy as np
    from scipy.optimize import minimize

    scale = penalty * weights.sum()

    def objective(halves: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        positive, negative = np.split(halves, 2)  # of the coefficients, so that the penalty is smooth
        logits = features @ (positive - negative)
        loss = (weights * (np.logaddexp(0, logits) - target * logits)).sum()
        slope = features.T @ (weights * (_logistic(logits) - target))
        gradient = np.concatenate([penalty * slope, -penalty * slope]) + 1
        return (penalty * loss + halves.sum()) / scale, gradient / scale

    count = features.shape[1]
    found = minimize(
        objective,
        np.zeros(2 * count),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0, None)] * (2 * count),
        options={"ftol": 1e-15, "gtol": 1e-9, "maxiter": 1000},
    ).x
    coefficients: NDArray[np.float64] = found[:count] - found[count:]
    return coefficients


def _logistic(values: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.special import expit

    result: NDArray[np.float64] = expit(values)
    return result

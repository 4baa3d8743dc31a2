"""The data that we and the oracles are asked about: the same wherever it is made.

Nothing but the standard library, whose generator gives the same numbers in every version.
"""

from __future__ import annotations

from random import Random

SEED = 20261122
ROWS = 3000
DECISIONS = 600
TREE_ROWS = 200
FEATURES = ("income", "debts", "age", "noise")


def numbers(moved: bool) -> dict[str, list[float]]:
    """Return columns of numbers; a tenth of their spread and more away if `moved`."""
    random = Random(SEED + moved)
    by = 0.3 if moved else 0.0
    return {
        "normal": [random.gauss(by, 1) for _ in range(ROWS)],
        "offset": [1e6 + random.gauss(2 * by, 1) for _ in range(ROWS)],
        "skewed": [random.lognormvariate(by, 2) for _ in range(ROWS)],
        "epochs": [1.76e9 + 86400 * random.expovariate(1 - by / 2) for _ in range(ROWS)],
        "counts": [float(random.randrange(12 if moved else 10)) for _ in range(ROWS)],
        "still": [random.uniform(0, 1) for _ in range(ROWS)],
    }


def texts(moved: bool) -> dict[str, list[str]]:
    """Return columns of categories, of which the moved one has other shares."""
    random = Random(SEED + 2 + moved)
    weights = [5, 3, 2, 1, 1] if moved else [6, 3, 1, 1, 1]
    many = [i + 1 for i in range(40)][:: -1 if moved else 1]
    return {
        "few": random.choices("abcde", weights, k=ROWS),
        "many": random.choices([f"v{i}" for i in range(40)], many, k=ROWS),
        "same": random.choices(["x", "y"], k=ROWS),
    }


def decisions() -> dict[str, list[str] | list[bool]]:
    """Return rows of decisions about people: facet d, outcome, prediction, and a stratum."""
    random = Random(SEED + 4)
    facet = [random.random() < 0.3 for _ in range(DECISIONS)]
    stratum = [random.choice("nsw") for _ in range(DECISIONS)]
    outcome = [random.random() < (0.4 if d else 0.6) for d in facet]
    said = zip(facet, outcome, strict=True)
    predicted = [random.random() < (0.75 if y else 0.2) - 0.1 * d for d, y in said]
    return {"facet": facet, "outcome": outcome, "predicted": predicted, "stratum": stratum}


def people() -> tuple[list[list[float]], list[float]]:
    """Return rows of FEATURES and whether each of them paid, to train trees with."""
    random = Random(SEED + 5)
    rows = [[random.gauss(0, 1) for _ in FEATURES] for _ in range(TREE_ROWS)]
    paid = [float(a - b * b / 2 + c / 4 + random.gauss(0, 0.5) > 0) for a, b, c, _ in rows]
    return rows, paid

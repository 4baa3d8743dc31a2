"""Contributions of features: against Shapley values by their definition, and over HTTP."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from headrace_tabular.columns import read_parquet, take
from headrace_tabular.reports import to_json
from headrace_tabular.split import row_keys, share_of
from tests.containers import jobs
from tests.containers.conftest import FIRST, SECOND

EXPLAIN = {
    "Content-Type": "application/json",
    "X-Amzn-SageMaker-Custom-Attributes": "trace=7; headrace-explain",
}

# The mean answer of the trees when only some features are known, as TreeSHAP defines it: an unknown
# feature sends a row both ways, in the share of training rows that went there. Shapley values are
# then a weighted mean over all coalitions of the others (Shapley 1953).
ORACLE = """
import itertools, json, math
import numpy as np
from headrace_tabular.contributions import contributions
from headrace_tabular.fit import Part, fit

FEATURES = 4

def answer(tree, row, coalition, node=0):
    left, right = tree["left_children"][node], tree["right_children"][node]
    if left == -1:
        return tree["split_conditions"][node]
    feature, cover = tree["split_indices"][node], tree["sum_hessian"]
    if feature in coalition:
        value = row[feature]
        go_left = tree["default_left"][node] if np.isnan(value) else (
            value < np.float32(tree["split_conditions"][node]))
        return answer(tree, row, coalition, left if go_left else right)
    both = [answer(tree, row, coalition, child) * cover[child] for child in (left, right)]
    return sum(both) / cover[node]

def shapley(trees, row, feature):
    others = [f for f in range(FEATURES) if f != feature]
    total = 0.0
    for size in range(FEATURES):
        weight = math.factorial(size) * math.factorial(FEATURES - size - 1)
        weight /= math.factorial(FEATURES)
        for some in itertools.combinations(others, size):
            known, more = set(some), {*some, feature}
            total += weight * sum(answer(t, row, more) - answer(t, row, known) for t in trees)
    return total

random = np.random.default_rng(0)
x = random.normal(size=(400, FEATURES)).astype(np.float32)
x[random.random(x.shape) < 0.1] = np.nan
z = np.nan_to_num(x)
y = z[:, 0] * z[:, 1] + np.sin(3 * z[:, 2])
found = {}
for problem, target in (("binary", (y > 0).astype(float)), ("regression", y),
                        ("multiclass", np.digitize(y, [-0.5, 0.5]).astype(float))):
    booster = fit(problem, Part(x[:300], target[:300]), Part(x[300:], target[300:]),
                  {"num_boost_round": 6, "max_depth": 3}, list("abcd"), 3)
    rows = x[:6]
    scores = np.asarray(booster.inplace_predict(rows))
    model = json.loads(booster.save_raw("json"))["learner"]["gradient_booster"]["model"]
    said = scores.argmax(axis=1) if problem == "multiclass" else np.zeros(len(rows), int)
    expected = [
        [shapley([t for t, of in zip(model["trees"], model["tree_info"]) if of == group], row, f)
         for f in range(FEATURES)]
        for row, group in zip(rows, said)
    ]
    given = contributions(booster, rows, scores)
    found[problem] = [float(np.abs(given - expected).max()), float(np.abs(given).max())]
print(json.dumps(found))
"""


def test_contributions_are_shapley_values() -> None:
    done = subprocess.run(
        [jobs.PYTHON, "-c", ORACLE],
        env=jobs.environment(Path("unused")),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {*found} == {"binary", "regression", "multiclass"}
    for problem, (difference, largest) in found.items():
        assert difference < 1e-4 < largest, problem


def asked(endpoint: jobs.Endpoint, document: object, **headers: str) -> jobs.Answer:
    return endpoint.send("POST", "/invocations", json.dumps(document).encode(), EXPLAIN | headers)


def test_an_endpoint_explains_only_when_it_is_asked_to(challenger, endpoint):
    rows = challenger.smoke["instances"]
    plain = endpoint.post(rows).json["predictions"]
    assert {key for one in plain for key in one} == {"score", "label"}
    explained = asked(endpoint, rows).json["predictions"]
    names = [item["name"] for item in challenger.contract["features"]]
    expectations = []
    for one, other in zip(explained, plain, strict=True):
        assert one["score"] == pytest.approx(other["score"], abs=1e-6)
        assert [*one["contributions"]] == names
        log_odds = np.log(one["score"] / (1 - one["score"]))
        expectations.append(log_odds - sum(one["contributions"].values()))
    # What is left of a prediction is the model's expectation, the same for every row.
    assert np.ptp(expectations) < 1e-3


def test_the_baseline_says_what_the_endpoint_would(challenger, endpoint):
    table = read_parquet(FIRST + SECOND)
    held = np.flatnonzero(share_of(row_keys(table.columns, "id", []), "headrace") < 0.2)
    attribution = challenger.baseline["attribution"]
    sample = held[np.linspace(0, len(held) - 1, attribution["rows"]).astype(int)]
    inputs = [item["name"] for item in challenger.contract["inputs"]]
    columns = take({name: table.columns[name] for name in inputs}, sample)
    kinds = table.kinds
    listed = {name: to_json(values, kinds[name]) for name, values in columns.items()}
    explained = asked(endpoint, {"columns": listed}).json["predictions"]
    for name, value in attribution["features"].items():
        live = np.mean([abs(one["contributions"][name]) for one in explained])
        assert live == pytest.approx(value, rel=1e-3), name


def test_what_cannot_be_explained_says_why(challenger, endpoint):
    row = challenger.smoke["instances"][0]
    assert asked(endpoint, row, Accept="text/csv").status == 406
    many = asked(endpoint, [row] * 1001)
    assert (many.status, "send 1,000" in many.json["error"]) == (413, True)
    wrong = asked(endpoint, {})
    assert (wrong.status, "missing columns" in wrong.json["error"]) == (400, True)

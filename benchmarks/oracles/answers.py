"""An oracle's answers, in an environment of its own.

<environment>/bin/python benchmarks/oracles/answers.py LIBRARY

Prints one line of JSON: the library's version and its numbers.
"""

from __future__ import annotations

import json
import sys
import warnings
from importlib.metadata import version
from typing import Any

import questions  # beside this file

Answers = dict[str, Any]


def evidently() -> Answers:
    """Tests of the values; binned distances of numbers are of other bins than ours."""
    import pandas as pd
    from evidently.legacy.calculations.stattests import (
        jensenshannon_stat_test,
        ks_stat_test,
        psi_stat_test,
    )

    found: Answers = {"ks_p": {}, "psi": {}, "jensen_shannon_nats": {}}
    numbers, texts = ([f(moved) for moved in (False, True)] for f in FRAMES)
    for name in numbers[0]:
        sides = [pd.Series(side[name]) for side in numbers]
        found["ks_p"][name] = float(ks_stat_test.func(*sides, "num", 0.05)[0])
    for name in texts[0]:
        sides = [pd.Series(side[name]) for side in texts]
        found["psi"][name] = float(psi_stat_test.func(*sides, "cat", 0.1)[0])
        distance = jensenshannon_stat_test.func(*sides, "cat", 0.1)[0]
        found["jensen_shannon_nats"][name] = float(distance)
    return found


def nannyml() -> Answers:
    import nannyml as nml
    import pandas as pd

    one, other = (pd.DataFrame(questions.numbers(m) | questions.texts(m)) for m in (False, True))
    calculator = nml.UnivariateDriftCalculator(
        column_names=list(one.columns),
        continuous_methods=["kolmogorov_smirnov"],
        categorical_methods=["chi2", "jensen_shannon", "l_infinity"],
        chunk_number=1,
    )
    found = calculator.fit(one).calculate(other).filter(period="analysis").to_df(multilevel=True)
    kinds = ("kolmogorov_smirnov", "chi2", "jensen_shannon", "l_infinity")
    return {
        kind: {
            column: float(found[column, kind, "value"].iloc[0])
            for column in one.columns
            if (column, kind, "value") in found.columns
        }
        for kind in kinds
    }


def smclarify() -> Answers:
    """Every measure but the fliptest, whose sign is the opposite of the developer guide's."""
    import pandas as pd
    from smclarify.bias import metrics

    frame = pd.DataFrame(questions.decisions())
    given = {
        "feature": frame.facet,
        "label": frame.outcome,
        "sensitive_facet_index": frame.facet,
        "positive_label_index": frame.outcome,
        "positive_predicted_label_index": frame.predicted,
        "group_variable": frame.stratum,
    }
    measures = [*metrics.PRETRAINING_METRICS, *metrics.POSTTRAINING_METRICS]
    return {
        measure.__name__: float(metrics.call_metric(measure, **given))
        for measure in measures
        if measure.__name__ != "FT"
    }


def fairlearn() -> Answers:
    from fairlearn import metrics

    frame = questions.decisions()
    given = frame["outcome"], frame["predicted"]
    names = ("demographic_parity_difference", "demographic_parity_ratio")
    names += ("equal_opportunity_difference",)
    return {
        name: float(getattr(metrics, name)(*given, sensitive_features=frame["facet"]))
        for name in names
    }


def shap() -> Answers:
    """Trees and what TreeExplainer says of their first rows; the test asks XGBoost."""
    import numpy as np
    import shap as library
    import xgboost

    rows, paid = (np.array(side, np.float32) for side in questions.people())
    settings = {"max_depth": 3, "objective": "binary:logistic", "seed": questions.SEED}
    booster = xgboost.train(settings, xgboost.DMatrix(rows, paid), num_boost_round=8)
    values = library.TreeExplainer(booster).shap_values(rows[:20])
    trees = json.loads(booster.save_raw("json"))
    return {"trees": trees, "contributions": [[float(v) for v in row] for row in values]}


FRAMES = (questions.numbers, questions.texts)
LIBRARIES = {f.__name__: f for f in (evidently, nannyml, smclarify, fairlearn, shap)}


def main() -> None:
    warnings.simplefilter("ignore")
    name = sys.argv[1]
    print(json.dumps({"version": version(name), "answers": LIBRARIES[name]()}))


if __name__ == "__main__":
    main()

"""The numbers other libraries gave for the same data, kept by `python -m benchmarks.oracles`."""

import json
import math
import subprocess
from pathlib import Path

import numpy as np
import pytest

from benchmarks.oracles import questions
from headrace_profiling import ColumnProfile, Profile, compare
from headrace_profiling.attribution import global_attributions
from headrace_profiling.bias import Facet
from headrace_profiling.numbers import Numbers
from headrace_profiling.texts import Texts

ROOT = Path(__file__).parents[3]
KEPT = json.loads((Path(__file__).parent / "oracles.json").read_text())
EVIDENTLY, NANNYML, SMCLARIFY, FAIRLEARN, SHAP = (
    KEPT[name]["answers"] for name in ("evidently", "nannyml", "smclarify", "fairlearn", "shap")
)


def numeric(values):
    kinds = {"number": len(values)}
    return ColumnProfile(len(values), 0, kinds, Numbers.of(np.array(values)))


def textual(values):
    counts = {value: values.count(value) for value in set(values)}
    hashes = {value: int.from_bytes(value.encode()) for value in counts}
    texts = Texts.counted(counts, hashes, "test")
    return ColumnProfile(len(values), 0, {"string": len(values)}, texts=texts)


@pytest.fixture(scope="module")
def measures():
    assert KEPT["seed"] == questions.SEED
    sides = []
    for moved in (False, True):
        columns = {name: numeric(v) for name, v in questions.numbers(moved).items()}
        columns |= {name: textual(v) for name, v in questions.texts(moved).items()}
        sides.append(Profile(questions.ROWS, columns))
    return {column.name: column.measures for column in compare(*sides).columns}


def test_kolmogorov_smirnov_is_nannymls_and_evidentlys(measures):
    """Theirs is of the values, ours of bins: apart by less than a bin's share of the rows."""
    assert len(NANNYML["kolmogorov_smirnov"]) == len(EVIDENTLY["ks_p"]) == 6
    for name, expected in NANNYML["kolmogorov_smirnov"].items():
        assert measures[name]["kolmogorov_smirnov"] == pytest.approx(expected, abs=1e-3), name
    for name, expected in EVIDENTLY["ks_p"].items():
        found = measures[name]["kolmogorov_smirnov_p"]
        assert math.log(found) == pytest.approx(math.log(expected), rel=0.05), name


def test_distances_of_categories_are_nannymls_and_evidentlys(measures):
    assert len(NANNYML["chi2"]) == len(EVIDENTLY["psi"]) == 3
    for name in NANNYML["chi2"]:
        ours = measures[name]
        assert ours["jensen_shannon"] == pytest.approx(NANNYML["jensen_shannon"][name], abs=1e-9)
        assert ours["l_infinity"] == pytest.approx(NANNYML["l_infinity"][name], abs=1e-9)
        assert ours["psi"] == pytest.approx(EVIDENTLY["psi"][name], abs=1e-9)
        nats = ours["jensen_shannon"] * math.sqrt(math.log(2))
        assert nats == pytest.approx(EVIDENTLY["jensen_shannon_nats"][name], abs=1e-9)
        if name != "same":  # of two categories NannyML's has Yates' correction
            assert ours["chi_square"] == pytest.approx(NANNYML["chi2"][name], rel=1e-9)


def test_bias_is_smclarifys_and_fairlearns():
    rows = questions.decisions()
    facet = Facet.of(rows["facet"], rows["outcome"], True, rows["predicted"], rows["stratum"])
    found = facet.pre_training() | facet.post_training()
    assert set(found) == set(SMCLARIFY)
    for name, expected in SMCLARIFY.items():
        assert found[name] == pytest.approx(expected, abs=1e-12), name
    assert abs(found["DPPL"]) == pytest.approx(FAIRLEARN["demographic_parity_difference"])
    assert found["DI"] == pytest.approx(FAIRLEARN["demographic_parity_ratio"])
    assert abs(found["RD"]) == pytest.approx(FAIRLEARN["equal_opportunity_difference"])


def test_contributions_are_shaps(tmp_path):
    """What the training job and endpoints ask XGBoost for, in the image's environment."""
    (tmp_path / "trees.json").write_text(json.dumps(SHAP["trees"]))
    rows = questions.people()[0][:20]
    asked = (
        "import json, sys, numpy, xgboost\n"
        "from headrace_tabular.contributions import contributions\n"
        "trees = xgboost.Booster(model_file=sys.argv[1])\n"
        "x = numpy.array(json.loads(sys.argv[2]), numpy.float32)\n"
        "scores = trees.predict(xgboost.DMatrix(x))\n"
        "print(json.dumps(contributions(trees, x, scores).tolist()))"
    )
    command = [ROOT / ".venv/tabular/bin/python", "-c", asked, tmp_path / "trees.json"]
    done = subprocess.run(
        [*command, json.dumps(rows)],
        check=True,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT / "containers/tabular")},
    )
    found = json.loads(done.stdout)
    assert np.abs(np.subtract(found, SHAP["contributions"])).max() < 1e-5
    ours, theirs = (
        global_attributions(c, questions.FEATURES) for c in (found, SHAP["contributions"])
    )
    assert ours == pytest.approx(theirs, abs=1e-5)

"""`train`: one fused run, from parquet to an evaluated model.

    python -m headrace_tabular.train

Reads and writes below /opt/ml (or SAGEMAKER_BASE_DIR) as SageMaker lays it out; see README.md.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace_tabular import artifact, baselines, evaluation, leakage, metrics, model, usercode
from headrace_tabular.archives import extract
from headrace_tabular.columns import Columns, Floats, Kind, Table, read_parquet, take
from headrace_tabular.encoding import Feature, check_made, encode, learn, normal_features
from headrace_tabular.errors import DataError, TabularError
from headrace_tabular.evaluation import Holdout, Judge, Scored
from headrace_tabular.fit import Part, best_threshold, check_model, fit, importances
from headrace_tabular.labels import classes_of, to_numbers
from headrace_tabular.run import Run, read_run
from headrace_tabular.split import VALIDATION, VALIDATION_SHARE, row_keys, share_of

logger = logging.getLogger("headrace")

SMOKE_ROWS = 20
FAILURE_CHARACTERS = 1024  # SageMaker keeps this many of /opt/ml/output/failure


@dataclass
class Folders:
    """SageMaker's folders of a training job."""

    base: Path

    def __post_init__(self) -> None:
        self.config = self.base / "input" / "config"
        self.channels = self.base / "input" / "data"
        self.model = self.base / "model"
        self.output = self.base / "output" / "data"
        self.failure = self.base / "output" / "failure"


@dataclass
class Clock:
    """How long each step of a run took, in seconds."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, step: str) -> Iterator[None]:
        """Time a step; the same step can be entered again."""
        start = time.perf_counter()
        yield
        taken = time.perf_counter() - start
        self.seconds[step] = self.seconds.get(step, 0.0) + taken
        logger.info("headrace step %s took %.2f s", step, taken)


@dataclass(frozen=True)
class Rows:
    """All labelled rows of a run, and the side each is on."""

    table: Table
    y: Floats
    classes: list[Any]
    keys: list[str]
    dataset: NDArray[np.int64]
    held: NDArray[np.bool_]
    validation: NDArray[np.bool_]

    @property
    def fitted(self) -> NDArray[np.bool_]:
        """The rows that the model learns from."""
        return ~self.held & ~self.validation


@dataclass(frozen=True)
class Prepared:
    """The features of all labelled rows, with the encodings learned from the fitted rows."""

    inputs: Columns
    features: list[Feature]
    matrix: NDArray[np.float32]


@dataclass(frozen=True)
class Trained:
    """What was trained and saved, and its answers on the encoded held-out rows."""

    model: Any
    engine: str
    threshold: float


def train(base: Path) -> None:
    """Run features → train → evaluate once; raise TabularError for what a person can put right."""
    folders, clock = Folders(base), Clock()
    run = read_run(
        folders.channels / "config" / "run.json", folders.config / "hyperparameters.json"
    )
    greater = metrics.check_metric(run.problem, run.metric)
    threading.Thread(target=import_slow_libraries, daemon=True).start()
    with tempfile.TemporaryDirectory() as temporary:
        project, champion = Path(temporary, "project"), Path(temporary, "champion")
        with clock("load"):
            extract(folders.channels / "code" / "project.tar.gz", project)
            rows = load_rows(run, folders.channels / "training")
        with clock("features"):
            prepared = prepare(run, rows, project)
        with clock("train"):
            trained = train_model(run, rows, prepared, project, folders.model)
        with clock("evaluate"):
            report = evaluate(run, rows, prepared, trained, folders, champion)
    report |= {"greater_is_better": greater, "seconds": clock.seconds}
    write_json(folders.output / "evaluation.json", report)
    log_metrics(report)


def import_slow_libraries() -> None:
    """Import while the data is read, which does not hold the interpreter."""
    import onnx  # noqa: F401
    import onnxruntime  # noqa: F401
    import xgboost  # noqa: F401


def load_rows(run: Run, folder: Path) -> Rows:
    """Read every dataset version of the run, and decide which rows are held out."""
    files: list[Path] = []
    versions: list[int] = []
    for position, dataset in enumerate(run.datasets):
        found = sorted((folder / dataset.version).rglob("*.parquet"))
        if not found:
            raise DataError(
                f"dataset {dataset.version} has no parquet file in the `training` channel"
            )
        files += found
        versions += [position] * len(found)
    unread = set(run.exclude) - set(run.slices) - {run.entity, run.event_time, run.label}
    table = read_parquet(files, ignore=sorted(unread))
    check_columns(run, table)
    kind = table.kinds[run.label]
    values = table.columns[run.label]
    classes = classes_of(run.problem, run.label, values, kind)
    y = to_numbers(classes, values, kind)
    labelled = ~np.isnan(y)
    if not labelled.all():
        logger.warning("%d rows have no label and are left out", (~labelled).sum())
        table = Table(
            take(table.columns, labelled), table.kinds, table.types, table.source[labelled]
        )
        y = y[labelled]
    keys = row_keys(table.columns, run.entity, run.not_learned)
    held = share_of(keys, run.seed) < run.holdout
    validation = ~held & (share_of(keys, f"{run.seed}/{VALIDATION}") < VALIDATION_SHARE)
    rows = Rows(table, y, classes, keys, np.array(versions)[table.source], held, validation)
    check_sides(rows)
    logger.info(
        "%d rows: %d to train, %d to validate, %d held out",
        *(len(y), rows.fitted.sum(), validation.sum(), held.sum()),
    )
    return rows


def check_columns(run: Run, table: Table) -> None:
    """Check that the columns the settings name are there."""
    named = [("label", run.label), ("entity", run.entity), ("event_time", run.event_time)]
    named += [("slice", name) for name in run.slices]
    for role, name in named:
        if name and name not in table.columns:
            versions = ", ".join(dataset.version for dataset in run.datasets)
            raise DataError(
                f"{role} column '{name}' is not in dataset {versions}:"
                f" columns are {', '.join(table.columns)}"
            )


def check_sides(rows: Rows) -> None:
    """Check that every side has rows, and the fitted one more than one class."""
    sides = {"train": rows.fitted, "validate": rows.validation, "hold out": rows.held}
    for name, side in sides.items():
        if side.sum() < 2:
            raise DataError(
                f"{len(rows.y)} labelled rows leave {side.sum()} to {name}: more rows are needed"
            )
    if rows.classes and len(np.unique(rows.y[rows.fitted])) < 2:
        raise DataError("the rows to train on have one class only: more rows are needed")


def prepare(run: Run, rows: Rows, project: Path) -> Prepared:
    """Make the features of all rows; learn the encodings from the fitted rows alone."""
    inputs = {
        name: values for name, values in rows.table.columns.items() if name not in run.not_learned
    }
    if not inputs:
        raise DataError("no column is left to learn from: see `data.exclude`")
    make = model.features_function(project, run.features)
    made, kinds = inputs, {name: rows.table.kinds[name] for name in inputs}
    if make is not None:
        for values in inputs.values():
            values.flags.writeable = False  # the user's code must not change what is evaluated
        made = make(dict(inputs))
        kinds = check_made(made, rows.table.rows)
        made = normal_features(made, kinds)
    features = learn(take(made, rows.fitted), kinds, rows.y[rows.fitted])
    logger.info("%d features of %d columns", len(features), len(inputs))
    return Prepared(inputs, features, encode(features, made))


def train_model(run: Run, rows: Rows, prepared: Prepared, project: Path, folder: Path) -> Trained:
    """Fit, choose the threshold on the validation rows, and write the model artifact."""
    own = None
    if run.training:
        own = usercode.function(usercode.load(project, run.training), "train", run.training)
    fitted, validation = (
        Part(prepared.matrix[side], rows.y[side]) for side in (rows.fitted, rows.validation)
    )
    names = [feature.name for feature in prepared.features]
    made = fit(run.problem, fitted, validation, run.hyperparameters, names, len(rows.classes), own)
    engine = check_model(made)
    onnx = artifact.save_model(
        made, engine, folder, prepared.matrix[~rows.held], prepared.features, run.problem
    )
    if run.features or run.serving:
        artifact.save_code(project, folder)
    answers = scorer(made, engine, folder, run)(validation.x)
    threshold = 0.5
    if run.problem == "binary":
        threshold = best_threshold(validation.y, answers, run.cost)
    artifact.write_contract(
        folder,
        run,
        engine=engine,
        onnx=onnx,
        kinds={name: rows.table.kinds[name] for name in prepared.inputs},
        types=rows.table.types,
        features=prepared.features,
        classes=rows.classes,
        threshold=threshold,
        hyperparameters=run.hyperparameters,
    )
    return Trained(made, engine, threshold)


def scorer(made: Any, engine: str, folder: Path, run: Run) -> model.Engine:
    """Return how the trained model scores a matrix."""
    if engine == "onnx":
        return model.onnx_engine(folder / model.FAST, run.problem)
    return model.booster_engine(made)


def evaluate(
    run: Run,
    rows: Rows,
    prepared: Prepared,
    trained: Trained,
    folders: Folders,
    champion_folder: Path,
) -> dict[str, Any]:
    """Judge the saved candidate, the baselines and the champion on the held-out rows.

    The candidate is loaded from its artifact and given raw columns, exactly as it is served.
    """
    served = model.load(folders.model)
    columns = take(rows.table.columns, rows.held)
    held_keys = [key for key, held in zip(rows.keys, rows.held, strict=True) if held]
    holdout = Holdout(columns, rows.y[rows.held], held_keys, rows.dataset[rows.held])
    judge = Judge(run.problem, run.metric, run.cost, holdout)
    candidate = Scored(served.scores(columns), trained.threshold)
    write_smoke(folders.output, run, served, columns, candidate)
    warned = leakage.warnings(
        run.problem,
        prepared.matrix[rows.fitted],
        rows.y[rows.fitted],
        prepared.features,
        run.label,
    )
    trivial, simple = score_baselines(run, rows, prepared)
    archive = folders.channels / "champion" / "model.tar.gz"
    champion, champion_report = None, None
    if archive.exists():
        champion, champion_report = judge_champion(
            run, judge, rows.classes, archive, champion_folder, warned
        )
    names = [feature.name for feature in prepared.features]
    return {
        "schema_version": 1,
        "run": run.run,
        "problem": run.problem,
        "metric": run.metric,
        "rows": {"train": int((~rows.held).sum()), "holdout": holdout.rows},
        "candidate": judge.report(candidate),
        "baselines": {
            "trivial": {"kind": trivial[0], **judge.report(trivial[1])},
            "simple": {"kind": simple[0], **judge.report(simple[1])},
        },
        "champion": champion_report,
        "comparison": judge.compare(candidate, champion) if champion else None,
        "baseline_comparison": judge.compare(candidate, simple[1]),
        "datasets": evaluation.by_dataset(run, judge, candidate, champion),
        "slices": evaluation.by_slice(run, rows.table.kinds, judge, candidate, champion),
        "latency_ms": evaluation.measure_latency(served, columns),
        "features": importances(trained.model, names) if trained.engine == "xgboost" else [],
        "warnings": warned,
    }


def score_baselines(
    run: Run, rows: Rows, prepared: Prepared
) -> tuple[tuple[str, Scored], tuple[str, Scored]]:
    """Fit both baselines on the fitted rows; their thresholds too come from the validation."""
    x, y = prepared.matrix[rows.fitted], rows.y[rows.fitted]
    both = (
        baselines.trivial(run.problem, y, len(rows.classes)),
        baselines.simple(run.problem, x, y, prepared.features, len(rows.classes)),
    )
    scored = []
    for kind, predict in both:
        threshold = 0.5
        if run.problem == "binary":
            answers = predict(prepared.matrix[rows.validation])
            threshold = best_threshold(rows.y[rows.validation], answers, run.cost)
        scored.append((kind, Scored(predict(prepared.matrix[rows.held]), threshold)))
    return scored[0], scored[1]


def judge_champion(
    run: Run, judge: Judge, classes: list[Any], archive: Path, folder: Path, warned: list[str]
) -> tuple[Scored | None, dict[str, Any]]:
    """Score the champion; one that cannot be scored is reported without a number.

    Then nothing says that the candidate is better, and the gate must not let it pass.
    """
    try:
        extract(archive, folder)
        champion = model.load(folder)
        scored = evaluation.score_champion(champion, classes, judge.holdout)
    except TabularError as error:
        warned.append(f"the champion could not be scored on the held-out rows: {error}")
        return None, judge.unmeasured(str(error))
    split = champion.contract["split"]
    if (split["entity"], split["seed"]) != (run.entity, run.seed) or (
        split["holdout"] < run.holdout
    ):
        warned.append(
            "the champion was trained with another split: it may have learned from held-out rows"
        )
    return scored, judge.report(scored)


def write_smoke(
    folder: Path, run: Run, served: model.Model, columns: Columns, candidate: Scored
) -> None:
    """Write held-out rows with their expected predictions, to verify an endpoint with."""
    inputs = {item.name: columns[item.name][:SMOKE_ROWS] for item in served.inputs}
    kinds = {item.name: item.kind for item in served.inputs}
    listed = {name: to_json(values, kinds[name]) for name, values in inputs.items()}
    instances = [dict(zip(listed, row, strict=True)) for row in zip(*listed.values(), strict=True)]
    expected = model.predictions(served, candidate.scores[:SMOKE_ROWS])
    write_json(
        folder / "smoke.json",
        {
            "schema_version": 1,
            "run": run.run,
            "content_type": "application/json",
            "instances": instances,
            "predictions": expected,
            "tolerance": artifact.TOLERANCE,
        },
    )


def to_json(values: NDArray[Any], kind: Kind) -> list[Any]:
    """Return a column as a client would send it in JSON."""
    if kind == "time":
        return [None if np.isnat(value) else f"{value}Z" for value in values]
    if kind == "boolean":
        return [None if np.isnan(value) else bool(value) for value in values]
    return list(values.tolist())


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a document as JSON in which a number that is not finite is null."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(metrics.without_nan(document), indent=1, ensure_ascii=False, allow_nan=False)
    path.write_text(text)


def log_metrics(report: Mapping[str, Any]) -> None:
    """Log the metrics on lines that a SageMaker metric definition's regex finds."""
    reports = {"": report["candidate"], "champion_": report["champion"] or {}}
    reports["baseline_"] = report["baselines"]["simple"]
    for prefix, one in reports.items():
        for name, value in (one.get("metrics") or {}).items():
            if value is not None and np.isfinite(value):
                logger.info("headrace metric %s%s=%.6g", prefix, name, value)
    for warning in report["warnings"]:
        logger.warning("%s", warning)


def main() -> int:
    """Run the training job; explain a failure where SageMaker looks for it."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    base = Path(os.environ.get("SAGEMAKER_BASE_DIR", "/opt/ml"))
    try:
        train(base)
    except TabularError as error:
        return fail(base, str(error))
    except Exception as error:  # the outermost boundary: every fault is a reason
        logger.exception("unexpected fault")
        return fail(base, f"unexpected fault in training: {type(error).__name__}: {error}")
    return 0


def fail(base: Path, message: str) -> int:
    """Write the reason where SageMaker reads it; leave no half-made model behind."""
    logger.error("%s", message)
    failure = Folders(base).failure
    failure.parent.mkdir(parents=True, exist_ok=True)
    failure.write_text(message[:FAILURE_CHARACTERS])
    for path in Folders(base).model.glob("*"):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    return 1


if __name__ == "__main__":
    sys.exit(main())

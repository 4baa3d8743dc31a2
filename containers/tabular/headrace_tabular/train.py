"""`train`: one fused run, from parquet to an evaluated model.

    python -m headrace_tabular.train

Reads and writes below /opt/ml (or SAGEMAKER_BASE_DIR) as SageMaker lays it out; see README.md.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headrace_tabular import (
    artifact,
    baselines,
    evaluation,
    leakage,
    metrics,
    model,
    monitoring,
    usercode,
)
from headrace_tabular.archives import extract
from headrace_tabular.columns import take
from headrace_tabular.errors import TabularError
from headrace_tabular.evaluation import Candidate, Holdout, Judge, Scored
from headrace_tabular.fit import Part, best_threshold, check_model, fit, importances
from headrace_tabular.reports import log_metrics, write_json, write_smoke
from headrace_tabular.rows import Prepared, Rows, load_rows, prepare
from headrace_tabular.run import Run, read_run

logger = logging.getLogger("headrace")

# Threads that wait by spinning make training ten times longer where a core is shared. Read by
# OpenMP when XGBoost is first imported.
PASSIVE_THREADS = ("OMP_WAIT_POLICY", "PASSIVE")
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
class Trained:
    """What was trained and saved: a booster or an ONNX model, and the threshold it decides by."""

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
    with tempfile.TemporaryDirectory() as temporary:
        project, champion = Path(temporary, "project"), Path(temporary, "champion")
        with clock("load"), slow_imports():
            extract(folders.channels / "code" / "project.tar.gz", project)
            rows = load_rows(run, folders.channels / "training")
        with clock("features"):
            prepared = prepare(run, rows, project)
        with clock("train"):
            trained = train_model(run, rows, prepared, project, folders.model)
        with clock("evaluate"):
            candidate = score_candidate(rows, trained, folders)
            report = evaluate(run, rows, prepared, trained, candidate, folders, champion)
        with clock("baseline"):
            booster = trained.model if trained.engine == "xgboost" else None
            unwatched = monitoring.write(folders.output, run, rows, prepared, candidate, booster)
            report["warnings"] += unwatched
    report |= {"greater_is_better": greater, "seconds": clock.seconds}
    write_json(folders.output / "evaluation.json", report)
    log_metrics(report)


@contextmanager
def slow_imports() -> Iterator[None]:
    """Import slow libraries while the data is read, which does not hold the interpreter.

    They are complete when this ends, also by an error: a process that exits in the middle of an
    import aborts.
    """
    thread = threading.Thread(target=import_slow_libraries)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def import_slow_libraries() -> None:
    """Import what every training run needs sooner or later."""
    import onnx  # noqa: F401 — only to have it imported
    import onnxruntime  # noqa: F401 — likewise
    import xgboost  # noqa: F401 — likewise


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


def score_candidate(rows: Rows, trained: Trained, folders: Folders) -> Candidate:
    """Load the candidate from its artifact and give it raw columns, exactly as it is served."""
    served = model.load(folders.model)
    columns = take(rows.table.columns, rows.held)
    return Candidate(served, columns, Scored(served.scores(columns), trained.threshold))


def evaluate(
    run: Run,
    rows: Rows,
    prepared: Prepared,
    trained: Trained,
    saved: Candidate,
    folders: Folders,
    champion_folder: Path,
) -> dict[str, Any]:
    """Judge the saved candidate, the baselines and the champion on the held-out rows."""
    served, columns, candidate = saved.model, saved.columns, saved.scored
    held_keys = [key for key, held in zip(rows.keys, rows.held, strict=True) if held]
    holdout = Holdout(columns, rows.y[rows.held], held_keys, rows.dataset[rows.held])
    judge = Judge(run.problem, run.metric, run.cost, holdout)
    evaluation.check_row_wise(served, columns, candidate.scores)
    write_smoke(folders.output / "smoke.json", run, served, columns, candidate)
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


def main() -> int:
    """Run the training job; explain a failure where SageMaker looks for it."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    os.environ.setdefault(*PASSIVE_THREADS)
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

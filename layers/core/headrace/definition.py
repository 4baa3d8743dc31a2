"""A model project's `model.yaml`: every section, its defaults, and what they mean.

The least that works names the model and the label. Environments override: `environments: {prod:
{...}}` is merged over the rest, section by section. `docs/model-yaml.md` and the JSON schema for
editors are generated from these classes, so every field carries its description.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from headrace.deployment.alarms import Alarms, guards
from headrace.deployment.comparison import contradictions
from headrace.deployment.experiment import Experiment
from headrace.deployment.shadow import Shadow
from headrace.deployment.strategy import Strategy, StrategyField, mistakes
from headrace.errors import ProjectError
from headrace.monitoring.section import Monitoring, monitoring_mistakes
from headrace.names import MODEL_MAX_LENGTH, MODEL_PATTERN
from headrace.recovery import Recovery
from headrace.retraining import Retraining, retraining_mistakes
from headrace.sections import Duration, Section

ColumnType = Literal["string", "integer", "number", "boolean", "timestamp", "date"]
Problem = Literal["binary", "multiclass", "regression"]
Entrypoint = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_/-]*\.py$")]

METRICS: dict[str, tuple[bool, frozenset[str]]] = {
    # metric: (greater is better, problems it measures)
    "roc_auc": (True, frozenset({"binary"})),
    "average_precision": (True, frozenset({"binary"})),
    "brier": (False, frozenset({"binary"})),
    "f1": (True, frozenset({"binary", "multiclass"})),
    "accuracy": (True, frozenset({"binary", "multiclass"})),
    "log_loss": (False, frozenset({"binary", "multiclass"})),
    "rmse": (False, frozenset({"regression"})),
    "mae": (False, frozenset({"regression"})),
    "r2": (True, frozenset({"regression"})),
}
_DEFAULT_METRIC = {"binary": "roc_auc", "multiclass": "accuracy", "regression": "rmse"}


class Column(Section):
    """What a column must look like, beyond its type."""

    type: ColumnType = Field(
        description="Logical type; parquet and CSV types are checked against it."
    )
    nullable: bool = Field(True, description="Whether a row may lack a value here.")
    minimum: float | None = Field(None, description="Rows below it are quarantined.")
    maximum: float | None = Field(None, description="Rows above it are quarantined.")
    values: list[str] | None = Field(None, description="Rows with any other value are quarantined.")


class Data(Section):
    """What the drops contain."""

    label: str = Field(description="Column to predict; a row without it is quarantined.")
    format: Literal["parquet", "csv", "jsonl"] = Field(
        "parquet", description="Format of the files."
    )
    entity: str | None = Field(
        None,
        description="Column that says whom a row is about; rows of one entity are never split.",
    )
    event_time: str | None = Field(None, description="Column with the time a row became known.")
    exclude: list[str] = Field([], description="Columns to keep but never learn from.")
    columns: dict[str, Column | ColumnType] = Field(
        {},
        alias="schema",
        description="Columns and their types. Empty: taken from the first accepted drop.",
    )
    complete: Literal["manifest", "success", "quiet"] = Field(
        "manifest",
        description="When a drop is complete: its `_manifest.json` and all the files it names are "
        "there; a `_SUCCESS` object is there; or no object has come for `quiet_seconds`.",
    )
    quiet_seconds: int = Field(60, ge=10, le=86400, description="For `complete: quiet`.")
    wait_hours: float = Field(
        24, gt=0, le=24 * 30, description="After this an open drop is reported incomplete."
    )
    window: int | None = Field(
        None, ge=1, description="Train on this many newest dataset versions; absent: on all."
    )

    def column(self, name: str) -> Column | None:
        """Return the declaration of a column, short form or long, or None."""
        declared = self.columns.get(name)
        return Column(type=declared) if isinstance(declared, str) else declared


class Features(Section):
    """How rows become features: the same code for training and serving."""

    entrypoint: Entrypoint | None = Field(
        None, description="File with `features(columns) -> columns`. Absent: columns as they are."
    )


class Training(Section):
    """How a candidate is made."""

    image: Literal["tabular"] = Field("tabular", description="Image the job runs.")
    entrypoint: Entrypoint | None = Field(
        None, description="File with `train(...)`. Absent: XGBoost with early stopping."
    )
    hyperparameters: dict[str, str | int | float | bool] = Field(
        {}, description="Passed to the training code as SageMaker hyperparameters."
    )
    instance_type: str = Field("ml.m5.large", pattern=r"^ml\.", description="Instance of the job.")
    volume_gb: int = Field(30, ge=1, le=16384, description="Volume of the job, in GB.")
    max_runtime_minutes: int = Field(
        60, ge=1, le=40320, description="After this the job is stopped."
    )
    spot: bool = Field(False, description="Use managed spot instances.")


class Cost(Section):
    """What mistakes cost the business, in any one currency."""

    false_positive: float = Field(ge=0, description="Cost of a false alarm.")
    false_negative: float = Field(ge=0, description="Cost of a miss.")


class Evaluation(Section):
    """What a candidate must prove before it may be registered."""

    metric: str | None = Field(
        None,
        description="Primary metric. Absent: roc_auc (binary), accuracy (multiclass), rmse "
        "(regression).",
    )
    problem: Problem = Field("binary", description="Kind of prediction.")
    holdout: float = Field(0.2, gt=0, lt=0.9, description="Share of rows or entities held out.")
    must_beat: list[Literal["baseline", "champion"]] = Field(
        ["baseline", "champion"], description="Who must score worse than the candidate."
    )
    minimum_gain: float = Field(
        0.0, ge=0, description="By how much of the metric the champion must be beaten."
    )
    tolerance: float = Field(
        0.01,
        ge=0,
        description="How much of the metric may be lost on a slice, and on the data the champion "
        "already knew.",
    )
    thresholds: dict[str, float] = Field(
        {}, description="Metric: the worst value that is acceptable."
    )
    cost: Cost | None = Field(None, description="With it, the candidate must not cost more.")
    slices: list[str] = Field([], description="Columns whose values are also judged one by one.")
    slice_rows: int = Field(100, ge=1, description="A slice with fewer held-out rows is unsure.")
    latency_ms: float | None = Field(None, gt=0, description="p99 limit of one prediction.")


class Deployment(Section):
    """How an approved package is served."""

    mode: Literal["real-time"] = Field("real-time", description="How predictions are served.")
    instance_type: str = Field("ml.m5.large", pattern=r"^ml\.", description="Instance to serve on.")
    instance_count: int = Field(1, ge=1, le=100, description="Number of instances.")
    capture_percent: int = Field(
        100, ge=0, le=100, description="Share of requests captured for monitoring, in percent."
    )
    strategy: Annotated[Strategy, StrategyField] = Field(
        Strategy(), description="How traffic moves to a new version; `all-at-once` for at once."
    )
    shadow: Shadow | None = Field(
        None,
        description="Before traffic moves, compare it in the shadow of what serves; `{}` for the "
        "defaults.",
    )
    ab: Experiment | None = Field(
        None,
        description="Before all traffic moves, let both serve until a business outcome decides.",
    )
    stand_by: Duration | None = Field(
        None,
        ge=0,
        le=3600,
        description="How long the old instances are kept once all traffic has moved, so that an "
        "alarm brings them back at once. Absent: 10m, and none for rolling, which keeps none.",
    )
    alarms: Alarms = Alarms()

    @model_validator(mode="after")
    def _can_be_carried_out(self) -> "Deployment":
        found = mistakes(
            self.strategy, self.instance_count, self.kept, bool(guards(self.alarms, "", ""))
        )
        found += contradictions(self, self.strategy.name, self.capture_percent)
        if found:
            raise ValueError("; ".join(found))
        return self

    @property
    def kept(self) -> int:
        """How long the old instances are kept, in seconds."""
        default = 0 if self.strategy.rolling else 600
        return default if self.stand_by is None else self.stand_by


class ModelDefinition(Section):
    """All of model.yaml for one environment."""

    name: str = Field(
        pattern=MODEL_PATTERN, max_length=MODEL_MAX_LENGTH, description="Name of the model."
    )
    description: str = Field("", max_length=1024, description="What the model is for.")
    data: Data
    features: Features = Features()
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    approval: Literal["manual", "automatic"] = Field(
        "manual", description="Who approves a registered candidate: a person, or the gate alone."
    )
    deployment: Deployment = Deployment()
    monitoring: Monitoring = Monitoring()
    retraining: Retraining = Retraining()
    recovery: Recovery = Recovery()

    @property
    def metric(self) -> str:
        """The primary metric."""
        return self.evaluation.metric or _DEFAULT_METRIC[self.evaluation.problem]

    @model_validator(mode="after")
    def _columns_make_sense(self) -> "ModelDefinition":
        data, evaluation = self.data, self.evaluation
        named: dict[str, list[str | None]] = {
            "label": [data.label],
            "entity": [data.entity],
            "event_time": [data.event_time],
            "exclude": [*data.exclude],
            "evaluation.slices": [*evaluation.slices],
            "monitoring.segments": [*self.monitoring.segments],
            "monitoring.bias.facets": [*self.monitoring.facets],
        }
        for field, columns in named.items():
            for column in columns:
                if data.columns and column is not None and column not in data.columns:
                    raise ValueError(f"{field} names column {column!r}, which the schema lacks")
        if data.label in (data.entity, data.event_time, *data.exclude, *evaluation.slices):
            raise ValueError(f"the label {data.label!r} cannot also be used as another column")
        for metric in (self.metric, *evaluation.thresholds):
            if metric not in METRICS:
                raise ValueError(f"metric {metric!r} is unknown: choose one of {sorted(METRICS)}")
            if evaluation.problem not in METRICS[metric][1]:
                raise ValueError(
                    f"metric {metric!r} does not measure {evaluation.problem} problems"
                )
        if evaluation.cost and evaluation.problem != "binary":
            raise ValueError("cost needs a binary problem")
        found = retraining_mistakes(
            self.retraining, self.training.instance_type, evaluation.problem
        )
        found += monitoring_mistakes(self.monitoring, evaluation.problem)
        if found:
            raise ValueError("; ".join(found))
        return self


def parse(text: str, environment: str) -> ModelDefinition:
    """Read the text of a model.yaml as it applies to one environment.

    Raises:
        ProjectError: one line per mistake, with the place and what is wrong.
    """
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ProjectError(f"model.yaml is not YAML: {error}") from error
    if not isinstance(content, dict):
        raise ProjectError("model.yaml must be a mapping that names the model and its data")
    overrides = content.pop("environments", None) or {}
    if not isinstance(overrides, dict):
        raise ProjectError("model.yaml: environments must map an environment to its overrides")
    merged = _merge(content, overrides.get(environment) or {})
    try:
        return ModelDefinition.model_validate(merged)
    except ValidationError as error:
        lines = [
            f"model.yaml: {'.'.join(str(p) for p in e['loc']) or 'the whole'}: {_explain(e)}"
            for e in error.errors()
        ]
        raise ProjectError("\n".join(lines)) from error


def _merge(base: Any, override: Any) -> Any:
    if isinstance(base, Mapping) and isinstance(override, Mapping):
        return {
            **base,
            **{k: _merge(base[k], v) if k in base else v for k, v in override.items()},
        }
    return override


def _explain(error: Mapping[str, Any]) -> str:
    if error["type"] == "extra_forbidden":
        return "is not known here; see docs/model-yaml.md for what is"
    return str(error["msg"]).removeprefix("Value error, ")

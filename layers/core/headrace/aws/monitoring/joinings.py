"""How predictions of a model's versions are joined: the project's rules, each one's baseline."""

from collections.abc import Collection, Iterable

from headrace.aws.monitoring.baselines import find_baseline
from headrace.aws.monitoring.outcomes import Recorder, label_and_entity
from headrace.definition import ModelDefinition
from headrace.monitoring.baseline import Baseline
from headrace.monitoring.joining import Joining
from headrace.monitoring.section import Quality
from headrace.records import DeploymentRecord, model_partition
from headrace_profiling import Profile


def load_joinings(
    definition: ModelDefinition, quality: Quality, versions: Collection[int], aws: Recorder
) -> dict[int, Joining]:
    """Return how each version's predictions are joined: the project's rules, its own baseline."""
    if not versions:
        return {}
    label_type, entity_type = label_and_entity(definition, aws)
    partition = model_partition(definition.name)
    runs = {
        record.package_version: record.run
        for record in aws.ledger.query(DeploymentRecord, partition, "deployment#")
        if record.run
    }
    label = definition.data.column(definition.data.label)
    watched, bias = definition.monitoring.segments, definition.monitoring.bias
    found = {}
    for version in versions:
        known = find_baseline(
            definition.name, runs.get(version), aws.settings.artifacts_bucket, aws.storage
        )
        baseline = known if isinstance(known, Baseline) else None
        segments = baseline.segments if baseline else {}
        found[version] = Joining(
            problem=definition.evaluation.problem,
            wait=quality.wait,
            label_type=label_type,
            entity=definition.data.entity,
            entity_type=entity_type,
            classes=tuple(baseline.classes or ()) if baseline else (),
            labels=tuple(sorted({*(label.values or () if label else ()), *_labels(baseline)})),
            types=_types(baseline, [*watched, *(bias.facets if bias else ())]),
            segments={column: sorted(segments.get(column, {})) for column in watched},
            facets=bias.facets if bias else {},
        )
    return found


def _types(baseline: Baseline | None, columns: Iterable[str]) -> dict[str, str]:
    """Return the types by which the baseline spells the values of columns."""
    inputs = Profile.from_dict(baseline.inputs).columns if baseline else {}
    return {column: inputs[column].type for column in columns if column in inputs}


def _labels(baseline: Baseline | None) -> set[str]:
    """Return the labels that the held-out rows were given, if they are few."""
    label = Profile.from_dict(baseline.predictions).columns.get("label") if baseline else None
    if label is None:
        return set()
    numbers = label.numbers.bins.lower.tolist() if label.numbers else []
    return {*label.categories, *(f"{n:.0f}" if n == int(n) else repr(n) for n in numbers)}

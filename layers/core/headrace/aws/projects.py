"""Published projects: what S3, the ledger and the model registry know of them."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from pydantic import Field

from headrace import names
from headrace.aws.alarms import describe_alarms
from headrace.aws.ledger import Ledger
from headrace.aws.schedules import SCHEDULED_TIME, Schedules, ScheduleSettings, rate
from headrace.aws.storage import Location, Storage
from headrace.definition import ModelDefinition
from headrace.errors import ProjectError
from headrace.events import ProjectPublished, ProjectRefused, RetrainingRequested
from headrace.projects import MAX_ARCHIVE_BYTES, archive_key, judge_archive, parse_key, read_project
from headrace.records import Key, ModelRecord, ProjectRecord
from headrace.settings import Settings


class ProjectSettings(ScheduleSettings):
    """For the function that reconciles projects."""

    monitoring_machine_arn: str = Field(
        alias="MONITORING_STATE_MACHINE_ARN", description="Started as often as a project says."
    )
    start_run_arn: str = Field(
        alias="START_RUN_FUNCTION_ARN", description="Called when a project's schedule wants a run."
    )


def find_model(ledger: Ledger, model: str) -> ModelRecord | None:
    """Return what the ledger knows of a model, or None when no project of it is published."""
    return ledger.get(ModelRecord, Key(pk="models", sk=model))


def load_definition(
    storage: Storage, settings: Settings, model: str, version: str
) -> ModelDefinition:
    """Return the definition in a published version, which never changes once it is there."""
    return _load_definition(storage, settings.data_bucket, settings.environment, model, version)


@lru_cache(maxsize=64)
def _load_definition(
    storage: Storage, bucket: str, environment: str, model: str, version: str
) -> ModelDefinition:
    location = Location(bucket, archive_key(model, version))
    return read_project(storage.get_bytes(location, MAX_ARCHIVE_BYTES), environment).definition


def reconcile_project(
    location: Location,
    settings: Settings,
    storage: Storage,
    ledger: Ledger,
    sagemaker: Any,
    cloudwatch: Any,
    make_schedules: Callable[[ModelDefinition], None],
) -> ProjectPublished | ProjectRefused:
    """Make the ledger, the registry and schedules match a published archive; any number of times.

    An older publication that is handled late never replaces a newer one.

    Raises:
        ProjectError: the key names no project, so there is nothing to accept or refuse.
    """
    model, version = parse_key(location.key)
    head = storage.head(location)
    metadata = head["Metadata"]
    # As the ledger writes times. S3 knows whole seconds: within one, who is handled last wins.
    published_at = head["LastModified"].strftime("%Y-%m-%dT%H:%M:%S.000Z")
    record = ProjectRecord(
        model=model,
        project_version=version,
        uri=location.uri,
        status="published",
        published_at=published_at,
        commit=metadata.get("commit"),
        publisher=metadata.get("publisher"),
    )
    try:
        content = storage.get_bytes(location, MAX_ARCHIVE_BYTES)
        definition = judge_archive(location.key, content, settings.environment)
        names.require_room(settings.stack, model)
        _check_alarms(definition, cloudwatch)
    except (ProjectError, ValueError) as error:
        reasons = str(error).splitlines()
        refused = record.model_copy(update={"status": "refused", "reasons": reasons})
        ledger.put_if_newer(refused, "published_at", or_as_new=True)
        return ProjectRefused(model=model, project_version=version, reasons=reasons)
    group = names.package_group_name(settings.stack, model)
    _ensure_package_group(sagemaker, group, settings.stack, definition)
    ledger.put_if_newer(record, "published_at", or_as_new=True)
    ledger.put_if_newer(
        ModelRecord(
            model=model,
            project_version=version,
            published_at=published_at,
            endpoint=names.endpoint_name(settings.stack, model),
            package_group=group,
            approval=definition.approval,
        ),
        "published_at",
        or_as_new=True,
    )
    _reconcile_schedules(model, settings, storage, ledger, make_schedules)
    return ProjectPublished(model=model, project_version=version, commit=record.commit)


def _check_alarms(definition: ModelDefinition, cloudwatch: Any) -> None:
    """Refuse a project whose own alarms are not there: they would undo no deployment."""
    wanted = definition.deployment.alarms.names
    missing = sorted(set(wanted) - {alarm.name for alarm in describe_alarms(wanted, cloudwatch)})
    if missing:
        raise ProjectError(
            "\n".join(
                f"model.yaml: deployment.alarms.names: there is no CloudWatch alarm {name!r} in "
                "this account and region"
                for name in missing
            )
        )


def make_schedules(
    definition: ModelDefinition, settings: ProjectSettings, schedules: Schedules
) -> None:
    """Make a model's schedules what its project says."""
    name = f"monitor-{definition.name}"
    if definition.deployment.capture_percent:
        schedules.ensure_schedule(
            name,
            rate(definition.monitoring.schedule),
            settings.monitoring_machine_arn,
            {"model": definition.name, "at": SCHEDULED_TIME},
        )
    else:  # nothing is captured, so there is nothing to see
        schedules.remove_schedule(name)
    name, expression = f"retrain-{definition.name}", definition.retraining.expression
    if expression is None:
        schedules.remove_schedule(name)
        return
    request = RetrainingRequested(
        model=definition.name,
        request=f"schedule-{SCHEDULED_TIME}",
        reason=f"the schedule: {definition.retraining.schedule}",
        by="schedule",
    )
    fact = {"detail-type": type(request).__name__, "detail": request.model_dump()}
    schedules.ensure_schedule(name, expression, settings.start_run_arn, fact)


def _reconcile_schedules(
    model: str,
    settings: Settings,
    storage: Storage,
    ledger: Ledger,
    make_schedules: Callable[[ModelDefinition], None],
) -> None:
    """Make the schedules of the project in force, which may be another by the time they are."""
    done = None
    while (found := find_model(ledger, model)) and found.project_version != done:
        make_schedules(load_definition(storage, settings, model, found.project_version))
        done = found.project_version


def _ensure_package_group(
    sagemaker: Any, group: str, stack: str, definition: ModelDefinition
) -> None:
    try:
        sagemaker.create_model_package_group(
            ModelPackageGroupName=group,
            **(
                {"ModelPackageGroupDescription": definition.description}
                if definition.description
                else {}
            ),
            Tags=[
                {"Key": "headrace:stack", "Value": stack},
                {"Key": "headrace:model", "Value": definition.name},
            ],
        )
    except sagemaker.exceptions.ClientError as error:
        # SageMaker says "already exists" only in the text of a ValidationException.
        if "already exists" not in error.response["Error"]["Message"]:
            raise

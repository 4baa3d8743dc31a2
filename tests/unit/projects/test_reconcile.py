import json
from functools import partial
from types import SimpleNamespace

import boto3
import pytest

from headrace.aws.projects import (
    ProjectSettings,
    find_model,
    load_definition,
    make_schedules,
    reconcile_project,
)
from headrace.aws.schedules import Schedules, rate
from headrace.aws.storage import Location
from headrace.errors import ProjectError
from headrace.events import ProjectPublished, ProjectRefused, RetrainingRequested
from headrace.projects import archive_key, build_archive
from headrace.records import Key, ProjectRecord
from tests.unit import world

DATA = "headrace-data"
MACHINE = f"arn:aws:states:{world.REGION}:{world.ACCOUNT}:stateMachine:headrace-monitoring"
START_RUN = f"arn:aws:lambda:{world.REGION}:{world.ACCOUNT}:function:headrace-start-run"
SCHEDULED = ProjectSettings.model_validate(
    world.settings().model_dump()
    | {
        "schedule_group": "headrace-models",
        "schedule_role_arn": f"arn:aws:iam::{world.ACCOUNT}:role/headrace-schedules",
        "schedule_dead_letters_arn": f"arn:aws:sqs:{world.REGION}:{world.ACCOUNT}:dead-letters",
        "monitoring_machine_arn": MACHINE,
        "start_run_arn": START_RUN,
    }
)


@pytest.fixture
def aws(monkeypatch):
    with world.aws(monkeypatch) as made:
        made.scheduler = boto3.client("scheduler", region_name=world.REGION)
        made.scheduler.create_schedule_group(Name="headrace-models")
        yield made


@pytest.fixture
def publish(aws, tmp_path):
    """Return a function that publishes a project and returns the key of its archive."""

    def put(content, **metadata):
        (tmp_path / "model.yaml").write_text(json.dumps(content))
        archive = build_archive(tmp_path)
        key = archive_key("credit", archive.version)
        aws.s3.put_object(Bucket=DATA, Key=key, Body=archive.content, Metadata=metadata)
        return key

    return put


def reconcile(aws, key, storage=None):
    return reconcile_project(
        Location(DATA, key),
        aws.settings,
        storage or aws.storage,
        aws.ledger,
        aws.sagemaker,
        boto3.client("cloudwatch", region_name=world.REGION),
        partial(make_schedules, settings=SCHEDULED, schedules=schedules()),
    )


def schedules():
    return Schedules(SCHEDULED, boto3.client("scheduler", region_name=world.REGION))


def published(storage, head_of, at):
    """Return a storage whose object was written at a time; moto knows only now."""
    made = type("Dated", (), {"get_bytes": storage.get_bytes})()
    made.head = lambda location: {**storage.head(location), "LastModified": at}
    return made


def test_a_project_gets_its_records_and_group_any_number_of_times(aws, publish):
    content = {"name": "credit", "data": {"label": "y"}, "approval": "automatic"}
    key = publish(content, commit="abc", publisher="me")
    version = key.split("/")[2]
    for _ in range(3):
        fact = reconcile(aws, key)
        expected = ProjectPublished(model="credit", project_version=version, commit="abc")
        assert fact == expected
    record = find_model(aws.ledger, "credit")
    assert (record.project_version, record.approval) == (version, "automatic")
    assert (record.endpoint, record.package_group) == ("headrace-credit", "headrace-credit")
    project = aws.ledger.get(ProjectRecord, Key(pk="model#credit", sk=f"project#{version}"))
    assert (project.status, project.commit, project.publisher) == ("published", "abc", "me")
    groups = aws.sagemaker.list_model_package_groups()["ModelPackageGroupSummaryList"]
    assert [g["ModelPackageGroupName"] for g in groups] == ["headrace-credit"]
    assert load_definition(aws.storage, aws.settings, "credit", version).data.label == "y"


def test_a_refused_project_leaves_the_model_as_it_was(aws, publish):
    good = publish({"name": "credit", "data": {"label": "y"}})
    reconcile(aws, good)
    before = find_model(aws.ledger, "credit")
    bad = publish({"name": "credit", "data": {"lable": "y"}})
    fact = reconcile(aws, bad)
    assert isinstance(fact, ProjectRefused)
    assert any("data.lable" in reason for reason in fact.reasons)
    assert find_model(aws.ledger, "credit") == before
    version = bad.split("/")[2]
    record = aws.ledger.get(ProjectRecord, Key(pk="model#credit", sk=f"project#{version}"))
    assert (record.status, record.reasons) == ("refused", fact.reasons)


def test_an_older_publication_handled_late_replaces_nothing(aws, publish):
    from datetime import UTC, datetime

    older = publish({"name": "credit", "data": {"label": "old"}})
    newer = publish({"name": "credit", "data": {"label": "new"}})
    reconcile(aws, newer, published(aws.storage, newer, datetime(2026, 11, 2, tzinfo=UTC)))
    reconcile(aws, older, published(aws.storage, older, datetime(2026, 11, 1, tzinfo=UTC)))
    assert find_model(aws.ledger, "credit").project_version == newer.split("/")[2]
    # Publishing the old one again is a newer publication.
    reconcile(aws, older, published(aws.storage, older, datetime(2026, 11, 3, tzinfo=UTC)))
    assert find_model(aws.ledger, "credit").project_version == older.split("/")[2]


def test_other_objects_are_no_projects(aws):
    with pytest.raises(ProjectError, match="not a published project"):
        reconcile(aws, "projects/readme.txt")


def test_a_failure_of_sagemaker_is_not_taken_for_a_group_that_exists(aws, publish):
    key = publish({"name": "credit", "data": {"label": "y"}})
    fault = aws.sagemaker.exceptions.ClientError(
        {"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "CreateModelPackageGroup"
    )

    def refuse(**_):
        raise fault

    sagemaker = SimpleNamespace(
        create_model_package_group=refuse, exceptions=aws.sagemaker.exceptions
    )
    with pytest.raises(type(fault), match="AccessDenied"):
        reconcile_project(
            Location(DATA, key), aws.settings, aws.storage, aws.ledger, sagemaker, None, print
        )
    assert find_model(aws.ledger, "credit") is None


def test_an_alarm_that_does_not_exist_refuses_the_project(aws, publish):
    """An alarm nobody made would undo no deployment; the reason names it."""
    alarms = {"names": ["orders-fell"]}
    key = publish({"name": "credit", "data": {"label": "y"}, "deployment": {"alarms": alarms}})
    fact = reconcile(aws, key)
    assert isinstance(fact, ProjectRefused)
    assert "there is no CloudWatch alarm 'orders-fell'" in fact.reasons[0]
    boto3.client("cloudwatch", region_name=world.REGION).put_metric_alarm(
        AlarmName="orders-fell",
        Namespace="shop",
        MetricName="orders",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="LessThanThreshold",
    )
    assert isinstance(reconcile(aws, key), ProjectPublished)


def schedule(aws):
    """The schedule of the model's monitoring, or None."""
    found = aws.scheduler.list_schedules(GroupName="headrace-models")["Schedules"]
    names = [each["Name"] for each in found]
    assert names in ([], ["monitor-credit"])
    return aws.scheduler.get_schedule(Name=names[0], GroupName="headrace-models") if names else None


def test_a_model_is_looked_at_as_often_as_its_project_says(aws, publish):
    content = {"name": "credit", "data": {"label": "y"}}
    key = publish(content)
    for _ in range(2):
        reconcile(aws, key)
    made = schedule(aws)
    assert made["ScheduleExpression"] == "rate(1 hour)"
    assert made["FlexibleTimeWindow"] == {"Mode": "OFF"}
    assert made["Target"]["Arn"] == MACHINE
    assert json.loads(made["Target"]["Input"]) == {
        "model": "credit",
        "at": "<aws.scheduler.scheduled-time>",
    }
    assert made["Target"]["DeadLetterConfig"]["Arn"].endswith("dead-letters")

    reconcile(aws, publish(content | {"monitoring": {"schedule": "10m"}}))
    assert schedule(aws)["ScheduleExpression"] == "rate(10 minutes)"
    reconcile(aws, publish(content | {"deployment": {"capture_percent": 0}}))
    assert schedule(aws) is None
    reconcile(aws, publish(content | {"deployment": {"capture_percent": 0}, "approval": "manual"}))


def test_the_schedule_is_that_of_the_project_in_force_whoever_is_last(aws, publish):
    """An older publication makes its schedule late: it looks again, and finds the newer one."""
    from datetime import UTC, datetime

    older = publish({"name": "credit", "data": {"label": "y"}, "monitoring": {"schedule": "2h"}})
    newer = publish({"name": "credit", "data": {"label": "y"}, "monitoring": {"schedule": "3h"}})
    reconcile(aws, older, published(aws.storage, older, datetime(2026, 11, 1, tzinfo=UTC)))
    real, interrupted = schedules().ensure_schedule, []

    def ensure(*arguments):
        if not interrupted:
            interrupted.append(True)
            reconcile(aws, newer, published(aws.storage, newer, datetime(2026, 11, 2, tzinfo=UTC)))
        real(*arguments)

    slow = SimpleNamespace(ensure_schedule=ensure, remove_schedule=schedules().remove_schedule)
    reconcile_project(
        Location(DATA, older),
        aws.settings,
        published(aws.storage, older, datetime(2026, 11, 1, tzinfo=UTC)),
        aws.ledger,
        aws.sagemaker,
        boto3.client("cloudwatch", region_name=world.REGION),
        partial(make_schedules, settings=SCHEDULED, schedules=slow),
    )
    assert schedule(aws)["ScheduleExpression"] == "rate(3 hours)"


def test_a_model_trains_when_its_schedule_says_so(aws, publish):
    content = {"name": "credit", "data": {"label": "y"}}
    reconcile(aws, publish(content | {"retraining": {"schedule": "weekly"}}))
    made = aws.scheduler.get_schedule(Name="retrain-credit", GroupName="headrace-models")
    assert made["ScheduleExpression"] == "cron(0 3 ? * MON *)"
    assert made["Target"]["Arn"] == START_RUN
    fact = json.loads(made["Target"]["Input"])
    assert fact["detail-type"] == "RetrainingRequested"
    asked = RetrainingRequested.model_validate(fact["detail"])
    assert (asked.by, asked.reason) == ("schedule", "the schedule: weekly")
    assert asked.request == "schedule-<aws.scheduler.scheduled-time>"
    reconcile(aws, publish(content))
    with pytest.raises(aws.scheduler.exceptions.ResourceNotFoundException):
        aws.scheduler.get_schedule(Name="retrain-credit", GroupName="headrace-models")


def test_a_rate_is_of_whole_minutes():
    wanted = {60: "rate(1 minute)", 90: "rate(2 minutes)", 5400: "rate(90 minutes)"}
    wanted |= {3600: "rate(1 hour)", 7200: "rate(2 hours)", 86400: "rate(1 day)"}
    assert {seconds: rate(seconds) for seconds in wanted} == wanted


@pytest.mark.parametrize(("length", "fits"), [(56, True), (57, False)])
def test_names_that_would_be_cut_are_refused(aws, publish, length, fits):
    """Approvals and alarms find their model by the names of its group and its endpoint."""
    aws.settings = aws.settings.model_copy(update={"stack": "s" * length})
    fact = reconcile(aws, publish({"name": "credit", "data": {"label": "y"}}))
    assert isinstance(fact, ProjectPublished) is fits
    if not fits:
        assert "'credit' is 1 characters too long" in fact.reasons[0]

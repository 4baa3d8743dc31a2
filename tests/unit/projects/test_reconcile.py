import json
from types import SimpleNamespace

import boto3
import pytest

from headrace.aws.projects import find_model, load_definition, reconcile_project
from headrace.aws.storage import Location
from headrace.errors import ProjectError
from headrace.events import ProjectPublished, ProjectRefused
from headrace.projects import archive_key, build_archive
from headrace.records import Key, ProjectRecord
from tests.unit import world

DATA = "headrace-data"


@pytest.fixture
def aws(monkeypatch):
    with world.aws(monkeypatch) as made:
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
    )


def published(storage, head_of, at):
    """Return a storage whose object was written at a time; moto knows only now."""
    return SimpleNamespace(
        head=lambda location: {**storage.head(location), "LastModified": at},
        get_bytes=storage.get_bytes,
    )


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
            Location(DATA, key), aws.settings, aws.storage, aws.ledger, sagemaker, None
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


@pytest.mark.parametrize(("length", "fits"), [(56, True), (57, False)])
def test_names_that_would_be_cut_are_refused(aws, publish, length, fits):
    """Approvals and alarms find their model by the names of its group and its endpoint."""
    aws.settings = aws.settings.model_copy(update={"stack": "s" * length})
    fact = reconcile(aws, publish({"name": "credit", "data": {"label": "y"}}))
    assert isinstance(fact, ProjectPublished) is fits
    if not fits:
        assert "'credit' is 1 characters too long" in fact.reasons[0]

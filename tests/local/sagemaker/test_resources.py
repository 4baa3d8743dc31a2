"""Describe, List, Delete and tags as every kind does them, by the SageMaker API reference."""

import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from local.sagemaker import SageMaker, ServiceError
from local.sagemaker.resources import paginate
from tests.local.sagemaker.conftest import ROLE, SCRIPT, MemoryCloud

ARN = "arn:aws:sagemaker:us-east-1:000000000000"


def group(service: SageMaker, name: str, **members: Any) -> str:
    request = {"ModelPackageGroupName": name, **members}
    return service.call("CreateModelPackageGroup", request)["ModelPackageGroupArn"]


def model(service: SageMaker, name: str) -> None:
    container = {"Image": SCRIPT}
    request = {"ModelName": name, "ExecutionRoleArn": ROLE, "PrimaryContainer": container}
    service.call("CreateModel", request)


def names(service: SageMaker, **request: Any) -> list[str]:
    listed = service.call("ListModels", request)["Models"]
    return [entry["ModelName"] for entry in listed]


@pytest.mark.parametrize(
    ("operation", "request_", "message"),
    [
        ("DescribeModel", {"ModelName": "m"}, f'Could not find model "{ARN}:model/m".'),
        (
            "DescribeEndpointConfig",
            {"EndpointConfigName": "c"},
            f'Could not find endpoint configuration "{ARN}:endpoint-config/c".',
        ),
        (
            "CreateEndpoint",
            {"EndpointName": "e", "EndpointConfigName": "c"},
            f'Could not find endpoint configuration "{ARN}:endpoint-config/c".',
        ),
        ("DeleteEndpoint", {"EndpointName": "e"}, f'Could not find endpoint "{ARN}:endpoint/e".'),
        (
            "DescribeModelPackageGroup",
            {"ModelPackageGroupName": "g"},
            f"ModelPackageGroup {ARN}:model-package-group/g does not exist.",
        ),
        ("ListTags", {"ResourceArn": f"{ARN}:model/m"}, f"Could not find resource with ARN {ARN}"),
    ],
)
def test_absence(
    service: SageMaker, operation: str, request_: dict[str, Any], message: str
) -> None:
    with pytest.raises(ServiceError) as refused:
        service.call(operation, request_)
    assert refused.value.code == "ValidationException"
    assert refused.value.message.startswith(message)


def test_duplicates(service: SageMaker) -> None:
    model(service, "m")
    with pytest.raises(ServiceError, match="Cannot create already existing model") as refused:
        model(service, "m")
    assert refused.value.code == "ValidationException"


@pytest.mark.parametrize(
    ("noun", "message"),
    [
        ("Experiment", "Experiment NAME already exists"),
        ("TrialComponent", "TrialComponent NAME already exists"),
    ],
)
def test_names_that_aws_calls_case_insensitive(service: SageMaker, noun: str, message: str) -> None:
    """API_CreateExperiment: "unique in your account and is not case-sensitive"."""
    service.call(f"Create{noun}", {f"{noun}Name": "name"})
    with pytest.raises(ServiceError, match=message):
        service.call(f"Create{noun}", {f"{noun}Name": "NAME"})
    assert service.call(f"Describe{noun}", {f"{noun}Name": "name"})["DisplayName"] == "name"
    model(service, "model")
    model(service, "MODEL")  # nothing is said of the case of models' names


def test_an_absent_tuning_job(service: SageMaker) -> None:
    """AWS's Kubernetes operators go by this code and these words."""
    with pytest.raises(ServiceError, match=r"^Amazon SageMaker can't find a tuning job") as refused:
        service.call(
            "DescribeHyperParameterTuningJob", {"HyperParameterTuningJobName": "never-made"}
        )
    assert refused.value.code == "ResourceNotFound"


def test_list_filters_sorts_and_pages(service: SageMaker) -> None:
    for name in ("beta", "alpha-one", "gamma", "alpha-two"):
        model(service, name)
    assert names(service) == ["alpha-two", "gamma", "alpha-one", "beta"], "newest first"
    assert names(service, SortOrder="Ascending", SortBy="Name") == sorted(names(service))
    assert names(service, NameContains="ALPHA") == ["alpha-two", "alpha-one"]
    when = service.call("DescribeModel", {"ModelName": "alpha-one"})["CreationTime"]
    assert names(service, CreationTimeAfter=when) == ["alpha-two", "gamma"]
    assert names(service, CreationTimeBefore=when) == ["beta"]
    first = service.call("ListModels", {"MaxResults": 3})
    model(service, "made-between-the-pages")
    second = service.call("ListModels", {"MaxResults": 3, "NextToken": first["NextToken"]})
    assert [entry["ModelName"] for entry in second["Models"]] == ["beta"]
    assert "NextToken" not in second
    for token in ("made up", "NQ==", "WyJhIiwgMV0="):  # the last two: 5 and ["a", 1]
        with pytest.raises(ServiceError, match="NextToken"):
            names(service, NextToken=token)


def test_ten_a_page_unless_told(service: SageMaker) -> None:
    """API_ListEndpoints: "This value defaults to 10"."""
    for number in range(11):
        model(service, f"m-{number}")
    assert len(names(service)) == 10


@given(
    st.lists(st.integers(0, 5), max_size=20),
    st.integers(1, 7),
    st.booleans(),
    st.lists(st.integers(0, 19), max_size=5),
)
@settings(deadline=None)
def test_pages_show_every_row_once(
    values: list[int], size: int, descending: bool, deleted: list[int]
) -> None:
    """Rows deleted between two pages shift nothing."""
    rows = [{"value": value, "id": number} for number, value in enumerate(values)]
    position = lambda row: [row["value"], row["id"]]  # noqa: E731
    shown, token = [], ""
    for page in itertools.count():
        part, token = paginate(rows, {"MaxResults": size, "NextToken": token}, position, descending)
        shown += [row["id"] for row in part]
        if not token:
            break
        if page == 0:
            gone = {number for number in deleted if number in shown} | {shown[-1]}
            rows = [row for row in rows if row["id"] not in gone]
    assert len(shown) == len(values)
    assert (
        sorted(
            shown,
            key=lambda number: position({"value": values[number], "id": number}),
            reverse=descending,
        )
        == shown
    )


def test_tags(service: SageMaker) -> None:
    arn = group(service, "g", Tags=[{"Key": "team", "Value": "risk"}])
    service.call(
        "AddTags",
        {
            "ResourceArn": arn,
            "Tags": [{"Key": "team", "Value": "fraud"}, {"Key": "cost", "Value": "7"}],
        },
    )
    assert service.call("ListTags", {"ResourceArn": arn})["Tags"] == [
        {"Key": "cost", "Value": "7"},
        {"Key": "team", "Value": "fraud"},
    ]
    service.call("DeleteTags", {"ResourceArn": arn, "TagKeys": ["cost", "never set"]})
    assert service.call("ListTags", {"ResourceArn": arn})["Tags"] == [
        {"Key": "team", "Value": "fraud"}
    ]
    many = [{"Key": str(number), "Value": ""} for number in range(50)]
    with pytest.raises(ServiceError, match="maximum number of tags"):
        service.call("AddTags", {"ResourceArn": arn, "Tags": many})
    with pytest.raises(ServiceError, match="aws: prefixed tag key names are not allowed"):
        service.call(
            "AddTags", {"ResourceArn": arn, "Tags": [{"Key": "aws:cloud", "Value": "mine"}]}
        )


def test_arns_serve_as_names_where_aws_takes_them(service: SageMaker) -> None:
    arn = group(service, "g")
    described = service.call("DescribeModelPackageGroup", {"ModelPackageGroupName": arn})
    assert described["ModelPackageGroupName"] == "g"


def test_one_of_many_concurrent_creators_wins(service: SageMaker) -> None:
    def create(_: int) -> bool:
        try:
            group(service, "g")
        except ServiceError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(create, range(16))) == 1


def test_state_is_on_disk_when_a_call_returns(
    service: SageMaker, tmp_path: Any, cloud: MemoryCloud
) -> None:
    before = time.time()
    arn = group(service, "g", ModelPackageGroupDescription="kept")
    again = SageMaker(tmp_path / "state", cloud)
    described = again.call("DescribeModelPackageGroup", {"ModelPackageGroupName": "g"})
    assert described["ModelPackageGroupArn"] == arn
    assert described["ModelPackageGroupDescription"] == "kept"
    assert before <= described["CreationTime"] <= time.time()


@pytest.mark.parametrize(
    ("operation", "request_", "arn"),
    [
        ("CreateTrainingJob", {"TrainingJobName": "t"}, f"{ARN}:training-job/t"),
        ("StopProcessingJob", {"ProcessingJobName": "p"}, f"{ARN}:processing-job/p"),
        ("DescribeEndpointConfig", {"EndpointConfigName": "c"}, f"{ARN}:endpoint-config/c"),
        ("InvokeEndpoint", {"EndpointName": "e"}, f"{ARN}:endpoint/e"),
        ("UpdateModelPackage", {"ModelPackageArn": "arn:x"}, "arn:x"),
        ("CreateModelPackage", {"ModelPackageGroupName": "g"}, f"{ARN}:model-package/g/*"),
        ("AddTags", {"ResourceArn": "arn:x"}, "arn:x"),
        ("ListModels", {}, "*"),
        ("DescribeModel", {"ModelName": 7}, "*"),
    ],
)
def test_resource_of_an_operation(
    service: SageMaker, operation: str, request_: dict[str, Any], arn: str
) -> None:
    assert service.resource_arn(operation, request_) == arn


VARIANT = {
    "VariantName": "v",
    "ModelName": "m",
    "InitialInstanceCount": 1,
    "InstanceType": "ml.m5.large",
}
ADDITIONAL = {
    "ChannelName": "more",
    "S3DataSource": {"S3Uri": "s3://b/k", "S3DataType": "S3Object", "CompressionType": "None"},
}


@pytest.mark.parametrize(
    ("operation", "changes"),
    [
        (
            "CreateModel",
            {"PrimaryContainer": {"Image": SCRIPT, "AdditionalModelDataSources": [ADDITIONAL]}},
        ),
        (
            "CreateEndpointConfig",
            {"ProductionVariants": [{**VARIANT, "ManagedInstanceScaling": {"Status": "ENABLED"}}]},
        ),
        (
            "CreateEndpointConfig",
            {
                "AsyncInferenceConfig": {
                    "OutputConfig": {
                        "S3OutputPath": "s3://b/k",
                        "NotificationConfig": {
                            "IncludeInferenceResponseIn": ["SUCCESS_NOTIFICATION_TOPIC"]
                        },
                    }
                }
            },
        ),
    ],
)
def test_what_would_not_be_done_is_refused(
    service: SageMaker, operation: str, changes: dict[str, Any]
) -> None:
    """Accepting it and doing less would be a silent success."""
    model(service, "m")
    config = {"EndpointConfigName": "c", "ProductionVariants": [VARIANT]}
    service.call("CreateEndpointConfig", config)
    requests = {
        "CreateModel": {"ModelName": "n", "ExecutionRoleArn": ROLE},
        "CreateEndpointConfig": {**config, "EndpointConfigName": "d"},
    }
    with pytest.raises(ServiceError, match="is not implemented locally") as refused:
        service.call(operation, {**requests[operation], **changes})
    assert (refused.value.code, refused.value.status) == ("NotImplementedLocally", 501)


def test_instances_of_an_endpoint_are_limited(service: SageMaker) -> None:
    model(service, "m")
    variants = [{**VARIANT, "InitialInstanceCount": 9}]
    config = {"EndpointConfigName": "c", "ProductionVariants": variants}
    service.call("CreateEndpointConfig", config)
    with pytest.raises(ServiceError, match="HEADRACE_LOCAL_INSTANCES") as refused:
        service.call("CreateEndpoint", {"EndpointName": "e", "EndpointConfigName": "c"})
    assert refused.value.code == "ResourceLimitExceeded"

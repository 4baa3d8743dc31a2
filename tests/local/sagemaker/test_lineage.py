"""Lineage: entities, associations, queries, and what AWS adds by itself.

"Lineage tracking entities", "Amazon SageMaker-created tracking entities", "Querying lineage
entities", API_QueryLineage, API_CreateTrialComponent.
"""

import itertools
from typing import Any

import pytest

from local.sagemaker import SageMaker, ServiceError
from tests.local.conftest import LocalAws, wait_until
from tests.local.sagemaker.conftest import BUCKET, ROLE, SCRIPT, Clients


def artifact(service: SageMaker, uri: str, kind: str = "DataSet", **members: Any) -> str:
    request = {"Source": {"SourceUri": uri}, "ArtifactType": kind, **members}
    return service.call("CreateArtifact", request)["ArtifactArn"]


def named(service: SageMaker, kind: str, name: str, of: str = "s3://b/x", type_: str = "T") -> str:
    request = {f"{kind}Name": name, "Source": {"SourceUri": of}, f"{kind}Type": type_}
    return service.call(f"Create{kind}", request)[f"{kind}Arn"]


def associate(service: SageMaker, *arns: str, kind: str = "ContributedTo") -> None:
    for source, destination in itertools.pairwise(arns):
        ends = {"SourceArn": source, "DestinationArn": destination, "AssociationType": kind}
        service.call("AddAssociation", ends)


def test_an_artifact_is_one_for_each_source(service: SageMaker) -> None:
    first = artifact(service, "s3://b/data", ArtifactName="data", Properties={"a": "1", "b": "2"})
    assert artifact(service, "s3://b/data", ArtifactName="other") == first
    assert artifact(service, "s3://b/more") != first
    update = {"ArtifactArn": first, "Properties": {"c": "3", "d": "4"}, "PropertiesToRemove": ["d"]}
    service.call("UpdateArtifact", update)
    found = service.call("DescribeArtifact", {"ArtifactArn": first})
    assert (found["ArtifactName"], found["Properties"]) == ("data", {"c": "3"})
    by_source = service.call("ListArtifacts", {"SourceUri": "s3://b/data"})["ArtifactSummaries"]
    assert [each["ArtifactArn"] for each in by_source] == [first]
    assert len(service.call("ListArtifacts", {"ArtifactType": "DataSet"})["ArtifactSummaries"]) == 2
    service.call("DeleteArtifact", {"Source": {"SourceUri": "s3://b/data"}})
    with pytest.raises(ServiceError) as gone:
        service.call("DescribeArtifact", {"ArtifactArn": first})
    assert gone.value.code == "ResourceNotFound"


def test_actions_and_contexts(service: SageMaker) -> None:
    named(service, "Action", "deploy", of="arn:endpoint", type_="ModelDeployment")
    update = {"ActionName": "deploy", "Status": "Completed", "Description": "done"}
    service.call("UpdateAction", update)
    found = service.call("DescribeAction", {"ActionName": "deploy"})
    assert (found["Status"], found["Description"]) == ("Completed", "done")
    named(service, "Context", "endpoint_1", type_="Endpoint")
    with pytest.raises(ServiceError, match="already exists"):
        named(service, "Context", "endpoint_1")
    by_type = service.call("ListContexts", {"ContextType": "Endpoint"})["ContextSummaries"]
    assert [each["ContextName"] for each in by_type] == ["endpoint_1"]
    assert not service.call("ListActions", {"CreatedBefore": 1.0})["ActionSummaries"]


def test_associations(service: SageMaker) -> None:
    data, action = artifact(service, "s3://b/data"), named(service, "Action", "act")
    associate(service, data, action)
    [found] = service.call("ListAssociations", {"SourceArn": data})["AssociationSummaries"]
    assert (found["SourceType"], found["DestinationName"]) == ("DataSet", "act")
    assert service.call("ListAssociations", {"DestinationType": "Action"})["AssociationSummaries"]
    other = {"AssociationType": "Produced"}
    assert not service.call("ListAssociations", other)["AssociationSummaries"]
    with pytest.raises(ServiceError, match="has associations"):
        service.call("DeleteAction", {"ActionName": "act"})
    ends = {"SourceArn": data, "DestinationArn": action}
    service.call("DeleteAssociation", ends)
    with pytest.raises(ServiceError) as missing:
        service.call("DeleteAssociation", ends)
    assert missing.value.code == "ResourceNotFound"
    service.call("DeleteAction", {"ActionName": "act"})
    with pytest.raises(ServiceError, match="does not exist"):
        associate(service, data, action)


@pytest.fixture
def graph(service: SageMaker) -> dict[str, str]:
    """data -> action -> model -> endpoint, and other -> model."""
    arns = {
        "data": artifact(service, "s3://b/data", Properties={"team": "risk"}),
        "other": artifact(service, "s3://b/other"),
        "model": artifact(service, "s3://b/model", "Model"),
        "action": named(service, "Action", "act"),
        "endpoint": named(service, "Context", "end", type_="Endpoint"),
    }
    associate(service, arns["data"], arns["action"], arns["model"], arns["endpoint"])
    associate(service, arns["other"], arns["model"])
    return arns


@pytest.mark.parametrize(
    ("start", "request_", "expected"),
    [
        ("model", {"Direction": "Ascendants"}, {"data", "other", "action"}),
        ("model", {"Direction": "Descendants"}, {"endpoint"}),
        ("model", {}, {"data", "other", "action", "endpoint"}),
        ("action", {}, {"data", "model", "endpoint"}),
        ("endpoint", {"Direction": "Ascendants", "MaxDepth": 2}, {"model", "other", "action"}),
        ("endpoint", {"Filters": {"Types": ["DataSet"]}}, {"data", "other"}),
        ("endpoint", {"Filters": {"LineageTypes": ["Action"]}}, {"action"}),
        ("endpoint", {"Filters": {"Properties": {"team": "risk", "x": "y"}}}, {"data"}),
        ("endpoint", {"Filters": {"CreatedBefore": 1.0}}, set()),
    ],
)
def test_queries(
    service: SageMaker,
    graph: dict[str, str],
    start: str,
    request_: dict[str, Any],
    expected: set[str],
) -> None:
    found = service.call("QueryLineage", {"StartArns": [graph[start]], **request_})
    assert {each["Arn"] for each in found["Vertices"]} == {graph[name] for name in expected}
    assert found["Edges"] == []


def test_edges_come_with_the_entities_on_the_way(service: SageMaker, graph: dict[str, str]) -> None:
    request = {
        "StartArns": [graph["endpoint"]],
        "Direction": "Ascendants",
        "IncludeEdges": True,
        "Filters": {"Properties": {"team": "risk"}},
    }
    found = service.call("QueryLineage", request)
    assert [each["Arn"] for each in found["Vertices"]] == [
        graph[name] for name in ("model", "action", "data")
    ], "nearest first"
    names = {arn: name for name, arn in graph.items()}
    ends = {(names[edge["SourceArn"]], names[edge["DestinationArn"]]) for edge in found["Edges"]}
    assert ends == {("data", "action"), ("action", "model"), ("model", "endpoint")}
    pages = []
    token: dict[str, str] = {}
    while True:
        page = service.call(
            "QueryLineage", {"StartArns": [graph["endpoint"]], "MaxResults": 2, **token}
        )
        pages.append([names[each["Arn"]] for each in page["Vertices"]])
        if "NextToken" not in page:
            break
        token = {"NextToken": page["NextToken"]}
    assert [len(page) for page in pages] == [2, 2]
    assert pages[0][0] == "model"


def test_experiments(service: SageMaker) -> None:
    service.call("CreateExperiment", {"ExperimentName": "risk"})
    service.call("CreateTrial", {"TrialName": "one", "ExperimentName": "risk"})
    for name in ("fit", "score"):
        request = {"TrialComponentName": name, "Parameters": {"depth": {"NumberValue": 6.0}}}
        service.call("CreateTrialComponent", request)
    both = {"TrialComponentName": "fit", "TrialName": "one"}
    service.call("AssociateTrialComponent", both)
    found = service.call("ListTrialComponents", {"ExperimentName": "risk"})
    assert [each["TrialComponentName"] for each in found["TrialComponentSummaries"]] == ["fit"]
    update = {
        "TrialComponentName": "fit",
        "Parameters": {"rounds": {"NumberValue": 9.0}},
        "ParametersToRemove": ["depth"],
        "Status": {"PrimaryStatus": "Completed"},
    }
    service.call("UpdateTrialComponent", update)
    component = service.call("DescribeTrialComponent", {"TrialComponentName": "fit"})
    assert component["Parameters"] == {"rounds": {"NumberValue": 9.0}}
    with pytest.raises(ServiceError, match="Disassociate"):
        service.call("DeleteTrialComponent", {"TrialComponentName": "fit"})
    with pytest.raises(ServiceError, match="has trial components"):
        service.call("DeleteTrial", {"TrialName": "one"})
    with pytest.raises(ServiceError, match="has trials"):
        service.call("DeleteExperiment", {"ExperimentName": "risk"})
    service.call("DisassociateTrialComponent", both)
    for operation, member in (
        ("DeleteTrialComponent", both),
        ("DeleteTrial", both),
        ("DeleteExperiment", {"ExperimentName": "risk"}),
    ):
        service.call(operation, member)


def test_metrics_of_a_component(service: SageMaker) -> None:
    arn = service.call("CreateTrialComponent", {"TrialComponentName": "fit"})["TrialComponentArn"]
    data = [
        {"MetricName": "loss", "Timestamp": 60.0 + step, "Step": step // 2, "Value": float(step)}
        for step in range(4)
    ]
    service.call("BatchPutMetrics", {"TrialComponentName": "fit", "MetricData": data})
    component = service.call("DescribeTrialComponent", {"TrialComponentName": "fit"})
    [loss] = component["Metrics"]
    assert (loss["Count"], loss["Min"], loss["Max"], loss["Avg"], loss["Last"]) == (4, 0, 3, 1.5, 3)
    query = {"MetricName": "loss", "ResourceArn": arn, "MetricStat": "Avg"}
    by_step = {**query, "Period": "IterationNumber", "XAxisType": "IterationNumber"}
    by_minute = {**query, "Period": "OneMinute", "XAxisType": "Timestamp"}
    stranger = {**by_step, "ResourceArn": f"{arn}-other"}
    asked = {"MetricQueries": [by_step, by_minute, stranger]}
    answers = service.call("BatchGetMetrics", asked)["MetricQueryResults"]
    assert [each["Status"] for each in answers] == ["Complete", "Complete", "ValidationError"]
    assert (answers[0]["XAxisValues"], answers[0]["MetricValues"]) == ([0, 1], [0.5, 2.5])
    assert (answers[1]["XAxisValues"], answers[1]["MetricValues"]) == ([60], [1.5])


def test_approvals_of_a_package_are_actions(service: SageMaker) -> None:
    service.call("CreateModelPackageGroup", {"ModelPackageGroupName": "credit"})
    container = {"Image": SCRIPT, "ModelDataUrl": "s3://b/model.tar.gz"}
    package = service.call(
        "CreateModelPackage",
        {
            "ModelPackageGroupName": "credit",
            "InferenceSpecification": {"Containers": [container]},
        },
    )["ModelPackageArn"]
    for change in ({"ModelApprovalStatus": "Approved"}, {"ApprovalDescription": "twice"}):
        service.call("UpdateModelPackage", {"ModelPackageArn": package, **change})
    [found] = service.call("ListArtifacts", {"SourceUri": package})["ArtifactSummaries"]
    around = service.call(
        "ListAssociations", {"DestinationArn": found["ArtifactArn"], "SortOrder": "Ascending"}
    )["AssociationSummaries"]
    assert [each["SourceType"] for each in around] == ["Image", "Model", "Approval", "Approval"]
    assert "credit-1-Approved-" in around[-1]["SourceName"]
    [group] = service.call("ListAssociations", {"SourceArn": found["ArtifactArn"]})[
        "AssociationSummaries"
    ]
    assert (group["DestinationType"], group["AssociationType"]) == ("ModelGroup", "AssociatedWith")


def test_from_data_to_endpoint(sagemaker_aws: LocalAws, clients: Clients, unique: str) -> None:
    """The real thing: what a training job, a package and an endpoint leave behind."""
    sagemaker = clients.sagemaker
    data = clients.put(f"lineage/{unique}/train.csv", "1,2\n")
    sagemaker.create_experiment(ExperimentName=unique)
    sagemaker.create_trial(TrialName=unique, ExperimentName=unique)
    source = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": data}}
    clients.train(
        unique,
        InputDataConfig=[{"ChannelName": "train", "DataSource": source}],
        ExperimentConfig={"TrialName": unique, "TrialComponentDisplayName": "fit"},
    )
    made = clients.trained(unique)["ModelArtifacts"]["S3ModelArtifacts"]
    component = sagemaker.describe_trial_component(TrialComponentName=f"{unique}-aws-training-job")
    assert component["Source"]["SourceType"] == "SageMakerTrainingJob"
    assert component["Status"]["PrimaryStatus"] == "Completed"
    assert component["Parameters"]["behaviour"] == {"StringValue": "succeed"}
    sagemaker_aws.client("sagemaker-metrics").batch_put_metrics(
        TrialComponentName=f"{unique}-aws-training-job",
        MetricData=[{"MetricName": "loss", "Timestamp": 1700000000, "Step": 1, "Value": 0.5}],
    )
    component = sagemaker.describe_trial_component(TrialComponentName=f"{unique}-aws-training-job")
    assert 0.5 in [metric["Last"] for metric in component["Metrics"]]
    listed = sagemaker.list_trial_components(TrialName=unique)["TrialComponentSummaries"]
    assert [each["DisplayName"] for each in listed] == ["fit"]

    sagemaker.create_model_package_group(ModelPackageGroupName=unique)
    package = sagemaker.create_model_package(
        ModelPackageGroupName=unique,
        ModelApprovalStatus="Approved",
        InferenceSpecification={"Containers": [{"Image": SCRIPT, "ModelDataUrl": made}]},
    )["ModelPackageArn"]
    container = {"ModelPackageName": package}
    sagemaker.create_model(ModelName=unique, ExecutionRoleArn=ROLE, PrimaryContainer=container)
    clients.deploy(unique, clients.config(unique, ("main", unique, 1.0)))

    endpoint = sagemaker.describe_endpoint(EndpointName=unique)["EndpointArn"]
    [context] = wait_until(
        lambda: sagemaker.list_contexts(SourceUri=endpoint)["ContextSummaries"],
        what="the endpoint's context",
    )
    found = sagemaker.query_lineage(
        StartArns=[context["ContextArn"]], Direction="Ascendants", IncludeEdges=True
    )
    met = {(each["LineageType"], each["Type"]) for each in found["Vertices"]}
    assert met == {
        ("Action", "ModelDeployment"),
        ("Action", "Approval"),
        ("Artifact", "Model"),
        ("Artifact", "Image"),
        ("Artifact", "DataSet"),
        ("TrialComponent", "TrainingJob"),
    }
    [dataset] = sagemaker.list_artifacts(SourceUri=data)["ArtifactSummaries"]
    assert dataset["ArtifactArn"] in {each["Arn"] for each in found["Vertices"]}
    assert f"s3://{BUCKET}/" in made
    clients.delete(unique)

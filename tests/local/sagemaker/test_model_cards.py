"""Model cards: schema, versions, statuses.

"Amazon SageMaker Model Cards", API_UpdateModelCard, API_DescribeModelCard.
"""

import json
from typing import Any

import pytest

from local.sagemaker import SageMaker, ServiceError
from tests.local.sagemaker.conftest import MemoryCloud

CARD = {
    "model_overview": {"model_id": "arn:model", "model_name": "credit", "model_owner": "risk"},
    "intended_uses": {"purpose_of_model": "to lend", "risk_rating": "High"},
    "business_details": {"line_of_business": "loans"},
    "training_details": {
        "objective_function": {"function": {"function": "Maximize", "facet": "AUC"}},
        "training_job_details": {
            "training_metrics": [{"name": "auc", "value": 0.9}],
            "user_provided_hyper_parameters": [{"name": "depth", "value": "6"}],
        },
    },
    "evaluation_details": [
        {
            "name": "holdout",
            "metric_groups": [
                {
                    "name": "binary",
                    "metric_data": [
                        {"name": "recall", "type": "number", "value": 0.8},
                        {"name": "roc", "type": "linear_graph", "value": [[0, 0], [1, 1]]},
                        {"name": "confusion", "type": "matrix", "value": [[1, 2], [3, 4]]},
                    ],
                }
            ],
        }
    ],
    "additional_information": {"custom_details": {"reviewer": "ana"}},
}


def create(service: SageMaker, content: dict[str, Any] | str = CARD, name: str = "credit") -> None:
    text = content if isinstance(content, str) else json.dumps(content)
    request = {"ModelCardName": name, "Content": text, "ModelCardStatus": "Draft"}
    service.call("CreateModelCard", request)


def describe(service: SageMaker, **request: Any) -> dict[str, Any]:
    return service.call("DescribeModelCard", {"ModelCardName": "credit", **request})


def update(service: SageMaker, **change: Any) -> None:
    service.call("UpdateModelCard", {"ModelCardName": "credit", **change})


def test_content_makes_versions_and_a_status_does_not(
    service: SageMaker, cloud: MemoryCloud
) -> None:
    create(service)
    update(service, ModelCardStatus="Approved")
    changed = json.dumps({**CARD, "intended_uses": {"risk_rating": "Low"}})
    update(service, Content=changed)
    assert describe(service)["ModelCardVersion"] == 2
    assert json.loads(describe(service)["Content"])["intended_uses"] == {"risk_rating": "Low"}
    first = describe(service, ModelCardVersion=1)
    assert (json.loads(first["Content"]), first["ModelCardStatus"]) == (CARD, "Approved")
    listed = service.call("ListModelCardVersions", {"ModelCardName": "credit"})
    versions = [each["ModelCardVersion"] for each in listed["ModelCardVersionSummaryList"]]
    assert versions == [2, 1]
    page = {"ModelCardName": "credit", "MaxResults": 1, "SortOrder": "Ascending"}
    oldest = service.call("ListModelCardVersions", page)
    [summary] = oldest["ModelCardVersionSummaryList"]
    assert (summary["ModelCardVersion"], bool(oldest["NextToken"])) == (1, True)
    approved = {"ModelCardStatus": "Approved"}
    assert len(service.call("ListModelCards", approved)["ModelCardSummaries"]) == 1
    assert [kind for kind, _, _ in cloud.events] == ["SageMaker Model Card State Change"] * 3


def test_an_archived_card_is_not_edited(service: SageMaker) -> None:
    create(service)
    update(service, ModelCardStatus="Archived")
    with pytest.raises(ServiceError, match="is archived") as refused:
        update(service, Content=json.dumps(CARD))
    assert refused.value.code == "ConflictException"
    with pytest.raises(ServiceError, match="Exactly one of"):
        update(service, Content=json.dumps(CARD), ModelCardStatus="Draft")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ({"invented": {}}, "'invented' was unexpected"),
        ({"intended_uses": {"risk_rating": "Extreme"}}, r"at \$.intended_uses.risk_rating"),
        ({"model_overview": {"model_owner": "x" * 1025}}, "is too long"),
        ({"model_overview": {"model_version": 0}}, "less than the minimum"),
        ({"evaluation_details": [{"evaluation_observation": "good"}]}, "'name' is a required"),
        (
            {
                "evaluation_details": [
                    {
                        "name": "e",
                        "metric_groups": [
                            {
                                "name": "g",
                                "metric_data": [{"name": "m", "type": "matrix", "value": [["a"]]}],
                            }
                        ],
                    }
                ]
            },
            "not valid under any",
        ),
    ],
)
def test_content_is_held_to_the_schema(
    service: SageMaker, content: dict[str, Any] | str, message: str
) -> None:
    with pytest.raises(ServiceError, match=message):
        create(service, content)
    assert not service.call("ListModelCards", {})["ModelCardSummaries"]


def test_metadata_hides_the_rest(service: SageMaker) -> None:
    create(service)
    shown = json.loads(describe(service, IncludedData="MetadataOnly")["Content"])
    assert shown == {
        "model_overview": {"model_id": "arn:model", "model_name": "credit"},
        "intended_uses": {"risk_rating": "High"},
    }


def test_deletion_and_errors(service: SageMaker) -> None:
    create(service)
    with pytest.raises(ServiceError, match="already exists") as duplicate:
        create(service)
    assert duplicate.value.code == "ConflictException"
    with pytest.raises(ServiceError) as missing:
        describe(service, ModelCardVersion=9)
    assert missing.value.code == "ResourceNotFound"
    service.call("DeleteModelCard", {"ModelCardName": "credit"})
    with pytest.raises(ServiceError) as gone:
        service.call("ListModelCardVersions", {"ModelCardName": "credit"})
    assert gone.value.code == "ResourceNotFound"
    create(service)
    assert describe(service)["ModelCardVersion"] == 1
    export = {
        "ModelCardName": "credit",
        "ModelCardExportJobName": "pdf",
        "OutputConfig": {"S3OutputPath": "s3://bucket/cards"},
    }
    with pytest.raises(ServiceError, match="CreateModelCardExportJob is not implemented locally"):
        service.call("CreateModelCardExportJob", export)

"""Search, over feature groups, their features and other kinds (API_Search, API_Filter)."""

from typing import Any

import pytest

from local.sagemaker import SageMaker, ServiceError


@pytest.fixture
def groups(service: SageMaker) -> SageMaker:
    for name, team, extra in (
        ("people", "risk", "age"),
        ("shops", "risk", "size"),
        ("old", "x", "y"),
    ):
        service.call(
            "CreateFeatureGroup",
            {
                "FeatureGroupName": name,
                "RecordIdentifierFeatureName": "id",
                "EventTimeFeatureName": "at",
                "FeatureDefinitions": [
                    {"FeatureName": "id", "FeatureType": "String"},
                    {"FeatureName": "at", "FeatureType": "String"},
                    {"FeatureName": extra, "FeatureType": "Integral"},
                ],
                "OnlineStoreConfig": {"EnableOnlineStore": True},
                "Tags": [{"Key": "team", "Value": team}],
            },
        )
    return service


def found(service: SageMaker, resource: str = "FeatureGroup", **request: Any) -> list[str]:
    results = service.call("Search", {"Resource": resource, **request})["Results"]
    name = "FeatureName" if resource == "FeatureMetadata" else f"{resource}Name"
    return [each[resource][name] for each in results]


def where(name: str, value: str | None = None, how: str | None = None) -> dict[str, str]:
    given = {"Name": name, "Operator": how, "Value": value}
    return {key: text for key, text in given.items() if text is not None}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ({}, {"people", "shops", "old"}),
        ({"Filters": [where("FeatureGroupName", "peo", "Contains")]}, {"people"}),
        ({"Filters": [where("FeatureGroupName", "old, people", "In")]}, {"people", "old"}),
        ({"Filters": [where("Tags.team", "risk")]}, {"people", "shops"}),
        ({"Filters": [where("Tags.team", "risk", "NotEquals")]}, {"old"}),
        ({"Filters": [where("Tags.owner", how="NotExists")]}, {"people", "shops", "old"}),
        ({"Filters": [where("CreationTime", "2020-01-01T00:00:00", "LessThan")]}, set()),
        (
            {"Filters": [where("OnlineStoreConfig.EnableOnlineStore", "true")]},
            {"people", "shops", "old"},
        ),
        (
            {
                "NestedFilters": [
                    {
                        "NestedPropertyName": "FeatureDefinitions",
                        "Filters": [
                            where("FeatureDefinitions.FeatureName", "size"),
                            where("FeatureDefinitions.FeatureType", "Integral"),
                        ],
                    }
                ]
            },
            {"shops"},
        ),
        (
            {
                "Operator": "Or",
                "Filters": [where("FeatureGroupName", "old")],
                "SubExpressions": [{"Filters": [where("FeatureGroupName", "shops")]}],
            },
            {"old", "shops"},
        ),
    ],
)
def test_expressions(groups: SageMaker, expression: dict[str, Any], expected: set[str]) -> None:
    assert set(found(groups, SearchExpression=expression)) == expected


def test_features_order_and_pages(groups: SageMaker) -> None:
    integral = {"SearchExpression": {"Filters": [where("FeatureType", "Integral")]}}
    assert set(found(groups, "FeatureMetadata", **integral)) == {"age", "size", "y"}
    by_name = {"SortBy": "FeatureGroupName", "SortOrder": "Ascending"}
    assert found(groups, **by_name) == ["old", "people", "shops"]
    first = groups.call("Search", {"Resource": "FeatureGroup", "MaxResults": 2, **by_name})
    rest = {**by_name, "MaxResults": 2, "NextToken": first["NextToken"]}
    assert found(groups, **rest) == ["shops"]


def test_refusals(groups: SageMaker) -> None:
    with pytest.raises(ServiceError, match="not supported for the text property"):
        found(groups, SearchExpression={"Filters": [where("FeatureGroupName", "a", "LessThan")]})
    for refused in (
        {"Resource": "Project"},
        {"Resource": "FeatureGroup", "CrossAccountFilterOption": "CrossAccount"},
    ):
        with pytest.raises(ServiceError, match="is not implemented locally"):
            groups.call("Search", refused)

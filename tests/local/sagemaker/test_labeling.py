"""Work teams, refusals, and answers made labels: what of labeling needs no data."""

from pathlib import Path
from typing import Any

import pytest

from local.sagemaker import SageMaker, ServiceError
from local.sagemaker.labeling import items as states
from local.sagemaker.labeling.consolidation import estimate
from local.sagemaker.labeling.items import Items, TakenError
from tests.local.sagemaker.labeling import AWS_FUNCTION, TEAM, WORKTEAM, custom, request

# Teams, and what is refused


def test_workforce_and_teams(service: SageMaker) -> None:
    """API_CreateWorkteam, API_DeleteWorkforce and their kin."""
    assert service.call("CreateWorkteam", WORKTEAM) == {"WorkteamArn": TEAM}
    team = service.call("DescribeWorkteam", {"WorkteamName": "people"})["Workteam"]
    assert team["WorkforceArn"].endswith(":workforce/default")
    assert team["CreateDate"] == team["LastUpdatedDate"]
    changed = service.call("UpdateWorkteam", {"WorkteamName": "people", "Description": "others"})
    assert changed["Workteam"]["Description"] == "others"
    (listed,) = service.call("ListWorkteams", {"SortBy": "CreateDate"})["Workteams"]
    assert listed["WorkteamArn"] == TEAM
    pool = {
        "WorkforceName": "second",
        "CognitoConfig": {"UserPool": "us-east-1_p", "ClientId": "c"},
    }
    with pytest.raises(ServiceError, match="already exists in this region"):
        service.call("CreateWorkforce", pool)
    with pytest.raises(ServiceError, match="has work teams") as used:
        service.call("DeleteWorkforce", {"WorkforceName": "default"})
    assert used.value.code == "ResourceInUse"
    assert service.call("DeleteWorkteam", {"WorkteamName": "people"}) == {"Success": True}
    service.call("DeleteWorkforce", {"WorkforceName": "default"})
    with pytest.raises(ServiceError, match="is not implemented locally"):
        service.call("DescribeSubscribedWorkteam", {"WorkteamArn": TEAM})


@pytest.mark.parametrize(
    ("change", "human", "message"),
    [
        ({"LabelAttributeName": "mood-metadata-1"}, {}, "must not contain -metadata"),
        ({"LabelAttributeName": "mood-ref"}, {}, "nor end with -ref"),
        ({}, {"NumberOfHumanWorkersPerDataObject": 10}, "less than or equal to 9"),
        ({}, {"TaskTimeLimitInSeconds": 28801}, "at most 28800"),
        ({}, {"WorkteamArn": TEAM.replace("people", "nobody")}, "nobody does not exist"),
        (
            {},
            {"WorkteamArn": "arn:aws:sagemaker:us-east-1:394669845002:workteam/public-crowd/d"},
            "public-crowd is not implemented locally",
        ),
        (
            {},
            custom(f"{AWS_FUNCTION}:PRE-BoundingBox", f"{AWS_FUNCTION}:ACS-BoundingBox"),
            "BoundingBox is not implemented locally",
        ),
        (
            {},
            custom(f"{AWS_FUNCTION}:PRE-ImageMultiClass", f"{AWS_FUNCTION}:ACS-TextMultiClass"),
            "different task types",
        ),
        (
            {},
            custom("arn:aws:lambda:us-east-1:000000000000:function:x", f"{AWS_FUNCTION}:ACS-X"),
            "both be functions of AWS",
        ),
    ],
)
def test_jobs_that_cannot_be_done_are_refused(
    service: SageMaker, change: dict[str, Any], human: dict[str, Any], message: str
) -> None:
    service.call("CreateWorkteam", WORKTEAM)
    with pytest.raises(ServiceError, match=message):
        service.call("CreateLabelingJob", {**request("refused", **human), **change})


# People's work


def test_items_are_taken_by_so_many_workers(tmp_path: Path) -> None:
    """A claim lasts TaskTimeLimitInSeconds; nobody answers twice, or what they do not hold."""
    items = Items(tmp_path / "labeling.db")
    items.add("job", [{"source": "a"}])
    with pytest.raises(TakenError, match="not available"):
        items.claim("job", 0, "ana", workers=2, expired=0, now=100)
    items.open("job", 0, {"taskObject": "a"}, now=100)
    for worker in ("ana", "bo"):
        items.claim("job", 0, worker, workers=2, expired=50, now=100)
    with pytest.raises(TakenError, match="Enough workers"):
        items.claim("job", 0, "cy", workers=2, expired=50, now=101)
    items.submit("job", 0, "ana", {"x": 1}, expired=50, now=110)
    with pytest.raises(TakenError, match="has submitted"):
        items.claim("job", 0, "ana", workers=2, expired=50, now=111)
    with pytest.raises(TakenError, match="its time is over"):
        items.submit("job", 0, "bo", {"x": 2}, expired=105, now=165)
    assert [late.worker for late in items.release("job", expired=105)] == ["bo"]
    items.claim("job", 0, "cy", workers=2, expired=105, now=165)
    items.skip("job", 0, "cy", now=166)
    with pytest.raises(TakenError, match="has skipped"):
        items.claim("job", 0, "cy", workers=2, expired=105, now=167)
    reread = Items(tmp_path / "labeling.db")
    kept = {each.worker: (each.state, each.content) for each in reread.answers("job", 0)}
    assert kept == {"ana": (states.SUBMITTED, {"x": 1}), "cy": (states.SKIPPED, None)}


def test_accurate_workers_count_more() -> None:
    """Ana and Bo agree on everything; Cy is wrong half the time and is outvoted by the one."""
    truth = ["glad", "sad"] * 10
    other = {"glad": "sad", "sad": "glad"}
    votes = [
        {"ana": label, "bo": label, "cy": other[label] if number % 4 < 2 else label}
        for number, label in enumerate(truth)
    ]
    votes.append({"ana": "glad", "cy": "sad"})
    found = estimate(votes, ("sad", "glad"))
    assert [max(chance, key=lambda label: chance[label]) for chance in found[:-1]] == truth
    assert found[-1]["glad"] > 0.8
    assert all(sum(chance.values()) == pytest.approx(1) for chance in found)

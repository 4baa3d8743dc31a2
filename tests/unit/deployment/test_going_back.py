"""Going back moves to the very configuration that served, whatever has changed since."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from headrace.aws.guarding import guard_endpoint
from headrace.aws.storage import Location
from tests.architecture.cfn import read
from tests.architecture.project import ROOT
from tests.unit import world
from tests.unit.deployment.comparison import Story
from tests.unit.deployment.registry import decide
from tests.unit.world import MODEL

DEFINITION = Location("headrace-artifacts", f"runs/{MODEL}/run-1/definition.json")


@pytest.fixture
def story(monkeypatch: pytest.MonkeyPatch) -> Iterator[Story]:
    """Version 2 serves, was rejected, and the stack's settings have changed since version 1."""
    with world.aws(monkeypatch) as here:
        told = Story(here)
        second = told.check()
        told.create(second)
        assert told.finish(second).outcome == "live"
        decide(here, told.arn2, "Rejected")
        moved = world.settings(SUBNET_IDS="subnet-new", SECURITY_GROUP_IDS="sg-new")
        told.world.aws = told.world.aws._replace(settings=moved)
        yield told


def test_nothing_is_built_anew(story: Story) -> None:
    before = story.record("v1").endpoint_config
    verdict = story.check(1, "v1-again")
    assert (verdict.outcome, verdict.model, verdict.endpoint_config) == ("deployable", None, None)
    assert verdict.target is not None
    assert verdict.target.endpoint_config == before
    assert not verdict.target.keeps_alarms
    assert story.finish(verdict, "v1-again").outcome == "live"
    assert (story.live.package_version, story.live.endpoint_config) == (1, before)


def test_words_that_are_no_longer_understood_hinder_nobody(story: Story) -> None:
    story.here.storage.put_json(DEFINITION, {"name": MODEL, "written": "by an older Headrace"})
    verdict = story.check(1, "v1-again")
    assert verdict.target is not None
    assert verdict.target.keeps_alarms
    # CloudWatch is not even asked: the endpoint's alarms stay as they are.
    guarded = guard_endpoint(verdict.target, world.settings(), story.here.ledger, None)
    assert guarded.outcome == "guarded"


@pytest.mark.parametrize("gone", ["config", "model"])
def test_what_was_deleted_is_built_again(story: Story, gone: str) -> None:
    config = str(story.record("v1").endpoint_config)
    sagemaker = story.here.sagemaker
    variant = sagemaker.describe_endpoint_config(EndpointConfigName=config)["ProductionVariants"][0]
    if gone == "model":
        sagemaker.delete_model(ModelName=variant["ModelName"])
    else:
        sagemaker.delete_endpoint_config(EndpointConfigName=config)
    verdict = story.check(1, "v1-again")
    assert verdict.model is not None
    assert verdict.model["VpcConfig"]["Subnets"] == ["subnet-new"]
    story.here.storage.put_json(DEFINITION, {"name": MODEL, "written": "by an older Headrace"})
    with pytest.raises(ValidationError, match="written"):
        story.check(1, "v1-again")


def test_whoever_updates_an_endpoint_may_see_the_alarms_that_undo_it() -> None:
    """SageMaker looks at them with the caller's rights before it begins."""
    resources = read(ROOT / "template.yaml")["Resources"]
    (actions,) = [
        [action for each in statements(r) for action in listed(each)]
        for r in resources.values()
        if "sagemaker:UpdateEndpoint" in str(r.get("Properties", {}).get("Policies"))
    ]
    assert "cloudwatch:DescribeAlarms" in actions


def statements(resource: dict[str, Any]) -> list[dict[str, Any]]:
    policies = resource["Properties"]["Policies"]
    return [s for p in policies if "Statement" in p for s in p["Statement"]]


def listed(statement: dict[str, Any]) -> list[Any]:
    action = statement["Action"]
    return action if isinstance(action, list) else [action]

"""A candidate in the shadow of what serves, then in an A/B test, on the deployed stack.

Locally a minute of a rollout lasts a second.
"""

import json
from typing import Any

import pytest

from headrace.deployment.experiment import CHALLENGER, assign
from headrace.records import DeploymentRecord
from headrace_cli import inference, registry, rollout
from headrace_cli.demo.traffic import live_traffic
from tests.journey.conftest import Journey, wait

pytestmark = pytest.mark.journey

# On a machine that does much else at once, one slow answer makes a p99.
SHADOW = {"duration": "10m", "requests": 20, "latency_ratio": 50}
TEST = {"duration": "1h", "outcome": "paid", "minimum_effect": 0.1, "entity": "patient"}
PROJECT: dict[str, Any] = {
    "deployment": {"shadow": SHADOW, "ab": TEST, "stand_by": 0},
    "evaluation": {"must_beat": ["baseline"]},
}


def compared(journey: Journey, how: str) -> DeploymentRecord:
    """Wait until the newest version is compared in this way; return its deployment."""

    def look() -> DeploymentRecord | None:
        newest = journey.deployments()[-1]
        assert newest.is_open, (newest.reasons, newest.findings)
        found = (newest.status, newest.comparison) == ("comparing", how)
        return newest if found else None

    return wait(look, f"a comparison by {how}", seconds=60)


def tell_outcomes(journey: Journey) -> None:
    """Patients pay more often where the candidate answered."""
    live = rollout.live(journey.session, journey.model)
    assert live is not None
    people = {f"p{n}": assign(f"p{n}", str(live.endpoint_config), 50) for n in range(600)}
    rows = [
        {"patient": who, "paid": variant == CHALLENGER or n % 2 == 0}
        for n, (who, variant) in enumerate(people.items())
    ]
    journey.client("s3").put_object(
        Bucket=journey.session.stack.data_bucket,
        Key=f"outcomes/{journey.model}/today.jsonl",
        Body="\n".join(json.dumps(row) for row in rows).encode(),
    )


def test_a_shadow_and_a_test_lead_to_promotion(journey: Journey) -> None:
    journey.publish(**PROJECT)
    first = journey.run_on(journey.drop("may", journey.files()).dataset_version)
    began = journey.approve()
    assert began.status == "live", began.reasons
    assert began.compared == [], "there was nothing to compare it with"
    second = journey.retrain()
    (path,) = journey.files(1).values()
    rows = [{k: v for k, v in row.items() if k != "benign"} for row in inference.read_rows(path)]
    live = rollout.live(journey.session, journey.model)
    assert live is not None
    runtime = journey.session.environment.client("sagemaker-runtime", attempts=1)
    with live_traffic(runtime, live.endpoint, rows) as seen:
        known = {d.deployment for d in journey.deployments()}
        package = registry.choose(journey.session, journey.model, None)
        registry.decide(journey.session, package, "Approved", "the test says so")
        wait(lambda: len(journey.deployments()) > len(known) or None, "the deployment")
        compared(journey, "shadow")
        assert seen.answered_by(second.run) == 0, "a shadow's answers go to nobody"
        tested = compared(journey, "ab")
        assert tested.compared == ["shadow"]
        assert "predictions have the same label" in str(tested.findings)
        assert "times production's" in str(tested.findings)
        tell_outcomes(journey)
        deployment = registry.wait_for_deployment(journey.session, journey.model, known, 60)
        wait(lambda: seen.answered_by(second.run) > 5 or None, "answers by the new version")
    assert deployment.status == "live", (deployment.reasons, deployment.findings)
    assert deployment.compared == ["shadow", "ab"]
    assert "with the candidate" in deployment.findings[0]
    assert seen.failed == 0, seen.failures
    assert seen.answered_by(first.run) > 20, "while it was compared, the old version answered"
    now = rollout.live(journey.session, journey.model)
    assert now is not None
    assert (now.package_version, now.compares, now.alone_config) == (2, None, None)
    described = journey.client("sagemaker").describe_endpoint(EndpointName=now.endpoint)
    assert described["EndpointConfigName"] == now.endpoint_config
    assert not described.get("ShadowProductionVariants")
    assert len(described["ProductionVariants"]) == 1

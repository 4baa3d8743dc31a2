"""A candidate in the shadow of what serves, on the deployed stack, from approval to promotion.

Locally a minute of a rollout lasts a second.
"""

from typing import Any

import pytest

from headrace_cli import inference, rollout
from headrace_cli.demo.traffic import live_traffic
from tests.journey.conftest import Journey, wait

pytestmark = pytest.mark.journey

# On a machine that does much else at once, one slow answer makes a p99.
SHADOW = {"duration": "10m", "requests": 20, "latency_ratio": 50}
PROJECT: dict[str, Any] = {
    "deployment": {"shadow": SHADOW, "stand_by": 0},
    "evaluation": {"must_beat": ["baseline"]},
}


def test_a_shadow_is_compared_by_what_was_captured_and_promoted(journey: Journey) -> None:
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
        deployment = journey.approve()
        wait(lambda: seen.answered_by(second.run) > 5 or None, "answers by the new version")
    assert deployment.status == "live", (deployment.reasons, deployment.findings)
    assert deployment.compared == ["shadow"]
    assert "predictions have the same label" in str(deployment.findings)
    assert "times production's" in str(deployment.findings)
    assert seen.failed == 0, seen.failures
    assert seen.answered_by(first.run) > 20, "while it was compared, the old version answered"
    now = rollout.live(journey.session, journey.model)
    assert now is not None
    assert (now.package_version, now.compares, now.alone_config) == (2, None, None)
    described = journey.client("sagemaker").describe_endpoint(EndpointName=now.endpoint)
    assert described["EndpointConfigName"] == now.endpoint_config
    assert not described.get("ShadowProductionVariants")

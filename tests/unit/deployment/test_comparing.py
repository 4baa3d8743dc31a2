"""Comparisons from approval to verdict, the machine's states run by hand."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headrace.aws.deployment_reconciliation import DeploymentReconciler
from headrace.aws.guarding import guard_endpoint
from headrace.deployment.alarms import Alarms
from headrace.deployment.experiment import CHALLENGER, CHAMPION, assign
from headrace.registry import UNCOMPARED_WITH, serving
from tests.unit import world
from tests.unit.deployment.alarmed import Alarmed
from tests.unit.deployment.comparison import SCORES, SHADOW, SINCE, TEST, Story, told
from tests.unit.deployment.registry import decide
from tests.unit.deployment.test_strategy import violations
from tests.unit.world import World


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with world.aws(monkeypatch) as made:
        yield made


def test_a_shadow_that_compares_well_is_promoted(here: World) -> None:
    story = Story(here, strategy="canary", **SHADOW)
    alone = story.live.endpoint_config
    began = story.begin()
    assert began.wait == 3600
    live, record = story.live, story.record()
    assert (live.package_version, live.compares, live.alone_config) == (1, "v2", alone)
    assert live.endpoint_config == story.cloud.config != alone
    assert (record.status, record.comparison) == ("comparing", "shadow")
    assert record.strategy is not None
    assert record.strategy.startswith("copies of 100 % of the requests go to it for 1 h")
    described = here.sagemaker.describe_endpoint_config(EndpointConfigName=live.endpoint_config)
    assert [v["VariantName"] for v in described["ProductionVariants"]] == [CHAMPION]

    story.capture(CHAMPION, SCORES)
    story.capture(CHALLENGER, SCORES)
    verdict = story.check()
    assert verdict.outcome == "deployable"
    assert verdict.target is not None
    assert verdict.target.strategy is not None, "the ordinary shift"
    story.create(verdict)
    assert story.finish(verdict).outcome == "live"
    live = story.live
    assert (live.package_version, live.compares, live.alone_config) == (2, None, None)
    assert story.record().compared == ["shadow"]
    assert "100.0% of 400 predictions have the same label" in str(story.record().findings)


def test_a_shadow_that_is_worse_is_rejected_and_the_champion_serves_alone(here: World) -> None:
    story = Story(here, **SHADOW)
    alone = story.live.endpoint_config
    story.begin()
    story.capture(CHAMPION, SCORES)
    story.capture(CHALLENGER, SCORES[::-1])
    verdict = story.check()
    assert verdict.outcome == "restorable"
    ended = story.finish(verdict)
    assert ended.outcome == "refused", "a shadow served nobody, so nothing is rolled back"
    assert ended.rejection is not None
    assert violations("UpdateModelPackage", ended.rejection) == []
    assert ended.refusal is not None
    assert "ended as worse: 0" in ended.refusal.reasons[0]
    live = story.live
    assert (live.package_version, live.endpoint_config, live.compares) == (1, alone, None)
    assert story.cloud.config == alone
    assert story.record().status == "refused"


def test_too_little_traffic_is_waited_for_once_and_then_left_to_people(here: World) -> None:
    story = Story(here, **SHADOW)
    story.begin()
    verdict = story.check()
    assert (verdict.outcome, verdict.wait) == ("comparing", 3600)
    assert story.record().prolonged
    assert story.record().status == "comparing"
    # A retry of that look, or one that comes too early, waits for the rest.
    since = told(datetime.now(UTC) - timedelta(minutes=90))
    here.ledger.update(story.record().key(), {"comparing_since": since})
    again = story.check()
    assert again.outcome == "comparing"
    assert again.wait is not None
    assert 1700 < again.wait <= 1800
    here.ledger.update(story.record().key(), {"comparing_since": told(SINCE)})
    ended = story.finish(story.check())
    assert (ended.outcome, ended.rejection) == ("refused", None)
    assert "unsure: 0 predictions could be compared" in story.record().reasons[0]


def test_a_test_ends_early_once_it_is_sure(here: World) -> None:
    story = Story(here, **TEST)
    began = story.begin()
    assert began.wait == 600
    described = here.sagemaker.describe_endpoint_config(
        EndpointConfigName=story.live.endpoint_config
    )
    weights = {v["VariantName"]: v["InitialVariantWeight"] for v in described["ProductionVariants"]}
    assert weights == {CHAMPION: 0.5, CHALLENGER: 0.5}
    since = told(datetime.now(UTC) - timedelta(minutes=5))
    here.ledger.update(story.record().key(), {"comparing_since": since})
    story.capture(CHAMPION, SCORES, "a")
    assert story.check().outcome == "comparing"


@pytest.mark.parametrize(
    ("champion", "challenger", "outcome", "rejected"),
    [(0.3, 0.6, "live", False), (0.6, 0.3, "rolled back", True), (0.5, 0.51, "refused", False)],
)
def test_outcomes_decide_a_test(
    here: World, champion: float, challenger: float, outcome: str, rejected: bool
) -> None:
    story = Story(here, **TEST)
    story.begin()
    story.capture(CHAMPION, SCORES, "a")
    story.capture(CHALLENGER, SCORES, "b")
    rows = [
        {"inference_id": f"{name}-{n}", "paid": n % 100 < share * 100}
        for name, share in (("a", champion), ("b", challenger))
        for n in range(400)
    ]
    # What says nothing, or says it again, or is of nobody, or of before.
    odd = [{"inference_id": "a-1", "paid": None}, {"paid": True}, {"inference_id": "z", "paid": 1}]
    old = [{"inference_id": "a-2", "paid": True, "time": told(SINCE - timedelta(days=1))}]
    story.tell([*odd, *old, *rows, *rows])
    verdict = story.check()
    if verdict.outcome == "deployable":
        assert verdict.target is not None
        assert verdict.target.strategy is None, "variants of other names cannot be shifted in steps"
        story.create(verdict)
    ended = story.finish(verdict)
    assert ended.outcome == outcome, story.record().reasons
    assert (ended.rejection is not None) is rejected
    assert "(400 outcomes)" in story.record().findings[0]


def test_entities_are_assigned_by_the_configuration_that_serves(here: World) -> None:
    story = Story(here, ab={**TEST["ab"], "entity": "merchant"}, capture_percent=0)
    story.begin()
    config = str(story.live.endpoint_config)
    variants = {f"m{n}": assign(f"m{n}", config, 50) for n in range(1000)}
    story.tell(
        [
            {"merchant": who, "paid": variant == CHALLENGER or n % 3 == 0}
            for n, (who, variant) in enumerate(variants.items())
        ]
    )
    verdict = story.check()
    assert verdict.outcome == "deployable"
    assert "with the candidate" in story.record().findings[0]


def test_a_candidate_that_fails_ends_a_test_at_once(here: World) -> None:
    story = Story(here, **TEST)
    story.begin()
    here.ledger.update(story.record().key(), {"comparing_since": told(datetime.now(UTC))})
    story.measured.traffic[CHALLENGER] = (1000, 200, 9000.0)
    ended = story.finish(story.check())
    assert ended.outcome == "rolled back"
    assert "20.00% of its 1000 requests failed" in story.record().reasons[0]


def test_a_test_follows_a_shadow(here: World) -> None:
    story = Story(here, **SHADOW, **TEST)
    alone = story.live.endpoint_config
    story.begin()
    story.capture(CHAMPION, SCORES)
    story.capture(CHALLENGER, SCORES)
    verdict = story.check()
    assert verdict.target is not None
    assert (verdict.target.compares, verdict.target.is_compared) == ("ab", True)
    story.create(verdict)
    assert story.finish(verdict).outcome == "comparing"
    live = story.live
    assert (live.compares, live.alone_config) == ("v2", alone)
    assert (story.record().comparison, story.record().compared) == ("ab", ["shadow"])


def test_a_rejected_or_replaced_candidate_is_taken_away(here: World) -> None:
    story = Story(here, **SHADOW)
    alone = story.live.endpoint_config
    story.begin()
    decide(here, story.arn2, "Rejected")  # type: ignore[attr-defined]
    ended = story.finish(story.check())
    assert (ended.outcome, ended.rejection) == ("refused", None)
    assert story.cloud.config == alone


def test_whoever_changes_the_endpoint_ends_the_comparison(here: World) -> None:
    story = Story(here, **SHADOW)
    story.begin()
    here.ledger.update(story.live.key(), {"compares": None, "alone_config": None})
    verdict = story.check()
    assert verdict.outcome == "refused"
    assert "was changed while two versions were compared" in story.record().reasons[0]


def test_whoever_means_it_deploys_without_comparing(here: World) -> None:
    story = Story(here, **SHADOW)
    story.cloud.metadata[story.arn2][UNCOMPARED_WITH] = serving(story.live)  # type: ignore[attr-defined]
    verdict = story.check()
    assert verdict.target is not None
    assert verdict.target.compares is None
    story.create(verdict)
    assert story.finish(verdict).outcome == "live"


def test_while_paused_a_comparison_goes_on(here: World) -> None:
    story = Story(here, **SHADOW)
    story.begin()
    here.ledger.update(story.live.key(), {"paused": "by Ann"})
    assert story.check().outcome == "comparing"
    assert story.record().findings == ["automation is paused: by Ann"]


def test_a_promotion_that_fails_its_bake_leaves_the_champion_alone(here: World) -> None:
    """SageMaker goes back to what served: the comparison. That has to end too."""
    story = Story(here, **SHADOW)
    alone = story.live.endpoint_config
    story.begin()
    story.capture(CHAMPION, SCORES)
    story.capture(CHALLENGER, SCORES)
    verdict = story.check()
    assert verdict.target is not None
    story.world.attempt(verdict.target)
    story.cloud.settle(well=False)
    broken = story.world.verify(verdict.target)
    assert broken.outcome == "broken"
    assert broken.restore is not None
    ended = story.move(broken.restore)
    assert ended.outcome == "rolled back"
    assert ended.rejection is not None
    assert (story.cloud.config, story.live.compares) == (alone, None)


def test_an_alarm_that_rings_before_the_promotion_ends_the_comparison(here: World) -> None:
    alarmed = Alarmed()
    alarmed.states["mine"] = "ALARM"
    story = Story(here, **SHADOW)
    story.begin()
    story.capture(CHAMPION, SCORES)
    story.capture(CHALLENGER, SCORES)
    target = story.check().target
    assert target is not None
    target = target.model_copy(update={"alarms": Alarms(names=["mine"])})
    guard = guard_endpoint(target, world.settings(), here.ledger, alarmed)
    assert guard.outcome == "restorable"
    assert guard.restore is not None
    ended = story.move(guard.restore)
    assert (ended.outcome, ended.rejection) == ("refused", None)
    assert "is ringing already" in story.record().reasons[0]


def test_a_lost_comparison_is_ended_by_the_reconciler_once(here: World) -> None:
    class Executions:
        started: list[str] = []  # noqa: RUF012 — of this test alone

        def status(self, _name: str) -> str:
            return "RUNNING"

        def arn(self, name: str) -> str:
            return f"arn:execution:{name}"

        def start(self, name: str, _request: Any) -> None:
            self.started.append(name)

    story = Story(here, **SHADOW)
    story.begin()

    def reconcile() -> list[str]:
        stopped: Any = Executions()
        reconciler = DeploymentReconciler(
            world.settings(), here.ledger, stopped, stopped, stopped, story.cloud, Alarmed()
        )
        # The registry's approval of version 2 has a deployment of another name in these tests.
        return [name for name in reconciler.run().started if "-v1-" in name]

    assert reconcile() == []
    here.ledger.update(story.record().key(), {"status": "failed"})
    (started,) = reconcile()
    assert reconcile() == []
    verdict = story.check(1, started)
    assert verdict.target is not None
    assert story.finish(verdict, started).outcome == "live"
    assert (story.live.package_version, story.live.compares) == (1, None)

"""The policy of recovery: a table of cases, and what must hold of every case."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.deployment.alarms import MONITORS
from headrace.recovery import Earlier, Recovery, Situation, choose

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
POLICY = Recovery()


def ago(hours: float) -> datetime:
    return NOW - timedelta(hours=hours)


def case(
    *rings: str, live_hours: float = 1, last_good: int | None = 2, **more: object
) -> Situation:
    made = Situation(
        now=NOW,
        rings=frozenset(rings),
        live_version=3,
        live_since=ago(live_hours),
        last_good=last_good,
    )
    return made._replace(**more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("situation", "remedy", "told"),
    [
        (case("server-errors"), "roll back", "1 h after version 3 went live"),
        (case("latency"), "roll back", "version 2 served well before"),
        (case("own"), "roll back", "own"),
        (case("server-errors", live_hours=48), "wait", "too long to blame it"),
        (case("server-errors", last_good=None), "wait", "no earlier version to go back to"),
        (case("traffic"), "wait", "nobody asks"),
        (case("traffic", "server-errors"), "roll back", "server-errors, traffic"),
        (case("feature-drift", live_hours=480), "retrain", "the data moved away"),
        (case("feature-drift"), "retrain", "which is no fault of the version that serves"),
        (case("prediction-drift", "attribution-drift"), "retrain", "the data moved away"),
        (case("feature-drift", seen=("amount: psi is 2",)), "retrain", "amount: psi is 2"),
        (case("data-quality"), "wait", "which people must look at"),
        (case("data-quality", "traffic"), "wait", "which people must look at"),
        (case("data-quality", "feature-drift"), "retrain", "data-quality, feature-drift"),
        (case("feature-drift", "server-errors"), "both", "version 2 served well before"),
        (case("business"), "both", "a new candidate is trained"),
        (case("bias"), "both", "bias: 1 h after version 3 went live"),
        (case("bias", live_hours=480), "retrain", "too long to blame it"),
        (case("model-quality"), "both", "a new candidate is trained"),
        (case("model-quality", last_good=None), "retrain", "a new candidate is trained"),
        (case(), "wait", "nothing rings any more"),
        (case("latency", paused="by Ann: sale"), "wait", "paused: by Ann: sale"),
        (case("latency", deploying="v4"), "wait", "deployment v4 is under way"),
        (case("latency", brought_back=True), "wait", "brought back and rings too"),
        (case("model-quality", brought_back=True), "retrain", "brought back and rings too"),
        (case("latency", earlier=(Earlier("retrain", ago(1)),)), "roll back", "latency"),
        (
            case("feature-drift", live_hours=99, earlier=(Earlier("roll back", ago(1)),)),
            "retrain",
            "drift",
        ),
        (case("latency", live_version=None), "wait", "no version of ours serves"),
        (
            case("latency", earlier=(Earlier("roll back", ago(1)),)),
            "wait",
            "roll back was tried 1 h ago, and the cooldown is 6 h",
        ),
        (case("latency", earlier=(Earlier("roll back", ago(7)),)), "roll back", "latency"),
        (case("latency", earlier=(Earlier("wait", ago(0.1)),)), "roll back", "latency"),
    ],
)
def test_the_remedy_and_why(situation: Situation, remedy: str, told: str) -> None:
    choice = choose(situation, POLICY)
    assert choice.remedy == remedy
    assert told in "; ".join(choice.reasons)
    assert (choice.restore == 2) is (remedy in ("roll back", "both"))


def test_a_project_may_forbid_either() -> None:
    never = Recovery(roll_back=False, retrain=False)
    choice = choose(case("server-errors", "feature-drift"), never)
    assert choice.remedy == "wait"
    assert "forbids to roll back" in "; ".join(choice.reasons)
    assert "forbids to retrain" in "; ".join(choice.reasons)


KINDS = ("server-errors", "client-errors", "latency", "traffic", "own", *MONITORS)
situations = st.builds(
    Situation,
    now=st.just(NOW),
    rings=st.frozensets(st.sampled_from(KINDS)),
    live_version=st.sampled_from([None, 3]),
    live_since=st.sampled_from([None, ago(1), ago(100)]),
    last_good=st.sampled_from([None, 2]),
    deploying=st.sampled_from([None, "v4"]),
    paused=st.sampled_from([None, "by Ann"]),
    earlier=st.lists(
        st.builds(
            Earlier,
            remedy=st.sampled_from(["roll back", "retrain", "wait"]),
            at=st.sampled_from([ago(1), ago(10)]),
        ),
        max_size=3,
    ).map(tuple),
)


@given(situations)
def test_every_case_has_a_reason_and_no_case_loops(situation: Situation) -> None:
    """Invariants 33, 35 and 39."""
    choice = choose(situation, POLICY)
    assert choice.reasons
    assert all(choice.reasons)
    if choice.remedy in ("roll back", "both"):
        assert choice.restore == situation.last_good is not None
    if choice.remedy != "wait":
        assert situation.rings
        assert not situation.paused
        assert not situation.deploying
        # Ringing again at once does nothing more.
        again = situation._replace(earlier=(*situation.earlier, Earlier(choice.remedy, NOW)))
        assert choose(again, POLICY).remedy not in (choice.remedy, "both")


def test_alarms_that_never_end_do_not_walk_back_through_good_versions() -> None:
    """Invariant 33, for days: what a rollback brought back is not blamed for the same fault."""
    first = choose(case("server-errors"), POLICY)
    assert first.remedy == "roll back"
    later = case("server-errors", live_hours=7, brought_back=True, last_good=1)
    assert choose(later, POLICY).remedy == "wait"


@given(situations)
def test_data_that_moved_never_roll_a_version_back(situation: Situation) -> None:
    """Nor do data of another form: no version is at fault for what callers send."""
    kinds = {"feature-drift", "prediction-drift", "attribution-drift", "data-quality", "traffic"}
    choice = choose(situation._replace(rings=situation.rings & kinds), POLICY)
    assert choice.remedy in ("retrain", "wait")

"""A/B tests: assignment, the sequential test's promises under continuous peeking, and verdicts."""

import math
import random
from statistics import fmean, variance

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.deployment.experiment import (
    CHALLENGER,
    CHAMPION,
    Experiment,
    Tally,
    assign,
    imbalance,
    interval,
    judge,
)

NOBODY = Tally(0, 0.0, 0.0)


def tally(successes: int, trials: int) -> Tally:
    share = successes / trials
    return Tally(trials, share, share * (1 - share) * trials / (trials - 1))


def peek(seed: int, champion: float, challenger: float, experiment: Experiment) -> str:
    """Run a test of two conversion rates, looking after every twentieth outcome; return its end."""
    chance = random.Random(seed)
    counts, successes = [0, 0], [0, 0]
    for number in range(1, 4001):
        which = chance.random() * 100 < experiment.percent
        counts[which] += 1
        successes[which] += chance.random() < (champion, challenger)[which]
        if number % 20 == 0 and min(counts) >= experiment.outcomes:
            one, other = (tally(s, n) for s, n in zip(successes, counts, strict=True))
            verdict = judge(one, other, experiment, over=number == 4000)
            if verdict.outcome != "continue":
                return verdict.outcome
    return "unsure"


@pytest.mark.parametrize(("rate", "percent"), [(0.3, 50), (0.05, 10)])
def test_peeking_all_the_time_finds_no_difference_where_there_is_none(
    rate: float, percent: int
) -> None:
    """At most 5 % of tests without a difference end in one; 200 of them, so 10 are expected."""
    experiment = Experiment(percent=percent, minimum_effect=rate / 6)
    ends = [peek(seed, rate, rate, experiment) for seed in range(200)]
    assert ends.count("promoted") + ends.count("worse") <= 10


def test_a_real_difference_is_found() -> None:
    experiment = Experiment(minimum_effect=0.05)
    ends = [peek(seed, 0.3, 0.36, experiment) for seed in range(60)]
    assert ends.count("promoted") >= 54
    assert "worse" not in ends
    lower = Experiment(minimum_effect=0.05, goal="lower")
    assert [peek(seed, 0.3, 0.36, lower) for seed in range(20)].count("promoted") == 0


def test_what_is_worth_a_change_is_not_given_up_early() -> None:
    """An effect of just `minimum_effect` ends in `no difference` at most as often as allowed."""
    experiment = Experiment(minimum_effect=0.05)
    ends = [peek(seed, 0.3, 0.35, experiment) for seed in range(60)]
    assert ends.count("no difference") <= 3


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=50))
def test_a_tally_is_mean_and_variance(values: list[float]) -> None:
    found = Tally.of(values)
    assert math.isclose(found.mean, fmean(values), rel_tol=1e-9, abs_tol=1e-6)
    assert math.isclose(found.variance, variance(values), rel_tol=1e-6, abs_tol=1e-6)


counts = st.integers(100, 10_000)
shares = st.floats(0.001, 0.999)


@given(counts, counts, shares, shares, st.floats(0.001, 0.5))
def test_intervals_hold_the_estimate_and_mirror(
    n: int, m: int, share: float, other: float, effect: float
) -> None:
    one, two = tally(round(share * n), n), tally(round(other * m), m)
    experiment = Experiment(minimum_effect=effect)
    low, high = interval(one, two, experiment)
    assert low <= two.mean - one.mean <= high
    back = interval(two, one, experiment)
    assert back == pytest.approx((-high, -low), nan_ok=False)
    surer = experiment.model_copy(update={"confidence": 0.99})
    assert interval(one, two, surer)[0] <= low


@given(st.text(), st.text(), st.integers(1, 89))
def test_an_entity_keeps_its_variant_and_more_percent_takes_nobody_out(
    entity: str, salt: str, percent: int
) -> None:
    first = assign(entity, salt, percent)
    assert first == assign(entity, salt, percent)
    if first == CHALLENGER:
        assert assign(entity, salt, percent + 1) == CHALLENGER


def test_entities_are_shared_out_as_asked_and_anew_by_each_test() -> None:
    people = [f"merchant-{n}" for n in range(20_000)]
    one = {p for p in people if assign(p, "test-1", 30) == CHALLENGER}
    two = {p for p in people if assign(p, "test-2", 30) == CHALLENGER}
    assert 0.29 < len(one) / len(people) < 0.31
    assert 0.08 < len(one & two) / len(people) < 0.10  # 30 % of 30 %
    # The promise to clients in other languages (docs/guide.md).
    expected = [CHAMPION, CHALLENGER, CHALLENGER, CHAMPION]
    assert [assign(p, "test-1", 30) for p in people[:4]] == expected


@pytest.mark.parametrize(
    ("champion", "challenger", "over", "outcome", "told"),
    [
        (tally(50, 99), tally(50, 500), False, "continue", "100 of each are needed"),
        (NOBODY, NOBODY, True, "unsure", "0 outcomes of the champion"),
        (tally(300, 1000), tally(400, 1000), False, "promoted", "between 0.03"),
        (tally(400, 1000), tally(300, 1000), False, "worse", "95.0% confidence"),
        (tally(3000, 10000), tally(3000, 10000), False, "no difference", "not better by 0.05"),
        (tally(60, 200), tally(70, 200), False, "continue", "difference between"),
        (tally(60, 200), tally(70, 200), True, "unsure", "the time is over"),
        (tally(300, 1000), tally(400, 700), False, "unsure", "outcomes are lost"),
        (tally(0, 200), tally(0, 200), False, "continue", "between -inf and inf"),
    ],
)
def test_verdicts(champion: Tally, challenger: Tally, over: bool, outcome: str, told: str) -> None:
    verdict = judge(champion, challenger, Experiment(minimum_effect=0.05), over=over)
    assert verdict.outcome == outcome
    assert any(told in reason for reason in verdict.reasons), verdict.reasons


def test_shares_as_asked_are_no_imbalance() -> None:
    assert imbalance(9000, 1000, 10) < 1
    assert imbalance(9000, 1000, 20) > 1e6
    assert imbalance(10**6, 10, 90) > 1e100  # and no overflow

"""What a shadow is judged by: agreement, scores, latency, errors; and captured records."""

import base64
import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.deployment.captured import Prediction, read_exchange
from headrace.deployment.shadow import Pair, Shadow, Traffic, compare, stability, wilson

LIMITS = Shadow(requests=200)
GOOD = Traffic(1000, 0, 10.0)


def pairs(count: int, differ: float = 0.0, shift: float = 0.0) -> list[Pair]:
    """Predictions of which a share gets another label, and scores move by `shift`."""
    chance = random.Random(7)
    found = []
    for _ in range(count):
        score = chance.random()
        label = str(int(score > 0.5))
        other = str(1 - int(label)) if chance.random() < differ else label
        found.append((Prediction(score, label), Prediction(score + shift, other)))
    return found


@pytest.mark.parametrize(
    ("given_pairs", "production", "shadow", "outcome", "told"),
    [
        (pairs(500), GOOD, GOOD, "promoted", "100.0% of 500 predictions have the same label"),
        (pairs(199), GOOD, GOOD, "unsure", "199 predictions could be compared, and 200"),
        ([], Traffic(0, 0, None), Traffic(0, 0, None), "unsure", "0 predictions"),
        (pairs(500, differ=0.4), GOOD, GOOD, "worse", "and 80.0% must"),
        (pairs(300, differ=0.25), GOOD, GOOD, "unsure", "and 80.0% must"),
        (pairs(500, shift=0.3), GOOD, GOOD, "worse", "stability index"),
        (pairs(500), GOOD, Traffic(1000, 0, 16.0), "worse", "1.60 times production's 10.0 ms"),
        (pairs(500), GOOD, Traffic(1000, 0, None), "unsure", "no latency"),
        # A shadow that fails leaves no predictions to compare.
        ([], GOOD, Traffic(1000, 100, 9.0), "worse", "10.00% of its 1000 requests failed"),
        (pairs(500), Traffic(1000, 100, 9.0), Traffic(1000, 100, 9.0), "promoted", "10.00% of"),
        (pairs(500), Traffic(50, 0, 9.0), Traffic(50, 1, 9.0), "unsure", "2.00% of its 50"),
    ],
)
def test_verdicts(
    given_pairs: list[Pair], production: Traffic, shadow: Traffic, outcome: str, told: str
) -> None:
    verdict = compare(given_pairs, production, shadow, LIMITS)
    assert verdict.outcome == outcome
    worst = verdict.reasons if outcome == "promoted" else verdict.reasons[:1]
    assert any(told in reason for reason in worst), verdict.reasons


def test_a_regression_agrees_where_scores_are_near() -> None:
    scores = [float(n % 50) for n in range(400)]
    near = [(Prediction(s, None), Prediction(s + 0.5, None)) for s in scores]
    far = [(Prediction(s, None), Prediction(49 - s, None)) for s in scores]
    assert compare(near, GOOD, GOOD, LIMITS).outcome == "promoted"
    verdict = compare(far, GOOD, GOOD, LIMITS)
    assert verdict.outcome == "worse"
    assert "within half a standard deviation" in verdict.reasons[0]


@given(
    st.lists(
        st.tuples(st.floats(0, 1), st.booleans(), st.floats(0, 1), st.booleans()), max_size=60
    ),
    st.integers(0, 500),
    st.integers(0, 500),
)
def test_every_comparison_ends_in_a_verdict_with_reasons(
    rows: list[tuple[float, bool, float, bool]], failed: int, failed_too: int
) -> None:
    found = [(Prediction(a, str(b)), Prediction(c, str(d))) for a, b, c, d in rows]
    limits = Shadow(requests=10)
    verdict = compare(found, Traffic(500, failed, 5.0), Traffic(500, failed_too, 5.0), limits)
    assert verdict.reasons
    if len(found) < limits.requests:
        assert verdict.outcome != "promoted", "too little traffic is never good enough"


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=100))
def test_a_sample_is_stable_against_itself(values: list[float]) -> None:
    assert stability(values, values) == pytest.approx(0)
    assert stability(values, [v + 30 for v in values]) > 0.2


@given(st.integers(1, 1000), st.data())
def test_wilson_holds_the_share(trials: int, data: Any) -> None:
    successes = data.draw(st.integers(0, trials))
    low, high = wilson(successes, trials)
    assert 0 <= low <= successes / trials + 1e-12
    assert successes / trials - 1e-12 <= high <= 1


def record(answer: str, encoding: str = "JSON", **metadata: str) -> str:
    return json.dumps(
        {
            "captureData": {
                "endpointInput": {"data": '{"instances":[{"a":1}]}', "encoding": "JSON"},
                "endpointOutput": {"data": answer, "encoding": encoding},
            },
            "eventMetadata": {"eventId": "e", "inferenceTime": "2026-11-22T07:00:00Z", **metadata},
        }
    )


@pytest.mark.parametrize(
    ("answer", "encoding", "expected"),
    [
        ('{"predictions":[{"score":0.5,"label":1}],"model":{}}', "JSON", [(0.5, "1")]),
        ("score,label\n0.25,no\n0.75,yes\n", "CSV", [(0.25, "no"), (0.75, "yes")]),
        (
            base64.b64encode(b'{"score":1}\n{"score":2}\n').decode(),
            "BASE64",
            [(1, None), (2, None)],
        ),
        ("3.5", "JSON", [(3.5, None)]),
        ("oops", "CSV", []),
        ('{"predictions":null}', "JSON", []),
    ],
)
def test_captured_answers(answer: str, encoding: str, expected: list[Any]) -> None:
    found = read_exchange(record(answer, encoding))
    assert found is not None
    assert list(found.predictions) == expected


def test_both_variants_records_of_a_request_have_one_key() -> None:
    one, other = (read_exchange(record('{"predictions":[{"score":1}]}')) for _ in range(2))
    assert one is not None
    assert one == other
    named = read_exchange(record("[]", inferenceId="r-1"))
    assert named is not None
    assert (named.key, named.inference_id) == ("r-1", "r-1")
    assert read_exchange(record("[]", inferenceId="headrace-smoke-x")) is None
    assert read_exchange("{") is None
    assert read_exchange("[]") is None

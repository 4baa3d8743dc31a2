"""Outcomes join predictions once, in whatever order and pieces both arrive (invariant 40)."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.aws.monitoring.joining import JoinAnswer
from headrace.aws.storage import Location
from headrace.monitoring.feedback import QualityDocument, delay_quantile, feedback
from headrace.monitoring.joining import positive_label
from headrace.monitoring.layout import Slot, baseline_key
from headrace_profiling.engine import Engine
from headrace_profiling.measure import measure
from headrace_profiling.model_quality import Binary
from tests.unit.monitoring.captured import deployment
from tests.unit.monitoring.outcomeworld import (
    HOUR,
    PROJECT,
    START,
    WAIT,
    Monitored,
    Outcome,
    Prediction,
)
from tests.unit.world import MODEL


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    found = Engine(tmp_path_factory.mktemp("duckdb"), 256, threads=1)
    yield found
    found.close()


@pytest.fixture
def here(engine: Engine, tmp_path: Path) -> Monitored:
    return Monitored(engine, tmp_path, PROJECT)


def expected(
    predictions: list[Prediction], outcomes: list[Outcome]
) -> dict[tuple[int, str], tuple[int, int, int, int, list[list[int]]]]:
    """Join as the page says it, without any engine: one prediction and outcome at a time."""
    once: dict[tuple[int, str, str, int], Prediction] = {}
    for p in sorted(predictions):
        once.setdefault((p.version, Slot.at(p.at, HOUR).name, p.id, p.row), p)
    received: dict[tuple[int, str, str, int], list[Outcome]] = {place: [] for place in once}
    wait, early = timedelta(seconds=WAIT), timedelta(hours=1)
    for o in sorted(outcomes, key=lambda each: each.received):
        inside = {
            place: p for place, p in once.items() if p.at - early <= o.received_at <= p.at + wait
        }
        if o.id is not None:
            for place in inside:
                siblings = sum(other[:3] == place[:3] for other in once)
                named = o.row == place[3] or (o.row is None and siblings == 1)
                if place[2] == o.id and named:
                    received[place].append(o)
            continue
        before = [
            (p.minute, place)
            for place, p in inside.items()
            if p.entity == o.entity and p.minute <= o.minute
        ]
        if before:
            received[max(before)[1]].append(o)
    found = {}
    for slot in {place[:2] for place in once}:
        of = {place: received[place] for place in once if place[:2] == slot}
        confusion = [[0, 0], [0, 0]]
        for place, told in of.items():
            if told:
                confusion[told[0].value][int(once[place].score >= 0.5)] += 1
        found[slot] = (
            len(of),
            sum(bool(told) for told in of.values()),
            sum(max(0, len(told) - 1) for told in of.values()),
            sum(len({o.value for o in told}) > 1 for told in of.values()),
            confusion,
        )
    return found


IDS, ENTITIES = [f"r{n}" for n in range(4)], ["a", "b", "c"]


@st.composite
def stories(draw: st.DrawFn) -> tuple[list[Any], set[int]]:
    """Predictions and outcomes in parts, in the order in which they arrive, and joins between."""

    def prediction(minute: int, version: int) -> Prediction:
        who = draw(st.sampled_from(IDS)), draw(st.integers(0, 1)), draw(st.sampled_from(ENTITIES))
        return Prediction(minute, version, *who, draw(st.sampled_from([0.1, 0.3, 0.7])))

    def outcome(received: int) -> Outcome:
        value, minute = draw(st.integers(0, 1)), draw(st.integers(0, received))
        if draw(st.booleans()):
            row = draw(st.sampled_from([None, 0, 1]))
            return Outcome(received, draw(st.sampled_from(IDS)), row, None, value, minute)
        return Outcome(received, None, None, draw(st.sampled_from(ENTITIES)), value, minute)

    minutes = draw(st.lists(st.integers(0, 170), unique=True, min_size=4, max_size=12))
    cuts = draw(st.lists(st.integers(0, 2), min_size=len(minutes), max_size=len(minutes)))
    pieces: list[Any] = []
    for cut in sorted(set(cuts)):
        version = draw(st.sampled_from([1, 2]))
        inside = [minute for minute, of in zip(minutes, cuts, strict=True) if of == cut]
        pieces.append([prediction(minute, version) for minute in inside])
    for received in draw(st.lists(st.integers(60, 178), unique=True, min_size=2, max_size=4)):
        pieces.append([outcome(received) for _ in range(draw(st.integers(1, 4)))])
    arrivals = draw(st.permutations(pieces))
    again = draw(st.sampled_from(pieces))
    return [*arrivals, again], draw(st.sets(st.integers(0, len(pieces) - 1), max_size=2))


@settings(max_examples=6)
@given(story=stories())
def test_whatever_the_order_and_the_pieces_the_documents_are_the_same(engine, story):
    arrivals, joins = story
    rows = [row for piece in arrivals[:-1] for row in piece]
    predictions = [row for row in rows if isinstance(row, Prediction)]
    outcomes = [row for row in rows if isinstance(row, Outcome)]
    with TemporaryDirectory() as one, TemporaryDirectory() as other:
        pieces = Monitored(engine, Path(one), PROJECT)
        for number, piece in enumerate(arrivals):
            (pieces.predict if isinstance(piece[0], Prediction) else pieces.tell)(piece)
            if number in joins:
                pieces.join()
        pieces.join()
        found = pieces.documents()
        wanted = expected(predictions, outcomes)
        told = {
            (int(key.split("/")[2][1:]), document.slot): (
                document.predictions,
                document.outcomes,
                document.repeated,
                document.contradictions,
                document.counts["confusion"] if document.counts else [[0, 0], [0, 0]],
            )
            for key, document in found.items()
        }
        assert told == wanted
        # The slots add up to what all of it at once gives.
        at_once = Monitored(engine, Path(other), PROJECT)
        at_once.storage.objects = {
            key: content
            for key, content in pieces.storage.objects.items()
            if "/quality/" not in key and "/keys/" not in key and "joined.json" not in key
        }
        at_once.ledger = pieces.ledger
        at_once.aws = pieces.aws._replace(storage=at_once.storage)
        at_once.join()
        assert at_once.documents() == found
        assert pieces.join() == JoinAnswer()
        assert pieces.storage.read == []


def predict(minute: int, name: str, score: float = 0.9, **more: Any) -> Prediction:
    return Prediction(
        **{"minute": minute, "version": 1, "id": name, "row": 0, "entity": name, "score": score}
        | more
    )


def tell(received: int, name: str | None, value: int, **more: Any) -> Outcome:
    return Outcome(
        **{
            "received": received,
            "id": name,
            "row": None,
            "entity": None,
            "value": value,
            "minute": received,
        }
        | more
    )


def test_only_slots_with_something_new_are_read(here: Monitored) -> None:
    here.predict([predict(n * 60 + 1, f"r{n}") for n in range(3)])
    assert here.join().slots == 3
    before = here.documents()
    assert [d.outcomes for d in before.values()] == [0, 0, 0]
    here.tell([tell(150, "r1", 1)])
    assert here.join() == JoinAnswer(slots=1, predictions=1, outcomes=1)
    predictions = {key.split("/")[4] for key in here.storage.read if "/predictions/" in key}
    assert predictions == {Slot.at(START + timedelta(hours=1), HOUR).name}
    changed = {key for key, document in here.documents().items() if document != before[key]}
    assert {key.rpartition("/")[2][:16] for key in changed} == {"2026-11-22T07-00"}
    assert here.join() == JoinAnswer()
    assert here.storage.read == []


def test_what_comes_after_the_wait_does_not_count_and_a_closed_slot_is_left_alone(here) -> None:
    here.predict([predict(1, "early"), predict(50, "late")])
    here.join()
    here.tell([tell(1 + WAIT // 60, "early", 0), tell(2 + WAIT // 60, "early", 1)])
    here.tell([tell(30 + WAIT // 60, "late", 1)])
    here.now = START + timedelta(minutes=51, seconds=WAIT)
    assert here.join().outcomes == 2
    [document] = here.documents().values()
    assert (document.outcomes, document.contradictions, document.repeated) == (2, 0, 0)
    told = feedback([document], here.now)
    assert (told.predictions, told.outcomes, told.complete) == (2, 2, True)
    here.tell([tell(55 + WAIT // 60, "late", 0)])
    assert here.join() == JoinAnswer()
    assert here.storage.read == [], "it is closed"
    here.predict([predict(52, "forgotten")])
    assert here.join().predictions == 3, "what was captured late is counted all the same"


def test_a_prediction_that_comes_late_takes_over_its_entitys_outcome(here: Monitored) -> None:
    here.predict([predict(1, "first", entity="a")])
    here.join()
    here.tell([tell(95, None, 1, entity="a", minute=90)])
    here.now = START + timedelta(minutes=2, seconds=WAIT)
    assert here.join() == JoinAnswer(slots=1, predictions=1, outcomes=1)
    here.predict([predict(70, "second", entity="a", version=2)])
    assert here.join() == JoinAnswer(slots=2, predictions=2, outcomes=1)
    found = {key.split("/")[2]: document.outcomes for key, document in here.documents().items()}
    assert found == {"v1": 0, "v2": 1}, "though the first one's slot was closed"


def test_rows_of_a_request_are_told_apart_and_a_request_sent_twice_counts_once(here) -> None:
    here.predict([predict(1, "batch", row=n, score=0.2) for n in range(3)])
    here.predict([predict(5, "again"), predict(9, "again", score=0.1)])
    here.tell([tell(20, "batch", 1), tell(21, "batch", 1, row=2), tell(22, "again", 1)])
    here.join()
    [document] = here.documents().values()
    assert (document.predictions, document.outcomes) == (4, 2)
    assert document.counts is not None
    assert document.counts["confusion"] == [[0, 0], [1, 1]], "the first answer, row 2"
    facet = document.bias["region"]["counts"]
    assert sorted(facet) == [[False, "1", True, True, "", 1], [True, "1", True, False, "", 1]]


def test_windows_add_up(here: Monitored) -> None:
    scores = [0.1, 0.6, 0.8, 0.3, 0.9, 0.4]
    here.predict([predict(n * 20, f"r{n}", score) for n, score in enumerate(scores)])
    here.tell([tell(110, f"r{n}", n % 2) for n in range(6)])
    here.join()
    documents = here.documents().values()
    total = Binary.of([], [])
    for document in documents:
        assert document.counts is not None
        total = total + Binary.from_dict(document.counts)
    whole = Binary.of([n % 2 == 1 for n in range(6)], scores)
    assert total.metrics() == pytest.approx(whole.metrics())
    told = feedback(documents, here.now)
    assert (told.predictions, told.outcomes, told.complete) == (6, 6, True)
    delays = sorted(110 * 60 - n * 1200 for n in range(6))
    assert told.delay_seconds_median == pytest.approx(delays[2], rel=0.1)
    assert told.delay_seconds_p90 == pytest.approx(delays[5], rel=0.1)


def test_whoever_is_overtaken_begins_again(here: Monitored) -> None:
    here.predict([predict(1, "a")])
    here.tell([tell(9, "a", 1)])
    write, rivals = here.storage.replace_json, [b"{}"]

    def overtaken(location: Location, content: Any, tag: str | None) -> bool:
        if "/quality/" in location.key and rivals:
            here.storage.objects[f"{location.bucket}/{location.key}"] = rivals.pop()
        return write(location, content, tag)

    here.storage.replace_json = overtaken  # type: ignore[method-assign]
    assert here.join() == JoinAnswer(slots=1, predictions=1, outcomes=1)
    [document] = here.documents().values()
    assert document.outcomes == 1


@pytest.mark.parametrize(
    ("problem", "metric", "labels", "kept"),
    [
        ("regression", "rmse", ["ignored"] * 2, {"rows": 2, "error": pytest.approx(0.3)}),
        ("multiclass", "accuracy", ["1", "2"], {"confusion": [["1", "1", 1], ["1", "2", 1]]}),
    ],
)
def test_other_problems_have_their_own_counts(engine, tmp_path, problem, metric, labels, kept):
    evaluation = {"problem": problem, "metric": metric}
    here = Monitored(engine, tmp_path, {**PROJECT, "evaluation": evaluation})
    here.predict([predict(1, "a", 1.2, label=labels[0]), predict(2, "b", 1.1, label=labels[1])])
    here.tell([tell(9, "a", 1), tell(9, "b", 1)])
    here.join()
    [document] = here.documents().values()
    assert document.counts is not None
    assert {name: document.counts[name] for name in kept} == kept
    assert document.bias == {}


class Zoned(Prediction):
    """A prediction whose column `region` has texts that look like one number."""

    region = property(lambda self: "01" if self.row else "1")


def test_classes_and_values_are_those_of_the_baseline(engine, tmp_path) -> None:
    schema = {"defaulted": "string", "loan": "string", "region": "string"}
    bias = {"facets": {"region": ["01"]}}
    monitoring = {"quality": {"wait": WAIT}, "bias": bias, "segments": ["region"]}
    data = {**PROJECT["data"], "schema": schema}
    here = Monitored(engine, tmp_path, {**PROJECT, "data": data, "monitoring": monitoring})
    here.ledger.put(deployment(1, START, START))
    with engine.session() as connection:
        connection.execute("CREATE TEMP TABLE rows AS SELECT '01' AS region, 'no' AS label")
        inputs, answers = (
            measure(connection, "rows", {name: "string"}).as_dict() for name in ("region", "label")
        )
    segment = {"inputs": inputs, "predictions": answers}
    baseline = {
        "schema_version": 1,
        "run": "run-1",
        "model": MODEL,
        "problem": "binary",
        "rows": 1,
        "classes": ["no", "yes"],
        "inputs": inputs,
        "predictions": answers,
        "bias": {},
        "quality": None,
        "attribution": None,
        "segments": {"region": {"01": segment, "1": segment}},
    }
    place = f"headrace-artifacts/{baseline_key(MODEL, 'run-1')}"
    here.storage.objects[place] = json.dumps(baseline).encode()
    answers = [(0, 0.9, "yes"), (1, 0.8, "yes"), (2, 0.1, "no"), (3, 0.2, "no")]
    here.predict([Zoned(n, 1, f"r{n}", n % 2, "", score, said) for n, score, said in answers])
    said = ["yes", "zz: not known yet", "yes", "no"]
    here.tell([tell(20, f"r{n}", value) for n, value in enumerate(said)])  # type: ignore[arg-type]
    here.join()
    [document] = here.documents().values()
    assert (document.outcomes, document.unscored) == (4, 1)
    assert document.counts is not None
    assert document.counts["confusion"] == [[1, 0], [1, 1]]
    segments = document.segments["region"]
    assert {value: of["confusion"] for value, of in segments.items()} == {
        "01": [[1, 0], [0, 0]],
        "1": [[0, 0], [1, 1]],
    }
    facet = sorted((inside, said) for inside, said, *_ in document.bias["region"]["counts"])
    assert facet == [(False, "yes"), (False, "yes"), (True, "no")]


@pytest.mark.parametrize(
    ("labels", "positive"),
    [(["0"], "1"), (["false"], "true"), (["9", "10"], "10"), (["bad", "good"], "good"), ([], None)],
)
def test_the_positive_label_is_the_last_in_order(labels, positive):
    assert positive_label(labels) == positive


def test_delays_of_nobody_have_no_quantile():
    assert delay_quantile({}, 0.5) is None
    assert feedback([], START).complete
    document = json.loads(
        QualityDocument(
            slot="x", seconds=1, until=START, problem="binary", predictions=1, outcomes=0
        ).model_dump_json()
    )
    assert not feedback([QualityDocument(**document)], START - timedelta(days=1)).complete

import pytest

from headrace.definition import Column, parse
from headrace.errors import ProjectError

SMALLEST = "name: churn\ndata: {label: left}"


def test_the_smallest_model_is_two_lines() -> None:
    definition = parse(SMALLEST, "local")
    assert definition.metric == "roc_auc"
    assert definition.approval == "manual"


def test_an_environment_overrides_only_what_it_names() -> None:
    text = SMALLEST + "\nenvironments: {prod: {data: {entity: customer}, approval: automatic}}"
    assert parse(text, "dev").data.entity is None
    prod = parse(text, "prod")
    assert (prod.data.label, prod.data.entity, prod.approval) == ("left", "customer", "automatic")


def test_a_column_may_be_declared_short_or_long() -> None:
    text = "name: a\ndata: {label: y, schema: {y: boolean, x: {type: number, minimum: 0}}}"
    data = parse(text, "dev").data
    assert data.column("y") == Column(type="boolean")
    assert data.column("x") == Column(type="number", minimum=0)
    assert data.column("z") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: [", "not YAML"),
        ("just words", "must be a mapping"),
        ("name: Churn!\ndata: {label: y}", "model.yaml: name:"),
        ("name: churn\ndata: {labl: y}", "data.labl: is not known here"),
        ("name: churn\ndata: {label: y}\nevaluation: {metric: rmse}", "does not measure binary"),
        ("name: churn\ndata: {label: y}\nevaluation: {metric: luck}", "'luck' is unknown"),
        ("name: churn\ndata: {label: y, schema: {x: number}}", "label names column 'y'"),
        ("name: churn\ndata: {label: y, entity: y}", "cannot also be used"),
        ("name: churn\ndata: {label: y}\ntraining: {entrypoint: ../../x.py}", "entrypoint"),
        ("name: churn\ndata: {label: y}\nenvironments: [prod]", "must map an environment"),
        (
            "name: churn\ndata: {label: y}\nmonitoring: {quality: {thresholds: {rmse: 1}}}",
            "'rmse' is not measured of live binary predictions",
        ),
        (
            "name: churn\ndata: {label: y}\nmonitoring: {bias: {facets: {x: [a]}, limits: {X: 1}}}",
            "'X' is unknown: choose one of CI,",
        ),
        (
            "name: churn\ndata: {label: y, schema: {y: boolean}}\nmonitoring: {segments: [region]}",
            "monitoring.segments names column 'region'",
        ),
    ],
)
def test_mistakes_are_named_with_their_place(text: str, message: str) -> None:
    with pytest.raises(ProjectError, match=r"model\.yaml") as raised:
        parse(text, "dev")
    assert message in str(raised.value)


def test_every_mistake_is_told_at_once() -> None:
    with pytest.raises(ProjectError) as raised:
        parse("name: churn\ndata: {labl: y}\napproval: perhaps", "dev")
    assert len(str(raised.value).splitlines()) == 3

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace import names

WORDS = st.text(st.characters(codec="ascii"), max_size=120)


@given(st.lists(WORDS, min_size=1, max_size=4))
def test_execution_names_are_valid_and_repeatable(parts: list[str]) -> None:
    name = names.execution_name(*parts)
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,80}", name)
    assert name == names.execution_name(*parts)


@given(st.lists(WORDS, min_size=2, max_size=2), st.lists(WORDS, min_size=2, max_size=2))
def test_different_causes_have_different_names(one: list[str], other: list[str]) -> None:
    assert (names.execution_name(*one) == names.execution_name(*other)) == (one == other)


def test_the_boundary_between_parts_counts() -> None:
    assert names.digest("ab", "c") != names.digest("a", "bc")


@pytest.mark.parametrize("model", ["churn", "a" * 32])
def test_sagemaker_names_fit_and_start_with_the_stack(model: str) -> None:
    run = names.run_id(model, "d" * 64, "p" * 12)
    name = names.sagemaker_name("headrace-staging-europe", run)
    assert len(name) <= 63
    assert name.startswith("headrace-staging-europe-")


def test_a_package_group_leads_back_to_its_model() -> None:
    group = names.package_group_name("headrace-dev", "credit-risk")
    assert names.model_of("headrace-dev", group) == "credit-risk"
    assert names.model_of("other", group) is None


def test_approving_again_is_another_deployment() -> None:
    first = names.deployment_id("churn", 1, "2026-01-01T00:00:00Z")
    assert first == names.deployment_id("churn", 1, "2026-01-01T00:00:00Z")
    assert first != names.deployment_id("churn", 1, "2026-01-02T00:00:00Z")

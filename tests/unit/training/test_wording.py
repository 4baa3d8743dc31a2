from hypothesis import assume, given
from hypothesis import strategies as st

from headrace.training.wording import compared, number

finite = st.floats(-1e9, 1e9, allow_nan=False)


def test_small_differences_are_shown() -> None:
    told = compared("roc_auc", 0.97112, 0.97104, "the champion's")
    assert told == "roc_auc 0.97112 is above the champion's 0.97104 (+0.00008)"


def test_large_numbers_are_readable() -> None:
    assert number(1234567) == "1,234,567"
    assert compared("rmse", 1234.5, 1200.0, "the champion's") == (
        "rmse 1,234.500 is above the champion's 1,200.000 (+34.500)"
    )


@given(value=finite, other=finite)
def test_a_comparison_says_the_side(value: float, other: float) -> None:
    assume(value != other)
    assert (" is above " in compared("m", value, other, "the limit")) is (value > other)

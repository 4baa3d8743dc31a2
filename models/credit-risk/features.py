"""Features of a loan application: row by row, the same function at training and at serving."""

import numpy as np

# The middle of each published salary range, in thousands of euros a year.
SALARIES = {"0 - 20K €": 10.0, "20K - 40K €": 30.0, "40K - 60K €": 50.0, "60K+ €": 75.0}


def features(columns):
    """Add what a loan officer would work out: the amount lent, the instalment, the burden."""
    downpayment = parse(columns["size_of_downpayment"], lambda text: float(text.rstrip("%")) / 100)
    salary = parse(columns["salary_range"], lambda text: SALARIES.get(text, np.nan))
    lent = columns["car_value"] * (1 - downpayment)
    instalment = lent / columns["loan_length"]
    return {
        "car_value": columns["car_value"],
        "salary_range": columns["salary_range"],
        "debt_to_income_ratio": columns["debt_to_income_ratio"],
        "loan_length": columns["loan_length"],
        "repaid_loan_on_prev_car": columns["repaid_loan_on_prev_car"],
        "driver_tenure": columns["driver_tenure"],
        "downpayment": downpayment,
        "lent": lent,
        "instalment": instalment,
        "instalment_to_salary": instalment * 12 / (salary * 1000),
    }


def parse(texts, number):
    """Return a number for each text, null for null."""
    known = {text: np.nan if text is None else number(text) for text in set(texts.tolist())}
    return np.array([known[text] for text in texts.tolist()], dtype=float)

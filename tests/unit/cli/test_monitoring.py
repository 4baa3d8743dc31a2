"""`monitor` starts the machine, waits for its verdict and says why."""

import json

import boto3
import pytest
from moto.core.config import default_user_config

from headrace_cli.exit_codes import ExitCode

REPORTED = {"reasons": ["car_value: psi is 0.31"], "page": "https://page"}


@pytest.fixture
def machine(model, monkeypatch):
    """Return a function that makes the machine, whose executions end with what it is given."""
    monkeypatch.setitem(default_user_config, "stepfunctions", {"execute_state_machine": True})

    def make(end):
        definition = {"StartAt": "End", "States": {"End": end}}
        boto3.client("stepfunctions").create_state_machine(
            name="monitoring",
            definition=json.dumps(definition),
            roleArn="arn:aws:iam::123456789012:role/machine",
        )

    return make


@pytest.mark.parametrize(
    ("judged", "code"),
    [
        ({"verdict": "drifted", "reported": REPORTED}, ExitCode.NEGATIVE),
        ({"verdict": "unsure", "reported": REPORTED}, ExitCode.OK),
        ({"verdict": "not serving"}, ExitCode.NEGATIVE),
    ],
)
def test_the_verdict_is_told_with_its_reasons(headrace, machine, judged, code):
    machine({"Type": "Pass", "Result": judged, "End": True})
    told = headrace("monitor", "credit-risk", "--wait")
    assert told.exit_code == code
    assert judged["verdict"] in told.output
    said = [REPORTED["reasons"][0], f"page: {REPORTED['page']}"]
    said = said if "reported" in judged else ["No version of credit-risk serves"]
    assert all(each in told.output for each in said)


def test_without_waiting_the_execution_is_named(headrace, machine):
    machine({"Type": "Succeed"})
    told = headrace("monitor", "credit-risk", "--json")
    assert told.exit_code == ExitCode.OK
    execution = json.loads(told.stdout)["execution"]
    described = boto3.client("stepfunctions").describe_execution(executionArn=execution)
    assert json.loads(described["input"]) == {"model": "credit-risk"}


def test_a_fault_is_told_with_its_cause(headrace, machine):
    machine({"Type": "Fail", "Error": "MonitoringError", "Cause": "baseline.json is not JSON"})
    told = headrace("monitor", "credit-risk", "--wait")
    assert told.exit_code == ExitCode.FAILED
    assert "baseline.json is not JSON" in told.output

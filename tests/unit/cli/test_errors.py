"""Every expected fault: its exit code, its words on stderr, its JSON on stdout, no traceback."""

import json
from collections.abc import Callable

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, NoCredentialsError
from typer.testing import CliRunner, Result

from headrace.errors import DropError, ProjectError, SettingsError
from headrace_cli.errors import translate
from headrace_cli.exit_codes import ExitCode
from headrace_cli.main import app


def test_an_unknown_environment_is_a_usage_error(aws, headrace: Callable[..., Result]) -> None:
    result = headrace("status", env="nowhere")
    assert result.exit_code == ExitCode.USAGE
    assert "nowhere" in result.stderr
    assert "samconfig.toml" in result.stderr
    assert "Choose one of" in result.stderr
    assert result.stdout == ""


def test_a_local_environment_that_is_not_up(aws, headrace: Callable[..., Result]) -> None:
    result = headrace("status", env="local")
    assert result.exit_code == ExitCode.NOT_UP
    assert "headrace up --env local" in result.stderr


def test_a_stack_that_is_not_deployed(aws, headrace: Callable[..., Result]) -> None:
    aws.outputs = None
    result = headrace("status")
    assert result.exit_code == ExitCode.NOT_UP
    assert "not deployed" in result.stderr


def test_a_stack_older_than_the_command_line(aws, headrace: Callable[..., Result]) -> None:
    del aws.outputs["LedgerTable"]
    result = headrace("status")
    assert result.exit_code == ExitCode.FAILED
    assert "LedgerTable" in result.stderr


def test_a_stack_whose_creation_failed_is_not_up(aws, headrace: Callable[..., Result]) -> None:
    aws.outputs, aws.status = {}, "ROLLBACK_COMPLETE"
    result = headrace("status")
    assert result.exit_code == ExitCode.NOT_UP
    assert "ROLLBACK_COMPLETE" in result.stderr


def test_denied_by_aws_as_json(aws, headrace: Callable[..., Result]) -> None:
    aws.error = (403, "AccessDenied", "User is not authorized")
    result = headrace("status", "--json")
    assert result.exit_code == ExitCode.DENIED
    error = json.loads(result.stdout)["error"]
    assert error["exit_code"] == ExitCode.DENIED
    assert "DescribeStacks" in error["message"]
    assert "User is not authorized" in error["message"]
    assert error["next"]
    assert "Traceback" not in result.stderr


def test_an_aws_that_cannot_be_reached(aws, headrace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDFORMATION", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    result = headrace("status")
    assert result.exit_code == ExitCode.NOT_UP
    assert "cannot be reached" in result.stderr


def test_an_unknown_model_names_those_that_are_known(model, headrace) -> None:
    result = headrace("runs", "fraud")
    assert result.exit_code == ExitCode.USAGE
    assert "known: credit-risk" in result.stderr


@pytest.mark.parametrize("words", [["runs"], ["nonsense"], ["drop", "x", "--wait", "--what"]])
def test_a_command_line_nobody_understands(words: list[str]) -> None:
    assert CliRunner().invoke(app, words).exit_code == ExitCode.USAGE
    result = CliRunner().invoke(app, [*words, "--json"])
    assert result.exit_code == ExitCode.USAGE
    assert json.loads(result.stdout)["error"]["exit_code"] == ExitCode.USAGE


def test_a_bug_shows_its_traceback_and_has_its_own_code(aws, record, headrace) -> None:
    # An item without the attributes a record needs: nothing expects that.
    import boto3

    boto3.client("dynamodb").put_item(
        TableName="headrace-ledger",
        Item={"pk": {"S": "models"}, "sk": {"S": "x"}, "kind": {"S": "model"}},
    )
    result = headrace("status", "--json")
    assert result.exit_code == ExitCode.BUG
    assert json.loads(result.stdout)["error"]["type"] == "Bug"
    assert "Traceback" in result.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ProjectError("model.yaml: no"), ExitCode.NEGATIVE),
        (DropError("no such key"), ExitCode.USAGE),
        (SettingsError("missing"), ExitCode.FAILED),
        (NoCredentialsError(), ExitCode.DENIED),
        (EndpointConnectionError(endpoint_url="http://x"), ExitCode.NOT_UP),
        (ClientError({"Error": {"Code": "ExpiredToken"}}, "PutObject"), ExitCode.DENIED),
        (ClientError({"Error": {"Code": "Throttling"}}, "PutObject"), ExitCode.FAILED),
    ],
)
def test_what_every_error_means(error: Exception, code: ExitCode) -> None:
    known = translate(error, "dev")
    assert known is not None
    assert known.exit_code == code
    assert known.message
    assert known.hint


def test_what_nobody_expects_is_a_bug() -> None:
    assert translate(KeyError("x"), "dev") is None

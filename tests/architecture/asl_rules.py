"""Rules on the shape of a state machine: faults end, callbacks carry a token, names speak."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.architecture.asl import Json, Machine, Scope, edges, expressions, is_terminal, reachable
from tests.architecture.jsonata_uses import uses

RETRIED_LAMBDA_ERRORS = frozenset(
    {
        "Lambda.ClientExecutionTimeoutException",
        "Lambda.ServiceException",
        "Lambda.AWSLambdaException",
        "Lambda.SdkClientException",
        "Lambda.TooManyRequestsException",
        "AwsBusyError",
    }
)
"""What AWS asks every Lambda task to retry, and what our functions call an AWS that is busy.
https://docs.aws.amazon.com/step-functions/latest/dg/sfn-best-practices.html"""

SYNCHRONOUS_SAGEMAKER = frozenset(
    {
        "createTrainingJob",
        "createProcessingJob",
        "createHyperParameterTuningJob",
        "createTransformJob",
        "createLabelingJob",
    }
)
"""https://docs.aws.amazon.com/step-functions/latest/dg/connect-sagemaker.html"""

VERBS = frozenset((Path(__file__).parent / "verbs.txt").read_text().split())
"""What a task may begin with: one vocabulary, so that two machines say one thing in one way."""

_QUESTION = re.compile(r"^(Is|Has|Was|Are|Does|Did|Can|Should)[A-Z]")
_WORDS = re.compile(r"[A-Z][a-z0-9]*")
_INTEGRATION = re.compile(r"^arn:aws[a-z-]*:states:::(?P<call>.+?)(?P<pattern>\.[A-Za-z]+(:2)?)?$")
_OUR_ERROR = re.compile(r"^[A-Za-z]\w*$")


def tasks(machine: Machine) -> Iterator[tuple[Scope, str, Json]]:
    """Yield every Task state."""
    return (found for found in machine.states() if found[2]["Type"] == "Task")


def integration(state: Json) -> tuple[str, str]:
    """Return (`service:action`, pattern) of a Task, such as ("lambda:invoke", "")."""
    found = _INTEGRATION.match(str(state.get("Resource", "")))
    return (found["call"], found["pattern"] or "") if found else ("", "")


def machine_is_bounded(machine: Machine) -> list[str]:
    """Find machines without a deadline, a comment or JSONata."""
    definition = machine.definition
    findings = []
    if not isinstance(definition.get("TimeoutSeconds"), int):
        findings.append(f"{machine.name}: no TimeoutSeconds: an execution could run for a year")
    if definition.get("QueryLanguage") != "JSONata":
        findings.append(f"{machine.name}: QueryLanguage is not JSONata")
    if not definition.get("Comment"):
        findings.append(f"{machine.name}: no Comment says what it is for")
    return findings


def every_state_is_reached(machine: Machine) -> list[str]:
    """Find states nothing leads to, and ways to states that are not there."""
    findings = []
    for scope in machine.scopes():
        followed = reachable(scope, scope.start)
        findings += [
            f"{scope.place(n)}: nothing leads here" for n in scope.states.keys() - followed
        ]
        targets = {e.target for state in scope.states.values() for e in edges(state)}
        missing = (targets | {scope.start}) - scope.states.keys()
        findings += [f"{scope.where}: there is no state {name}" for name in missing]
    return findings


def tasks_time_out(machine: Machine) -> list[str]:
    """Find Tasks that could wait for ever."""
    return [
        f"{scope.place(name)}: no TimeoutSeconds"
        for scope, name, state in tasks(machine)
        if "TimeoutSeconds" not in state
    ]


def tasks_retry_faults(machine: Machine) -> list[str]:
    """Find Tasks without Retry, retries in step with each other, and retries without end."""
    findings = []
    for scope, name, state in tasks(machine):
        place = scope.place(name)
        retriers = state.get("Retry") or []
        if not retriers:
            findings.append(f"{place}: no Retry for transient faults")
        for retrier in retriers:
            if retrier.get("MaxAttempts", 3) == 0:
                continue
            if retrier.get("JitterStrategy") != "FULL":
                findings.append(f"{place}: Retry without JitterStrategy FULL")
            if "MaxDelaySeconds" not in retrier:
                findings.append(f"{place}: Retry without MaxDelaySeconds has no bound")
        named = {error for retrier in retriers for error in retrier["ErrorEquals"]}
        if retriers and integration(state)[0] == "lambda:invoke" and RETRIED_LAMBDA_ERRORS - named:
            missing = ", ".join(sorted(RETRIED_LAMBDA_ERRORS - named))
            findings.append(f"{place}: Retry lacks {missing}")
    return findings


def access_denied_fails_fast(machine: Machine) -> list[str]:
    """Find retries of AccessDenied, by name or by a wildcard that includes it."""
    findings = []
    for scope, name, state in machine.states():
        for retrier in state.get("Retry", []):
            wide = [
                error
                for error in retrier["ErrorEquals"]
                if "AccessDenied" in error or error in {"States.ALL", "States.TaskFailed"}
            ]
            if retrier.get("MaxAttempts", 3) == 0:
                if any("AccessDenied" in error for error in wide):
                    break
            elif wide:
                findings.append(
                    f"{scope.place(name)}: Retry of {wide[0]} repeats AccessDenied, which no "
                    "repetition mends"
                )
    return findings


def faults_end_in_a_status(machine: Machine) -> list[str]:
    """Find Tasks whose unforeseen faults are not caught and led to a terminal state.

    A Task inside a Map or Parallel may leave it to the Catch of the state around it.
    """
    findings = []
    for scope, name, _ in tasks(machine):
        caught, catching = _catcher(scope, name)
        if caught is None:
            findings.append(f"{scope.place(name)}: no Catch of States.ALL")
        elif not any(is_terminal(catching.states[n]) for n in reachable(catching, caught)):
            findings.append(f"{scope.place(name)}: its Catch leads to no terminal state")
    return findings


def _catcher(scope: Scope, name: str) -> tuple[str | None, Scope]:
    for catcher in scope.states[name].get("Catch", []):
        if "States.ALL" in catcher["ErrorEquals"]:
            return catcher["Next"], scope
    if scope.parent is None or scope.owner is None:
        return None, scope
    return _catcher(scope.parent, scope.owner)


def integrations_exist(machine: Machine) -> list[str]:
    """Find `.sync:2` on SageMaker, `.sync` where SageMaker has none, callbacks without token."""
    findings = []
    for scope, name, state in tasks(machine):
        place = scope.place(name)
        call, pattern = integration(state)
        if not call:
            findings.append(f"{place}: Resource {state.get('Resource')!r} is no integration")
        service, _, action = call.partition(":")
        if service == "sagemaker" and pattern == ".sync:2":
            findings.append(f"{place}: SageMaker has .sync, not .sync:2")
        if service == "sagemaker" and pattern == ".sync" and action not in SYNCHRONOUS_SAGEMAKER:
            findings.append(f"{place}: SageMaker has no .sync for {action}")
        if call.startswith("aws-sdk:") and pattern.startswith(".sync"):
            findings.append(f"{place}: aws-sdk integrations have no {pattern}")
        if pattern == ".waitForTaskToken" and not _passes_token(state.get("Arguments")):
            findings.append(f"{place}: waits for a token that its Arguments give to nobody")
        if pattern != ".waitForTaskToken" and _passes_token(state.get("Arguments")):
            findings.append(f"{place}: there is a token only with .waitForTaskToken")
    return findings


def _passes_token(arguments: Any) -> bool:
    return any(
        path[:3] == ("context", "Task", "Token")
        for _, code in expressions(arguments)
        for path in uses(code).states
    )


def names_speak(machine: Machine) -> list[str]:
    """Find Tasks that are not named verb + noun and Choices that ask nothing."""
    findings = []
    for scope, name, state in machine.states():
        words = _WORDS.findall(name)
        if "".join(words) != name:
            findings.append(f"{scope.place(name)}: names are written LikeThis")
        elif state["Type"] == "Task" and (len(words) < 2 or words[0] not in VERBS):
            findings.append(f"{scope.place(name)}: a task is named verb + noun (VERBS lists them)")
        elif state["Type"] == "Choice" and not _QUESTION.match(name):
            findings.append(f"{scope.place(name)}: a choice is a question: Is…, Has…, Was…")
    return findings


def caught_errors_exist(machine: Machine, ours: frozenset[str]) -> list[str]:
    """Find errors in Retry and Catch that neither AWS (`Service.Error`) nor `headrace` raises."""
    return [
        f"{scope.place(name)}: nothing raises {error}"
        for scope, name, state in machine.states()
        for handler in state.get("Retry", []) + state.get("Catch", [])
        for error in handler["ErrorEquals"]
        if _OUR_ERROR.match(error) and error not in ours
    ]


RULES = (
    machine_is_bounded,
    every_state_is_reached,
    tasks_time_out,
    tasks_retry_faults,
    access_denied_fails_fast,
    faults_end_in_a_status,
    integrations_exist,
    names_speak,
)

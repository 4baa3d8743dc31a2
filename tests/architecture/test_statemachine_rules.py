"""Each rule on state machines catches the fault it is for, and accepts a machine without one."""

import copy
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.architecture import asl, asl_rules, asl_variables, machine_linters, service_arguments
from tests.architecture.asl import Json, Machine
from tests.architecture.project import NothingToCheckError, discover

HEALTHY = yaml.safe_load(
    (
        Path(__file__).parent / "fixtures" / "project" / "statemachines" / "training.asl.yaml"
    ).read_text()
)
RULES = (*asl_rules.RULES, *asl_variables.RULES, service_arguments.arguments_are_valid)
SLICE = ("JudgeSlices", "ItemProcessor", "States", "JudgeSlice")


def healthy() -> Machine:
    return asl.machine("healthy.asl.yaml", copy.deepcopy(HEALTHY))


def broken(*path_and_value: object) -> Machine:
    """The healthy machine with one value replaced (or removed by None) below States."""
    *path, key, value = path_and_value
    definition = copy.deepcopy(HEALTHY)
    node: Json = definition["States"]
    for step in path:
        node = node[step]
    if value is None:
        del node[key]
    else:
        node[key] = value
    return asl.machine("broken.asl.yaml", definition)


def without(key: str) -> Machine:
    return asl.machine("broken.asl.yaml", {k: v for k, v in HEALTHY.items() if k != key})


def renamed(old: str, new: str) -> Machine:
    text = yaml.safe_dump(HEALTHY).replace(old, new)
    return asl.machine("broken.asl.yaml", yaml.safe_load(text))


RETRY = HEALTHY["States"]["TrainCandidate"]["Retry"][0]
JITTERLESS = [{k: v for k, v in RETRY.items() if k != "JitterStrategy"}]
UNBOUNDED = [{k: v for k, v in RETRY.items() if k != "MaxDelaySeconds"}]
LOOP = {"Type": "Pass", "Next": "Again"}

SEEDED: list[tuple[Callable[[Machine], list[str]], Machine, str]] = [
    (asl_rules.machine_is_bounded, without("TimeoutSeconds"), "no TimeoutSeconds"),
    (asl_rules.machine_is_bounded, without("QueryLanguage"), "JSONata"),
    (asl_rules.machine_is_bounded, without("Comment"), "Comment"),
    (asl_rules.every_state_is_reached, broken("Lost", {"Type": "Succeed"}), "nothing leads here"),
    (asl_rules.every_state_is_reached, broken("PlanRun", "Next", "Nowhere"), "no state Nowhere"),
    (asl_rules.tasks_time_out, broken("PlanRun", "TimeoutSeconds", None), "TimeoutSeconds"),
    (asl_rules.tasks_time_out, broken(*SLICE, "TimeoutSeconds", None), "JudgeSlices/JudgeSlice"),
    (asl_rules.tasks_retry_faults, broken("TrainCandidate", "Retry", None), "no Retry"),
    (asl_rules.tasks_retry_faults, broken("TrainCandidate", "Retry", JITTERLESS), "Jitter"),
    (asl_rules.tasks_retry_faults, broken("TrainCandidate", "Retry", UNBOUNDED), "no bound"),
    (
        asl_rules.tasks_retry_faults,
        broken("PlanRun", "Retry", [RETRY]),
        "Retry lacks AwsBusyError, Lambda.",
    ),
    (
        asl_rules.access_denied_fails_fast,
        broken("TrainCandidate", "Retry", 0, "ErrorEquals", ["States.TaskFailed"]),
        "repeats AccessDenied",
    ),
    (
        asl_rules.access_denied_fails_fast,
        broken("PlanRun", "Retry", 0, "ErrorEquals", ["DynamoDb.AccessDeniedException"]),
        "repeats AccessDenied",
    ),
    (asl_rules.faults_end_in_a_status, broken("PlanRun", "Catch", None), "no Catch"),
    (asl_rules.faults_end_in_a_status, broken("JudgeSlices", "Catch", None), "JudgeSlice: no"),
    (
        asl_rules.faults_end_in_a_status,
        asl.machine(
            "broken",
            HEALTHY
            | {
                "States": HEALTHY["States"]
                | {"RunFailed": {"Type": "Pass", "Next": "Again"}, "Again": LOOP}
            },
        ),
        "leads to no terminal state",
    ),
    (
        asl_rules.integrations_exist,
        broken("TrainCandidate", "Resource", "arn:aws:states:::sagemaker:createTrainingJob.sync:2"),
        "not .sync:2",
    ),
    (
        asl_rules.integrations_exist,
        broken("TrainCandidate", "Resource", "arn:aws:states:::sagemaker:createEndpoint.sync"),
        "no .sync for createEndpoint",
    ),
    (
        asl_rules.integrations_exist,
        broken("PlanRun", "Resource", "arn:aws:states:::aws-sdk:lambda:invoke.sync"),
        "aws-sdk integrations have no .sync",
    ),
    (
        asl_rules.integrations_exist,
        broken("AwaitApproval", "Arguments", "Payload", "token", None),
        "gives? to nobody",
    ),
    (
        asl_rules.integrations_exist,
        broken("PlanRun", "Arguments", "Payload", "{% $states.context.Task.Token %}"),
        "only with .waitForTaskToken",
    ),
    (asl_rules.integrations_exist, broken("PlanRun", "Resource", "${Arn}"), "no integration"),
    (asl_rules.names_speak, renamed("PlanRun", "Planning"), "verb"),
    (asl_rules.names_speak, renamed("PlanRun", "RunPlan2Go_"), "LikeThis"),
    (asl_rules.names_speak, renamed("IsCandidateBetter", "CheckCandidate"), "question"),
    (
        asl_variables.variables_are_assigned,
        broken("TrainCandidate", "Arguments", "TrainingJobName", "{% $plam.name %}"),
        "\\$plam is not assigned before",
    ),
    (  # its own Assign takes effect only when the state is left
        asl_variables.variables_are_assigned,
        broken("PlanRun", "Arguments", "Payload", "{% $plan %}"),
        "PlanRun: Arguments.Payload: \\$plan",
    ),
    (  # a Catch does not run the state's Assign
        asl_variables.variables_are_assigned,
        broken("RunFailed", "Cause", "{% $plan.name %}"),
        "not assigned on every way",
    ),
    (
        asl_variables.variables_are_assigned,
        broken("JudgeSlices", "ItemProcessor", "ProcessorConfig", "Mode", "DISTRIBUTED"),
        "JudgeSlice: Arguments.Payload.job: \\$job",
    ),
    (
        asl_variables.variables_are_assigned,
        broken(*SLICE, "Assign", {"job": "{% 1 %}"}),
        "outer one's",
    ),
    (
        asl_variables.states_fields_exist,
        broken("PlanRun", "Arguments", "Payload", "{% $states.result %}"),
        "\\$states.result does not exist here",
    ),
    (
        asl_variables.states_fields_exist,
        broken("PlanRun", "Assign", "plan", "{% $states.errorOutput %}"),
        "errorOutput does not exist here",
    ),
    (
        asl_variables.states_fields_exist,
        broken("PlanRun", "Assign", "plan", "{% $states.context.Executon.Id %}"),
        "Executon",
    ),
    (
        asl_variables.conditions_are_boolean,
        broken("IsCandidateBetter", "Choices", 0, "Condition", "{% $plan.better %}"),
        "need not be a boolean",
    ),
    (
        asl_variables.expressions_are_sound,
        broken("PlanRun", "Arguments", "Payload", "{% detail.bucket %}"),
        "field 'detail' is of nothing",
    ),
    (
        asl_variables.expressions_are_sound,
        broken("PlanRun", "Arguments", "Payload", "{% $nonsense(1) %}"),
        "no function",
    ),
    (
        asl_variables.expressions_are_sound,
        broken("PlanRun", "Arguments", "Payload", "{% $states.input ?? 1 %}"),
        "after JSONata 2.0.6",
    ),
    (
        asl_variables.expressions_are_sound,
        broken("PlanRun", "Arguments", "Payload", "{% $states.input. %}"),
        "is not JSONata",
    ),
    (
        service_arguments.arguments_are_valid,
        broken("TrainCandidate", "Arguments", "RoleArn", None),
        "RoleArn",
    ),
    (
        service_arguments.arguments_are_valid,
        broken("TrainCandidate", "Arguments", "TrainingJobNam", "x"),
        "TrainingJobNam",
    ),
    (
        service_arguments.arguments_are_valid,
        broken("TrainCandidate", "Arguments", "TrainingJobName", "no_underscore"),
        "does not match",
    ),
    (
        service_arguments.arguments_are_valid,
        broken("TrainCandidate", "Arguments", "ResourceConfig", "InstanceType", "ml.m5.huge"),
        "ml.m5.huge",
    ),
    (
        service_arguments.arguments_are_valid,
        broken("TrainCandidate", "Arguments", "ResourceConfig", "InstanceCount", "1"),
        "InstanceCount",
    ),
    (
        service_arguments.arguments_are_valid,
        broken("TrainCandidate", "Resource", "arn:aws:states:::sagemaker:createTrainingJobs"),
        "AWS has no sagemaker:createTrainingJobs",
    ),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_healthy_machine_has_no_finding(rule):
    assert rule(healthy()) == []


@pytest.mark.parametrize(
    ("rule", "machine", "expected"), SEEDED, ids=[f"{r.__name__}-{e}" for r, _, e in SEEDED]
)
def test_a_seeded_fault_is_found(rule, machine, expected):
    findings = rule(machine)
    assert any(re.search(expected, finding) for finding in findings), findings


def test_every_rule_has_a_seeded_fault():
    assert {rule for rule, _, _ in SEEDED} == set(RULES)


def test_a_guarded_variable_may_be_unassigned():
    guarded = "{% $exists($plan) ? $plan.name : 'before there was a plan' %}"
    assert asl_variables.variables_are_assigned(broken("RunFailed", "Cause", guarded)) == []


def test_unknown_errors_are_found():
    machine = broken("PlanRun", "Catch", 0, "ErrorEquals", ["LedgerEror"])
    assert asl_rules.caught_errors_exist(machine, frozenset({"LedgerError"})) != []
    assert asl_rules.caught_errors_exist(healthy(), frozenset({"AwsBusyError"})) == []


def test_statelint_finds_a_fault(tmp_path):
    assert machine_linters.statelint([healthy()], tmp_path) == []
    nowhere = broken("PlanRun", "Next", "Nowhere")
    assert "Nowhere" in "".join(machine_linters.statelint([healthy(), nowhere], tmp_path))


@pytest.mark.skipif(
    machine_linters.node_is_missing() is not None, reason=str(machine_linters.node_is_missing())
)
def test_asl_validator_finds_a_fault(tmp_path):
    assert machine_linters.asl_validator([healthy()], tmp_path) == []
    nowhere = broken("PlanRun", "Next", "Nowhere")
    assert machine_linters.asl_validator([healthy(), nowhere], tmp_path) != []


def test_cfn_lint_finds_a_fault():
    assert machine_linters.cfn_lint([healthy()]) == []
    late = broken("PlanRun", "TimeoutSeconds", "sixty")
    assert "PlanRun" in "".join(machine_linters.cfn_lint([healthy(), late]))


def test_moto_finds_a_fault():
    assert machine_linters.moto_parser([healthy()]) == []
    odd = broken("PlanRun", "Type", "Tusk")
    assert len(machine_linters.moto_parser([healthy(), odd])) == 1


def test_no_machine_is_no_pass(tmp_path):
    with pytest.raises(NothingToCheckError):
        discover("statemachines/*.asl.yaml", root=tmp_path)

"""Each rule on the template catches the fault it is for, and accepts a stack without one."""

import re
import shutil
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import BaseModel

from tests.architecture import cfn, event_rules, hops, iam_rules, template_rules

PROJECT = Path(__file__).parent / "fixtures" / "project"
STACK_RULES = (
    *hops.RULES,
    *iam_rules.RULES,
    *template_rules.RULES,
    event_rules.only_approval_deploys,
)


class Fact(BaseModel):
    """Stands for headrace.events.Event."""

    source: ClassVar[str]


class CandidateRegistered(Fact):
    source: ClassVar[str] = "headrace.training"
    run: str


TYPES = event_rules.event_types(Fact)
VALUES = {"AWS::StackName": "headrace"}


def known_events(stack: cfn.Stack) -> list[str]:
    return event_rules.rules_name_known_events(stack, TYPES)


def short_template(path: Path) -> list[str]:
    return template_rules.is_short(path, 200)


def examples(path: Path) -> list[str]:
    return event_rules.examples_parse(path.parent / "events", TYPES)


def examples_match(path: Path) -> list[str]:
    return event_rules.examples_meet_their_rules(path.parent / "events", cfn.flatten(path), VALUES)


FILE_RULES = (
    short_template,
    template_rules.follows_the_journey,
    template_rules.handlers_exist,
    template_rules.substitutions_match,
    iam_rules.wildcards_have_a_reason,
    examples,
    examples_match,
)

TEMPLATE, ALARMS, ROLES = "template.yaml", "stacks/alarms.yaml", "stacks/roles.yaml"
HANDLER, MACHINE = "functions/training/start_run.py", "statemachines/training.asl.yaml"
EXAMPLE = "events/training/CandidateRegistered.json"
RETRY = "RetryPolicy: {MaximumRetryAttempts: 24, MaximumEventAgeInSeconds: 86400}"
FAILURE = ", DestinationConfig: {OnFailure: {Type: SQS, Destination: !GetAtt DeadLetters.Arn}}"
DLQ = "DeadLetterConfig: {Arn: !GetAtt DeadLetters.Arn}"
DENY = "Action: [sagemaker:CreateModelPackage, sagemaker:UpdateModelPackage]"

APPROVED = 'Condition: {StringEquals: {"sagemaker:ModelApprovalStatus": Approved}}'
DENIAL = f"""\
            - Effect: Deny
              {DENY}
              Resource: "*"  # a Deny, so the wider the better
              {APPROVED}
"""
TRANSPORT = "# every action, because what is denied is the transport"
UNNAMED, WIDER = "# A job's name is not known before its run.", "# a Deny, so the wider the better"

# (rule, file, the text that is replaced wherever it stands, by what, what the finding says)
SEEDED = [
    (hops.every_hop_is_retried, TEMPLATE, RETRY, "State: ENABLED", "Registered.*: no retry policy"),
    (hops.every_hop_is_retried, TEMPLATE, "MaximumRetryAttempts: 3, ", "", "Nightly: no retry"),
    (
        hops.every_hop_is_retried,
        TEMPLATE,
        "{MaximumRetryAttempts: 2, Dest",
        "{Dest",
        r"StartRunFunction \(asynchronous\): no retry",
    ),
    (hops.every_hop_keeps_dead_letters, TEMPLATE, DLQ, "State: ENABLED", "Nightly: no dead-letter"),
    (hops.every_hop_keeps_dead_letters, TEMPLATE, FAILURE, "", "asynchronous.*: no dead-letter"),
    (
        hops.every_hop_keeps_dead_letters,
        TEMPLATE,
        "RedrivePolicy: {deadLetterTargetArn: !GetAtt DeadLetters.Arn}",
        "RawMessageDelivery: true",
        "NewsToQueue: no dead-letter",
    ),
    (
        hops.every_hop_keeps_dead_letters,
        TEMPLATE,
        "RedrivePolicy: {deadLetterTargetArn: !GetAtt DeadLetters.Arn, maxReceiveCount: 5}",
        "DelaySeconds: 0",
        "StartRunFunctionRequested: no dead-letter",
    ),
    (
        hops.every_dead_letter_queue_has_an_alarm,
        ALARMS,
        "AlarmActions: [!Ref Topic]",
        "",
        "DeadLetters: no alarm",
    ),
    (
        hops.every_dead_letter_queue_has_an_alarm,
        TEMPLATE,
        "DeadLetters: !GetAtt DeadLetters.QueueName",
        "DeadLetters: !GetAtt Requests.QueueName",
        "DeadLetters: no alarm",
    ),
    (hops.dead_letters_keep_long_enough, TEMPLATE, "1209600", "345600", "14 days"),
    (
        hops.consumers_report_single_failures,
        TEMPLATE,
        ", FunctionResponseTypes: [ReportBatchItemFailures]",
        "",
        "whole batch",
    ),
    (hops.consumers_report_single_failures, TEMPLATE, "Timeout: 360", "Timeout: 60", "under 6 x"),
    (hops.every_machine_has_alarms, ALARMS, "ExecutionsTimedOut", "Other", "on ExecutionsTimedOut"),
    (iam_rules.who_trains_never_approves, ROLES, "[!Ref NeverApprove]", "[]", "JobRole: trains"),
    (
        iam_rules.who_trains_never_approves,
        TEMPLATE,
        DENY,
        "Action: sagemaker:CreateModelPackage",
        "TrainingStateMachineRole: .* sagemaker:UpdateModelPackage",
    ),
    (
        iam_rules.who_trains_never_approves,
        TEMPLATE,
        '"sagemaker:ModelApprovalStatus": Approved',
        '"sagemaker:ModelApprovalStatus": Rejected',
        "TrainingStateMachineRole: trains",
    ),
    (  # a Deny that holds only sometimes does not hold
        iam_rules.who_trains_never_approves,
        TEMPLATE,
        DENIAL,
        "            - !If [Strict, {Effect: Deny, " + DENY + ', Resource: "*", ' + APPROVED + "}, "
        "!Ref AWS::NoValue]\n",
        "TrainingStateMachineRole: trains",
    ),
    (
        iam_rules.roles_trust_their_service_for_this_account,
        ROLES,
        'Condition: {StringEquals: {"aws:SourceAccount": !Ref AWS::AccountId}}',
        "Sid: Anybody",
        "whatever account",
    ),
    (
        iam_rules.roles_are_passed_to_one_service,
        TEMPLATE,
        'Condition: {StringEquals: {"iam:PassedToService": sagemaker.amazonaws.com}}',
        "Sid: Anyone",
        "iam:PassRole to any",
    ),
    (iam_rules.wildcards_have_a_reason, TEMPLATE, TRANSPORT, "", r"yaml:\d+: 's3:\*' is"),
    (iam_rules.wildcards_have_a_reason, TEMPLATE, UNNAMED, "", "training-job"),
    (iam_rules.wildcards_have_a_reason, TEMPLATE, WIDER, "", r"'\*' is wide"),
    (
        template_rules.data_outlives_the_stack,
        TEMPLATE,
        "DeletionPolicy: Retain",
        "DeletionPolicy: Delete",
        "Data: DeletionPolicy",
    ),
    (
        template_rules.data_outlives_the_stack,
        TEMPLATE,
        "UpdateReplacePolicy: Retain\n",
        "\n",
        "Data: UpdateReplacePolicy",
    ),
    (
        template_rules.buckets_are_private,
        TEMPLATE,
        "BlockPublicPolicy: true",
        "BlockPublicPolicy: false",
        "BlockPublicPolicy is not true",
    ),
    (template_rules.buckets_are_private, TEMPLATE, "BucketEncryption", "Other", "not encrypted"),
    (template_rules.buckets_are_private, TEMPLATE, "Enabled}", "Suspended}", "not versioned"),
    (template_rules.buckets_are_private, TEMPLATE, "Enabled: true", "Enabled: false", "nothing"),
    (template_rules.buckets_are_private, TEMPLATE, 'Transport": false', 'Transport": true', "TLS"),
    (template_rules.buckets_are_private, TEMPLATE, ', !Sub "${Data.Arn}/*"]', "]", "TLS"),
    (template_rules.nothing_is_public, TEMPLATE, "Effect: Deny", "Effect: Allow", "everybody"),
    (
        template_rules.nothing_is_public,
        TEMPLATE,
        "Handler: start_run.handler",
        "Handler: start_run.handler\n      FunctionUrlConfig: {AuthType: NONE}",
        "asks nobody",
    ),
    (short_template, TEMPLATE, "# A stack", "\n" * 200 + "# A stack", "more than 200"),
    (
        template_rules.follows_the_journey,
        TEMPLATE,
        "CodeUri: functions/deployment",
        "CodeUri: functions/datasets",
        "datasets comes after training",
    ),
    (
        template_rules.follows_the_journey,
        TEMPLATE,
        "CodeUri: functions/deployment",
        "CodeUri: functions/deploying",
        "no stage",
    ),
    (
        template_rules.handlers_exist,
        TEMPLATE,
        "start_run.handler",
        "start_ru.handler",
        "there is no",
    ),
    (template_rules.handlers_exist, TEMPLATE, "start_run.handler", "start_run.main", "has no"),
    (template_rules.handlers_exist, HANDLER, "def", "\n" * 60 + "def", "more than 60"),
    (
        template_rules.handlers_exist,
        TEMPLATE,
        "deployment\n      Handler: start_deployment",
        "training\n      Handler: start_run",
        "start_deployment.py: no function",
    ),
    (
        template_rules.substitutions_match,
        MACHINE,
        "${JobRoleArn}",
        "${JobRole}",
        "JobRole is not supplied",
    ),
    (
        template_rules.substitutions_match,
        MACHINE,
        "${JobRoleArn}",
        "none",
        "JobRoleArn is supplied and not used",
    ),
    (known_events, TEMPLATE, "[CandidateRegistered]", "[CandidateRegisterd]", "announces"),
    (known_events, TEMPLATE, "[headrace.training]", "[headrace.registry]", "announces"),
    (known_events, TEMPLATE, "Model Package State", "Package State", "announces"),
    (known_events, TEMPLATE, "            EventBusName: !Ref Bus\n", "", "our own bus"),
    (
        known_events,
        TEMPLATE,
        "PackageApproved:\n          Type: EventBridgeRule\n          Properties:\n",
        "PackageApproved:\n          Type: EventBridgeRule\n          Properties:\n"
        "            EventBusName: !Ref Bus\n",
        "default bus",
    ),
    (
        event_rules.only_approval_deploys,
        TEMPLATE,
        "ModelApprovalStatus: [Approved], ",
        "",
        "does not filter",
    ),
    (
        event_rules.only_approval_deploys,
        TEMPLATE,
        "ModelApprovalStatus: [Approved]",
        "ModelApprovalStatus: [Approved, PendingManualApproval]",
        "does not filter",
    ),
    (
        event_rules.only_approval_deploys,
        TEMPLATE,
        "SageMaker Model Package State Change",
        "SageMaker Endpoint State Change",
        "no rule leads",
    ),
    (examples, EXAMPLE, '"run"', '"job"', "run\n.*Field required"),
    (examples, EXAMPLE, "headrace.training", "headrace.registry", "belongs to"),
    (examples, EXAMPLE, '"CandidateRegistered"', '"CandidateTrained"', "has no example"),
    (examples, "events/aws/PackageApproved.json", "SageMaker Model", "Model", "announces no"),
    (examples_match, "events/aws/PackageApproved.json", "Approved", "Rejected", "no example in"),
]
CHECKED = (*STACK_RULES, *FILE_RULES, known_events)


def findings(rule, template: Path) -> list[str]:
    """Run a rule on a template, as a whole stack or as files."""
    return rule(template) if rule in FILE_RULES else rule(cfn.flatten(template))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return Path(shutil.copytree(PROJECT, tmp_path / "project"))


@pytest.mark.parametrize("rule", CHECKED, ids=lambda rule: rule.__name__)
def test_a_healthy_stack_has_no_finding(rule):
    assert findings(rule, PROJECT / TEMPLATE) == []


@pytest.mark.parametrize(
    ("rule", "file", "old", "new", "expected"),
    SEEDED,
    ids=[f"{s[0].__name__}-{n}" for n, s in enumerate(SEEDED)],
)
def test_a_seeded_fault_is_found(rule, file, old, new, expected, project):
    text = (project / file).read_text()
    assert old in text, "the fixture has changed: there is nothing to break"
    (project / file).write_text(text.replace(old, new))
    found = findings(rule, project / TEMPLATE)
    assert any(re.search(expected, finding) for finding in found), found


def test_every_rule_has_a_seeded_fault():
    assert {seeded[0] for seeded in SEEDED} == set(CHECKED)


def test_a_child_stack_is_seen_through():
    stack = cfn.flatten(PROJECT / TEMPLATE)
    assert iam_rules.trainers(stack) == {"Roles.JobRole", "TrainingStateMachineRole"}
    alarm = stack.of("AWS::CloudWatch::Alarm")["Alarms.DeadLettersAlarm"]
    assert alarm["Dimensions"][0]["Value"] == {"Fn::GetAtt": ["DeadLetters", "QueueName"]}
    [policy] = stack.of("AWS::IAM::Role")["Roles.JobRole"]["Policies"]
    [statement] = policy["PolicyDocument"]["Statement"]
    assert statement["Resource"] == {"Fn::Sub": "${Data.Arn}/*"}


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        (["a"], "a", "b"),
        ([{"prefix": "ab"}], "abc", "bc"),
        ([{"suffix": "/x"}], "a/x", "a/y"),
        ([{"exists": False}], None, "a"),
        ([{"anything-but": "a"}], "b", "a"),
        ({"inner": ["a"]}, {"inner": "a"}, {"other": "a"}),
    ],
)
def test_patterns_match_as_eventbridge_does(pattern, matching, other):
    assert event_rules.matches({"detail": pattern}, {"detail": matching})
    assert not event_rules.matches({"detail": pattern}, {"detail": other})


def test_a_stack_without_rules_is_no_pass():
    empty = cfn.Stack({})
    assert known_events(empty) != []
    assert event_rules.only_approval_deploys(empty) != []
    assert iam_rules.who_trains_never_approves(empty) != []

"""Every event has an example that its class accepts, and every rule has one that starts it."""

from headrace import events
from tests.architecture import cfn, event_rules
from tests.architecture.project import ROOT, discover, report

STACK_NAME = {"AWS::StackName": "headrace"}
"""What the examples call the stack."""


def test_every_event_has_an_example_that_parses():
    discover("events/**/*.json")
    findings = event_rules.examples_parse(ROOT / "events", event_rules.event_types(events.Event))
    assert not findings, report(findings)


def test_every_rule_has_an_example_that_matches():
    discover("events/**/*.json")
    stack = cfn.flatten(ROOT / "template.yaml")
    findings = event_rules.examples_meet_their_rules(ROOT / "events", stack, STACK_NAME)
    assert not findings, report(findings)

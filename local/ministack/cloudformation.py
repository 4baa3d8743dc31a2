"""CloudFormation: definitions in YAML, missing resource types, properties silently dropped.

Each function says what AWS documents and what stock MiniStack does with it.
"""

import json
from typing import Any

import yaml
from ministack.services.cloudformation import provisioners

from local.ministack import guard


def install() -> None:
    """Register the corrections."""
    _accept_yaml_definitions()


def _accept_yaml_definitions() -> None:
    """AWS::StepFunctions::StateMachine (DefinitionS3Location, DefinitionString): JSON or YAML.

    Stock creates the machine from the YAML text; every execution then fails to parse it.
    """

    def definition(props: dict[str, Any]) -> str:
        text = guard.stock(definition)(props)
        try:
            json.loads(text)
        except ValueError:
            return json.dumps(yaml.safe_load(text), default=str)
        return str(text)

    guard.replace(provisioners, "_sfn_definition", "props", definition)

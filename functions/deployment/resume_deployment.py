"""An endpoint changed: if it has settled, wake the deployment that waits for it."""

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.parser import event_parser
from aws_lambda_powertools.utilities.parser.envelopes import EventBridgeEnvelope
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel

from headrace.aws.clients import client
from headrace.aws.endpoints import resume_deployment
from headrace.aws.ledger import Ledger
from headrace.settings import settings

logger = Logger(service="deployment")


class EndpointStateChange(BaseModel):
    """What is used of `SageMaker Endpoint State Change`; the endpoint is asked for the rest."""

    EndpointName: str


@logger.inject_lambda_context
@event_parser(model=EndpointStateChange, envelope=EventBridgeEnvelope)
def handler(event: EndpointStateChange, _context: LambdaContext) -> dict[str, str]:
    """Return which deployment was resumed, if any."""
    resumed = resume_deployment(
        event.EndpointName,
        Ledger.of(settings().ledger_table),
        client("sagemaker"),
        client("stepfunctions"),
    )
    logger.info("Endpoint changed", endpoint=event.EndpointName, resumed=resumed)
    return {"resumed": resumed} if resumed else {}

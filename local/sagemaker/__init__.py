"""A SageMaker of one's own: jobs and endpoints are processes that follow the container contract.

`SageMaker` is the service; `Cloud` is what it needs of the AWS around it.
"""

from local.sagemaker.cloud import Cloud
from local.sagemaker.errors import ServiceError
from local.sagemaker.service import SageMaker

__all__ = ["Cloud", "SageMaker", "ServiceError"]

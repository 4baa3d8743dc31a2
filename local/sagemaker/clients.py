"""boto3 clients of the local AWS's other services, acting as a role."""

from __future__ import annotations

import threading
from typing import Any

import boto3
from botocore.config import Config

from local.sagemaker.cloud import Cloud

_session = boto3.session.Session()
_session_lock = threading.Lock()  # making clients of one session is not thread-safe


def make_client(
    service: str, cloud: Cloud, credentials: dict[str, str], config: Config | None = None
) -> Any:
    """Return a client with credentials as `Cloud.role_credentials` gives them."""
    with _session_lock:
        return _session.client(
            service,
            region_name=cloud.region,
            endpoint_url=cloud.endpoint_url,
            aws_access_key_id=credentials.get("AWS_ACCESS_KEY_ID"),
            aws_secret_access_key=credentials.get("AWS_SECRET_ACCESS_KEY"),
            aws_session_token=credentials.get("AWS_SESSION_TOKEN"),
            config=config,
        )

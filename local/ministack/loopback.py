"""boto3 clients of this very server, with the operator's keys, for worker threads.

Never use them on the event loop: it would wait for itself.
"""

import functools
import threading
from typing import Any

import boto3
from botocore.config import Config

from local.ministack import instance

_lock = threading.Lock()


@functools.cache
def client(service: str) -> Any:
    """One client per service; they are safe to share between threads."""
    settings = instance.settings()
    with _lock:  # making clients is not
        return boto3.client(
            service,
            endpoint_url=f"http://127.0.0.1:{settings.port}",
            region_name=settings.region,
            aws_access_key_id=settings.access_key_id,
            aws_secret_access_key=settings.secret_access_key,
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
        )

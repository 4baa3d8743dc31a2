"""GetObject with the standard library alone: an image need not have an SDK to fetch its code.

Source: "Authenticating Requests (AWS Signature Version 4)" of the S3 API reference.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import os
import shutil
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import quote, urlsplit

_EMPTY = hashlib.sha256(b"").hexdigest()
_TIMEOUT = 60  # seconds without a byte


class DownloadError(Exception):
    """An object could not be fetched."""


def download(uri: str, file: Path) -> None:
    """Fetch `s3://bucket/key` with the container's own credentials. Raises DownloadError."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    region = os.environ.get("AWS_REGION", "us-east-1")
    endpoint = os.environ.get("AWS_ENDPOINT_URL", f"https://s3.{region}.amazonaws.com").rstrip("/")
    path = f"/{quote(bucket)}/{quote(key, safe='/-_.~')}"
    request = urllib.request.Request(  # noqa: S310 - the endpoint is the container's own AWS
        f"{endpoint}{path}", headers=_signed(urlsplit(endpoint).netloc, path, region)
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer, file.open("wb") as target:  # noqa: S310 - as above
            shutil.copyfileobj(answer, target)
    except urllib.error.HTTPError as error:
        raise DownloadError(f"{error.code} {error.reason}") from error
    except OSError as error:
        raise DownloadError(str(error)) from error


def _signed(host: str, path: str, region: str) -> dict[str, str]:
    """Return the headers of a signed GET."""
    if "AWS_ACCESS_KEY_ID" not in os.environ:
        raise DownloadError("this container has no credentials (network isolation)")
    now = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%SZ")
    headers = {"host": host, "x-amz-content-sha256": _EMPTY, "x-amz-date": now}
    if token := os.environ.get("AWS_SESSION_TOKEN"):
        headers["x-amz-security-token"] = token
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    canonical = f"GET\n{path}\n\n{lines}\n{names}\n{_EMPTY}"
    scope = f"{now[:8]}/{region}/s3/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"AWS4{os.environ['AWS_SECRET_ACCESS_KEY']}".encode()
    for part in (now[:8], region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    text = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{digest}"
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    credential = f"{os.environ['AWS_ACCESS_KEY_ID']}/{scope}"
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"
    )
    del headers["host"]  # urllib sends it
    return headers

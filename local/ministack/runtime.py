"""The short way of requests to endpoints: authenticated and authorized as any, routed by nobody.

MiniStack's way of a request (an HTTP server in general Python, forty services' routing, resources
and conditions for IAM) costs milliseconds; an invocation's own way costs a fraction of one. What it
checks is the same: the signature of every request, and the caller's policies, whose verdict is kept
for a second (AWS's IAM is eventually consistent: "Changes that I make are not always immediately
visible").
"""

import re
import time
import uuid
from dataclasses import dataclass

from ministack import app
from ministack.core import iam_evaluator, responses, router

from local.ministack import guard
from local.ministack.signature import matches
from local.sagemaker import SageMaker
from local.sagemaker.hosting.invocation import Answer, Runtime

_ROUTE = re.compile(r"/endpoints/([A-Za-z0-9-]+)/([a-z-]+)")
_SIGNED = "AWS4-HMAC-SHA256 Credential="
_SCOPE = "/sagemaker/aws4_request"
_TARGET_MODEL = "x-amzn-sagemaker-target-model"
_KEPT = 1.0  # seconds
_VERDICTS = 10_000
Verdict = tuple[str, str, str, str, str]


@dataclass(frozen=True)
class Request:
    """An HTTP request, header names in lower case."""

    path: str
    headers: dict[str, str]
    raw_headers: list[tuple[bytes, bytes]]
    body: bytes


class Front:
    """Answers requests to endpoints."""

    def __init__(self, service: SageMaker, region: str, account_id: str) -> None:
        self._service = service
        self._arn = f"arn:aws:sagemaker:{region}:{account_id}:endpoint/"
        self._allowed: dict[Verdict, tuple[str, float]] = {}
        """What was allowed, with the key's secret, and until when."""
        for name in ("pin_signed_request", "pin_signed_body", "resolve_credential"):
            guard.expect(hasattr(iam_evaluator, name), f"iam_evaluator.{name} is missing")
        for name in ("_enforce_data_plane", "fix_error_content_type", "_request_account_scope"):
            guard.expect(hasattr(app, name), f"app.{name} is missing")

    def takes(self, method: str, path: str, headers: dict[str, str]) -> bool:
        """Whether a request can be answered here; MiniStack answers or refuses all others."""
        found = _ROUTE.fullmatch(path)
        authorization = headers.get("authorization", "")
        return (
            found is not None
            and method == "POST"
            and found[2] in Runtime.operations
            and authorization.startswith(_SIGNED)
            and _SCOPE in authorization
        )

    async def answer(self, request: Request) -> Answer:
        """Answer a request that `takes` took; to be called in a task of its own."""
        denied = self._denial(request)
        if denied:
            return denied
        return await self._service.handle("POST", request.path, request.headers, request.body)

    def _denial(self, request: Request) -> Answer | None:
        """Return how a request is refused whose signature or policies are not sufficient."""
        headers = request.headers
        _, _, endpoint, operation = request.path.split("/")
        key = router.extract_access_key_id(headers, {})
        # The token is part of the credential; the target model may be a policy's condition.
        token, model = headers.get("x-amz-security-token", ""), headers.get(_TARGET_MODEL, "")
        verdict = (key, token, operation, endpoint, model)
        secret, until = self._allowed.get(verdict, ("", 0.0))
        if until > time.monotonic() and matches(secret, request.path, headers, request.body):
            return None
        account = app._request_account_scope(key)
        responses.set_request_account_id(account)
        responses.set_request_region(router.extract_region(headers, {}))
        iam_evaluator.pin_request_origin("127.0.0.1", True)
        iam_evaluator.pin_signed_request("POST", request.path, {}, request.raw_headers)
        iam_evaluator.pin_signed_body(request.body)
        denied = app._enforce_data_plane(
            "sagemaker",
            f"sagemaker:{Runtime.operations[operation]}",
            headers,
            {},
            str(uuid.uuid4()),
            resource_arn=self._arn + endpoint,
            service_context={"sagemaker:TargetModel": model} if model else None,
            named_resource=self._arn + endpoint,
        )
        if denied:
            self._allowed.pop(verdict, None)
            status, answer, body = denied
            app.fix_error_content_type("sagemaker", status, answer)
            return status, answer, body
        self._remember(verdict)
        return None

    def _remember(self, verdict: Verdict) -> None:
        key, token, *_ = verdict
        credential = iam_evaluator.resolve_credential(key, responses.get_account_id(), token)
        if not isinstance(credential, iam_evaluator.ResolvedCredential):
            return
        if len(self._allowed) >= _VERDICTS:
            self._allowed.clear()
        self._allowed[verdict] = (credential.secret_access_key, time.monotonic() + _KEPT)

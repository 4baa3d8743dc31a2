"""A serving container: answers with its model's text and the request, or as the request asks."""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

model = Path("/opt/ml/model/text")
text = model.read_text() if model.is_file() else "no model"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.answer(200, b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        if body.strip() == "fail":
            self.answer(500, b"asked to fail")
        else:
            self.answer(200, json.dumps({"model": text, "body": body}).encode())

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Requests are not logged."""


where = ("", int(os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080")))
ThreadingHTTPServer(where, Handler).serve_forever()

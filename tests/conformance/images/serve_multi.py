"""A multi-model container: loads, lists, unloads and asks models by the documented routes."""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

loaded: dict[str, str] = {}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/models":
            named = [{"modelName": name, "modelUrl": url} for name, url in loaded.items()]
            self.answer(200, {"models": named})
        else:
            self.answer(200 if self.path == "/ping" or self.name in loaded else 404, {})

    def do_DELETE(self) -> None:
        self.answer(200 if loaded.pop(self.name, None) else 404, {})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        if self.path == "/models":
            model = json.loads(body)
            known = model["model_name"] in loaded
            loaded[model["model_name"]] = model["url"]
            self.answer(409 if known else 200, {})
        elif self.name in loaded:
            self.answer(200, {"model": Path(loaded[self.name], "text").read_text(), "body": body})
        else:
            self.answer(404, {})

    @property
    def name(self) -> str:
        return self.path.split("/")[2] if self.path.startswith("/models/") else ""

    def answer(self, status: int, said: object) -> None:
        content = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Requests are not logged."""


where = ("", int(os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080")))
ThreadingHTTPServer(where, Handler).serve_forever()

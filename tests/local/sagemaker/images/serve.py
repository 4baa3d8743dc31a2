"""A serving container: answers with its model's text; some requests make it misbehave."""

import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

base = Path(os.environ["SAGEMAKER_BASE_DIR"])
model = base / "model" / "text"
text = os.environ.get("TEXT") or (model.read_text() if model.is_file() else "no model")
if text == "broken" or Path(os.environ.get("BROKEN_IF", "")).is_file():
    sys.stderr.write("the model is broken\n")
    sys.exit(5)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    healthy = text != "sick"

    def do_GET(self) -> None:
        if text == "hangs":
            time.sleep(600)
        self.answer(200 if Handler.healthy else 500, b"")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if body == b"crash":
            os._exit(6)
        if body == b"sicken":
            Handler.healthy = False
        if body == b"slow":
            time.sleep(0.5)
        if body == b"hang":
            time.sleep(600)
        if text == "fails":
            body = b"500"
        if body.isdigit():
            return self.answer(int(body), b"as asked")
        given = {
            "text": text,
            "pid": os.getpid(),
            "body": body.decode(),
            "path": self.path,
            "headers": {name.lower(): value for name, value in self.headers.items()},
        }
        return self.answer(200, json.dumps(given).encode())

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", self.headers.get("accept") or "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Amzn-SageMaker-Custom-Attributes", "from=container")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


where = (os.environ["SAGEMAKER_BIND_TO_HOST"], int(os.environ["SAGEMAKER_BIND_TO_PORT"]))
sys.stderr.write(f"serving {text}\n")
ThreadingHTTPServer(where, Handler).serve_forever()

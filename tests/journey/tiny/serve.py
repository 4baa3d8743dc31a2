"""A serving container for versions that cost no training: it answers as `says.json` says.

`broken`: it never starts, nor while the file `broken_if` is there. `prediction`: its answer to
every row. A body that contains `crash` ends it, `fail` is a 500, `slow` takes half a second.
"""

import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

says = json.loads(Path(os.environ["SAGEMAKER_BASE_DIR"], "model", "says.json").read_text())
if says["broken"] or Path(says["broken_if"] or "/none").exists():
    sys.exit(5)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.answer(200, {})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if b"crash" in body:
            os._exit(6)
        if b"slow" in body:
            time.sleep(0.5)
        if b"fail" in body:
            return self.answer(500, {"error": "as asked"})
        rows = json.loads(body)["instances"]
        return self.answer(
            200, {"predictions": [says["prediction"] for _ in rows], "model": {"run": says["run"]}}
        )

    def answer(self, status: int, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


where = (os.environ["SAGEMAKER_BIND_TO_HOST"], int(os.environ["SAGEMAKER_BIND_TO_PORT"]))
ThreadingHTTPServer(where, Handler).serve_forever()

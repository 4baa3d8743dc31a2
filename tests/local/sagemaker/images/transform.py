"""A serving container of batch transform: scores CSV or JSON lines; some records misbehave."""

import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

given = {name: text for name, text in os.environ.items() if name.startswith("SAGEMAKER_")}
flaky = {"left": 2}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/ping":
            return self.answer(200, b"")
        if "PARAMETERS" in os.environ:
            return self.answer(200, os.environ["PARAMETERS"].encode())
        return self.answer(404, b"")

    def do_POST(self) -> None:
        if self.headers.get("transfer-encoding") == "chunked":
            total = 0
            while size := int(self.rfile.readline(), 16):
                total += len(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return self.answer(200, f"streamed {total}".encode())
        body = self.rfile.read(int(self.headers["content-length"]))
        if b"slow" in body:
            time.sleep(600)
        if b"bad" in body:
            return self.answer(400, b"a bad record")
        if b"flaky" in body and flaky["left"]:
            flaky["left"] -= 1
            return self.answer(503, b"not now")
        if b"environment" in body:
            return self.answer(200, json.dumps(given).encode())
        if b"pid" in body:
            return self.answer(200, str(os.getpid()).encode())
        lines = body.splitlines()
        if b"first" in body:
            time.sleep(0.3)  # what is asked first is answered last
        if self.headers.get("content-type") == "application/jsonlines":
            return self.answer(
                200, b"\n".join(json.dumps({"seen": json.loads(line)}).encode() for line in lines)
            )
        sizes = [f"{len(line.split(b','))},{len(lines)}".encode() for line in lines]
        return self.answer(200, b"\n".join(sizes) + b"\n")

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", self.headers.get("content-type", "text/plain"))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


where = (os.environ["SAGEMAKER_BIND_TO_HOST"], int(os.environ["SAGEMAKER_BIND_TO_PORT"]))
sys.stderr.write("serving\n")
ThreadingHTTPServer(where, Handler).serve_forever()

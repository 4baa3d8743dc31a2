"""A serving container of many models, of steps and of streams; requests say what it does."""

import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

models: dict[str, str] = {}
room = int(os.environ.get("ROOM", "100"))
step = os.environ.get("STEP")
time.sleep(float(os.environ.get("START_SECONDS", "0")))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/models":
            return self.answer(200, {"models": [{"modelName": name} for name in models]})
        if self.path.startswith("/models/"):
            return self.answer(200 if self.path.rsplit("/", 1)[-1] in models else 404)
        return self.answer(200)

    def do_DELETE(self) -> None:
        self.answer(200 if models.pop(self.path.rsplit("/", 1)[-1], None) else 404)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        if self.path == "/models":
            return self.load(json.loads(body))
        word, _, rest = body.partition(" ")
        if word == "sleep":
            time.sleep(float(rest))
        if word == "stream":
            return self.stream(rest)
        if body.isdigit():
            return self.answer(int(body))
        if step:
            return self.send(200, f"{body}>{step}".encode(), "text/csv")
        name = self.path.removeprefix("/models/").removesuffix("/invoke")
        given = {"text": models.get(name), "loaded": len(models), "pid": os.getpid(), "body": body}
        target = self.headers.get("X-Amzn-SageMaker-Target-Model")
        return self.answer(200, {**given, "target": target})

    def load(self, request: dict[str, str]) -> None:
        name, folder = request["model_name"], Path(request["url"])
        if name in models:
            return self.answer(409)
        if len(models) >= room:
            return self.answer(507)
        time.sleep(float(os.environ.get("LOAD_SECONDS", "0")))
        models[name] = (folder / "text").read_text()
        return self.answer(200)

    def stream(self, words: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for word in words.split():
            if word == "break":
                self.close_connection = True
                return
            self.wfile.write(f"{len(word):x}\r\n{word}\r\n".encode())
            time.sleep(0.05)
        self.wfile.write(b"0\r\n\r\n")

    def answer(self, status: int, content: object = None) -> None:
        self.send(status, json.dumps(content).encode(), "application/json")

    def send(self, status: int, body: bytes, media_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


where = (os.environ["SAGEMAKER_BIND_TO_HOST"], int(os.environ["SAGEMAKER_BIND_TO_PORT"]))
sys.stderr.write("serving\n")
ThreadingHTTPServer(where, Handler).serve_forever()

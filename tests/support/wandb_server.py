"""The part of a W&B server that an online run needs, on the loopback interface."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PROJECT = {"id": "p", "name": "test", "entity": {"id": "e", "name": "me"}}
BUCKET = {"id": "b", "name": "abc123", "displayName": "n", "config": "{}", "project": PROJECT}
ANSWERS: dict[str, Any] = {
    "UpsertBucket": {"upsertBucket": {"inserted": True, "bucket": BUCKET}},
    "CreateRunFiles": {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": []}},
}


class WandbServer(ThreadingHTTPServer):
    """Server that records the history it receives; with `deaf` set it no longer answers."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.deaf = threading.Event()
        self.closing = threading.Event()
        self.deleted: set[str] = set()  # ids of runs that were deleted, which are refused
        self.started: list[dict[str, Any]] = []  # the variables of the runs' creation
        self.history: list[dict[str, Any]] = []
        self.exit_codes: list[int] = []

    @property
    def url(self) -> str:
        """The value for WANDB_BASE_URL."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: WandbServer

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        if self.server.deaf.is_set():
            self.server.closing.wait(120)
            return
        answer: Any = {}
        if self.path == "/graphql":
            asked = json.loads(body)
            answer = {"data": ANSWERS.get(asked.get("operationName"), {"model": None})}
            if asked.get("operationName") == "UpsertBucket":
                self.server.started.append(asked["variables"])
                if asked["variables"].get("name") in self.server.deleted:
                    message = f"run {asked['variables']['name']} was previously created and deleted; try a new run name"
                    return self._send(409, {"errors": [{"message": message, "path": ["upsertBucket"]}]})
        elif self.path.endswith("/file_stream"):
            sent = json.loads(body)
            history = (sent.get("files") or {}).get("wandb-history.jsonl", {})
            self.server.history += [json.loads(line) for line in history.get("content", [])]
            if sent.get("complete"):
                self.server.exit_codes.append(sent.get("exitcode"))
        self._send(200, answer)

    def _send(self, status: int, answer: Any) -> None:
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def wandb_server() -> Iterator[WandbServer]:
    """A running server."""
    with WandbServer() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.closing.set()
            server.shutdown()
            thread.join()

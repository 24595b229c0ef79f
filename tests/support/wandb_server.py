"""The part of a W&B server that runs, tables, artifacts, workspaces and reports need, on the loopback interface.

It keeps what it receives: runs with config, summary and history, files, artifacts and views. A run that exists is
continued where its history ends, as on the real server.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PROJECT = {
    "id": "UHJvamVjdA==",
    "internalId": "UHJvamVjdEludGVybmFsSWQ6MQ==",
    "name": "test",
    "entityName": "me",
    "entity": {"id": "e", "name": "me"},
}
VIEWER = {"id": "u", "entity": "me", "username": "me", "email": "", "flags": "{}", "teams": {"edges": []}}


class WandbServer(ThreadingHTTPServer):
    """Server that records what it receives; with `deaf` set it no longer answers."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.deaf = threading.Event()
        self.closing = threading.Event()
        self.lock = threading.Lock()
        self.deleted: set[str] = set()  # ids of runs that were deleted, which are refused
        self.started: list[dict[str, Any]] = []  # the variables of the runs' creation
        self.history: list[dict[str, Any]] = []
        self.exit_codes: list[int] = []
        self.runs: dict[str, dict[str, Any]] = {}
        """Runs by id: `displayName`, `config`, `summary`, `history`, `tags`, ..."""
        self.files: dict[str, bytes] = {}
        """Uploaded files by the path of their address."""
        self.artifacts: list[dict[str, Any]] = []  # the inputs of their creation
        self.views: list[dict[str, Any]] = []  # the variables of each saved view
        self.known_views: set[str] = set()  # ids of the views that exist

    @property
    def url(self) -> str:
        """The value for WANDB_BASE_URL."""
        return f"http://127.0.0.1:{self.server_port}"

    def run(self, name: str) -> dict[str, Any]:
        """Return a run by its id; an empty one the first time."""
        empty = {"displayName": None, "config": {}, "summary": {}, "history": [], "tags": [], "starts": 0}
        return self.runs.setdefault(name, empty)


class _Handler(BaseHTTPRequestHandler):
    server: WandbServer

    def do_GET(self) -> None:
        self.do_POST()

    def do_PUT(self) -> None:
        self.server.files[self.path.removeprefix("/put/")] = self._body()
        self._send(200, {})

    def do_POST(self) -> None:
        body = self._body()
        if self.server.deaf.is_set():
            self.server.closing.wait(120)
            return
        with self.server.lock:
            if self.path == "/graphql":
                self._send(*_answer(self.server, json.loads(body)))
                return
            if self.path.endswith("/file_stream"):
                self._receive(self.path.split("/")[-2], json.loads(body))
        self._send(200, {})

    def _receive(self, name: str, sent: dict[str, Any]) -> None:
        files, run = sent.get("files") or {}, self.server.run(name)
        lines = files.get("wandb-history.jsonl", {})
        steps = [json.loads(line) for line in lines.get("content", [])]
        self.server.history += steps
        run["history"][lines.get("offset", 0) :] = steps if lines else run["history"][0:]
        for line in files.get("wandb-summary.json", {}).get("content", []):
            run["summary"] = json.loads(line)
        if sent.get("complete"):
            self.server.exit_codes.append(sent.get("exitcode"))

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("content-length") or 0))

    def _send(self, status: int, answer: Any) -> None:
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def _answer(server: WandbServer, asked: dict[str, Any]) -> tuple[int, Any]:
    """Answer a GraphQL request by its operation, or by its text where the library names none."""
    variables, text = asked.get("variables") or {}, asked.get("query") or ""
    operation = asked.get("operationName") or text.split("(")[0].split("{")[0].split()[-1]
    name = variables.get("name")
    if operation == "UpsertBucket":
        server.started.append(variables)
        if name in server.deleted:
            message = f"run {name} was previously created and deleted; try a new run name"
            return 409, {"errors": [{"message": message, "path": ["upsertBucket"]}]}
        _upsert(server.run(name), variables)
    if operation in ("UpsertView2", "upsertView"):
        known = variables.get("id")
        if known and known not in server.known_views:
            return 200, {"data": {"upsertView": None}, "errors": [{"message": "view not found"}]}
        server.views.append(variables)
    make = ANSWERS.get(operation)
    return 200, {"data": make(server, variables) if make else {"model": None}}


def _upsert(run: dict[str, Any], variables: dict[str, Any]) -> None:
    run["starts"] += variables.get("state") is None
    run["config"] |= {key: one["value"] for key, one in json.loads(variables.get("config") or "{}").items()}
    for key in ("displayName", "tags", "groupName", "jobType", "host", "commit", "repo"):
        if variables.get(key):
            run[key] = variables[key]


def _bucket(server: WandbServer, variables: dict[str, Any]) -> dict[str, Any]:
    run = server.run(variables["name"])
    bucket = {"id": "b", "name": variables["name"], "displayName": run["displayName"] or "n", "config": "{}"}
    bucket |= {"description": "", "sweepName": None, "project": PROJECT, "historyLineCount": len(run["history"])}
    return {"upsertBucket": {"inserted": True, "bucket": bucket}}


def _resume(server: WandbServer, variables: dict[str, Any]) -> dict[str, Any]:
    name = variables["name"]
    if name not in server.runs:
        return {"model": {"id": "m", "name": "test", "entity": PROJECT["entity"], "bucket": None}}
    run = server.runs[name]
    bucket = {
        "id": "b",
        "name": name,
        "displayName": run["displayName"],
        "summaryMetrics": json.dumps(run["summary"]),
        "config": json.dumps({key: {"value": value} for key, value in run["config"].items()}),
        "historyLineCount": len(run["history"]),
        "historyTail": json.dumps([json.dumps(one) for one in run["history"][-1:]]),
        "eventsLineCount": 0,
        "eventsTail": "[]",
        "logLineCount": 0,
        "tags": run["tags"],
        "notes": None,
        "wandbConfig": '{"t": 1}',
    }
    return {"model": {"id": "m", "name": "test", "entity": PROJECT["entity"], "bucket": bucket}}


def _view(server: WandbServer, variables: dict[str, Any]) -> dict[str, Any]:
    identifier = variables.get("id") or f"view{len(server.known_views)}"
    server.known_views.add(identifier)
    view = {
        "id": identifier,
        "name": variables["name"],
        "type": variables["type"],
        "displayName": variables["displayName"],
        "description": "",
        "project": PROJECT,
        "spec": variables["spec"],
        "updatedAt": "2026-01-01",
    }
    return {"upsertView": {"view": view, "inserted": not variables.get("id")}}


def _artifact(server: WandbServer, variables: dict[str, Any]) -> dict[str, Any]:
    server.artifacts.append(variables["input"])
    made = {"id": f"a{len(server.artifacts)}", "state": "PENDING", "artifactSequence": {"id": "s"}}
    made["artifactSequence"]["latestArtifact"] = None
    return {"createArtifact": {"artifact": made}}


def _manifest(server: WandbServer, variables: dict[str, Any]) -> dict[str, Any]:
    file = {"id": "f", "name": "m", "displayName": "m", "uploadUrl": f"{server.url}/put/manifest", "uploadHeaders": []}
    return {"artifactManifest": {"id": "m", "file": file}}


def _artifact_files(server: WandbServer, variables: dict[str, Any]) -> dict[str, Any]:
    def node(file: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": "f",
            "name": file["name"],
            "displayName": file["name"],
            "storagePath": f"wandb_artifacts/{file['name']}",
            "uploadUrl": f"{server.url}/put/artifact/{file['name']}",
            "uploadHeaders": [],
            "uploadMultipartUrls": None,
            "artifact": {"id": file["artifactID"]},
        }

    edges = [{"node": node(file)} for file in variables["input"]["artifactFiles"]]
    return {"createArtifactFiles": {"files": {"edges": edges}}}


def _run_files(server: WandbServer, variables: dict[str, Any]) -> dict[str, Any]:
    files = [{"name": name, "uploadUrl": f"{server.url}/put/{variables['run']}/{name}"} for name in variables["files"]]
    return {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": files}}


ANSWERS: dict[str, Any] = {
    "UpsertBucket": _bucket,
    "RunResumeStatus": _resume,
    "CreateRunFiles": _run_files,
    "Viewer": lambda server, variables: {"viewer": VIEWER},
    "ProjectInternalId": lambda server, variables: {"project": PROJECT},
    "ArtifactType": lambda server, variables: {"project": {"artifact": None}},
    "ServerFeaturesQuery": lambda server, variables: {"serverInfo": {"features": []}},
    "CreateArtifact": _artifact,
    "CreateArtifactManifest": lambda server, variables: {"createArtifactManifest": _manifest(server, variables)},
    "UpdateArtifactManifest": lambda server, variables: {"updateArtifactManifest": _manifest(server, variables)},
    "CreateArtifactFiles": _artifact_files,
    "CommitArtifact": lambda server, variables: {"commitArtifact": {"artifact": {"id": "a", "digest": "d"}}},
    "UpsertView2": _view,
    "upsertView": _view,
}


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

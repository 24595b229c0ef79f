"""A Hugging Face Hub on this machine: models as folders, and a list of what was asked for."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMIT = "a" * 40


@dataclass
class Hub:
    """Folders of models by their ids, the address, and the paths that were requested."""

    models: dict[str, Path]
    url: str = ""
    requested: list[str] = field(default_factory=list)


def file_metadata(file: Path, name: str) -> dict[str, Any]:
    """Metadata that the hub publishes of a file: the git hash of a small text file, the SHA-256 of weights."""
    content = file.read_bytes()
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    entry: dict[str, Any] = {"rfilename": name, "size": len(content), "blobId": blob}
    if file.suffix == ".safetensors":
        digest = hashlib.sha256(content).hexdigest()
        entry |= {"blobId": "0" * 40, "lfs": {"sha256": digest, "size": len(content), "pointerSize": 130}}
    return entry


def model_metadata(model: str, folder: Path) -> dict[str, Any]:
    """The answer to `/api/models/OWNER/NAME?blobs=true`."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    config = json.loads((folder / "config.json").read_text()) if (folder / "config.json").exists() else {}
    return {
        "id": model,
        "sha": COMMIT,
        "private": False,
        "downloads": 0,
        "tags": [],
        "config": {key: config[key] for key in ("model_type", "architectures") if key in config},
        "siblings": [file_metadata(file, file.relative_to(folder).as_posix()) for file in files],
    }


@contextmanager
def local_hub(models: dict[str, Path]) -> Iterator[Hub]:
    """Serve the models' metadata until the block ends; a file that is asked for is not served."""
    hub = Hub(models)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hub.requested.append(self.path)
            model = self.path.partition("?")[0].removeprefix("/api/models/")
            folder = hub.models.get(model)
            content = json.dumps(model_metadata(model, folder) if folder else {"error": "Repository not found"})
            self.send_response(200 if folder else 404)
            if not folder:
                self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content.encode())

        def do_HEAD(self) -> None:
            hub.requested.append(self.path)
            self.send_response(404)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

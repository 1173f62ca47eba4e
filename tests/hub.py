"""A hub on this machine: as much of Hugging Face's protocol as downloading and pushing a model takes."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_of_the_test"


class Hub:
    """The content of the hub, and what it was asked.

    Attributes:
        url: for HF_ENDPOINT.
        files: (repository, path) -> content.
        asked: (method, path) of each request for a file, and of each that writes.
        sizes, digests: other sizes and checksums than the files', by (repository, path): a hub that lies.
        commit: what it says that its files are of.
        answers: (method, repository) -> what is answered instead of a file.
        gated: repositories whose terms nobody has accepted.
    """

    def __init__(self) -> None:
        self.url = ""
        self.files: dict[tuple[str, str], bytes] = {}
        self.asked: list[tuple[str, str]] = []
        self.sizes: dict[tuple[str, str], int] = {}
        self.digests: dict[tuple[str, str], str] = {}
        self.commit = COMMIT
        self.answers: dict[tuple[str, str], Callable[[BaseHTTPRequestHandler], None]] = {}
        self.gated: set[str] = set()
        self.blobs: dict[str, bytes] = {}
        self.created: list[dict[str, Any]] = []

    def add(self, repo: str, path: str, content: bytes) -> None:
        self.files[repo, path] = content

    def repositories(self) -> set[str]:
        made = {f"{each['organization']}/{each['name']}" for each in self.created}
        return made | {repo for repo, _ in self.files}


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

        def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def json(self, data: object, status: int = 200) -> None:
            self.answer(status, json.dumps(data).encode(), Content_Type="application/json")

        def body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") == "chunked":
                parts = []
                while size := int(self.rfile.readline(), 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(parts)
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            words = self.path.strip("/").split("/")
            if len(words) < 5 or words[2] != "resolve":
                # The client asks for more than files, such as which programs may be calling it.
                self.json({"error": "not here"}, 404)
                return
            hub.asked.append((self.command, self.path))
            key, revision = ("/".join(words[:2]), "/".join(words[4:])), words[3]
            if answer := hub.answers.get((self.command, key[0])):
                answer(self)
            elif key[0] in hub.gated:
                self.answer(403, X_Error_Code="GatedRepo", X_Error_Message="accept the terms")
            elif key[0] not in hub.repositories():
                self.answer(404, X_Error_Code="RepoNotFound")
            elif revision not in ("main", COMMIT):
                self.answer(404, X_Error_Code="RevisionNotFound")
            elif key not in hub.files:
                self.answer(404, X_Error_Code="EntryNotFound", X_Repo_Commit=COMMIT)
            else:
                content = hub.files[key]
                digest = hub.digests.get(key, hashlib.sha256(content).hexdigest())
                size = str(hub.sizes.get(key, len(content)))
                self.answer(
                    200,
                    content,
                    ETag=f'"{digest}"',
                    X_Linked_Etag=f'"{digest}"',
                    X_Linked_Size=size,
                    X_Repo_Commit=hub.commit,
                )

        def do_PUT(self) -> None:
            hub.asked.append((self.command, self.path))
            hub.blobs[self.path.rpartition("/")[2]] = self.body()
            self.answer(200)

        def do_POST(self) -> None:
            hub.asked.append((self.command, self.path))
            body = self.body()
            path = self.path.partition("?")[0]
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                self.json({"error": "who are you?"}, 401)
            elif path == "/api/repos/create":
                asked = json.loads(body)
                name = f"{asked['organization']}/{asked['name']}"
                known = name in hub.repositories()
                hub.created.append(asked)
                self.json({"url": f"{hub.url}/{name}", "name": name}, 409 if known else 200)
            elif path == "/api/validate-yaml":
                self.json({"warnings": [], "errors": []})
            elif "/preupload/" in path:
                modes = [
                    {
                        "path": file["path"],
                        "uploadMode": "lfs" if file["path"].endswith(".safetensors") else "regular",
                        "shouldIgnore": False,
                    }
                    for file in json.loads(body)["files"]
                ]
                self.json({"files": modes})
            elif path.endswith("/info/lfs/objects/batch"):
                objects = [
                    {**each, "actions": {"upload": {"href": f"{hub.url}/lfs/{each['oid']}"}}}
                    for each in json.loads(body)["objects"]
                ]
                self.json({"transfer": "basic", "objects": objects})
            elif "/commit/" in path:
                repo = path.removeprefix("/api/models/").partition("/commit/")[0]
                for line in body.splitlines():
                    entry = json.loads(line)
                    value = entry["value"]
                    if entry["key"] == "file":
                        hub.add(repo, value["path"], base64.b64decode(value["content"]))
                    elif entry["key"] == "lfsFile":
                        hub.add(repo, value["path"], hub.blobs[value["oid"]])
                self.json({"success": True, "commitOid": COMMIT, "commitUrl": f"{hub.url}/{repo}/commit/{COMMIT}"})
            else:
                self.json({"error": "not here"}, 404)

    return Handler


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub that this process asks, with an empty cache and without anybody's own login."""
    from huggingface_hub import constants

    from atonce import hub_models

    made = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(made))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    made.url = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setenv("HF_ENDPOINT", made.url)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    # Constants are read when the client is imported, which may have been before.
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, made.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "ENDPOINT", made.url)
    monkeypatch.setattr(hub_models, "_fetched", {})
    yield made
    server.shutdown()
    server.server_close()
    thread.join()

"""A hub on this machine that speaks the Hugging Face hub's protocol, as far as an upload needs it."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

__all__ = ["Hub", "hub"]

_ANN = "hf_of_ann"


@dataclass
class Hub:
    """What the hub holds: files by name for every repository, and which repositories are private."""

    address: str = ""
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: dict[str, bool] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """Variables with which a command finds the hub, and is logged in as ann."""
        return {"HF_ENDPOINT": self.address, "HF_TOKEN": _ANN, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"}

    async def name(self, request: Request) -> Response:
        known = request.headers.get("authorization") == f"Bearer {_ANN}"
        return JSONResponse(
            {"name": "ann", "type": "user"} if known else {"error": "Invalid token"}, 200 if known else 401
        )

    async def create(self, request: Request) -> Response:
        body = await request.json()
        name = f"{body.get('organization') or 'ann'}/{body['name']}"
        address = {"url": f"{self.address}/{name}", "name": name, "id": name}
        if name in self.files:
            return JSONResponse({**address, "error": "You already created this model repo"}, 409)
        self.files[name], self.private[name] = {}, body.get("private") or body.get("visibility") == "private"
        return JSONResponse(address)

    async def look(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in self.files:
            return JSONResponse({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
        return JSONResponse(
            {"id": name, "sha": "0" * 40, "siblings": [{"rfilename": file} for file in self.files[name]]}
        )

    async def file(self, request: Request) -> Response:
        file = self.files.get(request.path_params["name"], {}).get(request.path_params["file"])
        if file is None:
            return Response(status_code=404, headers={"X-Error-Code": "EntryNotFound"})
        return Response(headers={"X-Repo-Commit": "0" * 40, "ETag": '"0"', "Content-Length": str(len(file))})

    async def tree(self, request: Request) -> Response:
        files = self.files[request.path_params["name"]]
        return JSONResponse(
            [{"type": "file", "path": path, "size": len(text), "oid": "0" * 40} for path, text in files.items()]
        )

    async def plan(self, request: Request) -> Response:
        body = await request.json()
        return JSONResponse(
            {
                "files": [
                    {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False} for file in body["files"]
                ]
            }
        )

    async def commit(self, request: Request) -> Response:
        files = self.files[request.path_params["name"]]
        for line in (await request.body()).splitlines():
            entry = json.loads(line)
            if entry["key"] == "file":
                files[entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
            elif entry["key"] == "deletedFile":
                files.pop(entry["value"]["path"], None)
        name = request.path_params["name"]
        return JSONResponse({"commitOid": "1" * 40, "commitUrl": f"{self.address}/{name}/commit/{'1' * 40}"})

    async def card(self, request: Request) -> Response:
        return JSONResponse({"errors": [], "warnings": []})

    def app(self) -> Starlette:
        of = "/api/models/{name:path}"
        return Starlette(
            routes=[
                Route("/api/whoami-v2", self.name),
                Route("/api/validate-yaml", self.card, methods=["POST"]),
                Route("/api/repos/create", self.create, methods=["POST"]),
                Route(f"{of}/preupload/main", self.plan, methods=["POST"]),
                Route(f"{of}/commit/main", self.commit, methods=["POST"]),
                Route(f"{of}/tree/main", self.tree),
                Route(f"{of}/revision/main", self.look),
                Route(of, self.look),
                Route("/{name:path}/resolve/main/{file:path}", self.file, methods=["HEAD"]),
            ]
        )


@contextmanager
def hub() -> Iterator[Hub]:
    """Serve a hub on a free port until the end of the block."""
    served = Hub()
    server = uvicorn.Server(uvicorn.Config(served.app(), port=0, log_level="critical"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    served.address = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    try:
        yield served
    finally:
        server.should_exit = True
        thread.join()

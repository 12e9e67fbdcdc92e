"""The explorer's routes: one page, JSON of the study, a queue of work, and a stream of what happens."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from plotly.offline import get_plotlyjs
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from foretaste.errors import BadInput, ForetasteError
from foretaste.report.page import SCRIPTS, script
from foretaste.report.summary import plain
from foretaste.store.queue import Job, Kind, Queue
from foretaste.web.guard import Guard, Rules
from foretaste.web.reading import Reader, Wish
from foretaste.weights import TaskWeights

__all__ = ["create_app"]

_EVERY = 0.3  # seconds between two looks at the queue and the study
_WAKE = 2.0  # between two looks at whether a worker is needed
_BEAT = 15.0  # seconds after which a silent stream says that it lives
_MOST = 200  # weightings that are predicted at once

_Handler = Callable[[Request], Awaitable[Response]]


def create_app(folder: Path, rules: Rules, wake: Callable[[], None]) -> Starlette:
    """The application.

    Args:
        folder: The study's; nothing that a client says is ever part of a path.
        rules: Who is let in.
        wake: Sees to it that a worker does the queue's jobs.

    Raises:
        StudyError: The folder is no study.
    """
    reader, routes = Reader(folder), _Routes(folder, wake)
    static = {name: script(name).encode() for name in SCRIPTS} | {"plotly.js": get_plotlyjs().encode()}

    async def page(request: Request) -> Response:
        return HTMLResponse(await run_in_threadpool(reader.page, _wish(request)))

    async def sections(request: Request) -> Response:
        return HTMLResponse(await run_in_threadpool(reader.sections, _wish(request)))

    async def file(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in static:
            return JSONResponse({"error": "there is no such file"}, 404)
        lasting = {"cache-control": "max-age=86400"} if name == "plotly.js" else {}
        return Response(static[name], media_type="text/javascript", headers=lasting)

    async def state(request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(reader.state, _wish(request)))

    async def predict(request: Request) -> Response:
        tasks = await run_in_threadpool(reader.tasks)
        asked = request.query_params.getlist("weights")
        if not 0 < len(asked) <= _MOST:
            raise BadInput(f"name 1 to {_MOST} weightings, as weights={tasks[0]}=0.5,{tasks[-1]}=0.5")
        points = [TaskWeights.parse(each, tasks) for each in asked]
        return JSONResponse(await run_in_threadpool(reader.expected, points))

    return Starlette(
        routes=[
            Route("/", _told(page)),
            Route("/static/{name}", file),
            Route("/api/state", _told(state)),
            Route("/api/sections", _told(sections)),
            Route("/api/predict", _told(predict)),
            Route("/api/jobs", _told(routes.jobs)),
            Route("/api/jobs", _told(routes.ask(reader)), methods=["POST"]),
            Route("/api/jobs/{number:int}", _told(routes.cancel), methods=["DELETE"]),
            Route("/api/events", routes.events(reader)),
        ],
        middleware=[Middleware(Guard, rules=rules)],
        lifespan=_waking(wake),
    )


def _waking(wake: Callable[[], None]) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    """While the server lives, jobs whose worker died get another, whether a page is open or not."""

    async def again() -> None:
        while True:
            await asyncio.sleep(_WAKE)
            with suppress(ForetasteError):  # the study is gone: every route says so
                await run_in_threadpool(wake)

    @asynccontextmanager
    async def lives(app: Starlette) -> AsyncIterator[None]:
        task = asyncio.create_task(again())
        try:
            yield
        finally:
            task.cancel()

    return lives


def _wish(request: Request) -> Wish:
    floors = request.query_params.getlist("floor")
    given = tuple(floor for floor in floors if floor) if "floor" in request.query_params else None
    return Wish(request.query_params.get("prefer") or None, given)


def _told(handler: _Handler) -> _Handler:
    """Errors on purpose as JSON: 400 for what the client can mend, 409 for what went wrong."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except BadInput as error:
            return JSONResponse({"error": str(error)}, 400)
        except ForetasteError as error:
            return JSONResponse({"error": str(error)}, 409)

    return answer


class _Routes:
    """The routes on the queue.

    Args:
        folder: The study's.
        wake: Sees to it that a worker does the queue's jobs.
    """

    def __init__(self, folder: Path, wake: Callable[[], None]) -> None:
        self._folder, self._wake = folder, wake
        Queue(folder).close()

    def _listed(self) -> list[Mapping[str, object]]:
        with Queue(self._folder) as queue:
            return [_json(job) for job in queue.jobs()]

    async def jobs(self, request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(self._listed))

    def ask(self, reader: Reader) -> _Handler:
        async def answer(request: Request) -> Response:
            kind, weights = _asked(await request.body(), await run_in_threadpool(reader.tasks))

            def added() -> Mapping[str, object]:
                with Queue(self._folder) as queue:
                    return _json(queue.add(kind, weights.key))

            job = await run_in_threadpool(added)
            await run_in_threadpool(self._wake)
            return JSONResponse(job, 202)

        return answer

    async def cancel(self, request: Request) -> Response:
        def cancelled() -> Job | None:
            with Queue(self._folder) as queue:
                return queue.cancel(request.path_params["number"])

        job = await run_in_threadpool(cancelled)
        return JSONResponse({"error": "there is no such job"}, 404) if job is None else JSONResponse(_json(job))

    def events(self, reader: Reader) -> _Handler:
        """Server-sent events: ``jobs`` with the list whenever it changes, ``study`` with the revision, ``gone`` if the study is."""

        async def answer(request: Request) -> Response:
            return StreamingResponse(self._stream(request, reader), media_type="text/event-stream")

        return answer

    async def _stream(self, request: Request, reader: Reader) -> AsyncIterator[str]:
        jobs, revision, quiet = "", "", 0.0
        while not await request.is_disconnected():
            try:
                now = json.dumps(await run_in_threadpool(self._listed))
                study = await run_in_threadpool(reader.revision)
            except ForetasteError as error:
                yield _event("gone", json.dumps({"error": str(error)}))
                return
            if now != jobs:
                yield _event("jobs", now)
            if study != revision:
                yield _event("study", json.dumps({"revision": study}))
            quiet = 0.0 if (now, study) != (jobs, revision) else quiet + _EVERY
            if quiet >= _BEAT:
                quiet = 0.0
                yield ": still here\n\n"
            jobs, revision = now, study
            await asyncio.sleep(_EVERY)


def _asked(body: bytes, tasks: tuple[str, ...]) -> tuple[Kind, TaskWeights]:
    """What a request for work says.

    Raises:
        BadInput: Something else.
    """
    try:
        found = json.loads(body)
        kind, weights = Kind(found["kind"]), str(found["weights"])
    except (ValueError, KeyError, TypeError):
        raise BadInput(f'ask for work as {{"kind": "train", "weights": "..."}}, with a kind among {", ".join(Kind)}') from None
    return kind, TaskWeights.parse(weights, tasks)


def _json(job: Job) -> Mapping[str, object]:
    return {name: str(value) if name in ("kind", "state") else plain(value) for name, value in asdict(job).items()}


def _event(name: str, data: str) -> str:
    return f"event: {name}\ndata: {data}\n\n"

"""The explorer's routes: one page, JSON of the study, a queue of work, and a stream of what happens."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from plotly.offline import get_plotlyjs
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from foretaste.errors import BadInput, ForetasteError
from foretaste.json_text import parse_json
from foretaste.report.page import SCRIPTS, script
from foretaste.store.queue import Job, Kind
from foretaste.store.study import StudyStore
from foretaste.web.feed import Feed, job_json, list_jobs
from foretaste.web.guard import Guard, Rules
from foretaste.web.reading import Busy, PreferenceRequest, Reader, StudyView
from foretaste.weights import TaskWeights

__all__ = ["create_app"]

_MOST = 200  # weightings that are predicted at once
_FLOORS = 100  # in one request
_LONGEST = 1000  # characters of a preference or a floor
_LARGEST_NUMBER = 2**63 - 1  # that SQLite keeps

_Handler = Callable[[Request], Awaitable[Response]]


def create_app(
    folder: Path,
    rules: Rules,
    wake: Callable[[], None],
    reader: Reader | None = None,
    leaving: Callable[[], bool] = lambda: False,
    *,
    resume: bool = False,
    check_asking: Callable[[], None] = lambda: None,
) -> Starlette:
    """Build the explorer's web application.

    Args:
        folder: The study's; nothing that a client says is ever part of a path.
        rules: Who is let in.
        wake: Sees to it that a worker does the queue's jobs; not called before work is asked for here, unless
            ``resume``.
        reader: Of the study; one that works out everything in the asking thread, if left out.
        leaving: Whether the server is being stopped: then streams end.
        resume: Whether jobs that wait from before are done at once.
        check_asking: Raises an error where no work may be asked for.

    Raises:
        StudyError: The folder is no study.
    """
    StudyStore.open_queue(folder).close()
    reading = reader or Reader(folder)
    work = _Work(folder, reading, wake, check_asking, resume=resume)
    feed = Feed(folder, reading, work.wake_if_asked, leaving)

    @asynccontextmanager
    async def run_feed(app: Starlette) -> AsyncIterator[None]:
        task = asyncio.create_task(feed.watch())
        try:
            yield
        finally:
            task.cancel()

    async def events(request: Request) -> Response:
        return StreamingResponse(feed.stream(), media_type="text/event-stream")

    reading_routes = [
        Route("/", _errors_as_json(_view_handler(reading.view, lambda view: HTMLResponse(view.page)))),
        Route("/api/state", _errors_as_json(_view_handler(reading.view_soon, _state))),
        Route(
            "/api/sections",
            _errors_as_json(_view_handler(reading.view_soon, lambda view: HTMLResponse(view.sections, _status(view)))),
        ),
        Route("/api/predict", _errors_as_json(_predict_handler(reading))),
        Route("/api/events", events),
        Route("/static/{name}", _static_handler()),
    ]
    work_routes = [
        Route("/api/jobs", _errors_as_json(work.jobs)),
        Route("/api/jobs", _errors_as_json(work.ask), methods=["POST"]),
        Route("/api/jobs/{number}", _errors_as_json(work.cancel), methods=["DELETE"]),
    ]
    middleware = [Middleware(Guard, rules=rules), Middleware(GZipMiddleware, minimum_size=2000, compresslevel=3)]
    return Starlette(routes=[*reading_routes, *work_routes], middleware=middleware, lifespan=run_feed)


def _state(view: StudyView) -> Response:
    return Response(view.state, _status(view), media_type="application/json")


def _status(view: StudyView) -> int:
    """Return 202 while only part of the view is ready: the client asks again for the rest."""
    return 202 if view.is_pending else 200


def _view_handler(read: Callable[[PreferenceRequest], StudyView], respond: Callable[[StudyView], Response]) -> _Handler:
    async def answer(request: Request) -> Response:
        floors = request.query_params.getlist("floor")
        if len(floors) > _FLOORS or any(
            len(text) > _LONGEST for text in (*floors, request.query_params.get("prefer", ""))
        ):
            raise BadInput(
                f"ask for at most {_FLOORS} floors, and for none or a preference of more than {_LONGEST} characters"
            )
        chosen = tuple(floor for floor in floors if floor) if "floor" in request.query_params else None
        return respond(
            await run_in_threadpool(read, PreferenceRequest(request.query_params.get("prefer") or None, chosen))
        )

    return answer


def _predict_handler(reader: Reader) -> _Handler:
    async def answer(request: Request) -> Response:
        texts = request.query_params.getlist("weights")
        if not 0 < len(texts) <= _MOST:
            raise BadInput(f"name 1 to {_MOST} weightings, each as weights=TASK=SHARE,OTHER=SHARE")
        return JSONResponse(await run_in_threadpool(reader.predict, texts))

    return answer


def _static_handler() -> _Handler:
    files = {name: script(name).encode() for name in SCRIPTS} | {"plotly.js": get_plotlyjs().encode()}

    async def answer(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in files:
            return JSONResponse({"error": "there is no such file"}, 404)
        lasting = {"cache-control": "max-age=86400"} if name == "plotly.js" else {}
        return Response(files[name], media_type="text/javascript", headers=lasting)

    return answer


def _errors_as_json(handler: _Handler) -> _Handler:
    """Turn expected errors into JSON.

    400 is for what the client can correct, 503 for too much at once, 507 where the disk refuses, 409 for all others.
    """

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except Busy as error:
            return JSONResponse({"error": str(error)}, 503, {"retry-after": "5"})
        except OSError as error:
            return JSONResponse({"error": str(error)}, 507)
        except BadInput as error:
            return JSONResponse({"error": str(error)}, 400)
        except ForetasteError as error:
            return JSONResponse({"error": str(error)}, 409)

    return answer


class _Work:
    """The routes on the queue.

    Args:
        folder: The study's.
        reader: Of the study.
        wake: Sees to it that a worker does the queue's jobs.
        check_asking: Raises an error where no work may be asked for.
        resume: Whether jobs that wait from before are done at once.
    """

    def __init__(
        self, folder: Path, reader: Reader, wake: Callable[[], None], check_asking: Callable[[], None], *, resume: bool
    ) -> None:
        self._folder, self._reader, self._wake, self._check_asking = folder, reader, wake, check_asking
        self._asked = resume

    def wake_if_asked(self) -> None:
        """See to it that jobs are done, once work was asked for here: nothing runs because a page was opened."""
        if self._asked:
            self._wake()

    async def jobs(self, request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(list_jobs, self._folder))

    async def ask(self, request: Request) -> Response:
        view = await run_in_threadpool(self._reader.view, PreferenceRequest())
        kind, weights = _parse_job(await request.body(), view.weight_names)

        def add_job() -> Job:
            self._check_asking()
            with StudyStore.open_queue(self._folder) as queue:
                job = queue.add(kind, weights.key)
            self._asked = True
            self._wake()
            return job

        return JSONResponse(job_json(await run_in_threadpool(add_job)), 202)

    async def cancel(self, request: Request) -> Response:
        number = request.path_params["number"]

        def cancel_job() -> Job | None:
            if (
                not number.isascii()
                or not number.isdecimal()
                or len(number) > len(str(_LARGEST_NUMBER))
                or int(number) > _LARGEST_NUMBER
            ):
                return None
            with StudyStore.open_queue(self._folder) as queue:
                return queue.cancel(int(number))

        job = await run_in_threadpool(cancel_job)
        return JSONResponse({"error": "there is no such job"}, 404) if job is None else JSONResponse(job_json(job))


def _parse_job(body: bytes, tasks: tuple[str, ...]) -> tuple[Kind, TaskWeights]:
    """Read which work a request asks for.

    Raises:
        BadInput: The request has another form.
    """
    try:
        request = parse_json(body)
        if not isinstance(request, dict):
            raise TypeError
        kind, weights = Kind(request["kind"]), str(request["weights"])
    except (ValueError, KeyError, TypeError):
        raise BadInput(
            f'ask for work as {{"kind": "train", "weights": "..."}}, with a kind among {", ".join(Kind)}'
        ) from None
    return kind, TaskWeights.parse(weights, tasks)

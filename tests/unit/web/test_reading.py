"""What is shown is worked out again when the study has changed, and not before; meanwhile the last is shown."""

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from foretaste.errors import StudyError, WeightsError
from foretaste.recipe import parse
from foretaste.sources.digits import digits
from foretaste.store.queue import Kind
from foretaste.store.study import StudyStore
from foretaste.study import study as front
from foretaste.web.jobs import do_waiting_jobs
from foretaste.web.process import WorkerProcess
from foretaste.web.reading import Busy, PreferenceRequest, Reader, StudyView, _summaries, view_study
from foretaste.workflow.reopen import reopen
from foretaste.workflow.start import start
from rounding import is_near


def _previewed(study: Path, weights: str) -> None:
    with StudyStore.open_queue(study) as queue, front.Study.of(reopen(study)) as work:
        queue.add(Kind.PREVIEW, weights)
        do_waiting_jobs(work, queue)


def test_the_last_is_shown_until_it_is_refreshed(study: Path) -> None:
    calls = list[PreferenceRequest]()

    def counted(folder: Path, request: PreferenceRequest) -> StudyView:
        calls.append(request)
        return view_study(folder, request)

    reader = Reader(study, counted)
    first, worst = reader.view(PreferenceRequest()), reader.view(PreferenceRequest("worst"))
    assert reader.refresh_view(PreferenceRequest()) is first
    assert json.loads(worst.state)["preference"]["kind"] == "worst"
    assert len(calls) == 2
    _previewed(study, "low=0.2,mid=0.3,high=0.5")
    assert reader.view(PreferenceRequest()) is first
    assert reader.revision() != first.revision
    assert reader.refresh_all() == reader.revision()
    assert len(calls) == 4
    assert (
        len(json.loads(reader.view(PreferenceRequest("worst")).state)["rows"])
        == len(json.loads(first.state)["rows"]) + 1
    )


def test_only_a_few_wishes_are_remembered(study: Path) -> None:
    first = view_study(study, PreferenceRequest())
    reader = Reader(study, lambda folder, request: replace(first, state=str(request)))
    found = [reader.view(PreferenceRequest(f"low={place + 1},mid=1")) for place in range(9)]
    assert reader.view(PreferenceRequest("low=9,mid=1")) is found[8]
    assert reader.view(PreferenceRequest("low=1,mid=1")) is not found[0]


def test_many_wishes_at_once_wait_in_a_short_line(study: Path) -> None:
    """What is known is answered meanwhile; what every page begins with is never forgotten."""
    go, begun = threading.Event(), threading.Event()

    def slow(folder: Path, request: PreferenceRequest) -> StudyView:
        if request != PreferenceRequest():
            begun.set()
            assert go.wait(60)
        return replace(first, state=str(request))

    first = view_study(study, PreferenceRequest())
    reader = Reader(study, slow)
    known = reader.view(PreferenceRequest())
    with ThreadPoolExecutor(20) as threads:
        asked = [threads.submit(reader.view, PreferenceRequest(f"low={place + 1}")) for place in range(20)]
        assert begun.wait(60)
        while sum(each.done() for each in asked) < 16:
            time.sleep(0.01)
        assert reader.view(PreferenceRequest()) is known
        go.set()
    refused = [each for each in asked if isinstance(each.exception(), Busy)]
    assert len(refused) == 16
    for place in range(20, 40):
        reader.view(PreferenceRequest(f"low={place}"))
    assert reader.view(PreferenceRequest()) is known


def test_what_is_known_is_shown_while_a_new_preference_is_worked_out(study: Path) -> None:
    go = threading.Event()

    def slow(folder: Path, request: PreferenceRequest) -> StudyView:
        if request != PreferenceRequest():
            assert go.wait(60)
        return view_study(folder, request)

    reader = Reader(study, slow)
    known = reader.view_soon(PreferenceRequest())
    assert not known.is_pending
    early = [
        reader.view_soon(PreferenceRequest("worst", ("low>=0.1",)), 0.01) for _ in range(9)
    ]  # asking again is no further question
    assert all(
        each.is_pending and json.loads(each.state) == {"pending": True, **json.loads(known.state)} for each in early
    )
    with pytest.raises(WeightsError, match="is not understood"):
        reader.view_soon(PreferenceRequest("best"), 0.01)
    with pytest.raises(WeightsError, match="is not understood"):
        reader.view_soon(PreferenceRequest(None, ("low>>1",)), 0.01)
    go.set()
    final = reader.view_soon(PreferenceRequest("worst", ("low>=0.1",)), 60)
    assert not final.is_pending
    assert is_near(
        json.loads(final.state), json.loads(view_study(study, PreferenceRequest("worst", ("low>=0.1",))).state)
    )


def test_no_more_new_preferences_than_may_wait(study: Path) -> None:
    go = threading.Event()
    reader = Reader(
        study,
        lambda folder, request: (
            view_study(folder, request)
            if go.wait(0 if request == PreferenceRequest() else 60) or request == PreferenceRequest()
            else known
        ),
    )
    known = reader.view(PreferenceRequest())
    for place in range(4):
        assert reader.view_soon(PreferenceRequest(f"low={place + 1}"), 0.01).is_pending
    with pytest.raises(Busy):
        reader.view_soon(PreferenceRequest("low=9,mid=1"), 60)
    go.set()
    for place in range(4):
        assert not reader.view_soon(PreferenceRequest(f"low={place + 1}"), 60).is_pending
    assert not reader.view_soon(PreferenceRequest("low=9,mid=1"), 60).is_pending


def test_a_preference_that_fails_is_told_to_whoever_asks_again(study: Path) -> None:
    go = threading.Event()

    def failing(folder: Path, request: PreferenceRequest) -> StudyView:
        if request == PreferenceRequest():
            return view_study(folder, request)
        assert go.wait(60)
        raise StudyError("no corner was previewed")

    reader = Reader(study, failing)
    reader.view(PreferenceRequest())
    assert reader.view_soon(PreferenceRequest("worst"), 0.01).is_pending
    go.set()
    with pytest.raises(StudyError, match="no corner"):
        reader.view_soon(PreferenceRequest("worst"), 60)


def test_another_preference_rests_on_the_same_prediction(study: Path) -> None:
    """The recommendation alone is made again, and it is the one that a process without memory makes."""
    _summaries.clear()
    first = view_study(study, PreferenceRequest())
    worst = view_study(study, PreferenceRequest("worst", ("all>=50%",)))
    assert worst.predictor is first.predictor
    _summaries.clear()
    assert json.loads(view_study(study, PreferenceRequest("worst", ("all>=50%",))).state) == json.loads(worst.state)


def test_a_wish_that_is_not_understood_leaves_everything_as_it_was(study: Path) -> None:
    reader = Reader(study)
    before = reader.view(PreferenceRequest())
    with pytest.raises(WeightsError):
        reader.view(PreferenceRequest("best"))
    assert reader.view(PreferenceRequest()) is before


def test_a_process_of_its_own_says_the_same(study: Path) -> None:
    with closing(WorkerProcess(view_study)) as work:
        apart, here = Reader(study, work), Reader(study)
        assert is_near(
            json.loads(apart.view(PreferenceRequest()).state), json.loads(here.view(PreferenceRequest()).state)
        )
        assert is_near(apart.predict(["low=0.2,mid=0.3,high=0.5"]), here.predict(["low=0.2,mid=0.3,high=0.5"]))
        with pytest.raises(WeightsError, match="is not understood"):
            apart.view(PreferenceRequest("best"))


def test_what_is_shown(study: Path) -> None:
    found = view_study(study, PreferenceRequest())
    assert found.tasks == ("low", "mid", "high")
    assert json.loads(found.state)["revision"] == found.revision
    assert "<section" in found.sections
    assert "data-live" in found.page


def test_too_little_to_predict_from(tmp_path: Path) -> None:
    with begun(tmp_path) as study:
        reader = Reader(study.path)
        assert json.loads(reader.view(PreferenceRequest()).state)["prediction"] is None
        with pytest.raises(StudyError, match="too little to predict from; preview a few weightings"):
            reader.predict(["low=1"])


def begun(folder: Path) -> StudyStore:
    """A study that was begun, and has no row yet."""
    recipe = parse(text := "{name: a, model: {source: digits}}")
    return start(recipe, text, digits(), folder / "study").study

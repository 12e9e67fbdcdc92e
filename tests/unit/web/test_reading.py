"""The state is worked out again when the study has changed, and not before."""

from pathlib import Path

import pytest

from foretaste.errors import WeightsError
from foretaste.report.explorer import explored
from foretaste.report.summary import Summary
from foretaste.store.queue import Kind, Queue
from foretaste.web import reading as module
from foretaste.web.reading import Reader, Wish
from foretaste.weights import uniform
from foretaste.workflow.jobs import work_off
from foretaste.workflow.reopen import reopen


def test_a_state_is_remembered_until_the_study_changes(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, calls = Reader(study), list[Summary]()

    def counted(summary: Summary) -> dict[str, object]:
        calls.append(summary)
        return explored(summary)

    monkeypatch.setattr(module, "explored", counted)
    first = reader.state(Wish())
    assert reader.state(Wish()) is first
    assert reader.state(Wish("worst"))["preference"] != first["preference"]
    assert len(calls) == 2
    with Queue(study) as queue, (session := reopen(study)).study:
        queue.add(Kind.PREVIEW, "low=0.2,mid=0.3,high=0.5")
        work_off(session, queue)
    changed = reader.state(Wish())
    assert changed["revision"] != first["revision"]
    assert len(changed["rows"]) == len(first["rows"]) + 1  # type: ignore[arg-type]
    assert len(calls) == 3


def test_only_a_few_wishes_are_remembered(study: Path) -> None:
    reader = Reader(study)
    states = [reader.state(Wish(f"low={place + 1},mid=1")) for place in range(9)]
    assert reader.state(Wish("low=9,mid=1")) is states[8]
    assert reader.state(Wish("low=1,mid=1")) is not states[0]


def test_a_wish_that_is_not_understood_leaves_everything_as_it_was(study: Path) -> None:
    reader = Reader(study)
    before = reader.state(Wish())
    with pytest.raises(WeightsError):
        reader.state(Wish("best"))
    assert reader.state(Wish()) is before


def test_what_is_read(study: Path) -> None:
    reader = Reader(study)
    assert reader.tasks() == ("low", "mid", "high")
    found = reader.expected([uniform(reader.tasks())])
    assert reader.expected([uniform(reader.tasks())]) == found
    assert "<section" in reader.sections(Wish())
    assert "data-live" in reader.page(Wish())

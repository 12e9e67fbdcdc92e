from collections.abc import Sequence

import numpy as np
import pytest
import torch

from foretaste.methods import previews as previewing
from foretaste.metric_kinds import ModelMetric, TextMetric
from foretaste.simplex import lattice
from foretaste.task import Example
from foretaste.weights import corners, uniform
from foretaste.work.judge import shuffle_validation
from foretaste.workflow import runners as running
from foretaste.workflow.fit import fit
from foretaste.workflow.preview import preview
from foretaste.workflow.runners import Runners
from foretaste.workflow.session import Session


@pytest.fixture(params=["together", "one by one"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "one by one":
        for module in (previewing, running):
            monkeypatch.setattr(module, "at_once", lambda model, tasks: 1)
    return str(request.param)


def test_all_see_the_same_examples_in_the_same_order(way: str, session: Session) -> None:
    found = Runners.of(session, "simple", lattice(session.problem.names, 2))
    known = Runners.of(session, "simple", lattice(session.problem.names, 2))
    for share in (0.25, 0.5, 0.5, 1.0):
        found.go_on(share)
    rows = [found.finished(runner) for runner in found.running]
    assert [row.weights for row in rows] == lattice(session.problem.names, 2)
    assert found.evaluated == 6 * found.examples

    known = Runners.of(session, "simple", lattice(session.problem.names, 2))  # from what the study keeps
    assert known.evaluated == 6 * known.examples
    known.go_on(1.0)
    for task, tally in found.tallies().items():
        assert np.array_equal(tally.added, known.tallies()[task].added)
        assert np.array_equal(tally.counts, known.tallies()[task].counts)
    first = session.problem.tasks[0]
    right = found.tallies()[first.name].added[0]
    assert right.mean() == pytest.approx(rows[0].metrics[first.name]["accuracy"])
    assert len(right) == len(first.validation)
    done = session.study.find(found.running[0].key)
    assert done is not None
    predicted = session.study.tensors(done.artefact)[f"{first.name}/predicted"].tolist()
    labels = [int(first.validation[index]["labels"]) for index in range(len(first.validation))]
    order = shuffle_validation(first, session.recipe.seed)
    assert right.tolist() == [float(predicted[place] == labels[place]) for place in order]


def test_a_row_whose_results_were_deleted_runs_again(way: str, session: Session) -> None:
    fit(session)
    points = lattice(session.problem.names, 2)
    rows = preview(session, ["simple"], points)
    works = session.study.all_work("evaluation")
    for done in works[:2]:
        (session.study.path / "tensors" / f"{done.artefact}.safetensors").unlink()
    found = Runners.of(session, "simple", points)
    assert [runner.row is None for runner in found.running] == [True, True, False, False, False, False]
    found.go_on(1.0)
    assert [found.finished(runner) for runner in found.running] == rows


def test_a_first_look_is_no_shorter_than_a_bootstrap_needs(session: Session) -> None:
    found = Runners.of(session, "simple", corners(session.problem.names))
    found.go_on(0.01)
    assert set(found.positions.values()) == {32}
    found.go_on(0.02)
    assert set(found.positions.values()) == {32}
    assert found.evaluated == 3 * 3 * 32


def test_who_stops_sees_no_more(way: str, session: Session) -> None:
    found = Runners.of(session, "simple", lattice(session.problem.names, 2))
    found.go_on(0.25)
    before = found.evaluated
    stopped = found.stop([1, 4])
    assert [runner.weights for runner in stopped] == [lattice(session.problem.names, 2)[place] for place in (1, 4)]
    found.go_on(1.0)
    assert found.evaluated == before + 4 * (found.examples - before // 6)


def test_texts_and_judges_are_asked_for_rows(way: str, session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written is kept part by part; a judge is asked once, at the end."""
    asked: list[tuple[str, ...]] = []

    def write(model: torch.nn.Module, examples: Sequence[Example]) -> list[tuple[str, str]]:
        with torch.no_grad():
            found = model(torch.stack([each["inputs"] for each in examples])).argmax(-1).tolist()
        return [(str(guess), str(int(each["labels"]))) for guess, each in zip(found, examples, strict=True)]

    def judge(model: torch.nn.Module, names: Sequence[str], most: int | None) -> dict[str, float]:
        asked.append(tuple(names))
        return {"size": float(sum(p.detach().abs().sum() for p in model.parameters()))}

    same = TextMetric(
        "same", lambda written, wanted: sum(a == b for a, b in zip(written, wanted, strict=True)) / len(wanted)
    )
    fit(session)
    for task in session.problem.tasks[:1]:
        monkeypatch.setitem(task.__dict__, "metrics", [*task.metrics, same, ModelMetric("size")])
        monkeypatch.setitem(task.__dict__, "write", write)
        monkeypatch.setitem(task.__dict__, "judge", judge)
    found = Runners.of(session, "simple", [uniform(session.problem.names)])
    for share in (0.5, 1.0):
        found.go_on(share)
    assert asked == []
    row = found.finished(found.running[0])
    assert asked == [("size",)]
    assert row.metrics["low"]["same"] == row.metrics["low"]["accuracy"]
    (again,) = preview(session, ["simple"], [uniform(session.problem.names)])
    assert again == row
    assert set(row.metrics["low"]) == {"loss", "accuracy", "same", "size"}

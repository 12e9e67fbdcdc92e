from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from foretaste.errors import RecipeError, Stopped, TaskError
from foretaste.evaluation import Fidelity
from foretaste.metric_kinds import AnyMetric, TextMetric
from foretaste.metrics import METRICS
from foretaste.params import in_eval_mode, parameters_of, swapped
from foretaste.recipe import parse
from foretaste.simplex import lattice
from foretaste.sources.problem import Problem
from foretaste.store.study import StudyStore
from foretaste.task import Batch
from foretaste.weights import TaskWeights, corners, uniform
from foretaste.workflow.export import export
from foretaste.workflow.fit import fit
from foretaste.workflow.preview import prepare, prepare_merger, preview
from foretaste.workflow.session import Session
from foretaste.workflow.sharpen import sharpen_previews
from foretaste.workflow.start import start
from problems import blobs, linear

POINT = TaskWeights(["low", "mid", "high"], [0.2, 0.3, 0.5])


class Headed(nn.Module):
    """A trunk, and one head for each of two tasks."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng([]):
            torch.manual_seed(0)
            self.trunk = nn.Linear(4, 8)
            self.a, self.b = nn.Linear(8, 3), nn.Linear(8, 3)


def through_a(model: nn.Module, batch: Batch) -> Tensor:
    assert isinstance(model, Headed)
    found = model.a(model.trunk(batch["inputs"]).tanh())
    assert isinstance(found, Tensor)
    return found


def through_b(model: nn.Module, batch: Batch) -> Tensor:
    assert isinstance(model, Headed)
    found = model.b(model.trunk(batch["inputs"]).tanh())
    assert isinstance(found, Tensor)
    return found


def headed_problem() -> Problem:
    model = Headed()
    own = {
        head: frozenset(name for name in parameters_of(model) if name.startswith(("trunk", f"{head}.")))
        for head in "ab"
    }
    tasks = (
        replace(blobs("a", 0), predict=through_a, names=own["a"]),
        replace(blobs("b", 1), predict=through_b, names=own["b"]),
    )
    return Problem(model, tasks)


@pytest.fixture(params=["heads", "batch norm"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Session]:
    """Two tasks with heads of their own, or with statistics of their own."""
    text = (
        "{name: a, model: {source: digits}, finetune: {steps: 10, batch_size: 8, learning_rate: 0.01}, curvature:"
        " {max_examples: 4}}"
    )
    problem = headed_problem() if request.param == "heads" else Problem(linear(), (blobs("a", 1), blobs("b", 2)))
    found = start(parse(text), text, problem, tmp_path / "study")
    with found.study:
        yield found


def mixture(session: Session, weights: TaskWeights, place: int) -> tuple[Tensor, Tensor]:
    """Losses and predictions on a task's data, from forward passes of the runs themselves.

    Each head from its own task's run.
    """
    task, model = session.problem.tasks[place], session.problem.model
    fitted = fit(session)
    heard = session.study.tensors(fitted[task.name].run.artefact)
    total = torch.zeros(())
    batch = task.batch(task.validation, range(len(task.validation)), torch.device("cpu"))
    for name, share in weights.items():
        params = session.study.tensors(fitted[name].run.artefact)
        with in_eval_mode(model), swapped(model, {**heard, **params}), torch.no_grad():
            total = total + share * task.predict(model, batch).double().softmax(-1)
    return -total[torch.arange(len(batch["labels"])), batch["labels"]].log(), total.argmax(-1)


def test_rows_are_mixtures_of_forward_passes(session: Session) -> None:
    (row,) = preview(session, ["predictive"], [POINT])
    assert (row.method, row.fidelity, row.seed, row.weights) == ("predictive", Fidelity.PREVIEW, 0, POINT)
    for place, task in enumerate(session.problem.tasks):
        lost, predicted = mixture(session, POINT, place)
        labels = torch.stack([task.validation[index]["labels"] for index in range(len(task.validation))])
        hits = float((predicted == labels).double().mean())
        assert dict(row.metrics[task.name]) == pytest.approx({"loss": float(lost.mean()), "accuracy": hits}, rel=1e-5)


def test_at_corners_they_are_the_rows_of_simple_averaging(session: Session) -> None:
    simple, found = (preview(session, [method], corners(session.problem.names)) for method in ("simple", "predictive"))
    for one, other in zip(simple, found, strict=True):
        assert all(
            dict(one.metrics[task]) == pytest.approx(dict(other.metrics[task]), rel=1e-12) for task in one.metrics
        )


def test_so_they_are_with_heads_or_statistics_of_their_own(pair: Session) -> None:
    simple, found = (preview(pair, [method], corners("ab")) for method in ("simple", "predictive"))
    for one, other in zip(simple, found, strict=True):
        assert all(dict(one.metrics[task]) == pytest.approx(dict(other.metrics[task]), rel=1e-6) for task in "ab")


def test_each_trunk_is_heard_through_the_task_s_own_head(pair: Session) -> None:
    weights = TaskWeights("ab", [0.3, 0.7])
    (row,) = preview(pair, ["predictive"], [weights])
    for place, task in enumerate("ab"):
        assert row.metrics[task]["loss"] == pytest.approx(float(mixture(pair, weights, place)[0].mean()), rel=1e-5)


def test_models_speak_once_and_rows_are_kept_with_results_per_example(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = lattice(session.problem.names, 3)
    first = preview(session, ["predictive"], points[:4])
    spoken = session.study.all_work("outputs")
    assert [done.inputs["task"][0] for done in spoken] == session.problem.names
    assert all(row.cost > 0 for row in first)

    def never(*_: object, **__: object) -> None:
        raise AssertionError("a forward pass")

    monkeypatch.setattr("foretaste.methods.predictive.outputs_of", never)
    again = preview(session, ["predictive"], points)
    assert again[:4] == first
    assert session.study.all_work("outputs") == spoken
    kept = session.study.tensors(session.study.all_work("evaluation")[0].artefact)
    assert {name.partition("/")[2] for name in kept} == {"losses", "predicted"}
    assert float(kept["low/losses"].double().mean()) == pytest.approx(first[0].metrics["low"]["loss"], rel=1e-6)


def test_its_price_is_the_runs_and_what_they_say_once(session: Session) -> None:
    found = prepare(session, "predictive")
    own = [done.seconds for kind in ("finetune", "outputs") for done in session.study.all_work(kind)]
    assert found.seconds == pytest.approx(sum(own))
    assert list(found.works) == session.problem.names
    assert all([work.kind for work in works] == ["finetune", "outputs"] for works in found.works.values())


def test_a_stop_keeps_the_tasks_that_are_done(session: Session) -> None:
    class Impatient:
        def __init__(self) -> None:
            self.told: list[tuple[int, str]] = []

        def begin(self, label: str, total: int) -> None:
            self.told.append((total, label))

        def advance(self, amount: int, note: str = "", stage: str | None = None) -> None:
            self.told.append((amount, note))

        def say(self, text: str) -> None:
            raise AssertionError(text)

        def stopping(self) -> bool:
            return bool(self.told) and self.told[-1][1] == "mid"

    watch = Impatient()
    with pytest.raises(Stopped):
        preview(replace(session, watch=watch), ["predictive"], [POINT])
    assert [done.inputs["task"][0] for done in session.study.all_work("outputs")] == ["low"]
    patient = Impatient()
    patient.stopping = lambda: False  # type: ignore[method-assign]
    preview(replace(session, watch=patient), ["predictive"], [POINT])
    count = 3 * sum(len(task.validation) for task in session.problem.tasks[1:])  # those of low are there
    begun = patient.told.index((count, "predictions of the single-task models"))
    assert sum(amount for amount, note in patient.told[begun + 1 :] if note in ("low", "mid", "high", "")) == count
    assert patient.told[-2:] == [(1, "previews by predictive"), (1, str(POINT))]


def test_there_are_no_params_to_sharpen_or_export(session: Session, tmp_path: Path) -> None:
    fit(session)
    before = session.study.all_work()
    said = (
        r"method predictive mixes the tasks' predictions and has no params to sharpen or export; take another, such"
        r" as simple"
    )
    with pytest.raises(RecipeError, match=said):
        sharpen_previews(session, "predictive", 1, [POINT])
    with pytest.raises(RecipeError, match=said):
        export(session, tmp_path / "out", POINT, "predictive")
    with pytest.raises(RecipeError, match=said):
        prepare_merger(session, "predictive")
    assert session.study.all_work() == before
    assert not (tmp_path / "out").exists()
    with pytest.raises(RecipeError, match=said):
        prepare(session, "predictive").under(None)  # type: ignore[arg-type]


def judged_by_texts(session: Session, *, first: bool) -> Session:
    """The same, with a metric of what is written."""
    written = TextMetric("bleu", lambda said, wanted: 0.0)
    metrics: list[AnyMetric] = [written, METRICS["accuracy"]] if first else [METRICS["accuracy"], written]
    low, *others = session.problem.tasks
    changed = replace(low, metrics=metrics, write=lambda model, examples: [("", "") for _ in examples])
    return replace(session, problem=replace(session.problem, tasks=(changed, *others)))


def test_metrics_that_need_a_model_are_left_out(session: Session) -> None:
    other = judged_by_texts(session, first=False)
    simple, found = preview(other, ["simple", "predictive"], [uniform(session.problem.names)])
    assert (list(simple.metrics["low"]), list(found.metrics["low"])) == (
        ["loss", "accuracy", "bleu"],
        ["loss", "accuracy"],
    )


def test_a_headline_that_needs_a_model_is_refused_before_any_work(session: Session) -> None:
    other = judged_by_texts(session, first=True)
    fit(other)
    before = session.study.all_work()
    with pytest.raises(
        TaskError,
        match="is of what a model writes, and mixed predictions come from no model",
    ):
        preview(other, ["simple", "predictive"], [POINT])
    assert session.study.all_work() == before


def test_a_study_of_before_is_gone_on_with(session: Session) -> None:
    """One that never heard of outputs, as all were when there was no such work."""
    found = session.study.recipe()
    assert found is not None
    text, plan = found
    del plan["identity"]["revisions"]["outputs"]
    session.study.add_recipe(text, plan)
    again = start(session.recipe, text, session.problem, session.study.path)
    with again.study:
        assert preview(again, ["predictive"], [POINT])
    with StudyStore.open(session.study.path) as study:
        kept = study.recipe()
        assert kept is not None
        assert kept[1]["identity"]["revisions"]["outputs"] == 1

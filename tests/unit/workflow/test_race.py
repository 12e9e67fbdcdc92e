import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from engine_studies import empty_study
from foretaste.engines.here import Here
from foretaste.engines.pool import Pool
from foretaste.errors import Stopped, TaskError, WeightsError
from foretaste.evaluation import Evaluation
from foretaste.merge import Preview
from foretaste.methods import previews as previewing
from foretaste.methods.site_set import Merger
from foretaste.metric_kinds import TextMetric
from foretaste.metrics import METRICS, SEQUENCE_METRICS
from foretaste.recipe import parse, read
from foretaste.simplex import lattice
from foretaste.sources.digits import digits
from foretaste.sources.problem import Problem
from foretaste.surface.choose import choose
from foretaste.surface.preference import Floor, Preference
from foretaste.surface.race_result import RaceResult
from foretaste.surface.table import Surface, headlines
from foretaste.task import Batch, Rows, Task
from foretaste.weights import TaskWeights, corners, uniform
from foretaste.work.context import Unwatched
from foretaste.workflow import runners as running
from foretaste.workflow.fit import fit
from foretaste.workflow.outcome import read_outcome
from foretaste.workflow.preview import preview
from foretaste.workflow.race import race
from foretaste.workflow.session import Session
from foretaste.workflow.start import start
from problems import blobs, linear

MEAN, WORST = Preference("mean", {}), Preference("worst", {})


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Previews are evaluated one after the other, as large models' are."""
    for module in (previewing, running):
        monkeypatch.setattr(module, "at_once", lambda model, tasks: 1)


def points(session: Session) -> list[TaskWeights]:
    return lattice(session.problem.names, 5)


def raced(session: Session, preference: Preference = MEAN, floors: tuple[Floor, ...] = ()) -> RaceResult:
    return race(session, "simple", points(session), preference, floors)


@pytest.fixture
def truth(fitted_folder: Path, tmp_path: Path) -> Iterator[dict[TaskWeights, Evaluation]]:
    """All rows, from a study of their own."""
    shutil.copytree(fitted_folder, tmp_path / "other")
    plan, text = read(tmp_path / "other" / "small.yaml")
    with start(plan, text, digits(plan.seed), tmp_path / "other" / "study").study as study:
        session = Session(study, plan, digits(plan.seed), digits(plan.seed).base(), Unwatched())
        yield {row.weights: row for row in preview(session, ["simple"], points(session))}


def chosen(session: Session, rows: dict[TaskWeights, Evaluation], preference: Preference) -> TaskWeights:
    return choose(Surface(headlines(session.problem.tasks), tuple(rows.values())), preference).weights


def assert_same_rows(found: RaceResult, truth: dict[TaskWeights, Evaluation]) -> None:
    for row in found.rows:
        for task, metrics in truth[row.weights].metrics.items():
            assert row.metrics[task] == pytest.approx(metrics, rel=1e-6)
        assert row.cost > 0


@pytest.mark.parametrize("preference", [MEAN, WORST, Preference("weighted", {"low": 0.2, "mid": 0.2, "high": 0.6})])
def test_the_best_is_that_of_evaluating_all(
    session: Session, truth: dict[TaskWeights, Evaluation], preference: Preference
) -> None:
    found = raced(session, preference)
    assert found.reason == ""
    assert found.best == chosen(session, truth, preference)
    assert found.dropped
    assert found.evaluated < found.whole == 21 * sum(len(task.validation) for task in session.problem.tasks)
    assert {row.weights for row in found.rows} | {each.weights for each in found.dropped} == set(points(session))
    assert_same_rows(found, truth)


def test_rows_are_ordinary_ones_with_results_per_example(
    session: Session, truth: dict[TaskWeights, Evaluation]
) -> None:
    found = raced(session)
    works = session.study.all_work("evaluation")
    assert len(works) == len(found.rows)
    again = preview(session, ["simple"], [row.weights for row in found.rows])
    assert again == list(found.rows)
    assert session.study.all_work("evaluation") == works
    inner = next(row for row in found.rows if row.weights.corner is None)
    done = next(done for done in works if done.inputs["weights"] == inner.weights.key)
    results = session.study.tensors(done.artefact)
    assert float(results["low/losses"].double().mean()) == pytest.approx(inner.metrics["low"]["loss"], rel=1e-6)
    assert len(results["low/predicted"]) == len(session.problem.tasks[0].validation)


def test_who_stopped_says_what_was_seen(session: Session, truth: dict[TaskWeights, Evaluation]) -> None:
    found = raced(session)
    sizes = {
        sum(-(-len(task.validation) * read_outcome // 8) for task in session.problem.tasks)
        for read_outcome in range(1, 8)
    }
    for each in found.dropped:
        assert each.examples >= 96  # 32 of each task at least
        assert each.examples in sizes or each.examples < min(sizes) + 3 * 32
        assert 0 < each.gap.low < each.gap.behind < each.gap.high
        assert 0 < each.value < 1
    assert [each.examples for each in found.dropped] == sorted(each.examples for each in found.dropped)
    assert set(found.gaps) == {row.weights for row in found.rows}
    assert found.gaps[found.best].behind == 0
    assert found.best not in found.undecided


def test_single_task_models_run_to_the_end(session: Session) -> None:
    found = raced(session)
    assert {row.weights.corner for row in found.rows if row.weights.corner} == {"low", "mid", "high"}


def test_one_by_one_gives_the_same(alone: None, session: Session, truth: dict[TaskWeights, Evaluation]) -> None:
    found = raced(session)
    assert found.best == chosen(session, truth, MEAN)
    assert_same_rows(found, truth)
    parts = len(session.study.all_work("slice"))
    assert parts >= len(found.dropped) + 8 * sum(row.weights.corner is None for row in found.rows)

    again = raced(session)  # rows are found
    assert (again.best, again.dropped, len(session.study.all_work("slice"))) == (found.best, found.dropped, parts)
    assert [row.weights for row in again.rows] == [row.weights for row in found.rows]
    other = raced(session, WORST)
    assert other.best == chosen(session, truth, WORST)
    assert_same_rows(other, truth)
    seen = {(done.inputs["of"], str(done.inputs["part"])) for done in session.study.all_work("slice")}
    assert len(seen) == len(session.study.all_work("slice"))


def test_a_race_that_was_stopped_goes_on(alone: None, session: Session, truth: dict[TaskWeights, Evaluation]) -> None:
    class Impatient:
        def __init__(self, most: int) -> None:
            self.most, self.seen = most, 0

        def begin(self, label: str, total: int) -> None:
            pass

        def advance(self, amount: int, note: str = "", stage: str | None = None) -> None:
            self.seen += amount

        def say(self, text: str) -> None:
            raise AssertionError(text)

        def stopping(self) -> bool:
            return self.seen > self.most

    fit(session)
    with pytest.raises(Stopped):
        race(replace(session, watch=Impatient(5000)), "simple", points(session), MEAN)
    parts = {done.key for done in session.study.all_work("slice")}
    assert parts
    found = raced(session)
    assert found.best == chosen(session, truth, MEAN)
    assert parts < {done.key for done in session.study.all_work("slice")}
    whole = Impatient(10**9)
    race(replace(session, watch=whole), "simple", points(session), MEAN)
    assert whole.seen == found.whole + 3  # the bar ends where it should; the single-task models have one of their own


def test_the_engine_evaluates_the_parts_of_large_models(
    alone: None, session: Session, truth: dict[TaskWeights, Evaluation], tmp_path: Path
) -> None:
    here = empty_study(session, tmp_path / "here", Here())
    with Pool(2) as pool, here.study:
        there = empty_study(session, tmp_path / "there", pool)
        with there.study:
            one, other = raced(here), raced(there)
            assert one.best == other.best == chosen(session, truth, MEAN)
            assert [row.weights for row in one.rows] == [row.weights for row in other.rows]
            assert_same_rows(other, truth)
            keys = [{done.key for done in each.study.all_work("slice")} for each in (here, there)]
            assert keys[0] == keys[1]
            assert len(keys[0]) > len(one.rows)


def test_a_preview_is_merged_once_for_all_its_parts(
    alone: None, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    merged, merge = [], Merger.merge

    def counting(self: Merger, weights: TaskWeights) -> Preview:
        merged.append(weights)
        return merge(self, weights)

    fit(session)
    preview(session, ["simple"], corners(session.problem.names))  # where the race begins
    monkeypatch.setattr(Merger, "merge", counting)
    found = raced(session)
    assert len(merged) == len(set(merged)) == len(points(session)) - len(session.problem.names)
    assert found.dropped


def test_costs_count_what_was_seen_once(alone: None, session: Session) -> None:
    found = raced(session)
    costs = read_outcome(session.study).costs
    kept = {done.key for done in session.study.all_work("evaluation")}
    stopped = [done for done in session.study.all_work("slice") if done.inputs["of"] not in kept]
    assert costs["previews that stopped in a race"] == pytest.approx(sum(done.seconds for done in stopped))
    assert costs["previews"] == pytest.approx(sum(row.cost for row in found.rows))


def test_floors_of_the_single_task_metric_bring_the_corners(session: Session) -> None:
    inner = [weights for weights in points(session) if weights.corner is None]
    floors = [Floor("low", 0.9, True)]
    found = race(session, "simple", inner, MEAN, floors)
    assert {row.weights.corner for row in found.rows} >= {"low", "mid", "high"}
    everything = preview(session, ["simple"], points(session))
    surface = Surface(headlines(session.problem.tasks), tuple(everything))
    assert found.best == choose(surface, MEAN, floors).weights


def test_a_knee_is_settled_first(session: Session) -> None:
    inner = [weights for weights in points(session) if weights.corner is None]
    found = race(session, "simple", inner, Preference("knee", {}))
    everything = preview(session, ["simple"], points(session))
    surface = Surface(headlines(session.problem.tasks), tuple(everything))
    assert found.best == choose(surface, Preference("knee", {}).resolve_knee(surface)).weights


def small(folder: Path, *tasks: Task, model: nn.Module | None = None) -> Session:
    text = (
        "name: a\nmodel: {source: digits}\nfinetune: {steps: 4, batch_size: 8, learning_rate: 0.01}\ncurvature:"
        " {max_examples: 4}\n"
    )
    return start(parse(text), text, Problem(model or linear(), tasks), folder / "study")


def test_what_is_no_mean_over_examples_is_not_raced(tmp_path: Path) -> None:
    tasks = [replace(blobs(name, seed), metrics=[METRICS["f1"], METRICS["accuracy"]]) for seed, name in enumerate("ab")]
    session = small(tmp_path, *tasks)
    with session.study:
        found = race(session, "simple", lattice("ab", 3), MEAN)
        assert len(found.rows) == 4
    assert found.reason.startswith("f1 of task 'a' is no mean over examples")
    assert (found.dropped, found.evaluated) == ((), found.whole)


def test_an_ensemble_has_no_pass_to_save(session: Session) -> None:
    found = race(session, "predictive", points(session), MEAN)
    assert "need no pass" in found.reason
    assert len(found.rows) == 21


def test_a_method_that_cannot_preview_is_refused(tmp_path: Path) -> None:
    texts = TextMetric("same", lambda written, wanted: 0.0)
    tasks = [
        replace(blobs(name, seed), metrics=[texts], write=lambda model, examples: [("", "")])
        for seed, name in enumerate("ab")
    ]
    session = small(tmp_path, *tasks)
    with session.study, pytest.raises(TaskError, match="mixed predictions come from no model"):
        race(session, "predictive", lattice("ab", 3), MEAN)


@pytest.mark.parametrize("one_by_one", [True, False])
def test_sequences_with_statistics_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_by_one: bool
) -> None:
    """Perplexity of tokens, some ignored, of a model whose batch-norm statistics are re-estimated for every preview."""
    if one_by_one:
        for module in (previewing, running):
            monkeypatch.setattr(module, "at_once", lambda model, tasks: 1)

    def tokens(name: str, seed: int) -> Task:
        generator = torch.Generator().manual_seed(seed)
        inputs = torch.randn(200, 3, 4, generator=generator)
        labels = (inputs @ torch.randn(4, 3, generator=generator)).argmax(-1)
        labels[torch.rand(labels.shape, generator=generator) < 0.2] = -100
        metrics = [SEQUENCE_METRICS[each] for each in ("perplexity", "token_accuracy", "exact_match")]
        return Task(
            name,
            Rows(inputs[:40], labels[:40]),
            Rows(inputs[40:], labels[40:]),
            metrics,
            predict=flat,
            unit="token",
            fingerprint=name,
        )

    def flat(model: nn.Module, batch: Batch) -> torch.Tensor:
        found: torch.Tensor = model(batch["inputs"].flatten(0, 1)).unflatten(0, batch["labels"].shape)
        return found

    grid = lattice("ab", 8)
    session = small(tmp_path / "raced", tokens("a", 3), tokens("b", 4))
    with session.study:
        found = race(session, "simple", grid, MEAN)
    session = small(tmp_path / "whole", tokens("a", 3), tokens("b", 4))
    with session.study:
        rows = {row.weights: row for row in preview(session, ["simple"], grid)}
    assert found.reason == ""
    assert found.best == chosen(session, rows, MEAN)
    assert_same_rows(found, rows)


def test_with_heads_of_their_own_only_inner_weights_can_win(tmp_path: Path) -> None:
    model = nn.ModuleDict({"trunk": nn.Linear(4, 8), "a": nn.Linear(8, 3), "b": nn.Linear(8, 3)})

    def task(head: str, seed: int) -> Task:
        names = frozenset(name for name, _ in model.named_parameters() if not name.startswith("ab".replace(head, "")))
        return replace(
            blobs(head, seed, 200),
            names=names,
            predict=lambda net, batch: net.get_submodule(head)(net.get_submodule("trunk")(batch["inputs"])),
        )

    session = small(tmp_path, task("a", 1), task("b", 2), model=model)
    with session.study:
        found = race(session, "simple", lattice("ab", 6), MEAN)
        assert found.best.corner is None
        with pytest.raises(WeightsError, match="all need some weight"):
            race(session, "simple", [TaskWeights("ab", [1.0, 0.0])], MEAN)
        assert race(session, "simple", [uniform("ab")], MEAN).best == uniform("ab")

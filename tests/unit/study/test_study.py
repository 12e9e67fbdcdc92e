"""Every verb of a study, on digits and with one step of training."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine_studies import StopAfter
from foretaste.engines.pool import Pool
from foretaste.errors import DataError, RecipeError, Stopped, StudyError
from foretaste.evaluation import Fidelity
from foretaste.loading import load
from foretaste.recipe import parse
from foretaste.store.study import StudyStore
from foretaste.study.study import Study
from foretaste.surface.preference import Preference
from foretaste.weights import TaskWeights, corners, uniform
from foretaste.work.context import Unwatched
from foretaste.workflow.reopen import reopen
from foretaste.workflow.start import start
from in_memory import SMALL, disagreeing_tasks, network

TEXT = """
name: one step
model: {source: digits}
finetune: {steps: 1}
curvature: {max_examples: 4}
preview: {points: 6, methods: [simple, diagonal], prior_precision: 0.01}
joint: {points: 3}
"""
NAMES = ["low", "mid", "high"]
POINT = TaskWeights(NAMES, [0.2, 0.3, 0.5])


def started(folder: Path, text: str = TEXT, watch: Unwatched | None = None) -> Study:
    recipe = parse(text)
    return Study.of(start(recipe, text, load(recipe, text, ""), folder, watch))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    """One study for all tests: what one verb has made, another finds."""
    with started(tmp_path_factory.mktemp("study") / "a.study") as found:
        yield found


def test_a_new_study_is_empty_and_its_recipe_is_there(tmp_path: Path) -> None:
    with started(tmp_path / "new.study") as study:
        assert study.folder == tmp_path / "new.study"
        assert (study.recipe.name, study.problem.names) == ("one step", NAMES)
        assert study.surface().rows == ()
        assert repr(study) == "Study('one step', 0 rows)"
        with pytest.raises(StudyError, match="too few previews to recommend from"):
            study.recommend()


def test_fit_gives_every_task_s_run_and_estimate(study: Study) -> None:
    fitted = study.fit()
    assert list(fitted) == NAMES
    assert {(each.run.kind, each.site_record and each.site_record.kind) for each in fitted.values()} == {
        ("finetune", "site")
    }


def test_nothing_is_trained_where_curvature_alone_is_asked_for(tmp_path: Path) -> None:
    with (
        started(tmp_path / "new.study") as study,
        pytest.raises(StudyError, match="there is no model yet of low, mid, high"),
    ):
        study.fit(estimate="fisher")


def test_previews_are_by_the_recipe_s_methods_all_over_the_simplex(study: Study) -> None:
    rows = study.preview()
    assert {row.method for row in rows} == {"simple", "diagonal"}
    assert {*corners(NAMES), uniform(NAMES)} <= {row.weights for row in rows}
    assert {row.fidelity for row in rows} == {Fidelity.PREVIEW}
    assert len(rows) == 2 * len({row.weights for row in rows})


def test_previews_are_where_and_how_they_are_asked_for(study: Study) -> None:
    rows = study.preview([POINT], ["mixture"])
    assert [(row.method, row.weights) for row in rows] == [(name, POINT) for name in ("mixture", "average", "weighted")]
    assert study.preview([POINT], ["mixture"]) == rows


def test_races_evaluate_the_best(study: Study) -> None:
    raced = study.race(Preference("mean", {}), points=[*corners(NAMES), POINT], methods=["simple"])
    assert [race.method for race in raced] == ["simple"]
    assert raced[0].best in {row.weights for row in raced[0].rows}


def test_a_joint_run_is_confirmed_beside_its_previews(study: Study) -> None:
    rows = study.confirm([POINT])
    assert [(row.method, row.fidelity) for row in rows] == [
        ("simple", Fidelity.PREVIEW),
        ("diagonal", Fidelity.PREVIEW),
        ("joint", Fidelity.JOINT),
    ]
    assert {row.weights for row in rows} == {POINT}


def test_the_recommended_weights_are_confirmed_if_none_are_given(tmp_path: Path) -> None:
    with started(tmp_path / "new.study", TEXT.replace("joint: {points: 3}", "joint: {points: 0}")) as study:
        rows = study.confirm()
        assert len({row.weights for row in rows}) == 1
        assert rows[-1].fidelity == Fidelity.JOINT


def test_train_returns_joint_rows_and_makes_previews_to_compare_with(study: Study) -> None:
    at = TaskWeights(NAMES, [0.5, 0.3, 0.2])
    assert [(row.method, row.weights) for row in study.train([at])] == [("joint", at)]
    assert {row.method for row in study.surface().rows if row.weights == at} == {"simple", "diagonal", "joint"}


def test_previews_are_sharpened_by_a_tenth_of_a_joint_run(study: Study) -> None:
    assert [row.label for row in study.sharpen([POINT])] == ["diagonal+1"]  # of one step, at least one
    assert [row.label for row in study.sharpen([POINT], 2, "simple")] == ["simple+2"]
    with pytest.raises(RecipeError, match="predictive"):
        study.sharpen([POINT], 1, "predictive")


def test_mergeability_is_about_every_pair(study: Study) -> None:
    found = study.mergeability()
    assert [pair.tasks for pair in found.pairs] == [("low", "mid"), ("low", "high"), ("mid", "high")]
    assert all(corner.exact for corner in found.corners)


def test_methods_are_compared_by_the_same_joint_runs(study: Study) -> None:
    found = study.compare(["simple", "diagonal"])
    assert [each.method for each in found.methods] == ["simple", "diagonal"]


def test_search_keeps_its_budget(tmp_path: Path) -> None:
    with started(tmp_path / "new.study") as study:
        reports: list[object] = []
        found = study.search(joint=1, previews=8, prefer="mean", on_progress=reports.append)
        rows = study.surface().rows
        assert sum(row.fidelity == Fidelity.JOINT and row.weights.corner is None for row in rows) <= 1
        assert reports
        assert found.recommendation.weights in {row.weights for row in rows}


def test_run_ends_with_a_confirmed_recommendation(study: Study) -> None:
    chosen = study.run()
    assert chosen.confirmed
    assert study.recommend() == chosen
    assert chosen.weights in {row.weights for row in study.surface().where(Fidelity.JOINT).rows}


def test_a_preview_is_exported_as_a_model(study: Study, tmp_path: Path) -> None:
    facts = study.export(tmp_path / "out", POINT, "simple")
    assert (facts["method"], facts["at"]) == ("simple", str(POINT))
    assert (tmp_path / "out" / "model.safetensors").is_file()


def test_the_recommended_weights_are_exported_if_none_are_given(study: Study, tmp_path: Path) -> None:
    chosen = study.run()
    assert study.export(tmp_path / "out")["at"] == str(chosen.weights)


def test_digits_have_no_rows_to_export_as_a_mixture(study: Study, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="have no rows to write; a mixture is for tasks from data files"):
        study.export_mixture(tmp_path / "rows", POINT)


def test_a_summary_holds_what_the_study_has_come_to(study: Study) -> None:
    study.preview()
    summary = study.summary("worst", ["all>=10%"])
    assert summary.surface.rows == study.surface().rows


def test_a_study_is_shown_in_one_line_and_as_a_page(study: Study) -> None:
    study.preview()
    rows = len(study.surface().rows)
    assert repr(study) == f"Study('one step', {rows} rows)"
    shown = study._repr_html_()
    assert shown.startswith("<")
    assert "<table" in shown
    assert "diagonal" in shown


def test_another_watch_watches_the_same_study(study: Study) -> None:
    watch = StopAfter(0)
    watched = study.watched_by(watch)
    assert watched.watch is watch
    assert watched.folder == study.folder
    assert study.watch is not watch
    with pytest.raises(Stopped):
        watched.train([TaskWeights(NAMES, [0.7, 0.2, 0.1])])


def test_a_study_is_reopened_without_its_recipe(tmp_path: Path) -> None:
    with started(tmp_path / "a.study") as study:
        rows = study.preview([POINT])
    with Study.of(reopen(tmp_path / "a.study")) as again:
        assert again.recipe == study.recipe
        assert again.surface().rows == tuple(rows)
        assert again.preview([POINT]) == rows
    with pytest.raises(StudyError, match="is not a study"):
        reopen(tmp_path / "nothing")


def test_a_study_in_memory_has_one_worker(tmp_path: Path) -> None:
    recipe = parse(TEXT)
    with (
        Study.of(start(recipe, TEXT, load(recipe, TEXT, ""), tmp_path / "a.study", engine=Pool(2))) as study,
        pytest.raises(StudyError, match="made in memory"),
    ):
        study.fit()


def test_several_workers_are_refused_for_a_model_in_memory_before_anything_is_created(tmp_path: Path) -> None:
    tasks, folder = disagreeing_tasks("left", "right"), tmp_path / "a.study"
    with pytest.raises(
        RecipeError, match=r"^workers is 2; a model in memory is used by this process alone, so leave it out$"
    ):
        Study(folder, model=network(), tasks=tasks, workers=2, progress=False, **SMALL)
    assert not folder.exists()
    Study(folder, model=network(), tasks=tasks, workers=1, progress=False, **SMALL).close()


def test_variables_without_a_recipe_are_refused(tmp_path: Path) -> None:
    tasks, folder = disagreeing_tasks("left", "right"), tmp_path / "a.study"
    with pytest.raises(RecipeError, match="variables have their values in a recipe; pass recipe="):
        Study(folder, model=network(), tasks=tasks, variables={"SEED": "3"}, progress=False, **SMALL)
    assert not folder.exists()
    with pytest.raises(RecipeError, match="variables have their values in a recipe"):
        Study(folder, variables={"SEED": "3"})


@pytest.mark.parametrize(("workers", "engine"), [(None, "Pool(2)"), (1, "Here()"), (3, "Pool(3)")])
def test_a_folder_has_the_workers_of_its_recipe(tmp_path: Path, workers: int | None, engine: str) -> None:
    recipe = {"name": "a", "model": {"source": "digits"}, "resources": {"workers": 2}, **SMALL}
    Study(tmp_path / "a.study", recipe, progress=False, workers=1).close()
    with Study(tmp_path / "a.study", progress=False, workers=workers) as study, study._at_work() as session:
        assert repr(session.engine) == engine


def test_a_study_whose_folder_is_gone_is_still_shown(tmp_path: Path) -> None:
    folder = tmp_path / "a<b>.study"
    study = Study(folder, tasks={"code": "pass@1", "chat": "loss"})
    shutil.rmtree(folder)
    assert repr(study) == f"Study({str(folder)!r}, cannot be read)"
    shown = study._repr_html_()
    assert shown.startswith("<pre>Study(")
    assert "a&lt;b&gt;.study" in shown
    assert "is not a study" in shown


def test_a_study_that_is_closed_is_still_shown(tmp_path: Path) -> None:
    with started(tmp_path / "a.study") as study:
        study.preview([POINT])
    assert repr(study) == "Study('one step', 2 rows)"
    shutil.rmtree(tmp_path / "a.study")
    assert repr(study).startswith("Study(")
    assert study._repr_html_().startswith("<")


def test_an_empty_study_is_shown(tmp_path: Path) -> None:
    StudyStore.create(tmp_path / "a.study").close()
    study = Study(tmp_path / "a.study")
    assert repr(study) == "Study('a', 0 rows)"
    assert "is empty" in study._repr_html_()


def test_the_front_door_needs_no_extra() -> None:
    """As after `pip install -e .`: what the demo's command imports has no transformers, datasets or peft."""
    names = ("transformers", "datasets", "peft", "pandas", "starlette", "lm_eval")
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({names!r})); import foretaste.study.study, foretaste.cli.working"
    )
    result = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr

"""Training runs in trackers: the real ones, where they are installed."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from accelerate.tracking import TensorBoardTracker
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from engine_studies import StopAfter, empty_study
from foretaste.engines.here import Here
from foretaste.engines.pool import Pool
from foretaste.errors import RecipeError, Stopped
from foretaste.train.training import learning_rate
from foretaste.weights import TaskWeights
from foretaste.work.context import Unwatched
from foretaste.work.joint_evaluations import ShortJointRun
from foretaste.work.observer import Observer
from foretaste.work.runs import JointRun, SingleTaskRun
from foretaste.work.tracking import check_tracker, logged_run
from foretaste.workflow.session import Session

POINT = TaskWeights(["low", "mid", "high"], [0.5, 0.25, 0.25])
STUDY = "small digits"
OLD_STYLE = "ignore:The ``noload`` loader strategy"  # which MLflow still asks SQLAlchemy for


class Lines(Unwatched):
    """Keeps the lines that are printed."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def tracked_by(tracker: str | None, session: Session, folder: Path, steps: int = 4) -> Session:
    finetune = session.recipe.finetune.model_copy(update={"track": tracker, "steps": steps})
    return empty_study(session, folder, Here(), finetune=finetune, name=STUDY)


@pytest.fixture
def tracked(session: Session, tmp_path: Path) -> Iterator[Session]:
    """A study whose runs are tracked by TensorBoard."""
    changed = tracked_by("tensorboard", session, tmp_path / "study")
    with changed.study:
        yield changed


def scalars(session: Session, run: str, name: str) -> list[tuple[int, float]]:
    """The steps and values of a run's curve in TensorBoard."""
    events = EventAccumulator(str(session.study.tracking / STUDY / run))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(name)]


def test_every_step_is_logged_under_the_names_of_study_and_run(tracked: Session) -> None:
    works = [SingleTaskRun("low"), SingleTaskRun("low", 1), JointRun(POINT)]
    runs = tracked.finish(works)
    names = ["low", "low run 2", "joint low=0.5,mid=0.25,high=0.25"]
    assert sorted(path.name for path in (tracked.study.tracking / STUDY).iterdir()) == sorted(names)
    for name, run in zip(names, runs, strict=True):
        curve = scalars(tracked, name, "loss")
        assert [step for step, _ in curve] == [1, 2, 3, 4]
        assert [loss for _, loss in curve] == pytest.approx(list(run.history), rel=1e-6)
        rates = [learning_rate(tracked.training_of("low"), step) for step in range(4)]
        assert [value for _, value in scalars(tracked, name, "learning_rate")] == pytest.approx(rates)
    (settings,) = (tracked.study.tracking / STUDY / names[2]).glob("*/hparams.yml")
    assert {"run: joint low=0.5,mid=0.25,high=0.25", "study: small digits", "steps: 4"} <= set(
        settings.read_text().splitlines()
    )


def test_sharpening_and_short_runs_are_logged(tracked: Session) -> None:
    tracked.finish([ShortJointRun(3, POINT)])
    steps = [step for step, _ in scalars(tracked, f"pretrained+3 {POINT}", "loss")]
    assert steps == [1, 2, 3]


def test_results_and_keys_are_those_of_a_study_without_a_tracker(
    tracked: Session, session: Session, tmp_path: Path
) -> None:
    silent = tracked_by(None, session, tmp_path / "silent")
    done = [each.finish([JointRun(POINT)])[0].done for each in (tracked, silent)]
    assert [(run.key, run.artefact) for run in done] == [(done[0].key, done[0].artefact)] * 2
    assert not silent.study.tracking.exists()
    silent.study.close()


def test_a_run_that_was_stopped_goes_on_in_the_same_run(tracked: Session) -> None:
    with pytest.raises(Stopped):
        replace(tracked, watch=StopAfter(2)).finish([SingleTaskRun("mid")])
    assert len(scalars(tracked, "mid", "loss")) == 2
    (run,) = tracked.finish([SingleTaskRun("mid")])
    assert [step for step, _ in scalars(tracked, "mid", "loss")] == [1, 2, 3, 4]
    assert [value for _, value in scalars(tracked, "mid", "loss")] == pytest.approx(list(run.history), rel=1e-6)
    assert len(list((tracked.study.tracking / STUDY / "mid").glob("*/hparams.yml"))) == 1


@pytest.mark.parametrize("method", ["start", "store_init_configuration", "log", "finish"])
def test_a_tracker_that_fails_is_left_with_one_warning(
    tracked: Session, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ConnectionError("no route to host\nand much more")

    monkeypatch.setattr(TensorBoardTracker, method, fail)
    watch = Lines()
    (run,) = replace(tracked, watch=watch).finish([SingleTaskRun("high")])
    assert len(run.history) == 4
    assert watch.lines == [
        "warning: this run is no longer tracked, and training goes on (ConnectionError: no route to host)"
    ]


def test_a_name_is_safe_in_a_path_and_bounded(tracked: Session) -> None:
    long = "../" + "task=0.05," * 20
    with logged_run(tracked, long, "0123456789abcdef", tracked.training_of("low"), Observer(Unwatched(), 1)) as log:
        log.on_step(1, 0.5)
    (folder,) = (tracked.study.tracking / STUDY).iterdir()
    assert re.fullmatch(r"_task=0\.05,.*~01234567", folder.name)
    assert len(folder.name) < 120


@pytest.mark.slow
def test_workers_log_their_runs(session: Session, tmp_path: Path) -> None:
    changed = tracked_by("tensorboard", session, tmp_path / "study")
    with changed.study, Pool(2) as pool:
        replace(changed, engine=pool).finish([SingleTaskRun(task) for task in changed.problem.names])
        for task in changed.problem.names:
            assert [step for step, _ in scalars(changed, task, "loss")] == [1, 2, 3, 4]


@pytest.mark.filterwarnings(OLD_STYLE)
def test_mlflow_keeps_runs_in_the_study_and_goes_on_in_the_same_run(session: Session, tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    changed = tracked_by("mlflow", session, tmp_path / "study")
    with changed.study:
        with pytest.raises(Stopped):
            replace(changed, watch=StopAfter(2)).finish([SingleTaskRun("mid")])
        (run,) = changed.finish([SingleTaskRun("mid")])
        assert not mlflow.is_tracking_uri_set()
        client = mlflow.MlflowClient(f"sqlite:///{changed.study.tracking / 'mlflow.db'}")
        (experiment,) = client.search_experiments(filter_string=f"name = '{STUDY}'")
        (stored,) = client.search_runs([experiment.experiment_id])
        assert (stored.info.run_name, stored.data.params["steps"]) == ("mid", "4")
        curve = client.get_metric_history(stored.info.run_id, "loss")
        assert {point.step: point.value for point in curve} == {
            step + 1: pytest.approx(loss) for step, loss in enumerate(run.history)
        }


@pytest.mark.filterwarnings(OLD_STYLE)
def test_the_user_s_store_of_mlflow_is_used(session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    store = f"sqlite:///{tmp_path / 'mine.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    changed = tracked_by("mlflow", session, tmp_path / "study")
    with changed.study:
        watch = Lines()
        replace(changed, watch=watch).finish([SingleTaskRun("mid")])
        assert watch.lines == []
        assert not (changed.study.tracking / "mlflow.db").exists()
        client = mlflow.MlflowClient(store)
        assert len(client.search_runs([client.get_experiment_by_name(STUDY).experiment_id])) == 1


def test_wandb_logs_to_the_study_and_goes_on_under_the_same_id(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    changed = tracked_by("wandb", session, tmp_path / "study")
    with changed.study:
        watch = Lines()
        with pytest.raises(Stopped):
            replace(changed, watch=StopAfter(2)).finish([SingleTaskRun("mid")])
        replace(changed, watch=watch).finish([SingleTaskRun("mid")])
        assert watch.lines == []
        (id_file,) = (changed.study.tracking / "runs").glob("*.wandb")
        folders = list((changed.study.tracking / "wandb").glob(f"offline-run-*-{id_file.read_text()}"))
        assert folders
        logs = b"".join(path.read_bytes() for folder in folders for path in folder.glob("*.wandb"))
        assert b"small digits" in logs
        assert b"learning_rate" in logs


def test_wandb_without_an_account_is_refused_before_training(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wandb = pytest.importorskip("wandb")

    def refuse(**_: object) -> None:
        raise wandb.errors.UsageError("No API key configured.")

    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setattr(wandb, "login", refuse)
    with pytest.raises(RecipeError, match="has no API key; run `wandb login`, or set WANDB_MODE=offline"):
        check_tracker("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    check_tracker("wandb")

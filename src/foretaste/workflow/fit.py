"""Fit: train every task on its own, then estimate its curvature there."""

from dataclasses import dataclass, replace
from pathlib import Path

from foretaste.errors import StudyError
from foretaste.methods.diagonal import task_curvatures
from foretaste.methods.registry import estimates_curvature
from foretaste.methods.simple import task_runs
from foretaste.one_line import one_line
from foretaste.readable import ReadableMapping, Record, View, register_view
from foretaste.report.sections.training import fit_section
from foretaste.sources.problem import Problem
from foretaste.store.study import Done, StudyStore
from foretaste.surface.table import Headline, headlines
from foretaste.train.curve import TrainingCurve, training_curve
from foretaste.work.imported_models import forget_curvature, imported_models
from foretaste.work.single_task import PretrainedMetrics, SingleTaskMetrics
from foretaste.workflow.session import Session

__all__ = ["FittedTask", "FittedTasks", "fit", "measure_fits", "require_models"]


@dataclass(frozen=True)
class FittedTask:
    """One task's finished training and curvature.

    Args:
        run: The finished training.
        site_record: The finished estimate; None where nothing needs it.
        headline: The task's headline metric; None as long as the models are not measured, see `measure_fits`.
        pretrained: The headline metric of the pretrained model on validation rows; None if it is not known.
        single_task: The headline metric of the task's own model on validation rows; None if it is not known.
    """

    run: Done
    site_record: Done | None
    headline: Headline | None = None
    pretrained: float | None = None
    single_task: float | None = None

    __repr__ = one_line

    @property
    def artefacts(self) -> tuple[str, str | None]:
        """The hashes of the params and of the curvature."""
        return str(self.run.artefact), None if self.site_record is None else str(self.site_record.artefact)

    @property
    def curve(self) -> TrainingCurve | None:
        """The training loss and the learning rate by step; None for an imported model."""
        return training_curve(self.run.result["history"], self.run.inputs.get("training", {}))


class FittedTasks(ReadableMapping[FittedTask]):
    """The finished training and curvature of each task, by name."""


def _row_of(fitted: FittedTask) -> Record:
    """Record what a task's training did in single values."""
    curve, head = fitted.curve, fitted.headline
    return {
        "params": fitted.artefacts[0],
        "site": fitted.artefacts[1],
        "seconds": fitted.run.seconds,
        "steps": len(fitted.run.result["history"]),
        "loss_first": curve and curve.first_loss,
        "loss_last": curve and curve.last_loss,
        "metric": head.metric if head else "",
        "higher_is_better": head.higher_is_better if head else None,
        "pretrained": fitted.pretrained,
        "single_task": fitted.single_task,
    }


def _record_fits(tasks: FittedTasks) -> dict[str, Record]:
    """Record what each task's training did, with its curve."""
    return {task: _row_of(fitted) | {"curve": _curve_record(fitted.curve)} for task, fitted in tasks.items()}


def _curve_record(curve: TrainingCurve | None) -> Record | None:
    if curve is None:
        return None
    return {"step": list(curve.steps), "loss": list(curve.losses), "learning_rate": list(curve.learning_rates)}


register_view(
    FittedTasks,
    View(
        _record_fits,
        lambda tasks: (fit_section({task: _row_of(fitted) for task, fitted in tasks.items()}),),
        lambda tasks: [{"task": task, **_row_of(fitted)} for task, fitted in tasks.items()],
    ),
)


def fit(session: Session, *, only_estimate: bool = False) -> FittedTasks:
    """Train every task on its own, or take the model imported for it, and estimate its diagonal curvature there.

    Curvature of models that are trained by LoRA is as large as their weights, so it is left out where none of the
    recipe's methods uses it.

    Args:
        session: The recipe at work.
        only_estimate: Whether nothing is trained, and curvature that came with imported models is made anew.

    Raises:
        StudyError: Nothing may be trained, and a task has no model.

    >>> from foretaste.workflow.example import small_study
    >>> with small_study() as session:
    ...     list(fit(session))
    ['low', 'mid', 'high']
    """
    if only_estimate:
        require_models(session.problem, session.study.path)
        forget_curvature(session.study)
    if not only_estimate and not estimates_curvature(session.recipe.preview.methods, session.problem.space):
        runs = task_runs(session)
        session.finish(list(runs.values()))
        return FittedTasks({task: FittedTask(run.done(session), None) for task, run in runs.items()})
    curvatures = task_curvatures(session)
    records = session.finish(list(curvatures.values()))
    return FittedTasks(
        {
            task: FittedTask(curvature.run.done(session), record.done)
            for (task, curvature), record in zip(curvatures.items(), records, strict=True)
        }
    )


def measure_fits(session: Session, tasks: FittedTasks) -> FittedTasks:
    """Measure the pretrained model and each task's own model on the task's validation rows.

    Args:
        session: The recipe at work.
        tasks: The finished training of each task.

    Returns:
        The same tasks with their headline metrics before and after training.

    Raises:
        TaskError: A metric of a task's own model fails or is not a number.

    >>> from foretaste.workflow.example import small_study
    >>> with small_study() as session:
    ...     measure_fits(session, fit(session))["low"].headline.metric
    'accuracy'
    """
    before = session.finish([PretrainedMetrics(task) for task in tasks])
    after = session.finish([SingleTaskMetrics(task) for task in tasks])
    heads = headlines(session.problem.tasks)
    return FittedTasks(
        {
            task: replace(
                fitted,
                headline=heads[task],
                pretrained=first.get(heads[task].metric),
                single_task=last.get(heads[task].metric),
            )
            for (task, fitted), first, last in zip(tasks.items(), before, after, strict=True)
        }
    )


def require_models(problem: Problem, folder: Path) -> None:
    """Check that every task's model is in a study already.

    Args:
        problem: Has the tasks.
        folder: The study's, which need not be there.

    Raises:
        StudyError: Some are not.
    """
    tasks: set[object] = set()
    if StudyStore.exists(folder):
        with StudyStore.open(folder) as study:
            tasks = {*imported_models(study), *(tuple(run.inputs["task"]) for run in study.all_work("finetune"))}
    lacking = [task.name for task in problem.tasks if not tasks & {task.name, (task.name, task.identity)}]
    if lacking:
        raise StudyError(
            f"there is no model yet of {', '.join(lacking)}; import it (foretaste import {folder} "
            f"--task {lacking[0]}=FOLDER), or leave out --estimate and it is trained"
        )

"""Fit: train every task on its own, then estimate its curvature there."""

from dataclasses import dataclass
from pathlib import Path

from foretaste.errors import StudyError
from foretaste.methods.diagonal import task_curvatures
from foretaste.one_line import one_line
from foretaste.readable import ReadableMapping, Record, View, register_view
from foretaste.report.sections.work import fit_section
from foretaste.sources.problem import Problem
from foretaste.store.study import Done, StudyStore
from foretaste.work.imported_models import forget_curvature, imported_models
from foretaste.workflow.session import Session

__all__ = ["FittedTask", "FittedTasks", "fit", "require_models"]


@dataclass(frozen=True)
class FittedTask:
    """One task's finished training and curvature.

    Args:
        run: The finished training.
        site_record: The finished estimate.
    """

    run: Done
    site_record: Done

    __repr__ = one_line

    @property
    def artefacts(self) -> tuple[str, str]:
        """The hashes of the params and of the curvature."""
        return str(self.run.artefact), str(self.site_record.artefact)


class FittedTasks(ReadableMapping[FittedTask]):
    """The finished training and curvature of each task, by name."""


def _record_fits(tasks: FittedTasks) -> dict[str, Record]:
    """Record the hashes of each task's params and curvature, and the seconds of its training."""
    return {
        task: {"params": fitted.artefacts[0], "site": fitted.artefacts[1], "seconds": fitted.run.seconds}
        for task, fitted in tasks.items()
    }


register_view(
    FittedTasks,
    View(
        _record_fits,
        lambda tasks: (fit_section(_record_fits(tasks)),),
        lambda tasks: [{"task": task, **record} for task, record in _record_fits(tasks).items()],
    ),
)


def fit(session: Session, *, only_estimate: bool = False) -> FittedTasks:
    """Train every task on its own, or take the model imported for it, and estimate its diagonal curvature there.

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
    curvatures = task_curvatures(session)
    records = session.finish(list(curvatures.values()))
    return FittedTasks(
        {
            task: FittedTask(curvature.run.done(session), record.done)
            for (task, curvature), record in zip(curvatures.items(), records, strict=True)
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

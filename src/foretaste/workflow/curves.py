"""The training curves of a study's runs, read from the study alone."""

from collections import Counter

from foretaste.document.wording import shares
from foretaste.store.study import Done, StudyStore
from foretaste.train.curve import RunCurve, training_curve

__all__ = ["read_curves"]

_POINTS = 100  # most points of a curve


def read_curves(study: StudyStore) -> tuple[RunCurve, ...]:
    """Read the curve of every run that a study trained: single-task runs first, then joint runs.

    Imported models and runs made elsewhere have no curve.

    Args:
        study: Any, finished or not.

    >>> from foretaste.workflow.example import small_study
    >>> from foretaste.workflow.fit import fit
    >>> with small_study() as session:
    ...     _ = fit(session)
    ...     [run.name for run in read_curves(session.study)]
    ['low', 'mid', 'high']
    """
    curves = []
    tasks = Counter[str]()
    for done in (*study.all_work("finetune"), *study.all_work("joint")):
        curve = training_curve(done.result.get("history", ()), done.inputs.get("training", {}), _POINTS)
        if curve is not None:
            curves.append(RunCurve(_name_of(done, tasks), done.kind == "joint", curve, done.seconds))
    return tuple(curves)


def _name_of(done: Done, tasks: Counter[str]) -> str:
    """Name a run after its task or its task weights; further runs of one task are numbered."""
    if done.kind == "joint":
        pairs = (pair.rpartition("=") for pair in done.inputs["weights"].split(","))
        return shares({task: float(weight) for task, _, weight in pairs})
    task = str(done.inputs["task"][0])
    if "variational" in done.inputs:
        return f"{task}, variational"
    tasks[task] += 1
    return task if tasks[task] == 1 else f"{task}, run {tasks[task]}"

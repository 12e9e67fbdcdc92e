"""A race of previews: all are evaluated on a growing part of the validation data, and clear losers stop.

What stops is decided by `foretaste.surface.race`, after every eighth of the data. Survivors reach all of it, each
example once, and their rows are ordinary ones. Single-task models run to the end whatever they give: floors, the knee
and predictions are held against them. What a large model gave on a part is kept in the study, so that a race that was
stopped goes on, and another preference finds what it needs; small models are evaluated together (`foretaste.together`)
and begin anew.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch

from foretaste.errors import WeightsError
from foretaste.method_table import METHOD_TABLE
from foretaste.metric_kinds import AnyMetric, Predictions
from foretaste.metrics import example_sums
from foretaste.surface.choose import choose
from foretaste.surface.preference import Floor, Preference
from foretaste.surface.race import ERROR, Goal, Standing, compare_candidates
from foretaste.surface.race_result import DroppedCandidate, Gap, RaceResult
from foretaste.surface.table import Surface, headlines
from foretaste.task import Task
from foretaste.weights import TaskWeights, corners
from foretaste.workflow.preview import preview
from foretaste.workflow.runners import Runners
from foretaste.workflow.session import Session

__all__ = ["race"]

_LOOKS = 8


def race(
    session: Session,
    method: str,
    points: Sequence[TaskWeights],
    preference: Preference,
    floors: Sequence[Floor] = (),
) -> RaceResult:
    """Preview weightings, and evaluate on all validation data only those that may be the best.

    Args:
        session: The recipe at work.
        method: One of `foretaste.method_table`.
        points: Weightings; where relative floors or the knee need them, the single-task models are added.
        preference: What to maximise.
        floors: What must hold.

    Raises:
        WeightsError: None of the weightings can be chosen.
        TaskError: See `foretaste.workflow.preview.preview`.

    >>> from foretaste.simplex import lattice
    >>> from foretaste.workflow.example import small_study
    >>> with small_study("finetune: {steps: 9}, curvature: {max_examples: 1}") as session:
    ...     result = race(session, "simple", lattice(session.problem.names, 3), Preference("mean", {}))
    >>> result.reason, len(result.rows) + len(result.dropped), result.best in [row.weights for row in result.rows]
    ('', 10, True)
    """
    tasks, inside = session.problem.tasks, session.problem.has_private_heads
    if not any(not inside or min(weights.values()) > 0 for weights in points):
        raise WeightsError(
            "tasks with heads of their own all need some weight in what is chosen; give weights inside the simplex"
        )
    needed = preference.kind == "knee" or any(floor.relative for floor in floors)
    alone = corners(session.problem.names) if needed else [weights for weights in points if weights.corner is not None]
    candidates = list(dict.fromkeys([*points, *alone]))
    reason = _why_not_raced(tasks, method)
    rows = preview(session, [method], candidates if reason else alone)
    surface = Surface(headlines(tasks), tuple(rows), inside)
    singles = {task: row.metrics[task][surface.headlines[task].metric] for task, row in surface.singles().items()}
    goal = Goal(surface.headlines, preference.resolve_knee(surface), floors, singles)
    if reason:
        whole = len(rows) * sum(len(task.validation) for task in tasks)
        return RaceResult(
            method, tuple(rows), (), choose(surface, goal.preference, floors, singles).weights, {}, whole, whole, reason
        )
    session.watch.begin(f"race of previews by {method}", len(candidates) * sum(len(task.validation) for task in tasks))
    runners = Runners.of(session, method, candidates)
    dropped = [
        candidate for number in range(1, _LOOKS + 1) for candidate in _advance_race(runners, goal, number, inside)
    ]
    result = replace(surface, rows=tuple(runners.finished(runner) for runner in runners.running))
    best = choose(result, goal.preference, floors, singles).weights
    whole = len(candidates) * runners.examples
    return RaceResult(method, result.rows, tuple(dropped), best, _gaps(runners, goal, best), runners.evaluated, whole)


def _advance_race(runners: Runners, goal: Goal, number: int, inside: bool) -> list[DroppedCandidate]:
    """One more part of the data, and who stops after it."""
    runners.go_on(number / _LOOKS)
    if number == _LOOKS:
        return []
    may_lead = [not inside or min(runner.weights.values()) > 0 for runner in runners.running]
    standing = compare_candidates(runners.tallies(), goal, ERROR / _LOOKS, eligible=may_lead, seed=number)
    places = [place for place, runner in enumerate(runners.running) if standing.beaten[place] and runner.row is None]
    stopped, examples = runners.stop(places), sum(runners.positions.values())
    return [
        DroppedCandidate(
            runner.weights,
            examples,
            float(standing.values[place]),
            _gap_of(standing, place),
            bool(standing.missing[place]),
        )
        for place, runner in zip(places, stopped, strict=True)
    ]


def _gaps(runners: Runners, goal: Goal, best: TaskWeights) -> dict[TaskWeights, Gap]:
    """How all who came to the end stand to the best, as other examples of the same kind would say."""
    points = [runner.weights for runner in runners.running]
    standing = compare_candidates(runners.tallies(), goal, ERROR / _LOOKS, leader=points.index(best), beyond=True)
    return {weights: _gap_of(standing, place) for place, weights in enumerate(points)}


def _gap_of(standing: Standing, place: int) -> Gap:
    return Gap(float(standing.behind[place]), float(standing.low[place]), float(standing.high[place]))


def _why_not_raced(tasks: Sequence[Task], method: str) -> str:
    """Why previews by this method cannot be raced, or nothing."""
    if not METHOD_TABLE[method].has_params:
        return f"previews by {method} need no pass over the validation data, so that there is nothing to save"
    for task in tasks:
        if not _is_ratio(task.metrics[0]):
            what = f"{task.metrics[0].name} of task {task.name!r} is no mean over examples"
            return (
                f"{what}, so that nothing is known of it from some of them: all previews were evaluated on all examples"
            )
    return ""


def _is_ratio(metric: AnyMetric) -> bool:
    one = torch.zeros(1, 1, dtype=torch.long)
    return example_sums(metric, Predictions(one.double(), one, one, one.bool())) is not None

"""Asking a study which runs to make next, elsewhere.

While little is known, the first runs fill the space: equal weights, then weights far from all others. Afterwards each
proposal is worth most for its cost (`foretaste.surface.propose`), and those of a batch reckon with each other. A study
remembers its proposals as pending until their results are told, they are dropped, or they expire.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np

from foretaste.errors import StudyError, WeightsError
from foretaste.evaluation import Fidelity
from foretaste.one_line import one_line
from foretaste.simplex import inside
from foretaste.store.study import StudyStore
from foretaste.surface.fidelities import fidelity_name, parse_fidelity
from foretaste.surface.outlook import Outlook, can_predict, candidates, outlook, select_usable_rows
from foretaste.surface.propose import Option, Proposal, propose
from foretaste.surface.scatter import round_weights
from foretaste.surface.table import Surface
from foretaste.weights import TaskWeights, corners, uniform
from foretaste.workflow.fidelity_costs import fidelity_costs
from foretaste.workflow.goal import Floors, Prefer
from foretaste.workflow.outcome import Outcome, read_outcome

__all__ = ["PendingRun", "ask", "drop_pending", "pending_runs", "space_filling"]

_CORNERS = 4  # most names for which the first runs have all weight on one
_FIRST = 5  # most runs that only fill the space
_SPREAD = 256  # weights inside the simplex to choose the first runs from
_MOST = 100
_LONGEST = 1_000_000  # hours that a proposal may be pending
_ROUNDED = 0.0011  # largest difference of weights that are told with three decimals


@dataclass(frozen=True)
class PendingRun:
    """A run that a study proposed, and whose result it does not know yet.

    Args:
        weights: alpha.
        fidelity: How to run it.
        gain: What the result is expected to add to the value of the best weights; None for a run that fills the space.
        time: When it was proposed, in UTC, in ISO form.
        key: Of the proposal in the study.
        jobs: The folder that holds its job's folder; empty if it was proposed without a job.
    """

    weights: TaskWeights
    fidelity: str
    gain: float | None
    time: str
    key: str = ""
    jobs: str = ""

    __repr__ = one_line


def ask(
    study: StudyStore,
    count: int = 1,
    fidelity: str = "joint",
    *,
    prefer: Prefer | None = None,
    floors: Floors | None = None,
    expire_hours: float | None = None,
    jobs: str = "",
) -> list[PendingRun]:
    """Propose runs to make next, and remember them as pending.

    Args:
        study: With or without a recipe.
        count: How many runs.
        fidelity: How they will be run; see `foretaste.surface.fidelities`.
        prefer: Another preference than the study's.
        floors: Other floors than the study's.
        expire_hours: Forget pending runs that were proposed longer ago than this.
        jobs: The folder that their jobs will be written to.

    Raises:
        StudyError: The study is empty: it has no tasks yet; or nothing is left to propose.
        WeightsError: A count below 1, a time that is no number of hours, or a preference or floor that is not
            understood.

    >>> import pathlib, tempfile
    >>> from foretaste.workflow.outside import OutsideQuestion, start_outside
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with start_outside(pathlib.Path(folder, "s"), OutsideQuestion.of({"a": "f1", "b": "f1"})) as study:
    ...         [str(run.weights) for run in ask(study, 2)], [str(run.weights) for run in ask(study)]
    (['a=0.5,b=0.5', 'a=1,b=0'], ['a=0,b=1'])
    """
    if expire_hours is not None and not 0 <= expire_hours <= _LONGEST:
        raise WeightsError(f"proposals cannot expire after {expire_hours} hours; write 0 to {_LONGEST}")
    if not 1 <= count <= _MOST:
        raise WeightsError(f"{count} proposals were asked for; ask for 1 to {_MOST}")
    kind, method = parse_fidelity(fidelity)
    with study.claim("ask"):
        outcome = read_outcome(study, prefer, floors)
        if expire_hours is not None:
            _expire(study, expire_hours)
        pending = pending_runs(study)
        option = Option(kind, str(method), _cost(study, fidelity))
        proposals = _proposals(outcome, pending, option, fidelity, count)
        if not proposals:
            raise StudyError(f"every weighting that could be proposed has a {fidelity} run or waits for one")
        return [_remember(study, proposal, fidelity, number, jobs) for number, proposal in enumerate(proposals)]


def _cost(study: StudyStore, fidelity: str) -> float:
    return max(fidelity_costs(study).get(fidelity, 1.0), 1e-9)


def _proposals(
    outcome: Outcome, pending: Sequence[PendingRun], option: Option, fidelity: str, count: int
) -> list[tuple[TaskWeights, float | None]]:
    """Choose weights that teach most; where results are too few, or teach nothing, weights that fill the space."""
    surface, waiting = select_usable_rows(outcome.surface), [run.weights for run in pending if run.fidelity == fidelity]
    rows = [row.weights for row in outcome.surface.rows if fidelity_name(row) == fidelity]
    chosen: list[tuple[TaskWeights, float | None]] = []
    if can_predict(surface) and len(set(rows)) >= _first_runs(surface, option):
        view = outlook(surface)
        there = [
            Proposal(point, option, 0.0)
            for point, is_there in zip(view.points, _are_taken(view.points, rows), strict=True)
            if is_there
        ]
        proposals = propose(
            view,
            outcome.preference.resolve_knee(surface),
            outcome.floors,
            options=[option],
            count=count,
            pending=_pending_proposals(view, pending, option),
            failed=there,  # a table may have rounded their weights, which are then no row's
        )
        chosen = [(proposal.weights, proposal.gain) for proposal in proposals]
    taken = [*rows, *waiting, *(weights for weights, _ in chosen)]
    return chosen + [(weights, None) for weights in space_filling(outcome.surface, taken, count - len(chosen))]


def _first_runs(surface: Surface, option: Option) -> int:
    """How many runs of a fidelity come before any that are chosen by what they teach."""
    names = len(surface.weight_names)
    cheap = len({row.weights for row in surface.rows if row.fidelity != Fidelity.JOINT})
    if option.fidelity == Fidelity.JOINT and cheap > names:
        return 1
    return min(names + 1, _FIRST)


def _pending_proposals(view: Outlook, pending: Sequence[PendingRun], option: Option) -> list[Proposal]:
    """Turn pending runs into proposals at the nearest candidates; new ones are chosen as if they were running."""
    alphas = np.array([list(point.values()) for point in view.points])
    proposals = []
    for run in pending:
        kind, method = parse_fidelity(run.fidelity)
        nearest = int(np.abs(alphas - np.array(list(run.weights.values()))).sum(1).argmin())
        own = option if str(method) == option.method else Option(kind, str(method), option.cost)
        proposals.append(Proposal(view.points[nearest], own, run.gain or 0.0))
    return proposals


def space_filling(surface: Surface, taken: Sequence[TaskWeights], count: int) -> list[TaskWeights]:
    """Choose weights that are far from those that are taken: equal weights first, and up to four names the corners.

    Args:
        surface: Names what is mixed; its rows do not matter.
        taken: Weights with a result or waiting for one.
        count: At most so many are chosen.

    >>> from foretaste.surface.table import Headline
    >>> surface = Surface({task: Headline("f1") for task in "abcdef"}, ())
    >>> [weights.corner for weights in space_filling(surface, (), 3)]
    [None, None, None]
    """
    if count < 1:
        return []
    names = surface.weight_names
    few = len(names) <= _CORNERS and not surface.has_private_heads
    first = [uniform(names), *(corners(names) if few else [])]
    spread = inside(names, _SPREAD) if len(names) > 2 else candidates(replace(surface, rows=()))
    pool = [*first, *(round_weights(names, np.array(point.shares), least=1) for point in spread)]
    chosen: list[TaskWeights] = []
    left = [weights for weights, is_taken in zip(pool, _are_taken(pool, taken), strict=True) if not is_taken]
    while left and len(chosen) < count:
        best = left[0] if left[0] in first else _farthest(left, [*taken, *chosen])
        chosen.append(best)
        left = [weights for weights in left if weights != best]
    return chosen


def _are_taken(points: Sequence[TaskWeights], taken: Sequence[TaskWeights]) -> list[bool]:
    """Tell for each of N weightings whether a run is there, as far as a table may have rounded its weights."""
    if not taken:
        return [False] * len(points)
    shares = np.array([point.shares for point in taken])
    return [bool((np.abs(shares - np.array(point.shares)).max(1) <= _ROUNDED).any()) for point in points]


def _farthest(pool: Sequence[TaskWeights], others: Sequence[TaskWeights]) -> TaskWeights:
    """Return the weights with the largest distance to the nearest of some others, by the roots of the weights."""
    if not others:
        return pool[0]
    places, taken = (np.sqrt(np.array([list(point.values()) for point in points])) for points in (pool, others))
    distances = np.linalg.norm(places[:, None] - taken[None], axis=2).min(1)
    return pool[int(np.lexsort((-np.round(distances, 9),))[0])]


def _remember(
    study: StudyStore, proposal: tuple[TaskWeights, float | None], fidelity: str, number: int, jobs: str
) -> PendingRun:
    weights, gain = proposal
    time = datetime.now(UTC).isoformat(timespec="microseconds")
    key = hashlib.sha256(f"proposal|{weights.key}|{fidelity}|{time}|{number}".encode()).hexdigest()
    inputs = {"weights": dict(weights), "fidelity": fidelity, "outside": True} | ({"jobs": jobs} if jobs else {})
    study.add("proposal", key, inputs, {"gain": gain, "time": time}, None, 0.0)
    return PendingRun(weights, fidelity, gain, time, key, jobs)


def pending_runs(study: StudyStore) -> list[PendingRun]:
    """List proposals whose results were not told and that were not dropped, the oldest first.

    Args:
        study: Any.
    """
    dropped = {str(work.inputs["proposal"]) for work in study.all_work("drop")}
    finished: dict[str, list[TaskWeights]] = {}
    for row in study.evaluations_after(0)[0]:
        finished.setdefault(fidelity_name(row), []).append(row.weights)
    runs = []
    for work in study.all_work("proposal"):
        weights = TaskWeights(list(work.inputs["weights"]), list(work.inputs["weights"].values()))
        facts = work.inputs["fidelity"], work.result["gain"], work.result["time"]
        run = PendingRun(weights, *facts, work.key, work.inputs.get("jobs", ""))
        if work.key not in dropped and _are_taken([weights], finished.get(run.fidelity, ())) == [False]:
            runs.append(run)
    return runs


def drop_pending(study: StudyStore, weights: Sequence[TaskWeights] | None = None) -> list[PendingRun]:
    """Drop pending runs, which may then be proposed again.

    Args:
        study: Any.
        weights: Of the runs to drop; all if left out.

    Returns:
        The runs that were dropped.

    Raises:
        StudyError: No run at some weights is pending.
    """
    pending = pending_runs(study)
    for point in weights or ():
        if all(run.weights != point for run in pending):
            raise StudyError(f"no run at {point} is pending; `foretaste ask STUDY --pending` lists those that are")
    chosen = [run for run in pending if weights is None or run.weights in weights]
    for run in chosen:
        _drop(study, run)
    return chosen


def _drop(study: StudyStore, run: PendingRun) -> None:
    key = hashlib.sha256(f"drop|{run.key}".encode()).hexdigest()
    study.add("drop", key, {"proposal": run.key, "outside": True}, {}, None, 0.0)


def _expire(study: StudyStore, hours: float) -> None:
    oldest = datetime.now(UTC) - timedelta(hours=hours)
    for run in pending_runs(study):
        if datetime.fromisoformat(run.time) < oldest:
            _drop(study, run)

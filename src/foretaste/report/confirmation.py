"""The joint run at the recommended weights beside its preview."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from foretaste.one_line import one_line
from foretaste.report.summary import Summary
from foretaste.surface.agreement import anchor_of
from foretaste.surface.choose import choose
from foretaste.weights import TaskWeights

__all__ = ["Confirmation", "confirm_recommendation"]


@dataclass(frozen=True)
class Confirmation:
    """The joint run at the recommended weights beside its preview.

    Args:
        weights: The recommended ones.
        previewed: Headline metric per task; empty where these weights were not previewed.
        joint: Headline metric per task after joint finetuning.
        previewed_value: What the preference gives the preview, if there is one.
        joint_value: What the preference gives the joint run.
        floors_met: Whether the joint run keeps every floor.
        better: Other weights whose joint run suits better, and their value, where the study has them.
        anchored: Whether the preview rests on this very joint run, so that their difference says nothing.
    """

    weights: TaskWeights
    previewed: Mapping[str, float]
    joint: Mapping[str, float]
    previewed_value: float | None
    joint_value: float
    floors_met: bool
    better: tuple[TaskWeights, float] | None
    anchored: bool

    __repr__ = one_line

    @property
    def difference(self) -> dict[str, float]:
        """Joint minus previewed, per task; empty where it would say nothing."""
        return {} if self.anchored else {task: self.joint[task] - value for task, value in self.previewed.items()}

    @property
    def value_difference(self) -> float | None:
        """Joint minus previewed value of the preference; None where it would say nothing."""
        return None if self.anchored or self.previewed_value is None else self.joint_value - self.previewed_value


def confirm_recommendation(summary: Summary) -> Confirmation | None:
    """Compare the joint run at the recommended weights with its preview; None if there is no such run.

    Relative floors are shares of the single-task metric, as in the recommendation.

    >>> from foretaste.evaluation import Evaluation, Fidelity
    >>> from foretaste.report.summary import summarise
    >>> from foretaste.surface.preference import Preference
    >>> from foretaste.surface.table import Headline, Surface
    >>> from foretaste.simplex import lattice
    >>> pairs = ((w, fidelity) for w in lattice("ab", 2) for fidelity in (Fidelity.PREVIEW, Fidelity.JOINT))
    >>> rows = [
    ...     Evaluation(w, {t: {"loss": 1.0, "accuracy": w[t]} for t in w}, fidelity, "simple") for w, fidelity in pairs
    ... ]
    >>> surface = Surface({"a": Headline("accuracy"), "b": Headline("accuracy")}, tuple(rows))
    >>> summary = summarise(
    ...     surface, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={}
    ... )
    >>> confirm_recommendation(summary).difference
    {'a': 0.0, 'b': 0.0}
    """
    recommended, joint = summary.recommendation, summary.joint
    run = joint.at(recommended.weights) if recommended else None
    if recommended is None or run is None:
        return None
    own = choose(replace(joint, rows=(run,)), summary.preference, summary.floors, summary.single)
    best = choose(joint, summary.preference, summary.floors, summary.single)
    row = summary.previews.at(recommended.weights)
    preview = row and choose(replace(joint, rows=(row,)), summary.preference, (), summary.single)
    is_beaten = best.weights != own.weights and (best.floors_met > own.floors_met or best.value > own.value)
    return Confirmation(
        weights=recommended.weights,
        previewed=preview.expected if preview else {},
        joint=own.expected,
        previewed_value=preview.value if preview else None,
        joint_value=own.value,
        floors_met=own.floors_met,
        better=(best.weights, best.value) if is_beaten else None,
        anchored=row is not None and recommended.weights == anchor_of(summary.method, summary.tasks),
    )

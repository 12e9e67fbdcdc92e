"""The joint run at the recommended weights beside its preview."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from foretaste.one_line import one_line
from foretaste.report.summary import Summary
from foretaste.surface.agreement import anchor_of
from foretaste.surface.choose import choose
from foretaste.weights import TaskWeights

__all__ = ["Confirmation", "confirmation"]


@dataclass(frozen=True)
class Confirmation:
    """The joint run at the recommended weights beside its preview.

    Args:
        weights: The recommended ones.
        previewed: Headline metric per task; empty where these weights were not previewed.
        joint: The same after joint finetuning.
        previewed_value: What the preference gives the preview, if there is one.
        joint_value: What it gives the joint run.
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
        """The same of the preference's value."""
        return None if self.anchored or self.previewed_value is None else self.joint_value - self.previewed_value


def confirmation(summary: Summary) -> Confirmation | None:
    """What the joint run at the recommended weights came to, or None where it was not made.

    Relative floors are held against the single-task metric, as in the recommendation.

    >>> from foretaste.evaluation import Evaluation, Fidelity
    >>> from foretaste.report.summary import summarise
    >>> from foretaste.surface.preference import Preference
    >>> from foretaste.surface.table import Headline, Surface
    >>> from foretaste.weights import lattice
    >>> made = ((w, how) for w in lattice("ab", 2) for how in (Fidelity.PREVIEW, Fidelity.JOINT))
    >>> rows = [Evaluation(w, {t: {"loss": 1.0, "accuracy": w[t]} for t in w}, how, "simple") for w, how in made]
    >>> surface = Surface({"a": Headline("accuracy"), "b": Headline("accuracy")}, tuple(rows))
    >>> found = summarise(surface, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={})
    >>> confirmation(found).difference
    {'a': 0.0, 'b': 0.0}
    """
    chosen, joint = summary.recommendation, summary.joint
    row = joint.at(chosen.weights) if chosen else None
    if chosen is None or row is None:
        return None
    here = choose(replace(joint, rows=(row,)), summary.preference, summary.floors, summary.single)
    best = choose(joint, summary.preference, summary.floors, summary.single)
    seen = summary.previews.at(chosen.weights)
    preview = seen and choose(replace(joint, rows=(seen,)), summary.preference, (), summary.single)
    outdone = best.weights != here.weights and (best.floors_met > here.floors_met or best.value > here.value)
    return Confirmation(
        weights=chosen.weights,
        previewed=preview.expected if preview else {},
        joint=here.expected,
        previewed_value=preview.value if preview else None,
        joint_value=here.value,
        floors_met=here.floors_met,
        better=(best.weights, best.value) if outdone else None,
        anchored=seen is not None and chosen.weights == anchor_of(summary.method, summary.tasks),
    )

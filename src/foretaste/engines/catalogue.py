"""All kinds of work: importing this module makes each of them known."""

from foretaste.methods import anchored, predictive, previews, race_part, tune, variational
from foretaste.work import curvature, joint_evaluations, runs, single_task
from foretaste.work.work import revisions

__all__ = ["MODULES", "REVISIONS"]

MODULES = (
    anchored,
    curvature,
    joint_evaluations,
    predictive,
    previews,
    race_part,
    runs,
    single_task,
    tune,
    variational,
)
REVISIONS = {
    **revisions(),
    "factors": 2,
}  # factors were work of their own in earlier versions, whose studies still open

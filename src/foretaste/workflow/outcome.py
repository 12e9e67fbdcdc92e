"""The outcome of a study: everything a report needs, read from the study alone."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from foretaste.errors import StudyError
from foretaste.method_table import current_name
from foretaste.one_line import one_line
from foretaste.plan import Recommend
from foretaste.report.summary import Summary, summarise
from foretaste.store.study import Done, Json, StudyStore
from foretaste.surface.criteria import add_criteria, named_criteria
from foretaste.surface.fidelities import fidelity_name
from foretaste.surface.joint_shares import JointData
from foretaste.surface.preference import Floor, Preference
from foretaste.surface.table import Headline, Surface
from foretaste.train.curve import RunCurve
from foretaste.workflow.curves import read_curves
from foretaste.workflow.goal import Floors, Prefer, goal_texts, read_goal

__all__ = ["Outcome", "empty_surface", "is_from_outside", "read_outcome"]

_RARE = {"choice": "choices", "outputs": "predictions of the tasks' models", "slice": "previews that stopped in a race"}
_NAMED = {"finetune": "single-task finetuning", "site": "curvature", "joint": "joint finetuning", "preview": "previews"}


@dataclass(frozen=True)
class Outcome:
    """Everything that a study has recorded so far.

    Args:
        name: The recipe's.
        surface: Every evaluation.
        method: The previews recommended from.
        preference: What to maximise.
        floors: What must hold.
        provenance: Lines saying where the numbers come from.
        costs: Seconds by kind of work.
        curves: The training curves of single-task runs and of joint runs; empty if they were not read.
        joint_data: The data of joint runs; None where the study does not know it.
    """

    name: str
    surface: Surface
    method: str
    preference: Preference
    floors: tuple[Floor, ...]
    provenance: Mapping[str, str]
    costs: Mapping[str, float]
    curves: tuple[RunCurve, ...] = ()
    joint_data: JointData | None = None

    __repr__ = one_line

    def summary(self, only: str | None = None) -> Summary:
        """Everything a report shows.

        Args:
            only: A method, where the recommendation is not to rest on previews by others.

        Raises:
            StudyError: A relative floor, and its task's corner was not previewed.
        """
        return summarise(
            self.surface,
            name=self.name,
            method=self.method,
            preference=self.preference,
            floors=self.floors,
            provenance=self.provenance,
            costs=self.costs,
            curves=self.curves,
            joint_data=self.joint_data,
            only=only,
        )


def read_outcome(
    study: StudyStore,
    prefer: Prefer | None = None,
    floors: Floors | None = None,
    method: str | None = None,
    *,
    with_curves: bool = False,
) -> Outcome:
    """Read a study.

    Args:
        study: Any, finished or not.
        prefer: Another preference than the recipe's.
        floors: Other floors than the recipe's.
        method: Other previews to recommend from than the recipe's last method, or, while there are none
            of it, the last ones made.
        with_curves: Whether the training curves are read too, for a report.

    Raises:
        StudyError: No recipe was run on it yet, or it has no previews by that method.
        WeightsError: A preference or floor that is not understood.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder, StudyStore.create(pathlib.Path(folder)) as study:
    ...     read_outcome(study)
    Traceback (most recent call last):
    ...
    foretaste.errors.StudyError: the study ... is empty; run `foretaste run RECIPE --study ...` first
    """
    plan, empty = _plan(study), empty_surface(study)
    tasks, rows = list(empty.tasks), replace(empty, rows=tuple(study.evaluations_after(0)[0]))
    prefer = prefer or plan["recommend"]["prefer"]
    floor_texts = plan["recommend"]["floors"] if floors is None else floors
    criteria = named_criteria(goal_texts(prefer, floor_texts), rows)
    surface = add_criteria(rows, criteria, plan.get("metrics", {}))
    methods = surface.methods()
    if method is not None and surface.rows and method not in methods:
        raise StudyError(f"the study has no previews by {method!r}; it has {', '.join(methods) or 'none'}")
    own = current_name(plan["method"])
    usual = methods[-1] if methods and own not in methods else own
    preference, bounds = read_goal(prefer, floor_texts, Recommend(**plan["recommend"]), tasks, criteria)
    return Outcome(
        name=plan["name"],
        surface=surface,
        method=method or usual,
        preference=preference,
        floors=tuple(bounds),
        provenance=_outside_provenance(study, plan) if empty.is_from_outside else _provenance(study, plan),
        costs={} if empty.is_from_outside else _costs(study),
        curves=read_curves(study) if with_curves else (),
        joint_data=JointData(**plan["joint_data"]) if "joint_data" in plan else None,
    )


def empty_surface(study: StudyStore) -> Surface:
    """A study's surface before its first row: the tasks' headline metrics, and whether joint runs need every task.

    Raises:
        StudyError: No recipe was run on it yet.
    """
    plan = _plan(study)
    return Surface(
        {task: Headline(**headline) for task, headline in plan["headlines"].items()},
        (),
        bool(plan["inside"]),
        tuple(plan.get("domains", ())),
        is_from_outside(plan),
    )


def is_from_outside(plan: Json) -> bool:
    """Tell whether a study has no recipe: its runs are made elsewhere and told.

    >>> is_from_outside({"name": "a"})
    False
    """
    return bool(plan.get("outside", False))


def _outside_provenance(study: StudyStore, plan: Json) -> dict[str, str]:
    """Say where the rows of a study without a recipe come from."""
    rows = study.evaluations_after(0)[0]
    fidelities = Counter(fidelity_name(row) for row in rows)
    seeds = len({row.seed for row in rows})
    return {
        "runs": "made elsewhere and told with `foretaste tell`",
        "rows by fidelity": ", ".join(f"{name} {count}" for name, count in fidelities.items()) or "none yet",
        "seeds": str(seeds),
        "versions": str(plan["versions"]),
    }


def _plan(study: StudyStore) -> Json:
    recipe = study.recipe()
    if recipe is None:
        raise StudyError(f"the study {study.path} is empty; run `foretaste run RECIPE --study {study.path}` first")
    return recipe[1]


def _provenance(study: StudyStore, plan: Json) -> dict[str, str]:
    identity = plan["identity"]
    precisions = {
        work.inputs["prior_precision"] for work in study.all_work("evaluation") if "prior_precision" in work.inputs
    }
    examples = {str(work.result["record"]["examples"]) for work in study.all_work("site")}
    curvature, training = identity["curvature"], identity["finetune"]
    lines = {str(name): str(value) for name, value in plan["facts"]}
    lines["pretrained params"] = f"sha256 {str(plan['base'])[:16]}"
    lines |= {f"data of {task}": f"sha256 {str(digest)[:16]}" for task, digest in plan["data"].items()}
    lines["unit of the loss"] = str(plan["unit"])
    length = f"{training['steps']} steps of {training['batch_size']}"
    lines["training"] = f"{length}, {training['optimizer']}, learning rate {training['learning_rate']:g}"
    lines["alpha in joint runs"] = _describe_sampling(study, identity["joint"]["realise"])
    lines["curvature"] = (
        f"{curvature['estimator']}, {curvature['labels']} labels, {'/'.join(sorted(examples)) or 'all'} examples a task"
    )
    lines["prior precision"] = ", ".join(f"{value:.4g}" for value in sorted(precisions)) or "not used yet"
    lines["seed"] = str(identity["seed"])
    lines["versions"] = str(plan["versions"])
    return lines


def _describe_sampling(study: StudyStore, realise: str) -> str:
    """How near the joint runs came to the shares asked of them."""
    if realise == "loss":
        return "by factors of the losses, exactly"
    off = [0.0]
    for run in study.all_work("joint"):
        total = sum(counts["units"] for counts in run.result["seen"].values())
        shares = (pair.split("=") for pair in run.inputs["weights"].split(","))
        off += [
            abs(run.result["seen"].get(task, {"units": 0})["units"] / total - float(share)) for task, share in shares
        ]
    return f"by sampling; realised shares of units within {max(off):.2%} of alpha"


def _costs(study: StudyStore) -> dict[str, float]:
    seconds, works = dict.fromkeys(_NAMED.values(), 0.0), study.all_work()
    keys = {work.key for work in works}
    for work in works:
        if (name := _name_of(work)) is not None and work.inputs.get(
            "of"
        ) not in keys:  # a row's cost holds that of its slices
            seconds[name] = seconds.get(name, 0.0) + work.seconds
    return seconds


def _name_of(work: Done) -> str | None:
    if work.kind in _RARE:
        return _RARE[work.kind]
    if "sharpened" in work.inputs:
        return "sharpening"
    return _NAMED.get("preview" if "sites" in work.inputs else work.kind)

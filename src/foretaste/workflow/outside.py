"""Studies without a recipe: their runs are made elsewhere, and `foretaste tell` adds the results.

Such a study knows the tasks that are judged, each with its metrics, and what is mixed: the tasks themselves, or other
domains, such as the sources of a corpus.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from foretaste import __version__
from foretaste.errors import RecipeError, StudyError, TaskError, WeightsError
from foretaste.names import check_name
from foretaste.one_line import one_line
from foretaste.store.study import Json, StudyStore
from foretaste.surface.criteria import is_higher_better
from foretaste.surface.preference import Floor, Preference
from foretaste.surface.table import Headline
from foretaste.workflow.outcome import is_from_outside

__all__ = ["MetricNames", "OutsideQuestion", "check_same_question", "parse_tasks", "start_outside"]

MetricNames = str | Sequence[str] | Mapping[str, bool]  # one metric, several, or several with their directions

_FORBIDDEN = set(",=<>\n\t")
_MOST_METRICS = 50
_DIRECTIONS = {":up": True, ":down": False}
_PREFER = "mean"
_TEXT = "# This study has no recipe: its runs are made elsewhere, and `foretaste tell` adds them.\n"


@dataclass(frozen=True)
class OutsideQuestion:
    """The question of a study without a recipe.

    Args:
        metrics: By task, whether higher values of each metric are better; the first metric is the headline.
        domains: What is mixed; empty if the tasks themselves are.
        prefer: What to maximise, as ``--prefer`` reads it; what the study has, or the mean, if left out.
        floors: What must hold, as ``--floor`` reads it; what the study has, or nothing, if left out.

    >>> OutsideQuestion.of({"code": ["pass@1", "pass@10"], "chat": "loss"}).metrics
    {'code': {'pass@1': True, 'pass@10': True}, 'chat': {'loss': False}}
    """

    metrics: Mapping[str, Mapping[str, bool]]
    domains: tuple[str, ...] = ()
    prefer: str | None = None
    floors: tuple[str, ...] | None = None

    __repr__ = one_line

    @classmethod
    def of(
        cls,
        tasks: Mapping[str, MetricNames],
        domains: Sequence[str] = (),
        prefer: str | None = None,
        floors: Sequence[str] | None = None,
    ) -> "OutsideQuestion":
        """Check names, and find the direction of each metric by its name unless it is given.

        Args:
            tasks: By task, its metrics: a name, several names, or names with whether higher values are better. A name
                may end in ``:up`` or ``:down``.
            domains: What is mixed, if that is not the tasks.
            prefer: What to maximise.
            floors: What must hold.

        Raises:
            TaskError: A name that cannot be used.
            WeightsError: A preference or floor that is not understood.
        """
        if not tasks:
            raise TaskError("a study needs at least one task with a metric, such as code=pass@1")
        mixed = () if tuple(domains) == tuple(tasks) else tuple(domains)
        for name in (*tasks, *mixed):
            check_name(name)
        if len(set(mixed)) < len(mixed):
            raise TaskError(f"a domain is named twice: {', '.join(mixed)}")
        metrics = {task: _directions(task, names) for task, names in tasks.items()}
        question = cls(metrics, mixed, prefer, None if floors is None else tuple(floors))
        criteria = [f"{task}:{metric}" for task, metrics in question.metrics.items() for metric in metrics]
        if mixed and prefer == "knee":
            raise WeightsError("the knee needs a single-task model of each task, which a study of domains has not")
        Preference.parse(prefer or _PREFER, list(tasks), criteria)
        for floor in floors or ():
            Floor.parse(floor, [*tasks, *criteria])
        return question

    @property
    def weight_names(self) -> tuple[str, ...]:
        """Names of what is mixed."""
        return self.domains or tuple(self.metrics)

    def plan(self, name: str, former: Mapping[str, Json] | None = None) -> dict[str, object]:
        """Return what the study keeps.

        Args:
            name: The study's name.
            former: The preference and floors that it has, as in a recipe.
        """
        own = {"prefer": self.prefer, "floors": None if self.floors is None else list(self.floors)}
        goal = {"prefer": _PREFER, "floors": []} | dict(former or {})
        goal |= {part: value for part, value in own.items() if value is not None}
        headlines = {task: Headline(*next(iter(metrics.items()))) for task, metrics in self.metrics.items()}
        identity = {"tasks": {task: dict(metrics) for task, metrics in self.metrics.items()}}
        return {
            "outside": True,
            "name": name,
            "identity": identity | {"domains": list(self.domains)},
            "data": {},
            "base": "",
            "headlines": {task: asdict(headline) for task, headline in headlines.items()},
            "metrics": identity["tasks"],
            "domains": list(self.domains),
            "recommend": goal,
            "method": "",
            "inside": False,
            "versions": f"foretaste {__version__}",
        }


def _directions(task: str, names: MetricNames) -> dict[str, bool]:
    """Find the direction of each metric of a task."""
    if not isinstance(names, Mapping):
        pairs = [_direction(name) for name in ([names] if isinstance(names, str) else names)]
        if len(dict(pairs)) < len(pairs):
            raise TaskError(f"task {task!r} names a metric twice")
        names = dict(pairs)
    if not 0 < len(names) <= _MOST_METRICS:
        raise TaskError(f"task {task!r} has {len(names)} metrics; give it 1 to {_MOST_METRICS}")
    for metric in names:
        wrong = next((character for character in metric if character in _FORBIDDEN), None)
        if wrong is not None or not metric or metric != metric.strip() or not metric.isprintable():
            raise TaskError(
                f"the metric {metric!a} of task {task!r} cannot be used: a metric's name cannot be empty, contain"
                " , = < or >, or begin or end with a space"
            )
    return {metric: bool(is_better) for metric, is_better in names.items()}


def _direction(name: str) -> tuple[str, bool]:
    for ending, is_better in _DIRECTIONS.items():
        if name.endswith(ending):
            return name.removesuffix(ending), is_better
    return name, is_higher_better(name)


def parse_tasks(words: Sequence[str]) -> dict[str, list[str]]:
    """Read tasks with their metrics as a command line has them.

    Args:
        words: Such as ``code=pass@1,pass@10``; the first metric is the headline.

    Raises:
        RecipeError: A word of another form, or a task named twice.

    >>> parse_tasks(["code=pass@1,pass@10", "chat=win rate"])
    {'code': ['pass@1', 'pass@10'], 'chat': ['win rate']}
    """
    tasks: dict[str, list[str]] = {}
    for word in words:
        name, equals, metrics = word.partition("=")
        if not name or not equals or not metrics:
            raise RecipeError(f"--task {word!r} is not TASK=METRIC; write for example --task code=pass@1,pass@10")
        if name in tasks:
            raise RecipeError(f"--task names {name!r} twice; list its metrics together, as in {name}=pass@1,pass@10")
        tasks[name] = [metric.strip() for metric in metrics.split(",")]
    return tasks


def start_outside(folder: Path, question: OutsideQuestion) -> StudyStore:
    """Create a study without a recipe, or open the one that asks the same question.

    Another preference and other floors may be given at any time.

    Args:
        folder: The study's; its name is the study's name.
        question: Tasks, metrics and domains.

    Raises:
        StudyError: The folder holds a study of another question, or something else.
        StorageError: The folder cannot be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with start_outside(Path(folder, "swarm"), OutsideQuestion.of({"code": "pass@1"})) as study:
    ...         print(study.recipe()[1]["name"])
    swarm
    """
    name = folder.resolve().name
    plan = question.plan(name)
    if StudyStore.exists(folder):
        with StudyStore.open(folder) as study:
            check_same_question(folder, study.recipe(), plan)
            plan = question.plan(name, (study.recipe() or ("", {"recommend": None}))[1]["recommend"])
    study = StudyStore.create(folder)
    study.add_recipe(_TEXT, plan)
    return study


def check_same_question(folder: Path, recipe: tuple[str, Json] | None, plan: Json) -> None:
    """Refuse other tasks, metrics or domains than those of the study.

    Args:
        folder: The study's.
        recipe: What the study keeps; None if it is empty.
        plan: What is asked now.

    Raises:
        StudyError: The study has a recipe, or asks another question.

    >>> check_same_question(Path("swarm"), None, {})
    """
    if recipe is None:
        return
    former = recipe[1]
    if not is_from_outside(former):
        raise StudyError(f"the study {folder} has a recipe, which names its tasks; leave tasks and domains out")
    for part in ("tasks", "domains"):
        was, now = former["identity"][part], plan["identity"][part]
        if json.dumps(was) != json.dumps(now):  # order counts: the first metric is the headline
            raise StudyError(
                f"the study {folder} has other {part}: {_listing(was)}, not {_listing(now)}; name another folder"
            )


def _with_direction(metric: tuple[str, bool]) -> str:
    return f"{metric[0]}:{'up' if metric[1] else 'down'}"


def _listing(part: Mapping[str, Mapping[str, bool]] | Sequence[str]) -> str:
    if isinstance(part, Mapping):
        return ", ".join(
            f"{task} ({', '.join(map(_with_direction, metrics.items()))})" for task, metrics in part.items()
        )
    return ", ".join(part) or "the tasks themselves"

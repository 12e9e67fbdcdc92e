"""Small tables for single steps of the work: a checked recipe, fitted tasks, single evaluations."""

from collections.abc import Mapping, Sequence

from rich.table import Table
from rich.text import Text

from foretaste.evaluation import Evaluation
from foretaste.report.fitting import Fitting, grid, listed
from foretaste.report.wording import counted, duration, number, share, trimmed

__all__ = ["checked", "experts", "fitted", "mixed", "row_json", "rows"]


def checked(tasks: Mapping[str, Mapping[str, object]], parameters: int, trainings: tuple[int, int], previews: int) -> Table:
    """What a recipe came to: its tasks, and the work that `run` makes of it.

    >>> tasks = {"a": {"train": 300, "validation": 50, "classes": 2, "metrics": ["accuracy"]}}
    >>> checked(tasks, 3466, (1, 2), 3).row_count
    1
    """
    table = Table(title="the recipe is fine", title_justify="left", title_style="bold green")
    for heading in ("task", "train", "validation", "classes", "metrics"):
        table.add_column(heading, justify="right" if heading in ("train", "validation", "classes") else "left")
    for name, found in tasks.items():
        metrics = found["metrics"]
        assert isinstance(metrics, list)
        cells = (name, str(found["train"]), str(found["validation"]), str(found["classes"] or "?"), ", ".join(metrics))
        table.add_row(*map(Text, cells))
    single, joint = trainings
    table.caption = (
        f"{parameters:,} parameters; `foretaste run` makes {counted(single, 'single-task run')}, "
        f"{counted(previews, 'weighting')} per preview method and at most {counted(joint, 'joint run')}"
    )
    table.caption_justify = "left"
    return table


def fitted(tasks: Mapping[str, Mapping[str, object]]) -> Table:
    """Every task's artefacts.

    >>> fitted({"a": {"params": "0" * 64, "site": "1" * 64, "seconds": 3.2}}).row_count
    1
    """
    table = Table("task", "params", "site")
    table.add_column("training", justify="right")
    for name, found in tasks.items():
        seconds = found["seconds"]
        assert isinstance(seconds, float)
        table.add_row(Text(name), str(found["params"])[:16], str(found["site"])[:16], duration(seconds))
    return table


def experts(found: Mapping[str, Mapping[str, object]]) -> Table:
    """Models that were brought into a study.

    >>> experts({"code": {"kind": "adapter", "curvature": False, "folder": "/models/code"}}).row_count
    1
    """
    table = Table("task", "kind", "curvature", "folder")
    for name, each in found.items():
        cells = (name, str(each["kind"]), "from its site file" if each["curvature"] else "none", str(each["folder"]))
        table.add_row(*map(Text, cells))
    return table


def mixed(manifest: Mapping[str, object]) -> Table:
    """What a mixture holds of every task.

    >>> tasks = {"a": {"rows": 6, "repeats": 1.5, "share_of_units": 0.25}}
    >>> mixed({"tasks": tasks, "meaning": "read it once", "notes": [], "warnings": []}).row_count
    1
    """
    tasks, lines = manifest["tasks"], [str(manifest["meaning"])]
    assert isinstance(tasks, Mapping)
    for kind in ("warnings", "notes"):
        found = manifest[kind]
        assert isinstance(found, Sequence)
        lines += [f"{kind.removesuffix('s')}: {line}" for line in found]
    table = Table("task", caption=Text("\n".join(lines), "dim italic"), caption_justify="left")
    for heading in ("rows", "repeats", "share of units"):
        table.add_column(heading, justify="right")
    for name, each in tasks.items():
        table.add_row(Text(name), str(each["rows"]), number(each["repeats"]), share(each["share_of_units"]))
    return table


def rows(evaluations: Sequence[Evaluation], limit: int = 30) -> Fitting:
    r"""Evaluations as they were made: weights, how, and each task's metrics, as far as they have them.

    A narrow console shows each task's first metric alone, then below its weight, then every task on a line of its own.

    Args:
        evaluations: At least one.
        limit: Show at most so many.

    >>> from foretaste.evaluation import Fidelity
    >>> from foretaste.weights import uniform
    >>> row = Evaluation(uniform("ab"), {t: {"loss": 0.3, "accuracy": 0.9} for t in "ab"}, Fidelity.JOINT, "joint")
    >>> [[str(column.header).replace("\n", " ") for column in table.columns] for table in rows([row]).choices[1:3]]
    [['made by', 'α a', 'α b', 'a accuracy', 'b accuracy'], ['made by', 'a accuracy', 'b accuracy']]
    """
    tasks, shown = list(evaluations[0].weights), evaluations[:limit]
    every = {task: list(dict.fromkeys(name for row in evaluations for name in row.metrics[task])) for task in tasks}
    first = {task: [next((name for name in names if name != "loss"), names[0])] for task, names in every.items() if names}
    below = ["made by", *(f"{trimmed(task)}\n{''.join(first.get(task, ()))}" for task in tasks)]
    cells = [[row.method, *(_pair(row, task, first, "\n") for task in tasks)] for row in shown]
    lines = [[row.method, *(_pair(row, task, first, "  ") for task in tasks)] for row in shown]
    choices = _apart(shown, every), _apart(shown, first), grid("", below, cells), listed("", below, lines)
    more = (
        f"\u2026 and {len(evaluations) - limit} more; `foretaste show STUDY` sorts them, --json has all" if len(evaluations) > limit else ""
    )
    for place, table in enumerate(choices):
        left_out = "other metrics: --json" if place and first != every else ""
        how = "weight, then metric" if place > 1 else ""
        table.caption = "; ".join(part for part in (how, left_out, more) if part) or None
        table.caption_justify = "left"
    return Fitting(choices)


def _apart(shown: Sequence[Evaluation], columns: Mapping[str, Sequence[str]]) -> Table:
    """Weights and metrics in columns of their own."""
    pairs = [(task, metric) for task, metrics in columns.items() for metric in metrics]
    tasks = list(shown[0].weights)
    header = ["made by", *(f"\u03b1\n{trimmed(task)}" for task in tasks), *(f"{trimmed(task)}\n{metric}" for task, metric in pairs)]
    return grid("", header, [_cells(row, tasks, pairs) for row in shown])


def _cells(row: Evaluation, tasks: Sequence[str], pairs: Sequence[tuple[str, str]]) -> list[str]:
    return [row.method, *(share(row.weights[task]) for task in tasks), *(number(row.metrics[task].get(metric)) for task, metric in pairs)]


def _pair(row: Evaluation, task: str, first: Mapping[str, Sequence[str]], glue: str) -> str:
    found = [number(row.metrics[task].get(metric)) for metric in first.get(task, ())]
    return glue.join([share(row.weights[task]), *found])


def row_json(row: Evaluation) -> dict[str, object]:
    """An evaluation as JSON.

    >>> from foretaste.evaluation import Fidelity
    >>> from foretaste.weights import uniform
    >>> row = Evaluation(uniform("ab"), {t: {"accuracy": 0.9} for t in "ab"}, Fidelity.JOINT, "joint")
    >>> row_json(row)["weights"]
    {'a': 0.5, 'b': 0.5}
    """
    return {
        "weights": dict(row.weights),
        "fidelity": str(row.fidelity),
        "method": row.method,
        "seed": row.seed,
        "metrics": {task: dict(found) for task, found in row.metrics.items()},
        "cost": row.cost,
    }

"""Small tables for single steps of the work: a checked recipe, fitted tasks, single evaluations."""

from collections.abc import Mapping, Sequence

from rich.table import Table

from foretaste.report.wording import counted, duration, number, share
from foretaste.task import Evaluation

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
        table.add_row(name, str(found["train"]), str(found["validation"]), str(found["classes"] or "?"), ", ".join(metrics))
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
        table.add_row(name, str(found["params"])[:16], str(found["site"])[:16], duration(seconds))
    return table


def experts(found: Mapping[str, Mapping[str, object]]) -> Table:
    """Models that were brought into a study.

    >>> experts({"code": {"kind": "adapter", "curvature": False, "folder": "/models/code"}}).row_count
    1
    """
    table = Table("task", "kind", "curvature", "folder")
    for name, each in found.items():
        table.add_row(name, str(each["kind"]), "from its site file" if each["curvature"] else "none", str(each["folder"]))
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
    table = Table("task", caption="\n".join(lines), caption_justify="left")
    for heading in ("rows", "repeats", "share of units"):
        table.add_column(heading, justify="right")
    for name, each in tasks.items():
        table.add_row(name, str(each["rows"]), number(each["repeats"]), share(each["share_of_units"]))
    return table


def rows(evaluations: Sequence[Evaluation], limit: int = 30) -> Table:
    """Evaluations as they were made: weights, how, and each task's metrics, as far as they have them.

    Args:
        evaluations: At least one.
        limit: Show at most so many.

    >>> from foretaste.task import Fidelity
    >>> from foretaste.weights import uniform
    >>> row = Evaluation(uniform("ab"), {t: {"accuracy": 0.9} for t in "ab"}, Fidelity.JOINT, "joint")
    >>> [column.header for column in rows([row]).columns]
    ['α a', 'α b', 'made by', 'a accuracy', 'b accuracy']
    """
    table = Table()
    tasks = list(evaluations[0].weights)
    for task in tasks:
        table.add_column(f"α {task}", justify="right")
    table.add_column("made by")
    columns = [(task, metric) for task in tasks for metric in dict.fromkeys(name for row in evaluations for name in row.metrics[task])]
    for task, metric in columns:
        table.add_column(f"{task} {metric}", justify="right")
    for row in evaluations[:limit]:
        found = [number(row.metrics[task].get(metric)) for task, metric in columns]
        table.add_row(*(share(row.weights[task]) for task in tasks), row.method, *found)
    if len(evaluations) > limit:
        table.caption = f"… and {len(evaluations) - limit} more; `foretaste show STUDY` sorts them, --json has all"
        table.caption_justify = "left"
    return table


def row_json(row: Evaluation) -> dict[str, object]:
    """An evaluation as JSON.

    >>> from foretaste.task import Fidelity
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

"""Sections for single steps of the work: a checked recipe, evaluations, imports, a data mixture."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from foretaste.document.blocks import Block, Column, Note, Section, Table, cell_of
from foretaste.document.wording import counted, duration, number, share
from foretaste.evaluation import Evaluation
from foretaste.surface.views import rows_table

__all__ = ["check_section", "experts_section", "mixture_section", "rows_section"]


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[str] = ()) -> Table:
    return Table(
        tuple(Column(name, left=name in left) for name in columns), tuple(tuple(map(cell_of, row)) for row in rows)
    )


def check_section(
    tasks: Mapping[str, Mapping[str, object]],
    parameters: int,
    trainings: tuple[int, int],
    previews: int,
    cost: Mapping[str, int],
    seconds: float,
) -> Section:
    """Describe what a recipe asks for: its tasks, and the work that `run` makes of it.

    Args:
        tasks: By name, the counts and metrics of each.
        parameters: Of the model.
        trainings: How many single-task runs, and at most how many joint runs.
        previews: How many weightings per preview method.
        cost: `training_steps`, `evaluations`, `disk_bytes` and `memory_bytes` of the study, and `training_bytes`, the
            largest memory of a training run.
        seconds: About how long training and evaluating will take.

    >>> tasks = {"a": {"train": 300, "validation": 50, "classes": 2, "metrics": ["accuracy"], "epochs": 2.0}}
    >>> cost = {
    ...     "training_steps": 900,
    ...     "evaluations": 8,
    ...     "disk_bytes": 10**6,
    ...     "memory_bytes": 10**6,
    ...     "training_bytes": 10**6,
    ... }
    >>> len(check_section(tasks, 3466, (1, 2), 3, cost, 60.0).blocks[0].rows)
    1
    """
    rows = []
    for name, task in tasks.items():
        metrics = task["metrics"]
        assert isinstance(metrics, list)
        rows.append(
            (
                name,
                str(task["train"]),
                str(task["validation"]),
                str(task["classes"] or "?"),
                f"{task['epochs']:.3g}",
                ", ".join(metrics),
            )
        )
    single, joint = trainings
    work = (
        f"{parameters:,} parameters. `foretaste run` makes {counted(single, 'single-task run')}, "
        f"{counted(previews, 'weighting')} per preview method and at most {counted(joint, 'joint run')}."
    )
    price = (
        f"Training and evaluating take about {duration(seconds)} on this machine, judging by timed forward passes;"
        f" curvature and merging come on top. The study has {cost['training_steps']:,} training steps and"
        f" {cost['evaluations']:,} evaluations of all tasks. It needs {_size(cost['disk_bytes'])} of disk, and"
        f" {_size(cost['memory_bytes'])} of memory for params alone. A training run takes about"
        f" {_size(cost['training_bytes'])} of memory, besides that of the program itself."
    )
    columns = ("task", "train", "validation", "classes", "epochs", "metrics")
    blocks: tuple[Block, ...] = (_table(columns, rows, left=("metrics",)), *_lengths_table(tasks), *_date_note(tasks))
    return Section("The recipe is fine", (*blocks, Note(work), Note(price)))


def _date_note(tasks: Mapping[str, Mapping[str, object]]) -> tuple[Note, ...]:
    """Say which date chats have, where their template writes one."""
    dates = sorted({str(task["date"]) for task in tasks.values() if task.get("date")})
    text = (
        f"The chat template writes the day's date. In this study the day is always {' and '.join(dates)}; model.date"
        " changes it."
    )
    return (Note(text),) if dates else ()


def _lengths_table(tasks: Mapping[str, Mapping[str, object]]) -> tuple[Table, ...]:
    """Describe the rows of language models; there is no table without any."""
    rows = []
    for name, task in tasks.items():
        lengths = task.get("tokens")
        if isinstance(lengths, Mapping):
            quantiles = (f"{lengths[key]:,}" for key in ("median", "p95", "longest"))
            cut, lost = f"{lengths['cut']:,} of {lengths['rows']:,}", f"{lengths['lost']:,}"
            rows.append((name, str(task["form"]), *quantiles, cut, lost))
    columns = ("task", "form", "median", "95 %", "longest", "cut", "lost")
    caption = "Rows of more than max_length tokens are cut; lost are the learned tokens that are cut off."
    table = _table(columns, rows, left=("form",))
    return (replace(table, title="Rows in tokens", caption=caption),) if rows else ()


def _size(count: int) -> str:
    """Write a number of bytes in the unit that a reader would use.

    >>> _size(3_400_000), _size(12_345_678_901)
    ('3.4 MB', '12.3 GB')
    """
    for unit, scale in (("GB", 1e9), ("MB", 1e6)):
        if count >= scale:
            return f"{count / scale:.3g} {unit}"
    return f"{count / 1e3:.3g} kB"


def rows_section(rows: Sequence[Evaluation]) -> Section:
    """List evaluations as they were made.

    >>> from foretaste.evaluation import Fidelity
    >>> from foretaste.weights import uniform
    >>> row = Evaluation(uniform("a"), {"a": {"accuracy": 0.9}}, Fidelity.JOINT, "joint")
    >>> len(rows_section([row] * 40).blocks[0].rows)
    30
    """
    if not rows:
        return Section("", (Note("No evaluations yet."),))
    return Section("", (rows_table(rows, hint="`foretaste show STUDY` sorts them, --json and .to_pandas() have all"),))


def experts_section(experts: Mapping[str, Mapping[str, object]]) -> Section:
    """List the models that were imported into a study.

    >>> len(experts_section({"code": {"kind": "adapter", "curvature": False, "folder": "/models/code"}}).blocks[0].rows)
    1
    """
    columns = ("task", "kind", "curvature", "folder")
    rows = [
        (name, str(expert["kind"]), "from its site file" if expert["curvature"] else "none", str(expert["folder"]))
        for name, expert in experts.items()
    ]
    return Section("", (_table(columns, rows, left=columns),))


def mixture_section(manifest: Mapping[str, object]) -> Section:
    """List what a data mixture holds of every task.

    >>> tasks = {"a": {"rows": 6, "repeats": 1.5, "share_of_units": 0.25}}
    >>> len(mixture_section({"tasks": tasks, "meaning": "read it once", "notes": [], "warnings": []}).blocks)
    2
    """
    tasks, notes = manifest["tasks"], [Note(str(manifest["meaning"]), tone="quiet")]
    assert isinstance(tasks, Mapping)
    for kind in ("warnings", "notes"):
        lines = manifest[kind]
        assert isinstance(lines, Sequence)
        notes += [Note(str(line), kind.removesuffix("s"), "quiet") for line in lines]
    rows = [
        (name, str(task["rows"]), number(task["repeats"]), share(task["share_of_units"]))
        for name, task in tasks.items()
    ]
    return Section("", (_table(("task", "rows", "repeats", "share of units"), rows), *notes))

"""Commands on models on disk: import experts, export merged models."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console

from foretaste.cli.base import Request, app, pairs, print_report, working
from foretaste.cli.options import Json, Method, Overwrite, StudyOption, Variables
from foretaste.cli.sizes import finite, size
from foretaste.errors import StudyError
from foretaste.lazy import lazy

if TYPE_CHECKING:
    from foretaste.report import progress
    from foretaste.report.sections import work as sections
    from foretaste.store import study as studies
    from foretaste.work import imported_models as imported
    from foretaste.work import imports
    from foretaste.workflow import confirm as confirming
    from foretaste.workflow import experts, files, mixing
    from foretaste.workflow import export as exporting
else:
    progress, sections, studies = (
        lazy(f"foretaste.{name}") for name in ("report.progress", "report.sections.work", "store.study")
    )
    imports, imported = lazy("foretaste.work.imports"), lazy("foretaste.work.imported_models")
    experts, files, mixing = (lazy(f"foretaste.workflow.{name}") for name in ("experts", "files", "mixing"))
    confirming, exporting = lazy("foretaste.workflow.confirm"), lazy("foretaste.workflow.export")

__all__ = ["TrainerChoice", "export", "import_"]


class TrainerChoice(StrEnum):
    """Other trainers: those of `foretaste.workflow.mixing.TrainerName`."""

    TRL = "trl"
    AXOLOTL = "axolotl"
    LLAMA_FACTORY = "llama-factory"


@app.command(
    "import",
    epilog="Example: [bold]foretaste import merged.study --base llama --task code=llama-code --task math=llama-math[/]",
)
def import_(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="A study's folder; created if it does not exist.")],
    task: Annotated[
        list[str] | None, typer.Option("--task", metavar="NAME=FOLDER", help="A task's model; repeatable.")
    ] = None,
    base: Annotated[
        Path | None, typer.Option(help="The pretrained checkpoint; needed to merge checkpoints without a recipe.")
    ] = None,
    vocabulary: Annotated[
        Literal["base"] | None, typer.Option(help="base: leave out tokens that experts added.")
    ] = None,
    remove: Annotated[
        list[str] | None,
        typer.Option(
            "--remove", metavar="NAME", help="A task whose model was imported by mistake; its files stay; repeatable."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Import models that were trained elsewhere: checkpoints, LoRA adapters, or a site file.

    All are compared before any is read.
    """
    folders = {
        name: Path(folder) for name, folder in pairs(task, "--task", "NAME=FOLDER", "code=/path/to/expert").items()
    }
    if not folders and base is None and not remove:
        raise StudyError("nothing to import; name models, as in --task code=FOLDER --task math=FOLDER")
    if not study.exists():
        if remove:
            raise StudyError(f"{study} does not exist, so there is nothing to remove; name the study's folder")
        experts.check(folders, base, vocabulary)  # so that no study is created for models that do not fit
    with progress.watching(Console(stderr=True)) as watch, studies.StudyStore.create(study) as opened:
        imports.remove(opened, remove or ())
        notes = (
            experts.import_experts(opened, folders, base, vocabulary=vocabulary, watch=watch) if folders or base else ()
        )
        models = imported.imported_models(opened)
    rows = {name or imports.BASE_LABEL: model for name, model in models.items()}
    data = {
        name: {"folder": str(model.expert.folder), "kind": model.expert.kind, "curvature": bool(model.site)}
        for name, model in rows.items()
    }
    after = [
        *(f"removed: {name}" for name in remove or ()),
        *(f"note: {note}" for note in notes),
        *_next_commands(study, models),
    ]
    print_report(
        as_json,
        {"experts": data, "notes": list(notes), "removed": list(remove or ())},
        [sections.experts_section(data)],
        "\n".join(after),
    )


def _next_commands(study: Path, models: "Mapping[str, imported.ImportedModel]") -> list[str]:
    """Say what to do with a study's experts, or why they do not merge as they are."""
    if not set(models) - {imports.BASE}:
        return [f"next: foretaste import {study} --task NAME=FOLDER"]
    reason = files.merge_obstacle(study, models)
    first = f"next: foretaste export {study} --to merged --weights uniform" if reason is None else f"note: {reason}"
    return [first, f"next, with the tasks' data: foretaste run RECIPE --study {study}"]


@app.command(epilog="Example: [bold]foretaste export study.yaml --to model --weights movies=0.7,news=0.3[/]")
def export(
    recipe: Annotated[
        Path, typer.Argument(metavar="RECIPE", help="A recipe, or the study folder that experts were imported into.")
    ],
    to: Annotated[Path, typer.Option(help="Folder to write: a checkpoint as the pretrained model's, or an adapter.")],
    weights: Annotated[
        str | None, typer.Option("--weights", "-w", help="Task weights; the recommended ones if left out.")
    ] = None,
    method: Method = None,
    joint: Annotated[
        bool,
        typer.Option(
            "--joint", help="The joint run at these weights instead of their preview; trained if there is none."
        ),
    ] = False,
    rank: Annotated[
        int | None, typer.Option(min=1, max=2**16, help="Rank of a sum of imported adapters; exact if left out.")
    ] = None,
    prior_precision: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1e30,
            callback=finite,
            help="delta of a diagonal merge of imported experts; the mean of their curvature if left out.",
        ),
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE", help="Most memory for the buffers of a merge of imported checkpoints; 2GiB if left out."
        ),
    ] = None,
    mixture: Annotated[
        Literal["parquet", "jsonl"] | None,
        typer.Option(help="Write no model but the rows that the joint run at these weights would see, in its order."),
    ] = None,
    trainer: Annotated[
        list[TrainerChoice] | None,
        typer.Option(help="Also write a trainer's configuration for the mixture; repeatable."),
    ] = None,
    overwrite: Overwrite = False,
    study: StudyOption = None,
    var: Variables = None,
    as_json: Json = False,
) -> None:
    """Write the preview at given or recommended weights, the joint run, or its rows, to use elsewhere."""
    if recipe.is_dir():
        if mixture or trainer:
            raise StudyError("a mixture needs the tasks' data; name the recipe in place of the study's folder")
        if joint:
            raise StudyError("--joint needs a recipe with the tasks' data; name it in place of the study's folder")
        room = None if memory is None else size(memory, "--memory")
        _merge(recipe, to, weights, method, prior_precision, rank, room, overwrite, as_json)
        return
    of_files = {
        "--rank": (rank, "sums of imported adapters"),
        "--prior-precision": (prior_precision, "merges of imported experts"),
    }
    for name, (given, use) in (of_files | {"--memory": (memory, "merges of imported checkpoints")}).items():
        if given is not None:
            raise StudyError(f"{name} is for {use}; name the study's folder in place of the recipe, or leave it out")
    if mixture or trainer:
        if joint or method or rank:
            raise StudyError("a mixture is rows, not a model; leave out --joint, --method and --rank")
        form, names = mixture or "jsonl", [choice.value for choice in trainer or ()]
        _mix(recipe, to, weights, form, names, overwrite, study, var, as_json)
        return
    if joint and method:
        raise StudyError("--joint writes the joint run, and --method a preview; leave one of them out")
    _model(recipe, to, weights, "joint" if joint else method, overwrite, study, var, as_json)


def _model(
    recipe: Path,
    to: Path,
    weights: str | None,
    method: str | None,
    overwrite: bool,
    study: Path | None,
    var: list[str] | None,
    as_json: bool,
) -> None:
    """Export a preview or the joint run."""
    options = ["--joint"] if method == "joint" else ["--method", method] if method else []
    command = ["export", str(recipe), "--to", str(to), *options, *(["--overwrite"] if overwrite else [])]

    def accept(request: Request) -> None:
        exporting.check_target(request.recipe, request.folder, to, overwrite=overwrite)
        if exporting.choose_export_method(request.recipe, method) == "joint":
            confirming.check_trainable(request.problem, request.points)

    with working(recipe, study, var, command, None if weights is None else [weights], accept) as (work, given):
        record = work.export(to, given[0] if given else None, method, overwrite=overwrite)
    print_report(as_json, {"written": str(to), **record}, f"wrote {to}: {record['method']} at {record['at']}")


def _mix(
    recipe: Path,
    to: Path,
    weights: str | None,
    form: "mixing.RowFormat",
    names: Sequence[str],
    overwrite: bool,
    study: Path | None,
    var: list[str] | None,
    as_json: bool,
) -> None:
    """Export the rows of a joint run."""
    options = [*(word for name in names for word in ("--trainer", name)), *(["--overwrite"] if overwrite else [])]
    command = ["export", str(recipe), "--to", str(to), "--mixture", form, *options]

    def accept(request: Request) -> None:
        exporting.check_target(request.recipe, request.folder, to, overwrite=overwrite)
        mixing.check_mixture(request.recipe, request.problem, names)

    with working(recipe, study, var, command, None if weights is None else [weights], accept) as (work, given):
        at = given[0] if given else work.recommended().weights
        manifest = work.export_mixture(to, at, form=form, trainers=names, overwrite=overwrite)
    print_report(as_json, {"written": str(to), **manifest}, [sections.mixture_section(manifest)], f"wrote {to}: {at}")


def _merge(
    folder: Path,
    to: Path,
    weights: str | None,
    method: str | None,
    prior_precision: float | None,
    rank: int | None,
    memory: int | None,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Merge imported experts where they are."""
    if weights is None:
        raise StudyError(
            "merging imported experts without a recipe needs --weights, as in --weights code=0.6,math=0.4, or uniform"
        )
    if method not in (None, "simple", "diagonal"):
        raise StudyError(
            f"method {method} needs a recipe with the tasks' data; without one there are simple and diagonal"
        )
    if prior_precision is not None and method != "diagonal":
        raise StudyError("--prior-precision is for --method diagonal; simple averaging has none")
    with progress.watching(Console(stderr=True)) as watch, studies.StudyStore.open(folder) as opened:
        how: files.FileMethod = "diagonal" if method == "diagonal" else "simple"
        merging = files.Merging(files.parse_weights(opened, weights), how, prior_precision, rank, memory)
        record = files.merge_files(opened, to, merging, watch, overwrite=overwrite)
    lines = [f"wrote {to}: {record['method']} at {record['at']}"]
    if rank is not None:
        error = record["relative error of the reduction"]
        lines.append(f"relative error of the reduction to rank {rank}: {error:.3g} of the exact sum's norm (Frobenius)")
    print_report(as_json, {"written": str(to), **record}, "\n".join(lines))

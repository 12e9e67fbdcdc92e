"""The command that writes a model, or the rows of a joint run, to use elsewhere."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer

from foretaste.cli.app import app
from foretaste.cli.options import Json, Method, Overwrite, StudyOption, Variables
from foretaste.cli.sizes import finite, size
from foretaste.errors import StudyError

__all__ = ["TrainerChoice", "export"]


class TrainerChoice(StrEnum):
    """Other trainers: those of `foretaste.workflow.mixing.TrainerName`."""

    TRL = "trl"
    AXOLOTL = "axolotl"
    LLAMA_FACTORY = "llama-factory"
    NEMO_AUTOMODEL = "nemo-automodel"


@app.command(epilog="Example: [bold]foretaste export study.yaml --to model --weights movies=0.7,news=0.3[/]")
def export(
    recipe: Annotated[
        Path, typer.Argument(metavar="RECIPE", help="A recipe, or the study folder that experts were imported into.")
    ],
    to: Annotated[
        Path, typer.Option(help="Folder to write: a checkpoint in the pretrained model's form, or an adapter.")
    ],
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
        int | None,
        typer.Option(
            min=1, max=2**16, help="Largest rank of a merged adapter; a sum of adapters is exact if left out."
        ),
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
        typer.Option(
            help="In place of a model, write the rows that the joint run at these weights would see, in its order."
        ),
    ] = None,
    trainer: Annotated[
        list[TrainerChoice] | None,
        typer.Option(help="Also write a trainer's configuration for the mixture; repeatable."),
    ] = None,
    push: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Also upload the model to this repository on the Hugging Face hub."),
    ] = None,
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    overwrite: Overwrite = False,
    study: StudyOption = None,
    var: Variables = None,
    as_json: Json = False,
) -> None:
    """Write a model to use elsewhere: the preview at given or recommended weights, or the joint run.

    With --mixture, write the rows of the joint run instead, for another trainer.
    """
    from foretaste.cli.exports import export_merge, export_mixture, export_model

    if private and push is None:
        raise StudyError("--private is for uploads; add --push NAME, or leave it out")
    if push is not None and (mixture or trainer):
        raise StudyError("--push uploads models; leave it out, and upload the rows with: hf upload")
    if recipe.is_dir():
        if mixture or trainer:
            raise StudyError("a mixture needs the tasks' data; name the recipe in place of the study's folder")
        if joint:
            raise StudyError("--joint needs a recipe with the tasks' data; name it in place of the study's folder")
        room = None if memory is None else size(memory, "--memory")
        export_merge(recipe, to, weights, method, prior_precision, rank, room, push, private, overwrite, as_json)
        return
    of_files = {
        "--prior-precision": (prior_precision, "merges of imported experts"),
        "--memory": (memory, "merges of imported checkpoints"),
    }
    for name, (value, use) in of_files.items():
        if value is not None:
            raise StudyError(f"{name} is for {use}; name the study's folder in place of the recipe, or leave it out")
    if mixture or trainer:
        if joint or method or rank:
            raise StudyError("a mixture is rows, not a model; leave out --joint, --method and --rank")
        form, names = mixture or "jsonl", [choice.value for choice in trainer or ()]
        export_mixture(recipe, to, weights, form, names, overwrite, study, var, as_json)
        return
    export_model(recipe, to, weights, method, joint, rank, push, private, overwrite, study, var, as_json)

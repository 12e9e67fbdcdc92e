"""The three things that the export command writes: a model, the rows of a joint run, a merge of imported files."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rich.console import Console

from foretaste.cli.printing import print_report
from foretaste.cli.working import Request, working
from foretaste.combine import REDUCTION_ERROR
from foretaste.errors import StudyError
from foretaste.export.card import largest_rank, served_rank
from foretaste.export.hub import check_hub, upload
from foretaste.report.progress import watching
from foretaste.report.sections.work import mixture_section
from foretaste.store.study import StudyStore
from foretaste.workflow.confirm import check_trainable
from foretaste.workflow.export import check_rank, check_target, choose_export_method, choose_written
from foretaste.workflow.files import FileMethod, Merging, merge_files, parse_weights
from foretaste.workflow.mixing import RowFormat, check_mixture

__all__ = ["export_merge", "export_mixture", "export_model"]

_USUAL_RANK = 16  # the largest that vLLM serves unless it is told otherwise


def export_model(
    recipe: Path,
    to: Path,
    weights: str | None,
    method: str | None,
    joint: bool,
    rank: int | None,
    push: str | None,
    private: bool,
    overwrite: bool,
    study: Path | None,
    var: list[str] | None,
    as_json: bool,
) -> None:
    """Export a preview or the joint run."""
    written = choose_written(method, joint=joint)
    options = ["--joint"] if joint else ["--method", method] if method else []
    options += [] if rank is None else ["--rank", str(rank)]
    options += [] if push is None else ["--push", push, *(["--private"] if private else [])]
    command = ["export", str(recipe), "--to", str(to), *options, *(["--overwrite"] if overwrite else [])]

    def accept(request: Request) -> None:
        check_target(request.recipe, request.folder, to, overwrite=overwrite)
        chosen = choose_export_method(request.recipe, written)
        check_rank(request.recipe, chosen, rank)
        if chosen == "joint":
            check_trainable(request.problem, request.points)
        if push is not None:
            check_hub(push, overwrite=overwrite)

    with working(recipe, study, var, command, None if weights is None else [weights], accept) as (work, points):
        at = points[0] if points else None
        record = work.export(to, at, method, joint=joint, rank=rank, push=push, private=private, overwrite=overwrite)
    lines = [f"wrote {to}: {record['method']} at {record['at']}"]
    if error := record.get(REDUCTION_ERROR):
        lines.append(f"reduced to rank {max(record['ranks'])}: {_error_text(error)}")
    print_report(as_json, record.to_dict, "\n".join([*lines, *_more_lines(record)]))


def export_mixture(
    recipe: Path,
    to: Path,
    weights: str | None,
    form: RowFormat,
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
        check_target(request.recipe, request.folder, to, overwrite=overwrite)
        check_mixture(request.recipe, request.problem, names)

    with working(recipe, study, var, command, None if weights is None else [weights], accept) as (work, points):
        at = points[0] if points else work.recommend().weights
        manifest = work.export_mixture(to, at, mixture=form, trainers=names, overwrite=overwrite)
    print_report(as_json, manifest.to_dict, [mixture_section(manifest)], f"wrote {to}: {at}")


def export_merge(
    folder: Path,
    to: Path,
    weights: str | None,
    method: str | None,
    prior_precision: float | None,
    rank: int | None,
    memory: int | None,
    push: str | None,
    private: bool,
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
    if push is not None:
        check_hub(push, overwrite=overwrite)
    with watching(Console(stderr=True)) as watch, StudyStore.open(folder) as opened:
        how: FileMethod = "diagonal" if method == "diagonal" else "simple"
        merging = Merging(parse_weights(opened, weights), how, prior_precision, rank, memory)
        record = merge_files(opened, to, merging, watch, overwrite=overwrite)
    lines = [f"wrote {to}: {record['method']} at {record['at']}"]
    if rank is not None:
        lines.append(f"reduced to rank {rank}: {_error_text(record[REDUCTION_ERROR])}")
    record = {"written": str(to), **({} if push is None else {"pushed": upload(to, push, private=private)}), **record}
    print_report(as_json, record, "\n".join([*lines, *_more_lines(record)]))


def _more_lines(record: Mapping[str, object]) -> Iterator[str]:
    """Tell what a server of adapters must allow, and where an upload is."""
    if (rank := largest_rank(record)) is not None and rank > _USUAL_RANK:
        bound = served_rank(rank)
        way = "more than vLLM serves; lower it with --rank" if bound is None else f"vLLM needs --max-lora-rank {bound}"
        yield f"rank {rank}: {way}"
    if "pushed" in record:
        yield f"uploaded to {record['pushed']}"


def _error_text(error: object) -> str:
    return f"relative error {error:.3g} of the merge's norm (Frobenius)"

"""The command that tells a study the results of runs made elsewhere."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from foretaste.cli.app import app
from foretaste.cli.arguments import pairs, use_one_thread
from foretaste.cli.options import Json
from foretaste.document.wording import joined
from foretaste.errors import DataError

__all__ = ["tell"]


@app.command(
    epilog=(
        "Example: [bold]foretaste tell study.study --weights movies=0.5,news=0.5 --metric movies=0.91 --metric"
        " news=0.88[/]"
    )
)
def tell(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="The study's folder; created with --task.")],
    table: Annotated[
        list[Path] | None,
        typer.Argument(metavar="TABLE...", help="Tables of runs: CSV, JSON lines or Parquet; a row is a run."),
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option(
            "--task",
            metavar="TASK=METRIC[,METRIC...]",
            help=(
                "Create the study: a task and its metrics, the one to optimise first. Losses, perplexities and errors"
                " are better if lower; METRIC:down and METRIC:up say it of other names. Repeatable."
            ),
        ),
    ] = None,
    domain: Annotated[
        list[str] | None,
        typer.Option("--domain", metavar="NAME", help="Create the study: what is mixed, if not the tasks; repeatable."),
    ] = None,
    weights: Annotated[
        str | None, typer.Option("--weights", "-w", metavar="NAME=SHARE,...", help="The weights of one run.")
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            "--metric", metavar="TASK[:METRIC]=NUMBER", help="A result of this run, as code=0.41 or code:pass@10=0.6."
        ),
    ] = None,
    fidelity: Annotated[
        str,
        typer.Option(
            help=(
                "How the runs were made: joint, preview:METHOD, or a name of your own such as proxy-60m. A column of"
                " the table comes first."
            )
        ),
    ] = "joint",
    seed: Annotated[int, typer.Option(help="Seed of rows without one.")] = 0,
    cost: Annotated[
        float | None,
        typer.Option(
            help="What one such run costs, as a share of a joint run or in seconds; use one unit for the whole study."
        ),
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            "--column",
            metavar="WHAT=COLUMN",
            help="The column of a weight or a metric, as code=code_share or code.pass@1=humaneval; repeatable.",
        ),
    ] = None,
    jobs: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="FOLDER", help="Results of jobs that `foretaste ask --to FOLDER` wrote; or of one job."
        ),
    ] = None,
    normalise: Annotated[
        bool, typer.Option("--normalise", help="Divide weights by their sum: percentages, or counts of tokens.")
    ] = False,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out rows that cannot be read.")] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace numbers that the study has for the same runs.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what the columns hold and the first rows; write nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Add results of runs that were made elsewhere to a study, or create a study for them.

    A table comes in whole: foretaste tell swarm.study runs.csv --task code=pass@1 --task chat=loss

    Jobs that another trainer ran: foretaste tell study.study --from mix

    Cheap runs have a name and a cost: foretaste tell swarm.study proxies.csv --fidelity proxy-60m --cost 0.05
    """
    use_one_thread()
    if jobs is not None:
        from foretaste.cli.outside import tell_study_jobs

        others = {
            "tables": table,
            "--task": task,
            "--domain": domain,
            "--weights": weights,
            "--metric": metric,
            "--column": column,
            "--fidelity": fidelity != "joint",
            "--seed": seed,
            "--cost": cost is not None,
            "--normalise": normalise,
        }
        if extra := [name for name, value in others.items() if value]:
            raise DataError(f"the jobs' folders say what --from needs to know; leave out {joined(extra)}")
        tell_study_jobs(study, jobs, skip_bad, replace, dry_run, as_json=as_json)
        return
    from foretaste.cli.outside import Telling, preview_tables, tell_study
    from foretaste.workflow.run_columns import TableOptions

    columns = pairs(column, "--column", "WHAT=COLUMN", "code.pass@1=humaneval")
    options = TableOptions(columns, fidelity, seed, cost, normalise)
    telling = Telling(study, tuple(task or ()), tuple(domain or ()), tuple(table or ()), options, skip_bad, replace)
    results = pairs(metric, "--metric", "TASK[:METRIC]=NUMBER", "code=0.41")
    if dry_run:
        preview_tables(telling, as_json=as_json)
    else:
        after = f"next: {shlex.join(['foretaste', 'show', str(study)])}"
        tell_study(telling, weights, results, after, as_json=as_json)

"""Commands for runs made elsewhere: what to run next, and what a study knows."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from foretaste.cli.app import app
from foretaste.cli.arguments import use_one_thread
from foretaste.cli.exporting import TrainerChoice
from foretaste.cli.options import Floors, Json, Prefer, StudyFolder
from foretaste.errors import StudyError

__all__ = ["ask", "rows"]


@app.command(epilog="Example: [bold]foretaste ask study.study -n 4[/]")
def ask(
    study: Annotated[
        Path, typer.Argument(metavar="STUDY", help="A study's folder; with --to also a recipe, whose study is created.")
    ],
    count: Annotated[int, typer.Option("-n", "--count", min=1, max=100, help="How many runs to propose.")] = 1,
    fidelity: Annotated[
        str, typer.Option(help="How they will be run: joint, or the name of your cheap runs.")
    ] = "joint",
    prefer: Prefer = None,
    floor: Floors = None,
    pending: Annotated[
        bool,
        typer.Option(
            "--pending",
            help="Propose nothing; list the proposals that wait for their results, or write their jobs with --to.",
        ),
    ] = False,
    drop: Annotated[
        list[str] | None,
        typer.Option("--drop", metavar="WEIGHTS", help="Drop a pending proposal, or all of them: --drop all."),
    ] = None,
    expire: Annotated[
        float | None, typer.Option(metavar="HOURS", min=0, help="First drop proposals that wait for longer than this.")
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="Also write a job for each run here: rows, configuration, and a script that runs it."
        ),
    ] = None,
    trainer: Annotated[TrainerChoice | None, typer.Option(help="The trainer that runs the jobs of --to.")] = None,
    as_json: Json = False,
) -> None:
    """Propose which weights to run next, elsewhere.

    Proposals stay pending until their results are told, and are not proposed again; --pending lists them.

    As jobs for another trainer: foretaste ask study.study --to mix --trainer trl -n 4
    """
    if (pending or drop) and (expire is not None or prefer or floor):
        raise StudyError(
            "--prefer, --floor and --expire are for new proposals; leave them out with --pending and --drop"
        )
    if to is not None or trainer is not None:
        from foretaste.cli.jobs import ask_jobs

        if to is None or trainer is None:
            raise StudyError("--to and --trainer go together, as in --to mix --trainer trl")
        if fidelity != "joint" or drop:
            raise StudyError("--to writes jobs of joint runs; leave out --fidelity and --drop")
        ask_jobs(study, to, trainer.value, count, prefer, floor, expire, pending=pending, as_json=as_json)
        return
    use_one_thread()
    from foretaste.cli.outside import drop_runs, print_proposals
    from foretaste.store.study import StudyStore
    from foretaste.workflow.ask import ask as ask_study
    from foretaste.workflow.ask import pending_runs

    with StudyStore.open(study) as opened:
        if drop:
            runs, title = drop_runs(opened, drop), "Dropped"
        elif pending:
            runs, title = pending_runs(opened), "Pending"
        else:
            runs = ask_study(opened, count, fidelity, prefer=prefer, floors=floor, expire_hours=expire)
            title = "Run next"
    print_proposals(runs, title, f"next: {shlex.join(['foretaste', 'tell', str(study), 'TABLE'])}", as_json=as_json)


@app.command(epilog="Example: [bold]foretaste rows study.study --fidelity joint[/]")
def rows(
    study: StudyFolder,
    fidelity: Annotated[str | None, typer.Option(help="Only rows of this fidelity.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Print at most so many; --json has all.")] = 30,
    as_json: Json = False,
) -> None:
    """List the results that a study has: weights, metrics, fidelity, seed and cost."""
    use_one_thread()
    from foretaste.cli.outside import print_rows

    print_rows(study, fidelity, limit, as_json=as_json)

"""Commands for runs made elsewhere: what to run next, and what a study knows."""

import shlex
from typing import Annotated

import typer

from foretaste.cli.app import app
from foretaste.cli.arguments import use_one_thread
from foretaste.cli.options import Floors, Json, Prefer, StudyFolder

__all__ = ["ask", "rows"]


@app.command(epilog="Example: [bold]foretaste ask study.study -n 4[/]")
def ask(
    study: StudyFolder,
    count: Annotated[int, typer.Option("-n", "--count", min=1, max=100, help="How many runs to propose.")] = 1,
    fidelity: Annotated[
        str, typer.Option(help="How they will be run: joint, or the name of your cheap runs.")
    ] = "joint",
    prefer: Prefer = None,
    floor: Floors = None,
    pending: Annotated[
        bool, typer.Option("--pending", help="Only list proposals that wait for their results.")
    ] = False,
    drop: Annotated[
        list[str] | None,
        typer.Option("--drop", metavar="WEIGHTS", help="Drop a pending proposal, or all of them: --drop all."),
    ] = None,
    expire: Annotated[
        float | None, typer.Option(metavar="HOURS", min=0, help="First drop proposals that wait for longer than this.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Propose which weights to run next, elsewhere.

    Proposals stay pending until their results are told, and are not proposed again; --pending lists them.
    """
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

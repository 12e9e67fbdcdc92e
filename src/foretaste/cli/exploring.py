"""The command that opens the explorer."""

import webbrowser
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from foretaste.cli.app import app
from foretaste.cli.options import StudyFolder
from foretaste.errors import MissingExtra

__all__ = ["explore"]


@app.command(epilog="Example: [bold]foretaste explore study.study[/]")
def explore(
    study: StudyFolder,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 lets in other machines that know the printed address.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; any free one if left out.")] = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Start work that was requested before and still waits.")
    ] = False,
    trust: Annotated[
        bool,
        typer.Option(
            "--trust", help="Let a study that somebody else made run its own Python code when you request work."
        ),
    ] = False,
    framed: Annotated[
        bool, typer.Option("--framed", help="Let pages of this machine, such as notebooks, show the page in a frame.")
    ] = False,
    browse: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the address as JSON, for machines.")] = False,
) -> None:
    """Try any weighting in the browser: drag a point, see every task's expected metric, ask for previews and runs."""
    if any(find_spec(name) is None for name in ("starlette", "uvicorn")):
        raise MissingExtra("the explorer needs starlette and uvicorn; install them with: pip install 'foretaste[web]'")

    from foretaste.web.serve import serve

    def opened(address: str) -> None:
        typer.echo(
            f'{{"address": "{address}"}}'
            if as_json
            else f"exploring {study} at {address}\nCtrl-C stops the page; requested work goes on"
        )
        if browse:
            webbrowser.open(address)

    serve(Path(study), host, port, opened, resume=resume, trust=trust, framed=framed)

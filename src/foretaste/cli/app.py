"""The application that every command belongs to."""

from typing import Annotated

import typer

from foretaste import __version__

__all__ = ["app"]

app = typer.Typer(
    name="foretaste",
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Choose how much each task counts before you train. foretaste previews multitask finetuning at any task "
    "weights by merging models, checks the previews against joint finetuning, and recommends weights.\n\n"
    "Start with: [bold]foretaste demo[/]",
)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(f"foretaste {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass

"""How a command prints its report: for people, or as JSON for machines."""

import json
from collections.abc import Callable, Sequence

import typer
from rich.console import Console

from foretaste.document.blocks import Section
from foretaste.readable import Readable, sections_of
from foretaste.report.json import plain
from foretaste.report.rows import coloured, marked
from foretaste.report.text import render

__all__ = ["print_report", "print_result", "print_text"]


def print_report(
    as_json: bool,
    record: object,
    report: str | Sequence[Section] | Callable[[], Sequence[Section]],
    after: str = "",
    name: str = "",
) -> None:
    """Print a report for people, or its record for machines.

    Either may be a function, which is called only if it is wanted.

    Args:
        as_json: Whether machines read it.
        record: What JSON holds.
        report: Sections, or text.
        after: Lines under the report.
        name: What the report is about.
    """
    if as_json:
        typer.echo(json.dumps(plain(record() if callable(record) else record), indent=2, allow_nan=False))
        return
    console = Console()
    printed = report if isinstance(report, str) else render(report() if callable(report) else report, name)
    for part in (printed, after) if after else (printed,):
        as_written = isinstance(part, str)  # paths are printed as they are, on one line
        console.print(part, markup=not as_written, highlight=not as_written, soft_wrap=as_written)


def print_result(as_json: bool, result: Readable, after: str = "") -> None:
    """Print a result for people, or its record for machines.

    Args:
        as_json: Whether machines read it.
        result: What a verb returned.
        after: Lines under the report.
    """
    print_report(as_json, result.to_dict, lambda: sections_of(result), after)


def print_text(parts: Sequence[tuple[str, bool]]) -> None:
    """Print a text with some parts marked: in colour, or in brackets where there is none.

    Args:
        parts: Texts in order, each with whether it is marked.
    """
    console = Console()
    if console.is_terminal and not console.no_color and console.color_system:
        console.print(coloured(parts), soft_wrap=True)
    else:
        console.print(marked(parts), markup=False, highlight=False, emoji=False, soft_wrap=True)
    console.print()

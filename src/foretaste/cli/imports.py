"""Importing models that were trained elsewhere, and printing what is there then."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from rich.console import Console

from foretaste.cli.printing import print_result
from foretaste.errors import StudyError
from foretaste.report.progress import watching
from foretaste.store.study import StudyStore
from foretaste.work.imported_models import ImportedModel, imported_models
from foretaste.work.imports import BASE
from foretaste.workflow.experts import check, import_into
from foretaste.workflow.files import merge_obstacle

__all__ = ["import_and_print"]


def import_and_print(
    folder: Path,
    models: Mapping[str, Path],
    base: Path | None,
    vocabulary: Literal["base"] | None,
    removed: Sequence[str],
    *,
    as_json: bool,
) -> None:
    """Import models into a study, and print its table of imported models.

    Args:
        folder: The study's.
        models: Folders by task.
        base: Folder of the pretrained checkpoint.
        vocabulary: ``base`` to leave out tokens that experts added.
        removed: Tasks whose imported models go first.
        as_json: Whether machines read it.

    Raises:
        StudyError: There is nothing to remove, or models do not fit.
    """
    if not folder.exists():
        if removed:
            raise StudyError(f"{folder} does not exist, so there is nothing to remove; name the study's folder")
        check(models, base, vocabulary)  # so that no study is created for models that do not fit
    with watching(Console(stderr=True)) as watch, StudyStore.create(folder) as opened:
        result = import_into(opened, models, base, vocabulary, removed, watch)
        imported = imported_models(opened)
    after = [
        *(f"removed: {name}" for name in removed),
        *(f"note: {note}" for note in result.notes),
        *_next_commands(folder, imported),
    ]
    print_result(as_json, result, "\n".join(after))


def _next_commands(study: Path, models: Mapping[str, ImportedModel]) -> list[str]:
    """Say what to do with a study's experts, or why they do not merge as they are."""
    if not set(models) - {BASE}:
        return [f"next: foretaste import {study} --task NAME=FOLDER"]
    reason = merge_obstacle(study, models)
    first = f"next: foretaste export {study} --to merged --weights uniform" if reason is None else f"note: {reason}"
    return [first, f"next, with the tasks' data: foretaste run RECIPE --study {study}"]

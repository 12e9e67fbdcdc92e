"""Which version of foretaste made a study: a study of a newer one is refused by its version, not as another recipe."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foretaste import __version__
from foretaste.engines.catalogue import REVISIONS
from foretaste.errors import StudyError

__all__ = ["check_revisions", "check_version", "maker_of"]


def maker_of(plan: Mapping[str, Any]) -> str:
    """The version that a study's plan was written by; empty where the plan does not say.

    >>> maker_of({"versions": "foretaste 0.2.0, torch 2.4.0, Python 3.11.4, on cpu"})
    '0.2.0'
    """
    match = re.match(r"foretaste ([^\s,]+)", str(plan.get("versions", "")))
    return match[1] if match else ""


def check_version(plan: Mapping[str, Any], folder: Path) -> None:
    """Refuse a plan that a newer version wrote; to be called where this version cannot go on with it.

    Args:
        plan: What the study keeps of its recipe.
        folder: The study's.

    Raises:
        StudyError: A newer version wrote the plan.

    >>> check_version({"versions": "foretaste 99.0, torch 9.0"}, Path("runs"))
    Traceback (most recent call last):
    ...
    foretaste.errors.StudyError: the study runs was made by foretaste 99.0, and this is foretaste ...: upgrade ...
    """
    maker, here = maker_of(plan), _numbers(__version__)
    has_unknown_work = any(number > REVISIONS.get(kind, 0) for kind, number in _revisions_of(plan).items())
    if _numbers(maker) > here or (_numbers(maker) == here and has_unknown_work):
        raise StudyError(
            f"the study {folder} was made by foretaste {maker}, and this is foretaste {__version__}: "
            "upgrade foretaste, or name another folder with --study; the study is untouched"
        )


def check_revisions(plan: Mapping[str, Any], folder: Path) -> None:
    """Refuse a plan of an earlier version if that version made other numbers of the same inputs.

    Args:
        plan: What the study keeps of its recipe.
        folder: The study's.

    Raises:
        StudyError: Work of the study was done in another way than here.

    >>> check_revisions(
    ...     {"identity": {"revisions": {"factors": 1}}, "versions": "foretaste 0.0.9, torch 2.4"}, Path("runs")
    ... )
    Traceback (most recent call last):
    ...
    foretaste.errors.StudyError: the study runs was made by foretaste 0.0.9, which computes factors in another way
    (revision 1, here 2): ...
    """
    changed = {kind: number for kind, number in _revisions_of(plan).items() if number != REVISIONS.get(kind)}
    if changed:
        kinds = ", ".join(
            f"{kind} in another way (revision {number}, here {REVISIONS.get(kind)})" for kind, number in changed.items()
        )
        raise StudyError(
            f"the study {folder} was made by foretaste {maker_of(plan)}, which computes {kinds}: "
            "go on with that version, or name another folder with --study; the study is untouched"
        )


def _revisions_of(plan: Mapping[str, Any]) -> dict[str, int]:
    identity = plan.get("identity", {})
    return {str(kind): int(number) for kind, number in identity.get("revisions", {}).items()}


def _numbers(version: str) -> tuple[int, ...]:
    """The numbers at the beginning of a version, to compare."""
    match = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in match[0].split(".")) if match else ()

"""Studies that earlier versions made, to be copied before they are opened for work."""

import json
import shutil
from pathlib import Path
from typing import Any

__all__ = ["EARLIER", "earlier_recipe", "earlier_study", "shown_earlier"]

EARLIER = Path(__file__).parent / "unit" / "store" / "study-1"


def earlier_study(folder: Path) -> Path:
    """A copy of the study that foretaste 0.1 made with schema 1, in a new folder within this one."""
    return Path(shutil.copytree(EARLIER, folder / "earlier"))


def earlier_recipe() -> Path:
    """The recipe of that study."""
    return EARLIER.with_suffix(".yaml")


def shown_earlier() -> dict[str, Any]:
    """What that version showed of it: the rows, and the recommended weights."""
    found: dict[str, Any] = json.loads(EARLIER.with_suffix(".json").read_text())
    return found

"""Commands that show a study, as typed."""

import json
from pathlib import Path

from commands import foretaste


def test_a_study_is_explained_in_sentences(folder: Path) -> None:
    shown = foretaste("show", folder / "study", "--explain", "--prefer", "worst")
    assert "Recommended: " in shown.out
    assert "Highest expected metric of the worst task of" in " ".join(shown.out.split())
    assert len(json.loads(foretaste("show", folder / "study", "--explain", "--json").out)["explanation"]) == 6

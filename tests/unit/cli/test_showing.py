"""Commands that show a study, as typed."""

import json
from pathlib import Path

import pytest

from commands import foretaste
from foretaste.cli.showing import check_report, summarize_study, write_report
from foretaste.errors import BadInput
from problems import digits_recipe


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("showing")
    recipe = digits_recipe(folder, finetune_steps="5", preview_points="3", joint_points="1")
    assert foretaste("run", recipe, "--study", folder / "study").code == 0
    return folder / "study"


def test_a_study_is_explained_in_sentences(study: Path) -> None:
    shown = foretaste("show", study, "--explain", "--prefer", "worst")
    assert "Recommended: " in shown.out
    assert "Highest expected metric of the worst task of" in " ".join(shown.out.split())
    assert len(json.loads(foretaste("show", study, "--explain", "--json").out)["explanation"]) == 6


def test_a_summary_is_made_for_other_wishes(study: Path) -> None:
    summary = summarize_study(study, "low=1", ["all>=50%"], "simple")
    assert (str(summary.preference), summary.method, len(summary.floors)) == (
        "the mean weighted low 100%, mid 0%, high 0%",
        "simple",
        1,
    )


def test_a_report_replaces_reports_alone(study: Path, tmp_path: Path) -> None:
    own = write_report(summarize_study(study), tmp_path / "own.html")
    assert check_report(own) == own
    (tmp_path / "other.html").write_text("mine")
    with pytest.raises(BadInput, match=r"other\.html"):
        check_report(tmp_path / "other.html")
    assert check_report(tmp_path / "other.html", overwrite=True)

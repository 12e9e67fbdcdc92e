"""Commands for runs made elsewhere, as typed."""

import json
from pathlib import Path

import pytest

from commands import foretaste, refused
from swarms import made_up_runs, swarm


def test_asking_listing_and_dropping(tmp_path: Path) -> None:
    swarm(folder := tmp_path / "s", made_up_runs(8)).close()
    shown = foretaste("ask", folder, "-n", "2")
    assert shown.out.splitlines()[0] == "Run next"
    assert shown.out.splitlines()[-1] == f"next: foretaste tell {folder} TABLE"
    pending = json.loads(foretaste("ask", folder, "--pending", "--json").out)
    assert len(pending) == 2
    weights = ",".join(f"{name}={share}" for name, share in pending[0]["weights"].items())
    assert foretaste("ask", folder, "--drop", weights).code == 0
    assert foretaste("ask", folder, "--drop", "all").out.startswith("Dropped")
    assert "No run is pending." in foretaste("ask", folder, "--pending").out
    assert "is pending" in refused("ask", folder, "--drop", "web=1")


@pytest.mark.parametrize("option", [["--pending"], ["--drop", "all"]])
def test_what_shapes_new_proposals_is_refused_without_any(tmp_path: Path, option: list[str]) -> None:
    swarm(folder := tmp_path / "s", made_up_runs(8)).close()
    foretaste("ask", folder)
    for more in (["--expire", 1], ["--prefer", "worst"], ["--floor", "web<=3"]):
        assert "--expire are for new proposals; leave them out" in refused("ask", folder, *option, *more)
    assert len(json.loads(foretaste("ask", folder, "--pending", "--json").out)) == 1


def test_rows_are_listed_by_fidelity(tmp_path: Path) -> None:
    swarm(folder := tmp_path / "s", [*made_up_runs(3), *made_up_runs(2, "proxy-60m")]).close()
    rows = json.loads(foretaste("rows", folder, "--fidelity", "proxy-60m", "--json").out)
    assert [row["fidelity"] for row in rows] == ["proxy-60m"] * 2
    assert "and 4 more" in foretaste("rows", folder, "--limit", "1").out
    assert "No rows." in foretaste("rows", folder, "--fidelity", "step-1").out


def test_a_folder_without_a_study_is_refused(tmp_path: Path) -> None:
    for command in ("ask", "rows"):
        assert foretaste(command, tmp_path / "none").code == 2

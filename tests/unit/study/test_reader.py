"""What a study's folder says without the model that it was made with."""

from pathlib import Path

import pytest

import foretaste as ft
from in_memory import SMALL, disagreeing_tasks, network


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of a model in memory that is closed again."""
    folder = tmp_path_factory.mktemp("reader") / "pair.study"
    tasks = disagreeing_tasks("left", "right")
    with ft.Study(folder, model=network(), tasks=tasks, progress=False, **SMALL) as study:
        study.preview()
        study.train("uniform")
    return folder


def test_rows_are_records_and_tables(folder: Path) -> None:
    study = ft.Study(folder)
    assert repr(study).startswith("Study('pair', ")
    assert repr(study.rows) == f"Evaluations({len(study.rows)} rows: {len(study.rows) - 1} preview, 1 joint)"
    record = study.rows.to_dict()
    assert {row["fidelity"] for row in record} == {"preview", "joint"}
    assert "<table" in study.rows._repr_html_()


def test_it_recommends_draws_and_reports(folder: Path, tmp_path: Path) -> None:
    study = ft.Study(folder)
    best = study.recommend(prefer={"left": 2, "right": 1}, floors="all>=10%")
    assert sum(best.weights.values()) == pytest.approx(1)
    assert best.to_dict()["weights"] == dict(best.weights)
    assert study.recommend().weights in [row.weights for row in study.rows]
    assert len(study.plot().data) > 0
    assert "<title>" in study.report(tmp_path / "page.html").read_text()
    assert study.show("worst").to_dict()["name"] == "pair"


def test_what_needs_the_model_asks_for_it(folder: Path) -> None:
    with pytest.raises(ft.BadInput, match=r"pass both again to go on: foretaste.Study\(.*, model=..., tasks="):
        ft.Study(folder).preview()

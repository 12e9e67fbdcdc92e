"""Studies whose runs are made elsewhere, through the public class."""

from pathlib import Path

import pytest

import foretaste as ft

TASKS = {"code": "pass@1", "chat": "win rate"}


def told(folder: Path) -> ft.Study:
    """A study with proxies and two joint runs, as a formula makes them."""
    swarm = ft.Study(folder, tasks=TASKS)
    rows = [
        {"code": share, "chat": 1 - share, "code.pass@1": 0.6 * share**0.5, "chat.win rate": 0.7 * (1 - share) ** 0.5}
        for share in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    ]
    swarm.tell_rows(rows, fidelity="proxy-60m", cost=0.05)
    swarm.tell({"code": 0.5, "chat": 0.5}, {"code": 0.41, "chat": 0.63})
    return swarm


def test_results_are_told_and_weights_recommended_without_a_model(tmp_path: Path) -> None:
    swarm = told(tmp_path / "mixture.study")
    assert repr(swarm) == "Study('mixture.study', 7 rows)"
    assert (
        str(swarm.tell("code=0.5,chat=0.5", {"code": 0.41, "chat": {"win rate": 0.63}}))
        == "0 new runs, 1 already known"
    )
    best = swarm.recommend(prefer="worst", floors=["code>=0.2"])
    assert 0.3 < best.weights["code"] < 0.8
    assert "proxy-60m" in best.basis
    assert ft.Study(tmp_path / "mixture.study").rows.to_dict()[0]["weights"] == {"code": 0.0, "chat": 1.0}


def test_what_is_asked_is_pending_until_it_is_told_or_dropped(tmp_path: Path) -> None:
    swarm = told(tmp_path / "mixture.study")
    first, second = swarm.ask(2)
    assert first != second
    assert [run.weights for run in swarm.pending] == [first, second]
    assert swarm.ask(1)[0] not in (first, second)
    swarm.tell(first, {"code": 0.3, "chat": 0.6})
    assert [run.weights for run in swarm.drop([second])] == [second]
    assert len(swarm.pending) == 1
    assert len(swarm.drop()) == 1


def test_a_table_is_looked_at_before_anything_is_written(tmp_path: Path) -> None:
    swarm = ft.Study(tmp_path / "a.study", tasks=TASKS, domains=["web", "books"])
    found = swarm.preview_table([{"web": 0.3, "books": 0.7, "score": 0.5}], columns={"code.pass@1": "score"})
    assert found.runs[0].metrics["code"] == {"pass@1": 0.5}
    assert len(swarm.rows) == 0


def test_numbers_are_corrected_only_if_that_is_asked_for(tmp_path: Path) -> None:
    swarm = told(tmp_path / "a.study")
    with pytest.raises(ft.BadInput, match="other numbers for 1 run"):
        swarm.tell({"code": 0.5, "chat": 0.5}, {"code": 0.5, "chat": 0.5})
    swarm.tell({"code": 0.5, "chat": 0.5}, {"code": 0.5, "chat": 0.5}, replace=True)
    assert swarm.rows[-1].metrics["code"]["pass@1"] == 0.5


def test_what_cannot_be_opened_says_why_and_nothing_is_created(tmp_path: Path) -> None:
    folder = tmp_path / "a.study"
    with pytest.raises(ft.BadInput, match="domains are of a study whose runs are told"):
        ft.Study(folder, domains=["web"])
    with pytest.raises(
        ft.BadInput,
        match="finetune is for studies that train; the runs of this one are made elsewhere, so leave it out",
    ):
        ft.Study(folder, tasks=TASKS, finetune={"steps": 3})
    with pytest.raises(ft.BadInput, match=r"^recipe, recommend.prefr: unknown field; did you mean prefer\?"):
        ft.Study(folder, tasks=TASKS, recommend={"prefr": "mean"})
    with pytest.raises(ft.BadInput, match=r"^recipe, recommend.floors: Input should be a valid list"):
        ft.Study(folder, tasks=TASKS, recommend={"floors": 3})
    with pytest.raises(ft.BadInput, match="write mean, worst, knee"):
        ft.Study(folder, tasks=TASKS, recommend={"prefer": "best"})
    assert not folder.exists()


def test_a_model_is_not_there_to_preview(tmp_path: Path) -> None:
    with pytest.raises(ft.BadInput, match="its runs are made elsewhere"):
        told(tmp_path / "a.study").preview()

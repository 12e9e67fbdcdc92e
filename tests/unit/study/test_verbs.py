"""Verbs take the words of the commands, and refuse what the commands refuse."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import foretaste as ft
from in_memory import SMALL, disagreeing_tasks, network


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ft.Study]:
    folder = tmp_path_factory.mktemp("verbs") / "pair.study"
    with ft.Study(folder, model=network(), tasks=disagreeing_tasks("left", "right"), progress=False, **SMALL) as found:
        yield found


def test_weights_are_a_number_of_points_texts_or_mappings(study: ft.Study) -> None:
    assert len({row.weights for row in study.preview(points=3)}) == 3
    texts = study.preview(["left=0.25,right=0.75", "uniform"])
    mappings = study.preview([{"left": 0.25, "right": 0.75}, ft.uniform(["left", "right"])])
    assert [row.weights for row in texts] == [row.weights for row in mappings]


def test_a_search_takes_its_budget_in_words(study: ft.Study) -> None:
    found = study.search(joint=2, previews=4, prefer="mean", floors=["all>=10%"])
    assert set(found.recommendation.weights) == {"left", "right"}
    assert found.to_dict()["spent"]["joint"] <= 2


def test_a_search_for_the_whole_front(study: ft.Study) -> None:
    result = study.search(joint=2, previews=6, prefer="front")
    assert result.spent.joint <= 2
    assert result.weights == study.recommend(prefer="knee").weights


def test_a_race_and_an_export(study: ft.Study, tmp_path: Path) -> None:
    races = study.race("worst", points=4)
    assert len(races) == 1
    written = study.export(tmp_path / "out", "left=0.5,right=0.5")
    assert (tmp_path / "out").is_dir()
    assert "simple" in str(written.to_dict())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"points": ["left=2,right=0"]}, "weights left=2,right=0 sum to 2, not 1; divide each by 2"),
        ({"points": [{"middle": 1.0}]}, "unknown task 'middle' in the weights"),
        ({"methods": "diagonl"}, "there is no method 'diagonl'; did you mean diagonal"),
        ({"methods": ["simple", "simple"]}, "simple is named twice; name each method once"),
    ],
)
def test_wrong_words_have_the_commands_errors(study: ft.Study, words: dict[str, object], message: str) -> None:
    with pytest.raises(ft.BadInput, match=message):
        study.preview(**words)  # type: ignore[arg-type]


def test_a_search_for_an_unknown_preference_is_refused(study: ft.Study) -> None:
    with pytest.raises(ft.BadInput, match="write mean, worst, knee"):
        study.search(prefer="best")


def test_a_model_that_does_not_fit_is_not_imported(tmp_path: Path) -> None:
    tasks = disagreeing_tasks("left", "right")
    for name, params in (("good", network().state_dict()), ("misfit", {"0.weight": torch.ones(3, 3)})):
        (tmp_path / name).mkdir()
        save_file(params, tmp_path / name / "model.safetensors")
    with ft.Study(tmp_path / "a.study", model=network(), tasks=tasks, progress=False, **SMALL) as study:
        study.import_({"left": tmp_path / "good"})
        for wrong in ({"left": tmp_path / "misfit"}, {"middle": tmp_path / "good"}):
            with pytest.raises(ft.BadInput):
                study.import_(wrong, remove=["left"])
    with ft.Study(tmp_path / "a.study", model=network(), tasks=tasks, progress=False, **SMALL) as again:
        assert list(again.import_({"right": tmp_path / "good"}).experts) == ["left", "right"]

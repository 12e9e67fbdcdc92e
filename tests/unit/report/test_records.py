"""What JSON says of a summary."""

import json
import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from foretaste.report.json import plain
from foretaste.report.records import study_record
from foretaste.report.summary import Summary, summarise
from foretaste.surface.preference import Preference
from foretaste.surface.table import Headline, Surface
from foretaste.weights import TaskWeights
from summaries import joint_row, with_rows

Study = Callable[..., Summary]
AB = ("a", "b")


def study_json(summary: Summary) -> dict[str, object]:
    return {key: plain(value) for key, value in study_record(summary).items()}


def test_json_is_complete(make: Study) -> None:
    document = json.loads(json.dumps(study_json(make(AB, floors=["all>=80%"], preference="a=1,b=1")), allow_nan=False))
    assert len(document["rows"]) == 15
    first = document["rows"][0]
    assert first["weights"] == {"a": 1.0, "b": 0.0}
    assert (first["fidelity"], first["method"], first["seed"], first["cost"]) == ("preview", "simple", 0, 2.0)
    assert first["metrics"]["a"] == {"loss": 0.0, "accuracy": 0.9}
    assert document["tasks"]["a"] == {
        "metric": "accuracy",
        "higher_is_better": True,
        "examples": None,
        "train_examples": None,
    }
    assert document["floors"] == ["all>=80% of its single-task metric"]
    assert document["recommendation"]["weights"] == {"a": 0.5, "b": 0.5}
    assert document["recommendation"]["runners_up"][0].keys() == {
        "weights",
        "value",
        "chance",
        "difference",
        "undecided",
    }
    assert document["recommendation"]["floors"] == [{"floor": "all>=80% of its single-task metric", "chance": 1.0}]
    assert len(document["prediction"]["median"]) == len(document["prediction"]["weights"]) == 5
    assert (
        document["prediction"]["low"][0][0]
        <= document["prediction"]["median"][0][0]
        <= document["prediction"]["high"][0][0]
    )
    assert document["confirmation"]["difference"]["a"] == pytest.approx(0.02)
    assert document["confirmation"]["better"] is None
    assert document["agreements"][1]["verdict"].startswith("Trust the ranking")
    assert len(document["front"]["preview"]) == len(document["front"]["joint"]) == 5
    assert (document["provenance"], document["costs"]) == ({"seed": "0", "torch": "2.8"}, {"previews": 75.0})


def test_json_has_no_nan(make: Study) -> None:
    row = joint_row(TaskWeights(AB, (0.4, 0.6)), math.nan, math.inf)
    document = study_json(with_rows(make(AB, joint=()), row))
    text = json.dumps(document, allow_nan=False)
    assert json.loads(text)["rows"][-1]["metrics"]["a"]["accuracy"] is None
    assert json.loads(text)["rows"][-1]["metrics"]["b"]["accuracy"] is None


def test_json_of_an_empty_study() -> None:
    surface = Surface({"a": Headline("accuracy")}, ())
    found = summarise(
        surface, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={}
    )
    document = json.loads(json.dumps(study_json(found), allow_nan=False))
    assert document["recommendation"] is None
    assert document["confirmation"] is None
    assert document["rows"] == document["agreements"] == []


def test_what_is_to_be_minded_is_in_json(make: Study) -> None:
    made = make(AB)
    heads = {"a": Headline("loss", higher_is_better=False), "b": Headline("accuracy")}
    mixed = replace(made, surface=replace(made.surface, headlines=heads))
    assert (made.caution, made.measure, made.objective) == ("", "value", "the mean over tasks")
    assert str(study_json(mixed)["caution"]).startswith("The tasks have different metrics")
    assert mixed.measure == mixed.objective == "value (loss counts with a minus)"

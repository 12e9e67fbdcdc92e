"""Preferences and floors are read alike from text, mappings and values."""

import pytest

from foretaste.errors import WeightsError
from foretaste.plan import Recommend
from foretaste.surface.preference import Floor, Preference
from foretaste.workflow.goal import read_floors, read_goal, read_preference

NAMES = ["low", "mid"]


def test_a_preference_is_text_numbers_or_itself() -> None:
    assert read_preference("worst", NAMES) == Preference("worst", {})
    assert read_preference({"low": 3, "mid": 1}, NAMES).importance == {"low": 0.75, "mid": 0.25}
    preference = Preference.parse("knee", NAMES)
    assert read_preference(preference, NAMES) is preference
    with pytest.raises(WeightsError, match="preference 'best' is not understood"):
        read_preference("best", NAMES)
    with pytest.raises(WeightsError, match="among low, mid"):
        read_preference({"other": 1}, NAMES)


def test_floors_are_one_text_or_several() -> None:
    floor = Floor.parse("all>=97%", NAMES)
    assert read_floors("all>=97%", NAMES) == [floor]
    assert read_floors(["low>=0.8", floor], NAMES)[1] is floor
    with pytest.raises(WeightsError, match="floor 'low' is not understood"):
        read_floors(["low"], NAMES)


def test_what_is_left_out_is_the_recipe_s() -> None:
    own = Recommend(prefer="worst", floors=["low>=0.5"])
    preference, floors = read_goal(None, None, own, NAMES)
    assert (preference.kind, [str(floor) for floor in floors]) == ("worst", ["low>=0.5"])
    assert read_goal("mean", [], own, NAMES) == (Preference("mean", {}), [])

"""The order of a map's traces and scales; what they hold is in test_figures."""

from collections.abc import Callable

from foretaste.report.maps import maps
from foretaste.report.summary import Summary, summarise
from foretaste.surface.preference import Preference
from foretaste.surface.table import Headline, Surface

Study = Callable[..., Summary]


def test_the_scale_of_a_loss_is_reversed_so_that_bright_is_good(make: Study) -> None:
    names = ("a", "b", "c")
    heads = {"a": Headline("loss", higher_is_better=False), "b": Headline("accuracy"), "c": Headline("accuracy")}
    surface = Surface(heads, make(names).surface.rows)
    found = summarise(surface, name="s", method="simple", preference=Preference("mean", {}), floors=(), provenance={}, costs={})
    drawn = maps(found)
    assert drawn["a"].layout.coloraxis.reversescale is True
    assert drawn["b"].layout.coloraxis.reversescale is False
    assert drawn["a"].layout.coloraxis.cmax == 1.0


def test_the_recommendation_lies_on_top(make: Study) -> None:
    for count in (2, 3):
        assert all(figure.data[-1].name == "recommended" for figure in maps(make("abc"[:count])).values())


def test_a_colour_bar_of_points_that_are_alike_does_not_pretend_to_a_range(make: Study) -> None:
    study = make(("a", "b", "c"), resolution=1, joint=())
    drawn = maps(study)["preference"].layout.coloraxis  # every corner has the same mean
    assert drawn.cmax - drawn.cmin < 0.05
    assert drawn.colorbar.ticktext == ("0.633",)

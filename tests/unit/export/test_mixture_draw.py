import numpy as np
import pytest

from foretaste.errors import DataError
from foretaste.export.mixture_draw import draw_rows, units_of
from foretaste.export.part import Part
from foretaste.weights import TaskWeights

ROWS = [{"q": "a"}, {"q": "b"}]


def test_rows_are_drawn_in_the_shares_of_the_weights() -> None:
    units = {"a": np.ones(3, dtype=np.int64), "b": np.ones(2, dtype=np.int64)}
    draw = draw_rows(units, TaskWeights(["a", "b"], [0.75, 0.25]), "example", 8, 0)
    assert (len(draw.of("a")), len(draw.of("b"))) == (6, 2)
    assert set(draw.of("a").tolist()) == {0, 1, 2}


def test_units_are_rows_or_their_label_tokens() -> None:
    assert units_of("a", Part(ROWS), 2, "example").tolist() == [1, 1]
    assert units_of("a", Part(ROWS, [3, 0]), 2, "token").tolist() == [3, 0]
    for counts, message in ((None, "give units_per_row"), ([1], "must be 2 numbers"), ([0, 0], "not all 0")):
        with pytest.raises(DataError, match=message):
            units_of("a", Part(ROWS, counts), 2, "token")

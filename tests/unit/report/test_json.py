"""Records as JSON takes them."""

import json
import math

from foretaste.evaluation import Fidelity
from foretaste.report.json import plain
from foretaste.weights import uniform


def test_numbers_that_json_lacks_are_null() -> None:
    assert plain({"a": [math.nan, math.inf, -math.inf, 1.5]}) == {"a": [None, None, None, 1.5]}


def test_weights_and_kinds_are_plain() -> None:
    text = json.dumps(
        plain({"weights": uniform("ab"), "fidelity": Fidelity.JOINT, "pair": ("a", 1), "none": None, "yes": True})
    )
    assert json.loads(text) == {
        "weights": {"a": 0.5, "b": 0.5},
        "fidelity": "joint",
        "pair": ["a", 1],
        "none": None,
        "yes": True,
    }

import subprocess
import sys

import pytest

from foretaste.evaluation import Evaluation, Fidelity, MethodSteps
from foretaste.weights import uniform


def test_the_key_is_no_part_of_what_a_row_says() -> None:
    rows = [Evaluation(uniform("ab"), {}, Fidelity.JOINT, "joint", key=key) for key in ("x", "y")]
    assert rows[0] == rows[1]
    assert [str(each) for each in Fidelity] == ["preview", "sharpened", "joint"]


@pytest.mark.parametrize(
    ("text", "name", "steps"), [("simple", "simple", 0), ("simple+30", "simple", 30), ("own+method", "own+method", 0)]
)
def test_a_method_and_its_steps_are_one_text_in_a_study(text: str, name: str, steps: int) -> None:
    assert MethodSteps.parse(text) == MethodSteps(name, steps)
    assert str(MethodSteps(name, steps)) == text
    assert Evaluation(uniform("ab"), {}, Fidelity.SHARPENED, name, steps=steps).label == text


def test_it_needs_no_torch() -> None:
    code = "import sys; sys.modules['torch'] = None; import foretaste.evaluation"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

import subprocess
import sys

from foretaste.evaluation import Evaluation, Fidelity
from foretaste.weights import uniform


def test_the_key_is_no_part_of_what_a_row_says() -> None:
    rows = [Evaluation(uniform("ab"), {}, Fidelity.JOINT, "joint", key=key) for key in ("x", "y")]
    assert rows[0] == rows[1]
    assert [str(each) for each in Fidelity] == ["preview", "sharpened", "joint"]


def test_it_needs_no_torch() -> None:
    code = "import sys; sys.modules['torch'] = None; import foretaste.evaluation"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

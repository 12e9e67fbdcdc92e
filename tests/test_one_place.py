"""What only one room may know."""

import re
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "foretaste"
APART = {"loss": "the losses themselves", "surface": "numbers of a study", "report": "numbers of a study"}
NO_OUTPUTS = {
    "simplex.py": "points of the simplex",
    "posterior/mixture.py": "responsibilities of a mixture's components",
}
OF_A_LOSS = re.compile(
    r"IGNORED|ignore_index|-100\b|functional\.cross_entropy|CrossEntropyLoss|softmax|argmax|binary_cross_entropy|mse_loss"
)


def modules() -> list[str]:
    paths = (path.relative_to(SOURCE) for path in sorted(SOURCE.rglob("*.py")))
    return [str(path) for path in paths if path.parts[0] not in APART and str(path) not in NO_OUTPUTS]


@pytest.mark.parametrize("name", modules())
def test_only_the_losses_name_an_ignored_index_softmax_or_argmax(name: str) -> None:
    """Metrics, estimators, ensembles, evaluation and training ask the task's loss.

    A new one is one file, and its test.
    """
    assert OF_A_LOSS.findall((SOURCE / name).read_text()) == []


def test_the_pattern_finds_what_it_is_for() -> None:
    text = "".join(path.read_text() for path in (SOURCE / "loss").glob("*.py"))
    assert {"IGNORED", "-100", "softmax", "argmax"} <= set(OF_A_LOSS.findall(text))

"""Options that several commands take."""

from typing import get_args

from foretaste.workflow.methods import METHODS

from foretaste.cli.options import MethodName as Choices
from foretaste.plan import MethodName


def test_methods_are_those_of_the_recipe() -> None:
    """Named once more in `foretaste.cli.options`, which imports neither before there is work."""
    assert [method.value for method in Choices] == list(get_args(MethodName)) == list(METHODS)

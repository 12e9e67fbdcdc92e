import pytest

from foretaste.engines.choose import engine_for
from foretaste.engines.here import Here
from foretaste.engines.pool import Pool
from foretaste.errors import StudyError
from foretaste.recipe import parse

TWO = parse("{name: a, model: {source: digits}, resources: {workers: 2}}")


def test_the_option_goes_before_the_recipe() -> None:
    found = engine_for(TWO, 3)
    assert isinstance(found, Pool)
    assert found.workers == 3
    assert isinstance(engine_for(TWO, 1), Here)


def test_a_recipe_that_says_nothing_works_here() -> None:
    assert isinstance(engine_for(parse("{name: a, model: {source: digits}}")), Here)


def test_no_workers_are_refused() -> None:
    with pytest.raises(StudyError, match="a pool needs at least 1 worker, not 0"):
        engine_for(TWO, 0)

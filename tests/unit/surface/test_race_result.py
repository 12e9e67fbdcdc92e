from foretaste.simplex import lattice
from foretaste.surface.race_result import Gap, RaceResult


def test_undecided_are_those_whose_interval_holds_no_difference() -> None:
    points = lattice("ab", 2)
    apart = {points[0]: Gap(0.0, 0.0, 0.0), points[1]: Gap(0.1, -0.1, 0.3), points[2]: Gap(0.2, 0.1, 0.3)}
    assert RaceResult("simple", (), (), points[0], apart, 1, 1).undecided == (points[1],)

"""Which weightings a study previews, and which it trains at."""

from dataclasses import replace

import pytest
import torch

from foretaste.params import parameters_of
from foretaste.recipe import parse
from foretaste.simplex import lattice
from foretaste.sources.problem import Problem
from foretaste.weights import corners, uniform
from foretaste.workflow.points import grid, joint_points
from problems import blobs, linear

DIGITS = "name: a\nmodel: {source: digits}\n"


def problem(count: int, private: bool = False) -> Problem:
    model = linear()
    fewer = frozenset(list(parameters_of(model))[:-1])
    tasks = [
        replace(blobs(f"t{place}", place), names=fewer if private and place == 0 else None) for place in range(count)
    ]
    return Problem(model, tuple(tasks))


def test_joint_points_leave_out_corners() -> None:
    recipe = parse(DIGITS + "preview: {points: 21}\njoint: {points: 18}\n")
    found = joint_points(recipe, problem(3))
    assert found[0] == uniform(["t0", "t1", "t2"])
    assert not set(found) & set(corners(["t0", "t1", "t2"]))
    assert set(found[1:]) < {point for point in lattice(["t0", "t1", "t2"], 5) if point.corner is None}
    assert len(set(found)) == 18


def test_joint_points_leave_out_faces_where_heads_are_private() -> None:
    recipe = parse(DIGITS + "preview: {points: 21}\njoint: {points: 40}\n")
    assert all(min(point.values()) > 0 for point in joint_points(recipe, problem(3, private=True)))
    few = parse(DIGITS + "preview: {points: 3}\njoint: {points: 3}\n")
    assert (
        len(joint_points(few, problem(3, private=True))) == 3
    )  # a lattice of corners has no inside; a finer one is taken


def test_tasks_that_leave_the_same_parameters_alone_have_no_heads_of_their_own() -> None:
    made = problem(3)
    names = frozenset(list(parameters_of(made.model))[:2])
    assert not replace(made, tasks=tuple(replace(task, names=names) for task in made.tasks)).has_private_heads
    assert problem(3, private=True).has_private_heads


def test_a_finer_lattice_is_taken_where_many_joint_runs_are_asked_for() -> None:
    recipe = parse(DIGITS + "preview: {points: 3}\njoint: {points: 30}\n")
    assert len(joint_points(recipe, problem(3))) == 30
    assert len(joint_points(recipe, problem(3, private=True))) == 30


@pytest.mark.parametrize("count", [2, 3, 4])
def test_joint_points_are_as_many_as_asked_and_spread(count: int) -> None:
    recipe = parse(DIGITS + "preview: {points: 60}\njoint: {points: 5}\n")
    found = torch.tensor([list(point.values()) for point in joint_points(recipe, problem(count))])
    assert len(found) == 5
    assert float(torch.pdist(found).min()) > 0.1
    assert joint_points(parse(DIGITS + "joint: {points: 0}\n"), problem(count)) == []


@pytest.mark.parametrize("points", [2, 3, 10, 66])
@pytest.mark.parametrize("private", [False, True])
def test_the_grid_holds_uniform_corners_and_joint_points(points: int, private: bool) -> None:
    recipe, made = parse(DIGITS + f"preview: {{points: {points}}}\njoint: {{points: 4}}\n"), problem(3, private)
    found = grid(recipe, made)
    assert len(found) == len(set(found))
    assert {uniform(made.names), *corners(made.names), *joint_points(recipe, made)} <= set(found)
    assert len(found) <= max(points, 3) + 5


@pytest.mark.parametrize("private", [False, True])
def test_twelve_tasks_are_previewed_inside_too(private: bool) -> None:
    """And the joint runs of private heads are listed at once, though no small lattice has points for them."""
    many = problem(12, private)
    recipe = parse(DIGITS + "joint: {points: 7}\n")
    points = grid(recipe, many)
    full = [weights for weights in points if min(weights.values()) > 0]
    assert set(corners(many.names)) <= set(points)
    assert 66 <= len(points) <= 66 + 7
    assert len(full) >= 54
    joint = joint_points(recipe, many)
    assert len(joint) == 7
    assert joint[0] == uniform(many.names)
    assert not private or min(share for weights in joint for share in weights.shares) > 0

from dataclasses import replace

import pytest

from foretaste.plan import Recipe
from foretaste.recipe import parse
from foretaste.train.training import Training
from foretaste.work.trainings import joint_training, task_training
from problems import blobs

TASKS = [blobs("a", 1, count=40), blobs("b", 2, count=90)]  # 20 and 45 training rows


def recipe(finetune: str, joint: str = "{}") -> Recipe:
    return parse(f"{{name: a, seed: 3, model: {{source: digits}}, finetune: {finetune}, joint: {joint}}}")


def steps(finetune: str, joint: str = "{}") -> tuple[int, int, int]:
    """Steps of the two single-task runs, and of a joint run."""
    plan = recipe(finetune, joint)
    alone = [task_training(plan, task).steps for task in TASKS]
    return alone[0], alone[1], joint_training(plan, TASKS).steps


@pytest.mark.parametrize(
    ("finetune", "joint", "expected"),
    [
        ("{}", "{}", (300, 300, 300)),
        ("{steps: 7}", "{}", (7, 7, 7)),
        ("{steps: 7}", "{steps: 3}", (7, 7, 3)),
        ("{steps: 7, tasks: {b: {steps: 9}}}", "{}", (7, 9, 7)),
        ("{steps: 7, tasks: {b: {steps: 9}}}", "{steps: all}", (7, 9, 16)),
        ("{batch_size: 10, epochs: 2}", "{}", (4, 9, 13)),
        ("{batch_size: 10, epochs: 2}", "{steps: all}", (4, 9, 13)),
        ("{batch_size: 10, epochs: 2, tasks: {a: {epochs: 0.5}}}", "{}", (1, 9, 13)),
        ("{batch_size: 10, epochs: 2, tasks: {a: {steps: 5}}}", "{steps: all}", (5, 9, 14)),
        ("{batch_size: 10, steps: 6, tasks: {b: {epochs: 1, batch_size: 9}}}", "{}", (6, 5, 6)),
        ("{batch_size: 10, epochs: 0.001}", "{}", (1, 1, 1)),
    ],
)
def test_steps(finetune: str, joint: str, expected: tuple[int, int, int]) -> None:
    assert steps(finetune, joint) == expected


def test_what_is_said_of_a_task_is_for_its_own_run_alone() -> None:
    plain = recipe("{learning_rate: 0.1, batch_size: 8, warmup: 0.2}")
    own = recipe(
        "{learning_rate: 0.1, batch_size: 8, warmup: 0.2, tasks: {b: {learning_rate: 0.01, batch_size: 4, steps: 2}}}"
    )
    usual = Training(300, 8, 0.1, warmup=0.2, seed=3)
    assert task_training(plain, TASKS[1]) == task_training(own, TASKS[0]) == usual
    assert task_training(own, TASKS[1]) == replace(usual, steps=2, learning_rate=0.01, batch_size=4)
    assert joint_training(own, TASKS) == joint_training(plain, TASKS) == usual

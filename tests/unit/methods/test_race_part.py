"""Parts of a race: outputs of one preview on some of the validation data."""

import pytest
import torch

from foretaste.evaluate import predict_examples
from foretaste.methods.race_part import RacePart, evaluate_part, merged_params
from foretaste.params import in_eval_mode, swapped
from foretaste.weights import TaskWeights, uniform
from foretaste.work.context import Unwatched
from foretaste.work.judge import Subset, shuffle_validation
from foretaste.work.observer import Observer
from foretaste.workflow.preview import prepare_merger
from foretaste.workflow.session import Session

POINT = TaskWeights(["low", "mid", "high"], [0.2, 0.3, 0.5])
PART = {"low": (0, 12), "high": (4, 20)}
WORK = RacePart("diagonal", POINT, (("low", 0, 12), ("high", 4, 20)))


def test_outputs_are_those_of_the_preview_on_these_examples(session: Session) -> None:
    outputs = session.finish([WORK])[0]
    assert set(outputs) == {"low", "high"}
    params, model = prepare_merger(session, "diagonal")[1].merge(POINT).params, session.problem.model
    for name, (start, end) in PART.items():
        task = session.task(name)
        examples = Subset(task.validation, shuffle_validation(task, session.recipe.seed)[start:end])
        with in_eval_mode(model), swapped(model, params):
            expected = predict_examples(model, task, examples, 32)
        torch.testing.assert_close(outputs[name].losses, expected.losses)
        assert torch.equal(outputs[name].labels, expected.labels)


def test_what_is_read_is_what_was_made(session: Session) -> None:
    made, found = session.finish([WORK])[0], WORK.stored_result(session)
    for name in PART:
        assert torch.equal(made[name].losses, found[name].losses)
        assert made[name].texts == found[name].texts == ()


def test_the_size_is_the_number_of_examples(session: Session) -> None:
    assert WORK.part == PART
    assert WORK.size(session) == 12 + 16


def test_previews_together_give_what_each_gives_alone(session: Session) -> None:
    merger = prepare_merger(session, "diagonal")[1]
    many = [merger.merge(weights).params for weights in (POINT, uniform(session.problem.names))]
    observer = Observer(Unwatched(), 0)
    together = evaluate_part(session, "diagonal", many, PART, observer)
    alone = [evaluate_part(session, "diagonal", [params], PART, observer)[0] for params in many]
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one["low"].losses, other["low"].losses, atol=1e-6, rtol=1e-5)


def test_params_are_kept_as_far_as_memory_allows(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare_merger(session, "diagonal")
    kept = merged_params(session, "diagonal")
    first = kept.at(session, POINT)
    assert kept.at(session, POINT) is first
    kept.drop(POINT)
    assert kept.at(session, POINT) is not first
    kept.drop(POINT)
    monkeypatch.setattr("foretaste.methods.race_part._MEMORY", 0)
    assert kept.at(session, POINT) is not kept.at(session, POINT)

"""What all preview methods have in common."""

from dataclasses import replace

import torch

from foretaste.methods.method import Method, prior_of
from foretaste.methods.simple import Simple
from foretaste.params import parameters_of
from foretaste.sources.frozen import freeze_modules
from foretaste.workflow.session import Session


def test_a_method_is_shown_by_its_name() -> None:
    assert repr(Simple()) == "Simple('simple')"


def test_a_method_says_its_work_and_makes_sites() -> None:
    assert Method.__abstractmethods__ == {"work", "sites"}


def test_the_prior_is_around_the_pretrained_params(session: Session) -> None:
    prior = prior_of(session, 0.5)
    own = parameters_of(session.problem.model)
    assert set(prior.mean) == set(own)
    assert all(torch.equal(prior.mean[name], tensor) for name, tensor in own.items())
    assert prior.mean["0.weight"].data_ptr() != own["0.weight"].data_ptr()  # a copy: training changes the model


def test_the_prior_leaves_out_what_no_task_trains(session: Session) -> None:
    frozen = freeze_modules(session.problem, ["0"])
    assert set(prior_of(replace(session, problem=frozen), 0.5).mean) == {
        name for name in prior_of(session, 0.5).mean if name[0] != "0"
    }

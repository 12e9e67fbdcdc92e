"""The control of merges of updates: factors averaged apart."""

import torch
from torch import Tensor, nn

from foretaste.methods.factors_apart import FactorsApart
from foretaste.methods.method import prior_of
from foretaste.methods.simple import Simple, task_runs
from foretaste.params import Params, swapped
from foretaste.weights import corners, uniform
from foretaste.workflow.example import small_study

LORA = "finetune: {steps: 9, learning_rate: 0.03, method: lora, r: 2, targets: ['0', '2', '4']}"
INPUTS = torch.randn(5, 64, generator=torch.Generator().manual_seed(0))


def outputs(model: nn.Module, params: Params) -> Tensor:
    with torch.no_grad(), swapped(model, params):
        found: Tensor = model(INPUTS)
    return found


def test_it_averages_factors_and_is_the_task_s_model_where_one_has_all_the_weight() -> None:
    with small_study(LORA) as session:
        session.finish(Simple().work(session))
        model, names, even = session.problem.model, session.problem.names, uniform(session.problem.names)
        apart, summed = (method.sites(session).under(prior_of(session, 1.0)) for method in (FactorsApart(), Simple()))
        for weights in corners(names):
            one, other = (outputs(model, merger.merge(weights).params) for merger in (apart, summed))
            assert torch.equal(one, other)
        middle = apart.merge(even).params
        runs = [session.study.tensors(run.done(session).artefact) for run in task_runs(session).values()]
        for name, tensor in middle.items():
            assert torch.allclose(tensor, torch.stack([run[name] for run in runs]).mean(0), atol=1e-6)
        assert not torch.allclose(outputs(model, middle), outputs(model, summed.merge(even).params), atol=1e-3)

"""On a second device that tests have everywhere (`away`): where sites lie, what moves, and that results agree."""

from dataclasses import dataclass, field, replace

import pytest
import torch

from away import AWAY, Away
from foretaste.evaluate import evaluate
from foretaste.methods import previews as previewing
from foretaste.methods import resident as placing
from foretaste.methods.resident import place_merger, place_of
from foretaste.methods.site_set import Merger
from foretaste.params import tensors_of
from foretaste.posterior.gaussian import Gaussian
from foretaste.posterior.isotropic import Isotropic
from foretaste.posterior.mixture import MixtureSite
from foretaste.posterior.site import GaussianSite
from foretaste.simplex import lattice
from foretaste.work.context import Unwatched
from foretaste.workflow.fit import fit
from foretaste.workflow.preview import prepare_merger, preview
from foretaste.workflow.session import Session

PLENTY, LITTLE, NOTHING = 1 << 30, 60_000, 0  # bytes; the model has 9.5 KB


@dataclass
class Told(Unwatched):
    said: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture
def apart(session: Session, monkeypatch: pytest.MonkeyPatch) -> Session:
    """Previews are evaluated one by one, as those of larger models are; what is said is kept."""
    monkeypatch.setattr(previewing, "at_once", lambda model, tasks: 1)
    return replace(session, watch=Told())


@pytest.mark.parametrize("method", ["simple", "diagonal", "kronecker"])
@pytest.mark.parametrize("free", [PLENTY, LITTLE, NOTHING])
def test_a_sweep_on_a_device_gives_what_it_gives_in_main_memory(
    apart: Session, monkeypatch: pytest.MonkeyPatch, method: str, free: int
) -> None:
    fit(apart)
    points, problem = lattice(apart.problem.names, 3), apart.problem
    merged = prepare_merger(apart, method)[1]
    expected = [evaluate(problem.model, merged.merge(weights).params, problem.tasks) for weights in points]
    monkeypatch.setattr(placing, "_free", lambda device: free)
    with Away(problem.model):
        found = preview(apart, [method], points)
    assert [dict(row.metrics) for row in found] == [
        {task: dict(each.metrics) for task, each in one.items()} for one in expected
    ]


def test_a_sweep_over_resident_sites_moves_nothing_but_data(apart: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placing, "_free", lambda device: PLENTY)
    fit(apart)
    model = apart.problem.model
    merged, points = prepare_merger(apart, "diagonal")[1], lattice(apart.problem.names, 4)
    with Away(model) as away:
        there = place_merger(apart, merged)
        assert sum(away.brought) == merged.bytes
        away.brought.clear()
        for weights in points:
            evaluate(model, there.merge(weights).params, apart.problem.tasks)
        data = sum(
            each.nbytes
            for task in apart.problem.tasks
            for i in range(len(task.validation))
            for each in task.validation[i].values()
        )
        assert sum(away.brought) == len(points) * data
        assert max(away.taken) < max(tensor.nbytes for tensor in tensors_of(model).values())  # losses and predictions


def test_what_does_not_fit_is_streamed_and_told(apart: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placing, "_free", lambda device: LITTLE)
    merged = prepare_merger(apart, "diagonal")[1]
    lines: list[str] = []
    with Away(apart.problem.model) as away:
        there = place_merger(apart, merged, lines.append)
        assert away.brought == []
        there.merge(lattice(apart.problem.names, 3)[1])
        assert 0 < sum(away.brought) <= merged.bytes
    assert lines == [
        "the tasks' sites need 0.0 GiB and xpu:0 has 0.0 GiB free: they are streamed there, weighting by weighting"
    ]


def test_mixtures_that_do_not_fit_are_merged_in_main_memory() -> None:
    prior = Gaussian({"w": torch.zeros(256)}, Isotropic(0.5))
    site = GaussianSite({"w": torch.ones(256)}, Isotropic(1.0))
    single, mixture = Merger(prior, {"a": site}), Merger(prior, {"a": MixtureSite(prior, [site])})
    assert [place_of(each, 1024, 4200) for each in (single, mixture)] == ["streamed", "host"]
    assert [place_of(each, 1024, 1 << 20) for each in (single, mixture)] == ["resident", "resident"]


def test_on_a_cpu_nothing_changes(session: Session) -> None:
    merged = prepare_merger(session, "simple")[1]
    assert place_merger(session, merged) is merged


def test_of_a_device_that_does_not_say_nothing_is_known_to_be_free() -> None:
    assert placing._free(AWAY) == 0

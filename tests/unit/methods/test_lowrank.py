"""Diagonal and low-rank curvature."""

from dataclasses import replace

from finished import run_artefacts
from foretaste.merge import merge
from foretaste.methods.lowrank import LowRank
from foretaste.methods.method import prior_of
from foretaste.plan import Ensemble
from foretaste.weights import uniform
from foretaste.workflow.preview import prepare
from foretaste.workflow.session import Session


def test_lowrank_knows_more_than_its_diagonal(pairs: Session) -> None:
    """Its secants come from the same runs as the mixture's."""
    found = prepare(pairs, "lowrank")
    sites = found.sites(prior_of(pairs, 0.003))
    assert {len(done) for done in found.works.values()} == {3}  # two runs and an estimate
    assert all(
        [done.artefact for done in works[:2]] == run_artefacts(pairs, task) for task, works in found.works.items()
    )
    own = merge(prior_of(pairs, 0.003), sites, uniform(pairs.problem.names)).precision()
    assert own.structure == "lowrank"


def test_it_takes_two_runs_at_least(session: Session) -> None:
    alone = replace(session, recipe=session.recipe.model_copy(update={"ensemble": Ensemble(members=1)}))
    assert [len(work.needs(alone)) for work in LowRank().work(alone)] == [2, 2, 2]

from dataclasses import replace

import torch

from finished import site_at
from foretaste.estimate.fisher import fisher
from foretaste.evaluate import evaluate
from foretaste.params import buffers_of, parameters_of
from foretaste.posterior.diagonal import Diagonal
from foretaste.train.finetune import finetune
from foretaste.workflow.example import small_study
from foretaste.workflow.fit import FittedTasks, fit, measure_fits
from foretaste.workflow.session import Session


def test_runs_are_finetunings_and_sites_their_curvature(session: Session) -> None:
    fitted = fit(session)
    assert list(fitted) == ["low", "mid", "high"]
    low = session.problem.tasks[0]
    params = finetune(session.problem.model, None, low, session.training_of("low")).params
    assert all(torch.equal(params[name], tensor) for name, tensor in site_at(session, "low").center.items())
    generator = torch.Generator().manual_seed(0)
    site = fisher(
        session.problem.model, params, low, generator=generator, labels="exact", max_examples=60, batch_size=32
    )
    assert isinstance(site_at(session, "low").precision, Diagonal)
    for name, tensor in site.precision.to_tensors().items():
        torch.testing.assert_close(site_at(session, "low").precision.to_tensors()[name], tensor)
    assert site_at(session, "low").record == site.record


def test_artefacts_are_in_the_study(session: Session) -> None:
    for task, each in fit(session).items():
        params, curvature = (session.study.tensors(artefact) for artefact in each.artefacts)
        assert params.keys() == parameters_of(session.problem.model).keys() | buffers_of(session.problem.model).keys()
        assert curvature.keys() == site_at(session, task).precision.to_tensors().keys()
        assert each.run.seconds > 0
        assert len(each.run.result["history"]) == 5


def test_nothing_is_fitted_twice(session: Session) -> None:
    before = [done.key for done in session.study.all_work()]
    fit(session)
    assert [done.key for done in session.study.all_work()] == before
    assert [done.kind for done in session.study.all_work()].count("finetune") == 3


def test_other_data_is_fitted_anew(session: Session) -> None:
    first, *rest = session.problem.tasks
    changed = replace(session, problem=replace(session.problem, tasks=(replace(first, fingerprint="other"), *rest)))
    fit(changed)
    assert [done.kind for done in session.study.all_work()].count("finetune") == 4


def test_models_are_measured_before_and_after(session: Session) -> None:
    model, mid = session.problem.model, session.task("mid")
    fitted = measure_fits(session, fit(session))
    params = finetune(model, None, mid, session.training_of("low")).params
    assert fitted["mid"].pretrained == evaluate(model, None, [mid])["mid"].metrics["accuracy"]
    assert fitted["mid"].single_task == evaluate(model, params, [mid])["mid"].metrics["accuracy"]
    history = finetune(model, None, mid, session.training_of("low")).history
    record = fitted.to_dict()["mid"]
    assert record["curve"]["loss"] == list(history)
    assert record["curve"]["step"] == [1, 2, 3, 4, 5]
    assert (record["loss_first"], record["loss_last"]) == (history[0], history[-1])
    assert record["metric"] == "accuracy"
    assert {"params", "site", "seconds"} < record.keys()


def test_runs_of_an_earlier_study_without_history_have_dashes(session: Session) -> None:
    tasks = measure_fits(session, fit(session))
    bare = replace(tasks["low"], run=replace(tasks["low"].run, result={"history": [], "seen": {}}))
    assert bare.curve is None
    record = FittedTasks({"low": bare}).to_dict()["low"]
    assert (record["loss_first"], record["loss_last"], record["curve"]) == (None, None, None)


def test_measuring_is_done_once(session: Session) -> None:
    measure_fits(session, fit(session))
    before = [done.key for done in session.study.all_work()]
    measure_fits(session, fit(session))
    assert [done.key for done in session.study.all_work()] == before


def test_by_lora_curvature_is_estimated_only_where_a_method_uses_it() -> None:
    lora = "finetune: {steps: 1, method: lora, r: 1, targets: ['0']}, curvature: {max_examples: 1}"
    for methods, kinds in (("[simple]", {"finetune"}), ("[simple, diagonal]", {"finetune", "site"})):
        with small_study(f"{lora}, preview: {{methods: {methods}}}") as session:
            fitted = fit(session)
            assert {done.kind for done in session.study.all_work()} == kinds
            assert {each.artefacts[1] is None for each in fitted.values()} == {methods == "[simple]"}

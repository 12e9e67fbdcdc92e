from dataclasses import asdict

from foretaste.posterior.site import Record
from foretaste.store.study import Done
from foretaste.work.results import Choice, Run, SiteRecord


def done(result: dict[str, object]) -> Done:
    return Done("key", "kind", {}, result, "1f", 0.5)


def test_a_run_has_its_losses_and_what_it_was_trained_on() -> None:
    run = Run.of(done({"history": [0.7, 0.6], "seen": {"a": {"examples": 8, "units": 8}}}))
    assert list(run.history) == [0.7, 0.6]
    assert run.data_counts["a"]["examples"] == 8
    assert run.done.artefact == "1f"


def test_an_estimate_s_record_is_read_back() -> None:
    record = Record("example", "fisher:exact")
    found = SiteRecord.of(done({"structure": "diagonal", "record": asdict(record)}))
    assert found.structure == "diagonal"
    assert found.record == record


def test_a_choice_has_its_curve() -> None:
    choice = Choice.of(done({"value": -2.0, "loss": 0.4, "curve": [[-3.0, 0.5], [-2.0, 0.4]]}))
    assert choice.value == -2.0
    assert [choice.value, choice.loss] in choice.curve


def test_results_are_shown_in_one_line() -> None:
    assert "\n" not in repr(Run.of(done({"history": [0.5] * 1000, "seen": {}})))

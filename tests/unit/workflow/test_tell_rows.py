from pathlib import Path

import pytest

from foretaste.errors import DataError
from foretaste.workflow.fidelity_costs import fidelity_costs
from foretaste.workflow.outcome import read_outcome
from foretaste.workflow.run_columns import TableOptions
from foretaste.workflow.tell import TellResult
from foretaste.workflow.tell_rows import describe_faults, preview_table, tell_rows
from swarms import swarm

TABLE = "web,code,books,qa,coding.pass@1\n20,30,50,0.5,0.2\n50,50,0,0.6,0.3\n10,20,30,0.6,oops\n"
OPTIONS = TableOptions(fidelity="proxy-60m", cost=0.05, normalise=True)


def test_bad_rows_are_named_and_nothing_is_written_unless_they_are_skipped(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text(TABLE)
    with swarm(tmp_path / "s") as study:
        with pytest.raises(DataError, match=r"1 row that cannot be read, of 3:\n  line 4: coding.pass@1 is 'oops'"):
            tell_rows(study, path, OPTIONS)
        assert fidelity_costs(study) == {"joint": 1.0}
        preview = preview_table(study, path, OPTIONS)
        assert (len(preview.runs), len(preview.faults)) == (2, 1)
        assert not read_outcome(study).surface.rows
        assert tell_rows(study, path, OPTIONS, skip_bad=True) == TellResult(new=2)
        assert tell_rows(study, path, OPTIONS, skip_bad=True) == TellResult(unchanged=2)
        assert fidelity_costs(study)["proxy-60m"] == 0.05


def test_numbers_are_replaced_on_request(tmp_path: Path) -> None:
    row = {"web": 0.5, "code": 0.5, "qa": 0.5, "coding": 0.2}
    with swarm(tmp_path / "s") as study:
        tell_rows(study, [row])
        with pytest.raises(DataError, match="other numbers for 1 run"):
            tell_rows(study, [{**row, "qa": 0.6}])
        assert tell_rows(study, [{**row, "qa": 0.6}], replace_numbers=True) == TellResult(replaced=1)


def test_many_faults_are_counted(tmp_path: Path) -> None:
    with swarm(tmp_path / "s") as study:
        preview = preview_table(study, [{"web": 2.0, "qa": 0.5}] * 30)
    assert describe_faults(preview.table, preview.faults).splitlines()[-2] == "  and 10 more like it"

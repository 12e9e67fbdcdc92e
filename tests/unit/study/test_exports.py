"""The verbs that write files, on a study whose tasks have no rows."""

from pathlib import Path

import pytest

import foretaste as ft
from in_memory import SMALL, disagreeing_tasks, network


def test_jobs_need_rows_from_files_and_nothing_is_proposed(tmp_path: Path) -> None:
    tasks = disagreeing_tasks("left", "right")
    with ft.Study(tmp_path / "a.study", model=network(), tasks=tasks, progress=False, **SMALL) as study:
        with pytest.raises(ft.BadInput, match="have no rows to write"):
            study.ask_jobs(tmp_path / "mix", "trl")
        assert study.pending == []
        with pytest.raises(ft.BadInput, match="holds no job"):
            study.tell_jobs(tmp_path)

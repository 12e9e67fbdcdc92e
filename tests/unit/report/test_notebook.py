"""Progress in a notebook: a table that changes in place, with escaped texts, and one line at the end."""

import sys
from types import ModuleType

import pytest

from foretaste.report import notebook
from foretaste.report.notebook import NotebookWatch, in_notebook


class Output:
    """Stands for the output of a cell: what was shown there, one HTML text after the other."""

    def __init__(self) -> None:
        self.shown: list[str] = []
        self.opened = 0

    def display(self, content: str, *, display_id: bool) -> "Output":
        assert display_id  # so that it can be updated
        self.opened += 1
        self.update(content)
        return self

    def update(self, content: str) -> None:
        self.shown.append(content)


@pytest.fixture
def output(monkeypatch: pytest.MonkeyPatch) -> Output:
    """The output that IPython's display writes to; every change is drawn at once."""
    output, display = Output(), ModuleType("IPython.display")
    for name, value in (("display", output.display), ("HTML", str)):
        setattr(display, name, value)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.setattr(notebook, "_EVERY", 0.0)
    return output


def test_tests_run_in_no_notebook() -> None:
    assert not in_notebook()


def test_a_shell_of_jupyter_is_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    shell, package = type("ZMQInteractiveShell", (), {})(), ModuleType("IPython")
    monkeypatch.setattr(package, "get_ipython", lambda: shell, raising=False)
    monkeypatch.setitem(sys.modules, "IPython", package)
    assert in_notebook()


def test_colab_is_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google.colab", ModuleType("google.colab"))
    assert in_notebook()


def test_stages_are_rows_of_one_table_with_escaped_texts(output: Output) -> None:
    watch = NotebookWatch()
    watch.begin("<script>fit</script>", 1_200)
    watch.advance(300, "loss <b>2</b>")
    table = output.shown[-1]
    assert output.opened == 1
    assert table.startswith("<table><tr><td")
    assert "&lt;script&gt;fit&lt;/script&gt;" in table
    assert "loss &lt;b&gt;2&lt;/b&gt;" in table
    assert "300 of 1,200" in table
    assert '<progress value="300" max="1200"' in table
    assert "<script>" not in table


def test_a_stage_that_is_begun_again_grows(output: Output) -> None:
    watch = NotebookWatch()
    watch.begin("previews", 2)
    watch.begin("previews", 3)
    watch.advance(1)
    assert "1 of 5" in output.shown[-1]


def test_a_stage_is_advanced_by_its_name(output: Output) -> None:
    watch = NotebookWatch()
    watch.begin("fit", 2)
    watch.begin("previews", 3)
    watch.advance(1, stage="fit")
    watch.advance(2)
    watch.advance(1, stage="never begun")
    assert "1 of 2" in output.shown[-1]
    assert "2 of 3" in output.shown[-1]


def test_finished_stages_are_counted(output: Output) -> None:
    watch = NotebookWatch()
    watch.begin("fit", 1)
    watch.advance(1)
    watch.begin("previews", 3)
    assert "1 of 1" not in output.shown[-1]
    assert "<div>1 finished before</div>" in output.shown[-1]


def test_messages_stay_when_the_table_changes(output: Output) -> None:
    watch = NotebookWatch()
    watch.say("warning: 3 < 4")
    watch.begin("fit", 2)
    watch.advance(1)
    watch.end()
    assert all("<div>warning: 3 &lt; 4</div>" in shown for shown in output.shown)


def test_one_line_is_left_at_the_end(output: Output) -> None:
    watch = NotebookWatch()
    watch.begin("fit", 1)
    watch.advance(1)
    watch.begin("previews", 3)
    watch.advance(3)
    watch.end()
    last = output.shown[-1]
    assert last.startswith("<div>fit, previews: ")
    assert last.count("<div>") == 1
    assert "<table>" not in last


def test_nothing_is_shown_where_nothing_was_done(output: Output) -> None:
    NotebookWatch().end()
    assert output.shown == []


def test_a_table_changes_only_a_few_times_a_second(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebook, "_EVERY", 3600.0)
    watch = NotebookWatch()
    watch._drawn = watch._begun
    watch.begin("fit", 100)
    for _ in range(100):
        watch.advance(1)
    assert output.shown == []
    watch.end()
    assert len(output.shown) == 1


def test_a_message_is_shown_at_once(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebook, "_EVERY", 3600.0)
    watch = NotebookWatch()
    watch.begin("fit", 100)
    watch._drawn = watch._begun
    watch.advance(1)
    watch.say("warning: one class")
    assert "warning: one class" in output.shown[-1]
    watch.advance(1)
    watch.stop(2, None)
    assert "stopping after the current step" in output.shown[-1]
    assert "2 of 100" in output.shown[-1]


def test_an_unfinished_stage_is_not_called_finished_at_the_end(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebook, "_EVERY", 3600.0)
    watch = NotebookWatch()
    for label, total, done in (("fit", 2, 2), ("previews", 1_200, 3), ("joint runs", 4, 0)):
        watch.begin(label, total)
        watch.advance(done)
    watch.end()
    assert output.shown[-1].startswith("<div>fit, previews (3 of 1,200): ")


def test_a_signal_stops_after_the_step_and_a_second_one_at_once(output: Output) -> None:
    watch = NotebookWatch()
    assert not watch.stopping()
    watch.stop(2, None)
    assert watch.stopping()
    assert "interrupt again to stop at once" in output.shown[-1]
    with pytest.raises(KeyboardInterrupt):
        watch.stop(2, None)

from pathlib import Path

import pytest

from commands import foretaste, parse_json
from foretaste.cli.printing import print_text


@pytest.mark.parametrize("command", ["check", "run", "fit", "mergeability", "preview", "confirm"])
def test_commands_on_a_recipe_print_a_report_or_json(folder: Path, command: str) -> None:
    study = [] if command == "check" else ["--study", folder / "study"]
    recipe = folder / "small.yaml"
    shown, data = foretaste(command, recipe, *study), foretaste(command, recipe, *study, "--json")
    assert (shown.code, data.code) == (0, 0), shown.err + data.err
    assert parse_json(data.out)
    assert all(task in shown.out for task in ("low", "mid", "high"))
    assert shown.out.splitlines()[-1].startswith(("next: foretaste ", "study: "))


@pytest.mark.parametrize("command", ["show", "report"])
def test_commands_on_a_study_print_a_report_or_json(folder: Path, command: str) -> None:
    shown, data = foretaste(command, folder / "study"), foretaste(command, folder / "study", "--json")
    assert (shown.code, data.code) == (0, 0), shown.err + data.err
    assert parse_json(data.out)
    assert "report" in shown.out
    assert shown.err == data.err == ""


@pytest.mark.parametrize(("colours", "text"), [(True, "2 + 2? \x1b[4;32m4\x1b[0m\n\n"), (False, "2 + 2? ⟦4⟧\n\n")])
def test_parts_are_marked_by_colour_or_brackets(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, colours: bool, text: str
) -> None:
    for name, value in {"FORCE_COLOR": "1", "TERM": "xterm", "COLORTERM": "truecolor"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("NO_COLOR", "" if colours else "1")
    print_text([("2 + 2? ", False), ("4", True)])
    assert capsys.readouterr().out == text

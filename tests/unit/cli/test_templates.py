"""What is written, and that it works, is tested in tests/flows/test_examples.py."""

from pathlib import Path

from commands import foretaste


def test_a_module_is_written_for_a_function_alone(tmp_path: Path) -> None:
    for kind, names in (("digits", ["digits.yaml"]), ("function", ["digits.yaml", "function.yaml", "my_problem.py"])):
        assert foretaste("init", tmp_path / f"{kind}.yaml", "--kind", kind).code == 0
        assert sorted(path.name for path in tmp_path.iterdir()) == names

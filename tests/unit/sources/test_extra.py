import subprocess
import sys

import pytest

CODE = """
import sys
sys.modules[{package!r}] = None  # as Python does for a package that cannot be imported
from foretaste.errors import MissingExtra
try:
    import foretaste.sources.{module}
except MissingExtra as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("package", "module", "extra"),
    [
        ("transformers", "transformers", "hf"),
        ("datasets", "data", "hf"),
        ("PIL", "prepare", "hf"),
        ("sacrebleu", "texts", "text"),
        ("peft", "adapted", "lora"),
    ],
)
def test_a_missing_package_is_named_with_the_command_that_installs_it(package: str, module: str, extra: str) -> None:
    found = subprocess.run(
        [sys.executable, "-c", CODE.format(package=package, module=module)], capture_output=True, text=True, check=True
    )
    assert f"pip install 'foretaste[{extra}]'" in found.stdout

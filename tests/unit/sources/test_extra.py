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


@pytest.mark.parametrize(("package", "module"), [("transformers", "transformers"), ("datasets", "data"), ("PIL", "prepare")])
def test_a_missing_package_is_named_with_the_command_that_installs_it(package: str, module: str) -> None:
    found = subprocess.run([sys.executable, "-c", CODE.format(package=package, module=module)], capture_output=True, text=True, check=True)
    assert "pip install 'foretaste[hf]'" in found.stdout

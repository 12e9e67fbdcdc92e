import subprocess
import sys

import pytest

from foretaste.lazy import lazy


def test_nothing_is_imported_before_first_use() -> None:
    code = (
        "import sys; from foretaste.lazy import lazy; module = lazy('foretaste.surface.pareto')\n"
        "assert 'foretaste.surface.pareto' not in sys.modules and 'numpy' not in sys.modules\n"
        "module.front; assert 'foretaste.surface.pareto' in sys.modules\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_missing_module_is_noticed_at_first_use() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"foretaste\.nowhere"):
        _ = lazy("foretaste.nowhere").thing

"""The public names of the packages are there, and importing a package alone loads nothing heavy."""

import subprocess
import sys

import pytest

import mmvatool
import trainer


@pytest.mark.parametrize("module", [mmvatool, trainer], ids=["mmvatool", "trainer"])
def test_every_public_name_resolves(module: object) -> None:
    assert module.__all__ == sorted(module.__all__)
    for name in module.__all__:
        assert getattr(module, name) is not None, name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        module.nothing  # noqa: B018


def test_packages_alone_are_light() -> None:
    code = "import sys, mmvatool, trainer; print(sorted({'numpy', 'torch', 'PIL', 'rich', 'transformers'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"

"""Where caches lie."""

from pathlib import Path

import pytest

from mmvatool.files import cache_dir


@pytest.mark.parametrize("given", [None, "", "relative/cache"])
def test_below_home(given: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    if given is not None:
        monkeypatch.setenv("XDG_CACHE_HOME", given)
    assert cache_dir() == tmp_path / ".cache" / "mmvatool"
    assert not (tmp_path / ".cache").exists()


def test_where_the_user_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "my cache"))
    assert cache_dir() == tmp_path / "my cache" / "mmvatool"

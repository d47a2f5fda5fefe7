"""`mmvatool summarize --jobs`, and what is kept of a video for another run."""

import shutil

import pytest


class TestMany:
    """--jobs: the same as one by one, in several processes."""

    def test_all_is_as_one_by_one(self, mmvatool, clip):
        (clip.parent / "b.mp4").touch()
        shutil.copy(clip, clip.with_name("d.mp4"))
        one = mmvatool("summarize", ".", "-o", "out/", "--json", "--no-cache")
        written = {path.name: path.read_bytes() for path in (clip.parent / "out").iterdir()}
        shutil.rmtree(clip.parent / "out")
        code, out, err = mmvatool("summarize", ".", "-o", "out/", "--json", "--no-cache", "--jobs", 2)
        assert (code, out) == one[:2]
        assert code == 3
        assert {path.name: path.read_bytes() for path in (clip.parent / "out").iterdir()} == written

        def timeless(text: str) -> list[str]:
            return [line.rpartition(" in ")[0] or line for line in text.splitlines()]

        assert timeless(err) == timeless(one[2])


class TestCache:
    def test_another_ratio_predicts_nothing_again(self, mmvatool, clip, monkeypatch, predictor):
        shots = ("--shots", "uniform", "--json")
        assert mmvatool("summarize", "clip.mp4", *shots)[0] == 0
        with monkeypatch.context() as patch:
            patch.setattr(type(predictor), "image", lambda *args, **options: pytest.fail("it was predicted again"))
            code, out, _ = mmvatool("summarize", "clip.mp4", *shots, "--ratio", 0.5, "--overwrite")
        assert code == 0
        assert mmvatool("summarize", "clip.mp4", *shots, "--ratio", 0.5, "--overwrite", "--no-cache")[1] == out

"""Rendering MIDI: the limits on a made-up fluidsynth, the notes on the real one."""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.open_sources import midi_bytes, plays
from trainer.data import clips, fluidsynth
from trainer.data.open_sets import Sources, build
from trainer.errors import DataError

RUNS_AWAY = {
    "time": ("open(out, 'wb').write(bytes(1000))\ntime.sleep(60)", "fluidsynth was stopped after 0.3 s without an end"),
    "size": (
        "f = open(out, 'wb')\nend = time.monotonic() + 30\nwhile time.monotonic() < end:\n    f.write(bytes(1 << 18)); f.flush(); time.sleep(.002)",
        "MB, more than the piece can take",
    ),
    "log": (
        "end = time.monotonic() + 30\nwhile time.monotonic() < end:\n    print('Unrecognized MIDI event' * 9999); time.sleep(.001)",
        "MB, more than the piece can take",
    ),
}


@pytest.mark.parametrize("how", RUNS_AWAY)
def test_a_render_that_runs_away_is_stopped(
    how: str, vgmidi_dir: Path, soundfont: Path, fake_fluidsynth: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    body, message = RUNS_AWAY[how]
    calls = fake_fluidsynth(body)
    began = time.monotonic()
    limit_s = 20.0 if how in ("size", "log") else 0.3
    with pytest.raises(DataError, match=f"Two_NES_B.mid: .*{message}; get the file again or leave the piece out"):
        fluidsynth.render(vgmidi_dir / "labelled/midi/Two_NES_B.mid", soundfont, 1.0, clips.RATE_HZ, limit_s=limit_s)
    assert time.monotonic() - began < 10
    out, pid = calls.read_text().rsplit(maxsplit=1)
    assert not Path(out).parent.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)


def test_what_fluidsynth_leaves_silent_or_out_is_bad(vgmidi_dir: Path, soundfont: Path, fake_fluidsynth: Callable[[str], Path]) -> None:
    midi = vgmidi_dir / "labelled/midi/Two_NES_B.mid"
    for body, message in (
        ("", "cannot render it \\(exit code 0\\)"),
        (plays(0, 2), "the result is silent"),
    ):
        fake_fluidsynth(body)
        with pytest.raises(DataError, match=message):
            fluidsynth.render(midi, soundfont, 15.0, clips.RATE_HZ)
    midi.write_bytes(b"RIFF, not MIDI")
    with pytest.raises(DataError, match="not a MIDI file; get the file again"):
        fluidsynth.render(midi, soundfont, 15.0, clips.RATE_HZ)


def test_without_fluidsynth_or_soundfont_it_says_how_to_get_them(vgmidi_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fluidsynth, "_FONT_FOLDERS", (str(tmp_path),))
    with pytest.raises(DataError, match=r"no General MIDI soundfont in .*apt install fluid-soundfont-gm.*--soundfont"):
        fluidsynth.find_soundfont()
    with pytest.raises(DataError, match="no such soundfont"):
        fluidsynth.find_soundfont(tmp_path / "none.sf2")
    (tmp_path / "default.sf2").write_bytes(b"not one")
    assert fluidsynth.find_soundfont() == tmp_path / "default.sf2"
    with pytest.raises(DataError, match=r"default.sf2: not a soundfont"):
        fluidsynth.find_soundfont(tmp_path / "default.sf2")
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match=r"not installed.*apt install fluidsynth fluid-soundfont-gm"):
        build(Sources(vgmidi=vgmidi_dir), tmp_path / "out")


@pytest.mark.skipif(shutil.which("fluidsynth") is None, reason="fluidsynth is not installed")
def test_the_real_fluidsynth_plays_the_notes_and_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        font = fluidsynth.find_soundfont()
    except DataError as error:
        pytest.skip(str(error))
    midi = tmp_path / "-a b.mid"
    midi.write_bytes(midi_bytes(6, [69]))
    sound = fluidsynth.render(midi, font, 3.0, clips.RATE_HZ)
    assert 3 < len(sound) / clips.RATE_HZ < 6
    assert np.abs(sound[-1:]).max() > fluidsynth.SILENT
    spectrum = np.abs(np.fft.rfft(sound[: 2 * clips.RATE_HZ]))
    assert spectrum.argmax() / 2 == pytest.approx(440, abs=3)
    assert (fluidsynth.render(midi, font, 3.0, clips.RATE_HZ) == sound).all()

    # One broken number: the last note ends 16 days later, and would fill the disk with 250 GB.
    monkeypatch.setattr(fluidsynth, "TAIL_S", 10.0)
    content = midi_bytes(1, [69]).replace(bytes([69, 100, 96]), bytes([69, 100, 0xFF, 0xFF, 0xFF, 0x7F]))
    midi.write_bytes(content.replace(len(content[22:-3]).to_bytes(4), len(content[22:]).to_bytes(4)))
    with pytest.raises(DataError, match=r"-a b.mid: fluidsynth was stopped after \d+ MB, more than the piece can take"):
        fluidsynth.render(midi, font, 3.0, clips.RATE_HZ)

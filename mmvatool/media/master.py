"""Brings a mix to a loudness and encodes it; the encoded file is decoded and measured, and encoded again until it fits."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from mmvatool.errors import MediaError, RenderError
from mmvatool.media import ffmpeg, loudness
from mmvatool.media.audio import SILENCE_LUFS
from mmvatool.media.pcm import CHANNELS, RATE_HZ, Pcm

HIGHEST_PEAK_DBTP = -1.0
# Encoding moves peaks by up to half a decibel.
FIRST_CEILING_DBTP = -1.5
# More limiting than that distorts.
MOST_LIMITING_DB = 10.0
LOUDNESS_TOLERANCE_LU = 0.35  # measured in tenths
# Rounds of encoding and measuring: after which also the gain is lowered for the peak, at most for the loudness, at most for the peak.
PATIENCE, ROUNDS, MOST_ROUNDS = 2, 4, 8
ENCODERS = {
    "aac": {"acodec": "aac", "audio_bitrate": "192k", "format": "ipod"},
    "opus": {"acodec": "libopus", "audio_bitrate": "160k", "format": "webm"},
}


def encode(
    mix: Pcm, lufs: float, codec: str, encoded: Path, target: Path, on_progress: Callable[[float], None]
) -> tuple[float | None, float | None]:
    """Encode a mix at a loudness, its true peaks limited to HIGHEST_PEAK_DBTP; silence stays silence.

    Args:
        mix: the audio.
        lufs: integrated loudness wanted.
        codec: a key of ENCODERS.
        encoded: file to write.
        target: the file an error should name.
        on_progress: called with the part done of the first round, in [0, 1].

    Returns:
        Integrated loudness in LUFS (lower than `lufs` where more would crush the peaks) and true peak in dBTP of the decoded
        file, None and None for silence.

    Raises:
        RenderError: it cannot be encoded.
    """
    level, peak = loudness.integrated(mix.pieces(), RATE_HZ), loudness.true_peak(mix.pieces())
    ceiling_db = FIRST_CEILING_DBTP
    gain_db = 0.0 if level is None else lufs - level
    best: tuple[float, float | None, float | None] | None = None  # distance from `lufs` in LU, measured loudness, measured true peak
    trial = encoded.with_name("trial")
    for round_number in range(1, MOST_ROUNDS + 1):
        most_db = gain_db if peak is None else MOST_LIMITING_DB + ceiling_db - peak
        gain_db = min(gain_db, most_db)
        _write(loudness.limit(mix.pieces(), RATE_HZ, gain_db, ceiling_db), mix.samples, codec, trial, target, on_progress)
        got_lufs, got_peak = measure(trial, target)
        # The meter rounds to a tenth.
        over_db = 0.0 if got_peak is None else got_peak + 0.05 - HIGHEST_PEAK_DBTP
        missing = 0.0 if level is None or got_lufs is None else lufs - got_lufs
        if over_db <= 0 and (best is None or abs(missing) < best[0]):
            best = abs(missing), got_lufs, got_peak
            trial.replace(encoded)
        if best and (best[0] <= LOUDNESS_TOLERANCE_LU or (gain_db == most_db and missing > 0) or round_number >= ROUNDS):
            break
        if over_db > 0:
            ceiling_db -= over_db + 0.1
        if over_db > 0 and round_number > PATIENCE:
            # The peaks of encoded clicks do not follow the ceiling, but they do follow the gain.
            gain_db -= over_db + 0.1
        else:
            gain_db += missing
        on_progress = _no_progress
    if best is None:
        raise RenderError(target, f"its true peak stays at {got_peak:.1f} dBTP: ask for less loudness with --lufs")
    return best[1:]


def _no_progress(_: float) -> None:
    pass


def _write(sound: Iterator, samples: int, codec: str, encoded: Path, target: Path, on_progress: Callable[[float], None]) -> None:
    def pieces() -> Iterator[bytes]:
        done = 0
        for piece in sound:
            yield piece.astype("<f4").tobytes()
            done += len(piece)
            on_progress(done / samples)

    node = ffmpeg.output([ffmpeg.raw_audio(RATE_HZ, CHANNELS)], encoded, **ENCODERS[codec])
    try:
        ffmpeg.feed(node, pieces(), target)
    except MediaError as error:
        raise RenderError(target, f"the encoder failed ({error.problem}): is the disk full?") from error


def measure(path: Path, target: Path) -> tuple[float | None, float | None]:
    """Integrated loudness and true peak of a decoded file, by ffmpeg's ebur128; None for silence."""
    # ebur128 prints its results at the log level info.
    node = ffmpeg.source(path)["a:0"].filter("ebur128", peak="true", framelog="quiet").output("pipe:", format="null")
    try:
        stderr = ffmpeg.run(node, target, log="info").stderr
    except MediaError as error:
        raise RenderError(target, f"what was encoded does not decode ({error.problem}): is the disk full?") from error
    level = re.findall(r"^\s+I:\s+(\S+) LUFS", stderr, re.MULTILINE)
    peak = re.findall(r"True peak:\s+Peak:\s+(\S+) dBFS", stderr)
    if not level or not peak:
        raise RenderError(target, "what was encoded holds no sound: is the disk full?")
    lufs, dbtp = float(level[-1]), float(peak[-1])
    return (lufs if lufs > SILENCE_LUFS else None), (dbtp if dbtp > -100 else None)

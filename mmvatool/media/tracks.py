"""The audio stream of a file that is used."""

from dataclasses import dataclass

from mmvatool.media.headers import Headers, Sound

PROBED_BEYOND = 1 << 20  # bytes beyond the first packet that decodes
LONGEST_PROBING_US = 10**12


@dataclass(frozen=True)
class AudioStream:
    """An audio stream: `layout` as ffmpeg names it, None where only the number of channels is given.

    `rate_hz` and `channels` are 0 where the header does not say and no packet can be decoded. Where a packet says so, `found_at` is its
    position in the file, in bytes. `instead_of` is the codec of a stream that players would choose and that cannot be decoded.
    """

    index: int
    codec: str
    rate_hz: int
    channels: int
    language: str | None
    layout: str | None = "stereo"
    found_at: int = 0
    instead_of: str | None = None

    @property
    def decodable(self) -> bool:
        """Whether anything is known of its sound."""
        return self.rate_hz > 0

    @property
    def probing(self) -> dict[str, int]:
        """Options of demuxers with which they read far enough to know of the sound."""
        return {"probesize": self.found_at + PROBED_BEYOND, "analyzeduration": LONGEST_PROBING_US} if self.found_at else {}


def audio_stream(header: Headers) -> AudioStream | None:
    """The audio stream that is used, None if there is none."""
    stream, passed_over = header.default_audio, header.passed_over
    if not stream:
        return None
    sound, instead_of = stream.sound or Sound(0, 0, None), passed_over.codec if passed_over else None
    return AudioStream(stream.index, stream.codec, sound.rate_hz, sound.channels, stream.language, sound.layout, sound.found_at, instead_of)

from pathlib import Path

import numpy as np

from tests.helpers import synthetic
from trainer.data import manifest


def test_labels_can_be_read_off_the_media_and_shuffled_ones_cannot(tmp_path: Path) -> None:
    for shuffled, low, high in ((False, 0.93, 1.0), (True, -0.3, 0.3)):
        folder = synthetic.draw(
            tmp_path / str(shuffled), images=120, tracks=60, clips_a_track=2, clip_s=1.0, image_px=24, shuffled=shuffled
        )
        data = manifest.load(folder, strict=True)
        mean = np.array([manifest.picture_of(row).reshape(-1, 3).mean(0) for row in data.images])
        valence = mean[:, 0] / (mean[:, 0] + mean[:, 2])
        assert low <= np.corrcoef(valence, data.image_va()[:, 0])[0, 1] <= high
        assert low <= np.corrcoef(mean[:, 0] + mean[:, 2], data.image_va()[:, 1])[0, 1] <= high
        sounds = [manifest.sound_of(row, synthetic.RATE_HZ) for row in data.clips]
        pitch = [np.log(np.abs(np.fft.rfft(sound)[100:]).argmax() + 100) for sound in sounds]
        assert low <= np.corrcoef(pitch, data.clip_va()[:, 0])[0, 1] <= high
        words = [synthetic.AROUSAL_WORDS.index(next(w for w in synthetic.AROUSAL_WORDS if w in row.caption)) for row in data.clips]
        assert low <= np.corrcoef(words, data.clip_va()[:, 1])[0, 1] <= high

import csv
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.helpers import synthetic
from trainer.data import manifest
from trainer.data.split import split
from trainer.errors import DataError


def edit(path: Path, row: int, column: int, text: str) -> None:
    """Set a cell; rows count as a spreadsheet does, the header being row 1."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    rows[row - 1][column] = text
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        csv.writer(file).writerows(rows)


def append(path: Path, line: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")


def test_the_published_shape_is_read_as_it_is(folder: Path) -> None:
    data = manifest.load(folder)
    assert [row.id for row in data.images] == [f"im{index:04d}" for index in range(12)]
    assert data.images[0].path == folder / "images/im0000.JPG"
    assert data.images[1].path == folder / "images/im0001.jpg"
    assert [(row.id, row.track) for row in data.clips[:4]] == [("1-9", "1"), ("1-10", "1"), ("1-11", "1"), ("2-9", "2")]
    assert data.clips[0].row == 2
    assert data.clips[0].caption.endswith(".")
    assert data.skipped == data.merged == ()
    assert data.image_va().shape == (12, 2)
    assert data.image_va().dtype == data.clip_va().dtype == np.float32
    np.testing.assert_allclose(data.image_va()[0], data.images[0].va, atol=1e-6)


def test_fingerprint_is_of_the_labels_not_of_the_place(folder: Path, tmp_path: Path) -> None:
    before = manifest.load(folder)
    moved = folder.rename(tmp_path / "elsewhere")
    assert manifest.load(moved).fingerprint == before.fingerprint
    edit(moved / "image_va.csv", 2, 2, "0.5")
    assert manifest.load(moved).fingerprint != before.fingerprint


def test_other_places_and_other_columns(folder: Path, tmp_path: Path) -> None:
    images = (folder / "images").rename(tmp_path / "pictures")
    music = (folder / "music").rename(tmp_path / "songs")
    (folder / "image_va.csv").write_text(f"Arousal, Valence ,file\n.1,.2,im0001.jpg\n.3,.4,{images / 'im0002.jpg'}\n")
    (folder / "music_va.csv").write_text("file,caption,valence,arousal,track\n1-10.wav,Slow.,0,1,a\n2-10,Fast.,1,0,b\n")
    data = manifest.load(folder, images_dir=images, music_dir=music)
    assert [(row.path, row.va) for row in data.images] == [(images / "im0001.jpg", (0.2, 0.1)), (images / "im0002.jpg", (0.4, 0.3))]
    assert [(row.track, row.va, row.caption) for row in data.clips] == [("a", (0.0, 1.0), "Slow."), ("b", (1.0, 0.0), "Fast.")]


def test_captions_of_another_csv_replace_those_of_the_manifest(folder: Path, tmp_path: Path) -> None:
    ids = [row.id for row in manifest.load(folder).clips]
    captions = tmp_path / "captions.csv"
    captions.write_text("id,caption\n" + "".join(f'{name},"Piece {name}, refined"\n' for name in ids))
    assert [row.caption for row in manifest.load(folder, caption_csv=captions).clips] == [f"Piece {name}, refined" for name in ids]
    captions.write_text("id,caption\n1-9,only one\n")
    with pytest.raises(DataError, match=r"music_va.csv row 3 \(id '1-10'\): the CSV of captions has none for it"):
        manifest.load(folder, caption_csv=captions)


@pytest.mark.parametrize(
    ("column", "text", "message"),
    [
        (2, "1.2", r"image_va.csv row 4 \(id 'im0002'\): valence '1.2' is outside \[0, 1\]; map the labels"),
        (3, "-0.001", r"row 4 .*arousal '-0.001' is outside \[0, 1\]"),
        (3, "nan", r"row 4 .*arousal 'nan' is not a number"),
        (2, "inf", r"row 4 .*valence 'inf' is outside"),
        (2, "", r"row 4 .*valence '' is not a number"),
        (2, "0,5", r"row 4 .*valence '0,5' is not a number"),
        (1, "gone", r"row 4 \(id 'gone'\): no file .*images/gone.jpg or .JPG; put it there"),
        (1, "", r"row 4: 4 cells, expected 4 with an id"),
    ],
)
def test_bad_image_row_is_an_error_with_file_row_and_cure_or_skipped(folder: Path, column: int, text: str, message: str) -> None:
    edit(folder / "image_va.csv", 4, column, text)
    with pytest.raises(DataError, match=message) as error:
        manifest.load(folder)
    assert "\n" not in str(error.value)
    assert "--skip-bad" in str(error.value)
    data = manifest.load(folder, skip_bad=True)
    assert len(data.images) == 11
    assert len(data.skipped) == 1
    assert re.search(message, data.skipped[0])


@pytest.mark.parametrize("text", ["A \udcff\udcfe piece", "A � piece", "A \x00 piece", "   "])
def test_broken_caption(folder: Path, text: str) -> None:
    edit(folder / "music_va.csv", 3, 4, text)
    cure = "the caption is empty; fill it in" if not text.strip() else "broken Unicode .*; save the file as UTF-8"
    with pytest.raises(DataError, match=rf"music_va.csv row 3 \(id '1-10'\): .*{cure}"):
        manifest.load(folder)
    data = manifest.load(folder, skip_bad=True)
    assert len(data.clips) == 14
    assert "row 3" in data.skipped[0]


def test_captions_keep_their_letters_and_lose_their_line_breaks(folder: Path) -> None:
    edit(folder / "music_va.csv", 3, 4, " Ein fröhliches\nLied 🎵 ")
    data = manifest.load(folder)
    assert data.clips[1].caption == "Ein fröhliches Lied 🎵"
    assert data.clips[2].row == 4  # rows, not lines


def test_zero_length_clip(folder: Path) -> None:
    (folder / "music/2-10.wav").write_bytes(b"")
    with pytest.raises(DataError, match=r"music_va.csv row 6 \(id '2-10'\): .*2-10.wav has zero length"):
        manifest.load(folder)


def test_several_bad_rows_are_counted(folder: Path) -> None:
    for row in (3, 5, 7):
        edit(folder / "image_va.csv", row, 2, "7")
    with pytest.raises(DataError, match=r"row 3 .* \(and 2 more such\); --skip-bad"):
        manifest.load(folder)
    assert len(manifest.load(folder, skip_bad=True).skipped) == 3


@pytest.mark.parametrize("header", ["row,img,v,a", ",img,valence", "valence,arousal", ",img,valence,arousal,valence", ""])
@pytest.mark.parametrize("skip_bad", [False, True])
def test_wrong_header(folder: Path, header: str, skip_bad: bool) -> None:
    (folder / "image_va.csv").write_text(header + "\n0,im0000,.5,.5\n")
    with pytest.raises(DataError, match=r"image_va.csv row 1: .*; (it must|name each|put the id)|row 1: no column for the id"):
        manifest.load(folder, skip_bad=skip_bad)


def test_a_csv_that_is_utf16_or_binary_or_empty_of_rows(folder: Path) -> None:
    path = folder / "image_va.csv"
    for content, message in (
        (path.read_text().encode("utf-16"), r"row 1: no column 'valence' .*UTF-8"),
        (b"\x00\xff" * 50, r"row 1: no column 'valence'"),
        (b",img,valence,arousal\n\n\n", "not one usable row; correct the file"),
        (b',img,valence,arousal\n0,"' + b"x" * 200_000, "not a readable CSV"),
    ):
        path.write_bytes(content)
        with pytest.raises(DataError, match=message):
            manifest.load(folder)


def test_all_rows_bad_is_an_error_even_when_bad_rows_are_skipped(folder: Path) -> None:
    (folder / "image_va.csv").write_text(",img,valence,arousal\n0,im0000,9,.5\n")
    with pytest.raises(DataError, match=r"not one usable row, the first bad one: .*row 2 .*outside"):
        manifest.load(folder, skip_bad=True)


def test_missing_folders_and_files(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere: no such data folder; it must hold"):
        manifest.load(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"nowhere: no such folder .*name their folder"):
        manifest.load(folder, images_dir=tmp_path / "nowhere")
    (folder / "music_va.csv").unlink()
    with pytest.raises(DataError, match=r"music_va.csv: no such file; "):
        manifest.load(folder)


def test_what_the_model_does_not_take_need_not_be_there(folder: Path) -> None:
    whole = manifest.load(folder)
    shutil.rmtree(folder / "music")
    words = manifest.load(folder, modalities=("image", "text"))
    assert [row.caption for row in words.clips] == [row.caption for row in whole.clips]
    (folder / "image_va.csv").unlink()
    assert manifest.load(folder, modalities=("text",)).images == ()
    with pytest.raises(DataError, match=r"music: no such folder"):
        manifest.load(folder, modalities=("music",))
    (folder / "image_va.csv").write_text("file,valence,arousal\nim0001,.5,.5\nim0002,.5,.5\nim0003,.5,.5\n")
    (folder / "music_va.csv").unlink()
    pictures = manifest.load(folder, modalities=("image",))
    assert (len(pictures.images), pictures.clips, pictures.clip_va().shape) == (3, (), (0, 2))
    assert [len(part.images) for part in split(pictures).values()] == [1, 1, 1]


def test_clips_without_captions_for_a_model_without_words(folder: Path) -> None:
    (folder / "music_va.csv").write_text("file,valence,arousal\n1-9,.5,.5\n")
    assert manifest.load(folder, modalities=("image", "music")).clips[0].caption == ""


def test_duplicates_with_differing_labels_are_listed_and_averaged(folder: Path) -> None:
    edit(folder / "image_va.csv", 2, 2, "0.1")
    edit(folder / "image_va.csv", 2, 3, "0.2")
    append(folder / "image_va.csv", "99,im0000,0.5,0.4")
    data = manifest.load(folder)
    assert len(data.images) == 12
    np.testing.assert_allclose(data.images[0].va, (0.3, 0.3), atol=1e-12)
    assert len(data.merged) == 1
    assert re.search(r"image_va.csv rows 2, 14: id 'im0000' has differing labels \(0.100, 0.200\), \(0.500, 0.400\), mean", data.merged[0])
    with pytest.raises(DataError, match=r"rows 2, 14: id 'im0000' .*--strict-data"):
        manifest.load(folder, strict=True)


def test_the_same_row_twice_is_no_conflict(folder: Path) -> None:
    path = folder / "image_va.csv"
    append(path, path.read_text().splitlines()[1])
    data = manifest.load(folder, strict=True)
    assert (len(data.images), data.merged) == (12, ())


def test_rows_bad_inside_name_the_row(folder: Path) -> None:
    data = manifest.load(folder)
    assert manifest.picture_of(data.images[0]).shape == (16, 16, 3)
    assert manifest.sound_of(data.clips[0], 24_000).shape == (6000,)
    synthetic.write_wav(data.clips[0].path, np.zeros(6000))
    with pytest.raises(DataError, match=r"music_va.csv row 2 \(id '1-9'\): .*1-9.WAV: silent \(0.2 s below 0.0001\); get the file again"):
        manifest.sound_of(data.clips[0], 24_000)
    synthetic.write_wav(data.clips[1].path, np.zeros(0))
    with pytest.raises(DataError, match=r"music_va.csv row 3 \(id '1-10'\): .*zero-length sound"):
        manifest.sound_of(data.clips[1], 24_000)
    data.images[3].path.write_bytes(data.images[3].path.read_bytes()[:300])
    with pytest.raises(DataError, match=r"image_va.csv row 5 \(id 'im0003'\): .*im0003.jpg: damaged picture"):
        manifest.picture_of(data.images[3])


def test_rows_that_turn_out_bad_are_left_out_and_listed(folder: Path) -> None:
    data = manifest.load(folder)
    less = data.without({0: "first picture is bad"}, {1: "second clip is bad"})
    assert [row.id for row in less.images] == [row.id for row in data.images[1:]]
    assert [row.id for row in less.clips[:2]] == ["1-9", "1-11"]
    assert less.skipped == ("first picture is bad", "second clip is bad")
    assert less.fingerprint != data.fingerprint


@pytest.mark.parametrize(("clip", "track"), [("725-16", "725"), ("a-b-3", "a-b"), ("song", "song"), ("song-x", "song-x"), ("-3", "-3")])
def test_track_of(clip: str, track: str) -> None:
    assert manifest.track_of(clip) == track

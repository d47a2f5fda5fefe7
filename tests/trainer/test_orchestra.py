"""Orchestral recordings that no tower has heard: Debian's wesnoth-music, in pairs whose order of mood their titles leave no doubt about.

The pairs were chosen before the model heard them, at least ten and eleven of which it must put in order.
"""

from pathlib import Path

import numpy as np
import pytest

from mmvatool import score
from mmvatool.analysis.score import Score

MUSIC = sorted(Path("/usr/share/games/wesnoth").glob("*/data/core/music"))
MORE_PLEASANT = [
    ("victory", "defeat"),
    ("victory2", "defeat2"),
    ("love_theme", "the_city_falls"),
    ("traveling_minstrels", "the_king_is_dead"),
    ("elvish-theme", "into_the_shadows"),
    ("main_menu", "suspense"),
    ("return_to_wesnoth", "casualties_of_war"),
    ("loyalists", "underground"),
    ("silvan_sanctuary", "sad"),
    ("knolls", "weight_of_revenge"),
    ("heroes_rite", "vengeful"),
    ("wanderer", "siege_of_laurelmor"),
]
MORE_EXCITING = [
    ("battle", "love_theme"),
    ("battle-epic", "sad"),
    ("frantic", "silvan_sanctuary"),
    ("the_dangerous_symphony", "nunc_dimittis"),
    ("vengeful", "wanderer"),
    ("siege_of_laurelmor", "elf-land"),
    ("northerners", "the_king_is_dead"),
    ("frantic-old", "transience"),
    ("victory", "defeat2"),
    ("knalgan_theme", "underground"),
    ("legends_of_the_north", "love_theme"),
    ("battle", "sad"),
]


@pytest.fixture(scope="module")
def heard(predictor) -> dict[str, np.ndarray]:
    """Valence and arousal of the tracks."""
    names = sorted({name for pair in MORE_PLEASANT + MORE_EXCITING for name in pair})
    found = score([MUSIC[-1] / f"{name}.ogg" for name in names], predictor=predictor, every_s=10)
    return {name: np.array([one.valence, one.arousal]) for name, one in zip(names, found, strict=True) if isinstance(one, Score)}


@pytest.mark.skipif(not MUSIC, reason="needs wesnoth-music (Debian), 200 MB")
@pytest.mark.parametrize(("pairs", "axis", "least"), [(MORE_PLEASANT, 0, 10), (MORE_EXCITING, 1, 11)], ids=["valence", "arousal"])
def test_orchestral_recordings_are_in_order(heard: dict[str, np.ndarray], pairs: list[tuple[str, str]], axis: int, least: int) -> None:
    right = [(more, less) for more, less in pairs if heard[more][axis] > heard[less][axis]]
    assert len(right) >= least, sorted(set(pairs) - set(right))

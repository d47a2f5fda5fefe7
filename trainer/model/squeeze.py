"""Pictures made small for the compact image tower. No torch."""

import numpy as np
from PIL import Image


def squeezed(picture: np.ndarray, side: int) -> np.ndarray:
    """A picture (H, W, 3) uint8 RGB as (side, side, 3) uint8, antialiased.

    Pillow counts in whole numbers, and comes to the same bytes on all processors. torchvision chooses between two methods by the type of CPU,
    which differ by a level in some pixels and moved VA by up to .003; so does torch's own resizing of bytes from Pillow's, by up to .001.
    """
    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BILINEAR))

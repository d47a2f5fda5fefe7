"""The root of all errors raised on purpose, and those of the trainer. Every message names the file or value, what is wrong and what to do.

MmvatoolError
├── TrainerError
│   ├── CheckpointError   a checkpoint that is missing, is not one, is damaged, or is for other towers
│   ├── WeightsError      pretrained weights that are neither on this machine nor to be had from the hub
│   ├── LibraryLoadError  a library that is not installed, or does not load beside its partners
│   ├── DeviceError       a device that was asked for by name and is not there
│   ├── RecipeError       a recipe with an unknown key, a wrong type or an impossible value
│   └── DataError         a data file that is missing, unreadable or holds what no training can use
└── ...                   the application's own errors (mmvatool/errors.py)
"""


class MmvatoolError(Exception):
    """Root of everything that the trainer and the application raise on purpose.

    It is defined here because the trainer knows nothing of the application.
    """


class TrainerError(MmvatoolError):
    """Root of everything the trainer raises on purpose."""


class CheckpointError(TrainerError):
    """A checkpoint that is missing, is not one, is damaged, or is for other towers."""


class WeightsError(TrainerError):
    """A tower's pretrained weights are neither on this machine nor to be had from the hub."""


class LibraryLoadError(TrainerError):
    """A library that something needs is not installed, or does not load beside its partners."""


class DeviceError(TrainerError):
    """A device that was asked for by name and is not there."""


class RecipeError(TrainerError):
    """A recipe with an unknown key, a wrong type or an impossible value."""


class DataError(TrainerError):
    """A data file that is missing, unreadable or holds what no training can use."""

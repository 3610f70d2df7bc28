"""Where downloads and registered weights are kept."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_dir

CACHE_VARIABLE = "ORBMM_CACHE"


def cache_folder() -> Path:
    """The folder of $ORBMM_CACHE, else the user's cache folder; absolute, and not made yet."""
    return Path(os.environ.get(CACHE_VARIABLE) or user_cache_dir("orbmm")).expanduser().absolute()

"""The filters of scipy that are applied to sounds, imported without scipy's statistics and optimisation."""

from __future__ import annotations

from svdaudio.deferred_imports import deferred_imports

with deferred_imports(modules=("scipy.interpolate", "scipy.optimize", "scipy.stats")):
    from scipy.signal import butter, resample_poly, sosfiltfilt

__all__ = ["butter", "resample_poly", "sosfiltfilt"]

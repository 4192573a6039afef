"""Pictures of optimizers: schedules, training curves, spectra, and paths in the plane.

Imported only on request, since it needs matplotlib (the `plot` extra). Every function returns a
matplotlib `Figure` or `Animation`, shows nothing, and leaves matplotlib's global settings alone.
"""

try:
    import matplotlib as _matplotlib  # noqa: F401  # pyright: ignore[reportUnusedImport]
except ImportError as _error:
    raise ImportError(
        "`gradtx.plot` needs matplotlib, which is not installed. Try: pip install 'gradtx[plot]'"
    ) from _error

from ._animation import animate_paths as animate_paths
from ._curves import history as history
from ._curves import schedules as schedules
from ._paths import Landscape as Landscape
from ._paths import paths as paths
from ._spectrum import spectral_density as spectral_density
from ._style import LineStyle as LineStyle
from ._style import line_styles as line_styles
from ._trajectory import trajectory as trajectory

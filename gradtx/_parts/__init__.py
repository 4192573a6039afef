"""Small rules: scaling, clipping, decay, normalisation, noise."""

"""The core: one-array rules, their lift to trees, chains, and described values."""

"""Parameters in 16 bits that still move."""

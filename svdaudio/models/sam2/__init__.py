"""SAM 2: masks from clicks."""

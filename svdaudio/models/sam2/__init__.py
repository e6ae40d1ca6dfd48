"""SAM 2: masks of objects from clicks or a box."""

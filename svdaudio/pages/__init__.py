"""Pages to look at and send: reports of runs and of studies, each one self-contained HTML file."""

"""What people look at: plots, tables and reports, drawn from the arrays of a run."""

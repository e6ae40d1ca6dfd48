"""Many runs with a question: pairs, sweeps and evaluations."""

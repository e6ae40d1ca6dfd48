"""One module per model: `RECIPE` describes it, `train(Training(…))` trains it and writes weights and card."""

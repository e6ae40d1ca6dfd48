"""How each model of the mini bundle is trained: one recipe a file, each `train(folder=…, out=…)`."""

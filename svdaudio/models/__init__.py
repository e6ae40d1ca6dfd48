"""The networks, each with its loaders for every file format. They import svd, weights and the base modules."""

"""The mini bundle: data, recipes and evaluation of the small models with which the whole method runs anywhere."""

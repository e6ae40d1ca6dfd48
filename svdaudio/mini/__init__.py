"""The mini bundle: data, recipes and networks of the small models that make the whole method run anywhere."""

"""The mini bundle: data, recipes and evaluation of small models, with which the whole method runs anywhere.

May import methods and lower layers.
"""

"""Published weights: what there is, how it comes here, and how it is read.

`registry` says what is published; `download`, `recognise` and `install` bring it into the bundle `full`; `reading`
and `cache` read it safely and quickly; the other modules each know one published format; `verify` tries it out.
"""

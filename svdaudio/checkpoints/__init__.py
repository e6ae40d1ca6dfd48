"""Published weights: which exist, how they are installed, and how they are read.

`registry` lists what is published; `download`, `recognise` and `install` put it into the bundle `full`; `bundle` opens
bundles and loads their models; `verify` tries them out. `svdaudio.weights` reads the files.
"""
